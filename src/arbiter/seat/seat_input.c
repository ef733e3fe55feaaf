/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who hears of keys and the pointer. A guest never hears of a key or button that went down before it had the
 * focus, and always hears that one came up that it heard go down.
 */
#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "arbiter/seat/seat_private.h"

#define BUTTONS_ALL 0x7u

/* ---- focus ---- */

/* Whose guest hears of what this seat does. A bare seat's window stands for its original. */
static struct seat_window *heard_by(const struct seat *seat)
{
	return seat->original ? seat->original : seat->focus;
}

static enum seat_from from_of(const struct seat *seat)
{
	return seat->original ? SEAT_FROM_BARE : SEAT_FROM_ITS_OWN;
}

/* A key that two seats hold is down as long as either does. */
static void tell_key(const struct seat *seat, unsigned code, bool down)
{
	struct seat_window *window = heard_by(seat);
	uint8_t before = window->keys_from[code], bit = (uint8_t)(1u << from_of(seat)),
		now = down ? before | bit : before & (uint8_t)~bit;

	window->keys_from[code] = now;
	if (window->ops && (before != 0) != (now != 0))
		window->ops->key(window->context, code, down);
}

static void let_keys_up(struct seat *seat)
{
	memset(seat->typed, 0, sizeof(seat->typed));
	for (unsigned code = 0; seat->focus && code < KEY_CNT; code++) {
		if (!seat->down[code])
			continue;
		seat->down[code] = false;
		tell_key(seat, code, false);
	}
}

static unsigned within(int value, unsigned count)
{
	if (value < 0)
		return 0;
	return (unsigned)value < count ? (unsigned)value : count - 1;
}

/* Outside of the picture: at its edge. */
static void point(const struct seat *seat, int x, int y, unsigned buttons, int wheel)
{
	struct seat_window *window = heard_by(seat);
	unsigned picture_x, picture_y, all = 0;

	seat_window_point(seat->focus, x, y, &picture_x, &picture_y);
	window->buttons_from[from_of(seat)] = buttons;
	for (unsigned i = 0; i < SEAT_FROMS; i++)
		all |= window->buttons_from[i];
	if (window->ops)
		window->ops->pointer(window->context, picture_x, picture_y, all, wheel);
}

static void let_all_up(struct seat *seat)
{
	let_keys_up(seat);
	if (!seat->grabbed)
		return;
	seat->grabbed = false;
	point(seat, seat->pointer_x, seat->pointer_y, 0, 0);
}

/* ---- lights ---- */

unsigned seat_lights(const struct seat *seat)
{
	return seat->focus ? heard_by(seat)->lights : 0;
}

static void show_lights(struct seat *seat)
{
	unsigned lights = seat_lights(seat);

	if (lights == seat->lights_told)
		return;
	seat->lights_told = lights;
	if (seat->tell_lights)
		seat->tell_lights(seat->context, lights);
}

void seat_window_set_lights(struct seat_window *window, unsigned lights)
{
	window->lights = lights & SEAT_LIGHTS_ALL;
	show_lights(window->seat);
	if (window->twin)
		show_lights(window->twin->seat);
}

unsigned seat_window_lights(const struct seat_window *window)
{
	return window->lights;
}

/* ---- who has the keys ---- */

void seat_set_focus(struct seat *seat, struct seat_window *window)
{
	if (window && window->hidden)
		window = NULL;
	if (seat->overview)
		seat_overview_end(seat);
	if (seat->focus == window)
		return;
	let_all_up(seat);
	seat->focus = window;
	seat->focus_changes++;
	seat_rect_changed(seat, seat_bar(seat));
	show_lights(seat);
}

struct seat_window *seat_focus(const struct seat *seat)
{
	return seat->focus;
}

void seat_forget_window(struct seat *seat, const struct seat_window *window)
{
	if (seat->focus == window)
		seat_set_focus(seat, NULL);
	if (seat->dragged == window)
		seat->dragged = NULL;
	seat_overview_forget(seat, window);
}

void seat_window_listen(struct seat_window *window, const struct seat_window_ops *ops, void *context)
{
	if (window->seat->focus == window)
		let_all_up(window->seat);
	if (window->twin)
		let_all_up(window->twin->seat);
	window->ops = ops;
	window->context = context;
}

/* ---- keys ---- */

static bool is_held(const struct seat *seat, unsigned left, unsigned right)
{
	return seat->held[left] || seat->held[right];
}

/* The one below, or from the lowest the highest: so each has its turn, as the chosen one is raised. */
static void focus_next(struct seat *seat)
{
	struct seat_window *next = seat->focus ? seat->bottom : seat->top;

	if (!next)
		return;
	seat_set_focus(seat, next);
	seat_window_raise(next);
}

static void toggle_fit(struct seat_window *window)
{
	seat_window_set_scale(window, window->scale == SEAT_SCALE_FIT ? 100 : SEAT_SCALE_FIT);
}

static void paste(const struct seat *seat)
{
	if (seat->tell_paste)
		seat->tell_paste(seat->context);
}

