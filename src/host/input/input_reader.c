/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/input/input_reader.h"

#include <string.h>

#define LEFT	   0x1u
#define MIDDLE	   0x2u
#define RIGHT	   0x4u
#define FINE_NOTCH 120 /* of REL_WHEEL_HI_RES */

static int bounded(int64_t value, int max)
{
	if (value > max)
		return max;
	return value < -max ? -max : (int)value;
}

/* ---- keys and buttons ---- */

/* 0: it is no button. */
static unsigned button_of(const struct input_reader *reader, unsigned code)
{
	switch (code) {
	case BTN_LEFT:
		return LEFT;
	case BTN_MIDDLE:
	case BTN_STYLUS2:
		return MIDDLE;
	case BTN_RIGHT:
	case BTN_STYLUS:
		return RIGHT;
	case BTN_TOUCH:
		return reader->traits.is_pad ? 0 : LEFT;
	default:
		return 0;
	}
}

/* Buttons of mice, sticks and pens have codes between those of keys. */
static bool is_key(unsigned code)
{
	return code != KEY_RESERVED && code < KEY_CNT &&
	       (code < BTN_MISC || (code >= KEY_OK && code < BTN_DPAD_UP) ||
		(code > BTN_DPAD_RIGHT && code < BTN_TRIGGER_HAPPY));
}

/* Another finger leads from here on: where it is is no motion of the pointer. */
static void lift(struct input_reader *reader)
{
	reader->known_x = reader->known_y = false;
}

static void press_pad(struct input_reader *reader, unsigned code, bool down)
{
	switch (code) {
	case BTN_TOUCH:
		reader->touched = down;
		lift(reader);
		break;
	case BTN_TOOL_FINGER:
	case BTN_TOOL_DOUBLETAP:
	case BTN_TOOL_TRIPLETAP:
	case BTN_TOOL_QUADTAP:
	case BTN_TOOL_QUINTTAP:
		lift(reader);
		break;
	default:
		break;
	}
}

static void press(struct input_reader *reader, unsigned code, bool down)
{
	unsigned button = reader->traits.is_pointer ? button_of(reader, code) : 0;

	if (reader->traits.is_pad)
		press_pad(reader, code, down);
	if (button) {
		reader->buttons = down ? reader->buttons | button : reader->buttons & ~button;
		reader->moved = true;
	} else if (reader->traits.has_keys && is_key(code) && reader->held[code] != down) {
		reader->held[code] = down;
		reader->ops->key(reader->context, code, down);
	}
}

/* ---- motion ---- */

static void move(struct input_reader *reader, int *by, int64_t pixels)
{
	*by = bounded(*by + pixels, INPUT_MOVE_MAX);
	reader->moved = true;
}

static void turn_finely(struct input_reader *reader, int value)
{
	int notches;

	/* The other way: what was turned this way is no part of it. */
	if ((value < 0) != (reader->fine_wheel < 0))
		reader->fine_wheel = 0;
	reader->fine_wheel += bounded(value, INPUT_MOVE_MAX);
	notches = reader->fine_wheel / FINE_NOTCH;
	reader->fine_wheel %= FINE_NOTCH;
	if (notches)
		move(reader, &reader->motion.wheel, notches);
}

static void move_relatively(struct input_reader *reader, unsigned code, int value)
{
	switch (code) {
	case REL_X:
		move(reader, &reader->motion.by_x, value);
		break;
	case REL_Y:
		move(reader, &reader->motion.by_y, value);
		break;
	case REL_WHEEL:
		/* A device with fine steps tells of each notch twice. */
		if (!reader->traits.has_fine_wheel)
			move(reader, &reader->motion.wheel, value);
		break;
	case REL_WHEEL_HI_RES:
		turn_finely(reader, value);
		break;
	default:
		break;
	}
}

static bool has_axis(const struct input_axis *axis)
{
	return axis->max > axis->min;
}

