/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registers, and what lies in memory, of an xHCI controller (xHCI 1.2; sections in parentheses). */
#ifndef VIADUCT_DEVICES_INPUT_XHCI_FORMAT_H
#define VIADUCT_DEVICES_INPUT_XHCI_FORMAT_H

#include <stdint.h>

/* Where each set of registers begins in the BAR (5.2). */
#define XHCI_OPERATIONAL 0x40u
#define XHCI_PORTS	 0x440u
#define XHCI_RUNTIME	 0x1000u
#define XHCI_INTERRUPTER 0x1020u
#define XHCI_DOORBELLS	 0x2000u
#define XHCI_MSIX_TABLE	 0x3000u
#define XHCI_MSIX_PBA	 0x3800u
#define XHCI_BAR_BYTES	 0x4000u

/* Capability registers (5.3). */
enum {
	XHCI_CAPLENGTH = 0x00, /* and HCIVERSION in its upper half */
	XHCI_HCSPARAMS1 = 0x04,
	XHCI_HCSPARAMS2 = 0x08,
	XHCI_HCCPARAMS1 = 0x10,
	XHCI_DBOFF = 0x14,
	XHCI_RTSOFF = 0x18,
	XHCI_PROTOCOLS = 0x20, /* two extended capabilities of 16 bytes (7.2) */
};

/* Operational registers (5.4), from the BAR's beginning. */
enum {
	XHCI_USBCMD = 0x40,
	XHCI_USBSTS = 0x44,
	XHCI_PAGESIZE = 0x48,
	XHCI_DNCTRL = 0x54,
	XHCI_CRCR = 0x58,
	XHCI_DCBAAP = 0x70,
	XHCI_CONFIG = 0x78,
};

/* Of each port (5.4.8), 16 bytes from each other. */
enum { XHCI_PORTSC = 0x0, XHCI_PORTPMSC = 0x4, XHCI_PORTLI = 0x8, XHCI_PORTHLPMC = 0xc };

/* Runtime registers (5.5). */
enum {
	XHCI_MFINDEX = 0x1000,
	XHCI_IMAN = 0x1020,
	XHCI_IMOD = 0x1024,
	XHCI_ERSTSZ = 0x1028,
	XHCI_ERSTBA = 0x1030,
	XHCI_ERDP = 0x1038,
};

/* USBCMD (5.4.1) */
#define XHCI_CMD_RUN	 (1u << 0)
#define XHCI_CMD_RESET	 (1u << 1)
#define XHCI_CMD_INTE	 (1u << 2)
#define XHCI_CMD_RESTORE (1u << 9)
/* What is read back: RUN, INTE, HSEE, EWE, EU3S. */
#define XHCI_CMD_KEPT	 0xc0du

/* USBSTS (5.4.2) */
#define XHCI_STS_HALTED		 (1u << 0)
#define XHCI_STS_EVENT		 (1u << 3)
#define XHCI_STS_PORT		 (1u << 4)
#define XHCI_STS_RESTORE_ERROR	 (1u << 10)
#define XHCI_STS_CONTROLLER_ERROR (1u << 12)
#define XHCI_STS_CLEARABLE	 (1u << 2 | XHCI_STS_EVENT | XHCI_STS_PORT | XHCI_STS_RESTORE_ERROR)

/* CRCR (5.4.5) */
#define XHCI_CRCR_CYCLE	  (1u << 0)
#define XHCI_CRCR_STOP	  (1u << 1)
#define XHCI_CRCR_ABORT	  (1u << 2)
#define XHCI_CRCR_RUNNING (1u << 3)
#define XHCI_CRCR_POINTER (~0x3full)

/* PORTSC (5.4.8) */
#define XHCI_PORT_CONNECTED	(1u << 0)
#define XHCI_PORT_ENABLED	(1u << 1)
#define XHCI_PORT_RESET		(1u << 4)
#define XHCI_PORT_LINK(state)	((uint32_t)(state) << 5)
#define XHCI_PORT_LINK_MASK	XHCI_PORT_LINK(0xf)
#define XHCI_PORT_LINK_OF(port) ((port) >> 5 & 0xf)
#define XHCI_PORT_POWER		(1u << 9)
#define XHCI_PORT_SPEED(speed)	((uint32_t)(speed) << 10)
#define XHCI_PORT_SPEED_MASK	XHCI_PORT_SPEED(0xf)
#define XHCI_PORT_LINK_WRITE	(1u << 16)
#define XHCI_PORT_CSC		(1u << 17)
#define XHCI_PORT_PRC		(1u << 21)
#define XHCI_PORT_PLC		(1u << 22)
#define XHCI_PORT_CHANGES	(0x7fu << 17)
#define XHCI_PORT_WAKES		(7u << 25)
#define XHCI_PORT_WARM_RESET	(1u << 31)

enum xhci_link {
	XHCI_LINK_U0 = 0,
	XHCI_LINK_U3 = 3,
	XHCI_LINK_RX_DETECT = 5,
	XHCI_LINK_POLLING = 7,
	XHCI_LINK_RESUME = 15,
};

#define XHCI_SPEED_HIGH 3u

