/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The numbers of the 82574 (Intel's datasheet, 317694): registers in chapter 10, descriptors in chapter 7. */
#ifndef VIADUCT_DEVICES_NIC_E1000E_FORMAT_H
#define VIADUCT_DEVICES_NIC_E1000E_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define E1000E_REGISTER_BYTES 0x20000u
#define E1000E_IO_BYTES	      0x20u
#define E1000E_MSIX_BYTES     0x4000u
/* In the window of I/O ports (10.1.1.5): which register, and what is in it */
#define E1000E_IO_ADDRESS 0u
#define E1000E_IO_DATA	  4u

enum e1000e_register {
	E1000E_CTRL = 0x0000,
	E1000E_STATUS = 0x0008,
	E1000E_EECD = 0x0010,
	E1000E_EERD = 0x0014,
	E1000E_CTRL_EXT = 0x0018,
	E1000E_FLA = 0x001c,
	E1000E_MDIC = 0x0020,
	E1000E_FCAL = 0x0028,
	E1000E_VET = 0x0038,
	E1000E_ICR = 0x00c0,
	E1000E_ITR = 0x00c4,
	E1000E_ICS = 0x00c8,
	E1000E_IMS = 0x00d0,
	E1000E_IMC = 0x00d8,
	E1000E_EIAC = 0x00dc,
	E1000E_IAM = 0x00e0,
	E1000E_IVAR = 0x00e4,
	E1000E_EITR = 0x00e8, /* one for each vector */
	E1000E_RCTL = 0x0100,
	E1000E_FCTTV = 0x0170,
	E1000E_TCTL = 0x0400,
	E1000E_TIPG = 0x0410,
	E1000E_AIT = 0x0458,
	E1000E_LEDCTL = 0x0e00,
	E1000E_EXTCNF_CTRL = 0x0f00,
	E1000E_PHY_CTRL = 0x0f10,
	E1000E_PBA = 0x1000,
	E1000E_EEMNGCTL = 0x1010,
	E1000E_FCRTL = 0x2160,
	E1000E_PSRCTL = 0x2170,
	E1000E_RX_QUEUE = 0x2800, /* and the second E1000E_QUEUE_STRIDE behind it */
	E1000E_RSRPD = 0x2c00,
	E1000E_RAID = 0x2c08,
	E1000E_TX_QUEUE = 0x3800,
	E1000E_STATISTICS = 0x4000,
	E1000E_MPC = 0x4010,
	E1000E_GPRC = 0x4074,
	E1000E_BPRC = 0x4078,
	E1000E_MPRC = 0x407c,
	E1000E_GPTC = 0x4080,
	E1000E_GORC = 0x4088, /* 64 bits */
	E1000E_GOTC = 0x4090, /* 64 bits */
	E1000E_RNBC = 0x40a0,
	E1000E_ROC = 0x40ac,
	E1000E_TOR = 0x40c0, /* 64 bits */
	E1000E_TOT = 0x40c8, /* 64 bits */
	E1000E_TPR = 0x40d0,
	E1000E_TPT = 0x40d4,
	E1000E_TSCTC = 0x40f8,
	E1000E_STATISTICS_END = 0x4128,
	E1000E_RXCSUM = 0x5000,
	E1000E_RFCTL = 0x5008,
	E1000E_MTA = 0x5200,
	E1000E_RAL = 0x5400, /* RAL and RAH, E1000E_ADDRESSES times */
	E1000E_VFTA = 0x5600,
	E1000E_WUC = 0x5800,
	E1000E_MRQC = 0x5818,
	E1000E_MANC = 0x5820,
	E1000E_IPAV = 0x5838,
	E1000E_RETA = 0x5c00,
	E1000E_GCR = 0x5b00,
	E1000E_SWSM = 0x5b50,
	E1000E_FWSM = 0x5b54,
	E1000E_GCR2 = 0x5b64,
	E1000E_RSSRK = 0x5c80,
	E1000E_TIME_SYNC = 0xb600,
	E1000E_REGISTERS_END = 0xb640,
};

/* Of a queue: at E1000E_RX_QUEUE or E1000E_TX_QUEUE */
#define E1000E_QUEUE_STRIDE 0x100u
#define E1000E_QUEUE_BAL    0x00u
#define E1000E_QUEUE_BAH    0x04u
#define E1000E_QUEUE_LEN    0x08u
#define E1000E_QUEUE_HEAD   0x10u
#define E1000E_QUEUE_TAIL   0x18u
#define E1000E_QUEUE_CTL    0x28u

#define E1000E_CTRL_NO_MASTER	(1u << 2)
#define E1000E_CTRL_SET_LINK	(1u << 6)
#define E1000E_CTRL_RESET	(1u << 26)
#define E1000E_CTRL_VLAN_MODE	(1u << 30)
#define E1000E_CTRL_PHY_RESET	(1u << 31)
#define E1000E_STATUS_DUPLEX	(1u << 0)
#define E1000E_STATUS_LINK	(1u << 1)
#define E1000E_STATUS_SPEED	(2u << 6) /* 1000 Mbit/s */
#define E1000E_STATUS_MASTER	(1u << 19)
#define E1000E_CTRL_EXT_EE_RST	(1u << 13)
#define E1000E_CTRL_EXT_EIAME	(1u << 24)
#define E1000E_CTRL_EXT_IAME	(1u << 27)
#define E1000E_CTRL_EXT_PBA_CLR (1u << 31)
#define E1000E_SWSM_SMBI	(1u << 0)

#define E1000E_EECD_REQUEST   (1u << 6)
#define E1000E_EECD_GRANT     (1u << 7)
#define E1000E_EECD_PRESENT   (1u << 8)
#define E1000E_EECD_AUTO_READ (1u << 9)
#define E1000E_EERD_START     (1u << 0)
#define E1000E_EERD_DONE      (1u << 1)
#define E1000E_EEMNGCTL_DONE  (3u << 18)
#define E1000E_NVM_WORDS      64u
#define E1000E_NVM_SUM	      0xbabau
#define E1000E_NVM_SUM_WORD   0x3fu

#define E1000E_MDIC_DATA(value) ((value)&0xffffu)
#define E1000E_MDIC_REG(value)	((value) >> 16 & 31)
#define E1000E_MDIC_PHY(value)	((value) >> 21 & 31)
#define E1000E_MDIC_OP(value)	((value) >> 26 & 3)
#define E1000E_MDIC_WRITE	1u
#define E1000E_MDIC_READ	2u
#define E1000E_MDIC_READY	(1u << 28)
#define E1000E_MDIC_INTERRUPT	(1u << 29)
#define E1000E_MDIC_ERROR	(1u << 30)

/* Causes of interrupts, in ICR and its like */
#define E1000E_CAUSE_TXDW     (1u << 0)
#define E1000E_CAUSE_TXQE     (1u << 1)
#define E1000E_CAUSE_LSC      (1u << 2)
#define E1000E_CAUSE_RXDMT0   (1u << 4)
#define E1000E_CAUSE_RXO      (1u << 6)
#define E1000E_CAUSE_RXT0     (1u << 7)
#define E1000E_CAUSE_MDAC     (1u << 9)
#define E1000E_CAUSE_RXQ0     (1u << 20)
#define E1000E_CAUSE_TXQ(n)   (1u << (22 + (n)))
#define E1000E_CAUSE_OTHER    (1u << 24)
#define E1000E_CAUSE_ASSERTED (1u << 31)
#define E1000E_CAUSES	      0x01f782d7u
/* Any of these is told of as OTHER, besides */
#define E1000E_CAUSES_OTHER (E1000E_CAUSE_LSC | E1000E_CAUSE_RXO | E1000E_CAUSE_MDAC | 0x00070000u)
/* IVAR: four bits for RXQ0, RXQ1, TXQ0, TXQ1 and OTHER */
#define E1000E_IVAR_SOURCES  5u
#define E1000E_IVAR_VALID    8u
#define E1000E_IVAR_EVERY_TX (1u << 31)
/* ITR and EITR */
#define E1000E_ITR_UNIT_NS 256u

#define E1000E_RCTL_ENABLE	     (1u << 1)
#define E1000E_RCTL_UNICAST	     (1u << 3) /* promiscuous */
#define E1000E_RCTL_MULTICAST	     (1u << 4) /* promiscuous */
#define E1000E_RCTL_LONG	     (1u << 5)
#define E1000E_RCTL_THRESHOLD(value) ((value) >> 8 & 3)
#define E1000E_RCTL_SPLIT(value)     (((value) >> 10 & 3) == 1)
#define E1000E_RCTL_HASH(value)	     ((value) >> 12 & 3)
#define E1000E_RCTL_BROADCAST	     (1u << 15)
#define E1000E_RCTL_SIZE(value)	     ((value) >> 16 & 3)
#define E1000E_RCTL_VLAN_FILTER	     (1u << 18)
#define E1000E_RCTL_SIZE_EXTENDED    (1u << 25)
#define E1000E_RCTL_STRIP_CRC	     (1u << 26)
#define E1000E_RCTL_FLEXIBLE(value)  ((value) >> 27 & 15) /* KiB */
#define E1000E_RFCTL_EXTENDED	     (1u << 15)
#define E1000E_RXCSUM_IP	     (1u << 8)
#define E1000E_RXCSUM_TRANSPORT	     (1u << 9)
#define E1000E_TCTL_ENABLE	     (1u << 1)
#define E1000E_RAH_VALID	     (1u << 31)
#define E1000E_ADDRESSES	     16u
#define E1000E_MTA_WORDS	     128u
#define E1000E_VFTA_WORDS	     128u

/* ---- transmit descriptors (7.2) ---- */

struct e1000e_tx_descriptor {
	uint64_t address; /* a context descriptor has other things here */
	uint32_t command;
	uint32_t status;
};

static_assert(sizeof(struct e1000e_tx_descriptor) == 16, "7.2.2");

#define E1000E_TX_EOP			 (1u << 24)
#define E1000E_TX_IC			 (1u << 26) /* legacy */
#define E1000E_TX_TSE			 (1u << 26) /* extended */
#define E1000E_TX_RS			 (1u << 27)
#define E1000E_TX_DEXT			 (1u << 29)
#define E1000E_TX_VLE			 (1u << 30)
#define E1000E_TX_TYPE(command)		 ((command) >> 20 & 15)
#define E1000E_TX_CONTEXT		 0u
#define E1000E_TX_DATA			 1u
#define E1000E_TX_LENGTH(command)	 ((command)&0xfffffu)
#define E1000E_TX_LEGACY_LENGTH(command) ((command)&0xffffu)
#define E1000E_TX_CSO(command)		 ((command) >> 16 & 0xff)
#define E1000E_TX_CSS(status)		 ((status) >> 8 & 0xff)
#define E1000E_TX_TAG(status)		 ((status) >> 16)
#define E1000E_TX_DONE			 1u
#define E1000E_TX_IXSM			 (1u << 8) /* in the status of a data descriptor */
#define E1000E_TX_TXSM			 (1u << 9)
#define E1000E_TX_STATUS_AT		 12u

/* A context descriptor, which is kept until the next one. */
struct e1000e_context {
	uint8_t ip_start, ip_at;
	uint16_t ip_end;
	uint8_t start, at;
	uint16_t end;
	uint32_t command; /* the payload's length in its lower 20 bits */
	uint8_t status, header_bytes;
	uint16_t segment_bytes;
};

static_assert(sizeof(struct e1000e_context) == 16, "7.2.6");

#define E1000E_CONTEXT_TCP  (1u << 24)
#define E1000E_CONTEXT_IPV4 (1u << 25)

/* ---- receive descriptors (7.1) ---- */

#define E1000E_RX_BYTES	      16u
#define E1000E_RX_SPLIT_BYTES 32u
#define E1000E_RX_BUFFERS     4u /* of a descriptor for packet split */

struct e1000e_rx_legacy {
	uint64_t address;
	uint16_t length, checksum;
	uint8_t status, errors;
	uint16_t tag;
};

/* As it is written back; also the first half of one for packet split. */
struct e1000e_rx_extended {
	uint32_t queue_and_hash_type, hash;
	uint32_t status;
	uint16_t length, tag;
};

static_assert(sizeof(struct e1000e_rx_legacy) == E1000E_RX_BYTES, "7.1.3");
static_assert(sizeof(struct e1000e_rx_extended) == E1000E_RX_BYTES, "7.1.4");

/* Status: the same bits in all kinds. Errors of a legacy one are a byte of their own. */
#define E1000E_RX_DONE		 (1u << 0)
#define E1000E_RX_EOP		 (1u << 1)
#define E1000E_RX_NO_SUM	 (1u << 2) /* checksums were not looked at */
#define E1000E_RX_VLAN		 (1u << 3)
#define E1000E_RX_UDP_SUM	 (1u << 4)
#define E1000E_RX_TCP_SUM	 (1u << 5)
#define E1000E_RX_IP_SUM	 (1u << 6)
#define E1000E_RX_ERROR		 (1u << 7)
#define E1000E_RX_ERROR_EXTENDED (1u << 31)

#endif
