/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The vhost-user server with an honest front end: start, stop, memory, claims, reset. */
#include <pthread.h>

#include "vhost_user_bench.h"

static void features_and_configuration(void **state)
{
	struct bench *bench = *state;
	struct vhost_user_config config = { .size = 256 };
	int socket = frontend_connect(bench);
	uint64_t features = ask_u64(bench, socket, VHOST_USER_GET_FEATURES);
	struct reply reply;

	assert_true(features & 1ull << 9);
	assert_true(features & PROTOCOL_BIT30);
	assert_true(features & 1ull << VHOST_F_LOG_ALL);
	assert_int_equal(ask_u64(bench, socket, VHOST_USER_GET_PROTOCOL_FEATURES), ALL_PROTOCOL);
	handshake(bench, socket, BASIC_FEATURES);
	assert_int_equal(ask_u64(bench, socket, VHOST_USER_GET_QUEUE_NUM), FAKE_RINGS);
	assert_true(ask_u64(bench, socket, VHOST_USER_GET_MAX_MEM_SLOTS) >= 509);

	/* SPDK's initiator asks for all 256 bytes whatever the device has. */
	reply = ask(bench, socket, VHOST_USER_GET_CONFIG, &config, 12 + 256);
	assert_int_equal(reply.header.size, 12 + 256);
	assert_memory_equal(reply.payload.config.bytes, bench->device.config, CONFIG_BYTES);
	for (unsigned i = CONFIG_BYTES; i < 256; i++)
		assert_int_equal(reply.payload.config.bytes[i], 0);
	close(socket);
}

static void configuration_ranges(void **state)
{
	static const struct {
		uint32_t offset, size, sent, answered;
	} cases[] = {
		{ 0, CONFIG_BYTES, CONFIG_BYTES, CONFIG_BYTES },
		{ 32, 1, 1, 1 },
		{ 0, 8, 0, 8 },			/* header only: accepted */
		{ 0, 0, 0, 0 },
		{ 0, 257, 257, 0 },
		{ CONFIG_BYTES, 4, 4, 4 },	/* begins at the end: of a later specification */
		{ CONFIG_BYTES - 1, 4, 4, 4 },
		{ 255, 1, 1, 1 },
		{ 32, 225, 225, 0 },		/* ends beyond 256 */
		{ UINT32_MAX, 2, 2, 0 },	/* wraps */
		{ 0, 4, 8, 0 },			/* sizes disagree */
	};
	struct bench *bench = *state;
	int socket = frontend_connect(bench);

	handshake(bench, socket, BASIC_FEATURES);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t payload[12 + 300] = { 0 };
		uint32_t header[3] = { cases[i].offset, cases[i].size, 0 };
		struct reply reply;

		memcpy(payload, header, sizeof(header));
		reply = ask(bench, socket, VHOST_USER_GET_CONFIG, payload, 12 + cases[i].sent);
		assert_int_equal(reply.header.size, cases[i].answered ? 12 + cases[i].answered : 0);
		for (unsigned j = 0; j < cases[i].answered; j++) {
			unsigned at = cases[i].offset + j;

			assert_int_equal(reply.payload.config.bytes[j], at < CONFIG_BYTES ? at + 1 : 0);
		}
	}
	close(socket);
}

static void configuration_writes(void **state)
{
	struct bench *bench = *state;
	struct vhost_user_config config = { .offset = 32, .size = 1, .bytes = { 77 } };
	int socket = frontend_connect(bench);

	handshake(bench, socket, BASIC_FEATURES);
	assert_int_equal(tell(bench, socket, VHOST_USER_SET_CONFIG, &config, 13), 0);
	assert_int_equal(bench->device.config[32], 77);
	/* Ignored, as on a bus: there are front ends that end when a write of their driver's fails. */
	config.offset = 0;
	assert_int_equal(tell(bench, socket, VHOST_USER_SET_CONFIG, &config, 13), 0);
	assert_int_equal(bench->device.config[0], 1);
	config.offset = CONFIG_BYTES;
	assert_int_equal(tell(bench, socket, VHOST_USER_SET_CONFIG, &config, 13), 0);
	config.offset = 256;
	assert_int_not_equal(tell(bench, socket, VHOST_USER_SET_CONFIG, &config, 13), 0);
	config.offset = 32;
	config.flags = 2;
	assert_int_not_equal(tell(bench, socket, VHOST_USER_SET_CONFIG, &config, 13), 0);
	close(socket);
}

