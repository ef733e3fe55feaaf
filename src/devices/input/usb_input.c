/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reports on their way: they come on one thread, and the function takes them on its worker. A message, the
 * bell, goes from one to the other.
 */
#include "devices/input/usb_input.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "core/container.h"
#include "core/handover.h"
#include "devices/input/xhci_private.h"

#define WHEEL_MAX 127

/* ---- the bell ---- */

/* On the worker that it was sent to; the function may be at another one by now. */
static void on_ring(struct loop_message *message)
{
	struct usb_input *device = container_of(message, struct usb_input, message);
	struct xhci_function *function;
	bool destroyed;

	pthread_mutex_lock(&device->lock);
	function = device->loop ? device->function : NULL;
	if (function && device->loop != device->rung_at) {
		device->rung_at = device->loop;
		loop_post(device->loop, message);
		function = NULL;
	} else {
		device->rung_at = NULL;
	}
	destroyed = device->destroyed;
	pthread_mutex_unlock(&device->lock);
	if (destroyed)
		free(device);
	else if (function)
		xhci_wake(function);
}

/* Under the lock. A function that is at no worker looks by itself when it goes on. */
static void ring_bell(struct usb_input *device)
{
	if (!device->loop || !device->is_heard || device->rung_at)
		return;
	device->rung_at = device->loop;
	loop_post(device->loop, &device->message);
}

/* ---- the seat's side ---- */

void usb_input_key(struct usb_input *device, unsigned code, bool down)
{
	if (!hid_device_has_key(device->options.kind, code))
		return;
	pthread_mutex_lock(&device->lock);
	if (input_reports_key(&device->reports, code, down, device->is_heard))
		ring_bell(device);
	pthread_mutex_unlock(&device->lock);
}

static unsigned on_axis(unsigned value)
{
	return value < INPUT_AXIS_MAX ? value : INPUT_AXIS_MAX;
}

void usb_input_move(struct usb_input *device, unsigned x, unsigned y)
{
	if (device->options.kind != USB_INPUT_TABLET)
		return;
	pthread_mutex_lock(&device->lock);
	if (device->is_heard)
		input_reports_move(&device->reports, on_axis(x), on_axis(y));
	ring_bell(device);
	pthread_mutex_unlock(&device->lock);
}

void usb_input_turn_wheel(struct usb_input *device, int notches)
{
	if (device->options.kind != USB_INPUT_TABLET || notches == 0)
		return;
	if (notches > WHEEL_MAX || notches < -WHEEL_MAX)
		notches = notches > 0 ? WHEEL_MAX : -WHEEL_MAX;
	pthread_mutex_lock(&device->lock);
	if (device->is_heard)
		input_reports_turn_wheel(&device->reports, notches);
	ring_bell(device);
	pthread_mutex_unlock(&device->lock);
}

unsigned usb_input_waiting(struct usb_input *device)
{
	unsigned count;

	pthread_mutex_lock(&device->lock);
	count = device->is_heard ? device->reports.count : 0;
	pthread_mutex_unlock(&device->lock);
	return count;
}

uint64_t usb_input_dropped(struct usb_input *device)
{
	uint64_t dropped;

	pthread_mutex_lock(&device->lock);
	dropped = device->reports.dropped;
	pthread_mutex_unlock(&device->lock);
	return dropped;
}

/* ---- the function's side ---- */

void usb_input_set_loop(struct usb_input *device, struct xhci_function *function, struct loop *loop)
{
	pthread_mutex_lock(&device->lock);
	device->function = function;
	device->loop = loop;
	pthread_mutex_unlock(&device->lock);
}

void usb_input_set_heard(struct usb_input *device, bool is_heard)
{
	pthread_mutex_lock(&device->lock);
	if (device->is_heard != is_heard)
		input_reports_forget(&device->reports);
	device->is_heard = is_heard;
	pthread_mutex_unlock(&device->lock);
}

bool usb_input_has_report(struct usb_input *device)
{
	bool has_report;

	pthread_mutex_lock(&device->lock);
	has_report = device->is_heard && input_reports_wait(&device->reports);
	pthread_mutex_unlock(&device->lock);
	return has_report;
}

void usb_input_take_report(struct usb_input *device, struct hid_device *hid)
{
	struct input_report_event event;

	pthread_mutex_lock(&device->lock);
	do {
		event = input_reports_take(&device->reports);
		hid_device_note(hid, &event);
	} while (event.type != EV_SYN);
	pthread_mutex_unlock(&device->lock);
}

/* ---- takeover ---- */

