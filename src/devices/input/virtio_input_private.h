/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the input device share. */
#ifndef VIADUCT_DEVICES_INPUT_VIRTIO_INPUT_PRIVATE_H
#define VIADUCT_DEVICES_INPUT_VIRTIO_INPUT_PRIVATE_H

#include "devices/input/input_reports.h"
#include "devices/input/virtio_input.h"
#include "devices/input/virtio_input_format.h"
#include "devices/virtio_bell.h"

struct virtio_input {
	struct virtio_input_options options;
	uint8_t select, subsel; /* control thread */
	/* Rung for the queue of events. All that follows is under its lock. */
	struct virtio_bell bell;
	struct input_reports reports;
};

bool input_has_key(const struct virtio_input *device, unsigned code);
/* Fills the configuration in, for what the driver has selected. */
void input_describe(const struct virtio_input *device, struct virtio_input_config *ret_config);

#endif
