/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/virtio_bell.h"

#include <assert.h>

#include "core/container.h"

/* On the worker that it was sent to; the queue may run on another one by now. */
static void on_ring(struct loop_message *message)
{
	struct virtio_bell *bell = container_of(message, struct virtio_bell, message);
	struct virtio_queue *ring;
	bool destroyed;

	pthread_mutex_lock(&bell->lock);
	ring = bell->ring;
	if (ring && bell->loop != bell->rung_at) {
		bell->rung_at = bell->loop;
		loop_post(bell->loop, message);
		ring = NULL;
	} else {
		bell->rung_at = NULL;
	}
	destroyed = bell->destroyed;
	pthread_mutex_unlock(&bell->lock);
	if (destroyed)
		bell->free(bell);
	else if (ring)
		ring->ops->listen(ring, true);
}

void virtio_bell_ring(struct virtio_bell *bell)
{
	if (!bell->ring || bell->rung_at)
		return;
	bell->rung_at = bell->loop;
	loop_post(bell->loop, &bell->message);
}

bool virtio_bell_is_heard(const struct virtio_bell *bell)
{
	return bell->ring;
}

void virtio_bell_lock(struct virtio_bell *bell)
{
	pthread_mutex_lock(&bell->lock);
}

void virtio_bell_unlock(struct virtio_bell *bell)
{
	pthread_mutex_unlock(&bell->lock);
}

void virtio_bell_set_queue(struct virtio_bell *bell, const struct virtio_queue_setup *setup)
{
	pthread_mutex_lock(&bell->lock);
	bell->ring = setup ? setup->queue : NULL;
	bell->loop = setup ? setup->loop : NULL;
	pthread_mutex_unlock(&bell->lock);
}

void virtio_bell_init(struct virtio_bell *bell, void (*free)(struct virtio_bell *bell))
{
	*bell = (struct virtio_bell){ .message.run = on_ring, .free = free };
	pthread_mutex_init(&bell->lock, NULL);
}

void virtio_bell_destroy(struct virtio_bell *bell)
{
	bool on_its_way;

	pthread_mutex_lock(&bell->lock);
	assert(!bell->ring);
	bell->destroyed = true;
	on_its_way = bell->rung_at;
	pthread_mutex_unlock(&bell->lock);
	if (!on_its_way)
		bell->free(bell);
}
