/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A picture on a monitor: each pixel of it, how often it is shown, and what becomes of the monitor. */
#include "screen_fake.h"

#include "core/loop.h"
#include "host/screen/screen.h"
#include "host/screen/screen_pointer.h"
#include "patience.h"
#include "stopped_clock.h"
#include "test_disk.h"

#define ROUNDS 3000u

struct bench {
	struct loop *loop;
	struct fake_card card;
	struct screen screen;
	uint32_t *picture;
	unsigned stride; /* pixels */
};

static struct bench *make(unsigned width, unsigned height)
{
	static struct bench bench;
	struct loop_options options = { .name = "test", .clocks = &stopped_clocks };

	bench = (struct bench){ .stride = width + 3 };
	assert_int_equal(loop_create(&options, &bench.loop), 0);
	fake_create(&bench.card);
	bench.picture = calloc((size_t)bench.stride * height, 4);
	assert_non_null(bench.picture);
	bench.screen = (struct screen){
		.device = &bench.card.base,
		.picture = bench.picture,
		.stride_bytes = bench.stride * 4,
		.width = width,
		.height = height,
	};
	return &bench;
}

static void destroy(struct bench *bench)
{
	screen_stop(&bench->screen);
	screen_stop(&bench->screen);
	fake_destroy(&bench->card);
	free(bench->picture);
	loop_destroy(bench->loop);
}

static struct bench *make_started(unsigned width, unsigned height)
{
	struct bench *bench = make(width, height);

	fake_add_mode(&bench->card, 160, 120, true);
	assert_int_equal(screen_start(&bench->screen, bench->loop), 0);
	return bench;
}

static void turn(struct bench *bench)
{
	assert_int_equal(loop_turn(bench->loop, NS_PER_MS), 0);
}

/* The next look at the monitor. */
static void pass_a_second(struct bench *bench)
{
	turn(bench);
	stopped_clock_ns += SCREEN_LOOK_NS;
	turn(bench);
}

static void finish_flip(struct bench *bench)
{
	fake_finish_flip(&bench->card);
	AWAIT(!bench->screen.waits || bench->card.pending, turn(bench));
}

static void settle(struct bench *bench)
{
	while (bench->card.pending)
		finish_flip(bench);
}

/* The naive picture of the monitor: black, the picture in the middle, and an arrow. */
static void expect_seen(const struct bench *bench)
{
	const struct fake_card *card = &bench->card;
	const struct screen *screen = &bench->screen;
	uint32_t *wanted = calloc(FAKE_PIXELS, 4);
	unsigned left = card->width > screen->width ? (card->width - screen->width) / 2 : 0,
		 top = card->height > screen->height ? (card->height - screen->height) / 2 : 0;

	assert_non_null(wanted);
	for (unsigned y = 0; y < screen->height && y + top < card->height; y++) {
		for (unsigned x = 0; x < screen->width && x + left < card->width; x++)
			wanted[(y + top) * card->width + x + left] = bench->picture[y * bench->stride + x];
	}
	if (screen->has_pointer)
		screen_pointer_draw(wanted, card->width * 4, card->width, card->height,
				    screen->pointer_x + (int)left, screen->pointer_y + (int)top);
	for (unsigned y = 0; y < card->height; y++) {
		for (unsigned x = 0; x < card->width; x++)
			assert_int_equal(fake_seen(card, x, y), wanted[y * card->width + x]);
	}
	free(wanted);
}

static void paint(struct bench *bench, int x, int y, unsigned width, unsigned height, uint32_t colour)
{
	for (unsigned row = 0; row < height; row++) {
		for (unsigned column = 0; column < width; column++)
			bench->picture[((unsigned)y + row) * bench->stride + (unsigned)x + column] =
				colour + row * 256 + column;
	}
	screen_damage(&bench->screen, &(struct screen_rect){ x, y, width, height });
}

/* ---- pixels ---- */

static void test_nothing_while_nothing_changes(void **state)
{
	struct bench *bench = make_started(160, 120);

	expect_seen(bench);
	screen_flush(&bench->screen);
	pass_a_second(bench);
	assert_int_equal(bench->card.flips, 0);
	paint(bench, 10, 20, 4, 3, 0x123456);
	screen_flush(&bench->screen);
	settle(bench);
	expect_seen(bench);
	assert_int_equal(bench->card.flips, 1);
	/* Both buffers have all of it once; then only what has changed is copied. */
	paint(bench, 100, 20, 4, 3, 0x654321);
	bench->card.uploaded_pixels = 0;
	screen_flush(&bench->screen);
	assert_int_equal(bench->card.uploaded_pixels, 24);
	settle(bench);
	expect_seen(bench);
	destroy(bench);
}

