/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A front end that reads as QEMU does, fast or slowly: in the end it has every pixel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/loop_account.h"
#include "interfaces/vhost_user_gpu/gpu_socket.h"
#include "patience.h"
#include "test_disk.h"

#define SIDE_MAX 700u
#define SCREENS	 3u
#define SCANOUT	 7u
#define UPDATE	 8u
#define ROUNDS	 3000u

/* One scanout. */
struct screen {
	/* What is shown; lines are apart, so that a wrong stride is seen. */
	uint32_t pixels[SIDE_MAX][SIDE_MAX];
	unsigned width, height;
	/* What the front end has of it */
	uint32_t seen[SIDE_MAX][SIDE_MAX];
	unsigned seen_width, seen_height;
	unsigned scanouts, updates;
};

static struct {
	struct loop *loop;
	struct loop_guest *guest;
	struct loop_account *account;
	struct gpu_socket socket;
	/* The first is that of most tests. */
	struct screen screens[SCREENS], *screen;
	/* The front end */
	int peer;
	uint8_t message[GPU_SOCKET_MESSAGE_MAX];
	size_t received;
} bench;

static struct seat_pixels shown(void *context, unsigned scanout)
{
	const struct screen *screen = &bench.screens[scanout];

	return (struct seat_pixels){ screen->pixels, screen->width, screen->height,
				     sizeof(screen->pixels[0]) };
}

/* ---- the front end ---- */

static uint32_t word(unsigned index)
{
	uint32_t value;

	memcpy(&value, bench.message + 4ul * index, sizeof(value));
	return value;
}

/* The scanout that the message is about. */
static struct screen *screen_of_message(void)
{
	assert_in_range(word(3), 0, bench.socket.scanouts - 1);
	return &bench.screens[word(3)];
}

static void take_update(void)
{
	struct screen *screen = screen_of_message();
	unsigned x = word(4), y = word(5), width = word(6), height = word(7);

	assert_int_equal(word(2), 20 + width * height * 4);
	/* QEMU draws it without a look at its own picture's size. */
	assert_true(screen->scanouts > 0 && width > 0 && height > 0);
	assert_in_range(x + width, 1, screen->seen_width);
	assert_in_range(y + height, 1, screen->seen_height);
	for (unsigned line = 0; line < height; line++)
		memcpy(&screen->seen[y + line][x], bench.message + 32 + (size_t)line * width * 4,
		       width * 4ul);
	screen->updates++;
}

static void take_message(void)
{
	struct screen *screen = screen_of_message();

	assert_int_equal(word(1), 0);
	if (word(0) == UPDATE) {
		take_update();
		return;
	}
	assert_int_equal(word(0), SCANOUT);
	assert_int_equal(word(2), 12);
	screen->seen_width = word(4);
	screen->seen_height = word(5);
	memset(screen->seen, 0, sizeof(screen->seen));
	screen->scanouts++;
}

/* Of the message under way, as far as can be known. */
static size_t message_bytes(void)
{
	return bench.received < 12 ? 12 : 12 + (size_t)word(2);
}

/* At most `budget` bytes. Returns whether there were any. */
static bool read_some(size_t budget)
{
	bool any = false;

	while (budget > 0) {
		size_t wanted = message_bytes() - bench.received;
		ssize_t count;

		assert_in_range(message_bytes(), 12, GPU_SOCKET_MESSAGE_MAX);
		count = recv(bench.peer, bench.message + bench.received, wanted < budget ? wanted : budget,
			     MSG_DONTWAIT);
		if (count <= 0)
			break;
		any = true;
		budget -= (size_t)count;
		bench.received += (size_t)count;
		if (bench.received >= 12 && bench.received == message_bytes()) {
			take_message();
			bench.received = 0;
		}
	}
	return any;
}

static bool screen_is_seen(const struct screen *screen)
{
	if (screen->seen_width != screen->width || screen->seen_height != screen->height)
		return false;
	for (unsigned y = 0; y < screen->height; y++)
		if (memcmp(screen->seen[y], screen->pixels[y], screen->width * 4ul) != 0)
			return false;
	return true;
}

/* That line of the first screen begins as it should. */
static bool screen_is_seen_at(unsigned line)
{
	return bench.screens[0].seen[line][0] == bench.screens[0].pixels[line][0];
}

static bool has_all(void)
{
	if (bench.received > 0)
		return false;
	for (unsigned i = 0; i < bench.socket.scanouts; i++)
		if (!screen_is_seen(&bench.screens[i]))
			return false;
	return true;
}

static void turn(size_t budget)
{
	loop_turn(bench.loop, 0);
	if (!read_some(budget))
		loop_turn(bench.loop, NS_PER_MS / 8);
}

