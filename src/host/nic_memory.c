/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The twin of a physical NIC, for tests.
 *
 * Theory of operation. Frames wait in rings of slots that are large enough for any frame: one ring for those
 * that were sent, and one in each channel for those that came. Each change is announced by the channel's
 * eventfd; the channel then looks, on its worker, whether the link changed, whether there is room again, and
 * whether frames came. It makes one call of its receiver at a time, as the last thing it does, because the
 * receiver may close the channel from within; if there is more, it looks again in the next turn.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/container.h"
#include "core/fd.h"
#include "core/iov.h"
#include "core/loop.h"
#include "host/host_nic.h"
#include "host/nic_offload.h"

#define MEMORY_ROOM_DEFAULT 256u
#define MEMORY_ROOM_MAX	    4096u
#define MEMORY_CHANNELS_MAX 64u
#define MEMORY_MTU_DEFAULT  1500u
/* The least that IPv4 works with (RFC 791). */
#define MEMORY_MTU_MIN 68u
#define VLAN_TAG_BYTES 4u

struct memory_slot {
	struct frame_offload offload;
	uint32_t bytes;
	uint8_t data[FRAME_BYTES_MAX];
};

/* First in, first out. */
struct memory_ring {
	struct memory_slot *slots; /* owned; pages are used as frames need them */
	unsigned capacity, first, count;
};

struct memory_channel {
	struct host_nic_channel base;
	struct loop *loop;
	struct host_nic_receiver *receiver;
	unsigned index;
	int wake_fd; /* owned */
	struct loop_watch watch;
	struct loop_task task;
	bool told_up;		     /* what link() was called for last */
	bool waiting;		     /* for room; under the NIC's lock */
	struct memory_ring received; /* under the NIC's lock */
};

struct nic_memory {
	struct host_nic base;
	unsigned room;
	pthread_mutex_t lock;
	struct memory_ring sent;
	struct memory_channel *open[MEMORY_CHANNELS_MAX];
};

static struct nic_memory *nic_memory(struct host_nic *nic)
{
	return container_of(nic, struct nic_memory, base);
}

/* ---- rings ---- */

static int ring_init(struct memory_ring *ring, unsigned capacity)
{
	ring->slots = calloc(capacity, sizeof(*ring->slots));
	ring->capacity = capacity;
	return ring->slots ? 0 : -ENOMEM;
}

static struct memory_slot *ring_slot(const struct memory_ring *ring, unsigned position)
{
	return &ring->slots[(ring->first + position) % ring->capacity];
}

/* A slot for one frame more; the caller knows that there is one. */
static struct memory_slot *ring_add(struct memory_ring *ring)
{
	assert(ring->count < ring->capacity);
	return ring_slot(ring, ring->count++);
}

static void ring_drop(struct memory_ring *ring, unsigned count)
{
	assert(count <= ring->count);
	ring->first = (ring->first + count) % ring->capacity;
	ring->count -= count;
}

/* ---- what a channel sees ---- */

/* The caller holds the lock. */
static void wake(const struct memory_channel *channel)
{
	uint64_t one = 1;
	ssize_t ignored = write(channel->wake_fd, &one, sizeof(one));

	(void)ignored;
}

static void wake_all(struct nic_memory *nic)
{
	for (unsigned i = 0; i < nic->base.channels; i++)
		if (nic->open[i])
			wake(nic->open[i]);
}

