/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * All sockets are opened with the NIC. One receives for all peers; one for each peer sends to it and receives
 * nothing. They are not connected: the kernel looks for a route with each datagram, so that addresses and
 * routes of the host may come and go.
 *
 * Datagrams are read until the kernel has none, at most NIC_BATCH_MAX in a turn of the loop, with one system
 * call. One that is a peer's and well-formed teaches the table where its frame's sender is.
 *
 * A frame for one peer whose socket is full waits with all frames behind it until the socket has room, but
 * for ROOM_WAIT_NS at most. If there is still none, the peer is on a slow path, and its frames are refused
 * without a wait for DISTRUST_NS: otherwise a guest that sends there would hold up all the others' frames. No
 * frame to several peers waits for one of them. What errors mean is in nic_vxlan_send.c.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "host/nic_vxlan_private.h"

/* 200 KiB, which half of a socket's room is, leave through 100 Mbit/s meanwhile. */
#define ROOM_WAIT_NS (20 * NS_PER_MS)
#define DISTRUST_NS  NS_PER_S

/* ---- receiving ---- */

/* recvmmsg() has written to the header: as it was before. */
static void in_reset(struct vxlan_channel *channel, unsigned index)
{
	channel->in[index].msg_hdr = (struct msghdr){
		.msg_name = &channel->in_from[index],
		.msg_namelen = sizeof(channel->in_from[index]),
		.msg_iov = &channel->in_iov[index],
		.msg_iovlen = 1,
		.msg_control = &channel->in_control[index],
		.msg_controllen = sizeof(channel->in_control[index]),
	};
}

/* What the socket had no room for is said with the next datagram, as a sum. */
static void read_control(struct vxlan_channel *channel, struct msghdr *message)
{
	for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control;
	     control = CMSG_NXTHDR(message, control)) {
		uint32_t lost;

		if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SO_RXQ_OVFL)
			continue;
		memcpy(&lost, CMSG_DATA(control), sizeof(lost));
		nic_count(&channel->base.nic->counters.overrun, lost - channel->nic->lost);
		channel->nic->lost = lost;
	}
}

/* Returns VXLAN_PEER_NONE for a stranger. */
static unsigned peer_of(struct nic_vxlan *nic, const union nic_vxlan_address *from)
{
	if (nic->peer_count > 0 && vxlan_is_same_host(&nic->peers[nic->last_peer].address, from))
		return nic->last_peer;
	for (unsigned i = 0; i < nic->peer_count; i++)
		if (vxlan_is_same_host(&nic->peers[i].address, from)) {
			nic->last_peer = i;
			return i;
		}
	return VXLAN_PEER_NONE;
}

/* Returns whether the datagram has a frame for us. */
static bool open_datagram(struct vxlan_channel *channel, unsigned index, struct vxlan_inner *ret_inner)
{
	struct nic_vxlan *nic = channel->nic;
	unsigned peer = peer_of(nic, &channel->in_from[index]);
	enum vxlan_fault fault;

	if (peer == VXLAN_PEER_NONE) {
		nic_count(&nic->counters.strangers, 1);
		return false;
	}
	fault = vxlan_parse(channel->in_iov[index].iov_base, channel->in[index].msg_len, nic->vni, ret_inner);
	if (fault == VXLAN_VNI)
		nic_count(&nic->counters.other_vni, 1);
	if (fault != VXLAN_FINE)
		return false;
	/* With one peer there is no question where frames go. */
	if (nic->peer_count > 1 && !vxlan_table_learn(&nic->table, ret_inner->frame + FRAME_ADDRESS_BYTES,
						      peer, loop_now_ns(channel->loop)))
		nic_count(&nic->counters.unlearned, 1);
	return true;
}

/* Takes datagrams [first, end) apart; returns how many frames there are, from `count` on. */
static unsigned take_datagrams(struct vxlan_channel *channel, unsigned first, unsigned end, unsigned count,
			       uint64_t *bytes)
{
	for (unsigned i = first; i < end; i++) {
		struct vxlan_inner inner;

		read_control(channel, &channel->in[i].msg_hdr);
		if (!open_datagram(channel, i, &inner)) {
			nic_count(&channel->base.nic->counters.malformed, 1);
		} else {
			channel->frame_iov[count] = (struct iovec){ inner.frame, inner.bytes };
			channel->frames[count] = (struct frame){
				.iov = &channel->frame_iov[count],
				.iov_count = 1,
				.bytes = inner.bytes,
				.offload =
					vxlan_offload(inner.frame, inner.bytes, channel->base.nic->sends.mtu),
			};
			*bytes += inner.bytes;
			count++;
		}
		in_reset(channel, i);
	}
	return count;
}

static void input_run(struct loop_task *task)
{
	struct vxlan_channel *channel = container_of(task, struct vxlan_channel, input_task);
	struct host_nic_counters *counters = &channel->base.nic->counters;
	unsigned used = 0, count = 0, errors = 0;
	uint64_t bytes = 0;

	while (used + errors < NIC_BATCH_MAX) {
		int got = recvmmsg(channel->nic->fd, channel->in + used, NIC_BATCH_MAX - used - errors,
				   MSG_DONTWAIT, NULL);

		if (got < 0 && errno == EAGAIN)
			break;
		if (got < 0) {
			errors++;
			continue;
		}
		count = take_datagrams(channel, used, used + (unsigned)got, count, &bytes);
		used += (unsigned)got;
	}
	if (used + errors == NIC_BATCH_MAX)
		loop_defer(channel->loop, &channel->input_task);
	if (count == 0)
		return;
	nic_count(&counters->received, count);
	nic_count(&counters->received_bytes, bytes);
	channel->receiver->input(channel->receiver, channel->frames, count);
}

