/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest draws on its worker while the seat shows what it can: in the end every pixel is right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arbiter/seat/seat.h"
#include "core/loop_account.h"
#include "core/reaper.h"
#include "daemon/seat/display_served.h"
#include "devices/display/virtio_gpu.h"
#include "devices/display/virtio_gpu_format.h"
#include "devices/input/virtio_input.h"
#include "gpu_bench.h"
#include "test_disk.h"

#define BGRX	   VIRTIO_GPU_FORMAT_B8G8R8X8
#define SIDE	   640u
#define ROUNDS	   400u
#define PICTURES   3u
#define SIZE_STEP  8u
#define FIRST_SIDE 24u
#define WINDOWS	   2u

static struct {
	struct loop *loop;
	struct seat *seat;
	struct seat_window *windows[WINDOWS], *window; /* of the scanouts; the first */
	struct display_served *display;
	uint32_t *pixels;
	bool ended; /* atomic */
	unsigned shown_side;
	uint32_t last_seed;
	unsigned resized;
} desk;

/* ---- the guest, on this thread, which is its worker ---- */

static uint32_t pixel_of(uint32_t seed, unsigned x, unsigned y)
{
	return (seed * 2654435761u + x * 40503u + y * 9176u) & 0xffffff;
}

static void draw(unsigned id, unsigned side, uint32_t seed)
{
	for (unsigned y = 0; y < side; y++)
		for (unsigned x = 0; x < side; x++)
			put(BACKING_AT + (y * side + x) * 4ul, &(uint32_t){ pixel_of(seed, x, y) }, 4);
	assert_ok(transfer(id, rect_of(0, 0, side, side), 0));
}

/* A picture of another size each time, or the same drawn anew, in one piece or in many. */
static void round_of(unsigned round)
{
	unsigned id = 1 + round % PICTURES, side = FIRST_SIDE + round % 5 * SIZE_STEP;

	if (round >= PICTURES)
		assert_ok(unref(id));
	assert_ok(create_2d(id, BGRX, side, side));
	assert_ok(attach_one(id, BACKING_AT, side * side * 4));
	assert_ok(set_scanout(0, id, rect_of(0, 0, side, side)));
	draw(id, side, round);
	for (unsigned y = 0; y < side; y += 5)
		assert_ok(flush(id, rect_of(0, y, side, side - y < 5 ? side - y : 5)));
	desk.shown_side = side;
	desk.last_seed = round;
}

/* ---- the seat ---- */

static void on_drawn(void *context, const struct seat_rect *rect)
{
}

static void turn_seat(void)
{
	loop_turn(desk.loop, NS_PER_MS / 8);
	if (seat_has_changed(desk.seat))
		seat_compose(desk.seat, desk.pixels, SIDE * 4ul, on_drawn, NULL);
}

static void *run_seat(void *unused)
{
	while (!__atomic_load_n(&desk.ended, __ATOMIC_ACQUIRE))
		turn_seat();
	return NULL;
}

static bool shows(struct seat_window *window, unsigned side, uint32_t seed)
{
	struct seat_rect at = seat_window_picture(window);

	if (seat_window_is_hidden(window) || at.width != side || at.height != side)
		return false;
	for (unsigned y = 0; y < at.height; y++)
		for (unsigned x = 0; x < at.width; x++)
			if ((desk.pixels[((unsigned)at.y + y) * SIDE + (unsigned)at.x + x] & 0xffffff) !=
			    pixel_of(seed, x, y))
				return false;
	return true;
}

static bool shows_the_last(void)
{
	return shows(desk.window, desk.shown_side, desk.last_seed);
}

static void on_resized(void *context)
{
	desk.resized++;
}

