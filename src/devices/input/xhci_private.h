/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the USB input device share; no other file includes this.
 *
 *   usb_input.c      the device: reports on their way from the seat to the function
 *   xhci.c           the function: power, quiet, memory, and its turns
 *   xhci_registers.c registers, and the life of the controller that they steer
 *   xhci_port.c      the two ports of the root hub
 *   xhci_interrupt.c of events to the driver
 *   xhci_ring.c      TRB rings and contexts in the guest's memory
 *   xhci_event.c     the event ring
 *   xhci_command.c   commands, about slots and endpoints
 *   xhci_context.c   of these, the ones that read contexts
 *   xhci_transfer.c  transfers of the two endpoints
 *   xhci_handover.c  takeover
 *   hid_….c          the device that is plugged in
 *
 * Registers only note what is to be done. All that touches the guest's memory is done in turns of the
 * poller, one TRB at a time, and only while the event ring has room for what it tells.
 */
#ifndef VIADUCT_DEVICES_INPUT_XHCI_PRIVATE_H
#define VIADUCT_DEVICES_INPUT_XHCI_PRIVATE_H

#include <pthread.h>
#include <string.h>

#include "core/loop.h"
#include "devices/input/hid_device.h"
#include "devices/input/input_reports.h"
#include "devices/input/usb_input.h"
#include "devices/input/xhci_format.h"

#define XHCI_SLOTS 8u
/* One of USB 2, with the device, and an empty one of USB 3: some drivers want both. */
#define XHCI_PORT_COUNT	 2u
#define XHCI_DEVICE_PORT 1u
/* Segments of the event ring: 2 to the power of HCSPARAMS2.ERST Max. */
#define XHCI_SEGMENTS_SHIFT 4u
#define XHCI_SEGMENTS_MAX   (1u << XHCI_SEGMENTS_SHIFT)
/* The most that one step tells of: a transfer that stops, and the command that stopped it. */
#define XHCI_STEP_EVENTS 2u
/* Of the input context, up to the last endpoint that there is: control, slot, 1 to 3. */
#define XHCI_INPUT_CONTEXTS 5u

enum xhci_violation {
	XHCI_VIOLATION_DOORBELL,    /* rung for a slot or an endpoint that there is not */
	XHCI_VIOLATION_EVENT_RING,  /* a segment table that cannot be */
	XHCI_VIOLATION_RING_MEMORY, /* a ring or a buffer outside of the guest's memory */
	XHCI_VIOLATION_RING_LINKS,  /* a ring of links only */
};

struct xhci_function;

/* What is shared with the seat is under the lock. */
struct usb_input {
	struct usb_input_options options;
	pthread_mutex_t lock;
	struct input_reports reports;
	bool is_heard; /* the driver has configured the device */
	struct xhci_function *function;
	struct loop *loop; /* its worker; NULL: it is at none */
	struct loop_message message;
	struct loop *rung_at; /* where the message is on its way; NULL: nowhere */
	bool destroyed;
};

/* Where a ring is consumed (4.9.2). */
struct xhci_ring {
	uint64_t dequeue;
	bool cycle;
	bool rung; /* there may be more in it */
};

struct xhci_endpoint {
	enum xhci_endpoint_state state;
	struct xhci_ring ring;
	uint32_t words[XHCI_CONTEXT_WORDS]; /* the context; state and ring are put in when it is written */
	bool stale;			    /* the driver's context has not got this state */
	/* The TD under way (4.10). */
	bool in_td;
	bool is_short, reported; /* it ended early; the driver was told of its end */
	uint32_t transferred;	 /* EDTLA (4.11.5.2) */
	/* A report on its way. */
	uint8_t packet[HID_REPORT_BYTES_MAX];
	uint8_t packet_bytes, packet_at;
};

/* The control transfer under way. */
struct xhci_control {
	bool has_setup, refused;
	struct usb_setup setup;
	uint8_t data[HID_ANSWER_BYTES_MAX]; /* the answer; or what came, its beginning */
	uint32_t bytes, at;		    /* so many are to be, and have been, transferred */
};

