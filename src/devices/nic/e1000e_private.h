/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the 82574 share; no other file includes this.
 *
 *   e1000e.c            the function: power, quiet, memory, and the device behind it
 *   e1000e_registers.c  registers, and what a write to one of them begins
 *   e1000e_phy.c        the PHY and its link; the NVM
 *   e1000e_interrupts.c causes, masks, and when an interrupt is sent
 *   e1000e_ring.c       descriptors in the guest's memory
 *   e1000e_transmit.c   descriptors to frames
 *   e1000e_offload.c    of these, what the driver leaves to the card
 *   e1000e_receive.c    frames to descriptors
 *   e1000e_filter.c     of these, which frames the driver wants
 *   e1000e_handover.c   takeover
 */
#ifndef VIADUCT_DEVICES_NIC_E1000E_PRIVATE_H
#define VIADUCT_DEVICES_NIC_E1000E_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "arbiter/switch/port.h"
#include "core/guest_memory.h"
#include "core/loop.h"
#include "core/loop_account.h"
#include "devices/nic/e1000e.h"
#include "devices/nic/e1000e_format.h"

#define E1000E_VECTORS	     5u
#define E1000E_TX_QUEUES     2u
#define E1000E_PHY_REGISTERS 32u
/* Of the frame that the driver sends: all headers, and room for a tag (HDRLEN is a byte) */
#define E1000E_HEAD_BYTES 256u
#define E1000E_TAG_BYTES  4u
/* The longest frame on the wire with its FCS, without and with LPE (10.2.5.1) */
#define E1000E_FRAME_BYTES	1522u
#define E1000E_LONG_FRAME_BYTES 16384u
#define E1000E_CRC_BYTES	4u
/* A frame of 16 KiB in the smallest buffers */
#define E1000E_RX_FRAME_DESCRIPTORS (E1000E_LONG_FRAME_BYTES / 256u)
/* A buffer may lie in two regions of memory */
#define E1000E_RX_PIECES (2 * E1000E_RX_BUFFERS * E1000E_RX_FRAME_DESCRIPTORS)

enum e1000e_violation {
	E1000E_VIOLATION_RING,		  /* a head or tail behind the ring's end */
	E1000E_VIOLATION_RING_MEMORY,	  /* a ring outside of the guest's memory */
	E1000E_VIOLATION_DESCRIPTOR,	  /* a frame of too many descriptors or bytes, or of too few */
	E1000E_VIOLATION_TRANSMIT_BUFFER, /* a frame outside of the guest's memory */
	E1000E_VIOLATION_OFFLOAD,	  /* a context that does not fit the frame */
	E1000E_VIOLATION_RECEIVE_BUFFER,  /* a buffer outside of the guest's memory */
};

struct e1000e_device {
	struct port *port;
};

/* A ring as its registers say, found in the guest's memory for the moment. */
struct e1000e_ring {
	uint8_t *base;
	uint32_t entries, entry_bytes;
	uint32_t head, tail;
};

/* Where a transmit queue is, besides its registers. */
struct e1000e_tx_state {
	struct e1000e_context context;
	bool skipping; /* descriptors of a frame that was given up, up to its last */
};

/* What the driver leaves to the card, of one frame. */
struct e1000e_wish {
	uint32_t first_command, first_status; /* of its first descriptor */
	uint32_t last_command, last_status;
};

/* One step through a transmit ring. */
struct e1000e_step {
	struct e1000e_tx_state behind; /* the queue's state behind it */
	uint32_t head;		       /* the ring's head behind it */
	bool sends;		       /* the frame; else there is none */
	bool malformed;
	struct frame frame;
	struct e1000e_wish wish;
	struct iovec iov[FRAME_IOV_MAX];
	uint8_t bytes[E1000E_HEAD_BYTES];
};

struct e1000e_function {
	struct e1000e_device *device;
	struct register_bus *bus;
	struct port_source *source;
	struct port_sender sender;
	struct port_sink *sink;
	struct port_receiver receiver;
	struct loop_poller poller;
	const unsigned *held; /* loop_blame_flag() */

	/* By offset / 4. Those that are computed, or that no driver may write, are 0. */
	uint32_t registers[E1000E_REGISTERS_END / 4];
	uint32_t io_address;
	uint16_t phy[E1000E_PHY_REGISTERS];
	uint16_t nvm[E1000E_NVM_WORDS];
	bool link; /* as the driver was told */

	struct e1000e_tx_state tx[E1000E_TX_QUEUES];
	bool waits_tail[E1000E_TX_QUEUES]; /* the rest of a frame, until the driver writes it */
	unsigned next_tx;		   /* whose turn it is */
	bool waits_turn;		   /* until sender.resume() */
	bool asks;			   /* it was called: the source may have something to go on with */
	bool waits_buffer;		   /* frames, until the driver posts buffers */
	bool looks;			   /* it may have: they are looked for once more */

	uint32_t due;			  /* vectors with an interrupt that is not sent; bit 0 is the pin */
	uint64_t next_ns[E1000E_VECTORS]; /* not before */
	struct loop_task interrupt_task;
	struct loop_timer interrupt_timer;

	bool quiescing, frozen;

	struct e1000e_step steps[PORT_BATCH];
	struct iovec pieces[E1000E_RX_PIECES];
};

static inline uint32_t *e1000e_register(struct e1000e_function *function, uint32_t offset)
{
	return &function->registers[offset / 4];
}

static inline uint32_t e1000e_value(const struct e1000e_function *function, uint32_t offset)
{
	return function->registers[offset / 4];
}

static inline void e1000e_violate(struct e1000e_function *function, enum e1000e_violation kind,
				  uint64_t value)
{
	function->bus->ops->violated(function->bus, kind, value);
}