static void open_desk_with(struct loop_guest *guest, unsigned scanouts)
{
	const struct loop_options loop = { .name = "seat" };
	const struct seat_options seat = { .width = SIDE, .height = SIDE };
	const struct seat_window_options window = { .name = "alice", .colour = 0xff0000, .hidden = true };
	struct display_served_options options = {
		.guest = guest, .name = "alice", .width = 800, .height = 600
	};

	memset(&desk, 0, sizeof(desk));
	assert_int_equal(loop_create(&loop, &desk.loop), 0);
	assert_int_equal(seat_create(&seat, &desk.seat), 0);
	for (unsigned i = 0; i < WINDOWS; i++)
		assert_int_equal(seat_window_open(desk.seat, &window, &desk.windows[i]), 0);
	desk.window = desk.windows[0];
	options.seat = options.control = desk.loop;
	options.resized = on_resized;
	options.windows = desk.windows;
	options.scanouts = scanouts;
	assert_int_equal(display_served_create(&options, &desk.display), 0);
	desk.pixels = calloc((size_t)SIDE * SIDE, 4);
	display_served_start(desk.display);
}

static void open_desk(struct loop_guest *guest)
{
	open_desk_with(guest, 1);
}

static void close_desk(void)
{
	/* What was told last arrives. */
	loop_turn(desk.loop, 0);
	display_served_stop(desk.display);
	display_served_destroy(desk.display);
	for (unsigned i = 0; i < WINDOWS; i++)
		seat_window_close(desk.windows[i]);
	seat_destroy(desk.seat);
	loop_turn(desk.loop, 0);
	loop_destroy(desk.loop);
	free(desk.pixels);
}

static void a_guest_that_draws_all_the_time(void **state)
{
	assert_int_equal(reaper_start(), 0);
	for (unsigned packed = 0; packed < 2; packed++) {
		struct loop_guest *guest = loop_guest_create();
		pthread_t thread;

		open_desk(guest);
		assert_int_equal(pthread_create(&thread, NULL, run_seat, NULL), 0);
		begin_on(display_served_model(desk.display), packed);
		for (unsigned round = 0; round < ROUNDS; round++)
			round_of(round);
		end_queues();
		__atomic_store_n(&desk.ended, true, __ATOMIC_RELEASE);
		pthread_join(thread, NULL);
		AWAIT(shows_the_last(), turn_seat());
		/* The front end leaves. */
		virtio_gpu_model.reset(display_served_model(desk.display));
		AWAIT(seat_window_is_hidden(desk.window), turn_seat());
		close_desk();
		loop_guest_put(guest);
	}
	reaper_stop();
}

/* Drawn without end, it is drawn into the window as often as the window is shown. */
static void more_than_is_shown(void **state)
{
	struct loop_guest *guest = loop_guest_create();
	uint64_t pixels;

	assert_int_equal(reaper_start(), 0);
	open_desk(guest);
	begin_on(display_served_model(desk.display), false);
	round_of(0);
	AWAIT(shows_the_last(), turn_seat());
	pixels = counter_read(&display_served_counters(desk.display)->damaged_pixels);
	for (unsigned i = 0; i < 100; i++) {
		assert_ok(flush(1, rect_of(0, 0, FIRST_SIDE, FIRST_SIDE)));
		loop_turn(desk.loop, 0);
	}
	/* One when it heard of the first, and none before that is shown. */
	assert_int_equal(counter_read(&display_served_counters(desk.display)->damaged_pixels) - pixels,
			 (uint64_t)FIRST_SIDE * FIRST_SIDE);
	turn_seat();
	loop_turn(desk.loop, 0);
	assert_int_equal(counter_read(&display_served_counters(desk.display)->damaged_pixels) - pixels,
			 2ull * FIRST_SIDE * FIRST_SIDE);
	end_queues();
	close_desk();
	loop_guest_put(guest);
	reaper_stop();
}

/* ---- cursors, and sizes that the user would like ---- */

#define BGRA	VIRTIO_GPU_FORMAT_B8G8R8A8
#define POINTER 50u
#define RED	0xffff0000u

static void point(uint32_t type, uint32_t id, uint32_t x, uint32_t y)
{
	assert_ok(
		ask(CURSOR,
		    &(struct virtio_gpu_update_cursor){ { type }, 0, (int32_t)x, (int32_t)y, 0, id, 3, 4, 0 },
		    sizeof(struct virtio_gpu_update_cursor)));
}

