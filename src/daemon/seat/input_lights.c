/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/seat/input_lights.h"

#include <linux/input-event-codes.h>

#include "arbiter/seat/seat.h"
#include "core/container.h"
#include "daemon/seat/display_device.h"
#include "daemon/seat/seat_room.h"

/* Of the state: those that the driver has set. */
#define SET_SHIFT 16u

/* ---- any thread ---- */

void input_lights_set(struct input_lights *lights, unsigned led, bool on)
{
	uint32_t bit = led < SET_SHIFT ? 1u << led & SEAT_LIGHTS_ALL : 0,
		 before = __atomic_load_n(&lights->state, __ATOMIC_RELAXED), now;

	if (bit == 0)
		return;
	do
		now = (on ? before | bit : before & ~bit) | bit << SET_SHIFT;
	while (!__atomic_compare_exchange_n(&lights->state, &before, now, false, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED));
	if (now != before && !__atomic_exchange_n(&lights->posted, true, __ATOMIC_ACQ_REL))
		loop_post(lights->daemon->control, &lights->news);
}

void input_lights_restore(struct input_lights *lights, unsigned lit)
{
	uint32_t before = __atomic_load_n(&lights->state, __ATOMIC_RELAXED), now;

	do
		now = before | (lit & SEAT_LIGHTS_ALL & ~(before >> SET_SHIFT));
	while (!__atomic_compare_exchange_n(&lights->state, &before, now, false, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED));
}

unsigned input_lights_get(const struct input_lights *lights)
{
	return __atomic_load_n(&lights->state, __ATOMIC_ACQUIRE) & SEAT_LIGHTS_ALL;
}

void input_lights_forget(struct input_lights *lights)
{
	__atomic_store_n(&lights->state, 0, __ATOMIC_RELEASE);
}

json_t *input_lights_json(unsigned lit)
{
	static const char *const names[] = {
		[LED_NUML] = "num", [LED_CAPSL] = "caps", [LED_SCROLLL] = "scroll"
	};
	json_t *list = json_array();

	for (unsigned led = 0; led < sizeof(names) / sizeof(names[0]); led++) {
		if (lit >> led & 1)
			json_array_append_new(list, json_string(names[led]));
	}
	return list;
}

/* ---- to the windows ---- */

struct show_errand {
	const struct display_device *display;
	unsigned lit;
};

/* On the seats' thread. */
static void show(void *context)
{
	const struct show_errand *errand = context;

	for (unsigned i = 0; i < errand->display->window_count; i++)
		seat_window_set_lights(errand->display->windows[i].window, errand->lit);
}

void input_lights_show(const struct input_lights *lights)
{
	struct show_errand errand = { .display = display_of_guest(lights->daemon, lights->guest),
				      .lit = input_lights_get(lights) };

	/* A VMM's own display has a keyboard of the VMM's. */
	if (errand.display && errand.display->served)
		seat_call(lights->daemon, show, &errand);
}

static void on_show(struct loop_timer *timer)
{
	struct input_lights *lights = container_of(timer, struct input_lights, show);

	lights->shown_ns = clock_now_ns();
	/*
	 * What is set from here on is told anew. An exchange, as the one in input_lights_set(): whichever
	 * comes first, that change is seen below, or posts the message.
	 */
	(void)__atomic_exchange_n(&lights->posted, false, __ATOMIC_ACQ_REL);
	input_lights_show(lights);
}

/* On the control thread. */
static void on_news(struct loop_message *message)
{
	struct input_lights *lights = container_of(message, struct input_lights, news);
	uint64_t now_ns = clock_now_ns(), due_ns = lights->shown_ns + INPUT_LIGHTS_NS;

	loop_timer_start(lights->daemon->control, &lights->show, due_ns > now_ns ? due_ns : now_ns);
}

/* ---- life ---- */

void input_lights_open(struct input_lights *lights, struct daemon *daemon, const struct guest *guest)
{
	*lights = (struct input_lights){ .daemon = daemon, .guest = guest };
	lights->news.run = on_news;
	lights->show.expired = on_show;
}

void input_lights_close(struct input_lights *lights)
{
	if (!lights->daemon)
		return;
	loop_timer_stop(lights->daemon->control, &lights->show);
	loop_unpost(lights->daemon->control, &lights->news);
	lights->daemon = NULL;
}