/* IMAN (5.5.2.1) and ERDP (5.5.2.3.3) */
#define XHCI_IMAN_PENDING 1u
#define XHCI_IMAN_ENABLE  2u
#define XHCI_ERDP_BUSY	  8u
#define XHCI_ERDP_POINTER (~0xfull)

/* A Transfer Request Block, little-endian (4.11.1). */
struct xhci_trb {
	uint64_t parameter;
	uint32_t status, control;
};

_Static_assert(sizeof(struct xhci_trb) == 16, "4.11.1");

#define XHCI_TRB_BYTES 16u

/* Bits of `control`. */
#define XHCI_TRB_CYCLE	      (1u << 0)
#define XHCI_TRB_TOGGLE	      (1u << 1) /* of a Link TRB */
#define XHCI_TRB_ISP	      (1u << 2)
#define XHCI_TRB_EVENT_DATA   (1u << 2) /* of an event */
#define XHCI_TRB_CHAIN	      (1u << 4)
#define XHCI_TRB_IOC	      (1u << 5)
#define XHCI_TRB_IDT	      (1u << 6)
#define XHCI_TRB_BSR	      (1u << 9) /* of an Address Device command; DC of a Configure Endpoint command */
#define XHCI_TRB_IN	      (1u << 16) /* of data and status stages */
#define XHCI_TRB_TYPE(type)   ((uint32_t)(type) << 10)
#define XHCI_TRB_TYPE_OF(trb) ((trb)->control >> 10 & 0x3f)
#define XHCI_TRB_ENDPOINT(id) ((uint32_t)(id) << 16)
#define XHCI_TRB_SLOT(id)     ((uint32_t)(id) << 24)
#define XHCI_TRB_LENGTH(trb)  ((trb)->status & 0x1ffff)

/* 6.4.6 */
enum xhci_trb_type {
	XHCI_TRB_NORMAL = 1,
	XHCI_TRB_SETUP = 2,
	XHCI_TRB_DATA = 3,
	XHCI_TRB_STATUS = 4,
	XHCI_TRB_LINK = 6,
	XHCI_TRB_DATA_EVENT = 7,
	XHCI_TRB_NO_OP = 8,
	XHCI_TRB_ENABLE_SLOT = 9,
	XHCI_TRB_DISABLE_SLOT = 10,
	XHCI_TRB_ADDRESS_DEVICE = 11,
	XHCI_TRB_CONFIGURE_ENDPOINT = 12,
	XHCI_TRB_EVALUATE_CONTEXT = 13,
	XHCI_TRB_RESET_ENDPOINT = 14,
	XHCI_TRB_STOP_ENDPOINT = 15,
	XHCI_TRB_SET_DEQUEUE = 16,
	XHCI_TRB_RESET_DEVICE = 17,
	XHCI_TRB_NO_OP_COMMAND = 23,
	XHCI_TRB_TRANSFER_EVENT = 32,
	XHCI_TRB_COMMAND_EVENT = 33,
	XHCI_TRB_PORT_EVENT = 34,
	XHCI_TRB_CONTROLLER_EVENT = 37,
};

/* 6.4.5 */
enum xhci_code {
	XHCI_SUCCESS = 1,
	XHCI_BABBLE = 3,
	XHCI_TRANSACTION_ERROR = 4,
	XHCI_TRB_ERROR = 5,
	XHCI_STALL = 6,
	XHCI_NO_SLOTS = 9,
	XHCI_SLOT_NOT_ENABLED = 11,
	XHCI_ENDPOINT_NOT_ENABLED = 12,
	XHCI_SHORT_PACKET = 13,
	XHCI_PARAMETER_ERROR = 17,
	XHCI_CONTEXT_STATE_ERROR = 19,
	XHCI_EVENT_RING_FULL = 21,
	XHCI_COMMAND_RING_STOPPED = 24,
	XHCI_STOPPED = 26,
};

/* Contexts are of 32 bytes: HCCPARAMS1.CSZ is 0 (6.2). */
#define XHCI_CONTEXT_BYTES 32u
#define XHCI_CONTEXT_WORDS 8u

/* 6.2.2 */
enum xhci_slot_state {
	XHCI_SLOT_ENABLED = 0,
	XHCI_SLOT_DEFAULT = 1,
	XHCI_SLOT_ADDRESSED = 2,
	XHCI_SLOT_CONFIGURED = 3,
};

/* 6.2.3 */
enum xhci_endpoint_state {
	XHCI_ENDPOINT_DISABLED = 0,
	XHCI_ENDPOINT_RUNNING = 1,
	XHCI_ENDPOINT_HALTED = 2,
	XHCI_ENDPOINT_STOPPED = 3,
};

#define XHCI_ENDPOINT_CONTROL	   4u
#define XHCI_ENDPOINT_INTERRUPT_IN 7u

/* Device context indices of the endpoints that there are (4.8.1). */
#define XHCI_DCI_CONTROL   1u
#define XHCI_DCI_INTERRUPT 3u

/* Of an event ring's segment table (6.5). */
struct xhci_segment {
	uint64_t address;
	uint16_t trbs;
	uint16_t reserved[3];
};

_Static_assert(sizeof(struct xhci_segment) == 16, "6.5");

#endif