/* With Ctrl and Alt held. Returns false when the key is the guest's. */
static bool obey(struct seat *seat, unsigned code)
{
	if (seat->original && code != KEY_V)
		return false;
	switch (code) {
	case KEY_TAB:
		focus_next(seat);
		return true;
	case KEY_ENTER:
		let_keys_up(seat);
		seat_set_full_screen(seat, seat->full_screen ? NULL : seat->focus);
		return true;
	case KEY_SPACE:
		seat_set_overview(seat, !seat->overview);
		return true;
	case KEY_0:
		if (seat->focus)
			toggle_fit(seat->focus);
		return true;
	case KEY_ESC:
		seat_set_focus(seat, NULL);
		return true;
	case KEY_V:
		paste(seat);
		return true;
	default:
		return false;
	}
}

/* Which is the seat's own in the overview, too. */
static bool is_overview_toggle(const struct seat *seat, unsigned code)
{
	return code == KEY_SPACE && is_held(seat, KEY_LEFTCTRL, KEY_RIGHTCTRL) &&
	       is_held(seat, KEY_LEFTALT, KEY_RIGHTALT);
}

static void deliver(struct seat *seat, unsigned code, bool down)
{
	/* What it did not hear go down does not come up for it. */
	if (!seat->focus || seat->down[code] == down)
		return;
	seat->down[code] = down;
	tell_key(seat, code, down);
}

void seat_key(struct seat *seat, unsigned code, bool down)
{
	if (code == KEY_RESERVED || code >= KEY_CNT || seat->held[code] == down)
		return;
	seat->held[code] = down;
	if (down && seat->overview && !is_overview_toggle(seat, code)) {
		seat_overview_key(seat, code, is_held(seat, KEY_LEFTSHIFT, KEY_RIGHTSHIFT));
		return;
	}
	if (down && is_held(seat, KEY_LEFTCTRL, KEY_RIGHTCTRL) && is_held(seat, KEY_LEFTALT, KEY_RIGHTALT) &&
	    obey(seat, code))
		return;
	/* At the guest it is down already, and stays so until the typist has let it up, too. */
	if (!seat->typed[code])
		deliver(seat, code, down);
}

bool seat_holds_keys(const struct seat *seat)
{
	return memchr(seat->held, true, sizeof(seat->held));
}

enum seat_pace seat_focus_pace(const struct seat *seat)
{
	const struct seat_window *focus = seat->focus;

	return focus && focus->ops && focus->ops->pace ? focus->ops->pace(focus->context) : SEAT_PACE_UNKNOWN;
}

void seat_type_key(struct seat *seat, unsigned code, bool down)
{
	assert(code > KEY_RESERVED && code < KEY_CNT);
	if (seat->typed[code] == down)
		return;
	seat->typed[code] = down;
	if (!seat->held[code])
		deliver(seat, code, down);
}

void seat_keys_up(struct seat *seat)
{
	let_keys_up(seat);
	memset(seat->held, 0, sizeof(seat->held));
}

/* ---- the pointer ---- */

static void press(struct seat *seat, int x, int y)
{
	struct seat_window *window = seat_window_at(seat, x, y);
	struct seat_rect picture;

	/* The guest that is chosen does not hear of the button. */
	if (seat->overview) {
		if (window)
			seat_overview_choose(seat, window);
		return;
	}
	seat_set_focus(seat, window);
	if (!window)
		return;
	seat_window_raise(window);
	picture = seat_window_picture(window);
	if (seat_rect_holds(&picture, x, y)) {
		seat->grabbed = true;
	} else if (window != seat->full_screen) {
		seat->dragged = window;
		seat->drag_x = x - window->x;
		seat->drag_y = y - window->y;
	}
}

/* Without a button: the guest with the focus hears of it above what can be seen of its picture. */
static bool is_heard(const struct seat *seat, int x, int y)
{
	struct seat_rect picture;

	if (seat->grabbed)
		return true;
	if (!seat->focus || seat->dragged || seat->buttons || seat_window_at(seat, x, y) != seat->focus)
		return false;
	picture = seat_window_picture(seat->focus);
	return seat_rect_holds(&picture, x, y);
}

void seat_pointer(struct seat *seat, int x, int y, unsigned buttons, int wheel)
{
	unsigned before = seat->buttons;

	buttons &= BUTTONS_ALL;
	seat->pointer_x = x = (int)within(x, seat->width);
	seat->pointer_y = y = (int)within(y, seat->height);
	seat->buttons = buttons;
	if (before == 0 && buttons != 0)
		press(seat, x, y);
	if (seat->dragged)
		seat_window_move(seat->dragged, x - seat->drag_x, y - seat->drag_y);
	if (is_heard(seat, x, y))
		point(seat, x, y, buttons, wheel);
	if (buttons == 0) {
		seat->dragged = NULL;
		seat->grabbed = false;
	}
}

void seat_buttons_up(struct seat *seat)
{
	if (seat->buttons)
		seat_pointer(seat, seat->pointer_x, seat->pointer_y, 0, 0);
}
