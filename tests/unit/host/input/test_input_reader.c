/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What events of input devices mean, for each kind of device, and whatever a device says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/input/input_reader.h"

#define HEARD  4096
#define EVENTS 300000u

struct desk {
	struct input_reader reader;
	char heard[HEARD]; /* "+30 -30 by 1,2 at 3,4:1 *1 …" since it was asked last */
	bool down[KEY_CNT];
	unsigned keys_down;
	struct input_motion last;
};

static void note(struct desk *desk, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void note(struct desk *desk, const char *format, ...)
{
	size_t length = strlen(desk->heard);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(desk->heard + length, HEARD - length, format, arguments);
	va_end(arguments);
}

static void on_key(void *context, unsigned code, bool down)
{
	struct desk *desk = context;

	assert_true(code > KEY_RESERVED && code < KEY_CNT && desk->down[code] != down);
	desk->down[code] = down;
	desk->keys_down += down ? 1 : -1u;
	note(desk, "%c%u ", down ? '+' : '-', code);
}

static void on_pointer(void *context, const struct input_motion *motion)
{
	struct desk *desk = context;

	assert_true(abs(motion->by_x) <= INPUT_MOVE_MAX && abs(motion->by_y) <= INPUT_MOVE_MAX);
	assert_true(motion->place_x <= INPUT_PLACE_MAX && motion->place_y <= INPUT_PLACE_MAX);
	assert_true(motion->buttons <= 7 && abs(motion->wheel) <= INPUT_MOVE_MAX);
	desk->last = *motion;
	if (motion->is_placed)
		note(desk, "at %u,%u:%u ", motion->place_x, motion->place_y, motion->buttons);
	else
		note(desk, "by %d,%d:%u ", motion->by_x, motion->by_y, motion->buttons);
	if (motion->wheel)
		note(desk, "*%d ", motion->wheel);
}

static const struct input_reader_ops ops = { .key = on_key, .pointer = on_pointer };

static const struct input_traits keyboard = { .has_keys = true };
static const struct input_traits mouse = { .has_keys = true, .is_pointer = true };
static const struct input_traits fine_mouse = { .has_keys = true,
						.is_pointer = true,
						.has_fine_wheel = true };
static const struct input_traits tablet = {
	.has_keys = true, .is_pointer = true, .x = { 0, 0x7fff, 0 }, .y = { 100, 200, 150 }
};
static const struct input_traits pad = {
	.has_keys = true, .is_pointer = true, .is_pad = true, .x = { 0, 2000, 0 }, .y = { 0, 1000, 0 }
};

static struct desk *make(const struct input_traits *traits)
{
	static struct desk desk;

	desk = (struct desk){ .heard = "" };
	input_reader_init(&desk.reader, traits, &ops, &desk);
	return &desk;
}

static void say(struct desk *desk, unsigned type, unsigned code, int value)
{
	input_reader_take(
		&desk->reader,
		&(struct input_event){ .type = (uint16_t)type, .code = (uint16_t)code, .value = value });
}

static void report(struct desk *desk)
{
	say(desk, EV_SYN, SYN_REPORT, 0);
}

#define EXPECT(desk, text)                                                                                   \
	do {                                                                                                 \
		assert_string_equal((desk)->heard, text);                                                    \
		(desk)->heard[0] = '\0';                                                                     \
	} while (0)

static void test_keys(void **state)
{
	struct desk *desk = make(&keyboard);

	say(desk, EV_MSC, MSC_SCAN, 30);
	say(desk, EV_KEY, KEY_A, 1);
	report(desk);
	EXPECT(desk, "+30 ");
	/* It repeats itself, and is told twice. */
	say(desk, EV_KEY, KEY_A, 2);
	say(desk, EV_KEY, KEY_A, 1);
	report(desk);
	EXPECT(desk, "");
	say(desk, EV_KEY, KEY_A, 0);
	say(desk, EV_KEY, KEY_A, 0);
	EXPECT(desk, "-30 ");
	/* What is no key of a keyboard's. */
	say(desk, EV_KEY, KEY_RESERVED, 1);
	say(desk, EV_KEY, BTN_LEFT, 1);
	say(desk, EV_KEY, BTN_TRIGGER_HAPPY, 1);
	say(desk, EV_KEY, KEY_CNT, 1);
	say(desk, EV_KEY, UINT16_MAX, 1);
	say(desk, EV_KEY, KEY_B, 7);
	say(desk, EV_REL, REL_X, 1);
	report(desk);
	EXPECT(desk, "");
	say(desk, EV_KEY, KEY_MICMUTE, 1);
	say(desk, EV_KEY, KEY_OK, 1);
	say(desk, EV_KEY, KEY_FN_ESC, 1);
	EXPECT(desk, "+248 +352 +465 ");
	input_reader_let_up(&desk->reader);
	EXPECT(desk, "-248 -352 -465 ");
	/* Down before: nothing comes up. */
	say(desk, EV_KEY, KEY_OK, 0);
	EXPECT(desk, "");
}

static void test_a_mouse(void **state)
{
	struct desk *desk = make(&mouse);

	say(desk, EV_REL, REL_X, 5);
	say(desk, EV_REL, REL_Y, -3);
	EXPECT(desk, "");
	report(desk);
	EXPECT(desk, "by 5,-3:0 ");
	report(desk);
	EXPECT(desk, "");
	/* The buttons as they are at the end of the report, where the pointer is then. */
	say(desk, EV_KEY, BTN_RIGHT, 1);
	say(desk, EV_REL, REL_X, 1);
	report(desk);
	say(desk, EV_KEY, BTN_LEFT, 1);
	say(desk, EV_KEY, BTN_RIGHT, 0);
	report(desk);
	say(desk, EV_KEY, BTN_MIDDLE, 1);
	report(desk);
	EXPECT(desk, "by 1,0:4 by 0,0:1 by 0,0:3 ");
	say(desk, EV_KEY, BTN_SIDE, 1);
	report(desk);
	EXPECT(desk, "");
	say(desk, EV_REL, REL_WHEEL, -2);
	say(desk, EV_REL, REL_HWHEEL, 1);
	report(desk);
	EXPECT(desk, "by 0,0:3 *-2 ");
	say(desk, EV_REL, REL_X, 9);
	input_reader_let_up(&desk->reader);
	EXPECT(desk, "by 0,0:0 ");
	report(desk);
	EXPECT(desk, "");
}

static void test_a_fine_wheel_counts_once(void **state)
{
	struct desk *desk = make(&fine_mouse);

	say(desk, EV_REL, REL_WHEEL_HI_RES, 120);
	say(desk, EV_REL, REL_WHEEL, 1);
	report(desk);
	EXPECT(desk, "by 0,0:0 *1 ");
	/* A quarter of a notch at a time. */
	for (unsigned i = 0; i < 4; i++) {
		say(desk, EV_REL, REL_WHEEL_HI_RES, -30);
		report(desk);
	}
	EXPECT(desk, "by 0,0:0 *-1 ");
	/* What was turned the other way before is forgotten. */
	say(desk, EV_REL, REL_WHEEL_HI_RES, 90);
	say(desk, EV_REL, REL_WHEEL_HI_RES, -60);
	say(desk, EV_REL, REL_WHEEL_HI_RES, -60);
	report(desk);
	EXPECT(desk, "by 0,0:0 *-1 ");
	say(desk, EV_REL, REL_WHEEL_HI_RES, 300);
	report(desk);
	EXPECT(desk, "by 0,0:0 *2 ");
}

static void test_a_tablet(void **state)
{
	struct desk *desk = make(&tablet);

	/* Of the axis that has not moved, it is known where it is. */
	say(desk, EV_ABS, ABS_X, 0x7fff);
	report(desk);
	EXPECT(desk, "at 65535,32767:0 ");
	say(desk, EV_ABS, ABS_Y, 100);
	say(desk, EV_KEY, BTN_TOUCH, 1);
	report(desk);
	EXPECT(desk, "at 65535,0:1 ");
	say(desk, EV_KEY, BTN_TOUCH, 0);
	report(desk);
	EXPECT(desk, "by 0,0:0 ");
	say(desk, EV_ABS, ABS_X, INT_MIN);
	say(desk, EV_ABS, ABS_Y, INT_MAX);
	say(desk, EV_ABS, ABS_PRESSURE, 5);
	say(desk, EV_ABS, ABS_MT_POSITION_X, 5);
	report(desk);
	EXPECT(desk, "at 0,65535:0 ");
}

static void test_a_touchpad(void **state)
{
	struct desk *desk = make(&pad);

	/* Where the finger comes down is no motion. 2000 units are 1000 pixels, in both directions. */
	say(desk, EV_ABS, ABS_X, 1000);
	say(desk, EV_ABS, ABS_Y, 500);
	say(desk, EV_KEY, BTN_TOUCH, 1);
	say(desk, EV_KEY, BTN_TOOL_FINGER, 1);
	report(desk);
	EXPECT(desk, "");
	say(desk, EV_ABS, ABS_X, 1100);
	say(desk, EV_ABS, ABS_Y, 480);
	report(desk);
	EXPECT(desk, "");
	say(desk, EV_ABS, ABS_X, 1110);
	say(desk, EV_ABS, ABS_Y, 470);
	report(desk);
	EXPECT(desk, "by 5,-5:0 ");
	/* Half pixels are not lost. */
	for (int at = 1111; at <= 1120; at++) {
		say(desk, EV_ABS, ABS_X, at);
		report(desk);
	}
	EXPECT(desk, "by 0,0:0 by 1,0:0 by 0,0:0 by 1,0:0 by 0,0:0 by 1,0:0 by 0,0:0 by 1,0:0 by 0,0:0 "
		     "by 1,0:0 ");
	/* Another finger leads: the pointer does not jump. */
	say(desk, EV_KEY, BTN_TOOL_FINGER, 0);
	say(desk, EV_KEY, BTN_TOOL_DOUBLETAP, 1);
	say(desk, EV_ABS, ABS_X, 100);
	report(desk);
	EXPECT(desk, "");
	say(desk, EV_KEY, BTN_LEFT, 1);
	report(desk);
	EXPECT(desk, "by 0,0:1 ");
	say(desk, EV_KEY, BTN_TOUCH, 0);
	say(desk, EV_ABS, ABS_X, 900);
	say(desk, EV_KEY, BTN_LEFT, 0);
	report(desk);
	EXPECT(desk, "by 0,0:0 ");
}

/* An axis that is none, and one of the whole range. */
static void test_odd_axes(void **state)
{
	struct input_traits odd = { .is_pointer = true, .x = { 5, 5, 5 }, .y = { INT_MIN, INT_MAX, 0 } };
	struct desk *desk = make(&odd);

	say(desk, EV_ABS, ABS_X, 5);
	report(desk);
	EXPECT(desk, "");
	say(desk, EV_ABS, ABS_Y, INT_MAX);
	report(desk);
	EXPECT(desk, "at 0,65535:0 ");
	odd.is_pad = true;
	desk = make(&odd);
	say(desk, EV_KEY, BTN_TOUCH, 1);
	say(desk, EV_ABS, ABS_Y, INT_MIN);
	say(desk, EV_ABS, ABS_Y, INT_MAX);
	say(desk, EV_ABS, ABS_Y, INT_MIN);
	report(desk);
	assert_int_equal(desk->last.by_y, 0);
}

/* Whatever a device says, keys come up, and the numbers are in their bounds. */
static void test_noise(void **state)
{
	const struct input_traits *kinds[] = { &keyboard, &mouse, &fine_mouse, &tablet, &pad };

	srandom(1);
	for (unsigned kind = 0; kind < 5; kind++) {
		struct desk *desk = make(kinds[kind]);

		for (unsigned i = 0; i < EVENTS / 5; i++) {
			unsigned type = (unsigned)random() % 5, code = (unsigned)random() % 0x310;
			int value = random() % 2 ? (int)(random() % 3) : (int)((uint32_t)random() * 2u);

			if (random() % 4 == 0)
				code %= 16;
			say(desk, type, code, value);
			desk->heard[0] = '\0';
		}
		input_reader_let_up(&desk->reader);
		assert_int_equal(desk->keys_down, 0);
		assert_int_equal(desk->last.buttons, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),	 cmocka_unit_test(test_a_mouse),
		cmocka_unit_test(test_odd_axes), cmocka_unit_test(test_a_fine_wheel_counts_once),
		cmocka_unit_test(test_a_tablet), cmocka_unit_test(test_a_touchpad),
		cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests_name("input_reader", tests, NULL, NULL);
}
