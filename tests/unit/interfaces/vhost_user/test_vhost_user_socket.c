/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How front ends reach the vhost-user server: crowds, idlers, and, with front ends, what
 * test_endpoint_socket.c tests of sockets alone.
 */
#include "interfaces/vhost_user/vhost_user_endpoint.h"
#include "vhost_user_bench.h"

/* ---- crowds and time ---- */

static void crowd_is_capped(void **state)
{
	struct bench *bench = *state;
	int sockets[12];

	for (unsigned i = 0; i < 12; i++)
		sockets[i] = frontend_connect(bench);
	TURN_UNTIL(bench, bench_status(bench).refused_connects == 4);
	assert_int_equal(bench_status(bench).connections, 8);
	assert_true(closed_by_peer(bench, sockets[11]));
	for (unsigned i = 0; i < 12; i++)
		close(sockets[i]);
	TURN_UNTIL(bench, bench_status(bench).connections == 0);
}

static void violations_storm(void **state)
{
	struct bench *bench = *state;
	unsigned answered = 0;
	uint64_t end = stopped_clock_ns + NS_PER_S;

	while (stopped_clock_ns < end) {
		int socket = frontend_connect(bench);

		send(socket, "nonsense....", 12, MSG_NOSIGNAL);
		do {
			bench_pass(bench, 4 * NS_PER_MS);
			bench_settle(bench);
		} while (!readable(socket) && stopped_clock_ns < end);
		answered += readable(socket);
		close(socket);
	}
	/* More than 32 at once, then 0.1 s, 0.2 s, 0.4 s apart; without the back-off, 250. */
	assert_in_range(answered, 33, 60);
}

static uint64_t rest(struct bench *bench)
{
	struct endpoint_socket *socket = &vhost_user_endpoint_of(bench->endpoint)->socket;
	uint64_t begin_ns = stopped_clock_ns;

	endpoint_socket_rest(socket);
	assert_true(socket->backing_off);
	AWAIT(!socket->backing_off, bench_pass(bench, 10 * NS_PER_MS));
	return stopped_clock_ns - begin_ns;
}

/* Whoever makes us wait again, and be it seconds later, rests for longer; after a while that is forgotten. */
static void rests_grow(void **state)
{
	struct bench *bench = *state;
	uint64_t wanted_ns = 100 * NS_PER_MS;

	for (unsigned i = 0; i < 10; i++) {
		assert_in_range(rest(bench), wanted_ns, wanted_ns + 10 * NS_PER_MS);
		wanted_ns = wanted_ns < 5 * NS_PER_S ? 2 * wanted_ns : 10 * NS_PER_S;
		bench_pass(bench, 3 * NS_PER_S);
	}
	bench_pass(bench, 61 * NS_PER_S);
	assert_in_range(rest(bench), 100 * NS_PER_MS, 110 * NS_PER_MS);
}

/* Idle without a handshake, and a message that never ends: ten seconds each. */
static void idlers_are_closed(void **state)
{
	struct bench *bench = *state;
	int silent = frontend_connect(bench), half = frontend_connect(bench),
	    waiting = frontend_connect(bench);

	handshake(bench, half, BASIC_FEATURES);
	handshake(bench, waiting, BASIC_FEATURES);
	assert_int_equal(send(half, "\1\0\0", 3, 0), 3);
	bench_settle(bench);
	bench_pass(bench, 9900 * NS_PER_MS);
	bench_settle(bench);
	assert_int_equal(bench_status(bench).connections, 3);
	bench_pass(bench, 2000 * NS_PER_MS);
	assert_true(closed_by_peer(bench, silent));
	assert_true(closed_by_peer(bench, half));
	/* A front end that has introduced itself may wait for ever. */
	bench_pass(bench, 3600 * NS_PER_S);
	bench_settle(bench);
	assert_int_equal(bench_status(bench).connections, 1);
	close(silent);
	close(half);
	close(waiting);
}

/* ---- sockets ---- */

static void reopen(struct bench *bench, enum endpoint_socket_kind kind, int fd)
{
	bench->options.endpoint.socket = kind;
	bench->options.endpoint.fd = fd;
	assert_int_equal(vhost_user_create(&bench->options, &bench->endpoint), 0);
}

static void finish(struct bench *bench)
{
	endpoint_destroy(bench->endpoint, on_gone, bench);
	TURN_UNTIL(bench, bench->gone);
	bench->gone = false;
	bench->endpoint = NULL;
}

static void inherited_sockets(void **state)
{
	struct bench *bench = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listening, pair[2], frontend;

	finish(bench);
	listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", bench->path);
	assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof(address)), 0);
	bench->options.endpoint.socket = ENDPOINT_LISTEN_FD;
	bench->options.endpoint.fd = listening;
	assert_int_equal(vhost_user_create(&bench->options, &bench->endpoint), -EINVAL);
	assert_int_equal(listen(listening, 4), 0);
	frontend = frontend_connect(bench);
	reopen(bench, ENDPOINT_LISTEN_FD, listening);
	handshake(bench, frontend, BASIC_FEATURES);
	close(frontend);
	finish(bench);
	/* The file belongs to the program that made it. */
	assert_int_equal(unlink(bench->path), 0);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	reopen(bench, ENDPOINT_CONNECTED_FD, pair[1]);
	handshake(bench, pair[0], BASIC_FEATURES);
	close(pair[0]);
	TURN_UNTIL(bench, bench_status(bench).connections == 0);
}

static void client_mode(void **state)
{
	struct bench *bench = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), frontend = -1;

	finish(bench);
	reopen(bench, ENDPOINT_CONNECT, -1);
	bench_settle(bench);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", bench->path);
	assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listening, 4), 0);
	for (unsigned i = 0; i < 2; i++) {
		AWAIT((frontend = accept(listening, NULL, NULL)) >= 0, bench_pass(bench, NS_PER_MS));
		handshake(bench, frontend, BASIC_FEATURES);
		close(frontend);
	}
	close(listening);
	TURN_UNTIL(bench, bench_status(bench).connections == 0);
	assert_int_equal(unlink(bench->path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(crowd_is_capped),
		BENCH_TEST(violations_storm),
		BENCH_TEST(rests_grow),
		BENCH_TEST(idlers_are_closed),
		BENCH_TEST(inherited_sockets),
		BENCH_TEST(client_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
