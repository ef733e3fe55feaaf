/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The porter: forked before anything else, it lets peers in and counts those who do not come back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/fd.h"
#include "core/loop.h"
#include "interfaces/door/doorman.h"
#include "interfaces/door/porter.h"
#include "patience.h"

static ssize_t payload_bytes(const uint8_t *header)
{
	return header[0];
}

static const struct doorman_framing framing = { .header_bytes = 1, .payload_bytes = payload_bytes };

static void serve(const struct porter_peer *peer)
{
	if (peer->manner == PORTER_FETCHES)
		doorman_fetch(peer->socket, peer->inner, peer->blank, peer->blank_file, peer->fds_max);
	else
		doorman_serve(peer->manner == PORTER_RELAYS_BYTES ? &doorman_stream : &framing, peer->socket,
			      peer->inner, peer->blank, peer->blank_file, peer->fds_max);
}

static const struct porter_service service = { "test-doorman", SOCK_STREAM, serve };

struct bench {
	struct loop *loop;
	struct porter *porter;
	struct porter_place place;
};

static int setup(void **state)
{
	static struct bench bench;
	const struct porter_setup porter = { .name = "test-porter", .service = &service };
	const struct loop_options options = { .name = "test" };
	int socket = porter_fork(&porter);

	assert_true(socket >= 0);
	assert_int_equal(loop_create(&options, &bench.loop), 0);
	assert_int_equal(porter_open(socket, &service, bench.loop, &bench.porter), 0);
	porter_place_open(&bench.place, bench.porter);
	*state = &bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	porter_place_close(&bench->place);
	porter_close(bench->porter);
	loop_destroy(bench->loop);
	return 0;
}

/* A peer that is let in: returns its end, and the daemon's in *ret_inner. */
static int let_in(struct porter_place *place, int *ret_inner)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	assert_true(porter_has_room(place));
	*ret_inner = porter_admit(place, pair[1]);
	assert_true(*ret_inner >= 0);
	return pair[0];
}

static void wait_for(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&poll_fd, 1, (int)(HANG_NS / NS_PER_MS)), 1);
}

static void admits(void **state)
{
	struct bench *bench = *state;
	int inner, peer = let_in(&bench->place, &inner);
	char byte = 0;

	assert_int_equal(fd_send(peer, &byte, 1, NULL, 0), 1);
	wait_for(inner);
	assert_int_equal(recv(inner, &byte, 1, 0), 1);
	assert_int_equal(bench->place.doormen, 1);
	close(inner);
	AWAIT(bench->place.doormen == 0, loop_turn(bench->loop, 1000000));
	/* The peer sees it, too. */
	wait_for(peer);
	assert_int_equal(recv(peer, &byte, 1, 0), 0);
	close(peer);
}

/* Those who come back make room for others; another place has room of its own. */
static void counts_by_place(void **state)
{
	struct bench *bench = *state;
	struct porter_place other;
	int peers[PORTER_PLACE_MAX], inner[PORTER_PLACE_MAX], more;

	porter_place_open(&other, bench->porter);
	for (unsigned i = 0; i < PORTER_PLACE_MAX; i++)
		peers[i] = let_in(&bench->place, &inner[i]);
	assert_false(porter_has_room(&bench->place));
	close(let_in(&other, &more));
	close(more);
	/* A peer that leaves is not enough: its doorman still serves the daemon. */
	close(peers[0]);
	wait_for(inner[0]);
	assert_false(porter_has_room(&bench->place));
	close(inner[0]);
	AWAIT(porter_has_room(&bench->place), loop_turn(bench->loop, 1000000));
	for (unsigned i = 1; i < PORTER_PLACE_MAX; i++) {
		close(peers[i]);
		close(inner[i]);
	}
	AWAIT(bench->place.doormen == 0 && other.doormen == 0, loop_turn(bench->loop, 1000000));
	porter_place_close(&other);
}

static bool answers(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool answered = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;

	close(fd);
	return answered;
}

/* The last who holds a listening socket closes it; that is the porter. */
static void keeps_listening_sockets(void **state)
{
	struct bench *bench = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), inner, peer;

	snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "viaduct-test-%d", (int)getpid());
	assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listening, 16), 0);
	porter_keep(&bench->place, listening);
	close(listening);
	assert_true(answers(&address));
	/* Only the doormen of others run now; they hold none of it. */
	peer = let_in(&bench->place, &inner);
	porter_place_close(&bench->place);
	AWAIT(!answers(&address), usleep(1000));
	close(peer);
	close(inner);
}