static void ring_starts_and_stops(void **state)
{
	struct bench *bench = *state;
	int socket = frontend_connect(bench), call = eventfd(0, EFD_CLOEXEC);
	const struct virtqueue_setup *setup;

	handshake(bench, socket, BASIC_FEATURES);
	assert_int_equal(add_region(bench, socket, 0), 0);
	assert_int_equal(stop_ring(bench, socket, 1), 0);
	assert_int_equal(tell_event(bench, socket, VHOST_USER_SET_VRING_CALL, 1, call), 0);
	prepare_ring(bench, socket, 1, 17);
	assert_null(fake_ring[1]);
	assert_int_equal(kick_ring(bench, socket, 1), 0);
	assert_non_null(fake_ring[1]);
	setup = &fake_ring[1]->setup;
	assert_int_equal(setup->size, RING_SIZE);
	assert_int_equal(setup->position.available_idx, 17);
	assert_true(setup->features == 1ull << VIRTIO_F_VERSION_1);
	assert_true(setup->kick_fd >= 0 && setup->call_fd >= 0);
	assert_false(setup->enabled);
	assert_true(setup->log_used_guest == ~0ull);
	assert_int_equal(tell_state(bench, socket, VHOST_USER_SET_VRING_ENABLE, 1, 1), 0);
	assert_true(setup->enabled);
	assert_int_equal(bench_status(bench).queues_running, 1);
	assert_int_equal(bench_status(bench).kicks, 3);

	fake_ring[1]->setup.position.available_idx = 4711;
	assert_int_equal(stop_ring(bench, socket, 1), 4711);
	assert_null(fake_ring[1]);
	assert_int_equal(bench_status(bench).queues_running, 0);
	assert_int_equal(bench_status(bench).kicks, 3);
	assert_int_equal(stop_ring(bench, socket, 1), 4711);
	close(call);
	close(socket);
}

static void packed_positions(void **state)
{
	struct bench *bench = *state;
	int socket = frontend_connect(bench);

	handshake(bench, socket, BASIC_FEATURES | 1ull << VIRTIO_F_RING_PACKED);
	assert_int_equal(add_region(bench, socket, 0), 0);
	/* A ring that was never set up stands at its beginning: both wrap counters 1. */
	assert_int_equal(stop_ring(bench, socket, 2), 0x80008000u);
	start_ring(bench, socket, 0, 0x8005u | 0x0009u << 16);
	assert_int_equal(fake_ring[0]->setup.position.available_idx, 5);
	assert_true(fake_ring[0]->setup.position.available_wrap);
	assert_int_equal(fake_ring[0]->setup.position.used_idx, 9);
	assert_false(fake_ring[0]->setup.position.used_wrap);
	assert_int_equal(stop_ring(bench, socket, 0), 0x8005u | 0x0009u << 16);
	/* DPDK's virtio-user says nothing of what was used. */
	start_ring(bench, socket, 0, 0x8003u);
	assert_int_equal(stop_ring(bench, socket, 0), 0x80038003u);
	/* A descriptor outside the ring. */
	prepare_ring(bench, socket, 0, RING_SIZE);
	assert_int_not_equal(kick_ring(bench, socket, 0), 0);
	assert_null(fake_ring[0]);
	/* Packed rings need no power of two. */
	assert_int_equal(tell_state(bench, socket, VHOST_USER_SET_VRING_NUM, 0, 3), 0);
	close(socket);
}

