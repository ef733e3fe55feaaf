/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A channel of a kernel's interface on its worker: when frames are read, when there is room again, and how an
 * interface that goes is told from one that is back. The receiver may close the channel from within link()
 * and writable(), which are therefore called last.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/clock.h"
#include "core/container.h"
#include "host/nic_interface.h"

/* How often an interface that is gone is looked for, besides when the kernel tells of a change. */
#define RETRY_NS NS_PER_S
/* A queue of 10 Gbit/s gets rid of 100 large frames meanwhile. Nothing tells when it has. */
#define ROOM_RETRY_NS (200 * NS_PER_US)
/* Waiting did not help against ENOBUFS: for so long it is not tried again. */
#define DISTRUST_NS NS_PER_S

/* ---- receiving ---- */

void nic_channel_add(struct nic_channel *channel, const struct frame_offload *offload, uint8_t *bytes,
		     size_t byte_count)
{
	unsigned index = channel->frame_count;

	assert(index < NIC_BATCH_MAX);
	if (byte_count < FRAME_HEADER_BYTES || byte_count > FRAME_BYTES_MAX ||
	    !nic_offload_fits(offload, (uint32_t)byte_count)) {
		nic_count(&channel->base.nic->counters.malformed, 1);
		return;
	}
	channel->frame_iov[index] = (struct iovec){ bytes, byte_count };
	channel->frames[index] = (struct frame){
		.iov = &channel->frame_iov[index],
		.iov_count = 1,
		.bytes = (uint32_t)byte_count,
		.offload = *offload,
	};
	channel->frames[index].offload.flags &= FRAME_CSUM_NEEDED | FRAME_CSUM_VALID;
	channel->frame_bytes += byte_count;
	channel->frame_count++;
}

static void input_run(struct loop_task *task)
{
	struct nic_channel *channel = container_of(task, struct nic_channel, input_task);
	struct host_nic_counters *counters = &channel->base.nic->counters;

	channel->frame_count = 0;
	channel->frame_bytes = 0;
	if (channel->nic->kind->receive(channel))
		loop_defer(channel->loop, &channel->input_task);
	if (channel->frame_count == 0)
		return;
	nic_count(&counters->received, channel->frame_count);
	nic_count(&counters->received_bytes, channel->frame_bytes);
	channel->receiver->input(channel->receiver, channel->frames, channel->frame_count);
}

/* ---- room ---- */

static void room(struct nic_channel *channel)
{
	if (!channel->waiting)
		return;
	channel->waiting = false;
	loop_watch_pause(channel->loop, &channel->room_watch);
	loop_timer_stop(channel->loop, &channel->room_timer);
	loop_defer_cancel(channel->loop, &channel->room_task);
	channel->receiver->writable(channel->receiver);
}

static void room_ready(struct loop_watch *watch, unsigned events)
{
	room(container_of(watch, struct nic_channel, room_watch));
}

static void room_expired(struct loop_timer *timer)
{
	room(container_of(timer, struct nic_channel, room_timer));
}

static void room_run(struct loop_task *task)
{
	room(container_of(task, struct nic_channel, room_task));
}

/*
 * ENOBUFS is a queue that is full, or a filter of the host's that drops this frame whenever it comes. One
 * wait tells them apart. When it did not help, no more frames are waited for during DISTRUST_NS: otherwise a
 * guest whose frames are filtered would hold up all the others' frames.
 */
static enum nic_verdict no_buffer(struct nic_channel *channel)
{
	uint64_t now_ns = loop_now_ns(channel->loop);

	if (channel->refused_once)
		channel->distrust_until_ns = now_ns + DISTRUST_NS;
	channel->refused_once = now_ns >= channel->distrust_until_ns;
	if (!channel->refused_once) {
		nic_count(&channel->base.nic->counters.refused, 1);
		return NIC_COUNTED;
	}
	channel->waiting = true;
	loop_timer_start(channel->loop, &channel->room_timer, now_ns + ROOM_RETRY_NS);
	return NIC_NO_ROOM;
}