/* The framing is the other places'. */
static void lets_streams_in(void **state)
{
	struct bench *bench = *state;
	struct porter_place stream;
	int inner, fds[1], peer;
	size_t fd_count = 0;
	char bytes[2];

	porter_place_open(&stream, bench->porter);
	stream.manner = PORTER_RELAYS_BYTES;
	peer = let_in(&stream, &inner);
	/* A header whose payload never comes, and a descriptor. */
	assert_int_equal(fd_send(peer, "\377", 1, &peer, 1), 1);
	assert_int_equal(fd_send(peer, "x", 1, NULL, 0), 1);
	for (size_t got = 0; got < 2;) {
		ssize_t received;

		wait_for(inner);
		received = fd_receive(inner, bytes + got, 2 - got, fds, 1, &fd_count);
		assert_true(received > 0);
		assert_int_equal(fd_count, 0);
		got += (size_t)received;
	}
	assert_memory_equal(bytes, "\377x", 2);
	close(inner);
	close(peer);
	AWAIT(stream.doormen == 0, loop_turn(bench->loop, 1000000));
	porter_place_close(&stream);
}

/* The peer's socket stays with the daemon, too; a process fetches what it is asked for. */
static void shares_a_peer(void **state)
{
	struct bench *bench = *state;
	struct porter_place fetching;
	int pair[2], door, fds[2], sent;
	uint32_t wanted = 3;
	size_t fd_count = 0;
	char bytes[8];

	porter_place_open(&fetching, bench->porter);
	fetching.manner = PORTER_FETCHES;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(porter_share(&fetching, pair[1], &door), 0);
	assert_true(door >= 0);
	assert_int_equal(fetching.doormen, 1);
	/* Read by the daemon itself, then by the doorman. */
	assert_int_equal(fd_send(pair[0], "abc", 3, NULL, 0), 3);
	wait_for(pair[1]);
	assert_int_equal(recv(pair[1], bytes, sizeof(bytes), 0), 3);
	sent = fd_memfd("ram", 4096);
	assert_int_equal(fd_send(pair[0], "defg", 4, &sent, 1), 4);
	assert_int_equal(fd_send(door, &wanted, sizeof(wanted), NULL, 0), sizeof(wanted));
	wait_for(door);
	assert_int_equal(fd_receive(door, bytes, sizeof(bytes), fds, 2, &fd_count), 3);
	assert_memory_equal(bytes, "def", 3);
	assert_int_equal(fd_count, 1);
	assert_int_equal(recv(pair[1], bytes, sizeof(bytes), 0), 1);
	close(fds[0]);
	close(sent);
	close(door);
	AWAIT(fetching.doormen == 0, loop_turn(bench->loop, 1000000));
	/* It has shut the connection down for all who hold it. */
	assert_int_equal(recv(pair[0], bytes, 1, 0), 0);
	close(pair[0]);
	close(pair[1]);
	porter_place_close(&fetching);
}

/* Without a porter peers are served as they are. */
static void nobody_at_the_door(void **state)
{
	struct porter_place place;
	int pair[2], door = 0;

	porter_place_open(&place, NULL);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_true(porter_has_room(&place));
	assert_int_equal(porter_admit(&place, pair[1]), pair[1]);
	porter_keep(&place, pair[0]);
	place.manner = PORTER_FETCHES;
	assert_int_equal(porter_share(&place, pair[1], &door), 0);
	assert_int_equal(door, -1);
	porter_place_close(&place);
	close(pair[0]);
	close(pair[1]);
}

static int refuse(void *context)
{
	return -EPERM;
}

static int die(void *context)
{
	_exit(0);
}

static void starts_confined_or_not_at_all(void **state)
{
	const struct porter_setup refusing = { "test-porter", &service, .confine = refuse };
	const struct porter_setup dying = { "test-porter", &service, .confine = die };

	assert_int_equal(porter_fork(&refusing), -EPERM);
	assert_int_equal(porter_fork(&dying), -ECHILD);
}

#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(admits),
		BENCH_TEST(counts_by_place),
		BENCH_TEST(keeps_listening_sockets),
		BENCH_TEST(lets_streams_in),
		BENCH_TEST(shares_a_peer),
		cmocka_unit_test(nobody_at_the_door),
		cmocka_unit_test(starts_confined_or_not_at_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
