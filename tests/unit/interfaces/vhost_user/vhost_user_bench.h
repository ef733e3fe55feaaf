/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tests of the vhost-user server share: an endpoint on two loops (control and worker, turned by the
 * test), a device model that remembers, and a front end that speaks raw messages.
 */
#ifndef VIADUCT_TESTS_VHOST_USER_BENCH_H
#define VIADUCT_TESTS_VHOST_USER_BENCH_H

/* cmocka wants these first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/fd.h"
#include "core/handover.h"
#include "core/loop.h"
#include "core/memory_guard.h"
#include "interfaces/vhost_user/vhost_user.h"
#include "interfaces/vhost_user/vhost_user_messages.h"
#include "fake_virtqueue.h"
#include "patience.h"
#include "stopped_clock.h"

#define CONFIG_BYTES  60
#define MEMORY_BYTES  (1u << 20)
#define GUEST_BASE    0x100000ull
#define USER_BASE     0x7f0000000000ull
#define RING_SIZE     64u
#define NEED_REPLY    VHOST_USER_FLAG_NEED_REPLY
#define ALL_PROTOCOL  VHOST_USER_PROTOCOL_FEATURES
#define PROTOCOL_BIT30 (1ull << VHOST_USER_F_PROTOCOL_FEATURES)
#define BASIC_FEATURES (1ull << VIRTIO_F_VERSION_1 | PROTOCOL_BIT30)

/* ---- the device ---- */

struct fake_device {
	uint8_t config[CONFIG_BYTES];
	unsigned resets;
};

static uint64_t device_features(void *device)
{
	return 1ull << 9;
}

static unsigned device_queue_count(void *device)
{
	return FAKE_RINGS;
}

static size_t device_config_size(void *device)
{
	return CONFIG_BYTES;
}

static void device_config_read(void *device, size_t offset, void *buffer, size_t bytes)
{
	assert(offset + bytes <= CONFIG_BYTES);
	memcpy(buffer, ((struct fake_device *)device)->config + offset, bytes);
}

/* Byte 32 (virtio-blk's write-cache switch) is the only writable one. */
static int device_config_write(void *device, uint64_t features, size_t offset, const void *buffer,
			       size_t bytes)
{
	if (offset != 32 || bytes != 1)
		return -EINVAL;
	memcpy(((struct fake_device *)device)->config + offset, buffer, bytes);
	return 0;
}

static void device_reset(void *device)
{
	((struct fake_device *)device)->resets++;
}

static const struct virtio_model_ops device_model = {
	.name = "fake",
	.repeatable = true,
	.features = device_features,
	.queue_count = device_queue_count,
	.config_size = device_config_size,
	.config_read = device_config_read,
	.config_write = device_config_write,
	.reset = device_reset,
};

/* ---- the bench ---- */

struct bench {
	struct loop *control, *worker;
	struct fake_device device;
	struct vhost_user_options options;
	struct endpoint *endpoint;
	char directory[32], path[64];
	bool gone;
	bool threaded;			/* the worker turns by itself */
	unsigned fds_before;
};

static inline struct loop *bench_worker(void *context, unsigned queue_index)
{
	return ((struct bench *)context)->worker;
}

static inline unsigned count_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static inline void bench_turn(struct bench *bench)
{
	struct endpoint_status ignored;

	loop_turn(bench->control, 100 * NS_PER_US);
	if (!bench->threaded)
		loop_turn(bench->worker, 0);
	else if (bench->endpoint && !bench->gone)
		/* May be asked at any time, also while the worker makes a ring. */
		endpoint_status(bench->endpoint, &ignored);
}

/* Turns both loops until the condition holds. */
#define TURN_UNTIL(bench, condition) AWAIT(condition, bench_turn(bench))

/*
 * Foreign descriptors are closed by a thread of the kernel, in its own time, and an endpoint that has too
 * many of them on their way accepts no connection. So a test waits until the process has as many as it
 * should.
 */
#define AWAIT_FDS(bench, count) TURN_UNTIL(bench, count_fds() == (count))

/* The control loop's time goes on; it stands still otherwise. */
static inline void bench_pass(struct bench *bench, uint64_t ns)
{
	stopped_clock_ns += ns;
	bench_turn(bench);
}

/* Long enough for anything that is going to happen on the loops themselves. */
static inline void bench_settle(struct bench *bench)
{
	for (unsigned i = 0; i < 50; i++)
		bench_turn(bench);
}

static inline struct endpoint_status bench_status(const struct bench *bench)
{
	struct endpoint_status status;

	endpoint_status(bench->endpoint, &status);
	return status;
}

