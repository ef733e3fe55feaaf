/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the input device share. */
#ifndef VIADUCT_DEVICES_INPUT_VIRTIO_INPUT_PRIVATE_H
#define VIADUCT_DEVICES_INPUT_VIRTIO_INPUT_PRIVATE_H

#include <linux/input-event-codes.h>

#include "devices/input/virtio_input.h"
#include "devices/input/virtio_input_format.h"
#include "devices/virtio_bell.h"

/* A power of two. Fast typing is 30 events a second; a pointer's motion is joined. */
#define WAITING_MAX 256u

struct virtio_input {
	struct virtio_input_options options;
	uint8_t select, subsel; /* control thread */
	/* Rung for the queue of events. All that follows is under its lock. */
	struct virtio_bell bell;
	/* A ring of events, whole reports, that the guest has not heard of. */
	struct virtio_input_event waiting[WAITING_MAX];
	unsigned first, count; /* modulo WAITING_MAX */
	/* Where a motion begins that waits as the last report, and may be replaced. */
	unsigned motion;
	bool has_motion;
	/* What is down, and what is down for the guest when it has heard of all that waits. */
	bool down[KEY_CNT], told[KEY_CNT];
	bool owes; /* some key is told to be down that is up */
	uint64_t dropped;
};

bool input_has_key(const struct virtio_input *device, unsigned code);
/* Fills the configuration in, for what the driver has selected. */
void input_describe(const struct virtio_input *device, struct virtio_input_config *ret_config);

#endif
