/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vhost-user master's handshake, from connect(2) to running queues; again, with the positions that the
 * rings show, when a back end died. Order of messages as a VMM sends them:
 *
 *   features, protocol features, owner, queue number, back-end channel,
 *   SET_FEATURES, INFLIGHT buffer, memory, each queue (size, base, addresses, kick, call), enable
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/checked.h"
#include "core/fd.h"
#include "frontend/vhost_master.h"

/* Above 4 GiB and unlike any of our own addresses, so that a back end that mixes them up is found out. */
#define GUEST_BASE (1ull << 32)

struct vring_address {
	uint32_t index, flags;
	uint64_t descriptor, used, available, log;
};

struct memory_region {
	uint64_t guest_address, bytes, user_address, mmap_offset;
};

/* One region is all we share. */
struct memory_table {
	uint32_t count, padding;
	struct memory_region region;
};

struct memory_addition {
	uint64_t padding;
	struct memory_region region;
};

/* 20 bytes in the document; VMMs and back ends in the field exchange the padded 24. */
struct inflight_description {
	uint64_t mmap_bytes, mmap_offset;
	uint16_t queues, queue_size;
	uint32_t padding;
};
#define INFLIGHT_DESCRIPTION_BYTES_MIN 20u

static_assert(sizeof(struct vring_address) == 40 && sizeof(struct memory_region) == 32, "vhost-user formats");
static_assert(sizeof(struct memory_table) == 40 && sizeof(struct memory_addition) == 40,
	      "vhost-user formats");
static_assert(sizeof(struct inflight_description) == 24, "vhost-user formats");

static int connect_socket(struct frontend *frontend)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(frontend->path) >= sizeof(address.sun_path))
		return vhost_fail(frontend, -ENAMETOOLONG, "the socket's path is too long");
	memcpy(address.sun_path, frontend->path, strlen(frontend->path) + 1);
	frontend->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (frontend->socket < 0)
		return vhost_fail(frontend, -errno, "no socket");
	if (connect(frontend->socket, (struct sockaddr *)&address, sizeof(address)) < 0)
		return vhost_fail(frontend, -errno, "nobody listens on the socket");
	return 0;
}

/* A reconnect must find what the driver was told before: its rings are laid out for it. */
static int choose_features(struct frontend *frontend, uint64_t offered)
{
	uint64_t chosen = offered & (frontend->options.features | FRONTEND_F_VERSION_1);

	if (!(offered & FRONTEND_F_VERSION_1))
		return vhost_fail(frontend, -EOPNOTSUPP, "the back end does not offer VERSION_1");
	if (frontend->negotiated && (offered & frontend->features) != frontend->features)
		return vhost_fail(frontend, -EOPNOTSUPP, "the new back end offers fewer features");
	if (!frontend->negotiated)
		frontend->features = chosen;
	return 0;
}

static int share_channel(struct frontend *frontend)
{
	int ends[2], error;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return vhost_fail(frontend, -errno, "no socket");
	frontend->backend_channel = ends[0];
	error = vhost_tell(frontend, SET_BACKEND_REQ_FD, NULL, 0, ends[1]);
	fd_close(&ends[1]);
	return error;
}

static int negotiate_protocol(struct frontend *frontend)
{
	uint64_t wanted = P_WANTED, offered, queues = 1;
	int error;

	if (!frontend->options.inflight)
		wanted &= ~P_INFLIGHT_SHMFD;
	frontend->has_protocol = true;
	error = vhost_ask_u64(frontend, GET_PROTOCOL_FEATURES, &offered);
	if (!error)
		error = vhost_tell_u64(frontend, SET_PROTOCOL_FEATURES, offered & wanted, -1);
	if (error)
		return error;
	frontend->protocol_features = offered & wanted;
	error = vhost_tell(frontend, SET_OWNER, NULL, 0, -1);
	if (!error && (frontend->protocol_features & P_MQ))
		error = vhost_ask_u64(frontend, GET_QUEUE_NUM, &queues);
	if (!error && queues < frontend->options.queues)
		return vhost_fail(frontend, -EOPNOTSUPP, "the back end has fewer queues");
	if (!error && (frontend->protocol_features & P_BACKEND_REQ))
		error = share_channel(frontend);
	return error;
}