/* While a flip is under way, changes wait for its end, and are then shown together. */
static void test_one_flip_for_each_picture_of_the_monitor(void **state)
{
	struct bench *bench = make_started(160, 120);

	for (unsigned i = 0; i < 100; i++) {
		paint(bench, (int)i, 5, 4, 4, i);
		screen_flush(&bench->screen);
	}
	assert_int_equal(bench->card.flips, 1);
	finish_flip(bench);
	assert_int_equal(bench->card.flips, 2);
	settle(bench);
	assert_int_equal(bench->card.flips, 2);
	expect_seen(bench);
	destroy(bench);
}

static void test_smaller_and_larger_than_the_monitor(void **state)
{
	static const unsigned sizes[][2] = { { 160, 120 }, { 100, 64 }, { 320, 200 }, { 64, 200 } };

	for (unsigned i = 0; i < 4; i++) {
		struct bench *bench = make_started(sizes[i][0], sizes[i][1]);

		paint(bench, 0, 0, sizes[i][0], sizes[i][1], 0x10203);
		screen_point(&bench->screen, (int)sizes[i][0] - 4, (int)sizes[i][1] - 4);
		screen_flush(&bench->screen);
		settle(bench);
		expect_seen(bench);
		destroy(bench);
	}
}

static void step(struct bench *bench, uint64_t *seed)
{
	struct screen *screen = &bench->screen;
	unsigned width = 1 + (unsigned)(test_random(seed) % screen->width),
		 height = 1 + (unsigned)(test_random(seed) % screen->height);

	switch (test_random(seed) % 6) {
	case 0:
	case 1:
		if (test_random(seed) % 2)
			width = height = 2;
		paint(bench, (int)(test_random(seed) % (screen->width - width + 1)),
		      (int)(test_random(seed) % (screen->height - height + 1)), width, height,
		      (uint32_t)test_random(seed) & 0xffffff);
		break;
	case 2:
		screen_point(screen, (int)width - 8, (int)height - 8);
		break;
	case 3:
		screen_flush(screen);
		break;
	case 4:
		if (bench->card.pending)
			finish_flip(bench);
		break;
	default:
		if (test_random(seed) % 16 == 0)
			screen_hide_pointer(screen);
	}
}

/* Whatever changes when, and however late the monitor is. */
static void test_random_changes(void **state)
{
	uint64_t seed = test_seed("screen");
	struct bench *bench = make_started(150, 130);

	for (unsigned round = 0; round < ROUNDS; round++) {
		step(bench, &seed);
		if (round % 16)
			continue;
		screen_flush(&bench->screen);
		settle(bench);
		expect_seen(bench);
	}
	assert_true(bench->card.flips > ROUNDS / 16);
	destroy(bench);
}

/* The card is told of so many rectangles at most. */
static void test_many_rectangles(void **state)
{
	struct bench *bench = make_started(160, 120);

	settle(bench);
	paint(bench, 0, 0, 1, 1, 1);
	screen_flush(&bench->screen);
	settle(bench);
	for (int i = 0; i < 40; i++)
		paint(bench, 4 * (i % 20), 10 * (i / 20), 2, 2, 0xff);
	screen_flush(&bench->screen);
	assert_int_equal(bench->card.rects, 1);
	settle(bench);
	expect_seen(bench);
	destroy(bench);
}

/* ---- modes ---- */

static void test_choice_of_a_mode(void **state)
{
	struct screen_output output = { .mode_count = 5,
					.modes = { { 1920, 1080, 60, false, true },
						   { 1280, 800, 75, false, false },
						   { 1920, 1080, 60, true, false },
						   { 1280, 800, 60, false, false },
						   { 9000, 800, 60, true, false } } };

	assert_int_equal(screen_choose_mode(&output, 0, 0), 2);
	assert_int_equal(screen_choose_mode(&output, 1280, 800), 1);
	assert_int_equal(screen_choose_mode(&output, 1280, 801), 2);
	assert_int_equal(screen_choose_mode(&output, 9000, 800), 2);
	output.mode_count = 2;
	assert_int_equal(screen_choose_mode(&output, 1920, 1080), 1);
	output.mode_count = 1;
	assert_int_equal(screen_choose_mode(&output, 1920, 1080), -1);
	output.mode_count = 0;
	assert_int_equal(screen_choose_mode(&output, 0, 0), -1);
}

/* ---- monitors, and other programs ---- */