struct xhci_slot {
	bool enabled;
	enum xhci_slot_state state;
	uint64_t context; /* the device context's address */
	uint32_t words[XHCI_CONTEXT_WORDS];
	struct xhci_endpoint endpoint[2]; /* control, interrupt */
};

struct xhci_port {
	uint32_t sc, pmsc, hlpmc;
	bool event_due;
};

struct xhci_event_ring {
	uint32_t table_entries; /* ERSTSZ */
	uint64_t table, dequeue; /* ERSTBA, ERDP */
	/* As the table was when it was read; positions count from its first segment's beginning. */
	unsigned segments; /* 0: it was not read */
	struct xhci_segment segment[XHCI_SEGMENTS_MAX];
	uint32_t trbs, enqueue;
	bool cycle;
	bool told_full; /* since the driver consumed anything */
	bool blocked;	/* no room: until a register of it is written */
};

struct xhci_function {
	struct usb_input *device;
	struct register_bus *bus;
	struct loop_poller poller;
	struct loop_task interrupt_task;

	uint32_t usbcmd, usbsts, dnctrl, config;
	uint64_t dcbaap;
	uint32_t iman, imod;
	uint64_t started_ns; /* when MFINDEX was 0 */
	struct xhci_port port[XHCI_PORT_COUNT];
	struct xhci_event_ring events;

	struct xhci_ring commands;
	bool commands_run, commands_stop; /* CRR; it is to be stopped */
	bool crcr_closed;		  /* the upper half of a CRCR that was no new ring's */

	struct xhci_slot slot[XHCI_SLOTS]; /* from slot 1 on */
	unsigned device_slot;		   /* whose device it is; 0: it has no address */
	struct xhci_control control;
	struct hid_device hid;

	bool quiescing, frozen;
	void (*quiet)(void *context);
	void *quiet_context;
};

static inline void xhci_violate(struct xhci_function *function, enum xhci_violation kind, uint64_t value)
{
	function->bus->ops->violated(function->bus, kind, value);
}

static inline bool xhci_runs(const struct xhci_function *function)
{
	return function->usbcmd & XHCI_CMD_RUN && !(function->usbsts & XHCI_STS_CONTROLLER_ERROR);
}

static inline struct xhci_endpoint *xhci_endpoint_of(struct xhci_slot *slot, unsigned dci)
{
	return &slot->endpoint[dci == XHCI_DCI_CONTROL ? 0 : 1];
}

/* ---- usb_input.c ---- */

/* The function comes to a worker; NULL: it leaves it. */
void usb_input_set_loop(struct usb_input *device, struct xhci_function *function, struct loop *loop);
/* A driver hears of what is reported from now on, or no longer. */
void usb_input_set_heard(struct usb_input *device, bool is_heard);
/* Is there a report for the driver? */
bool usb_input_has_report(struct usb_input *device);
/* Takes the oldest report, and notes it. There is one. */
void usb_input_take_report(struct usb_input *device, struct hid_device *hid);
void usb_input_save(struct usb_input *device, struct handover *handover);
void usb_input_restore(struct usb_input *device, struct handover *handover);

/* ---- xhci.c ---- */

/* There may be something to do. */
void xhci_wake(struct xhci_function *function);
void xhci_check_quiet(struct xhci_function *function);
/* Whether the driver hears of reports may have changed. */
void xhci_update_heard(struct xhci_function *function);
/* Looks at all rings that run. */
void xhci_look_again(struct xhci_function *function);

/* ---- xhci_registers.c ---- */

uint64_t xhci_read(void *opaque, unsigned bar, uint32_t offset, unsigned bytes);
void xhci_write(void *opaque, unsigned bar, uint32_t offset, unsigned bytes, uint64_t value);
/* As after power-on. */
void xhci_registers_reset(struct xhci_function *function);

/* ---- xhci_port.c ---- */

void xhci_ports_reset(struct xhci_function *function);
uint32_t xhci_port_read(const struct xhci_function *function, uint32_t offset);
void xhci_port_write(struct xhci_function *function, uint32_t offset, uint32_t value);
/* The device's port is enabled, and not suspended. */
bool xhci_port_is_active(const struct xhci_function *function);
/* A report waits: a device that may do so wakes its host. */
void xhci_port_wake(struct xhci_function *function);
/* Tells of a port that has changed; false: of none, or there is no room. */
bool xhci_port_step(struct xhci_function *function);
bool xhci_port_has_step(const struct xhci_function *function);