static int negotiate(struct frontend *frontend)
{
	uint64_t offered;
	int error;

	frontend->protocol_features = 0;
	frontend->has_protocol = false;
	error = vhost_ask_u64(frontend, GET_FEATURES, &offered);
	if (!error)
		error = choose_features(frontend, offered);
	if (error)
		return error;
	if (offered & F_PROTOCOL_FEATURES)
		error = negotiate_protocol(frontend);
	else if (frontend->options.queues > 1)
		error = vhost_fail(frontend, -EOPNOTSUPP, "the back end has one queue");
	else
		error = vhost_tell(frontend, SET_OWNER, NULL, 0, -1);
	if (error)
		return error;
	frontend->negotiated = true;
	return vhost_tell_u64(frontend, SET_FEATURES, frontend->features | (offered & F_PROTOCOL_FEATURES),
			      -1);
}

/* Asks for the buffer the first time, and keeps it: it outlives the back end. */
static int fetch_inflight(struct frontend *frontend, const struct inflight_description *description)
{
	struct vhost_message message = {.request = GET_INFLIGHT_FD, .bytes = sizeof(*description)};
	struct inflight_description answer = {0};
	int error;

	memcpy(message.payload, description, sizeof(*description));
	error = vhost_ask(frontend, &message, INFLIGHT_DESCRIPTION_BYTES_MIN, REPLY_TIMEOUT_MS);
	if (error)
		return error;
	memcpy(&answer, message.payload, INFLIGHT_DESCRIPTION_BYTES_MIN);
	if (message.fd_count != 1 || answer.mmap_bytes == 0) {
		vhost_message_close_fds(&message);
		return vhost_fail(frontend, -EPROTO, "the back end gave no INFLIGHT buffer");
	}
	frontend->inflight = (struct frontend_inflight){
	    .fd = message.fds[0],
	    .mmap_bytes = answer.mmap_bytes,
	    .mmap_offset = answer.mmap_offset,
	};
	return 0;
}

static int share_inflight(struct frontend *frontend)
{
	struct inflight_description description = {
	    .queues = (uint16_t)frontend->options.queues,
	    .queue_size = (uint16_t)frontend->options.queue_size,
	};
	int error = 0;

	if (!frontend->options.inflight)
		return 0;
	if (!(frontend->protocol_features & P_INFLIGHT_SHMFD))
		return vhost_fail(frontend, -EOPNOTSUPP, "the back end offers no INFLIGHT buffer");
	if (frontend->inflight.fd < 0)
		error = fetch_inflight(frontend, &description);
	if (error)
		return error;
	description.mmap_bytes = frontend->inflight.mmap_bytes;
	description.mmap_offset = frontend->inflight.mmap_offset;
	return vhost_tell(frontend, SET_INFLIGHT_FD, &description, sizeof(description),
			  frontend->inflight.fd);
}

static int share_memory(struct frontend *frontend)
{
	const struct memory_region region = {
	    .guest_address = GUEST_BASE,
	    .bytes = frontend->memory.bytes,
	    .user_address = (uintptr_t)frontend->memory.base,
	};
	const struct memory_table table = {.count = 1, .region = region};
	const struct memory_addition addition = {.region = region};

	if (frontend->protocol_features & P_MEM_SLOTS)
		return vhost_tell(frontend, ADD_MEM_REG, &addition, sizeof(addition), frontend->memory.fd);
	return vhost_tell(frontend, SET_MEM_TABLE, &table, sizeof(table), frontend->memory.fd);
}

/* The events of one queue outlive the connection; the socket in its epoll set does not. */
static int prepare_events(struct frontend *frontend, struct frontend_queue *queue)
{
	struct epoll_event call = {.events = EPOLLIN | EPOLLET, .data.u32 = 0};
	struct epoll_event end = {.events = EPOLLRDHUP, .data.u32 = 1};

	queue->poll = frontend->options.poll;
	if (queue->kick_fd < 0)
		queue->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (queue->call_fd < 0)
		queue->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fd_close(&queue->epoll_fd);
	queue->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (queue->kick_fd < 0 || queue->call_fd < 0 || queue->epoll_fd < 0)
		return vhost_fail(frontend, -errno, "no event descriptor");
	if ((!queue->poll && epoll_ctl(queue->epoll_fd, EPOLL_CTL_ADD, queue->call_fd, &call) < 0) ||
	    epoll_ctl(queue->epoll_fd, EPOLL_CTL_ADD, frontend->socket, &end) < 0)
		return vhost_fail(frontend, -errno, "no event descriptor");
	return 0;
}