static void deliver(struct memory_channel *channel, unsigned count)
{
	struct nic_memory *nic = nic_memory(channel->base.nic);
	struct frame frames[NIC_BATCH_MAX];
	struct iovec iov[NIC_BATCH_MAX];
	uint64_t bytes = 0;

	/* Slots in use stay as they are without the lock: other threads only add behind them. */
	for (unsigned i = 0; i < count; i++) {
		struct memory_slot *slot = ring_slot(&channel->received, i);

		iov[i] = (struct iovec){ slot->data, slot->bytes };
		frames[i] = (struct frame){ &iov[i], 1, slot->bytes, slot->offload };
		bytes += slot->bytes;
	}
	nic_count(&nic->base.counters.received, count);
	nic_count(&nic->base.counters.received_bytes, bytes);
	channel->receiver->input(channel->receiver, frames, count);
	pthread_mutex_lock(&nic->lock);
	ring_drop(&channel->received, count);
	pthread_mutex_unlock(&nic->lock);
}

static void look(struct memory_channel *channel)
{
	struct nic_memory *nic = nic_memory(channel->base.nic);
	unsigned count;
	bool link, room;

	pthread_mutex_lock(&nic->lock);
	link = channel->told_up != nic->base.up;
	/* Without a link, frames are taken to be counted. */
	room = channel->waiting && (nic->sent.count < nic->room || !nic->base.up);
	count = channel->received.count;
	if (link)
		channel->told_up = nic->base.up;
	else if (room)
		channel->waiting = false;
	pthread_mutex_unlock(&nic->lock);
	if (link + room + (count > 0) > 1 || count > NIC_BATCH_MAX)
		loop_defer(channel->loop, &channel->task);
	if (link)
		channel->receiver->link(channel->receiver);
	else if (room)
		channel->receiver->writable(channel->receiver);
	else if (count > 0)
		deliver(channel, count < NIC_BATCH_MAX ? count : NIC_BATCH_MAX);
}

static void memory_ready(struct loop_watch *watch, unsigned events)
{
	/* The eventfd is never read: each write counts. */
	look(container_of(watch, struct memory_channel, watch));
}

static void memory_run(struct loop_task *task)
{
	look(container_of(task, struct memory_channel, task));
}

/* ---- sending ---- */

static bool can_send(const struct frame_abilities *sends, const struct frame_offload *offload)
{
	if ((offload->flags & FRAME_CSUM_NEEDED) && !sends->csum)
		return false;
	switch (offload->gso_type) {
	case FRAME_GSO_NONE:
		return true;
	case FRAME_GSO_TCP4:
		return sends->tso4;
	case FRAME_GSO_TCP6:
		return sends->tso6;
	case FRAME_GSO_TCP4 | FRAME_GSO_ECN:
		return sends->tso4 && sends->ecn;
	case FRAME_GSO_TCP6 | FRAME_GSO_ECN:
		return sends->tso6 && sends->ecn;
	case FRAME_GSO_UDP:
		return sends->uso;
	default:
		return false;
	}
}

/* Puts one frame on the wire, or counts why not. */
static void send_one(struct nic_memory *nic, const struct frame *frame)
{
	struct memory_slot *slot;

	assert(frame->iov_count <= FRAME_CUT_IOV_MAX);
	assert(frame->bytes >= FRAME_HEADER_BYTES && frame->bytes <= FRAME_BYTES_MAX);
	assert(iov_bytes(frame->iov, frame->iov_count) == frame->bytes);
	assert(can_send(&nic->base.sends, &frame->offload));
	if (!nic_offload_fits(&frame->offload, frame->bytes) ||
	    (frame->offload.gso_type == FRAME_GSO_NONE &&
	     frame->bytes > nic->base.sends.mtu + FRAME_HEADER_BYTES + VLAN_TAG_BYTES)) {
		nic_count(&nic->base.counters.refused, 1);
		return;
	}
	slot = ring_add(&nic->sent);
	slot->offload = frame->offload;
	slot->bytes = frame->bytes;
	iov_copy_out(frame->iov, frame->iov_count, 0, slot->data, frame->bytes);
	nic_count(&nic->base.counters.sent, 1);
	nic_count(&nic->base.counters.sent_bytes, frame->bytes);
}

