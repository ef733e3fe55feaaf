/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The back-end channel: messages of ours, and the answers of friendly and hostile front ends. */
#include "vhost_user_bench.h"

#include "interfaces/vhost_user/vhost_user_connection.h"

/* ---- the front end's side ---- */

/* The end of the channel that the front end keeps. */
static int open_channel(struct bench *bench, int socket)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(
		ask_with(bench, socket, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1).payload.u64, 0);
	close(pair[1]);
	return pair[0];
}

static const struct vhost_user_backend *backend_of(const struct bench *bench)
{
	return &vhost_user_endpoint_of(bench->endpoint)->connections->backend;
}

/* Every message that is there now; returns their number. */
static unsigned take_messages(int channel, uint32_t flags)
{
	struct vhost_user_header header;
	unsigned count = 0;

	while (recv(channel, &header, sizeof(header), MSG_DONTWAIT) == sizeof(header)) {
		assert_int_equal(header.request, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG);
		assert_int_equal(header.flags, VHOST_USER_VERSION | flags);
		assert_int_equal(header.size, 0);
		count++;
	}
	return count;
}

static void make_answer(uint8_t *bytes, uint32_t request, uint32_t flags, uint32_t size, uint64_t value)
{
	struct vhost_user_header header = { request, flags, size };

	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + sizeof(header), &value, sizeof(value));
}

static void send_answer(int channel, uint64_t value)
{
	uint8_t bytes[VHOST_USER_ANSWER_BYTES];

	make_answer(bytes, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY,
		    sizeof(value), value);
	assert_int_equal(send(channel, bytes, sizeof(bytes), MSG_NOSIGNAL), sizeof(bytes));
}

static void change_times(struct bench *bench, unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		endpoint_config_changed(bench->endpoint);
}

/* The channel was given up; the connection was not, and takes a new channel that works. */
static void expect_channel_lost(struct bench *bench, int socket, int channel)
{
	unsigned before;

	TURN_UNTIL(bench, backend_of(bench)->fd < 0);
	before = (unsigned)bench_status(bench).protocol_errors;
	assert_int_equal(backend_of(bench)->asked_count, 0);
	take_messages(channel, NEED_REPLY);
	assert_true(closed_by_peer(bench, channel));
	close(channel);
	channel = open_channel(bench, socket);
	change_times(bench, 1);
	assert_int_equal(take_messages(channel, NEED_REPLY), 1);
	send_answer(channel, 0);
	TURN_UNTIL(bench, backend_of(bench)->asked_count == 0);
	assert_true(backend_of(bench)->fd >= 0);
	assert_int_equal(bench_status(bench).protocol_errors, before);
	close(channel);
	close(socket);
}

static int frontend_with_channel(struct bench *bench, int *ret_channel)
{
	int socket = frontend_connect(bench);

	handshake(bench, socket, BASIC_FEATURES);
	*ret_channel = open_channel(bench, socket);
	return socket;
}

/* ---- friendly ---- */

static void answers_are_matched(void **state)
{
	struct bench *bench = *state;
	int channel, socket = frontend_with_channel(bench, &channel);

	change_times(bench, 1);
	assert_int_equal(take_messages(channel, NEED_REPLY), 1);
	assert_int_equal(backend_of(bench)->asked_count, 1);
	send_answer(channel, 0);
	TURN_UNTIL(bench, backend_of(bench)->asked_count == 0);
	/* A front end that could not do it has answered all the same. */
	change_times(bench, 3);
	assert_int_equal(take_messages(channel, NEED_REPLY), 3);
	for (unsigned i = 0; i < 3; i++)
		send_answer(channel, i);
	TURN_UNTIL(bench, backend_of(bench)->asked_count == 0);
	assert_true(backend_of(bench)->fd >= 0);
	assert_int_equal(bench_status(bench).protocol_errors, 0);
	/* Answered: time means nothing. */
	stopped_clock_ns += 2 * VHOST_USER_ANSWER_NS;
	bench_settle(bench);
	assert_true(backend_of(bench)->fd >= 0);
	close(channel);
	TURN_UNTIL(bench, backend_of(bench)->fd < 0);
	assert_int_equal(bench_status(bench).protocol_errors, 0);
	close(socket);
}