/* ---- the daemon ---- */

static int connect_peer(void)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	bench.peer = ends[1];
	return ends[0];
}

static void begin_with(unsigned scanouts)
{
	const struct loop_options loop = { .name = "test" };

	memset(&bench, 0, sizeof(bench));
	bench.screen = bench.screens;
	assert_int_equal(loop_create(&loop, &bench.loop), 0);
	bench.guest = loop_guest_create();
	bench.account = loop_account_create(bench.guest, bench.loop);
	bench.socket = (struct gpu_socket){
		.loop = bench.loop, .account = bench.account, .pixels = shown, .scanouts = scanouts
	};
	gpu_socket_init(&bench.socket);
	assert_int_equal(gpu_socket_start(&bench.socket, connect_peer(), NULL, 0), 0);
}

static int begin(void **state)
{
	begin_with(1);
	return 0;
}

static int begin_several(void **state)
{
	begin_with(SCREENS);
	return 0;
}

static int end(void **state)
{
	gpu_socket_stop(&bench.socket);
	if (bench.peer >= 0)
		close(bench.peer);
	loop_account_close(bench.account);
	loop_guest_put(bench.guest);
	loop_turn(bench.loop, 0);
	loop_destroy(bench.loop);
	return 0;
}

static void resize(unsigned width, unsigned height)
{
	bench.screen->width = width;
	bench.screen->height = height;
	gpu_socket_picture(&bench.socket, (unsigned)(bench.screen - bench.screens));
}

static void draw(struct seat_rect rect, uint32_t colour)
{
	for (unsigned y = 0; y < rect.height; y++)
		for (unsigned x = 0; x < rect.width; x++)
			bench.screen->pixels[(unsigned)rect.y + y][(unsigned)rect.x + x] = colour + y * 7 + x;
	gpu_socket_damage(&bench.socket, (unsigned)(bench.screen - bench.screens), &rect);
}

/* ---- tests ---- */

static void what_is_shown(void **state)
{
	AWAIT(bench.screen->scanouts == 1, turn(SIZE_MAX));
	assert_true(has_all());
	assert_int_equal(bench.screen->updates, 0);
	resize(640, 480);
	AWAIT(has_all(), turn(SIZE_MAX));
	draw((struct seat_rect){ 639, 479, 1, 1 }, 1);
	draw((struct seat_rect){ 0, 0, 640, 480 }, 2);
	AWAIT(has_all(), turn(SIZE_MAX));
	resize(0, 0);
	AWAIT(has_all(), turn(SIZE_MAX));
	resize(1, 1);
	AWAIT(has_all(), turn(SIZE_MAX));
	/* Nothing is left to say. */
	for (unsigned i = 0; i < 10; i++)
		assert_false(loop_turn(bench.loop, 0) || read_some(SIZE_MAX));
}

/* It gets the same, later: other parts are drawn and sizes change while a message is on its way. */
static void a_slow_front_end(void **state)
{
	uint64_t seed = test_seed("gpu_socket");

	for (unsigned i = 0; i < ROUNDS; i++) {
		if (bench.screen->width == 0 || test_below(&seed, 200) == 0)
			resize(1 + test_below(&seed, SIDE_MAX), 1 + test_below(&seed, SIDE_MAX));
		unsigned x = test_below(&seed, bench.screen->width),
			 y = test_below(&seed, bench.screen->height);

		draw((struct seat_rect){ (int)x, (int)y, 1 + test_below(&seed, bench.screen->width - x),
					 1 + test_below(&seed, bench.screen->height - y) },
		     i);
		turn(test_below(&seed, 8) ? 20000 : 1 + test_below(&seed, 40));
	}
	AWAIT(has_all(), turn(SIZE_MAX));
}

/* Each is told of in its turn, also while another is drawn without end. */
static void several_scanouts(void **state)
{
	uint64_t seed = test_seed("gpu_socket_several");

	for (unsigned i = 0; i < ROUNDS; i++) {
		bench.screen = &bench.screens[test_below(&seed, SCREENS)];
		if (bench.screen->width == 0 || test_below(&seed, 200) == 0)
			resize(1 + test_below(&seed, SIDE_MAX), 1 + test_below(&seed, SIDE_MAX));
		draw((struct seat_rect){ 0, 0, bench.screen->width, bench.screen->height }, i);
		turn(test_below(&seed, 8) ? 20000 : 1 + test_below(&seed, 40));
	}
	AWAIT(has_all(), turn(SIZE_MAX));
	/* One goes dark, and the others stay. */
	bench.screen = &bench.screens[1];
	resize(0, 0);
	AWAIT(has_all(), turn(SIZE_MAX));
	bench.screen = &bench.screens[2];
	draw((struct seat_rect){ 0, 0, 1, 1 }, 77);
	for (unsigned i = 0; i < 1000 && !screen_is_seen(&bench.screens[2]); i++) {
		bench.screen = &bench.screens[0];
		draw((struct seat_rect){ 0, 0, bench.screen->width, bench.screen->height }, i);
		turn(100000);
	}
	assert_true(screen_is_seen(&bench.screens[2]));
}

