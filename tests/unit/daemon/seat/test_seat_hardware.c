/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A seat at the host's own screen, keyboard and pointer; and whose keys count when others steer, too. */
#include "screen_fake.h"

#include <linux/input-event-codes.h>

#include "arbiter/seat/seat.h"
#include "core/log.h"
#include "core/loop.h"
#include "daemon/seat/seat_config.h"
#include "daemon/seat/seat_hardware.h"
#include "daemon/seat/seat_screen.h"
#include "patience.h"

#define HEARD 512

struct bench {
	struct loop *loop;
	struct fake_card card;
	struct seat_screen screen;
	struct seat_hardware hardware;
	struct seat_window *window;
	char heard[HEARD]; /* "+30 -30 @5,6:1 …" since it was asked last */
};

static void on_key(void *context, unsigned code, bool down)
{
	struct bench *bench = context;
	size_t length = strlen(bench->heard);

	snprintf(bench->heard + length, HEARD - length, "%c%u ", down ? '+' : '-', code);
}

static void on_pointer(void *context, unsigned x, unsigned y, unsigned buttons, int wheel)
{
	struct bench *bench = context;
	size_t length = strlen(bench->heard);

	snprintf(bench->heard + length, HEARD - length, "@%u,%u:%u ", x, y, buttons);
}

static const struct seat_window_ops window_ops = { .key = on_key, .pointer = on_pointer };

static void open_window(struct bench *bench)
{
	const struct seat_window_options options = { .name = "alice", .colour = 0xff0000 };

	assert_int_equal(seat_window_open(bench->screen.seat, &options, &bench->window), 0);
	assert_int_equal(seat_window_resize(bench->window, 100, 50), 0);
	seat_window_move(bench->window, 0, (int)SEAT_BAR_PIXELS);
	seat_window_listen(bench->window, &window_ops, bench);
	seat_set_focus(bench->screen.seat, bench->window);
}

static int setup(void **state)
{
	static struct bench bench;
	struct seat_screen_options options = { .name = "desk",
					       .layout = "us",
					       .seat = { 200, 150, .font = NULL } };
	struct config_seat settings = { .screen = (char[]){ "none" }, .input = (char[]){ "none" } };
	struct loop_options loop_options = { .name = "test" };
	struct error error;

	log_set_level(LOG_LEVEL_ERROR);
	memset(&bench, 0, sizeof(bench));
	assert_int_equal(loop_create(&loop_options, &bench.loop), 0);
	fake_create(&bench.card);
	fake_add_mode(&bench.card, 320, 200, true);
	assert_int_equal(seat_screen_init(&bench.screen, bench.loop, &options, &error), 0);
	seat_hardware_open(&bench.hardware, &settings, NULL, NULL);
	bench.hardware.monitor.device = &bench.card.base;
	snprintf(bench.hardware.card, sizeof(bench.hardware.card), "fake");
	seat_hardware_attach(&bench.hardware, &bench.screen);
	open_window(&bench);
	seat_screen_start(&bench.screen, 0);
	seat_hardware_start(&bench.hardware);
	*state = &bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	seat_hardware_stop(&bench->hardware);
	seat_window_close(bench->window);
	seat_screen_stop(&bench->screen);
	seat_hardware_close(&bench->hardware);
	assert_int_equal(bench->card.closed, 1);
	seat_screen_finish(&bench->screen);
	fake_destroy(&bench->card);
	loop_destroy(bench->loop);
	return 0;
}

static void press(struct bench *bench, unsigned code, bool down)
{
	const struct input_set *input = &bench->hardware.input;

	input->ops->key(input->context, code, down);
}

static void move(struct bench *bench, struct input_motion motion)
{
	const struct input_set *input = &bench->hardware.input;

	input->ops->pointer(input->context, &motion);
}

#define EXPECT(bench, text)                                                                                  \
	do {                                                                                                 \
		assert_string_equal((bench)->heard, text);                                                   \
		(bench)->heard[0] = '\0';                                                                    \
	} while (0)

/* Of the seat's screen, which is in the middle of the monitor. */
static uint32_t seen(const struct bench *bench, unsigned x, unsigned y)
{
	return fake_seen(&bench->card, x + 60, y + 25);
}

static bool is_seen(struct bench *bench)
{
	if (bench->card.pending)
		fake_finish_flip(&bench->card);
	for (unsigned y = 0; y < 150; y++) {
		for (unsigned x = 0; x < 200; x++) {
			if (seen(bench, x, y) != bench->screen.pixels[y * 200 + x])
				return false;
		}
	}
	return true;
}

static void settle(struct bench *bench)
{
	AWAIT(!seat_has_changed(bench->screen.seat) && is_seen(bench),
	      assert_int_equal(loop_turn(bench->loop, NS_PER_MS), 0));
}

