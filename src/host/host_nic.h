/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A physical network card, or what stands in for one: the interface its drivers implement (nic_tap.c,
 * nic_packet.c, nic_user.c, nic_vxlan.c; nic_memory.c is the twin for tests) and the arbiter calls.
 *
 * A host_nic is shared by all threads; each worker that sends or receives opens a channel of its own, up to
 * nic->channels. Frames are copied before send() returns; those that come are lent to input() for the call.
 */
#ifndef VIADUCT_HOST_HOST_NIC_H
#define VIADUCT_HOST_HOST_NIC_H

#include <stdbool.h>
#include <stddef.h>
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

/* Written by all channels' workers, through nic_count() (nic_offload.h); read by anyone. */
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
	uint64_t bandwidth;		      /* bytes a second, when it was opened; 0: unknown */
	bool up;			      /* atomic: there is a link */
	int missing; /* atomic: 0, or why there is no interface at present, which is looked for: -errno */
	struct host_nic_counters counters;
};

struct host_nic_channel {
	const struct host_nic_ops *ops;
	struct host_nic *nic;
};

/* ---- nic_tap.c: an interface of the kernel whose other end is ours ---- */

#define NIC_NAME_BYTES 16 /* of an interface, with the final zero */

struct nic_tap_options {
	const char *name;  /* NULL or "": the kernel chooses one; not used with fd */
	int fd;		   /* >= 0: a tap that was handed over; -1: none */
	unsigned channels; /* 0: one */
	/*
	 * Frames pass in either direction with checksums to fill in and segments to cut, and the kernel does
	 * it for those of its receivers who need it. Without, neither the kernel nor send() has such frames.
	 */
	bool offload;
};

/*
 * Makes the interface and sets it up, or takes one that is there and leaves its state as it is. With fd,
 * which has IFF_TAP, IFF_NO_PI and IFF_VNET_HDR, and IFF_MULTI_QUEUE for more than one channel: takes the fd
 * on success. One that is not persistent is made again when it is deleted; for another one the NIC waits.
 * Lost frames (overrun) are counted by the interface only, as dropped.
 *
 * Returns 0 and *ret_nic (closed with ops->close), or -errno: -EINVAL (name too long; too many channels; an
 * interface or fd of another kind), -EPERM (no right to make it), -EBUSY (another program has it), -ENODEV
 * (fd is tied to no interface; no /dev/net/tun), as open(2) otherwise.
 */
int nic_tap_open(const struct nic_tap_options *options, struct host_nic **ret_nic);

/* The interface's name at present. Any thread. */
void nic_tap_name(struct host_nic *nic, char name[NIC_NAME_BYTES]);

/* ---- nic_packet.c: an interface that the host has, a physical card for one ---- */

struct nic_packet_options {
	const char *name;  /* of the interface, which carries Ethernet */
	unsigned channels; /* 0: one */
	int fd;		   /* >= 0: of nic_packet_socket(); -1: one is made */
};

/*
 * A socket for nic_packet_open() later, when there may be no right to make one; it gets no frames. Returns
 * the descriptor, which is the caller's, or -errno as socket(2).
 */
int nic_packet_socket(void);

/*
 * The host keeps the interface and its own addresses on it; the NIC gets a copy of every frame that comes in,
 * whomever it is for, and none of those that the host sends. The interface's state, address and MTU are left
 * as they are. When it disappears, the NIC waits for one of the same name. Opening a NIC without fd needs
 * CAP_NET_RAW; with several channels, so do waiting and opening a channel again. No descriptors are handed
 * over. With fd: takes it on success.
 *
 * Returns 0 and *ret_nic (closed with ops->close), or -errno: -EINVAL (name too long; too many channels; not
 * Ethernet), -ENODEV (no such interface), -EPERM (no right to packet sockets), as socket(2) otherwise.
 */
int nic_packet_open(const struct nic_packet_options *options, struct host_nic **ret_nic);

/* ---- nic_memory.c: the in-memory twin ---- */

struct nic_memory_options {
	uint8_t address[FRAME_ADDRESS_BYTES];
	struct frame_abilities sends; /* mtu 0: 1500 */
	unsigned channels;	      /* 0: one */
	/* Frames that wait to be taken, and for each channel those that wait for input(); 0: 256 */
	unsigned room;
};

/*
 * There is a link at first. A frame that needs more than options->sends says is the caller's mistake, and is
 * asserted. Returns 0 and *ret_nic (closed with ops->close), or -errno: -EINVAL (more than 4096 frames of
 * room, more than 64 channels, an MTU below 68), -ENOMEM.
 */
int nic_memory_open(const struct nic_memory_options *options, struct host_nic **ret_nic);

/*
 * A frame comes from the wire for channel `index` (one that opens gets the lowest that is free); `offload`
 * NULL: nothing is left to do for it. Any thread. Returns 0 or -errno: -ENODEV (no link), -ENOTCONN (no such
 * channel is open), -ENOBUFS (no room: counted as overrun), -EINVAL (counted as malformed).
 */
int nic_memory_inject(struct host_nic *nic, unsigned index, const void *bytes, size_t byte_count,
		      const struct frame_offload *offload);

/*
 * Takes the oldest frame that was sent, and makes room for another. Copies `buffer_bytes` of it at most, and
 * its offload header unless `ret_offload` is NULL. Any thread. Returns its length, 0 when there is none.
 */
size_t nic_memory_take(struct host_nic *nic, void *buffer, size_t buffer_bytes,
		       struct frame_offload *ret_offload);

/* Plugs the cable in or out. Any thread. */
void nic_memory_link(struct host_nic *nic, bool up);

/*
 * From now on at most so many sent frames wait to be taken (0: send() takes none), and at most what was said
 * at opening. Any thread.
 */
void nic_memory_room(struct host_nic *nic, unsigned frames);

#endif
