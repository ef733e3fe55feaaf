/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How peers reach an endpoint: socket files, inherited sockets, client mode, storms, takeover. */
#include <sys/wait.h>

#include "core/handover.h"
#include "endpoint_bench.h"

static mode_t mode_of(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 ? status.st_mode & 07777 : 0;
}

/* ---- the socket's file ---- */

static void file_is_made_and_removed(void **state)
{
	struct bench *bench = *state;
	mode_t mask = umask(0077);
	struct endpoint_socket second;

	assert_int_equal(bench_open(bench, ENDPOINT_LISTEN, -1), 0);
	assert_int_equal(mode_of(bench->path), 0600);
	endpoint_socket_init(&second, &bench->options, &bench_ops, bench, &bench->subject);
	assert_int_equal(endpoint_socket_open(&second), -EADDRINUSE);
	endpoint_socket_finish(&second);
	assert_int_equal(mode_of(bench->path), 0600);
	endpoint_socket_finish(&bench->socket);
	assert_int_equal(mode_of(bench->path), 0);
	bench->options.mode = 0660;
	assert_int_equal(bench_open(bench, ENDPOINT_LISTEN, -1), 0);
	assert_int_equal(mode_of(bench->path), 0660);
	umask(mask);
}

static void stale_file_is_replaced(void **state)
{
	struct bench *bench = *state;
	int stale = foreign_socket(bench, false), peer;

	close(stale);
	assert_int_equal(bench_open(bench, ENDPOINT_LISTEN, -1), 0);
	peer = peer_connect(bench);
	TURN_UNTIL(bench, bench->peer_count == 1);
	close(peer);
}

/* A socket whose maker has ended, but that somebody still holds. */
static int left_behind(struct bench *bench)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int left = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pid_t pid;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", bench->path);
	assert_int_equal(bind(left, (struct sockaddr *)&address, sizeof(address)), 0);
	pid = fork();
	if (pid == 0)
		_exit(listen(left, 16));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return left;
}

/* Of a daemon that was killed while a peer holds up what is left of it. */
static void listener_of_the_dead_is_replaced(void **state)
{
	struct bench *bench = *state;
	int left = left_behind(bench), peer = peer_connect(bench);

	close(peer);
	assert_int_equal(bench_open(bench, ENDPOINT_LISTEN, -1), 0);
	peer = peer_connect(bench);
	TURN_UNTIL(bench, bench->peer_count == 1);
	close(peer);
	close(left);
}

/* Who made it has ended, but who took it over lives. */
static void listener_taken_over_is_left_alone(void **state)
{
	struct bench *bench = *state;
	int left = left_behind(bench);

	endpoint_socket_file_take_over(left);
	assert_int_equal(bench_open(bench, ENDPOINT_LISTEN, -1), -EADDRINUSE);
	endpoint_socket_finish(&bench->socket);
	close(left);
	assert_int_equal(unlink(bench->path), 0);
}