static void starts_when_complete(void **state)
{
	struct bench *bench = *state;
	struct vhost_user_vring_address address = ring_address(0);
	int socket = frontend_connect(bench);

	handshake(bench, socket, 1ull << VIRTIO_F_VERSION_1);
	assert_int_equal(tell_event(bench, socket, VHOST_USER_SET_VRING_KICK, VHOST_USER_VRING_NOFD, -1), 0);
	assert_null(fake_ring[0]);
	assert_int_equal(tell(bench, socket, VHOST_USER_SET_VRING_ADDR, &address, sizeof(address)), 0);
	assert_int_equal(tell_state(bench, socket, VHOST_USER_SET_VRING_NUM, 0, RING_SIZE), 0);
	assert_null(fake_ring[0]);
	assert_int_equal(add_region(bench, socket, 0), 0);
	assert_non_null(fake_ring[0]);
	assert_int_equal(fake_ring[0]->setup.kick_fd, -1);
	/* Without PROTOCOL_FEATURES the front end sends no SET_VRING_ENABLE. */
	assert_true(fake_ring[0]->setup.enabled);
	close(socket);
}

static void running_ring_is_protected(void **state)
{
	struct bench *bench = *state;
	struct vhost_user_vring_address address = ring_address(0);
	int socket = frontend_running(bench, 1), event = eventfd(0, EFD_CLOEXEC), old;

	assert_int_not_equal(tell_state(bench, socket, VHOST_USER_SET_VRING_NUM, 0, 32), 0);
	assert_int_not_equal(tell_state(bench, socket, VHOST_USER_SET_VRING_BASE, 0, 1), 0);
	address.descriptor += 0x100;
	assert_int_not_equal(tell(bench, socket, VHOST_USER_SET_VRING_ADDR, &address, sizeof(address)), 0);
	assert_int_not_equal(tell_u64(bench, socket, VHOST_USER_SET_FEATURES, PROTOCOL_BIT30), 0);
	assert_int_not_equal(tell_u64(bench, socket, VHOST_USER_SET_PROTOCOL_FEATURES, 0), 0);
	/* Descriptors may change at any time. */
	old = fake_ring[0]->setup.call_fd;
	assert_int_equal(old, -1);
	assert_int_equal(tell_event(bench, socket, VHOST_USER_SET_VRING_CALL, 0, event), 0);
	assert_true(fake_ring[0]->setup.call_fd >= 0);
	assert_int_equal(tell_event(bench, socket, VHOST_USER_SET_VRING_CALL, VHOST_USER_VRING_NOFD, -1), 0);
	assert_int_equal(fake_ring[0]->setup.call_fd, -1);
	assert_int_equal(tell_event(bench, socket, VHOST_USER_SET_VRING_KICK, 0, event), 0);
	assert_int_equal(fake_starts, 1);
	close(event);
	close(socket);
}

static void memory_changes_wait_for_requests(void **state)
{
	struct bench *bench = *state;
	int socket = frontend_running(bench, 2);
	struct vhost_user_single_region second = { .region = region_at(1) };
	struct reply reply;

	assert_int_equal(add_region(bench, socket, 1), 0);
	assert_int_equal(fake_ring[0]->memory->count, 2);
	fake_hold = true;
	send_message(socket, VHOST_USER_REM_MEM_REG, NEED_REPLY, &second, sizeof(second), NULL, 0);
	send_message(socket, VHOST_USER_GET_FEATURES, 0, NULL, 0, NULL, 0);
	bench_settle(bench);
	assert_false(readable(socket));
	assert_int_equal(fake_ring[1]->memory->count, 1);
	fake_let_go();
	assert_true(receive_reply(bench, socket, &reply));
	assert_int_equal(reply.header.request, VHOST_USER_REM_MEM_REG);
	assert_int_equal(reply.payload.u64, 0);
	assert_true(receive_reply(bench, socket, &reply));
	assert_int_equal(reply.header.request, VHOST_USER_GET_FEATURES);
	/* Twice: no such region any more. */
	assert_int_not_equal(tell(bench, socket, VHOST_USER_REM_MEM_REG, &second, sizeof(second)), 0);
	close(socket);
}