static unsigned memory_send(struct host_nic_channel *base, const struct frame *frames, unsigned count)
{
	struct memory_channel *channel = container_of(base, struct memory_channel, base);
	struct nic_memory *nic = nic_memory(base->nic);
	unsigned taken = 0;

	pthread_mutex_lock(&nic->lock);
	if (!nic->base.up) {
		nic_count(&nic->base.counters.no_link, count);
		taken = count;
	}
	while (taken < count && nic->sent.count < nic->room)
		send_one(nic, &frames[taken++]);
	channel->waiting = taken < count;
	pthread_mutex_unlock(&nic->lock);
	return taken;
}

/* ---- channels ---- */

static void channel_free(struct memory_channel *channel)
{
	if (!channel)
		return;
	fd_close(&channel->wake_fd);
	free(channel->received.slots);
	free(channel);
}

/* Puts the channel in the first free place. */
static int channel_place(struct nic_memory *nic, struct memory_channel *channel)
{
	int error = -EMFILE;

	pthread_mutex_lock(&nic->lock);
	channel->told_up = nic->base.up;
	for (unsigned i = 0; i < nic->base.channels && error; i++)
		if (!nic->open[i]) {
			nic->open[i] = channel;
			channel->index = i;
			error = 0;
		}
	pthread_mutex_unlock(&nic->lock);
	return error;
}

static int memory_channel_open(struct host_nic *base, struct loop *loop, struct host_nic_receiver *receiver,
			       struct host_nic_channel **ret_channel)
{
	struct nic_memory *nic = nic_memory(base);
	struct memory_channel *channel = calloc(1, sizeof(*channel));
	int error;

	if (!channel)
		return -ENOMEM;
	channel->base.ops = base->ops;
	channel->base.nic = base;
	channel->loop = loop;
	channel->receiver = receiver;
	channel->watch.ready = memory_ready;
	channel->task.run = memory_run;
	channel->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = channel->wake_fd < 0 ? -errno : ring_init(&channel->received, nic->sent.capacity);
	if (!error)
		error = loop_watch_start(loop, &channel->watch, channel->wake_fd, POLLIN);
	if (error)
		goto fail;
	error = channel_place(nic, channel);
	if (error)
		goto fail_watch;
	*ret_channel = &channel->base;
	return 0;

fail_watch:
	loop_watch_stop(loop, &channel->watch);
fail:
	channel_free(channel);
	return error;
}

static void memory_channel_close(struct host_nic_channel *base)
{
	struct memory_channel *channel = container_of(base, struct memory_channel, base);
	struct nic_memory *nic = nic_memory(base->nic);

	assert(nic->open[channel->index] == channel);
	pthread_mutex_lock(&nic->lock);
	nic->open[channel->index] = NULL;
	pthread_mutex_unlock(&nic->lock);
	loop_watch_stop(channel->loop, &channel->watch);
	loop_defer_cancel(channel->loop, &channel->task);
	/* The watch's entry names the eventfd until it is submitted. */
	loop_submit(channel->loop);
	channel_free(channel);
}

static int memory_channel_fd(const struct host_nic *base, unsigned index)
{
	return -1;
}

/* ---- the wire's side ---- */

int nic_memory_inject(struct host_nic *base, unsigned index, const void *bytes, size_t byte_count,
		      const struct frame_offload *offload)
{
	struct nic_memory *nic = nic_memory(base);
	const struct frame_offload header = offload ? *offload : (struct frame_offload){ 0 };
	struct memory_channel *channel;
	int error = 0;

	if (byte_count < FRAME_HEADER_BYTES || byte_count > FRAME_BYTES_MAX ||
	    !nic_offload_fits(&header, (uint32_t)byte_count)) {
		nic_count(&base->counters.malformed, 1);
		return -EINVAL;
	}
	pthread_mutex_lock(&nic->lock);
	channel = index < base->channels ? nic->open[index] : NULL;
	if (!base->up) {
		error = -ENODEV;
	} else if (!channel) {
		error = -ENOTCONN;
	} else if (channel->received.count == channel->received.capacity) {
		nic_count(&base->counters.overrun, 1);
		error = -ENOBUFS;
	} else {
		struct memory_slot *slot = ring_add(&channel->received);

		slot->offload = header;
		slot->bytes = (uint32_t)byte_count;
		memcpy(slot->data, bytes, byte_count);
		wake(channel);
	}
	pthread_mutex_unlock(&nic->lock);
	return error;
}