static void test_what_is_drawn_is_shown(void **state)
{
	struct bench *bench = *state;
	const uint32_t pixels[4] = { 0x123456, 0x234567, 0x345678, 0x456789 };
	unsigned flips;

	settle(bench);
	assert_int_equal(seat_window_draw(bench->window, &(struct seat_rect){ 98, 48, 2, 2 }, pixels, 8), 0);
	settle(bench);
	assert_int_equal(seen(bench, 98 + SEAT_FRAME_PIXELS, SEAT_BAR_PIXELS + SEAT_TITLE_PIXELS + 48),
			 pixels[0]);
	assert_int_equal(seen(bench, 99 + SEAT_FRAME_PIXELS, SEAT_BAR_PIXELS + SEAT_TITLE_PIXELS + 49),
			 pixels[3]);
	flips = bench->card.flips;
	for (unsigned i = 0; i < 10; i++)
		loop_turn(bench->loop, NS_PER_MS);
	assert_int_equal(bench->card.flips, flips);
}

static void test_keys_and_the_pointer(void **state)
{
	struct bench *bench = *state;
	unsigned left = SEAT_FRAME_PIXELS, top = SEAT_BAR_PIXELS + SEAT_TITLE_PIXELS;

	press(bench, KEY_A, true);
	press(bench, KEY_A, false);
	EXPECT(bench, "+30 -30 ");
	/* The pointer begins in the middle. */
	move(bench, (struct input_motion){ .by_x = -60, .by_y = 5 });
	assert_int_equal(bench->hardware.x, 40);
	assert_int_equal(bench->hardware.y, 80);
	move(bench, (struct input_motion){ .by_x = -4000, .by_y = 4000 });
	assert_int_equal(bench->hardware.x, 0);
	assert_int_equal(bench->hardware.y, 149);
	move(bench, (struct input_motion){ .is_placed = true, .place_x = INPUT_PLACE_MAX });
	assert_int_equal(bench->hardware.x, 199);
	assert_int_equal(bench->hardware.y, 0);
	bench->heard[0] = '\0';
	bench->hardware.x = left + 10;
	bench->hardware.y = top + 20;
	move(bench, (struct input_motion){ .by_x = 1, .buttons = 1 });
	move(bench, (struct input_motion){ .by_y = 1, .buttons = 1 });
	move(bench, (struct input_motion){ .by_y = 0 });
	EXPECT(bench, "@11,20:1 @11,21:1 @11,21:0 ");
	/* What is held when it stops, for a takeover say, comes up. */
	press(bench, KEY_LEFTSHIFT, true);
	move(bench, (struct input_motion){ .buttons = 4 });
	seat_hardware_stop(&bench->hardware);
	EXPECT(bench, "+42 @11,21:4 -42 @11,21:0 ");
	assert_null(bench->screen.steering);
	seat_hardware_start(&bench->hardware);
}

/* The rule is the same for the host's keyboard and for viewers. */
static void test_who_steers(void **state)
{
	struct bench *bench = *state;
	struct seat_hand viewer = { .screen = &bench->screen };

	press(bench, KEY_A, true);
	press(bench, KEY_A, false);
	EXPECT(bench, "+30 -30 ");
	seat_hand_key(&viewer, KEY_B, true);
	seat_hand_key(&viewer, KEY_B, false);
	EXPECT(bench, "");
	/* Quiet for a second: another begins with a key, but not by moving the pointer. */
	bench->screen.steered_ns -= SEAT_STEER_QUIET_NS;
	seat_hand_point(&viewer, 20, 70, 0, 0);
	EXPECT(bench, "");
	seat_hand_key(&viewer, KEY_B, true);
	press(bench, KEY_A, true);
	EXPECT(bench, "+48 ");
	press(bench, KEY_A, false);
	/* It holds a key: five seconds. Then what it held comes up. */
	bench->screen.steered_ns -= SEAT_STEER_QUIET_NS;
	press(bench, KEY_C, true);
	EXPECT(bench, "");
	bench->screen.steered_ns -= SEAT_STEER_HELD_NS - SEAT_STEER_QUIET_NS;
	press(bench, KEY_D, true);
	EXPECT(bench, "-48 +32 ");
	/* The one that has gone keeps nobody waiting. */
	seat_hand_leave(&viewer);
	EXPECT(bench, "");
	seat_hardware_stop(&bench->hardware);
	EXPECT(bench, "-32 ");
	seat_hand_key(&viewer, KEY_B, true);
	seat_hand_leave(&viewer);
	EXPECT(bench, "+48 -48 ");
}

/* A monitor that is smaller than the seat: the pointer stays where it is seen. */
static void test_a_small_monitor(void **state)
{
	struct bench *bench = *state;

	bench->card.monitor.modes[0].width = 120;
	bench->card.monitor.modes[0].height = 90;
	seat_hardware_stop(&bench->hardware);
	bench->hardware.monitor.output = bench->card.monitor;
	seat_hardware_start(&bench->hardware);
	move(bench, (struct input_motion){ .by_x = 4000, .by_y = 4000 });
	assert_int_equal(bench->hardware.x, 119);
	assert_int_equal(bench->hardware.y, 89);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_what_is_drawn_is_shown),
		TEST(test_keys_and_the_pointer),
		TEST(test_who_steers),
		TEST(test_a_small_monitor),
	};

	return cmocka_run_group_tests_name("seat_hardware", tests, NULL, NULL);
}