/* QEMU drops what it is told while its guest is paused, which it is while no ring runs. */
static void told_again_when_rings_start(void **state)
{
	struct bench *bench = *state;
	int channel, socket = frontend_running(bench, 0);

	channel = open_channel(bench, socket);
	start_ring(bench, socket, 0, 0);
	assert_int_equal(take_messages(channel, NEED_REPLY), 0);
	change_times(bench, 1);
	assert_int_equal(take_messages(channel, NEED_REPLY), 1);
	send_answer(channel, 0);
	for (unsigned round = 0; round < 2; round++) {
		stop_ring(bench, socket, 0);
		change_times(bench, round + 1);
		assert_int_equal(take_messages(channel, NEED_REPLY), round + 1);
		start_ring(bench, socket, 0, 0);
		TURN_UNTIL(bench, backend_of(bench)->asked_count == round + 2);
		assert_int_equal(take_messages(channel, NEED_REPLY), 1);
		for (unsigned i = 0; i < round + 2; i++)
			send_answer(channel, 0);
		TURN_UNTIL(bench, backend_of(bench)->asked_count == 0);
	}
	/* Nothing has changed since, and once is enough. */
	stop_ring(bench, socket, 0);
	start_ring(bench, socket, 0, 0);
	assert_int_equal(take_messages(channel, NEED_REPLY), 0);
	stop_ring(bench, socket, 0);
	close(channel);
	close(socket);
}

static void nothing_is_asked_without_reply_ack(void **state)
{
	struct bench *bench = *state;
	uint64_t protocol = ALL_PROTOCOL & ~VHOST_USER_PROTOCOL_BIT(REPLY_ACK);
	int socket = frontend_connect(bench), channel;

	handshake(bench, socket, BASIC_FEATURES);
	channel = open_channel(bench, socket);
	send_message(socket, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &protocol, sizeof(protocol), NULL, 0);
	ask_u64(bench, socket, VHOST_USER_GET_FEATURES);
	change_times(bench, 20);
	assert_int_equal(take_messages(channel, 0), 20);
	stopped_clock_ns += 2 * VHOST_USER_ANSWER_NS;
	bench_settle(bench);
	assert_true(backend_of(bench)->fd >= 0);
	send_answer(channel, 0);
	TURN_UNTIL(bench, backend_of(bench)->fd < 0);
	close(channel);
	close(socket);
}

static void answer_byte_by_byte(void **state)
{
	struct bench *bench = *state;
	int channel, socket = frontend_with_channel(bench, &channel);
	uint8_t bytes[VHOST_USER_ANSWER_BYTES];

	change_times(bench, 1);
	make_answer(bytes, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY,
		    8, 0);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		assert_int_equal(backend_of(bench)->asked_count, 1);
		assert_int_equal(send(channel, bytes + i, 1, MSG_NOSIGNAL), 1);
		TURN_UNTIL(bench, backend_of(bench)->received == (i + 1) % sizeof(bytes));
	}
	assert_int_equal(backend_of(bench)->asked_count, 0);
	close(channel);
	close(socket);
}

/* Messages beyond the bound wait, and changes that wait are one. */
static void queue_is_bounded(void **state)
{
	struct bench *bench = *state;
	int channel, socket = frontend_with_channel(bench, &channel);

	change_times(bench, 1000);
	assert_int_equal(take_messages(channel, NEED_REPLY), VHOST_USER_ASKED_MAX);
	bench_settle(bench);
	assert_int_equal(take_messages(channel, NEED_REPLY), 0);
	send_answer(channel, 0);
	TURN_UNTIL(bench, readable(channel));
	bench_settle(bench);
	assert_int_equal(take_messages(channel, NEED_REPLY), 1);
	assert_int_equal(backend_of(bench)->asked_count, VHOST_USER_ASKED_MAX);
	for (unsigned i = 0; i < VHOST_USER_ASKED_MAX; i++)
		send_answer(channel, 0);
	TURN_UNTIL(bench, backend_of(bench)->asked_count == 0);
	bench_settle(bench);
	assert_int_equal(take_messages(channel, NEED_REPLY), 0);
	assert_int_equal(bench_status(bench).protocol_errors, 0);
	close(channel);
	close(socket);
}

/* ---- hostile ---- */

