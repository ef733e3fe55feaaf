/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The vhost-user server across time: migration's dirty log, INFLIGHT files, takeover by a successor. */
#include "vhost_user_bench.h"

static void migration_logging(void **state)
{
	struct bench *bench = *state;
	int socket = frontend_running(bench, 1), fd = fd_memfd("log", 8192);
	struct vhost_user_log log = { .bytes = 4096, .offset = 4096 };
	struct vhost_user_vring_address address = ring_address(0);
	uint8_t *bitmap = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);

	assert_null(fake_ring[0]->log);
	assert_int_equal(
		ask_with(bench, socket, VHOST_USER_SET_LOG_BASE, &log, sizeof(log), &fd, 1).payload.u64, 0);
	assert_null(fake_ring[0]->log);
	assert_int_equal(
		tell_u64(bench, socket, VHOST_USER_SET_FEATURES, BASIC_FEATURES | 1ull << VHOST_F_LOG_ALL),
		0);
	assert_non_null(fake_ring[0]->log);
	assert_true(fake_ring[0]->setup.log_used_guest == ~0ull);
	address.flags = VHOST_USER_VRING_F_LOG;
	assert_int_equal(tell(bench, socket, VHOST_USER_SET_VRING_ADDR, &address, sizeof(address)), 0);
	assert_true(fake_ring[0]->setup.log_used_guest == address.log);
	dirty_log_mark(fake_ring[0]->log, 3 * 4096, 1);
	assert_int_equal(bitmap[4096], 1 << 3);

	log.offset = UINT64_MAX - 4095;
	assert_int_not_equal(
		ask_with(bench, socket, VHOST_USER_SET_LOG_BASE, &log, sizeof(log), &fd, 1).payload.u64, 0);
	log.offset = 8192;
	assert_int_not_equal(
		ask_with(bench, socket, VHOST_USER_SET_LOG_BASE, &log, sizeof(log), &fd, 1).payload.u64, 0);
	address.flags = 0;
	assert_int_equal(tell(bench, socket, VHOST_USER_SET_VRING_ADDR, &address, sizeof(address)), 0);
	assert_int_equal(tell_u64(bench, socket, VHOST_USER_SET_FEATURES, BASIC_FEATURES), 0);
	assert_null(fake_ring[0]->log);
	munmap(bitmap, 8192);
	close(fd);
	close(socket);
}

static void inflight_round_trip(void **state)
{
	struct bench *bench = *state;
	int socket = frontend_connect(bench), small = fd_memfd("small", 4096);
	struct vhost_user_inflight_description ask_for = { .queues = 2, .queue_size = RING_SIZE };
	struct reply reply;

	handshake(bench, socket, BASIC_FEATURES);
	reply = ask(bench, socket, VHOST_USER_GET_INFLIGHT_FD, &ask_for, 24);
	assert_int_equal(reply.header.size, 24);
	assert_true(reply.fd >= 0);
	assert_true(reply.payload.inflight.bytes == 2 * inflight_region_bytes(false, RING_SIZE));
	ask_for = reply.payload.inflight;
	assert_int_equal(
		ask_with(bench, socket, VHOST_USER_SET_INFLIGHT_FD, &ask_for, 20, &reply.fd, 1).payload.u64,
		0);
	assert_int_equal(add_region(bench, socket, 0), 0);
	start_ring(bench, socket, 0, 0);
	start_ring(bench, socket, 1, 0);
	start_ring(bench, socket, 2, 0);
	assert_ptr_equal((uint8_t *)fake_ring[0]->setup.inflight + inflight_region_bytes(false, RING_SIZE),
			 fake_ring[1]->setup.inflight);
	assert_null(fake_ring[2]->setup.inflight);
	/* Not under running rings. */
	assert_int_not_equal(
		ask_with(bench, socket, VHOST_USER_SET_INFLIGHT_FD, &ask_for, 24, &reply.fd, 1).payload.u64,
		0);
	for (unsigned i = 0; i < 3; i++)
		stop_ring(bench, socket, i);
	ask_for.bytes = 8192;
	assert_int_not_equal(
		ask_with(bench, socket, VHOST_USER_SET_INFLIGHT_FD, &ask_for, 24, &small, 1).payload.u64, 0);
	/* Too small for its own numbers: seen when the ring starts. */
	ask_for.bytes = 64;
	assert_int_equal(
		ask_with(bench, socket, VHOST_USER_SET_INFLIGHT_FD, &ask_for, 24, &small, 1).payload.u64, 0);
	assert_int_not_equal(kick_ring(bench, socket, 0), 0);
	close(reply.fd);
	close(small);
	close(socket);
}