static int share_ring(struct frontend *frontend, const struct frontend_queue *queue, uint32_t base)
{
	const struct vring_state size = {queue->index, queue->size}, position = {queue->index, base};
	struct vring_address address = {.index = queue->index};
	int error;

	if (queue->packed) {
		address.descriptor = (uintptr_t)queue->packed_ring.desc;
		address.available = (uintptr_t)queue->packed_ring.driver;
		address.used = (uintptr_t)queue->packed_ring.device;
	} else {
		address.descriptor = (uintptr_t)queue->split_ring.desc;
		address.available = (uintptr_t)queue->split_ring.available;
		address.used = (uintptr_t)queue->split_ring.used;
	}
	error = vhost_tell(frontend, SET_VRING_NUM, &size, sizeof(size), -1);
	if (!error)
		error = vhost_tell(frontend, SET_VRING_BASE, &position, sizeof(position), -1);
	if (!error)
		error = vhost_tell(frontend, SET_VRING_ADDR, &address, sizeof(address), -1);
	return error;
}

static int start_queue(struct frontend *frontend, struct frontend_queue *queue, bool again)
{
	/* Packed: descriptor 0 and wrap counter 1, for both sides. */
	uint32_t base = queue->packed ? 0x80008000u : 0;
	int error;

	queue->socket = frontend->socket;
	error = prepare_events(frontend, queue);
	if (error)
		return error;
	if (again) {
		bool replay = frontend->inflight.fd < 0;

		error = queue->packed ? frontend_packed_recover(queue, replay, &base)
				      : frontend_split_recover(queue, replay, &base);
		if (error)
			return vhost_fail(frontend, error, "requests in flight cannot be offered again");
	}
	error = share_ring(frontend, queue, base);
	if (!error)
		error = vhost_tell_u64(frontend, SET_VRING_KICK, queue->index, queue->kick_fd);
	if (!error)
		error = vhost_tell_u64(frontend, SET_VRING_CALL, queue->index, queue->call_fd);
	return error;
}

static int enable_queues(struct frontend *frontend)
{
	for (unsigned i = 0; i < frontend->options.queues; i++) {
		const struct vring_state enable = {i, 1};
		int error = vhost_tell(frontend, SET_VRING_ENABLE, &enable, sizeof(enable), -1);

		if (error)
			return error;
	}
	return 0;
}

static int make_queues(struct frontend *frontend)
{
	size_t bytes = frontend_queue_bytes(frontend->options.queue_size);

	frontend->queue = calloc(frontend->options.queues, sizeof(*frontend->queue));
	for (unsigned i = 0; frontend->queue && i < frontend->options.queues; i++)
		if (frontend_queue_init(&frontend->queue[i], i, frontend->options.queue_size,
					frontend->features, frontend->memory.base + i * bytes,
					GUEST_BASE - (uintptr_t)frontend->memory.base))
			return vhost_fail(frontend, -ENOMEM, "out of memory");
	return frontend->queue ? 0 : vhost_fail(frontend, -ENOMEM, "out of memory");
}

int frontend_start(struct frontend *frontend, bool again)
{
	int error = connect_socket(frontend);

	if (!error)
		error = negotiate(frontend);
	if (!error && !again)
		error = make_queues(frontend);
	if (!error)
		error = share_inflight(frontend);
	if (!error)
		error = share_memory(frontend);
	for (unsigned i = 0; !error && i < frontend->options.queues; i++)
		error = start_queue(frontend, &frontend->queue[i], again);
	/* Without protocol features a ring is enabled from the start. */
	if (!error && frontend->has_protocol)
		error = enable_queues(frontend);
	return error;
}

void frontend_disconnect(struct frontend *frontend)
{
	fd_close(&frontend->socket);
	fd_close(&frontend->backend_channel);
}