/* What is drawn at the top without end keeps nothing else back. */
static void no_part_waits_for_ever(void **state)
{
	resize(SIDE_MAX, SIDE_MAX);
	AWAIT(has_all(), turn(SIZE_MAX));
	draw((struct seat_rect){ 0, 0, SIDE_MAX, SIDE_MAX }, 5);
	for (unsigned i = 0; i < 1000 && !screen_is_seen_at(SIDE_MAX - 1); i++) {
		draw((struct seat_rect){ 0, 0, SIDE_MAX, 1 }, i);
		turn(10000);
	}
	assert_true(screen_is_seen_at(SIDE_MAX - 1));
}

/* The successor finishes the message that its predecessor has begun; or the predecessor does after all. */
static void takeovers_in_the_middle(void **state)
{
	uint64_t seed = test_seed("gpu_socket_takeover");

	resize(SIDE_MAX, SIDE_MAX);
	for (unsigned i = 0; i < 60; i++) {
		uint8_t *copy = NULL;
		const void *unsent;
		size_t bytes;
		int fd;

		draw((struct seat_rect){ 0, 0, SIDE_MAX, SIDE_MAX }, i);
		turn(test_below(&seed, 400000));
		gpu_socket_suspend(&bench.socket);
		unsent = gpu_socket_unsent(&bench.socket, &bytes);
		draw((struct seat_rect){ 0, 0, 9, 9 }, i);
		if (i % 3 == 0) {
			gpu_socket_resume(&bench.socket);
			continue;
		}
		if (unsent) {
			copy = malloc(bytes);
			memcpy(copy, unsent, bytes);
		}
		fd = dup(bench.socket.fd);
		gpu_socket_stop(&bench.socket);
		gpu_socket_init(&bench.socket);
		assert_int_equal(gpu_socket_start(&bench.socket, fd, copy, bytes), 0);
		free(copy);
	}
	AWAIT(has_all(), turn(SIZE_MAX));
}

/* It is the successor's to tell: what both said would be taken for one message. */
static void one_that_comes_while_it_stands_still(void **state)
{
	resize(100, 100);
	AWAIT(has_all(), turn(SIZE_MAX));
	gpu_socket_suspend(&bench.socket);
	close(bench.peer);
	bench.screen->seen_width = 0;
	assert_int_equal(gpu_socket_start(&bench.socket, connect_peer(), NULL, 0), 0);
	for (unsigned i = 0; i < 10; i++) {
		loop_turn(bench.loop, NS_PER_MS / 8);
		assert_false(read_some(SIZE_MAX));
	}
	gpu_socket_resume(&bench.socket);
	AWAIT(has_all(), turn(SIZE_MAX));
}

static void one_that_hangs_up(void **state)
{
	resize(100, 100);
	close(bench.peer);
	bench.peer = -1;
	AWAIT(bench.socket.fd < 0, loop_turn(bench.loop, NS_PER_MS / 8));
	draw((struct seat_rect){ 0, 0, 100, 100 }, 1);
	loop_turn(bench.loop, 0);
	/* Another one begins anew. */
	bench.received = 0;
	assert_int_equal(gpu_socket_start(&bench.socket, connect_peer(), NULL, 0), 0);
	AWAIT(has_all(), turn(SIZE_MAX));
	/* One that takes its place while a message is on its way. */
	draw((struct seat_rect){ 0, 0, 100, 100 }, 3);
	turn(50);
	close(bench.peer);
	bench.received = 0;
	bench.screen->seen_width = 0;
	assert_int_equal(gpu_socket_start(&bench.socket, connect_peer(), NULL, 0), 0);
	AWAIT(has_all(), turn(SIZE_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_shown, begin, end),
		cmocka_unit_test_setup_teardown(a_slow_front_end, begin, end),
		cmocka_unit_test_setup_teardown(several_scanouts, begin_several, end),
		cmocka_unit_test_setup_teardown(no_part_waits_for_ever, begin, end),
		cmocka_unit_test_setup_teardown(takeovers_in_the_middle, begin, end),
		cmocka_unit_test_setup_teardown(one_that_comes_while_it_stands_still, begin, end),
		cmocka_unit_test_setup_teardown(one_that_hangs_up, begin, end),
	};

	return cmocka_run_group_tests_name("gpu_socket", tests, NULL, NULL);
}