static inline bool e1000e_is_still(const struct e1000e_function *function)
{
	return function->quiescing || function->frozen;
}

/* ---- e1000e.c ---- */

/* There may be something to send, or buffers for what waits. */
void e1000e_wake(struct e1000e_function *function);

/* ---- e1000e_registers.c ---- */

uint64_t e1000e_read(void *opaque, unsigned bar, uint32_t offset, unsigned bytes);
void e1000e_write(void *opaque, unsigned bar, uint32_t offset, unsigned bytes, uint64_t value);
/* The values after power-on. */
void e1000e_registers_init(struct e1000e_function *function);
/* The same under a driver, which gives up what it had begun. PHY and NVM stay as they are. */
void e1000e_registers_reset(struct e1000e_function *function);
/* The bits of a register that may be set in function->registers. */
uint32_t e1000e_stored(uint32_t offset);
/* One more frame of so many bytes, each way. */
void e1000e_count_sent(struct e1000e_function *function, uint32_t bytes);
void e1000e_count_received(struct e1000e_function *function, const uint8_t *destination, uint32_t bytes);
void e1000e_count(struct e1000e_function *function, uint32_t offset);

/* ---- e1000e_phy.c ---- */

void e1000e_phy_reset(struct e1000e_function *function);
void e1000e_nvm_init(struct e1000e_function *function);
/* Returns what MDIC reads as from now on. */
uint32_t e1000e_phy_access(struct e1000e_function *function, uint32_t mdic);
uint32_t e1000e_nvm_access(const struct e1000e_function *function, uint32_t eerd);
/* Tells the driver if the link is not what it was. */
void e1000e_link_check(struct e1000e_function *function);

/* ---- e1000e_interrupts.c ---- */

void e1000e_cause(struct e1000e_function *function, uint32_t causes);
uint32_t e1000e_icr_read(struct e1000e_function *function);
void e1000e_icr_clear(struct e1000e_function *function, uint32_t causes);
void e1000e_mask_set(struct e1000e_function *function, uint32_t causes);
void e1000e_mask_clear(struct e1000e_function *function, uint32_t causes);
/* What was due may not have been told of, or by another way. */
void e1000e_interrupts_again(struct e1000e_function *function);
/* Nothing is sent any more; what is due stays so. */
void e1000e_interrupts_stop(struct e1000e_function *function);
/* Nothing is due any more, either. */
void e1000e_interrupts_forget(struct e1000e_function *function);
/* As loop_task and loop_timer have them. */
void e1000e_interrupt(struct loop_task *task);
void e1000e_interrupt_later(struct loop_timer *timer);

/* ---- e1000e_ring.c ---- */

/* The ring of the queue whose registers begin at `queue`. False: none that could be used. */
bool e1000e_ring_find(const struct e1000e_function *function, uint32_t queue, uint32_t entry_bytes,
		      struct e1000e_ring *ret_ring);
/*
 * What the head's register is to say. Registers count in units of 16 bytes, of which a descriptor for packet
 * split takes two.
 */
uint32_t e1000e_ring_head(const struct e1000e_ring *ring);
/* Tells of a rule that the driver broke, if it did. */
void e1000e_ring_check(struct e1000e_function *function, uint32_t queue);
static inline uint32_t e1000e_ring_next(const struct e1000e_ring *ring, uint32_t index)
{
	return index + 1 == ring->entries ? 0 : index + 1;
}
/* Descriptors from the head to the tail: those that are the card's. */
static inline uint32_t e1000e_ring_filled(const struct e1000e_ring *ring)
{
	return ring->tail >= ring->head ? ring->tail - ring->head : ring->tail + ring->entries - ring->head;
}
void e1000e_ring_read(const struct e1000e_ring *ring, uint32_t index, void *descriptor, size_t bytes);
/* The driver wants to know that this transmit descriptor is done with. Returns whether it did. */
bool e1000e_ring_sent(const struct e1000e_ring *ring, uint32_t index);
/* Writes a receive descriptor back. */
void e1000e_ring_received(const struct e1000e_ring *ring, uint32_t index,
			  const struct e1000e_rx_legacy *descriptor);
/* `lengths`: of the buffers behind the first, NULL unless it is one for packet split. */
void e1000e_ring_received_extended(const struct e1000e_ring *ring, uint32_t index,
				   const struct e1000e_rx_extended *descriptor, const uint16_t *lengths);

/* ---- e1000e_transmit.c, e1000e_offload.c ---- */

/* Sends what one turn allows; returns whether there was something. */
bool e1000e_transmit(struct e1000e_function *function);
/* Is there something to send, and may it be sent? */
bool e1000e_can_transmit(const struct e1000e_function *function);
/* As port_sender has it. */
void e1000e_sender_resume(struct port_sender *sender);
/*
 * Makes the frame of a step ask for what the driver wishes, perhaps with a head of its own. False: it cannot
 * be done. There is room for one more iovec.
 */
bool e1000e_offload(const struct e1000e_function *function, struct e1000e_step *step);

/* ---- e1000e_receive.c, e1000e_filter.c ---- */

/* As port_receiver has it. */
unsigned e1000e_deliver(struct port_receiver *receiver, const struct frame *frames, unsigned count);
#define E1000E_NO_TAG (-1)
/* `tag`: the frame's, or E1000E_NO_TAG. */
bool e1000e_wants(const struct e1000e_function *function, const uint8_t *destination, int tag);

/* ---- e1000e_handover.c ---- */

void e1000e_save(const void *opaque, struct handover *handover);
void e1000e_restore(void *opaque, struct handover *handover);

#endif