static void put_told(struct handover *handover, const struct input_reports *reports)
{
	unsigned count = 0;

	for (unsigned code = 0; code < KEY_CNT; code++)
		count += reports->told[code];
	handover_put_u64(handover, count);
	for (unsigned code = 0; code < KEY_CNT; code++)
		if (reports->told[code])
			handover_put_u64(handover, code);
}

void usb_input_save(struct usb_input *device, struct handover *handover)
{
	const struct input_reports *reports = &device->reports;

	pthread_mutex_lock(&device->lock);
	handover_put_u64(handover, reports->count);
	for (unsigned i = 0; i < reports->count; i++) {
		const struct input_report_event *event =
			&reports->waiting[(reports->first + i) % INPUT_WAITING_MAX];

		handover_put_u64(handover, event->type);
		handover_put_u64(handover, event->code);
		handover_put_u64(handover, event->value);
	}
	put_told(handover, reports);
	handover_put_u64(handover, reports->dropped);
	pthread_mutex_unlock(&device->lock);
}

/* Is it what such a device reports? */
static bool is_possible(const struct usb_input *device, const struct input_report_event *event)
{
	bool is_tablet = device->options.kind == USB_INPUT_TABLET;

	switch (event->type) {
	case EV_SYN:
		return event->code == SYN_REPORT;
	case EV_KEY:
		return hid_device_has_key(device->options.kind, event->code) && event->value <= 1;
	case EV_ABS:
		return is_tablet && event->code <= ABS_Y && event->value <= INPUT_AXIS_MAX;
	case EV_REL:
		return is_tablet && event->code == REL_WHEEL;
	default:
		return false;
	}
}

static void get_waiting(struct usb_input *device, struct handover *handover)
{
	struct input_reports *reports = &device->reports;
	unsigned count = (unsigned)handover_get_at_most(handover, INPUT_WAITING_MAX);

	for (unsigned i = 0; i < count && !handover->error; i++) {
		struct input_report_event *event = &reports->waiting[i];

		event->type = (uint16_t)handover_get_at_most(handover, EV_MAX);
		event->code = (uint16_t)handover_get_at_most(handover, KEY_MAX);
		event->value = (uint32_t)handover_get_at_most(handover, UINT32_MAX);
		handover_fail_if(handover, !is_possible(device, event));
	}
	/* Whole reports. */
	handover_fail_if(handover, count > 0 && reports->waiting[count - 1].type != EV_SYN);
	reports->count = handover->error ? 0 : count;
}

/* The seat of this process reports what is down anew: what is not gets let up. */
void usb_input_restore(struct usb_input *device, struct handover *handover)
{
	struct input_reports *reports = &device->reports;
	unsigned count;

	pthread_mutex_lock(&device->lock);
	input_reports_forget(reports);
	get_waiting(device, handover);
	count = (unsigned)handover_get_at_most(handover, KEY_CNT);
	for (unsigned i = 0; i < count && !handover->error; i++) {
		unsigned code = (unsigned)handover_get_at_most(handover, KEY_MAX);

		handover_fail_if(handover, !hid_device_has_key(device->options.kind, code));
		reports->told[code] = true;
	}
	reports->owes = true;
	reports->dropped = handover_get_u64(handover);
	pthread_mutex_unlock(&device->lock);
}

/* ---- life ---- */

int usb_input_create(const struct usb_input_options *options, struct usb_input **ret_device)
{
	struct usb_input *device = calloc(1, sizeof(*device));

	if (!device)
		return -ENOMEM;
	device->options = *options;
	device->message.run = on_ring;
	pthread_mutex_init(&device->lock, NULL);
	*ret_device = device;
	return 0;
}

void usb_input_destroy(struct usb_input *device)
{
	bool on_its_way;

	if (!device)
		return;
	pthread_mutex_lock(&device->lock);
	assert(!device->function);
	device->destroyed = true;
	on_its_way = device->rung_at;
	pthread_mutex_unlock(&device->lock);
	if (!on_its_way)
		free(device);
}

/* ---- the same, whatever the model ---- */

static void report_key(void *device, unsigned code, bool down)
{
	usb_input_key(device, code, down);
}

static void report_move(void *device, unsigned x, unsigned y)
{
	usb_input_move(device, x, y);
}

static void report_wheel(void *device, int notches)
{
	usb_input_turn_wheel(device, notches);
}

static unsigned count_waiting(void *device)
{
	return usb_input_waiting(device);
}

static uint64_t count_dropped(void *device)
{
	return usb_input_dropped(device);
}

static void destroy(void *device)
{
	usb_input_destroy(device);
}

const struct input_model_ops usb_input_reports = {
	.key = report_key,
	.move = report_move,
	.turn_wheel = report_wheel,
	.waiting = count_waiting,
	.dropped = count_dropped,
	.destroy = destroy,
};
