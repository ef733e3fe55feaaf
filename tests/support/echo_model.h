/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio device for tests: it holds every chain until the test lets it answer; the answer is the readable
 * bytes, each XOR 0x5a, repeated to fill the writable ones.
 */
#ifndef VIADUCT_TESTS_SUPPORT_ECHO_MODEL_H
#define VIADUCT_TESTS_SUPPORT_ECHO_MODEL_H

#include "devices/virtio_model.h"

#define ECHO_HELD_MAX 32768

struct echo_device {
	struct virtio_chain *held[ECHO_HELD_MAX];
	struct virtio_queue *held_by[ECHO_HELD_MAX];	/* each chain's queue */
	unsigned held_count;
	unsigned taken;		/* chains ever handed over */
	bool modest;		/* of each batch that it takes it gives a part back, and takes that again */
	bool at_once;		/* answer inside ready() */
	unsigned queues_running;
	bool draining;		/* somebody waits for what is held */
	uint64_t *clock_ns;	/* NULL, or a clock that each chain moves: 100 ns, and 20 ns a descriptor */
};

extern const struct virtio_model_ops echo_model;

/* Answers the held chain `index` (0 = oldest). */
void echo_answer(struct echo_device *device, unsigned index);
void echo_answer_all(struct echo_device *device);

#endif