static unsigned place_on(const struct input_axis *axis, int value)
{
	int64_t length = (int64_t)axis->max - axis->min, at = (int64_t)value - axis->min;

	if (at < 0)
		at = 0;
	else if (at > length)
		at = length;
	return (unsigned)(at * INPUT_PLACE_MAX / length);
}

/* By how many pixels the finger has moved the pointer, the pad's width being INPUT_PAD_PIXELS of them. */
static int64_t pixels_of(const struct input_reader *reader, int from, int to, int64_t *rest)
{
	const struct input_axis *scale = has_axis(&reader->traits.x) ? &reader->traits.x : &reader->traits.y;
	int64_t length = (int64_t)scale->max - scale->min, way, pixels;

	way = ((int64_t)to - from) * INPUT_PAD_PIXELS + *rest;
	pixels = way / length;
	*rest = way % length;
	return pixels;
}

static void drag(struct input_reader *reader, bool vertical, int value)
{
	bool *known = vertical ? &reader->known_y : &reader->known_x;
	int *last = vertical ? &reader->last_y : &reader->last_x;

	if (reader->touched && *known)
		move(reader, vertical ? &reader->motion.by_y : &reader->motion.by_x,
		     pixels_of(reader, *last, value, vertical ? &reader->rest_y : &reader->rest_x));
	*last = value;
	*known = true;
}

static void move_absolutely(struct input_reader *reader, unsigned code, int value)
{
	bool vertical = code == ABS_Y;
	const struct input_axis *axis = vertical ? &reader->traits.y : &reader->traits.x;

	if ((code != ABS_X && code != ABS_Y) || !has_axis(axis))
		return;
	if (reader->traits.is_pad) {
		drag(reader, vertical, value);
		return;
	}
	*(vertical ? &reader->motion.place_y : &reader->motion.place_x) = place_on(axis, value);
	reader->motion.is_placed = true;
	reader->moved = true;
}

/* ---- reports ---- */

void input_reader_init(struct input_reader *reader, const struct input_traits *traits,
		       const struct input_reader_ops *ops, void *context)
{
	*reader = (struct input_reader){
		.traits = *traits,
		.ops = ops,
		.context = context,
		.motion.place_x = has_axis(&traits->x) ? place_on(&traits->x, traits->x.value) : 0,
		.motion.place_y = has_axis(&traits->y) ? place_on(&traits->y, traits->y.value) : 0,
	};
}

static void tell_motion(struct input_reader *reader)
{
	struct input_motion *motion = &reader->motion;

	if (!reader->moved)
		return;
	reader->moved = false;
	motion->buttons = reader->buttons;
	reader->ops->pointer(reader->context, motion);
	/* A device does not tell of a place again that has not changed. */
	*motion = (struct input_motion){ .place_x = motion->place_x, .place_y = motion->place_y };
}

void input_reader_take(struct input_reader *reader, const struct input_event *event)
{
	switch (event->type) {
	case EV_KEY:
		/* 2: it repeats itself, which guests do on their own. */
		if (event->value == 0 || event->value == 1)
			press(reader, event->code, event->value == 1);
		break;
	case EV_REL:
		if (reader->traits.is_pointer)
			move_relatively(reader, event->code, event->value);
		break;
	case EV_ABS:
		if (reader->traits.is_pointer)
			move_absolutely(reader, event->code, event->value);
		break;
	case EV_SYN:
		if (event->code == SYN_REPORT)
			tell_motion(reader);
		break;
	default:
		break;
	}
}

void input_reader_let_up(struct input_reader *reader)
{
	for (unsigned code = 0; code < KEY_CNT; code++) {
		if (!reader->held[code])
			continue;
		reader->held[code] = false;
		reader->ops->key(reader->context, code, false);
	}
	reader->touched = false;
	lift(reader);
	reader->fine_wheel = 0;
	reader->moved = reader->buttons != 0;
	reader->buttons = 0;
	reader->motion =
		(struct input_motion){ .place_x = reader->motion.place_x, .place_y = reader->motion.place_y };
	tell_motion(reader);
}