static void lying_answers(void **state)
{
	const uint32_t request = VHOST_USER_BACKEND_CONFIG_CHANGE_MSG,
		       flags = VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY;
	const uint32_t headers[][3] = {
		{ 0, flags, 8 },
		{ request + 1, flags, 8 },
		{ UINT32_MAX, flags, 8 },
		{ request, VHOST_USER_VERSION, 8 },		/* not an answer */
		{ request, flags | NEED_REPLY, 8 },
		{ request, VHOST_USER_FLAG_REPLY, 8 },		/* version 0 */
		{ request, flags | 0x10, 8 },
		{ request, flags, 0 },
		{ request, flags, 4 },
		{ request, flags, 12 },
		{ request, flags, UINT32_MAX },
	};
	struct bench *bench = *state;

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		int channel, socket = frontend_with_channel(bench, &channel);
		uint8_t bytes[VHOST_USER_ANSWER_BYTES];

		change_times(bench, 2);
		make_answer(bytes, headers[i][0], headers[i][1], headers[i][2], 0);
		assert_int_equal(send(channel, bytes, sizeof(bytes), MSG_NOSIGNAL), sizeof(bytes));
		expect_channel_lost(bench, socket, channel);
		TURN_UNTIL(bench, bench_status(bench).connections == 0);
		assert_int_equal(bench_status(bench).protocol_errors, i + 1);
	}
}

static void answer_to_nothing(void **state)
{
	struct bench *bench = *state;
	int channel, socket = frontend_with_channel(bench, &channel);

	/* The first answer was asked for, the second was not; one byte of it is enough. */
	change_times(bench, 1);
	send_answer(channel, 0);
	assert_int_equal(send(channel, "", 1, MSG_NOSIGNAL), 1);
	expect_channel_lost(bench, socket, channel);
}

static void answer_with_a_descriptor(void **state)
{
	struct bench *bench = *state;
	int channel, socket = frontend_with_channel(bench, &channel);
	uint8_t bytes[VHOST_USER_ANSWER_BYTES];
	int fds[3] = { channel, socket, channel };

	change_times(bench, 1);
	make_answer(bytes, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY,
		    8, 0);
	assert_int_equal(fd_send(channel, bytes, sizeof(bytes), fds, 3), sizeof(bytes));
	expect_channel_lost(bench, socket, channel);
}

/* Also one that begins an answer and does not end it. */
static void silence(void **state)
{
	struct bench *bench = *state;

	for (unsigned begun = 0; begun <= 15; begun += 5) {
		int channel, socket = frontend_with_channel(bench, &channel);
		uint8_t bytes[VHOST_USER_ANSWER_BYTES];

		change_times(bench, 1);
		stopped_clock_ns += NS_PER_S;
		change_times(bench, 1);
		make_answer(bytes, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG,
			    VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY, 8, 0);
		assert_int_equal(send(channel, bytes, begun, MSG_NOSIGNAL), begun);
		TURN_UNTIL(bench, backend_of(bench)->received == begun);
		stopped_clock_ns += VHOST_USER_ANSWER_NS - NS_PER_S - 1;
		bench_settle(bench);
		assert_int_equal(backend_of(bench)->asked_count, 2);
		stopped_clock_ns += 1;
		expect_channel_lost(bench, socket, channel);
		TURN_UNTIL(bench, bench_status(bench).connections == 0);
	}
}