static inline int bench_setup(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	struct loop_options loop_options = { .name = "test", .entries = 64, .clocks = &stopped_clocks };

	log_set_level(LOG_LEVEL_ERROR);
	memory_guard_install();
	fake_hold = false;
	fake_start_error = 0;
	fake_starts = fake_stops = 0;
	assert_int_equal(loop_create(&loop_options, &bench->control), 0);
	assert_int_equal(loop_create(&loop_options, &bench->worker), 0);
	bench_turn(bench);
	for (unsigned i = 0; i < CONFIG_BYTES; i++)
		bench->device.config[i] = (uint8_t)(i + 1);
	strcpy(bench->directory, "/tmp/viaduct-test-XXXXXX");
	assert_non_null(mkdtemp(bench->directory));
	snprintf(bench->path, sizeof(bench->path), "%s/disk.sock", bench->directory);
	bench->options = (struct vhost_user_options){
		.endpoint.name = "alice/disk",
		.endpoint.control = bench->control,
		.endpoint.socket = ENDPOINT_LISTEN,
		.endpoint.path = bench->path,
		.endpoint.fd = -1,
		.endpoint.owner = (uid_t)-1,
		.endpoint.group = (gid_t)-1,
		.model = &device_model,
		.device = &bench->device,
		.endpoint.worker = bench_worker,
		.endpoint.worker_context = bench,
	};
	bench->fds_before = count_fds();
	assert_int_equal(vhost_user_create(&bench->options, &bench->endpoint), 0);
	*state = bench;
	return 0;
}

static inline void on_gone(void *context)
{
	((struct bench *)context)->gone = true;
}

/* Every test ends with the proof that nothing is left: no ring, no descriptor, no socket file. */
static inline int bench_teardown(void **state)
{
	struct bench *bench = *state;

	fake_let_go();
	if (bench->endpoint) {
		endpoint_destroy(bench->endpoint, on_gone, bench);
		TURN_UNTIL(bench, bench->gone);
	}
	bench_settle(bench);
	for (unsigned i = 0; i < FAKE_RINGS; i++)
		assert_null(fake_ring[i]);
	assert_int_equal(fake_starts, fake_stops);
	AWAIT_FDS(bench, bench->fds_before);
	assert_int_equal(rmdir(bench->directory), 0);
	loop_destroy(bench->control);
	loop_destroy(bench->worker);
	free(bench);
	return 0;
}

/* ---- takeover ---- */

static inline void on_suspended(void *context)
{
	*(bool *)context = true;
}

/* Hands the endpoint to "another process", which lives on the same loops. */
static inline void take_over(struct bench *bench)
{
	struct handover out = { 0 }, in;
	struct endpoint *successor;
	bool suspended = false;
	int pair[2];

	endpoint_suspend(bench->endpoint, on_suspended, &suspended);
	TURN_UNTIL(bench, suspended);
	for (unsigned i = 0; i < FAKE_RINGS; i++)
		assert_null(fake_ring[i]);
	endpoint_save(bench->endpoint, &out);
	assert_int_equal(out.error, 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(handover_send(&out, pair[0], UINT64_MAX), 0);
	assert_int_equal(handover_receive(pair[1], &in), 0);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(vhost_user_restore(&bench->options, &in, &successor), 0);
	assert_int_equal(in.position, in.length);
	handover_finish(&in);
	handover_finish(&out);
	endpoint_destroy(bench->endpoint, on_gone, bench);
	TURN_UNTIL(bench, bench->gone);
	bench->gone = false;
	bench->endpoint = successor;
}

/* ---- the front end ---- */

struct reply {
	struct vhost_user_header header;
	union vhost_user_payload payload;
	int fd;
};

static inline int frontend_connect(struct bench *bench)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", bench->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static inline void send_message(int socket, uint32_t request, uint32_t flags, const void *payload,
				uint32_t size, const int *fds, size_t fd_count)
{
	uint8_t bytes[12 + 1024];
	struct vhost_user_header header = { request, VHOST_USER_VERSION | flags, size };

	memcpy(bytes, &header, sizeof(header));
	if (size > 0)
		memcpy(bytes + sizeof(header), payload, size);
	fd_send(socket, bytes, sizeof(header) + size, fds, fd_count);
}

static inline bool readable(int socket)
{
	struct pollfd poll_fd = { .fd = socket, .events = POLLIN };

	return poll(&poll_fd, 1, 0) > 0;
}

/* The next reply; false when the connection was closed instead. */
static inline bool receive_reply(struct bench *bench, int socket, struct reply *ret_reply)
{
	size_t fd_count;
	ssize_t received;

	TURN_UNTIL(bench, readable(socket));
	ret_reply->fd = -1;
	received = fd_receive(socket, &ret_reply->header, sizeof(ret_reply->header), &ret_reply->fd, 1,
			      &fd_count);
	if (received <= 0)
		return false;
	assert_int_equal(received, sizeof(ret_reply->header));
	assert_int_equal(ret_reply->header.flags, VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY);
	if (ret_reply->header.size > 0)
		assert_int_equal(recv(socket, ret_reply->payload.bytes, ret_reply->header.size, MSG_WAITALL),
				 ret_reply->header.size);
	return true;
}

static inline bool closed_by_peer(struct bench *bench, int socket)
{
	char byte;

	TURN_UNTIL(bench, readable(socket));
	return recv(socket, &byte, 1, MSG_DONTWAIT) <= 0;
}

/* Sends and waits for the reply, which must be of the same request. */
static inline struct reply ask_with(struct bench *bench, int socket, uint32_t request, const void *payload,
				    uint32_t size, const int *fds, size_t fd_count)
{
	struct reply reply;

	send_message(socket, request, NEED_REPLY, payload, size, fds, fd_count);
	assert_true(receive_reply(bench, socket, &reply));
	assert_int_equal(reply.header.request, request);
	return reply;
}

