/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A physical network card, or what stands in for one: the interface its drivers implement (nic_tap.c,
 * nic_packet.c, nic_user.c; nic_memory.c is the twin for tests) and the arbiter calls.
 *
 * A host_nic is shared by all threads; each worker that sends or receives opens a channel of its own, up to
 * nic->channels. Frames are copied before send() returns; those that come are lent to input() for the call.
 */
#ifndef VIADUCT_HOST_HOST_NIC_H
#define VIADUCT_HOST_HOST_NIC_H

#include <stdbool.h>
#include <stdint.h>

#include "core/frame.h"
#include "core/stats.h"

struct loop;
struct host_nic;
struct host_nic_channel;

/* Implemented by the owner of a channel; called on the channel's worker, not from within send(). */
struct host_nic_receiver {
	/* `count` frames came, at most 64 at a time. */
	void (*input)(struct host_nic_receiver *receiver, const struct frame *frames, unsigned count);
	/* send() took fewer frames than it was given, and takes some again. */
	void (*writable)(struct host_nic_receiver *receiver);
	/* nic->up has changed. */
	void (*link)(struct host_nic_receiver *receiver);
};

struct host_nic_ops {
	const char *name; /* "tap" */
	/*
	 * Worker thread, may allocate. Returns 0 or -errno: -EMFILE: all of nic->channels are open. Frames
	 * may come as soon as the loop turns.
	 */
	int (*channel_open)(struct host_nic *nic, struct loop *loop, struct host_nic_receiver *receiver,
			    struct host_nic_channel **ret_channel);
	/* Worker thread, not from within input(). */
	void (*channel_close)(struct host_nic_channel *channel);
	/*
	 * Worker thread; never blocks. Takes frames in order, and returns how many: fewer than `count` when
	 * there is no room, then writable() follows. A frame that the device refuses (no link, too large)
	 * counts as taken and in nic->counters. The frames need no more than nic->sends says.
	 */
	unsigned (*send)(struct host_nic_channel *channel, const struct frame *frames, unsigned count);
	/*
	 * The descriptor of channel `index`, to hand over to a successor; it stays the NIC's. -1: there is
	 * none. Any thread, while no channel is being opened or closed.
	 */
	int (*channel_fd)(const struct host_nic *nic, unsigned index);
	/* Control thread; no channel is open. */
	void (*close)(struct host_nic *nic);
};

/* Written by workers, read by anyone. */
struct host_nic_counters {
	struct counter sent, sent_bytes, received, received_bytes;
	struct counter no_link; /* frames to send while there was no link */
	struct counter refused; /* frames that the device or the kernel did not want */
	/* Received frames that were lost below us, as far as the kernel tells */
	struct counter overrun;
	/* Received frames that are none: too short, too long, a broken offload header */
	struct counter malformed;
};

/* First member of every driver's NIC. */
struct host_nic {
	const struct host_nic_ops *ops;
	unsigned channels;		      /* at most so many at a time */
	uint8_t address[FRAME_ADDRESS_BYTES]; /* its own; all zero: it has none */
	struct frame_abilities sends;	      /* what send() takes */
	bool up;			      /* atomic: there is a link */
	struct host_nic_counters counters;
};

struct host_nic_channel {
	const struct host_nic_ops *ops;
	struct host_nic *nic;
};

#endif