static void input_ready(struct loop_watch *watch, unsigned events)
{
	struct vxlan_channel *channel = container_of(watch, struct vxlan_channel, input_watch);

	/* At the end of the turn, with what else comes until then: one batch in each turn. */
	loop_defer(channel->loop, &channel->input_task);
}

/* ---- room ---- */

void vxlan_wait_for_room(struct vxlan_channel *channel, unsigned peer)
{
	assert(!channel->waiting);
	channel->waiting = true;
	channel->waiting_for = peer;
	loop_watch_resume(channel->loop, &channel->rooms[peer].watch);
	loop_timer_start(channel->loop, &channel->room_timer, loop_now_ns(channel->loop) + ROOM_WAIT_NS);
}

/* The receiver may close the channel from within writable(), which is therefore called last. */
static void go_on(struct vxlan_channel *channel)
{
	channel->waiting = false;
	loop_watch_pause(channel->loop, &channel->rooms[channel->waiting_for].watch);
	loop_timer_stop(channel->loop, &channel->room_timer);
	channel->receiver->writable(channel->receiver);
}

static void room_ready(struct loop_watch *watch, unsigned events)
{
	struct vxlan_channel *channel = container_of(watch, struct vxlan_room, watch)->channel;

	/* An error of the socket is not about room. */
	if (channel->waiting && (events & POLLOUT))
		go_on(channel);
}

static void room_expired(struct loop_timer *timer)
{
	struct vxlan_channel *channel = container_of(timer, struct vxlan_channel, room_timer);

	assert(channel->waiting);
	channel->nic->peers[channel->waiting_for].distrust_until_ns =
		loop_now_ns(channel->loop) + DISTRUST_NS;
	go_on(channel);
}

/* ---- opening and closing ---- */

static struct vxlan_channel *channel_create(struct nic_vxlan *nic, struct loop *loop,
					    struct host_nic_receiver *receiver)
{
	struct vxlan_channel *channel = calloc(1, sizeof(*channel));

	if (!channel)
		return NULL;
	channel->buffers = aligned_alloc(64, (size_t)NIC_BATCH_MAX * VXLAN_BUFFER_BYTES);
	if (!channel->buffers) {
		free(channel);
		return NULL;
	}
	channel->base = (struct host_nic_channel){ .ops = nic->base.ops, .nic = &nic->base };
	channel->nic = nic;
	channel->loop = loop;
	channel->receiver = receiver;
	channel->input_watch.ready = input_ready;
	channel->input_task.run = input_run;
	channel->room_timer.expired = room_expired;
	for (unsigned i = 0; i < NIC_BATCH_MAX; i++) {
		channel->in_iov[i] = (struct iovec){ channel->buffers + (size_t)i * VXLAN_BUFFER_BYTES,
						     VXLAN_BUFFER_BYTES };
		in_reset(channel, i);
		channel->out[i].msg_hdr.msg_iov = channel->out_iov[i];
	}
	return channel;
}

static void channel_destroy(struct vxlan_channel *channel)
{
	loop_watch_stop(channel->loop, &channel->input_watch);
	loop_defer_cancel(channel->loop, &channel->input_task);
	loop_timer_stop(channel->loop, &channel->room_timer);
	for (unsigned i = 0; i < channel->nic->peer_count; i++)
		loop_watch_stop(channel->loop, &channel->rooms[i].watch);
	/* The ring's entries name the sockets until they are submitted. */
	loop_submit(channel->loop);
	__atomic_store_n(&channel->nic->open, false, __ATOMIC_RELEASE);
	free(channel->buffers);
	free(channel);
}

/* Returns 0 or -ENOMEM. */
static int watches_start(struct vxlan_channel *channel)
{
	struct nic_vxlan *nic = channel->nic;
	int error = loop_watch_start(channel->loop, &channel->input_watch, nic->fd, POLLIN);

	for (unsigned i = 0; i < nic->peer_count && !error; i++) {
		struct vxlan_room *room = &channel->rooms[i];

		*room = (struct vxlan_room){ .channel = channel, .watch.ready = room_ready };
		error = loop_watch_start(channel->loop, &room->watch, nic->peers[i].fd, POLLOUT);
		loop_watch_pause(channel->loop, &room->watch);
	}
	return error;
}

static int vxlan_channel_open(struct host_nic *base, struct loop *loop, struct host_nic_receiver *receiver,
			      struct host_nic_channel **ret_channel)
{
	struct nic_vxlan *nic = nic_vxlan_of(base);
	struct vxlan_channel *channel;

	if (__atomic_exchange_n(&nic->open, true, __ATOMIC_ACQUIRE))
		return -EMFILE;
	channel = channel_create(nic, loop, receiver);
	if (!channel) {
		__atomic_store_n(&nic->open, false, __ATOMIC_RELEASE);
		return -ENOMEM;
	}
	if (watches_start(channel)) {
		channel_destroy(channel);
		return -ENOMEM;
	}
	*ret_channel = &channel->base;
	return 0;
}

static void vxlan_channel_close(struct host_nic_channel *base)
{
	channel_destroy(vxlan_channel_of(base));
}

static int vxlan_channel_fd(const struct host_nic *base, unsigned index)
{
	return index == 0 ? nic_vxlan_of(base)->fd : -1;
}

const struct host_nic_ops nic_vxlan_ops = {
	.name = "vxlan",
	.channel_open = vxlan_channel_open,
	.channel_close = vxlan_channel_close,
	.send = vxlan_send,
	.channel_fd = vxlan_channel_fd,
	.close = nic_vxlan_close,
};

const struct nic_vxlan_counters *nic_vxlan_get_counters(const struct host_nic *nic)
{
	return &nic_vxlan_of(nic)->counters;
}