/* Of the picture, on the screen. */
static uint32_t screen_pixel(unsigned x, unsigned y)
{
	struct seat_rect at = seat_window_picture(desk.window);

	return desk.pixels[((unsigned)at.y + y) * SIDE + (unsigned)at.x + x] & 0xffffff;
}

static bool has_cursor(unsigned x, unsigned y)
{
	return screen_pixel(x, y) == (RED & 0xffffff) && screen_pixel(x - 1, y) != (RED & 0xffffff) &&
	       screen_pixel(x, y - 1) != (RED & 0xffffff);
}

static void cursors(void **state)
{
	struct loop_guest *guest = loop_guest_create();

	assert_int_equal(reaper_start(), 0);
	open_desk(guest);
	begin_on(display_served_model(desk.display), false);
	round_of(0);
	AWAIT(shows_the_last(), turn_seat());
	assert_ok(create_2d(POINTER, BGRA, 64, 64));
	for (unsigned i = 0; i < 64 * 64; i++)
		put(BACKING_AT + i * 4ul, &(uint32_t){ RED }, 4);
	assert_ok(attach_one(POINTER, BACKING_AT, 64 * 64 * 4));
	assert_ok(transfer(POINTER, rect_of(0, 0, 64, 64), 0));
	/* The guest names the corner. */
	point(VIRTIO_GPU_CMD_UPDATE_CURSOR, POINTER, 10, 12);
	AWAIT(has_cursor(10, 12), turn_seat());
	for (unsigned i = 0; i < 100; i++)
		point(VIRTIO_GPU_CMD_MOVE_CURSOR, 0, i, UINT32_MAX);
	point(VIRTIO_GPU_CMD_MOVE_CURSOR, 0, 20, 21);
	AWAIT(has_cursor(20, 21), turn_seat());
	point(VIRTIO_GPU_CMD_MOVE_CURSOR, 0, 0x7fffffff, 0x80000000);
	AWAIT(shows_the_last(), turn_seat());
	point(VIRTIO_GPU_CMD_MOVE_CURSOR, 0, 20, 21);
	AWAIT(has_cursor(20, 21), turn_seat());
	point(VIRTIO_GPU_CMD_UPDATE_CURSOR, 0, 0, 0);
	AWAIT(shows_the_last(), turn_seat());
	end_queues();
	close_desk();
	loop_guest_put(guest);
	reaper_stop();
}