static void foreign_file_is_left_alone(void **state)
{
	struct bench *bench = *state;
	int file = open(bench->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	close(file);
	assert_int_equal(bench_open(bench, ENDPOINT_LISTEN, -1), -EADDRINUSE);
	endpoint_socket_finish(&bench->socket);
	assert_int_equal(unlink(bench->path), 0);
}

/* A file that another process has put in the place of ours is not ours to remove. */
static void successor_file_is_left_alone(void **state)
{
	struct bench *bench = *state;
	int other;

	assert_int_equal(bench_open(bench, ENDPOINT_LISTEN, -1), 0);
	assert_int_equal(unlink(bench->path), 0);
	other = foreign_socket(bench, true);
	endpoint_socket_finish(&bench->socket);
	assert_int_equal(unlink(bench->path), 0);
	close(other);
}

static void path_too_long(void **state)
{
	struct bench *bench = *state;
	char path[200];

	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	bench->options.path = path;
	assert_int_equal(bench_open(bench, ENDPOINT_LISTEN, -1), -ENAMETOOLONG);
	bench->options.path = bench->path;
}

/* ---- peers ---- */

static void crowd_is_refused(void **state)
{
	struct bench *bench = *state;
	int peers[PEERS_MAX + 8];
	char byte;

	assert_int_equal(bench_open(bench, ENDPOINT_LISTEN, -1), 0);
	for (unsigned i = 0; i < PEERS_MAX + 8; i++)
		peers[i] = peer_connect(bench);
	TURN_UNTIL(bench, bench->socket.connects + bench->socket.refused_connects == PEERS_MAX + 8);
	assert_int_equal(bench->socket.connects, PEERS_MAX);
	assert_int_equal(recv(peers[PEERS_MAX], &byte, 1, MSG_DONTWAIT), 0);
	assert_int_equal(recv(peers[0], &byte, 1, MSG_DONTWAIT), -1);
	for (unsigned i = 0; i < PEERS_MAX + 8; i++)
		close(peers[i]);
}

static void inherited_sockets(void **state)
{
	struct bench *bench = *state;
	int listening = foreign_socket(bench, false), peer, pair[2];

	assert_int_equal(bench_open(bench, ENDPOINT_LISTEN_FD, listening), -EINVAL);
	assert_int_equal(listen(listening, 4), 0);
	peer = peer_connect(bench);
	assert_int_equal(bench_open(bench, ENDPOINT_LISTEN_FD, listening), 0);
	TURN_UNTIL(bench, bench->peer_count == 1);
	close(peer);
	bench_drop_peers(bench);
	endpoint_socket_finish(&bench->socket);
	/* The file belongs to the program that made it. */
	assert_int_equal(unlink(bench->path), 0);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(bench_open(bench, ENDPOINT_CONNECTED_FD, pair[1]), 0);
	assert_int_equal(bench->peers[0], pair[1]);
	assert_true(fcntl(pair[1], F_GETFL) & O_NONBLOCK);
	close(pair[0]);
}

/* ---- time ---- */

static int accept_one(int listening)
{
	return accept4(listening, NULL, NULL, SOCK_CLOEXEC);
}

static void client_backs_off(void **state)
{
	struct bench *bench = *state;
	int listening, peer;

	assert_int_equal(bench_open(bench, ENDPOINT_CONNECT, -1), 0);
	/* Tried at 0 s, 0.1 s and 0.3 s; the next is due at 0.7 s. */
	bench_pass(bench, 100 * NS_PER_MS);
	bench_pass(bench, 200 * NS_PER_MS);
	listening = foreign_socket(bench, true);
	bench_pass(bench, 399 * NS_PER_MS);
	assert_int_equal(accept_one(listening), -1);
	bench_pass(bench, 1 * NS_PER_MS);
	peer = accept_one(listening);
	assert_true(peer >= 0);
	assert_int_equal(bench->peer_count, 1);
	close(peer);

	/* It never introduced itself: the wait goes on doubling. */
	bench_drop_peers(bench);
	bench_pass(bench, 799 * NS_PER_MS);
	assert_int_equal(accept_one(listening), -1);
	bench_pass(bench, 1 * NS_PER_MS);
	peer = accept_one(listening);
	assert_true(peer >= 0);
	endpoint_socket_introduced(&bench->socket);
	close(peer);

	bench_drop_peers(bench);
	bench_pass(bench, 100 * NS_PER_MS);
	peer = accept_one(listening);
	assert_true(peer >= 0);
	close(peer);
	close(listening);
	assert_int_equal(unlink(bench->path), 0);
}

static void storm_is_made_to_wait(void **state)
{
	struct bench *bench = *state;
	int peer;

	assert_int_equal(bench_open(bench, ENDPOINT_LISTEN, -1), 0);
	for (unsigned i = 0; i < 32; i++)
		endpoint_socket_violation(&bench->socket);
	peer = peer_connect(bench);
	TURN_UNTIL(bench, bench->peer_count == 1);
	close(peer);
	endpoint_socket_violation(&bench->socket);
	peer = peer_connect(bench);
	bench_pass(bench, 99 * NS_PER_MS);
	assert_int_equal(bench->peer_count, 1);
	bench_pass(bench, 1 * NS_PER_MS);
	TURN_UNTIL(bench, bench->peer_count == 2);
	close(peer);
	/* The same second, and one more: twice as long. */
	endpoint_socket_violation(&bench->socket);
	peer = peer_connect(bench);
	bench_pass(bench, 199 * NS_PER_MS);
	assert_int_equal(bench->peer_count, 2);
	bench_pass(bench, 1 * NS_PER_MS);
	TURN_UNTIL(bench, bench->peer_count == 3);
	close(peer);
}

/* Violations that come slowly never close the door. */
static void rare_violations_cost_nothing(void **state)
{
	struct bench *bench = *state;
	int peer;

	assert_int_equal(bench_open(bench, ENDPOINT_LISTEN, -1), 0);
	for (unsigned i = 0; i < 200; i++) {
		endpoint_socket_violation(&bench->socket);
		bench_now_ns += 40 * NS_PER_MS;
	}
	peer = peer_connect(bench);
	TURN_UNTIL(bench, bench->peer_count == 1);
	close(peer);
}

/* ---- takeover ---- */

static void suspended_accepts_nothing(void **state)
{
	struct bench *bench = *state;
	int peer;

	assert_int_equal(bench_open(bench, ENDPOINT_LISTEN, -1), 0);
	endpoint_socket_suspend(&bench->socket);
	peer = peer_connect(bench);
	bench_turn(bench);
	assert_int_equal(bench->peer_count, 0);
	/* Violations of peers that are still there start no timer. */
	for (unsigned i = 0; i < 100; i++)
		endpoint_socket_violation(&bench->socket);
	bench_pass(bench, NS_PER_S);
	assert_int_equal(bench->peer_count, 0);
	assert_int_equal(endpoint_socket_resume(&bench->socket), 0);
	TURN_UNTIL(bench, bench->peer_count == 1);
	close(peer);
}

static void takeover(void **state)
{
	struct bench *bench = *state;
	struct handover out = { 0 }, in;
	struct endpoint_socket old;
	int pair[2], peer;

	assert_int_equal(bench_open(bench, ENDPOINT_LISTEN, -1), 0);
	endpoint_socket_suspend(&bench->socket);
	endpoint_socket_save(&bench->socket, &out);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(handover_send(&out, pair[0], UINT64_MAX), 0);
	assert_int_equal(handover_receive(pair[1], &in), 0);
	old = bench->socket;
	bench_init_socket(bench, ENDPOINT_LISTEN, -1);
	endpoint_socket_restore(&bench->socket, &in);
	assert_int_equal(in.error, 0);
	/* The predecessor ends; the file is the successor's. */
	endpoint_socket_finish(&old);
	assert_int_equal(mode_of(bench->path), 0600);
	peer = peer_connect(bench);
	bench_turn(bench);
	assert_int_equal(bench->peer_count, 0);
	assert_int_equal(endpoint_socket_resume(&bench->socket), 0);
	TURN_UNTIL(bench, bench->peer_count == 1);
	close(peer);
	close(pair[0]);
	close(pair[1]);
	handover_finish(&in);
	handover_finish(&out);
}

/* Until the successor has resumed, the file is the predecessor's: a successor that fails leaves it. */
static void failed_takeover(void **state)
{
	struct bench *bench = *state;
	struct handover out = { 0 };
	struct endpoint_socket successor;

	assert_int_equal(bench_open(bench, ENDPOINT_LISTEN, -1), 0);
	endpoint_socket_suspend(&bench->socket);
	endpoint_socket_save(&bench->socket, &out);
	out.fds[0] = dup(out.fds[0]);
	out.fd_position = 0;
	endpoint_socket_init(&successor, &bench->options, &bench_ops, bench, &bench->subject);
	endpoint_socket_restore(&successor, &out);
	assert_int_equal(out.error, 0);
	endpoint_socket_finish(&successor);
	assert_int_equal(mode_of(bench->path), 0600);
	assert_int_equal(endpoint_socket_resume(&bench->socket), 0);
	handover_finish(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(file_is_made_and_removed),
		BENCH_TEST(stale_file_is_replaced),
		BENCH_TEST(listener_of_the_dead_is_replaced),
		BENCH_TEST(listener_taken_over_is_left_alone),
		BENCH_TEST(foreign_file_is_left_alone),
		BENCH_TEST(successor_file_is_left_alone),
		BENCH_TEST(path_too_long),
		BENCH_TEST(crowd_is_refused),
		BENCH_TEST(inherited_sockets),
		BENCH_TEST(client_backs_off),
		BENCH_TEST(storm_is_made_to_wait),
		BENCH_TEST(rare_violations_cost_nothing),
		BENCH_TEST(suspended_accepts_nothing),
		BENCH_TEST(takeover),
		BENCH_TEST(failed_takeover),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
