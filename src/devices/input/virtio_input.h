/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio keyboard, or a tablet: an absolute pointer with three buttons and a wheel (virtio 1.2, 5.8). The
 * host reports what happened, and the guest hears of it when its driver has buffers for it: few at a time,
 * four with some VMMs. What comes faster waits in the device.
 *
 * When too much waits, reports are dropped whole. No key sticks for that: one that came up without the
 * guest's hearing of it is let up as soon as there is room. Keys that went down are not made up for.
 */
#ifndef VIADUCT_DEVICES_INPUT_VIRTIO_INPUT_H
#define VIADUCT_DEVICES_INPUT_VIRTIO_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/input/input_model.h"
#include "devices/virtio_model.h"

struct virtio_input;

enum virtio_input_kind {
	VIRTIO_INPUT_KEYBOARD,
	VIRTIO_INPUT_TABLET,
};

struct virtio_input_options {
	enum virtio_input_kind kind;
	/*
	 * A keyboard's LED: LED_… of linux/input-event-codes.h. May be NULL. The queue's worker; of those
	 * that go out when the driver forgets all, also the control thread.
	 */
	void (*led)(void *context, unsigned led, bool on);
	void *context;
};

extern const struct virtio_model_ops virtio_input_model;
/* What the functions below do, of a struct virtio_input. */
extern const struct input_model_ops virtio_input_reports;

/* Returns 0 or -ENOMEM. */
int virtio_input_create(const struct virtio_input_options *options, struct virtio_input **ret_device);
/* No queue runs, and nothing is reported any more. The workers still turn, or have ended. NULL is allowed. */
void virtio_input_destroy(struct virtio_input *device);

/*
 * Reports, from any one thread at a time. While no queue runs they are not heard, but count for what is down.
 */

/* A key of a keyboard, KEY_…, or a button of a tablet, BTN_LEFT to BTN_MIDDLE. One that it has not: ignored.
 */
void virtio_input_key(struct virtio_input *device, unsigned code, bool down);
/*
 * Where a tablet's pointer is, each up to INPUT_AXIS_MAX. Of several that wait, with nothing between
 * them, the last remains.
 */
void virtio_input_move(struct virtio_input *device, unsigned x, unsigned y);
/* A tablet's wheel, in notches: away from the user is positive. */
void virtio_input_turn_wheel(struct virtio_input *device, int notches);

/* Events that wait for the driver's buffers; 0 while there is no driver. Any thread. */
unsigned virtio_input_waiting(struct virtio_input *device);
/* Reports that were dropped so far. Any thread. */
uint64_t virtio_input_dropped(struct virtio_input *device);

#endif
