/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lights of a guest's keyboard that is a device of the daemon's: its driver sets them on a worker, and
 * the windows of the guest's display have them soon after, at most once in INPUT_LIGHTS_NS, however often
 * they change.
 */
#ifndef VIADUCT_DAEMON_SEAT_INPUT_LIGHTS_H
#define VIADUCT_DAEMON_SEAT_INPUT_LIGHTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/clock.h"
#include "core/loop.h"

#define INPUT_LIGHTS_NS (20 * NS_PER_MS)

struct daemon;
struct guest;

struct input_lights {
	uint32_t state; /* atomic: what is lit, a bit for each LED_…; and above, which the driver has set */
	bool posted;	/* atomic: the message waits */
	struct daemon *daemon;
	const struct guest *guest;
	struct loop_message news;
	struct loop_timer show;
	uint64_t shown_ns; /* when the windows were told last */
};

/* Control thread, as all but set() and restore(). Nothing is lit. */
void input_lights_open(struct input_lights *lights, struct daemon *daemon, const struct guest *guest);
/* No queue runs any more. Idempotent, and nothing for one that was never open. */
void input_lights_close(struct input_lights *lights);

/* The driver sets one, LED_NUML to LED_SCROLLL; others are ignored. Any thread. */
void input_lights_set(struct input_lights *lights, unsigned led, bool on);
/* Those that are lit, a bit each. */
unsigned input_lights_get(const struct input_lights *lights);
/* No queue runs, and nothing is lit any more. */
void input_lights_forget(struct input_lights *lights);
/* The windows of the guest's display, if it has one that takes keys of such a keyboard, have them now. */
void input_lights_show(const struct input_lights *lights);

/* Names of those in SEAT_LIGHTS_ALL, as an array. */
json_t *input_lights_json(unsigned lit);

/* Takeover: these were lit in the predecessor. What the driver has set since then counts. Any thread. */
void input_lights_restore(struct input_lights *lights, unsigned lit);

#endif