static void test_a_monitor_that_comes_and_goes(void **state)
{
	struct bench *bench = make(160, 120);

	assert_int_equal(screen_start(&bench->screen, bench->loop), 0);
	assert_int_equal(bench->screen.state, SCREEN_OFF);
	pass_a_second(bench);
	paint(bench, 0, 0, 9, 9, 77);
	screen_flush(&bench->screen);
	pass_a_second(bench);
	assert_int_equal(bench->card.modes_set, 0);
	fake_add_mode(&bench->card, 160, 120, true);
	pass_a_second(bench);
	assert_int_equal(bench->screen.state, SCREEN_ON);
	settle(bench);
	expect_seen(bench);
	/* Another one, on another connector. */
	bench->card.monitor.modes[0].width = 200;
	bench->card.monitor.connector[0] = 'H';
	pass_a_second(bench);
	assert_int_equal(bench->card.modes_set, 2);
	assert_int_equal(bench->screen.mode.width, 200);
	settle(bench);
	expect_seen(bench);
	bench->card.monitor.mode_count = 0;
	pass_a_second(bench);
	assert_int_equal(bench->screen.state, SCREEN_OFF);
	paint(bench, 50, 50, 9, 9, 99);
	screen_flush(&bench->screen);
	bench->card.monitor.mode_count = 1;
	pass_a_second(bench);
	settle(bench);
	expect_seen(bench);
	destroy(bench);
}

static void test_another_program_has_the_card(void **state)
{
	struct bench *bench = make(160, 120);

	fake_add_mode(&bench->card, 160, 120, true);
	bench->card.mode_error = bench->card.take_error = -EACCES;
	assert_int_equal(screen_start(&bench->screen, bench->loop), 0);
	assert_int_equal(bench->screen.state, SCREEN_LOST);
	pass_a_second(bench);
	assert_int_equal(bench->screen.state, SCREEN_LOST);
	bench->card.mode_error = bench->card.take_error = 0;
	pass_a_second(bench);
	assert_int_equal(bench->screen.state, SCREEN_ON);
	settle(bench);
	/* It comes back, in the middle of a picture. */
	bench->card.flip_error = bench->card.take_error = -EACCES;
	paint(bench, 1, 2, 30, 40, 5);
	screen_flush(&bench->screen);
	assert_int_equal(bench->screen.state, SCREEN_LOST);
	paint(bench, 100, 2, 30, 40, 6);
	screen_flush(&bench->screen);
	bench->card.flip_error = bench->card.take_error = 0;
	pass_a_second(bench);
	settle(bench);
	expect_seen(bench);
	destroy(bench);
}

/* A monitor whose modes cannot be set, or that has none, is asked ever more seldom. */
static void test_a_monitor_that_cannot_be_used(void **state)
{
	for (unsigned without = 0; without < 2; without++) {
		struct bench *bench = make(160, 120);

		fake_add_mode(&bench->card, 160, 120, true);
		bench->card.mode_error = -EINVAL;
		bench->card.monitor.modes[0].is_interlaced = without;
		assert_int_equal(screen_start(&bench->screen, bench->loop), 0);
		for (unsigned i = 0; i < 60; i++)
			pass_a_second(bench);
		assert_int_equal(bench->screen.state, SCREEN_LOST);
		assert_true(bench->card.asked > 4 && bench->card.asked < 8);
		bench->card.mode_error = 0;
		bench->card.monitor.modes[0].is_interlaced = false;
		for (unsigned i = 0; i < 32; i++)
			pass_a_second(bench);
		assert_int_equal(bench->screen.state, SCREEN_ON);
		expect_seen(bench);
		/* And the next one soon. */
		bench->card.monitor.mode_count = 0;
		pass_a_second(bench);
		assert_int_equal(bench->screen.state, SCREEN_OFF);
		bench->card.monitor.mode_count = 1;
		pass_a_second(bench);
		assert_int_equal(bench->screen.state, SCREEN_ON);
		destroy(bench);
	}
}

/* A driver that is busy, and one that forgets to tell. */
static void test_slow_cards(void **state)
{
	struct bench *bench = make_started(160, 120);

	settle(bench);
	bench->card.flip_error = -EBUSY;
	paint(bench, 1, 2, 30, 40, 5);
	screen_flush(&bench->screen);
	assert_int_equal(bench->screen.state, SCREEN_ON);
	bench->card.flip_error = 0;
	pass_a_second(bench);
	assert_int_equal(bench->card.flips, 1);
	paint(bench, 5, 2, 30, 40, 5);
	screen_flush(&bench->screen);
	bench->card.pending = false;
	pass_a_second(bench);
	pass_a_second(bench);
	assert_int_equal(bench->card.flips, 2);
	settle(bench);
	expect_seen(bench);
	destroy(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_while_nothing_changes),
		cmocka_unit_test(test_one_flip_for_each_picture_of_the_monitor),
		cmocka_unit_test(test_smaller_and_larger_than_the_monitor),
		cmocka_unit_test(test_random_changes),
		cmocka_unit_test(test_many_rectangles),
		cmocka_unit_test(test_choice_of_a_mode),
		cmocka_unit_test(test_a_monitor_that_comes_and_goes),
		cmocka_unit_test(test_another_program_has_the_card),
		cmocka_unit_test(test_a_monitor_that_cannot_be_used),
		cmocka_unit_test(test_slow_cards),
	};

	return cmocka_run_group_tests_name("screen", tests, NULL, NULL);
}
