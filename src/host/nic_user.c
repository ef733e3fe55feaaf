/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * libslirp runs on a thread of its own: it makes system calls for each packet, which a worker must not wait
 * for, and keeps lists that it walks. Frames go to it and back through two rings (frame_ring.h). send()
 * copies a frame into the first, where it is judged (nic_user_filter.h): from then on no guest can change
 * it. The receiver is lent frames as they lie in the second, a batch at a time: all that is there, in which
 * segments of one connection are joined (nic_user_join.h). Nothing waits for more to come.
 *
 *   worker        send() -> [to_slirp] -> libslirp -> sockets        thread "user-net"
 *                input() <- [to_guests] <- libslirp <- sockets
 *
 * Either thread sleeps while its ring is empty, and is woken through an eventfd. The worker watches its own
 * and gets no loop_post(): a watch can be stopped when the channel is closed, and a message cannot be taken
 * back.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "core/fd.h"
#include "core/internet_sum.h"
#include "core/iov.h"
#include "host/nic_offload.h"
#include "host/nic_user_filter.h"
#include "host/nic_user_private.h"

#define RING_BYTES (1u << 20)
/* A batch ends when it has so many: four of the largest frames. */
#define BATCH_BYTES  (256u << 10)
#define NAME_DEFAULT "user"

/* ---- from the worker to libslirp ---- */

/*
 * May libslirp get it? A segment that its guest left uncut may be as large as IP allows: libslirp takes what
 * its connection has room for, as it would of many.
 */
static bool has_length(const struct nic_user *nic, const struct frame *frame)
{
	bool uncut = frame->offload.gso_type != FRAME_GSO_NONE;

	return frame->bytes >= FRAME_HEADER_BYTES &&
	       frame->bytes <= (uncut ? FRAME_BYTES_MAX : nic->frame_bytes_max) &&
	       nic_offload_fits(&frame->offload, frame->bytes);
}

/* libslirp checks it, and knows no frame without. In its place is the sum of the pseudo header. */
static void fill_checksum(uint8_t *bytes, uint32_t count, const struct frame_offload *offload)
{
	uint8_t *place = bytes + offload->csum_start + offload->csum_offset;
	struct internet_sum sum = { .words = 0 };
	uint16_t check;

	if (!(offload->flags & FRAME_CSUM_NEEDED))
		return;
	internet_sum_add(&sum, bytes + offload->csum_start, count - offload->csum_start);
	check = (uint16_t)~internet_sum_fold(&sum);
	/* 0 would be "none" in UDP, and is the same as this in TCP. */
	if (check == 0)
		check = UINT16_MAX;
	memcpy(place, &check, sizeof(check));
}

/* False: there is no room. */
static bool take_frame(struct nic_user *nic, const struct frame *frame)
{
	struct host_nic_counters *counters = &nic->base.counters;
	size_t copied;
	unsigned verdict;
	uint8_t *room;

	if (!has_length(nic, frame)) {
		nic_count(&counters->refused, 1);
		return true;
	}
	room = frame_ring_reserve(&nic->to_slirp, frame->bytes);
	if (!room)
		return false;
	copied = iov_copy_out(frame->iov, frame->iov_count, 0, room, frame->bytes);
	assert(copied == frame->bytes);
	fill_checksum(room, frame->bytes, &frame->offload);
	verdict = nic_user_frame_verdict(room, frame->bytes);
	if (!(verdict & USER_FRAME_PASS)) {
		nic_count(&counters->refused, 1);
		return true;
	}
	frame_ring_put(&nic->to_slirp, frame->bytes, verdict);
	nic_count(&counters->sent, 1);
	nic_count(&counters->sent_bytes, frame->bytes);
	return true;
}

static unsigned user_send(struct host_nic_channel *base, const struct frame *frames, unsigned count)
{
	struct nic_user *nic = nic_user_of(base->nic);
	unsigned taken = 0;

	while (taken < count && take_frame(nic, &frames[taken]))
		taken++;
	if (taken < count) {
		user_bell_arm(&nic->room_bell);
		while (taken < count && take_frame(nic, &frames[taken]))
			taken++;
		if (taken < count)
			nic->channel.owes_writable = true;
	}
	user_bell_ring(&nic->thread_bell);
	return taken;
}

