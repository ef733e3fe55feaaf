/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/seat/seat_hand.h"

#include "arbiter/seat/seat.h"
#include "core/clock.h"
#include "daemon/seat/seat_screen.h"

#define BUTTONS_ALL 0x7u

void seat_hand_let_up(struct seat_hand *hand)
{
	struct seat_screen *screen = hand->screen;

	for (unsigned code = 0; code < KEY_CNT && hand->keys_held > 0; code++) {
		if (!hand->held[code])
			continue;
		hand->held[code] = false;
		hand->keys_held--;
		seat_key(screen->seat, code, false);
	}
	if (hand->buttons)
		seat_buttons_up(screen->seat);
	hand->buttons = 0;
}

void seat_hand_leave(struct seat_hand *hand)
{
	seat_hand_let_up(hand);
	if (hand->screen->steering == hand)
		hand->screen->steering = NULL;
}

/* Can another have its place? */
static bool is_quiet(const struct seat_screen *screen)
{
	const struct seat_hand *steering = screen->steering;
	bool holds = steering->keys_held > 0 || steering->buttons != 0;

	return clock_now_ns() - screen->steered_ns >= (holds ? SEAT_STEER_HELD_NS : SEAT_STEER_QUIET_NS);
}

bool seat_hand_may_steer(struct seat_hand *hand, bool presses)
{
	struct seat_screen *screen = hand->screen;

	counter_add(&hand->events, 1);
	if (screen->steering && screen->steering != hand) {
		if (!presses || !is_quiet(screen)) {
			counter_add(&hand->ignored_events, 1);
			return false;
		}
		seat_hand_let_up(screen->steering);
	}
	screen->steering = hand;
	screen->steered_ns = clock_now_ns();
	counter_add(&screen->events, 1);
	return true;
}

void seat_hand_key(struct seat_hand *hand, unsigned code, bool down)
{
	if (code == KEY_RESERVED || code >= KEY_CNT || hand->held[code] == down)
		return;
	/* What is held went down while it steered, and it has steered since. */
	if (!seat_hand_may_steer(hand, down))
		return;
	hand->held[code] = down;
	hand->keys_held += down ? 1 : -1u;
	seat_key(hand->screen->seat, code, down);
}

static int bounded(int notches)
{
	if (notches > SEAT_WHEEL_MAX)
		return SEAT_WHEEL_MAX;
	return notches < -SEAT_WHEEL_MAX ? -SEAT_WHEEL_MAX : notches;
}

void seat_hand_point(struct seat_hand *hand, unsigned x, unsigned y, unsigned buttons, int wheel)
{
	const struct seat_screen *screen = hand->screen;

	buttons &= BUTTONS_ALL;
	wheel = bounded(wheel);
	if (x >= screen->width || y >= screen->height ||
	    !seat_hand_may_steer(hand, buttons & ~hand->buttons || wheel))
		return;
	hand->buttons = buttons;
	seat_pointer(screen->seat, (int)x, (int)y, buttons, wheel);
}