static void flood(void **state)
{
	struct bench *bench = *state;
	int channel, socket = frontend_with_channel(bench, &channel);
	uint8_t bytes[VHOST_USER_ANSWER_BYTES];

	make_answer(bytes, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY,
		    8, 0);
	change_times(bench, 2);
	while (send(channel, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	expect_channel_lost(bench, socket, channel);
	assert_int_equal(bench_status(bench).protocol_errors, 1);
}

/* Neither reads nor answers, with a socket that is full. */
static void full_for_too_long(void **state)
{
	struct bench *bench = *state;
	int socket = frontend_connect(bench), pair[2];
	char fill[4096] = { 0 };

	handshake(bench, socket, BASIC_FEATURES);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	while (send(pair[1], fill, sizeof(fill), MSG_DONTWAIT) > 0)
		;
	assert_int_equal(
		ask_with(bench, socket, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1).payload.u64, 0);
	close(pair[1]);
	change_times(bench, 1);
	stopped_clock_ns += VHOST_USER_CHANNEL_NS;
	bench_settle(bench);
	assert_true(backend_of(bench)->fd >= 0);
	stopped_clock_ns += NS_PER_S;
	TURN_UNTIL(bench, backend_of(bench)->fd < 0);
	assert_int_equal(bench_status(bench).connections, 1);
	close(pair[0]);
	close(socket);
}

/* ---- takeover ---- */

static void takeover_with_questions(void **state)
{
	struct bench *bench = *state;
	int channel, socket = frontend_with_channel(bench, &channel);
	uint8_t bytes[VHOST_USER_ANSWER_BYTES];

	change_times(bench, 3);
	make_answer(bytes, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY,
		    8, 0);
	assert_int_equal(send(channel, bytes, 13, MSG_NOSIGNAL), 13);
	TURN_UNTIL(bench, backend_of(bench)->received == 13);
	stopped_clock_ns += VHOST_USER_ANSWER_NS - 1;
	take_over(bench);
	assert_int_equal(backend_of(bench)->asked_count, 3);
	/* The deadline began anew: the front end could not have been heard in between. */
	stopped_clock_ns += VHOST_USER_ANSWER_NS - 1;
	bench_settle(bench);
	assert_int_equal(take_messages(channel, NEED_REPLY), 3);
	assert_int_equal(send(channel, bytes + 13, 7, MSG_NOSIGNAL), 7);
	send_answer(channel, 0);
	send_answer(channel, 1);
	TURN_UNTIL(bench, backend_of(bench)->asked_count == 0);
	assert_true(backend_of(bench)->fd >= 0);
	change_times(bench, 1);
	assert_int_equal(take_messages(channel, NEED_REPLY), 1);
	close(channel);
	close(socket);
}

/* The format that a takeover would write. */
static uint64_t format_of(struct bench *bench)
{
	struct handover out = { 0 };
	bool is_suspended = false;
	uint64_t format;

	endpoint_suspend(bench->endpoint, on_suspended, &is_suspended);
	TURN_UNTIL(bench, is_suspended);
	endpoint_save(bench->endpoint, &out);
	format = handover_get_u64(&out);
	handover_finish(&out);
	endpoint_resume(bench->endpoint);
	return format;
}

/* An older version reads only format 1. */
static void format_is_the_oldest_that_will_do(void **state)
{
	struct bench *bench = *state;
	int channel, socket = frontend_with_channel(bench, &channel);

	assert_int_equal(format_of(bench), 1);
	change_times(bench, 1);
	assert_int_equal(format_of(bench), 2);
	send_answer(channel, 0);
	TURN_UNTIL(bench, backend_of(bench)->asked_count == 0);
	assert_int_equal(format_of(bench), 1);
	close(channel);
	close(socket);
}

/* Suspended, neither a change nor an answer is looked at; both wait for the resumption. */
static void suspended(void **state)
{
	struct bench *bench = *state;
	int channel, socket = frontend_with_channel(bench, &channel);
	bool is_suspended = false;

	change_times(bench, 1);
	assert_int_equal(take_messages(channel, NEED_REPLY), 1);
	endpoint_suspend(bench->endpoint, on_suspended, &is_suspended);
	TURN_UNTIL(bench, is_suspended);
	change_times(bench, 5);
	send_answer(channel, 0);
	bench_settle(bench);
	assert_int_equal(backend_of(bench)->asked_count, 1);
	assert_int_equal(take_messages(channel, NEED_REPLY), 0);
	endpoint_resume(bench->endpoint);
	TURN_UNTIL(bench, readable(channel));
	assert_int_equal(take_messages(channel, NEED_REPLY), 1);
	send_answer(channel, 0);
	TURN_UNTIL(bench, backend_of(bench)->asked_count == 0);
	close(channel);
	close(socket);
}

#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(answers_are_matched),
		BENCH_TEST(told_again_when_rings_start),
		BENCH_TEST(nothing_is_asked_without_reply_ack),
		BENCH_TEST(answer_byte_by_byte),
		BENCH_TEST(queue_is_bounded),
		BENCH_TEST(lying_answers),
		BENCH_TEST(answer_to_nothing),
		BENCH_TEST(answer_with_a_descriptor),
		BENCH_TEST(silence),
		BENCH_TEST(flood),
		BENCH_TEST(full_for_too_long),
		BENCH_TEST(takeover_with_questions),
		BENCH_TEST(format_is_the_oldest_that_will_do),
		BENCH_TEST(suspended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
