/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A front end that reads exactly as QEMU does, behind a doorman, as all are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/fd.h"
#include "core/loop_account.h"
#include "interfaces/door/doorman.h"
#include "interfaces/vhost_user_gpu/gpu_socket.h"
#include "patience.h"

#define SIDE	700u
#define UPDATE	8u
#define UPDATES 2000u

static struct seat_pixels shown(void *context, unsigned scanout)
{
	static uint32_t pixels[SIDE][SIDE];

	return (struct seat_pixels){ pixels, SIDE, SIDE, sizeof(pixels[0]) };
}

/* It ends a read after so many pieces (chardev/char-fe.c). */
#define QEMU_PIECES_MAX 11u

/* Says "f", and a socket with it. */
static ssize_t no_payload(const uint8_t *header)
{
	return 0;
}

static const struct doorman_framing one_byte = { .header_bytes = 1, .payload_bytes = no_payload };

/* As QEMU reads: `bytes`, or fewer if they come in too many pieces. */
static size_t read_as_qemu(int socket, uint8_t *to, size_t bytes)
{
	size_t got = 0;

	for (unsigned piece = 0; got < bytes && piece < QEMU_PIECES_MAX; piece++) {
		ssize_t count = recv(socket, to + got, bytes - got, 0);

		if (count <= 0)
			return 0;
		got += (size_t)count;
	}
	return got;
}

/* In a process of its own, until it has seen so many updates. Exits with 0 if it could follow. */
static void follow_as_qemu(int socket, unsigned updates)
{
	static uint8_t message[GPU_SOCKET_MESSAGE_MAX];
	uint32_t header[3];

	while (updates > 0) {
		if (read_as_qemu(socket, (uint8_t *)header, sizeof(header)) != sizeof(header) ||
		    header[2] > sizeof(message) || read_as_qemu(socket, message, header[2]) != header[2])
			_exit(1);
		updates -= header[0] == UPDATE;
	}
	_exit(0);
}

/* Ends: ours, and the doorman's. */
static pid_t start_doorman(const int outside[2], const int inside[2])
{
	pid_t doorman = fork();

	if (doorman == 0) {
		close(outside[0]);
		close(inside[0]);
		doorman_serve(&one_byte, outside[1], inside[1], open("/dev/null", O_RDWR | O_CLOEXEC),
			      open("/dev/zero", O_RDWR | O_CLOEXEC), 64);
		_exit(0);
	}
	assert_true(doorman > 0);
	close(outside[1]);
	close(inside[1]);
	return doorman;
}

/* Gives the daemon's end of the socket `front_end` that the peer sends through a doorman. */
static int carry(int peer, int inner, int front_end)
{
	struct pollfd poll_fd = { .fd = inner, .events = POLLIN };
	size_t count = 0;
	int carried = -1;
	char byte;

	assert_int_equal(fd_send(peer, "f", 1, &front_end, 1), 1);
	assert_int_equal(poll(&poll_fd, 1, (int)(HANG_NS / NS_PER_MS)), 1);
	assert_int_equal(fd_receive(inner, &byte, 1, &carried, 1, &count), 1);
	assert_int_equal(count, 1);
	return carried;
}

/* However eagerly it reads: pixels come in few enough pieces, so that it never loses its place. */
static void qemu_can_follow(void **state)
{
	const struct seat_rect all = { 0, 0, SIDE, SIDE };
	struct loop_guest *guest = loop_guest_create();
	struct loop_account *account;
	struct gpu_socket socket;
	struct loop *loop;
	int outside[2], inside[2], pair[2], status = -1;
	pid_t doorman, qemu;

	assert_int_equal(loop_create(&(struct loop_options){ .name = "test" }, &loop), 0);
	account = loop_account_create(guest, loop);
	socket = (struct gpu_socket){ .loop = loop, .account = account, .pixels = shown, .scanouts = 1 };
	gpu_socket_init(&socket);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, outside), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, inside), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	doorman = start_doorman(outside, inside);
	qemu = fork();
	if (qemu == 0)
		follow_as_qemu(pair[0], UPDATES);
	assert_int_equal(gpu_socket_start(&socket, carry(outside[0], inside[0], pair[1]), NULL, 0), 0);
	AWAIT(waitpid(qemu, &status, WNOHANG) == qemu, {
		gpu_socket_damage(&socket, 0, &all);
		loop_turn(loop, NS_PER_MS / 8);
	});
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	gpu_socket_stop(&socket);
	close(inside[0]);
	assert_int_equal(waitpid(doorman, NULL, 0), doorman);
	close(outside[0]);
	close(pair[0]);
	close(pair[1]);
	loop_account_close(account);
	loop_guest_put(guest);
	loop_turn(loop, 0);
	loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(qemu_can_follow),
	};

	return cmocka_run_group_tests_name("gpu_socket_qemu", tests, NULL, NULL);
}
