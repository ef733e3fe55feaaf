/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When the memory is looked at, how much of it in one turn, and a guest that draws meanwhile. */
#include "bochs_bench.h"

#include <pthread.h>

#include "patience.h"

#define IDLE_STEP 8u

static const struct mode vga = { 320, 200, 32, 0, 0, 0 };
static const struct mode whole = { 512, 512, 32, 0, 0, 0 };

static void show(const struct mode *mode, unsigned looks)
{
	set_mode(mode);
	pass(looks);
	expect_mode(mode);
	bench.damages = bench.asked = 0;
}

/* ---- how much ---- */

/* A picture of 1 MiB takes four turns, and is not seen before it is complete. */
static void in_pieces(void **state)
{
	memset(bench.vram, 0x5a, BYTES);
	set_mode(&whole);
	stopped_clock_ns += BOCHS_LOOK_NS;
	for (unsigned turns = 0; bench.shows == 0; turns++) {
		loop_turn(bench.loop, 0);
		assert_true(turns < 10);
		assert_true(turns >= 3 || bench.shows == 0);
	}
	expect_mode(&whole);
}

/* What is not moving is looked at in parts: a change of one line is found in the eighth look, of eight at
 * once. */
static void while_nothing_changes(void **state)
{
	show(&vga, 30);
	for (unsigned y = 0; y < 200; y += 3) {
		unsigned looks = 0;

		bench.vram[y * 320 + 5] ^= 1;
		for (; bench.damages == 0; looks++) {
			assert_true(looks < IDLE_STEP);
			pass(1);
		}
		expect_mode(&vga);
		bench.damages = 0;
		pass(20);
		assert_int_equal(bench.damages, 0);
	}
	for (unsigned y = 0; y + IDLE_STEP <= 200; y += 7) {
		for (unsigned line = 0; line < IDLE_STEP; line++)
			bench.vram[(y + line) * 320 + 9 + line] ^= 2;
		pass(1);
		assert_int_equal(bench.damages, 1);
		expect_mode(&vga);
		bench.damages = 0;
		pass(20);
	}
}

/* ---- how often ---- */

static void dark_is_not_looked_at(void **state)
{
	pass(20);
	assert_int_equal(bench.asked, 0);
	show(&vga, 3);
	pass(20);
	assert_in_range(bench.asked, 15, 20);
	set(ENABLE, 0);
	pass(2);
	bench.asked = 0;
	pass(20);
	assert_int_equal(bench.asked, 0);
}

/* An output that shows nothing new is told nothing, and then all at once. */
static void a_busy_output(void **state)
{
	show(&vga, 3);
	bench.busy = true;
	for (unsigned i = 0; i < 30; i++) {
		bench.vram[i * 320 + i] ^= 1;
		pass(1);
	}
	assert_int_equal(bench.damages, 0);
	bench.busy = false;
	pass(1);
	assert_int_equal(bench.damages, 1);
	expect_mode(&vga);
	/* That it goes dark is seen at once. */
	bench.busy = true;
	set(ENABLE, 0);
	pass(2);
	assert_null(bench.picture);
}

/* One that takes a while to show what it was told is not worth looking for more often. */
static void a_slow_output(void **state)
{
	show(&vga, 3);
	bench.vram[0] ^= 1;
	pass(1);
	bench.busy = true;
	pass(5);
	bench.busy = false;
	pass(1);
	bench.asked = 0;
	pass(60);
	assert_in_range(bench.asked, 8, 13);
	/* It has become quick again. */
	bench.vram[0] ^= 1;
	pass(60);
	bench.asked = 0;
	pass(60);
	assert_in_range(bench.asked, 50, 60);
}

/* ---- rest ---- */

