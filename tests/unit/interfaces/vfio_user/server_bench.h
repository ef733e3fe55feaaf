/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vfio-user server on two loops that the test turns, with a device made of registers that remembers, and a
 * VMM that speaks raw messages; to be included by one program. The clock stands still.
 */
#ifndef VIADUCT_TESTS_VFIO_USER_SERVER_BENCH_H
#define VIADUCT_TESTS_VFIO_USER_SERVER_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/fd.h"
#include "core/guest_memory.h"
#include "core/handover.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/memory_guard.h"
#include "interfaces/vfio_user/vfio_user.h"
#include "interfaces/vfio_user/vfio_user_messages.h"
#include "patience.h"
#include "stopped_clock.h"

#define PAGE	  4096u
#define BAR_BYTES 0x4000u

/* ---- the device: bytes; what is stored at 0 raises that vector, what is stored at 8 lowers it ---- */

static struct fake_function {
	struct register_bus *bus;
	uint8_t bytes[BAR_BYTES];
	unsigned reads, writes, resets, powered, memory_changes, vector_changes, config_changes;
	bool at_worker, quiescing, hold; /* hold: something is in flight */
	void (*quiet)(void *context);
	void *quiet_context;
} fake;

static int fake_power_on(void *device, struct register_bus *bus, void **ret_function)
{
	assert_int_equal(fake.powered, 0);
	memset(fake.bytes, 0, sizeof(fake.bytes));
	fake.bus = bus;
	fake.powered++;
	fake.quiescing = true;
	*ret_function = &fake;
	return 0;
}

static void fake_power_off(void *function)
{
	assert_true(fake.quiescing && !fake.quiet);
	fake.powered--;
	fake.at_worker = false;
}

static int fake_arrive(void *function)
{
	assert_false(fake.at_worker);
	fake.at_worker = true;
	return 0;
}

static void fake_leave(void *function)
{
	assert_true(fake.at_worker && fake.quiescing);
	fake.at_worker = false;
}

static uint64_t fake_read(void *function, unsigned bar, uint32_t offset, unsigned bytes)
{
	uint64_t value = 0;

	assert_int_equal(bar, 0);
	assert_true(offset + bytes <= BAR_BYTES && offset % bytes == 0 && bytes <= 8);
	fake.reads++;
	memcpy(&value, fake.bytes + offset, bytes);
	return value;
}

static void fake_write(void *function, unsigned bar, uint32_t offset, unsigned bytes, uint64_t value)
{
	assert_int_equal(bar, 0);
	assert_true(offset + bytes <= BAR_BYTES && offset % bytes == 0 && bytes <= 8);
	fake.writes++;
	memcpy(fake.bytes + offset, &value, bytes);
	if (offset == 0)
		fake.bus->ops->raise(fake.bus, value & 0xf);
	else if (offset == 8)
		fake.bus->ops->lower(fake.bus, value & 0xf);
}

static void fake_memory_changed(void *function)
{
	fake.memory_changes++;
}

static void fake_vectors_changed(void *function)
{
	fake.vector_changes++;
}

static void fake_let_go(void)
{
	void (*quiet)(void *context) = fake.quiet;

	fake.hold = false;
	fake.quiet = NULL;
	if (quiet)
		quiet(fake.quiet_context);
}

static void fake_quiesce(void *function, void (*quiet)(void *context), void *context)
{
	assert_false(fake.quiescing);
	fake.quiescing = true;
	fake.quiet = quiet;
	fake.quiet_context = context;
	if (!fake.hold)
		fake_let_go();
}

static void fake_resume(void *function)
{
	assert_true(fake.quiescing && !fake.quiet);
	fake.quiescing = false;
}

static void fake_freeze(void *function)
{
}

static void fake_reset(void *function)
{
	memset(fake.bytes, 0, sizeof(fake.bytes));
	fake.resets++;
	fake_resume(function);
}

static void fake_config_changed(void *function)
{
	fake.config_changes++;
}

static void fake_save(const void *function, struct handover *handover)
{
	handover_put_bytes(handover, fake.bytes, sizeof(fake.bytes));
}

static void fake_restore(void *function, struct handover *handover)
{
	handover_get_exactly(handover, fake.bytes, sizeof(fake.bytes));
}

static const char *const fake_violations[] = { "odd", NULL };

