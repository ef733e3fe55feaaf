/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libslirp itself: its configuration and its callbacks.
 *
 * It trusts its caller with two bounds that it has not: how many sockets there are, and how many fragments
 * wait for the rest of their packet. Both are kept here, by not handing on frames that would exceed them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/fd.h"
#include "host/nic_offload.h"
#include "host/nic_user_filter.h"
#include "host/nic_user_private.h"

/*
 * libslirp drops the fragments of a packet half a minute after the first. In each such time it gets so many
 * that the buffers it keeps them in, each of the size of the MTU, are at most so large.
 */
#define FRAGMENTS_KEPT_NS    (31 * NS_PER_S)
#define FRAGMENT_BYTES_MAX   (16u << 20)
#define FRAGMENT_BYTES_EXTRA 256u /* what a buffer has besides */

/* Its time, and what it knows of the host's name servers, are globals: one thread at a time. */
static pthread_mutex_t library = PTHREAD_MUTEX_INITIALIZER;

void user_slirp_lock(void)
{
	pthread_mutex_lock(&library);
}

void user_slirp_unlock(void)
{
	pthread_mutex_unlock(&library);
}

/* ---- callbacks ---- */

static int64_t now_ns(void *opaque)
{
	return (int64_t)clock_now_ns();
}

static int64_t now_ms(void)
{
	return (int64_t)(clock_now_ns() / NS_PER_MS);
}

/* A frame for the guests. One that does not fit is lost, as on any wire. */
static ssize_t send_packet(const void *bytes, size_t length, void *opaque)
{
	struct nic_user *nic = opaque;
	uint8_t *room;

	if (nic->offer && user_lease_is_offer(nic, bytes, length))
		return (ssize_t)length;
	/* It does not cut IPv6 datagrams into fragments. */
	if (length < FRAME_HEADER_BYTES || length > nic->frame_bytes_max) {
		nic_count(&nic->base.counters.malformed, 1);
		return (ssize_t)length;
	}
	room = frame_ring_reserve(&nic->to_guests, (uint32_t)length);
	if (!room) {
		nic_count(&nic->base.counters.overrun, 1);
		return (ssize_t)length;
	}
	memcpy(room, bytes, length);
	frame_ring_put(&nic->to_guests, (uint32_t)length, 0);
	return (ssize_t)length;
}

static void guest_error(const char *message, void *opaque)
{
	struct nic_user *nic = opaque;
	uint64_t now = clock_now_ns();

	if (nic->error_logged_ns != 0 && now - nic->error_logged_ns < NS_PER_S)
		return;
	nic->error_logged_ns = now;
	log_debug(&nic->subject, "libslirp: %s", message);
}

static void *timer_new(SlirpTimerId id, void *timer_opaque, void *opaque)
{
	struct nic_user *nic = opaque;

	for (unsigned i = 0; i < USER_TIMERS_MAX; i++) {
		struct user_timer *timer = &nic->timers[i];

		if (timer->used)
			continue;
		*timer = (struct user_timer){
			.used = true, .id = id, .opaque = timer_opaque, .deadline_ms = INT64_MAX
		};
		return timer;
	}
	abort();
}

static void timer_free(void *context, void *opaque)
{
	struct user_timer *timer = context;

	if (timer)
		timer->used = false;
}

static void timer_mod(void *context, int64_t deadline_ms, void *opaque)
{
	struct user_timer *timer = context;

	timer->deadline_ms = deadline_ms;
}

static uint64_t *descriptor_word(struct nic_user *nic, int fd, uint64_t *ret_bit)
{
	if (fd < 0 || (unsigned)fd >= USER_DESCRIPTORS_MAX)
		return NULL;
	*ret_bit = 1ull << (fd % 64);
	return &nic->descriptors[fd / 64];
}

/*
 * libslirp announces what it opens for a connection; the sockets that listen for forwards it only takes back.
 * It leaves sockets for datagrams blocking: a guest that sends to neighbours which do not answer would fill
 * one, and hold up this thread, and all that wait for it, until the kernel gives them up.
 */
static void register_poll_fd(int fd, void *opaque)
{
	struct nic_user *nic = opaque;
	uint64_t bit, *word = descriptor_word(nic, fd, &bit);

	if (!word || *word & bit)
		return;
	fd_set_nonblocking(fd, true);
	*word |= bit;
	nic->sockets++;
}

