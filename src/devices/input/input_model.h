/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Border between what reports keys and a pointer (the seat) and a keyboard or a tablet, whatever its guest
 * sees it as: virtio_input.h, usb_input.h.
 */
#ifndef VIADUCT_DEVICES_INPUT_INPUT_MODEL_H
#define VIADUCT_DEVICES_INPUT_INPUT_MODEL_H

#include <stdbool.h>
#include <stdint.h>

/* A tablet's axes go from 0 to this, whatever the picture's size. */
#define INPUT_AXIS_MAX 32767u

/* Filled in statically by each model: what its header says of the function of that name. None blocks. */
struct input_model_ops {
	/* Reports, from any one thread at a time. */
	void (*key)(void *device, unsigned code, bool down);
	void (*move)(void *device, unsigned x, unsigned y);
	void (*turn_wheel)(void *device, int notches);
	/* Any thread. */
	unsigned (*waiting)(void *device);
	uint64_t (*dropped)(void *device);
	/* No queue runs, no function is powered on, and nothing is reported any more. */
	void (*destroy)(void *device);
};

struct input_model {
	const struct input_model_ops *ops;
	void *device; /* the model's own; NULL: there is none */
};

#endif
