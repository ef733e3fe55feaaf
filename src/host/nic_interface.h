/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A NIC that is an interface of the kernel: what its two drivers, nic_tap.c and nic_packet.c, have in common.
 *
 * Theory of operation. Everything that needs rights is opened with the NIC: a descriptor for each channel,
 * and beside it a socket that hears of changes of interfaces (rtnetlink). A channel watches both on its
 * worker. When anything changes, it asks its driver to attach the descriptor: the driver looks whether the
 * interface is there and has a link, and ties the descriptor to the interface again when that was gone. While
 * there is none, the channel asks once a second, too.
 *
 * Frames are read until the kernel has none, at most NIC_BATCH_MAX in a turn of the loop. A watch costs
 * nothing while no frame comes, and under load one completion a turn; a poller would cost a system call in
 * every turn of a worker that is busy with its guests.
 */
#ifndef VIADUCT_HOST_NIC_INTERFACE_H
#define VIADUCT_HOST_NIC_INTERFACE_H

#include <net/if.h>
#include <pthread.h>

#include "core/log.h"
#include "core/loop.h"
#include "host/host_nic.h"
#include "host/nic_offload.h"

#define NIC_CHANNELS_MAX 64u

/*
 * The offload header, the largest frame, and a byte that only a frame which is too large has. A multiple of a
 * cache line, but not of a page: beginnings of frames would compete for the same lines of the cache.
 */
#define NIC_BUFFER_BYTES 65600u

static_assert(NIC_BUFFER_BYTES > FRAME_OFFLOAD_WIRE_BYTES + FRAME_BYTES_MAX && NIC_BUFFER_BYTES % 64 == 0 &&
		      NIC_BUFFER_BYTES % 4096 != 0,
	      "as said above");

struct nic_interface;
struct nic_channel;

/* What a channel has of the NIC for good. Under the NIC's lock. */
struct nic_slot {
	int fd;		   /* frames; owned; -1: none at present */
	int events_fd;	   /* rtnetlink, also for questions about the interface; owned */
	unsigned attached; /* how often fd has been tied to an interface */
	bool open;
	int group_index; /* packet: the interface of the group that fd is in; 0: of none */
};

struct nic_interface_kind {
	size_t channel_bytes; /* of the driver's struct around struct nic_channel */
	/*
	 * Sees to it that slot->fd is tied to the interface; slot->attached counts up when it was not. With
	 * the lock held. May wait for the kernel when there was something to do. Returns 1: there is a link;
	 * 0: there is none; -errno: there is no interface (-ENODEV), or it cannot be tied to.
	 */
	int (*attach)(struct nic_interface *nic, struct nic_slot *slot);
	/* The channel is closed: the kernel is to send no more frames its way. With the lock held. */
	void (*detach)(struct nic_interface *nic, struct nic_slot *slot);
	/* Before the first frame; the struct is zeroed but for what struct nic_channel says. May be NULL. */
	void (*prepare)(struct nic_channel *channel);
	/*
	 * Reads at most NIC_BATCH_MAX frames and hands each on by nic_channel_add(). Returns false when the
	 * kernel had no more.
	 */
	bool (*receive)(struct nic_channel *channel);
};

struct nic_interface {
	struct host_nic base;
	const struct nic_interface_kind *kind;
	struct log_subject subject; /* named at opening, only read afterwards */
	pthread_mutex_t lock;	    /* of names and slots; the data path never takes it */
	char name[IFNAMSIZ];
	struct nic_slot slots[NIC_CHANNELS_MAX];
};

struct nic_channel {
	struct host_nic_channel base;
	struct nic_interface *nic;
	struct nic_slot *slot;
	struct loop *loop;
	struct host_nic_receiver *receiver;
	int fd;		   /* the slot's, as attached */
	unsigned attached; /* slot->attached that the watches belong to */
	int missing;	   /* 0, or why there is no interface: -errno */
	bool up;	   /* what link() was called for last */

	struct loop_watch events_watch, input_watch;
	struct loop_task input_task;   /* reads a batch */
	struct loop_timer retry_timer; /* while there is no interface */

	bool waiting;		      /* for room */
	struct loop_watch room_watch; /* runs only while waiting: each frame that is sent would wake it */
	struct loop_timer room_timer;
	struct loop_task room_task;
	bool refused_once;	    /* the frame at the head, by ENOBUFS, and has waited */
	uint64_t distrust_until_ns; /* until then ENOBUFS is believed to be about the frame */

	uint8_t *buffers; /* NIC_BATCH_MAX of NIC_BUFFER_BYTES; pages are used as frames need them */
	struct frame frames[NIC_BATCH_MAX];
	struct iovec frame_iov[NIC_BATCH_MAX];
	unsigned frame_count;
	uint64_t frame_bytes;
};

/* ---- nic_interface.c: control path ---- */

/*
 * `nic` is zeroed. Sets all but the name, slots' fds (-1) and what the NIC sends. Returns 0 or -errno;
 * finish() is called in either case.
 */
int nic_interface_init(struct nic_interface *nic, const struct host_nic_ops *ops,
		       const struct nic_interface_kind *kind, unsigned channels);
/* Closes the slots' descriptors. */
void nic_interface_finish(struct nic_interface *nic);

/* A name of the right length; returns 0 or -EINVAL. */
int nic_interface_set_name(struct nic_interface *nic, const char *name);

/* Of the interface of that name. Each returns -ENODEV when there is none, or another -errno. */
int nic_interface_index(const struct nic_interface *nic);
int nic_interface_link(const struct nic_interface *nic); /* 1: is up and has a link, 0: not */
int nic_interface_mtu(const struct nic_interface *nic);	 /* cut at 65535 */
/* Bytes a second, as the interface says that it has; 0: it does not say. */
uint64_t nic_interface_bandwidth(const struct nic_interface *nic);
int nic_interface_address(const struct nic_interface *nic, uint8_t address[FRAME_ADDRESS_BYTES]);
int nic_interface_set_mtu(const struct nic_interface *nic, unsigned mtu);
int nic_interface_set_address(const struct nic_interface *nic, const uint8_t address[FRAME_ADDRESS_BYTES]);
int nic_interface_set_up(const struct nic_interface *nic);

/* ---- nic_channel.c: a channel on its worker ---- */

/* For the ops tables of both. */
int nic_channel_open(struct host_nic *nic, struct loop *loop, struct host_nic_receiver *receiver,
		     struct host_nic_channel **ret_channel);
void nic_channel_close(struct host_nic_channel *channel);

static inline uint8_t *nic_channel_buffer(struct nic_channel *channel, unsigned index)
{
	return channel->buffers + (size_t)index * NIC_BUFFER_BYTES;
}

/* For receive(): a frame that came, or is none, and then counted as malformed. */
void nic_channel_add(struct nic_channel *channel, const struct frame_offload *offload, uint8_t *bytes,
		     size_t byte_count);

/* For send(): what becomes of a frame that the kernel did not take. */
enum nic_verdict {
	NIC_COUNTED, /* taken, as far as the caller of send() is concerned */
	NIC_NO_ROOM, /* to be sent again; writable() follows */
};

/* `error`: errno, positive. */
enum nic_verdict nic_channel_refused(struct nic_channel *channel, int error);

/* For send(): the kernel took frames. */
static inline void nic_channel_sent(struct nic_channel *channel, unsigned frames, uint64_t bytes)
{
	if (frames == 0)
		return;
	channel->refused_once = false;
	nic_count(&channel->base.nic->counters.sent, frames);
	nic_count(&channel->base.nic->counters.sent_bytes, bytes);
}

#endif
