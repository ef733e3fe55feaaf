/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A keyboard and a pointer that can steer a seat: those of a viewer, or those of the host. One hand steers at
 * a time, the first that presses a key or a button. Another can begin when that one has been quiet for
 * SEAT_STEER_QUIET_NS, or SEAT_STEER_HELD_NS with a key or button held; until then the other's keys and
 * pointer are not heard. On the seat's thread.
 */
#ifndef VIADUCT_DAEMON_SEAT_SEAT_HAND_H
#define VIADUCT_DAEMON_SEAT_SEAT_HAND_H

#include <linux/input-event-codes.h>
#include <stdbool.h>

#include "core/stats.h"

#define SEAT_STEER_QUIET_NS 1000000000u
#define SEAT_STEER_HELD_NS  5000000000u

struct seat_screen;

struct seat_hand {
	struct seat_screen *screen;
	struct counter events, ignored_events;

	/* private */
	bool held[KEY_CNT];
	unsigned keys_held, buttons;
};

/*
 * Does what the hand does now count? presses: it is more than moving the pointer. If so, it steers from now
 * on, and what another hand held comes up.
 */
bool seat_hand_may_steer(struct seat_hand *hand, bool presses);

/* What is no key, or is so already, is ignored. */
void seat_hand_key(struct seat_hand *hand, unsigned code, bool down);
/*
 * As seat_pointer(). Outside of the screen: ignored. A wheel turns by SEAT_WHEEL_MAX notches at a time, and
 * by no more.
 */
#define SEAT_WHEEL_MAX 8
void seat_hand_point(struct seat_hand *hand, unsigned x, unsigned y, unsigned buttons, int wheel);

/* Its keys and buttons come up. */
void seat_hand_let_up(struct seat_hand *hand);
/* It is gone: the same, and another may steer at once. */
void seat_hand_leave(struct seat_hand *hand);

#endif