enum nic_verdict nic_channel_refused(struct nic_channel *channel, int error)
{
	switch (error) {
	case EAGAIN:
		channel->waiting = true;
		loop_watch_resume(channel->loop, &channel->room_watch);
		return NIC_NO_ROOM;
	case ENOBUFS:
	case ENOMEM:
		return no_buffer(channel);
	case EIO: /* a tap that is down */
	case EBADFD:
	case ENODEV:
	case ENXIO:
	case ENETDOWN:
		nic_count(&channel->base.nic->counters.no_link, 1);
		return NIC_COUNTED;
	default:
		nic_count(&channel->base.nic->counters.refused, 1);
		return NIC_COUNTED;
	}
}

/* ---- the interface ---- */

static void watches_stop(struct nic_channel *channel)
{
	loop_watch_stop(channel->loop, &channel->input_watch);
	loop_watch_stop(channel->loop, &channel->room_watch);
	loop_defer_cancel(channel->loop, &channel->input_task);
}

/* For slot->fd as it is attached now. Returns 0 or -ENOMEM. */
static int watches_start(struct nic_channel *channel)
{
	int error;

	watches_stop(channel);
	channel->fd = channel->slot->fd;
	error = loop_watch_start(channel->loop, &channel->input_watch, channel->fd, POLLIN);
	if (!error)
		error = loop_watch_start(channel->loop, &channel->room_watch, channel->fd, POLLOUT);
	if (error) {
		watches_stop(channel);
		return error;
	}
	loop_watch_pause(channel->loop, &channel->room_watch);
	channel->attached = channel->slot->attached;
	return 0;
}

/* The state is not known otherwise than by the driver's attach(), which this returns. */
static int attach(struct nic_channel *channel)
{
	struct nic_interface *nic = channel->nic;
	int state;

	pthread_mutex_lock(&nic->lock);
	state = nic->kind->attach(nic, channel->slot);
	if (state >= 0 && channel->attached != channel->slot->attached) {
		int error = watches_start(channel);

		state = error ? error : state;
	}
	pthread_mutex_unlock(&nic->lock);
	return state;
}

/* There is no interface: without it the descriptor would be ready, in error, for ever. */
static void set_missing(struct nic_channel *channel, int error)
{
	__atomic_store_n(&channel->base.nic->missing, error, __ATOMIC_RELAXED);
	if (error != channel->missing)
		log_warning(&channel->nic->subject, "no interface: %s; looking for it", strerror(-error));
	channel->missing = error;
	watches_stop(channel);
	/* Other than any that slot->attached may have. */
	channel->attached = channel->slot->attached - 1;
	loop_timer_start(channel->loop, &channel->retry_timer, loop_now_ns(channel->loop) + RETRY_NS);
}

static void set_present(struct nic_channel *channel)
{
	__atomic_store_n(&channel->base.nic->missing, 0, __ATOMIC_RELAXED);
	if (channel->missing)
		log_info(&channel->nic->subject, "the interface is back");
	channel->missing = 0;
	loop_timer_stop(channel->loop, &channel->retry_timer);
}

/* Looks at the interface; true when the link has changed. */
static bool look(struct nic_channel *channel)
{
	unsigned attached = channel->attached;
	int state = attach(channel);
	bool up = state > 0, changed = up != channel->up;

	if (state < 0)
		set_missing(channel, state);
	else
		set_present(channel);
	/* Frames that wait are to be sent in vain, or to the new interface. */
	if (channel->waiting && (!up || channel->attached != attached))
		loop_defer(channel->loop, &channel->room_task);
	channel->up = up;
	__atomic_store_n(&channel->base.nic->up, up, __ATOMIC_RELAXED);
	return changed;
}

static void look_and_tell(struct nic_channel *channel)
{
	if (look(channel))
		channel->receiver->link(channel->receiver);
}

static void retry_expired(struct loop_timer *timer)
{
	look_and_tell(container_of(timer, struct nic_channel, retry_timer));
}

/* What the kernel says is not read: the state is asked for, so that it does not matter what was missed. */
static void events_drain(const struct nic_channel *channel)
{
	uint8_t byte;

	while (recv(channel->slot->events_fd, &byte, sizeof(byte), MSG_DONTWAIT) >= 0 || errno == ENOBUFS ||
	       errno == EINTR)
		;
}