static void memory_table_replaces(void **state)
{
	struct bench *bench = *state;
	int socket = frontend_running(bench, 1),
	    fds[2] = { fd_memfd("a", MEMORY_BYTES), fd_memfd("b", MEMORY_BYTES) };
	struct vhost_user_memory_table table = { .count = 2, .region = { region_at(0), region_at(2) } };

	assert_int_equal(add_region(bench, socket, 1), 0);
	assert_int_equal(
		ask_with(bench, socket, VHOST_USER_SET_MEM_TABLE, &table, 8 + 64, fds, 2).payload.u64, 0);
	assert_int_equal(fake_ring[0]->memory->count, 2);
	assert_true(fake_ring[0]->memory->region[1].guest_address == region_at(2).guest_address);
	/* Overlapping regions: refused, the old set stays. */
	table.region[1].guest_address = table.region[0].guest_address;
	assert_int_not_equal(
		ask_with(bench, socket, VHOST_USER_SET_MEM_TABLE, &table, 8 + 64, fds, 2).payload.u64, 0);
	table.region[1] = region_at(1);
	table.region[1].size = MEMORY_BYTES * 2;
	assert_int_not_equal(
		ask_with(bench, socket, VHOST_USER_SET_MEM_TABLE, &table, 8 + 64, fds, 2).payload.u64, 0);
	table.region[1].size = 0;
	assert_int_not_equal(
		ask_with(bench, socket, VHOST_USER_SET_MEM_TABLE, &table, 8 + 64, fds, 2).payload.u64, 0);
	assert_int_equal(fake_ring[0]->memory->count, 2);
	close(fds[0]);
	close(fds[1]);
	close(socket);
}

static void many_regions_are_bounded(void **state)
{
	struct bench *bench = *state;
	int socket = frontend_connect(bench), fd = fd_memfd("test", 4096);
	struct vhost_user_single_region payload = { .region = { .size = 4096 } };
	unsigned added = 0;

	handshake(bench, socket, BASIC_FEATURES);
	for (unsigned i = 0; i < 520; i++) {
		payload.region.guest_address = payload.region.user_address = i * 0x10000ull;
		added += ask_with(bench, socket, VHOST_USER_ADD_MEM_REG, &payload, sizeof(payload), &fd, 1)
				 .payload.u64 == 0;
	}
	assert_int_equal(added, 509);
	close(fd);
	close(socket);
}

static void one_front_end_at_a_time(void **state)
{
	struct bench *bench = *state;
	int first = frontend_running(bench, 1), second = frontend_connect(bench),
	    third = frontend_connect(bench);

	handshake(bench, second, BASIC_FEATURES);
	assert_int_equal(add_region(bench, second, 0), 0);
	prepare_ring(bench, second, 0, 0);
	assert_int_not_equal(kick_ring(bench, second, 0), 0);
	assert_int_equal(bench_status(bench).connections, 3);
	/* The source of a migration stops, the target starts. */
	stop_ring(bench, first, 0);
	assert_int_equal(kick_ring(bench, second, 0), 0);
	assert_int_equal(bench->device.resets, 0);
	close(first);
	TURN_UNTIL(bench, bench_status(bench).connections == 2);
	assert_int_equal(bench->device.resets, 0);
	assert_non_null(fake_ring[0]);
	close(second);
	TURN_UNTIL(bench, bench->device.resets == 1);
	assert_int_equal(bench_status(bench).connections, 1);
	close(third);
}

static void start_waits_for_the_dead(void **state)
{
	struct bench *bench = *state;
	int first = frontend_running(bench, 1), second = frontend_connect(bench);
	int event = eventfd(0, EFD_CLOEXEC);
	uint64_t index = 0;
	struct reply reply;

	handshake(bench, second, BASIC_FEATURES);
	assert_int_equal(add_region(bench, second, 0), 0);
	prepare_ring(bench, second, 0, 7);
	fake_hold = true;
	/* No turn between: the hang-up of the first is not yet read when the second starts. */
	close(first);
	send_message(second, VHOST_USER_SET_VRING_KICK, NEED_REPLY, &index, sizeof(index), &event, 1);
	bench_settle(bench);
	assert_false(readable(second));
	assert_int_equal(fake_ring[0]->setup.position.available_idx, 0);
	fake_let_go();
	assert_true(receive_reply(bench, second, &reply));
	assert_int_equal(reply.payload.u64, 0);
	assert_int_equal(fake_ring[0]->setup.position.available_idx, 7);
	close(event);
	close(second);
}