static const struct register_model_ops fake_model = {
	.name = "fake",
	.identity = { .vendor = 0x1234, .device = 0x5678, .class_code = 0x010802 },
	.bars[0] = { REGISTER_BAR_MEMORY_64, BAR_BYTES },
	.vectors = 16,
	.msix_bar = 0,
	.msix_table_offset = 0x2000,
	.msix_pending_offset = 0x3000,
	.violations = fake_violations,
	.power_on = fake_power_on,
	.power_off = fake_power_off,
	.arrive = fake_arrive,
	.leave = fake_leave,
	.read = fake_read,
	.write = fake_write,
	.memory_changed = fake_memory_changed,
	.vectors_changed = fake_vectors_changed,
	.quiesce = fake_quiesce,
	.resume = fake_resume,
	.freeze = fake_freeze,
	.reset = fake_reset,
	.config_changed = fake_config_changed,
	.save = fake_save,
	.restore = fake_restore,
};

/* What the server is made with: another one, if main() says so. */
static const struct register_model_ops *fake_ops = &fake_model;

/* ---- the bench ---- */

static struct bench {
	struct loop *control, *worker;
	struct vfio_user_options options;
	struct endpoint *endpoint;
	char directory[32], path[64];
	bool gone;
	unsigned fds_before;
	uint16_t next_id;
} bench;

static struct loop *bench_worker(void *context, unsigned queue_index)
{
	return bench.worker;
}

static void bench_turn(void)
{
	loop_turn(bench.control, 100 * NS_PER_US);
	loop_turn(bench.worker, 0);
}

/* Long enough for anything that is going to happen by itself. */
static void bench_settle(void)
{
	for (unsigned i = 0; i < 30; i++)
		bench_turn();
}

static void on_gone(void *context)
{
	bench.gone = true;
}

static void on_suspended(void *context)
{
	*(bool *)context = true;
}

static struct endpoint_status bench_status(void)
{
	struct endpoint_status status;

	endpoint_status(bench.endpoint, &status);
	return status;
}

static unsigned count_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static int setup(void **state)
{
	const struct loop_options loop_options = { .name = "test", .clocks = &stopped_clocks };

	log_set_level(LOG_LEVEL_ERROR);
	memory_guard_install();
	memset(&bench, 0, sizeof(bench));
	memset(&fake, 0, sizeof(fake));
	assert_int_equal(loop_create(&loop_options, &bench.control), 0);
	assert_int_equal(loop_create(&loop_options, &bench.worker), 0);
	bench_turn();
	strcpy(bench.directory, "/tmp/viaduct-test-XXXXXX");
	assert_non_null(mkdtemp(bench.directory));
	snprintf(bench.path, sizeof(bench.path), "%s/disk.sock", bench.directory);
	bench.options = (struct vfio_user_options){
		.endpoint.name = "alice/disk",
		.endpoint.control = bench.control,
		.endpoint.socket = ENDPOINT_LISTEN,
		.endpoint.path = bench.path,
		.endpoint.fd = -1,
		.endpoint.owner = (uid_t)-1,
		.endpoint.group = (gid_t)-1,
		.endpoint.worker = bench_worker,
		.model = fake_ops,
		.device = &fake,
	};
	bench.fds_before = count_fds();
	assert_int_equal(vfio_user_create(&bench.options, &bench.endpoint), 0);
	return 0;
}

/* Every test ends with the proof that nothing is left: no function, no descriptor, no socket file. */
static int teardown(void **state)
{
	fake_let_go();
	endpoint_destroy(bench.endpoint, on_gone, NULL);
	/* A second, for writes that wait. */
	for (unsigned i = 0; i < 20 && !bench.gone; i++) {
		bench_settle();
		stopped_clock_ns += NS_PER_S;
	}
	assert_true(bench.gone);
	AWAIT(count_fds() == bench.fds_before, bench_turn());
	assert_int_equal(fake.powered, 0);
	assert_int_equal(rmdir(bench.directory), 0);
	loop_destroy(bench.control);
	loop_destroy(bench.worker);
	return 0;
}