/* ---- from libslirp to the worker ---- */

static void hand_on(struct nic_user *nic)
{
	struct host_nic_counters *counters = &nic->base.counters;
	uint64_t cursor = nic->to_guests.tail;
	struct user_join *join = &nic->join;
	uint32_t bytes, tag;

	user_join_begin(join);
	while (!user_join_full(join) && join->bytes < BATCH_BYTES) {
		uint8_t *frame = frame_ring_next(&nic->to_guests, &cursor, &bytes, &tag);

		if (!frame)
			break;
		user_join_add(join, frame, bytes);
	}
	if (join->count == 0)
		return;
	user_join_end(join);
	nic_count(&counters->received, join->count);
	nic_count(&counters->received_bytes, join->bytes);
	nic->channel.receiver->input(nic->channel.receiver, join->frames, join->count);
	frame_ring_release(&nic->to_guests, cursor);
}

/* One batch at a time: what else the worker has to do goes between. */
static void take_batch(struct nic_user *nic)
{
	struct user_channel *channel = &nic->channel;

	hand_on(nic);
	if (frame_ring_used_bytes(&nic->to_guests) <= nic->to_guests.size_bytes / 4)
		user_bell_ring(&nic->drain_bell);
	if (frame_ring_used_bytes(&nic->to_guests) == 0)
		user_bell_arm(&nic->worker_bell);
	if (frame_ring_used_bytes(&nic->to_guests) > 0)
		loop_defer(channel->loop, &channel->task);
}

static void batch_task(struct loop_task *task)
{
	take_batch(container_of(task, struct nic_user, channel.task));
}

static void worker_woken(struct loop_watch *watch, unsigned events)
{
	struct nic_user *nic = container_of(watch, struct nic_user, channel.watch);
	struct user_channel *channel = &nic->channel;

	if (!channel->task.queued)
		take_batch(nic);
	if (!channel->owes_writable)
		return;
	channel->owes_writable = false;
	channel->receiver->writable(channel->receiver);
}

/* ---- channels ---- */

static int user_channel_open(struct host_nic *base, struct loop *loop, struct host_nic_receiver *receiver,
			     struct host_nic_channel **ret_channel)
{
	struct nic_user *nic = nic_user_of(base);
	struct user_channel *channel = &nic->channel;
	int error;

	if (channel->loop)
		return -EMFILE;
	*channel = (struct user_channel){
		.base = { .ops = base->ops, .nic = base },
		.receiver = receiver,
		.watch = { .ready = worker_woken },
		.task = { .run = batch_task },
	};
	error = loop_watch_start(loop, &channel->watch, nic->worker_fd, POLLIN);
	if (error)
		return error;
	channel->loop = loop;
	/* What came while there was no receiver is old. The task arms the bell. */
	frame_ring_release(&nic->to_guests, __atomic_load_n(&nic->to_guests.head, __ATOMIC_ACQUIRE));
	loop_defer(loop, &channel->task);
	*ret_channel = &channel->base;
	return 0;
}

static void user_channel_close(struct host_nic_channel *base)
{
	struct user_channel *channel = &nic_user_of(base->nic)->channel;

	assert(channel->loop);
	loop_watch_stop(channel->loop, &channel->watch);
	loop_defer_cancel(channel->loop, &channel->task);
	channel->loop = NULL;
}

/* A successor cannot take over what libslirp has of connections. */
static int user_channel_fd(const struct host_nic *base, unsigned index)
{
	return -1;
}

/* ---- opening ---- */

/* Any part of it may be missing; the thread does not run. */
static void user_free(struct nic_user *nic)
{
	user_slirp_destroy(nic);
	frame_ring_finish(&nic->to_slirp);
	frame_ring_finish(&nic->to_guests);
	fd_close(&nic->thread_fd);
	fd_close(&nic->worker_fd);
	pthread_cond_destroy(&nic->command_done);
	pthread_mutex_destroy(&nic->lock);
	free(nic);
}

static void user_close(struct host_nic *base)
{
	struct nic_user *nic = nic_user_of(base);

	assert(!nic->channel.loop);
	user_thread_stop(nic);
	user_free(nic);
}

