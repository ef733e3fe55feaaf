/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A USB keyboard, or a tablet: an absolute pointer with three buttons and a wheel; plugged into an xHCI
 * controller of its own (xHCI 1.2, HID 1.11). For guests, and firmware, that have no driver for
 * virtio_input.h: all else about it is as there.
 *
 * A report that came waits for the driver to ask. It is heard from when the driver has configured the device
 * until the device is reset.
 */
#ifndef VIADUCT_DEVICES_INPUT_USB_INPUT_H
#define VIADUCT_DEVICES_INPUT_USB_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/input/input_model.h"
#include "devices/register_model.h"

struct usb_input;

enum usb_input_kind {
	USB_INPUT_KEYBOARD,
	USB_INPUT_TABLET,
};

struct usb_input_options {
	enum usb_input_kind kind;
	/* A keyboard's LED: LED_… of linux/input-event-codes.h. May be NULL. The function's worker. */
	void (*led)(void *context, unsigned led, bool on);
	void *context;
};

/* `device` is a struct usb_input, which has one function at a time. */
extern const struct register_model_ops usb_input_model;
/* What the functions below do, of a struct usb_input. */
extern const struct input_model_ops usb_input_reports;

/* Returns 0 or -ENOMEM. */
int usb_input_create(const struct usb_input_options *options, struct usb_input **ret_device);
/*
 * No function is powered on, and nothing is reported any more. The workers still turn, or have ended. NULL is
 * allowed.
 */
void usb_input_destroy(struct usb_input *device);

/* Reports, from any one thread at a time. What is not heard counts for what is down. */

/* A key of a keyboard, KEY_…, or a button of a tablet, BTN_LEFT to BTN_MIDDLE. One that it has not: ignored.
 */
void usb_input_key(struct usb_input *device, unsigned code, bool down);
/*
 * Where a tablet's pointer is, each up to INPUT_AXIS_MAX. Of several that wait, with nothing between
 * them, the last remains.
 */
void usb_input_move(struct usb_input *device, unsigned x, unsigned y);
/* A tablet's wheel, in notches: away from the user is positive. More than 127 at a time are 127. */
void usb_input_turn_wheel(struct usb_input *device, int notches);

/* Events that wait for the driver to ask; 0 while there is no driver. Any thread. */
unsigned usb_input_waiting(struct usb_input *device);
/* Reports that were dropped so far. Any thread. */
uint64_t usb_input_dropped(struct usb_input *device);

#endif