/* Hands the endpoint to "another process", which lives on the same loops. The function is quiet. */
static void take_over(void)
{
	struct handover out = { 0 }, in;
	struct endpoint *successor;
	bool suspended = false;
	struct fake_function before;
	int pair[2];

	endpoint_suspend(bench.endpoint, on_suspended, &suspended);
	for (unsigned i = 0; i < 20 && !suspended; i++) {
		bench_settle();
		stopped_clock_ns += NS_PER_S;
	}
	assert_true(suspended);
	endpoint_save(bench.endpoint, &out);
	assert_int_equal(out.error, 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(handover_send(&out, pair[0], UINT64_MAX), 0);
	assert_int_equal(handover_receive(pair[1], &in), 0);
	close(pair[0]);
	close(pair[1]);
	/* There is one fake: the predecessor goes first, as far as that is concerned. */
	before = fake;
	endpoint_destroy(bench.endpoint, on_gone, NULL);
	AWAIT(bench.gone, bench_turn());
	bench.gone = false;
	assert_int_equal(fake.powered, 0);
	assert_int_equal(vfio_user_restore(&bench.options, &in, &successor), 0);
	assert_int_equal(in.position, in.length);
	assert_memory_equal(fake.bytes, before.bytes, sizeof(fake.bytes));
	handover_finish(&in);
	handover_finish(&out);
	bench.endpoint = successor;
	bench_settle();
}

/* ---- the VMM ---- */

struct reply {
	struct vfio_user_header header;
	uint8_t payload[VFIO_USER_MESSAGE_MAX];
	uint32_t bytes;
};

static int vmm_connect(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", bench.path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void tell(int vmm, uint16_t command, uint32_t flags, const void *payload, uint32_t bytes,
		 const int *fds, size_t fd_count)
{
	uint8_t message[VFIO_USER_MESSAGE_MAX + 64];
	const struct vfio_user_header header = {
		.id = ++bench.next_id,
		.command = command,
		.flags = flags,
		.size = (uint32_t)sizeof(header) + bytes,
	};

	memcpy(message, &header, sizeof(header));
	if (bytes > 0)
		memcpy(message + sizeof(header), payload, bytes);
	assert_int_equal(fd_send(vmm, message, header.size, fds, fd_count), header.size);
}

static bool readable(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, 0) > 0;
}

/* The next reply, which is the last message's; false: the connection has ended. */
static bool hear(int vmm, struct reply *ret_reply)
{
	ssize_t received;

	AWAIT(readable(vmm), bench_turn());
	received = recv(vmm, &ret_reply->header, sizeof(ret_reply->header), 0);
	if (received <= 0)
		return false;
	assert_int_equal(received, sizeof(ret_reply->header));
	assert_int_equal(ret_reply->header.id, bench.next_id);
	ret_reply->bytes = ret_reply->header.size - (uint32_t)sizeof(ret_reply->header);
	if (ret_reply->bytes > 0)
		assert_int_equal(recv(vmm, ret_reply->payload, ret_reply->bytes, MSG_WAITALL),
				 ret_reply->bytes);
	return true;
}

/* Returns the error of the answer. */
static uint32_t ask_with(int vmm, uint16_t command, const void *payload, uint32_t bytes, const int *fds,
			 size_t fd_count, struct reply *ret_reply)
{
	tell(vmm, command, 0, payload, bytes, fds, fd_count);
	assert_true(hear(vmm, ret_reply));
	assert_int_equal(ret_reply->header.command, command);
	assert_int_equal(ret_reply->header.flags,
			 VFIO_USER_TYPE_REPLY | (ret_reply->header.error ? VFIO_USER_FLAG_ERROR : 0));
	return ret_reply->header.error;
}

static uint32_t ask(int vmm, uint16_t command, const void *payload, uint32_t bytes)
{
	struct reply reply;

	return ask_with(vmm, command, payload, bytes, NULL, 0, &reply);
}

static int vmm_ready(void)
{
	const uint16_t version[2] = { 0, 1 };
	int vmm = vmm_connect();

	assert_int_equal(ask(vmm, VFIO_USER_VERSION, version, sizeof(version)), 0);
	return vmm;
}

static uint32_t store(int vmm, uint32_t region, uint64_t offset, uint64_t value, uint32_t bytes)
{
	struct vfio_user_region_write write = { .access = { offset, region, bytes } };

	memcpy(write.data, &value, sizeof(value));
	return ask(vmm, VFIO_USER_REGION_WRITE, &write, (uint32_t)sizeof(write.access) + bytes);
}

static uint64_t load(int vmm, uint32_t region, uint64_t offset, uint32_t bytes)
{
	const struct vfio_user_region_access access = { offset, region, bytes };
	struct reply reply;
	uint64_t value = 0;

	assert_int_equal(ask_with(vmm, VFIO_USER_REGION_READ, &access, sizeof(access), NULL, 0, &reply), 0);
	assert_int_equal(reply.bytes, sizeof(access) + bytes);
	memcpy(&value, reply.payload + sizeof(access), bytes);
	return value;
}

/* Gives the function an eventfd; the test keeps a descriptor of it. */
static inline int give_event(int vmm, uint32_t index, uint32_t start)
{
	const struct vfio_user_irq_set set = { 20, VFIO_USER_IRQ_FDS | VFIO_USER_IRQ_TRIGGER, index, start,
					       1 };
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct reply reply;

	assert_int_equal(ask_with(vmm, VFIO_USER_SET_IRQS, &set, sizeof(set), &fd, 1, &reply), 0);
	return fd;
}

static inline uint64_t told(int fd)
{
	uint64_t count = 0;

	bench_settle();
	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

#endif