static const struct host_nic_ops user_ops = {
	.name = "user",
	.channel_open = user_channel_open,
	.channel_close = user_channel_close,
	.send = user_send,
	.channel_fd = user_channel_fd,
	.close = user_close,
};

static int set_network(struct nic_user *nic, const struct nic_user_options *options)
{
	uint32_t network = ntohl(options->network.s_addr), mask = 0xffffff00u, first;

	if (network == 0)
		network = 0x0a000200u; /* 10.0.2.0 */
	else if (options->network_bits < NIC_USER_NETWORK_BITS_MIN ||
		 options->network_bits > NIC_USER_NETWORK_BITS_MAX)
		return -EINVAL;
	else
		mask = ~0u << (32 - options->network_bits);
	first = network >> 24;
	if (network & ~mask || first == 0 || first == IN_LOOPBACKNET || first >= 224)
		return -EINVAL;
	nic->network.s_addr = htonl(network);
	nic->netmask.s_addr = htonl(mask);
	nic->ipv6 = !options->ipv4_only;
	nic->network6 = options->network6;
	if (IN6_IS_ADDR_UNSPECIFIED(&nic->network6))
		nic->network6.s6_addr[0] = 0xfd;
	/* The host's half is ours to fill; multicast, link-local and loopback are no networks. */
	if (nic->network6.s6_addr32[2] != 0 || nic->network6.s6_addr32[3] != 0 ||
	    nic->network6.s6_addr16[0] == 0 || nic->network6.s6_addr[0] >= 0xfe)
		return -EINVAL;
	return 0;
}

static int set_options(struct nic_user *nic, const struct nic_user_options *options)
{
	unsigned mtu = options->mtu ? options->mtu : NIC_USER_MTU_DEFAULT;

	if (mtu < NIC_USER_MTU_MIN || mtu > NIC_USER_MTU_MAX || options->sockets_max > NIC_USER_SOCKETS_MAX)
		return -EINVAL;
	if (options->hostname && strlen(options->hostname) > NIC_USER_HOSTNAME_MAX)
		return -EINVAL;
	nic->base.ops = &user_ops;
	nic->base.channels = 1;
	nic->base.sends = (struct frame_abilities){
		.csum = 1, .tso4 = 1, .tso6 = 1, .ecn = 1, .mtu = (uint16_t)mtu,
	};
	nic->base.up = true;
	/* One VLAN tag more than libslirp knows: such frames are refused as frames, not as too long ones. */
	nic->frame_bytes_max = FRAME_HEADER_BYTES + 4 + mtu;
	nic->sockets_max = options->sockets_max ? options->sockets_max : NIC_USER_SOCKETS_DEFAULT;
	log_subject_name(&nic->subject, "%s", options->name ? options->name : NAME_DEFAULT);
	return set_network(nic, options);
}

static int make_ways(struct nic_user *nic)
{
	int error = frame_ring_init(&nic->to_slirp, RING_BYTES);

	if (!error)
		error = frame_ring_init(&nic->to_guests, RING_BYTES);
	if (error)
		return error;
	nic->thread_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (nic->thread_fd < 0)
		return -errno;
	nic->worker_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (nic->worker_fd < 0)
		return -errno;
	nic->thread_bell.fd = nic->drain_bell.fd = nic->thread_fd;
	nic->worker_bell.fd = nic->room_bell.fd = nic->worker_fd;
	return 0;
}

int nic_user_open(const struct nic_user_options *options, struct host_nic **ret_nic)
{
	struct nic_user *nic = calloc(1, sizeof(*nic));
	int error;

	if (!nic)
		return -ENOMEM;
	nic->thread_fd = nic->worker_fd = -1;
	pthread_mutex_init(&nic->lock, NULL);
	pthread_cond_init(&nic->command_done, NULL);
	error = set_options(nic, options);
	if (!error)
		error = make_ways(nic);
	if (!error)
		error = user_slirp_create(nic, options);
	if (!error)
		error = user_thread_start(nic);
	if (error) {
		user_free(nic);
		return error;
	}
	*ret_nic = &nic->base;
	return 0;
}

const struct nic_user_counters *nic_user_get_counters(const struct host_nic *nic)
{
	return &nic_user_of(nic)->counters;
}