static void rest_in_the_middle(void **state)
{
	memset(bench.vram, 0x33, BYTES);
	set_mode(&whole);
	stopped_clock_ns += BOCHS_LOOK_NS;
	loop_turn(bench.loop, 0);
	loop_turn(bench.loop, 0);
	for (unsigned i = 0; i < 5; i++) {
		quiesce();
		memset(bench.vram, (int)i, BYTES);
		pass(3);
		assert_int_equal(bench.shows, 0);
		bench.ops->resume(bench.function);
		loop_turn(bench.loop, 0);
	}
	pass(2);
	expect_mode(&whole);
	/* Stores come, and are seen later. */
	quiesce();
	set_mode(&vga);
	bench.vram[5] ^= 1;
	pass(3);
	assert_int_equal(bench.picture->width, whole.width);
	bench.ops->resume(bench.function);
	pass(2);
	expect_mode(&vga);
}

/* A look begins, and has so many turns, of 256 KiB each. */
static void look_for(unsigned turns)
{
	for (bench.asked = 0; bench.asked == 0; loop_turn(bench.loop, 0))
		stopped_clock_ns += BOCHS_LOOK_NS / 4;
	for (unsigned i = 0; i < turns; i++)
		loop_turn(bench.loop, 0);
}

/* A look that has found something does not come to its end: that is told by the next one. */
static void rest_in_the_middle_of_a_change(void **state)
{
	for (unsigned i = 0; i < 12; i++) {
		unsigned turns = i % 3;

		show(&whole, 3);
		memset(bench.vram + 3 * 512, (int)i + 1, BYTES - 9 * 512 * 4);
		look_for(turns);
		quiesce();
		assert_int_equal(bench.damages, 0);
		/* Above what was found by then, or below. */
		if (i >= 6)
			bench.vram[i < 9 ? 512 + 7 : BYTES / 4 - 512 - 7] = i;
		bench.ops->resume(bench.function);
		pass(2);
		expect_mode(&whole);
	}
	/* A picture that it was not found in hears nothing of it. */
	show(&whole, 3);
	memset(bench.vram, 0x77, BYTES);
	look_for(1);
	quiesce();
	set_mode(&(struct mode){ 5, 4, 32, 0, 0, 0 });
	bench.ops->resume(bench.function);
	pass(3);
	expect_mode(&(struct mode){ 5, 4, 32, 0, 0, 0 });
	assert_int_equal(bench.damages, 0);
}

static void frozen(void **state)
{
	show(&vga, 3);
	bench.ops->freeze(bench.function);
	bench.vram[0] ^= 1;
	pass(20);
	assert_int_equal(bench.damages + bench.asked, 0);
	quiesce();
	bench.ops->leave(bench.function);
	assert_int_equal(bench.ops->arrive(bench.function), 0);
	bench.ops->resume(bench.function);
	pass(2);
	expect_mode(&vga);
	assert_int_equal(bench.damages, 1);
}

/* ---- a guest that draws all the time ---- */

static bool ended; /* atomic */

static void *scribble(void *unused)
{
	for (uint32_t i = 1; !__atomic_load_n(&ended, __ATOMIC_RELAXED); i++)
		__atomic_store_n(&bench.vram[i * 2654435761u % (BYTES / 4)], i, __ATOMIC_RELAXED);
	return NULL;
}

static void turn_of_the_model(unsigned turn)
{
	bench.busy = turn % 7 == 3;
	pass(1);
	if (turn % 10 == 0)
		set_mode(turn % 20 == 0 ? &vga : &whole);
}

static void drawn_meanwhile(void **state)
{
	unsigned turn = 0;
	pthread_t guest;

	show(&whole, 3);
	__atomic_store_n(&ended, false, __ATOMIC_RELAXED);
	assert_int_equal(pthread_create(&guest, NULL, scribble, NULL), 0);
	AWAIT(bench.damages > 50 && turn > 100, turn_of_the_model(turn++));
	__atomic_store_n(&ended, true, __ATOMIC_RELAXED);
	pthread_join(guest, NULL);
	bench.busy = false;
	set_mode(&whole);
	pass(20);
	expect_mode(&whole);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(in_pieces),
		TEST(while_nothing_changes),
		TEST(dark_is_not_looked_at),
		TEST(a_busy_output),
		TEST(a_slow_output),
		TEST(rest_in_the_middle),
		TEST(rest_in_the_middle_of_a_change),
		TEST(frozen),
		TEST(drawn_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