static void disconnect_drains(void **state)
{
	struct bench *bench = *state;
	int socket = frontend_running(bench, 3);

	fake_hold = true;
	close(socket);
	TURN_UNTIL(bench, bench_status(bench).connections == 0);
	bench_settle(bench);
	assert_non_null(fake_ring[2]);
	assert_int_equal(bench->device.resets, 0);
	fake_let_go();
	TURN_UNTIL(bench, bench->device.resets == 1);
	assert_null(fake_ring[2]);
	assert_int_equal(bench_status(bench).kicks, 9);
}

static void broken_ring(void **state)
{
	struct bench *bench = *state;
	int socket = frontend_running(bench, 2), channel[2], err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct vhost_user_header news;
	uint64_t value = 0;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, channel), 0);
	assert_int_equal(
		ask_with(bench, socket, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &channel[1], 1).payload.u64,
		0);
	assert_int_equal(tell_event(bench, socket, VHOST_USER_SET_VRING_ERR, 0, err), 0);
	assert_int_equal(tell_u64(bench, socket, VHOST_USER_SET_STATUS, 0xf), 0);
	assert_int_equal(ask_u64(bench, socket, VHOST_USER_GET_STATUS), 0xf);

	fake_ring[0]->setup.broken(fake_ring[0]->setup.context, VIOLATION_LOOP, 99);
	TURN_UNTIL(bench, read(err, &value, sizeof(value)) == sizeof(value));
	TURN_UNTIL(bench, !fake_ring[1]->setup.enabled);
	assert_int_equal(recv(channel[0], &news, sizeof(news), MSG_DONTWAIT), sizeof(news));
	assert_int_equal(news.request, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG);
	assert_int_equal(ask_u64(bench, socket, VHOST_USER_GET_STATUS), 0x4f);
	assert_true(bench_status(bench).broken);
	assert_int_equal(bench_status(bench).violations[VIOLATION_LOOP - 1].count, 1);
	assert_int_equal(tell_state(bench, socket, VHOST_USER_SET_VRING_ENABLE, 1, 1), 0);
	assert_false(fake_ring[1]->setup.enabled);

	assert_int_equal(tell_u64(bench, socket, VHOST_USER_SET_STATUS, 0), 0);
	assert_null(fake_ring[0]);
	assert_null(fake_ring[1]);
	assert_int_equal(ask_u64(bench, socket, VHOST_USER_GET_STATUS), 0);
	assert_int_equal(bench->device.resets, 1);
	start_ring(bench, socket, 0, 0);
	assert_false(bench_status(bench).broken);
	/* A new start of the broken ring alone heals the device too. */
	start_ring(bench, socket, 1, 0);
	fake_ring[0]->setup.broken(fake_ring[0]->setup.context, VIOLATION_HEAD, 1);
	TURN_UNTIL(bench, !fake_ring[1]->setup.enabled);
	stop_ring(bench, socket, 0);
	TURN_UNTIL(bench, fake_ring[1]->setup.enabled);
	assert_int_equal(tell(bench, socket, VHOST_USER_RESET_DEVICE, NULL, 0), 0);
	close(err);
	close(channel[0]);
	close(channel[1]);
	close(socket);
}