static void takeover(void **state)
{
	struct bench *bench = *state;
	int socket = frontend_running(bench, 2), waiting = frontend_connect(bench), late;
	uint8_t half[12] = { VHOST_USER_GET_FEATURES, 0, 0, 0, VHOST_USER_VERSION };
	struct reply reply;

	handshake(bench, waiting, BASIC_FEATURES);
	assert_int_equal(add_region(bench, socket, 1), 0);
	fake_ring[1]->setup.position.available_idx = 99;
	assert_int_equal(send(socket, half, 5, 0), 5);
	bench_settle(bench);
	bench->device.resets = 0;
	take_over(bench);
	TURN_UNTIL(bench, fake_ring[0] && fake_ring[1]);
	assert_int_equal(fake_ring[1]->setup.position.available_idx, 99);
	assert_true(fake_ring[1]->setup.enabled);
	assert_int_equal(fake_ring[1]->memory->count, 2);
	assert_int_equal(bench->device.resets, 0);
	/* The half message ends, and is answered. */
	assert_int_equal(send(socket, half + 5, 7, 0), 7);
	assert_true(receive_reply(bench, socket, &reply));
	assert_int_equal(reply.header.request, VHOST_USER_GET_FEATURES);
	assert_int_equal(bench_status(bench).connections, 2);
	late = frontend_connect(bench);
	handshake(bench, late, BASIC_FEATURES);
	assert_int_equal(stop_ring(bench, socket, 1), 99);
	close(socket);
	close(waiting);
	close(late);
}

/* A broken ring does not keep the successor from taking over, and its guest can reset the device later. */
static void takeover_of_a_broken_ring(void **state)
{
	struct bench *bench = *state;
	int socket = frontend_running(bench, 2);

	fake_ring[0]->setup.broken(fake_ring[0]->setup.context, VIOLATION_HEAD, 1);
	TURN_UNTIL(bench, bench_status(bench).broken);
	take_over(bench);
	TURN_UNTIL(bench, fake_ring[1]);
	assert_null(fake_ring[0]);
	assert_true(bench_status(bench).broken);
	stop_ring(bench, socket, 0);
	assert_false(bench_status(bench).broken);
	start_ring(bench, socket, 0, 0);
	assert_non_null(fake_ring[0]);
	close(socket);
}

/* A file that shrank since it was sent ends its front end's connection, not the takeover. */
static void takeover_of_lost_memory(void **state)
{
	struct bench *bench = *state;
	int socket = frontend_running(bench, 1), other = frontend_connect(bench),
	    fd = memfd_create("shrinks", 0);
	struct vhost_user_single_region region = {
		.region = { .guest_address = 1ull << 40, .size = 1 << 20, .user_address = 1ull << 41 },
	};

	handshake(bench, other, BASIC_FEATURES);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(
		ask_with(bench, socket, VHOST_USER_ADD_MEM_REG, &region, sizeof(region), &fd, 1).payload.u64,
		0);
	assert_int_equal(ftruncate(fd, 0), 0);
	take_over(bench);
	TURN_UNTIL(bench, bench_status(bench).connections == 1);
	assert_null(fake_ring[0]);
	assert_int_equal(add_region(bench, other, 0), 0);
	start_ring(bench, other, 0, 0);
	assert_non_null(fake_ring[0]);
	close(fd);
	close(socket);
	close(other);
}