static inline struct reply ask(struct bench *bench, int socket, uint32_t request, const void *payload,
			       uint32_t size)
{
	return ask_with(bench, socket, request, payload, size, NULL, 0);
}

/* The acknowledgement: 0 or not. */
static inline uint64_t tell(struct bench *bench, int socket, uint32_t request, const void *payload,
			    uint32_t size)
{
	return ask(bench, socket, request, payload, size).payload.u64;
}

static inline uint64_t tell_u64(struct bench *bench, int socket, uint32_t request, uint64_t value)
{
	return tell(bench, socket, request, &value, sizeof(value));
}

static inline uint64_t tell_state(struct bench *bench, int socket, uint32_t request, uint32_t index,
				  uint32_t number)
{
	struct vhost_user_vring_state ring = { index, number };

	return tell(bench, socket, request, &ring, sizeof(ring));
}

static inline uint64_t tell_event(struct bench *bench, int socket, uint32_t request, uint64_t value, int fd)
{
	return ask_with(bench, socket, request, &value, sizeof(value), &fd, fd >= 0).payload.u64;
}

static inline uint64_t ask_u64(struct bench *bench, int socket, uint32_t request)
{
	struct reply reply = ask(bench, socket, request, NULL, 0);

	assert_int_equal(reply.header.size, 8);
	return reply.payload.u64;
}

static inline void handshake(struct bench *bench, int socket, uint64_t features)
{
	uint64_t protocol = ALL_PROTOCOL;

	send_message(socket, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &protocol, sizeof(protocol), NULL, 0);
	assert_int_equal(tell(bench, socket, VHOST_USER_SET_OWNER, NULL, 0), 0);
	assert_int_equal(tell_u64(bench, socket, VHOST_USER_SET_FEATURES, features), 0);
}

static inline struct vhost_user_memory_region region_at(unsigned index)
{
	return (struct vhost_user_memory_region){
		.guest_address = GUEST_BASE + index * (uint64_t)MEMORY_BYTES,
		.size = MEMORY_BYTES,
		.user_address = USER_BASE + index * (uint64_t)MEMORY_BYTES,
	};
}

static inline uint64_t add_region(struct bench *bench, int socket, unsigned index)
{
	struct vhost_user_single_region payload = { .region = region_at(index) };
	int fd = fd_memfd("test", MEMORY_BYTES);
	uint64_t failed = ask_with(bench, socket, VHOST_USER_ADD_MEM_REG, &payload, sizeof(payload), &fd, 1)
				  .payload.u64;

	close(fd);
	return failed;
}

static inline struct vhost_user_vring_address ring_address(unsigned index)
{
	uint64_t base = USER_BASE + 0x10000ull * index;

	return (struct vhost_user_vring_address){
		.index = index, .descriptor = base, .available = base + 0x2000, .used = base + 0x4000,
		.log = GUEST_BASE + 0x10000ull * index + 0x4000,
	};
}

/* Everything but the kick. */
static inline void prepare_ring(struct bench *bench, int socket, unsigned index, uint32_t base)
{
	struct vhost_user_vring_address address = ring_address(index);

	assert_int_equal(tell_state(bench, socket, VHOST_USER_SET_VRING_NUM, index, RING_SIZE), 0);
	assert_int_equal(tell_state(bench, socket, VHOST_USER_SET_VRING_BASE, index, base), 0);
	assert_int_equal(tell(bench, socket, VHOST_USER_SET_VRING_ADDR, &address, sizeof(address)), 0);
}

static inline uint64_t kick_ring(struct bench *bench, int socket, unsigned index)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t failed = tell_event(bench, socket, VHOST_USER_SET_VRING_KICK, index, fd);

	close(fd);
	return failed;
}

static inline void start_ring(struct bench *bench, int socket, unsigned index, uint32_t base)
{
	prepare_ring(bench, socket, index, base);
	assert_int_equal(kick_ring(bench, socket, index), 0);
	assert_int_equal(tell_state(bench, socket, VHOST_USER_SET_VRING_ENABLE, index, 1), 0);
	assert_true(bench->threaded || fake_ring[index]);
}

/* A front end with memory and `rings` running rings. */
static inline int frontend_running(struct bench *bench, unsigned rings)
{
	int socket = frontend_connect(bench);

	handshake(bench, socket, BASIC_FEATURES);
	assert_int_equal(add_region(bench, socket, 0), 0);
	for (unsigned i = 0; i < rings; i++)
		start_ring(bench, socket, i, 0);
	return socket;
}

static inline uint32_t stop_ring(struct bench *bench, int socket, unsigned index)
{
	struct vhost_user_vring_state ring = { index, 0 };
	struct reply reply = ask(bench, socket, VHOST_USER_GET_VRING_BASE, &ring, sizeof(ring));

	assert_int_equal(reply.header.size, sizeof(ring));
	assert_int_equal(reply.payload.state.index, index);
	return reply.payload.state.number;
}

#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

#endif
