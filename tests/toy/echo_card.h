/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A toy virtio device that is shaped like a network card: queue 0 receives, queue 1 transmits. What the
 * driver transmits comes back on its receive queue, each byte XOR `mask`. Posted receive buffers stay in the
 * ring until there is something to put into them; a frame without a buffer is dropped and counted.
 *
 * Both queues are served by one worker: the daemon that serves it has only one.
 */
#ifndef VIADUCT_TESTS_TOY_ECHO_CARD_H
#define VIADUCT_TESTS_TOY_ECHO_CARD_H

#include "core/stats.h"
#include "devices/virtio_model.h"

enum { ECHO_CARD_RECEIVE, ECHO_CARD_TRANSMIT, ECHO_CARD_QUEUES };

struct echo_card {
	uint8_t mask;
	struct echo_card_queue {
		struct echo_card *card;
		struct virtio_queue *ring;	/* NULL: not running */
	} queues[ECHO_CARD_QUEUES];
	struct counter echoed, dropped;		/* frames; the worker writes, any thread reads */
};

void echo_card_init(struct echo_card *card, uint8_t mask);
extern const struct virtio_model_ops echo_card_model;

#endif
