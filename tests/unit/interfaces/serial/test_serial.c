/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMMs on a serial port: what they say and hear, and those that flood, do not read, or send descriptors. */
#include "core/handover.h"
#include "endpoint_bench.h"
#include "interfaces/serial/serial.h"
#include "patience.h"

#define FLOOD_BYTES (4u * SERIAL_WINDOW_BYTES)

static struct serial_bench {
	struct bench *base;
	struct endpoint *endpoint;
	size_t heard;
	char last[64]; /* the beginning of what was heard since it was emptied */
	bool suspended;
} serial;

static void on_output(void *context, const uint8_t *bytes, size_t count)
{
	size_t used = strlen(serial.last), room = sizeof(serial.last) - 1 - used;

	memcpy(serial.last + used, bytes, count < room ? count : room);
	serial.heard += count;
}

static struct serial_options options_of(enum endpoint_socket_kind kind)
{
	struct serial_options options = { .endpoint = serial.base->options, .output = on_output };

	options.endpoint.socket = kind;
	return options;
}

static int setup(void **state)
{
	struct serial_options options;

	if (bench_setup(state))
		return -1;
	serial = (struct serial_bench){ .base = *state };
	options = options_of(ENDPOINT_LISTEN);
	assert_int_equal(serial_create(&options, &serial.endpoint), 0);
	return 0;
}

static int teardown(void **state)
{
	endpoint_destroy(serial.endpoint, NULL, NULL);
	return bench_teardown(state);
}

static unsigned connections(void)
{
	struct endpoint_status status;

	endpoint_status(serial.endpoint, &status);
	return status.connections;
}

static int vmm(void)
{
	unsigned before = connections();
	int fd = peer_connect(serial.base);

	TURN_UNTIL(serial.base, connections() == before + 1);
	return fd;
}

static void expect(const char *text)
{
	TURN_UNTIL(serial.base, serial.heard >= strlen(text));
	assert_string_equal(serial.last, text);
	memset(serial.last, 0, sizeof(serial.last));
	serial.heard = 0;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void type(const char *text)
{
	assert_int_equal(serial_send(serial.endpoint, (const uint8_t *)text, strlen(text)), strlen(text));
}

/* The VMM's next bytes. */
static void is_typed(int fd, const char *text)
{
	char bytes[64] = "";
	size_t got = 0;

	while (got < strlen(text)) {
		ssize_t part = recv(fd, bytes + got, strlen(text) - got, MSG_DONTWAIT);

		if (part > 0)
			got += (size_t)part;
		else
			loop_turn(serial.base->control, 100 * NS_PER_US);
	}
	assert_string_equal(bytes, text);
}

static void both_ways(void **state)
{
	int fd;

	assert_int_equal(serial_send(serial.endpoint, (const uint8_t *)"x", 1), -ENOTCONN);
	fd = vmm();
	say(fd, "boot");
	expect("boot");
	type("root\n");
	is_typed(fd, "root\n");
	/* It ends, and comes again. */
	close(fd);
	TURN_UNTIL(serial.base, connections() == 0);
	assert_int_equal(serial_send(serial.endpoint, (const uint8_t *)"x", 1), -ENOTCONN);
	fd = vmm();
	say(fd, "again");
	expect("again");
	close(fd);
}

/* So much in each window of time, however much there is. */
static void a_flood_waits(void **state)
{
	static char flood[FLOOD_BYTES];
	int fd = vmm();
	size_t sent = 0;

	memset(flood, 'x', sizeof(flood));
	for (unsigned window = 1; window <= 4; window++) {
		TURN_UNTIL(serial.base, ({
				   ssize_t part = send(fd, flood, sizeof(flood) - sent % sizeof(flood),
						       MSG_DONTWAIT | MSG_NOSIGNAL);

				   sent += part > 0 ? (size_t)part : 0;
				   serial.heard == (size_t)window *SERIAL_WINDOW_BYTES;
			   }));
		bench_turn(serial.base);
		assert_int_equal(serial.heard, window * SERIAL_WINDOW_BYTES);
		bench_now_ns += SERIAL_WINDOW_NS;
	}
	/* What waits in the socket then comes without a new word of the VMM's. */
	AWAIT(serial.heard == sent, bench_pass(serial.base, SERIAL_WINDOW_NS));
	close(fd);
}

/* What a VMM does not read is bounded, and comes in order when it does. */
static void a_vmm_that_does_not_read(void **state)
{
	uint8_t bytes[1000], got[1000];
	int fd = vmm();
	size_t typed = 0, next = 0;
	ssize_t taken;

	do {
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)((typed + i) % 251);
		taken = serial_send(serial.endpoint, bytes, sizeof(bytes));
		assert_true(taken >= 0);
		typed += (size_t)taken;
		assert_true(typed < 16u << 20);
	} while (taken > 0);
	assert_true(typed >= SERIAL_INPUT_MAX);
	/* Meanwhile it is heard. */
	say(fd, "busy");
	expect("busy");
	while (next < typed) {
		ssize_t part = recv(fd, got, sizeof(got), MSG_DONTWAIT);

		loop_turn(serial.base->control, 100 * NS_PER_US);
		for (ssize_t i = 0; i < part; i++)
			assert_int_equal(got[i], next++ % 251);
	}
	type("x");
	is_typed(fd, "x");
	close(fd);
}

/* What was typed for one that went is not for the next one. */
static void input_does_not_outlive_its_vmm(void **state)
{
	uint8_t bytes[4096] = { 'y' };
	int fd = vmm();

	while (serial_send(serial.endpoint, bytes, sizeof(bytes)) > 0)
		;
	close(fd);
	TURN_UNTIL(serial.base, connections() == 0);
	fd = vmm();
	type("z");
	is_typed(fd, "z");
	close(fd);
}

