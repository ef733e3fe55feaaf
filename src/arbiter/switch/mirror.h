/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mirrors: copies of a port's frames for a reader, who may be slow. A port without mirrors pays one
 * comparison a batch. A worker copies a frame into the mirror's own memory and never waits: when the memory
 * is full, the copy is lost and counted, and the frame itself goes its way.
 *
 * Shown is what the port's guest sent, also what the switch refused, and what was delivered to the guest or
 * lost because it posted no buffers. Of the uplink, "sent" is what came from the physical card. Headers are
 * shown as they were checked. Payload is read once more for the mirror: a guest that changes it meanwhile has
 * something else in the mirror than in the frame.
 *
 * Functions are called on the thread of the mirror's loop, but for those that workers call.
 */
#ifndef VIADUCT_ARBITER_SWITCH_MIRROR_H
#define VIADUCT_ARBITER_SWITCH_MIRROR_H

#include <stdbool.h>
#include <stdint.h>

#include "arbiter/switch/vswitch.h"
#include "core/frame.h"

struct loop;
struct packet;
struct port_mirror;

/* Memory for frames that the reader has not taken yet. */
#define MIRROR_BYTES (4u << 20)

struct mirrored_frame {
	uint64_t time_ns; /* of the host's wall clock */
	uint64_t lost;	  /* frames that this mirror has lost until here */
	uint32_t frame_bytes;
	uint32_t kept_bytes; /* of `bytes`: all, or the first snap_bytes */
	struct frame_offload offload;
	bool sent;	     /* by the port; else to it */
	enum port_drop drop; /* PORT_DROPS: it was forwarded, or delivered */
	uint8_t bytes[];
};

struct port_mirror_options {
	uint32_t snap_bytes; /* kept of each frame; 0: all */
	struct loop *loop;   /* the reader's */
	/*
	 * On the loop: after port_mirror_next() has found nothing there is something, or the port has gone.
	 * Now and then also without a reason.
	 */
	void (*ready)(void *context);
	void *context;
};

/* ready() is called when the first frame has come. Returns 0 or -ENOMEM. */
int port_mirror_open(struct port *port, const struct port_mirror_options *options,
		     struct port_mirror **ret_mirror);
/* Frames that were not taken are gone. NULL is allowed. */
void port_mirror_close(struct port_mirror *mirror);

/* The next frame, which the reader may change until the next call; NULL: none has come yet. */
struct mirrored_frame *port_mirror_next(struct port_mirror *mirror);
/* Frames lost until now. */
uint64_t port_mirror_lost(const struct port_mirror *mirror);
/* The port does not exist any more, and all its frames were taken. */
bool port_mirror_ended(const struct port_mirror *mirror);
/* How many are open, of all readers. Any thread but workers. */
unsigned port_mirror_count(struct port *port);

/* Writes the checksum that a frame leaves to its receiver (FRAME_CSUM_NEEDED), unless a part was not kept. */
void mirrored_frame_finish(struct mirrored_frame *frame);

/* ---- for the switch; with its lock held ---- */

/* `packet`: what was read of the frame's beginning; NULL: the frame is told by its own bytes. */
void mirrors_put(struct port_mirror *mirrors, const struct frame *frame, const struct packet *packet,
		 bool sent, enum port_drop drop);
/* The port goes: its mirrors stay with their readers. */
void mirrors_end(struct port *port);

#endif
