/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happened to a keyboard or a tablet, and waits for its guest to hear of it: whole reports, in order.
 *
 * When too much waits, reports are dropped whole. No key sticks for that: one that came up without the
 * guest's hearing of it is let up as soon as there is room. Keys that went down are not made up for.
 *
 * Of several motions that wait, with nothing between them, the last remains.
 *
 * Nothing here locks: the device that embeds it does.
 */
#ifndef VIADUCT_DEVICES_INPUT_INPUT_REPORTS_H
#define VIADUCT_DEVICES_INPUT_INPUT_REPORTS_H

#include <linux/input-event-codes.h>
#include <stdbool.h>
#include <stdint.h>

/* A power of two. Fast typing is 30 events a second; a pointer's motion is joined. */
#define INPUT_WAITING_MAX 256u

/* EV_… and its codes; a report ends with EV_SYN. */
struct input_report_event {
	uint16_t type, code;
	uint32_t value;
};

/* Zeroed: nothing waits, and nothing is down. */
struct input_reports {
	/* A ring of events, whole reports, that the guest has not heard of. */
	struct input_report_event waiting[INPUT_WAITING_MAX];
	unsigned first, count; /* modulo INPUT_WAITING_MAX */
	/* Where a motion begins that waits as the last report, and may be replaced. */
	unsigned motion;
	bool has_motion;
	/* What is down, and what is down for the guest when it has heard of all that waits. */
	bool down[KEY_CNT], told[KEY_CNT];
	bool owes; /* some key is told to be down that is up */
	uint64_t dropped;
};

/*
 * A key or a button goes down or up. One that is not heard counts for what is down, no more. Returns whether
 * it was anything new.
 */
bool input_reports_key(struct input_reports *reports, unsigned code, bool down, bool is_heard);
void input_reports_move(struct input_reports *reports, unsigned x, unsigned y);
void input_reports_turn_wheel(struct input_reports *reports, int notches);

/* Is there an event for the guest? Makes up for what is owed, when there is room. */
bool input_reports_wait(struct input_reports *reports);
/* The oldest event. There is one. */
struct input_report_event input_reports_take(struct input_reports *reports);
/* What the guest was told, and what it was to be told, goes; what is down stays. */
void input_reports_forget(struct input_reports *reports);

#endif