static void is_over(int fd)
{
	char byte;

	TURN_UNTIL(serial.base, recv(fd, &byte, 1, MSG_DONTWAIT) == 0);
	close(fd);
}

/* As in a live migration: input goes to the one that speaks. A third one takes the place of the silent one.
 */
static void two_vmms(void **state)
{
	int source = vmm(), target = vmm(), third;

	type("1");
	is_typed(source, "1");
	say(target, "moved");
	expect("moved");
	type("2");
	is_typed(target, "2");
	third = peer_connect(serial.base);
	is_over(source);
	assert_int_equal(connections(), 2);
	type("3");
	is_typed(target, "3");
	close(target);
	TURN_UNTIL(serial.base, connections() == 1);
	type("4");
	is_typed(third, "4");
	close(third);
}

/* The bytes come, the descriptors do not: the bench counts what is open. */
static void descriptors_are_not_received(void **state)
{
	int fd = vmm();
	unsigned before = count_fds();

	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(fd_send(fd, "d", 1, (int[]){ fd, STDERR_FILENO }, 2), 1);
	expect("dddddddddd");
	assert_int_equal(count_fds(), before);
	close(fd);
}

/* ---- takeover ---- */

static void on_suspended(void *context)
{
	serial.suspended = true;
}

/* Through a socket, as between two processes; the predecessor ends. */
static int hand_over(const struct serial_options *options)
{
	struct handover out = { .bytes = NULL }, in;
	struct endpoint *successor = NULL;
	int pair[2], error;

	endpoint_suspend(serial.endpoint, on_suspended, NULL);
	assert_true(serial.suspended);
	endpoint_save(serial.endpoint, &out);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(handover_send(&out, pair[0], UINT64_MAX), 0);
	assert_int_equal(handover_receive(pair[1], &in), 0);
	close(pair[0]);
	close(pair[1]);
	error = serial_restore(options, &in, &successor);
	if (!error) {
		endpoint_destroy(serial.endpoint, NULL, NULL);
		serial.endpoint = successor;
	}
	handover_finish(&in);
	handover_finish(&out);
	return error;
}

static void a_successor_goes_on(void **state)
{
	const struct serial_options options = options_of(ENDPOINT_LISTEN);
	uint8_t bytes[1000];
	int fd = vmm(), other;
	size_t typed = 0, got = 0;
	ssize_t taken;

	memset(bytes, 'k', sizeof(bytes));
	while ((taken = serial_send(serial.endpoint, bytes, sizeof(bytes))) > 0)
		typed += (size_t)taken;
	assert_int_equal(hand_over(&options), 0);
	say(fd, "on");
	expect("on");
	while (got < typed) {
		ssize_t part = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		loop_turn(serial.base->control, 100 * NS_PER_US);
		got += part > 0 ? (size_t)part : 0;
	}
	assert_int_equal(got, typed);
	other = vmm();
	close(other);
	close(fd);
	TURN_UNTIL(serial.base, connections() == 0);
}

/* What was said meanwhile is heard; what is typed meanwhile waits. */
static void a_predecessor_goes_on(void **state)
{
	int fd = vmm();

	endpoint_suspend(serial.endpoint, on_suspended, NULL);
	say(fd, "still");
	type("here");
	bench_turn(serial.base);
	assert_int_equal(serial.heard, 0);
	endpoint_resume(serial.endpoint);
	expect("still");
	type("!");
	is_typed(fd, "here!");
	close(fd);
}

static void a_damaged_stream_is_refused(void **state)
{
	const struct serial_options options = options_of(ENDPOINT_LISTEN);
	struct handover whole = { .bytes = NULL };
	struct endpoint *successor;
	int fd = vmm();

	endpoint_suspend(serial.endpoint, on_suspended, NULL);
	endpoint_save(serial.endpoint, &whole);
	for (size_t length = 0; length < whole.length; length++) {
		struct handover cut = { .bytes = malloc(length + 1), .length = length };

		memcpy(cut.bytes, whole.bytes, length);
		assert_int_equal(serial_restore(&options, &cut, &successor), -EBADMSG);
		handover_finish(&cut);
	}
	handover_finish(&whole);
	endpoint_resume(serial.endpoint);
	say(fd, "fine");
	expect("fine");
	close(fd);
}

/* ---- client mode ---- */

static void it_connects_again(void **state)
{
	struct serial_options options = options_of(ENDPOINT_CONNECT);
	int listening, fd;

	endpoint_destroy(serial.endpoint, NULL, NULL);
	listening = foreign_socket(serial.base, true);
	assert_int_equal(serial_create(&options, &serial.endpoint), 0);
	for (unsigned i = 0; i < 2; i++) {
		TURN_UNTIL(serial.base, (fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC)) >= 0);
		TURN_UNTIL(serial.base, connections() == 1);
		say(fd, "hi");
		expect("hi");
		close(fd);
		TURN_UNTIL(serial.base, connections() == 0);
		bench_pass(serial.base, NS_PER_S);
	}
	close(listening);
	unlink(serial.base->path);
}

#define SERIAL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERIAL_TEST(both_ways),
		SERIAL_TEST(a_flood_waits),
		SERIAL_TEST(a_vmm_that_does_not_read),
		SERIAL_TEST(input_does_not_outlive_its_vmm),
		SERIAL_TEST(two_vmms),
		SERIAL_TEST(descriptors_are_not_received),
		SERIAL_TEST(a_successor_goes_on),
		SERIAL_TEST(a_predecessor_goes_on),
		SERIAL_TEST(a_damaged_stream_is_refused),
		SERIAL_TEST(it_connects_again),
	};

	return cmocka_run_group_tests_name("serial", tests, NULL, NULL);
}