static bool says_size_of(unsigned scanout, unsigned width, unsigned height)
{
	assert_int_equal(ask(CONTROL, &(struct virtio_gpu_header){ VIRTIO_GPU_CMD_GET_DISPLAY_INFO },
			     sizeof(struct virtio_gpu_header)),
			 VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	return bench.answer.display_info.mode[scanout].enabled &&
	       bench.answer.display_info.mode[scanout].rect.width == width &&
	       bench.answer.display_info.mode[scanout].rect.height == height;
}

static bool says_size(unsigned width, unsigned height)
{
	return says_size_of(0, width, height);
}

static void sizes(void **state)
{
	struct loop_guest *guest = loop_guest_create();

	assert_int_equal(reaper_start(), 0);
	open_desk(guest);
	begin_on(display_served_model(desk.display), false);
	round_of(0);
	AWAIT(shows_the_last(), turn_seat());
	assert_true(says_size(800, 600));
	seat_window_ask_size(desk.window, 1000, 700);
	AWAIT(desk.resized == 1, turn_seat());
	assert_true(says_size(1000, 700));
	/* The display goes while a wish is on its way. */
	seat_window_ask_size(desk.window, 400, 300);
	seat_compose(desk.seat, desk.pixels, SIDE * 4ul, on_drawn, NULL);
	end_queues();
	close_desk();
	loop_guest_put(guest);
	reaper_stop();
}

/* Each scanout has a window: pictures, the size that the user wants, darkness and the end are one's alone. */
static void several_scanouts(void **state)
{
	const struct virtio_gpu_rect small = rect_of(0, 0, 40, 40), large = rect_of(0, 0, 56, 56);
	struct loop_guest *guest = loop_guest_create();

	assert_int_equal(reaper_start(), 0);
	open_desk_with(guest, WINDOWS);
	begin_on(display_served_model(desk.display), false);
	assert_ok(create_2d(1, BGRX, 40, 40));
	assert_ok(create_2d(2, BGRX, 56, 56));
	assert_ok(attach_one(1, BACKING_AT, 40 * 40 * 4));
	assert_ok(attach_one(2, BACKING_AT, 56 * 56 * 4));
	draw(1, 40, 11);
	draw(2, 56, 22);
	assert_ok(set_scanout(1, 2, large));
	AWAIT(shows(desk.windows[1], 56, 22), turn_seat());
	assert_true(seat_window_is_hidden(desk.windows[0]));
	assert_ok(set_scanout(0, 1, small));
	AWAIT(shows(desk.windows[0], 40, 11), turn_seat());
	/* One resource that both show, drawn once. */
	assert_ok(set_scanout(1, 1, small));
	draw(1, 40, 33);
	assert_ok(flush(1, small));
	AWAIT(shows(desk.windows[0], 40, 33) && shows(desk.windows[1], 40, 33), turn_seat());
	assert_true(says_size_of(1, 800, 600));
	seat_window_ask_size(desk.windows[1], 1000, 700);
	AWAIT(desk.resized == 1, turn_seat());
	assert_true(says_size_of(1, 1000, 700) && says_size_of(0, 800, 600));
	assert_ok(set_scanout(0, 0, small));
	AWAIT(!shows(desk.windows[0], 40, 33), turn_seat());
	assert_true(shows(desk.windows[1], 40, 33));
	end_queues();
	virtio_gpu_model.reset(display_served_model(desk.display));
	AWAIT(seat_window_is_hidden(desk.windows[0]) && seat_window_is_hidden(desk.windows[1]), turn_seat());
	close_desk();
	loop_guest_put(guest);
	reaper_stop();
}

static bool is_told(int front_end)
{
	char byte;

	return recv(front_end, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 1;
}

/*
 * A front end's socket that has come and that the seat has not seen yet is handed over, too. Its successor
 * speaks there, and only when there is none, this one goes on.
 */
static void a_socket_that_has_just_come(void **state)
{
	struct loop_guest *guest = loop_guest_create();
	struct display_served_saved saved;
	int ends[2], given;
	char heard[256];

	assert_int_equal(reaper_start(), 0);
	open_desk(guest);
	for (unsigned turn = 0; turn < 2; turn++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
		given = ends[0];
		assert_int_equal(virtio_gpu_model.message(display_served_model(desk.display),
							  VIRTIO_MODEL_DISPLAY_SOCKET, 0, &ends[0]),
				 0);
		assert_int_equal(ends[0], -1);
		if (turn == 1)
			turn_seat();
		display_served_stand_still(desk.display, true);
		saved = display_served_save(desk.display);
		assert_true(saved.file >= 0);
		assert_int_equal(saved.front_end, given);
		while (recv(ends[1], heard, sizeof(heard), MSG_DONTWAIT) > 0)
			;
		for (unsigned i = 0; i < 20; i++)
			turn_seat();
		assert_false(is_told(ends[1]));
		assert_int_equal(display_served_save(desk.display).front_end, given);
		display_served_stand_still(desk.display, false);
		AWAIT(is_told(ends[1]), turn_seat());
		close(ends[1]);
	}
	close_desk();
	loop_guest_put(guest);
	reaper_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_guest_that_draws_all_the_time),
		cmocka_unit_test(more_than_is_shown),
		cmocka_unit_test(cursors),
		cmocka_unit_test(sizes),
		cmocka_unit_test(several_scanouts),
		cmocka_unit_test(a_socket_that_has_just_come),
	};

	return cmocka_run_group_tests_name("display_served", tests, NULL, NULL);
}