static void unregister_poll_fd(int fd, void *opaque)
{
	struct nic_user *nic = opaque;
	uint64_t bit, *word = descriptor_word(nic, fd, &bit);

	if (!word || !(*word & bit))
		return;
	*word &= ~bit;
	nic->sockets--;
}

/* A connection has room again: the turn's next user_slirp_prepare() comes after it anyway. */
static void notify(void *opaque)
{
}

static const SlirpCb callbacks = {
	.send_packet = send_packet,
	.guest_error = guest_error,
	.clock_get_ns = now_ns,
	.timer_new_opaque = timer_new,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = register_poll_fd,
	.unregister_poll_fd = unregister_poll_fd,
	.notify = notify,
};

/* ---- frames ---- */

static bool take_fragment(struct nic_user *nic)
{
	uint64_t now = clock_now_ns();

	if (now >= nic->fragments_until_ns) {
		nic->fragments_until_ns = now + FRAGMENTS_KEPT_NS;
		nic->fragments_left = FRAGMENT_BYTES_MAX / (nic->frame_bytes_max + FRAGMENT_BYTES_EXTRA);
	}
	if (nic->fragments_left == 0)
		return false;
	nic->fragments_left--;
	return true;
}

void user_slirp_input(struct nic_user *nic, const uint8_t *frame, uint32_t bytes, unsigned verdict)
{
	assert(verdict & USER_FRAME_PASS && bytes <= FRAME_BYTES_MAX);
	if (verdict & USER_FRAME_OPENS && nic->sockets >= nic->sockets_max) {
		counter_add(&nic->counters.no_socket, 1);
		log_guest(&nic->subject, "%u connections are open, and no more are allowed", nic->sockets);
		return;
	}
	/* libslirp would write a line for each of them to standard error. */
	if (nic_user_is_ping6_abroad(frame, bytes, &nic->network6)) {
		nic_count(&nic->base.counters.refused, 1);
		return;
	}
	if (verdict & USER_FRAME_FRAGMENT && !take_fragment(nic)) {
		counter_add(&nic->counters.no_fragment, 1);
		return;
	}
	slirp_input(nic->slirp, frame, (int)bytes);
}

/* ---- waiting ---- */

static const struct {
	int slirp;
	short poll;
} poll_events[] = {
	{ SLIRP_POLL_IN, POLLIN },   { SLIRP_POLL_OUT, POLLOUT }, { SLIRP_POLL_PRI, POLLPRI },
	{ SLIRP_POLL_ERR, POLLERR }, { SLIRP_POLL_HUP, POLLHUP },
};

#define POLL_EVENTS (sizeof(poll_events) / sizeof(poll_events[0]))

/* Only sockets of connections are registered: while there is no room for more, those of forwards wait. */
static bool may_be_polled(struct nic_user *nic, int fd)
{
	uint64_t bit, *word = descriptor_word(nic, fd, &bit);

	return nic->sockets < nic->sockets_max || !word || *word & bit;
}

static int add_poll(int fd, int events, void *opaque)
{
	struct nic_user *nic = opaque;
	struct pollfd *entry = &nic->polls[nic->poll_count];

	if (nic->poll_count == nic->polls_max || !may_be_polled(nic, fd))
		return -1;
	*entry = (struct pollfd){ .fd = fd };
	for (unsigned i = 0; i < POLL_EVENTS; i++)
		if (events & poll_events[i].slirp)
			entry->events = (short)(entry->events | poll_events[i].poll);
	return (int)nic->poll_count++;
}

static int get_revents(int index, void *opaque)
{
	struct nic_user *nic = opaque;
	int events = 0;

	assert(index > 0 && (unsigned)index < nic->poll_count);
	for (unsigned i = 0; i < POLL_EVENTS; i++)
		if (nic->polls[index].revents & poll_events[i].poll)
			events |= poll_events[i].slirp;
	return events;
}

static void run_timers(struct nic_user *nic)
{
	int64_t now = now_ms();

	for (unsigned i = 0; i < USER_TIMERS_MAX; i++) {
		struct user_timer *timer = &nic->timers[i];

		if (!timer->used || timer->deadline_ms > now)
			continue;
		timer->deadline_ms = INT64_MAX;
		slirp_handle_timer(nic->slirp, timer->id, timer->opaque);
	}
}

