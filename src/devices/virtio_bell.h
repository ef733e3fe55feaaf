/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rung when something outside of a queue's worker has news for the queue: what is typed, a key that went
 * down. The model's ready() follows on the worker that serves the queue by then. Its lock is also that of
 * what the model shares with the ringer.
 */
#ifndef VIADUCT_DEVICES_VIRTIO_BELL_H
#define VIADUCT_DEVICES_VIRTIO_BELL_H

#include <pthread.h>
#include <stdbool.h>

#include "core/loop.h"
#include "devices/virtio_model.h"

struct virtio_bell {
	/* private */
	pthread_mutex_t lock;
	struct virtio_queue *ring; /* NULL: the queue does not run */
	struct loop *loop;	   /* its worker */
	struct loop_message message;
	struct loop *rung_at; /* where the message is on its way; NULL: nowhere */
	bool destroyed;
	void (*free)(struct virtio_bell *bell);
};

/* free: of what the bell is a part of, when the bell is destroyed. */
void virtio_bell_init(struct virtio_bell *bell, void (*free)(struct virtio_bell *bell));
/*
 * The queue does not run. The workers still turn, or have ended. What it is a part of is freed, now or when a
 * ring that is on its way has arrived.
 */
void virtio_bell_destroy(struct virtio_bell *bell);

/* The queue starts; NULL: it stops. On its worker. */
void virtio_bell_set_queue(struct virtio_bell *bell, const struct virtio_queue_setup *setup);

/* Any thread. Held for a moment: workers take it. */
void virtio_bell_lock(struct virtio_bell *bell);
void virtio_bell_unlock(struct virtio_bell *bell);
/* Under the lock: does the queue run? */
bool virtio_bell_is_heard(const struct virtio_bell *bell);
/* Under the lock. Nothing happens when the queue does not run: it looks by itself when it starts. */
void virtio_bell_ring(struct virtio_bell *bell);

#endif