/* An err counter that is full, in blocking mode, holds up no other front end and ends with its connection. */
static void err_descriptor_full(void **state)
{
	struct bench *bench = *state;
	int socket = frontend_running(bench, 1), err = eventfd(0, EFD_CLOEXEC);
	uint64_t full = UINT64_MAX - 1;

	assert_int_equal(write(err, &full, sizeof(full)), sizeof(full));
	assert_int_equal(tell_event(bench, socket, VHOST_USER_SET_VRING_ERR, 0, err), 0);
	fake_ring[0]->setup.broken(fake_ring[0]->setup.context, VIOLATION_LOOP, 99);
	TURN_UNTIL(bench, bench_status(bench).broken);
	assert_int_equal(ask_u64(bench, socket, VHOST_USER_GET_STATUS), 0x40);
	close(socket);
	TURN_UNTIL(bench, bench->device.resets == 1);
	close(err);
}

static void start_failure(void **state)
{
	struct bench *bench = *state;
	int socket = frontend_connect(bench);

	handshake(bench, socket, BASIC_FEATURES);
	assert_int_equal(add_region(bench, socket, 0), 0);
	prepare_ring(bench, socket, 0, 0);
	fake_start_error = -ENOMEM;
	assert_int_not_equal(kick_ring(bench, socket, 0), 0);
	assert_false(bench_status(bench).broken);
	fake_start_error = -EFAULT;
	assert_int_not_equal(kick_ring(bench, socket, 0), 0);
	assert_true(bench_status(bench).broken);
	fake_start_error = 0;
	stop_ring(bench, socket, 0);
	assert_int_equal(kick_ring(bench, socket, 0), 0);
	assert_false(bench_status(bench).broken);
	close(socket);
}

static void *run_worker(void *loop)
{
	return loop_run(loop) == 0 ? NULL : loop;
}

/*
 * As in the daemon: for the thread sanitizer to look at. The rings are the worker's, the test sees replies
 * only.
 */
static void worker_on_its_own_thread(void **state)
{
	struct bench *bench = *state;
	struct loop_options options = { .name = "worker", .entries = 64 };
	struct vhost_user_single_region second = { .region = region_at(1) };
	struct loop *idle = bench->worker;
	pthread_t thread;
	void *failed;
	int socket;

	assert_int_equal(loop_create(&options, &bench->worker), 0);
	bench->threaded = true;
	assert_int_equal(pthread_create(&thread, NULL, run_worker, bench->worker), 0);
	for (unsigned i = 0; i < 20; i++) {
		socket = frontend_running(bench, 3);
		for (unsigned k = 0; k < 5; k++) {
			assert_int_equal(add_region(bench, socket, 1), 0);
			assert_int_equal(bench_status(bench).queues_running, 3);
			assert_int_equal(tell(bench, socket, VHOST_USER_REM_MEM_REG, &second, sizeof(second)),
					 0);
		}
		stop_ring(bench, socket, 1);
		assert_int_equal(tell(bench, socket, VHOST_USER_RESET_DEVICE, NULL, 0), 0);
		start_ring(bench, socket, 2, 0);
		close(socket);
	}
	TURN_UNTIL(bench, bench_status(bench).connections == 0 && bench->device.resets == 40);
	endpoint_destroy(bench->endpoint, on_gone, bench);
	TURN_UNTIL(bench, bench->gone);
	bench->endpoint = NULL;
	loop_stop(bench->worker);
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed);
	loop_destroy(bench->worker);
	bench->worker = idle;
	bench->threaded = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(features_and_configuration),
		BENCH_TEST(configuration_ranges),
		BENCH_TEST(configuration_writes),
		BENCH_TEST(ring_starts_and_stops),
		BENCH_TEST(packed_positions),
		BENCH_TEST(starts_when_complete),
		BENCH_TEST(running_ring_is_protected),
		BENCH_TEST(memory_changes_wait_for_requests),
		BENCH_TEST(memory_table_replaces),
		BENCH_TEST(many_regions_are_bounded),
		BENCH_TEST(one_front_end_at_a_time),
		BENCH_TEST(start_waits_for_the_dead),
		BENCH_TEST(disconnect_drains),
		BENCH_TEST(broken_ring),
		BENCH_TEST(err_descriptor_full),
		BENCH_TEST(start_failure),
		BENCH_TEST(worker_on_its_own_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