/* The stream of a predecessor that asked nothing on the back-end channel: one front end, no ring. */
static void put_format_1(struct handover *out, int socket, int channel)
{
	const uint64_t endpoint[] = { 0, 0, 0, 1, 0, 0, 0 };	/* file, counters, kinds of violations */
	const struct vhost_user_vring_address address = { 0 };
	const uint64_t counts[4] = { 0 };

	handover_put_u64(out, 1);
	handover_put_fd(out, -1);
	for (size_t i = 0; i < sizeof(endpoint) / sizeof(endpoint[0]); i++)
		handover_put_u64(out, endpoint[i]);
	handover_put_bytes(out, counts, sizeof(counts));
	handover_put_u64(out, 1);
	handover_put_fd(out, socket);
	handover_put_u64(out, 0);
	handover_put_u64(out, 0);
	handover_put_u64(out, 1);
	handover_put_u64(out, BASIC_FEATURES);
	handover_put_u64(out, 1);
	handover_put_u64(out, ALL_PROTOCOL);
	handover_put_u64(out, 0);
	handover_put_u64(out, 1);
	handover_put_fd(out, channel);
	handover_put_bytes(out, "", 0);
	handover_put_bytes(out, "", 0);
	handover_put_u64(out, 0);
	handover_put_u64(out, 0);
	handover_put_fd(out, -1);
	handover_put_fd(out, -1);
	handover_put_u64(out, FAKE_RINGS);
	for (unsigned i = 0; i < FAKE_RINGS; i++) {
		handover_put_u64(out, 0);
		handover_put_u64(out, 0);
		handover_put_bytes(out, &address, sizeof(address));
		for (unsigned k = 0; k < 6; k++)
			handover_put_u64(out, 0);
		for (unsigned k = 0; k < 3; k++)
			handover_put_fd(out, -1);
	}
}

static void takeover_of_format_1(void **state)
{
	struct bench *bench = *state;
	struct handover out = { 0 }, in;
	int pair[2], front[2], channel[2];

	endpoint_destroy(bench->endpoint, on_gone, bench);
	TURN_UNTIL(bench, bench->gone);
	bench->gone = false;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, front), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel), 0);
	put_format_1(&out, front[1], channel[1]);
	assert_int_equal(out.error, 0);
	assert_int_equal(handover_send(&out, pair[0], UINT64_MAX), 0);
	assert_int_equal(handover_receive(pair[1], &in), 0);
	assert_int_equal(vhost_user_restore(&bench->options, &in, &bench->endpoint), 0);
	assert_int_equal(in.position, in.length);
	handover_finish(&in);
	handover_finish(&out);
	/* The configuration changed before: the successor tells, and asks for an answer as it always does. */
	TURN_UNTIL(bench, readable(channel[0]));
	assert_int_equal(ask_u64(bench, front[0], VHOST_USER_GET_PROTOCOL_FEATURES), ALL_PROTOCOL);
	assert_int_equal(bench_status(bench).connects, 1);
	for (unsigned i = 0; i < 2; i++) {
		close(pair[i]);
		close(front[i]);
		close(channel[i]);
	}
}

static void suspend_and_go_on(void **state)
{
	struct bench *bench = *state;
	int socket = frontend_running(bench, 1);
	bool suspended = false;

	fake_hold = true;
	endpoint_suspend(bench->endpoint, on_suspended, &suspended);
	bench_settle(bench);
	assert_false(suspended);
	fake_let_go();
	TURN_UNTIL(bench, suspended);
	send_message(socket, VHOST_USER_GET_FEATURES, 0, NULL, 0, NULL, 0);
	bench_settle(bench);
	assert_false(readable(socket));
	endpoint_resume(bench->endpoint);
	TURN_UNTIL(bench, fake_ring[0]);
	TURN_UNTIL(bench, readable(socket));
	close(socket);
}

static void takeover_of_nonsense(void **state)
{
	struct bench *bench = *state;
	struct endpoint *endpoint = NULL;
	struct handover nonsense = { 0 };

	handover_put_u64(&nonsense, 1);
	handover_put_string(&nonsense, "not an endpoint");
	nonsense.fd_position = 0;
	assert_int_equal(vhost_user_restore(&bench->options, &nonsense, &endpoint), -EBADMSG);
	assert_null(endpoint);
	handover_finish(&nonsense);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(migration_logging),
		BENCH_TEST(inflight_round_trip),
		BENCH_TEST(takeover),
		BENCH_TEST(takeover_of_a_broken_ring),
		BENCH_TEST(takeover_of_lost_memory),
		BENCH_TEST(takeover_of_format_1),
		BENCH_TEST(suspend_and_go_on),
		BENCH_TEST(takeover_of_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
