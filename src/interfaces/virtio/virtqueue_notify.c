/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A kick wakes the queue's poller; from then on the loop polls the ring each turn, with notifications from
 * the driver switched off, until the queue stays empty and the loop wants to sleep: then queue_park() asks
 * for notifications again and looks once more.
 *
 * A model may leave chains in the ring. Then the ring is not empty when the loop wants to sleep, and the look
 * is the model's: it is called once more with the notifications on (QUEUE_LAST_LOOK). If it leaves the chains
 * again, the queue is parked: whatever comes later makes the driver kick. A model that does not listen has no
 * poller awake and no notifications.
 */
#include "core/checked.h"
#include "core/clock.h"
#include "core/container.h"
#include "interfaces/virtio/virtqueue_internal.h"

/* How often a ring without a kick descriptor is looked at while the loop sleeps. */
#define KICKLESS_POLL_NS (200 * NS_PER_US)

/* ---- notifications from the driver ---- */

static void notify(struct virtqueue *queue, bool wanted)
{
	if (queue->packed)
		packed_notify(queue, wanted);
	else
		split_notify(queue, wanted);
}

void queue_silence(struct virtqueue *queue)
{
	notify(queue, false);
	queue->attention = QUEUE_POLLED;
}

void queue_wake(struct virtqueue *queue)
{
	if (queue_listens(queue))
		loop_poller_wake(queue->loop, &queue->poller);
}

/* The bus that carries them bounds how many there are in a turn. */
void virtqueue_kick(struct virtqueue *queue)
{
	counter_add(&queue->counters.kicks, 1);
	if (!queue_listens(queue) || queue->poller.awake)
		return;
	queue_silence(queue);
	loop_poller_wake(queue->loop, &queue->poller);
}

void queue_poll_expired(struct loop_timer *timer)
{
	queue_wake(container_of(timer, struct virtqueue, poll_timer));
}

void queue_listen(struct virtio_queue *offered, bool listen)
{
	struct virtqueue *queue = container_of(offered, struct virtqueue, offered);

	queue->listening = listen;
	if (listen) {
		queue_wake(queue);
		return;
	}
	loop_poller_remove(queue->loop, &queue->poller);
	loop_timer_stop(queue->loop, &queue->poll_timer);
	if (queue_takes(queue) && queue->attention != QUEUE_POLLED)
		queue_silence(queue);
}

/* Does the driver kick for every chain that the model has not seen? */
static bool driver_kicks(const struct virtqueue *queue)
{
	return queue->attention == QUEUE_LAST_LOOK && (queue->packed || !split_posted(queue));
}

bool queue_park(struct loop_poller *poller)
{
	struct virtqueue *queue = container_of(poller, struct virtqueue, poller);

	if (!queue_takes(queue))
		return true;
	if (!driver_kicks(queue)) {
		notify(queue, true);
		queue->attention = QUEUE_LAST_LOOK;
		if (queue_pending(queue))
			return false;
	}
	queue->attention = QUEUE_PARKED;
	queue->needless_kicks = 0;
	loop_watch_resume(queue->loop, &queue->kick_watch);
	if (queue->setup.kick_fd < 0 && !queue->setup.call)
		loop_timer_start(queue->loop, &queue->poll_timer, clock_now_ns() + KICKLESS_POLL_NS);
	return true;
}