uint32_t user_slirp_prepare(struct nic_user *nic)
{
	uint32_t timeout_ms = UINT32_MAX;
	int64_t now = now_ms();

	nic->polls[0] = (struct pollfd){ .fd = nic->thread_fd, .events = POLLIN };
	nic->poll_count = 1;
	for (unsigned i = 0; i < USER_TIMERS_MAX; i++) {
		struct user_timer *timer = &nic->timers[i];
		int64_t left = timer->deadline_ms > now ? timer->deadline_ms - now : 0;

		if (timer->used && left < timeout_ms)
			timeout_ms = (uint32_t)left;
	}
	slirp_pollfds_fill(nic->slirp, &timeout_ms, add_poll, nic);
	return timeout_ms;
}

void user_slirp_poll(struct nic_user *nic, bool sockets)
{
	slirp_pollfds_poll(nic->slirp, !sockets, get_revents, nic);
	run_timers(nic);
}

/* ---- forwards ---- */

static socklen_t address_bytes(const union nic_user_address *address)
{
	return address->any.sa_family == AF_INET6 ? sizeof(address->ipv6) : sizeof(address->ipv4);
}

/* :: means IPv6 only: IPv4 clients would have addresses that a guest's IPv6 cannot answer. */
static int forward_flags(const struct nic_user_forward *forward)
{
	int flags = forward->udp ? SLIRP_HOSTFWD_UDP : 0;

	return forward->host.any.sa_family == AF_INET6 ? flags | SLIRP_HOSTFWD_V6ONLY : flags;
}

int user_slirp_forward_add(struct nic_user *nic, const void *argument)
{
	const struct nic_user_forward *forward = argument;

	errno = 0;
	if (slirp_add_hostxfwd(nic->slirp, &forward->host.any, address_bytes(&forward->host),
			       &forward->guest.any, address_bytes(&forward->guest),
			       forward_flags(forward)) == 0)
		return 0;
	return errno > 0 ? -errno : -EIO;
}

int user_slirp_forward_remove(struct nic_user *nic, const void *argument)
{
	const struct nic_user_forward *forward = argument;
	int result = slirp_remove_hostxfwd(nic->slirp, &forward->host.any, address_bytes(&forward->host),
					   forward_flags(forward));

	return result == 0 ? 0 : -ENOENT;
}

/* ---- creation ---- */

static struct in_addr address_in(const struct nic_user *nic, uint32_t host)
{
	return (struct in_addr){ .s_addr = nic->network.s_addr | htonl(host) };
}

static struct in6_addr address6_in(const struct nic_user *nic, uint8_t host)
{
	struct in6_addr address = nic->network6;

	address.s6_addr[15] = host;
	return address;
}

int user_slirp_create(struct nic_user *nic, const struct nic_user_options *options)
{
	SlirpConfig config = {
		.version = 4,
		.restricted = options->restricted,
		.in_enabled = true,
		.vnetwork = nic->network,
		.vnetmask = nic->netmask,
		.vhost = address_in(nic, 2),
		.vnameserver = address_in(nic, 3),
		.vdhcp_start = address_in(nic, 15),
		.in6_enabled = nic->ipv6,
		.vprefix_addr6 = nic->network6,
		.vprefix_len = 64,
		.vhost6 = address6_in(nic, 2),
		.vnameserver6 = address6_in(nic, 3),
		.vhostname = options->hostname,
		.if_mtu = nic->base.sends.mtu,
		.if_mru = nic->base.sends.mtu,
		.disable_host_loopback = !options->loopback,
	};

	nic->descriptors = calloc(USER_DESCRIPTORS_MAX / 64, sizeof(*nic->descriptors));
	nic->polls_max = nic->sockets_max + 2 * NIC_USER_FORWARDS_MAX + 1;
	nic->polls = calloc(nic->polls_max, sizeof(*nic->polls));
	if (!nic->descriptors || !nic->polls)
		return -ENOMEM;
	user_slirp_lock();
	nic->slirp = slirp_new(&config, &callbacks, nic);
	user_slirp_unlock();
	return nic->slirp ? 0 : -ENOMEM;
}

void user_slirp_destroy(struct nic_user *nic)
{
	if (nic->slirp) {
		user_slirp_lock();
		slirp_cleanup(nic->slirp);
		user_slirp_unlock();
		/* It has taken back what it announced. */
		assert(nic->sockets == 0);
	}
	free(nic->polls);
	free(nic->descriptors);
}
