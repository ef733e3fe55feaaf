/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A port of a virtual switch, and the border between models of network cards (devices/nic) and the arbiter: a
 * model includes no other header of the arbiter. A model opens a source on the worker of each transmit queue
 * and a sink on that of each receive queue.
 *
 * A frame that a source takes has been forwarded or dropped when port_send() returns: the sender's memory is
 * done with. A source that has had its share for now takes none: frames stay with their sender. Between
 * queues of one worker a frame is copied once, straight into the receiver's buffer. Otherwise, and while the
 * receiver has no buffer, it waits in the sink's own bounded memory; when that is full the frame is lost, and
 * only that receiver notices.
 */
#ifndef VIADUCT_ARBITER_SWITCH_PORT_H
#define VIADUCT_ARBITER_SWITCH_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/frame.h"

struct loop;
struct port;
struct port_sink;
struct port_source;

/* Frames that port_send() and deliver() get at most. */
#define PORT_BATCH 32u

/* ---- what a model may ask; any thread ---- */

const uint8_t *port_address(const struct port *port); /* constant */
unsigned port_mtu(const struct port *port);	      /* constant */
bool port_link(const struct port *port);

/*
 * Tells the network that the guest is behind this port now: a broadcast from its address. Control thread.
 * Returns 0 or -ENOMEM.
 */
int port_announce(struct port *port);

/* ---- frames from the guest; on the source's worker ---- */

struct port_sender {
	/* After port_send() has left frames: it is worth asking again. Calls nothing of the switch itself. */
	void (*resume)(struct port_sender *sender);
};

/* May allocate. `sender` NULL: the port has no share, or is not held to it. Returns 0 or -ENOMEM. */
int port_source_open(struct port *port, struct loop *loop, struct port_sender *sender,
		     struct port_source **ret_source);
void port_source_close(struct port_source *source);

/*
 * Takes frames, at most PORT_BATCH; what is not forwarded is counted by reason. Returns how many it took:
 * fewer than `count` when it is not their turn yet. The sender keeps the others where they came from, and is
 * called when it is to send them again.
 */
unsigned port_send(struct port_source *source, const struct frame *frames, unsigned count);
/*
 * A frame may be taken that is cut into very many: a part of them is sent then, and the rest here. To be
 * asked before frames are sent. False: not all are sent; no frames are taken until then, and the sender is
 * called when it is to ask again.
 */
bool port_source_continue(struct port_source *source);
/* The sender has no more frames for now: it gives up its place among those that take turns. */
void port_source_rest(struct port_source *source);
/* The model drops what is no frame at all: a chain without room for a header, or outside of guest memory. */
void port_send_malformed(struct port_source *source, unsigned count);

/* ---- frames to the guest; on the sink's worker ---- */

struct port_receiver {
	/*
	 * Copies frames into the guest's buffers, in order, and returns how many it took: fewer than `count`
	 * when there are no buffers; then the model calls port_sink_resume() when there are some. A frame for
	 * which no buffer is large enough counts as taken, and the model counts it.
	 */
	unsigned (*deliver)(struct port_receiver *receiver, const struct frame *frames, unsigned count);
};

/*
 * What the receiver is told it may leave undone: `abilities` (copied), whose mtu is the port's if 0. May
 * allocate. Returns 0 or -ENOMEM. Frames may come before the return.
 */
int port_sink_open(struct port *port, struct loop *loop, struct port_receiver *receiver,
		   const struct frame_abilities *abilities, struct port_sink **ret_sink);
/* Not from within deliver(). What waits is lost. */
void port_sink_close(struct port_sink *sink);

/* The receiver has buffers again: delivers what waits. Not from within deliver(). */
void port_sink_resume(struct port_sink *sink);
/* Does something wait? */
bool port_sink_waits(const struct port_sink *sink);
/* Frames that did not fit the guest's buffers. */
void port_sink_too_large(struct port_sink *sink, unsigned count);

#endif