static void events_ready(struct loop_watch *watch, unsigned events)
{
	struct nic_channel *channel = container_of(watch, struct nic_channel, events_watch);

	events_drain(channel);
	look_and_tell(channel);
}

static void input_ready(struct loop_watch *watch, unsigned events)
{
	struct nic_channel *channel = container_of(watch, struct nic_channel, input_watch);

	/* At the end of the turn, with what else comes until then: one batch in each turn. */
	loop_defer(channel->loop, &channel->input_task);
	if (events & (POLLERR | POLLHUP))
		look_and_tell(channel);
}

/* ---- opening and closing ---- */

static struct nic_slot *slot_take(struct nic_interface *nic)
{
	struct nic_slot *slot = NULL;

	pthread_mutex_lock(&nic->lock);
	for (unsigned i = 0; i < nic->base.channels && !slot; i++)
		if (!nic->slots[i].open)
			slot = &nic->slots[i];
	if (slot)
		slot->open = true;
	pthread_mutex_unlock(&nic->lock);
	return slot;
}

static void slot_give_back(struct nic_interface *nic, struct nic_slot *slot)
{
	pthread_mutex_lock(&nic->lock);
	nic->kind->detach(nic, slot);
	slot->open = false;
	pthread_mutex_unlock(&nic->lock);
}

static struct nic_channel *channel_create(struct nic_interface *nic, struct loop *loop,
					  struct host_nic_receiver *receiver)
{
	struct nic_channel *channel = calloc(1, nic->kind->channel_bytes);

	if (!channel)
		return NULL;
	channel->buffers = aligned_alloc(64, (size_t)NIC_BATCH_MAX * NIC_BUFFER_BYTES);
	if (!channel->buffers) {
		free(channel);
		return NULL;
	}
	channel->base.ops = nic->base.ops;
	channel->base.nic = &nic->base;
	channel->nic = nic;
	channel->loop = loop;
	channel->receiver = receiver;
	channel->fd = -1;
	channel->events_watch.ready = events_ready;
	channel->input_watch.ready = input_ready;
	channel->input_task.run = input_run;
	channel->retry_timer.expired = retry_expired;
	channel->room_watch.ready = room_ready;
	channel->room_timer.expired = room_expired;
	channel->room_task.run = room_run;
	if (nic->kind->prepare)
		nic->kind->prepare(channel);
	return channel;
}

static void channel_destroy(struct nic_channel *channel)
{
	watches_stop(channel);
	loop_watch_stop(channel->loop, &channel->events_watch);
	loop_timer_stop(channel->loop, &channel->retry_timer);
	loop_timer_stop(channel->loop, &channel->room_timer);
	loop_defer_cancel(channel->loop, &channel->room_task);
	/* The ring's entries name the descriptors, and keep the interface, until they are submitted. */
	loop_submit(channel->loop);
	slot_give_back(channel->nic, channel->slot);
	free(channel->buffers);
	free(channel);
}

int nic_channel_open(struct host_nic *base, struct loop *loop, struct host_nic_receiver *receiver,
		     struct host_nic_channel **ret_channel)
{
	struct nic_interface *nic = container_of(base, struct nic_interface, base);
	struct nic_slot *slot = slot_take(nic);
	struct nic_channel *channel = slot ? channel_create(nic, loop, receiver) : NULL;
	int error;

	if (!slot)
		return -EMFILE;
	if (!channel) {
		slot_give_back(nic, slot);
		return -ENOMEM;
	}
	channel->slot = slot;
	channel->attached = slot->attached - 1;
	error = loop_watch_start(loop, &channel->events_watch, slot->events_fd, POLLIN);
	if (!error) {
		events_drain(channel);
		look(channel);
		/* One that is gone may come back. */
		error = channel->missing == -ENODEV ? 0 : channel->missing;
	}
	if (error) {
		channel_destroy(channel);
		return error;
	}
	*ret_channel = &channel->base;
	return 0;
}

void nic_channel_close(struct host_nic_channel *base)
{
	channel_destroy(container_of(base, struct nic_channel, base));
}