/* ---- xhci_interrupt.c ---- */

/* Something was put into the event ring. */
void xhci_interrupt_news(struct xhci_function *function);
void xhci_interrupt(struct loop_task *task);
/* Whether the interrupter may interrupt has changed. */
void xhci_interrupt_refresh(struct xhci_function *function);
/* Tells once more, of what may not have been told. */
void xhci_interrupt_again(struct xhci_function *function);

/* ---- xhci_ring.c ---- */

/* All of it, in memory that there is; or false. */
bool xhci_memory_read(const struct xhci_function *function, uint64_t address, void *buffer, size_t bytes);
bool xhci_memory_write(const struct xhci_function *function, uint64_t address, const void *from,
		       size_t bytes);
bool xhci_memory_holds(const struct xhci_function *function, uint64_t address, size_t bytes);
/* A ring or a buffer is not in memory: a violation, if there is any memory. */
void xhci_memory_missed(struct xhci_function *function, uint64_t address);
/* Writes a TRB so that its driver finds all of it. */
void xhci_trb_publish(const struct xhci_function *function, uint64_t address, const struct xhci_trb *trb);
/* The TRB that is next, behind links; false: there is none, and the ring waits to be rung. */
bool xhci_ring_peek(struct xhci_function *function, struct xhci_ring *ring, struct xhci_trb *ret_trb);
static inline void xhci_ring_advance(struct xhci_ring *ring)
{
	ring->dequeue += XHCI_TRB_BYTES;
}
/* Copies into the driver's device context what is kept here. */
bool xhci_slot_write(const struct xhci_function *function, const struct xhci_slot *slot);
bool xhci_endpoint_write(const struct xhci_function *function, const struct xhci_slot *slot, unsigned dci);
void xhci_endpoint_set(const struct xhci_function *function, struct xhci_slot *slot, unsigned dci,
		       enum xhci_endpoint_state state);

/* ---- xhci_event.c ---- */

/* Can it be a part of an event ring? */
bool xhci_segment_is_sound(const struct xhci_segment *segment);
/* Is there room for so many events, at most XHCI_STEP_EVENTS? If not, it is blocked. */
bool xhci_events_fit(struct xhci_function *function, unsigned count);
/* It fits. */
void xhci_event_put(struct xhci_function *function, const struct xhci_trb *event, bool interrupts);
/* Has the driver events to consume? */
bool xhci_events_unread(const struct xhci_function *function);
/* Its registers were written. */
void xhci_events_restart(struct xhci_function *function);
void xhci_events_consumed(struct xhci_function *function, uint32_t erdp_low);

/* ---- xhci_command.c, xhci_context.c ---- */

/* The next command, or its ring's stop; false: none, or there is no room. */
bool xhci_command_step(struct xhci_function *function);
bool xhci_command_has_step(const struct xhci_function *function);
void xhci_slot_disable(struct xhci_function *function, unsigned id);

enum xhci_code xhci_address_device(struct xhci_function *function, const struct xhci_trb *command,
				   unsigned id);
enum xhci_code xhci_configure_endpoint(struct xhci_function *function, const struct xhci_trb *command,
				       struct xhci_slot *slot);
enum xhci_code xhci_evaluate_context(struct xhci_function *function, const struct xhci_trb *command,
				     struct xhci_slot *slot);

/* ---- xhci_transfer.c ---- */

/* A doorbell of a slot. */
void xhci_transfer_ring(struct xhci_function *function, unsigned slot, uint32_t value);
/* The next TRB of any endpoint; false: none, or there is no room. */
bool xhci_transfer_step(struct xhci_function *function);
bool xhci_transfer_has_step(const struct xhci_function *function);
/* Its TD is given up: the ring goes on elsewhere. */
void xhci_transfer_forget(struct xhci_function *function, struct xhci_endpoint *endpoint);

/* ---- xhci_handover.c ---- */

void xhci_save(const void *opaque, struct handover *handover);
void xhci_restore(void *opaque, struct handover *handover);

#endif