/* There may be room again. The caller holds the lock. */
static void wake_waiting(struct nic_memory *nic)
{
	for (unsigned i = 0; i < nic->base.channels; i++)
		if (nic->open[i] && nic->open[i]->waiting)
			wake(nic->open[i]);
}

size_t nic_memory_take(struct host_nic *base, void *buffer, size_t buffer_bytes,
		       struct frame_offload *ret_offload)
{
	struct nic_memory *nic = nic_memory(base);
	size_t bytes = 0;

	pthread_mutex_lock(&nic->lock);
	if (nic->sent.count > 0) {
		const struct memory_slot *slot = ring_slot(&nic->sent, 0);

		bytes = slot->bytes;
		memcpy(buffer, slot->data, bytes < buffer_bytes ? bytes : buffer_bytes);
		if (ret_offload)
			*ret_offload = slot->offload;
		ring_drop(&nic->sent, 1);
		wake_waiting(nic);
	}
	pthread_mutex_unlock(&nic->lock);
	return bytes;
}

void nic_memory_link(struct host_nic *base, bool up)
{
	struct nic_memory *nic = nic_memory(base);

	pthread_mutex_lock(&nic->lock);
	__atomic_store_n(&base->up, up, __ATOMIC_RELAXED);
	wake_all(nic);
	pthread_mutex_unlock(&nic->lock);
}

void nic_memory_room(struct host_nic *base, unsigned frames)
{
	struct nic_memory *nic = nic_memory(base);

	pthread_mutex_lock(&nic->lock);
	assert(frames <= nic->sent.capacity);
	nic->room = frames;
	wake_waiting(nic);
	pthread_mutex_unlock(&nic->lock);
}

/* ---- opening ---- */

static void memory_close(struct host_nic *base)
{
	struct nic_memory *nic = nic_memory(base);

	for (unsigned i = 0; i < base->channels; i++)
		assert(!nic->open[i]);
	pthread_mutex_destroy(&nic->lock);
	free(nic->sent.slots);
	free(nic);
}

static const struct host_nic_ops memory_ops = {
	.name = "memory",
	.channel_open = memory_channel_open,
	.channel_close = memory_channel_close,
	.send = memory_send,
	.channel_fd = memory_channel_fd,
	.close = memory_close,
};

int nic_memory_open(const struct nic_memory_options *options, struct host_nic **ret_nic)
{
	unsigned room = options->room ? options->room : MEMORY_ROOM_DEFAULT;
	struct nic_memory *nic;

	if (room > MEMORY_ROOM_MAX || options->channels > MEMORY_CHANNELS_MAX ||
	    (options->sends.mtu > 0 && options->sends.mtu < MEMORY_MTU_MIN))
		return -EINVAL;
	nic = calloc(1, sizeof(*nic));
	if (!nic || ring_init(&nic->sent, room)) {
		free(nic);
		return -ENOMEM;
	}
	nic->base.ops = &memory_ops;
	nic->base.channels = options->channels ? options->channels : 1;
	memcpy(nic->base.address, options->address, sizeof(nic->base.address));
	nic->base.sends = options->sends;
	if (nic->base.sends.mtu == 0)
		nic->base.sends.mtu = MEMORY_MTU_DEFAULT;
	nic->base.up = true;
	nic->room = room;
	pthread_mutex_init(&nic->lock, NULL);
	*ret_nic = &nic->base;
	return 0;
}
