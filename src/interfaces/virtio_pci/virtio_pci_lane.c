/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Queues whose rings run on another worker than home, a lane of the bus. What the driver says of a queue
 * stays at home; the ring, from its start to its end, is the lane's. Home has one order at a time under way
 * for each queue, and what it wants next waits until the lane has said that it obeys. A ring's end comes by
 * itself, as the lane's last message: nothing is on its way then, because messages arrive in the order in
 * which they were posted, and none follows the order to stop but one that is waited for.
 */
#include <string.h>

#include "core/container.h"
#include "core/guest_memory.h"
#include "core/loop_account.h"
#include "interfaces/virtio_pci/virtio_pci_private.h"

static struct pci_queue *queue_of(struct pci_elsewhere *elsewhere)
{
	return container_of(elsewhere, struct pci_queue, elsewhere);
}

#define OF(pointer, member) queue_of(container_of(pointer, struct pci_elsewhere, member))

static struct register_lane *lane_of(const struct pci_queue *queue)
{
	return &queue->function->bus->lane[queue->lane];
}

static struct loop *home_of(const struct pci_queue *queue)
{
	return queue->function->bus->loop;
}

static void set_memory(struct guest_memory **at, struct guest_memory *memory)
{
	guest_memory_put(*at);
	*at = memory ? guest_memory_get(memory) : NULL;
}

/* ---- on the lane's worker ---- */

static void tell(struct pci_queue *queue, uint32_t news)
{
	__atomic_fetch_or(&queue->elsewhere.news, news, __ATOMIC_RELEASE);
	if (!__atomic_exchange_n(&queue->elsewhere.news_posted, true, __ATOMIC_ACQ_REL))
		loop_post(home_of(queue), &queue->elsewhere.news_message);
}

/* The pin is home's. */
static void on_call(void *context)
{
	struct pci_queue *queue = context;
	struct pci_function *function = queue->function;
	uint16_t vector = __atomic_load_n(&queue->vector, __ATOMIC_RELAXED);

	if (!__atomic_load_n(&function->has_vectors, __ATOMIC_RELAXED))
		tell(queue, PCI_NEWS_CALL);
	else if (vector != VIRTIO_PCI_NO_VECTOR)
		function->bus->ops->raise_from(function->bus, queue->lane, vector);
}

static void on_broken(void *context, enum virtqueue_violation violation, uint64_t offending_value)
{
	struct pci_queue *queue = context;

	queue->elsewhere.violation = violation;
	queue->elsewhere.offending_value = offending_value;
	tell(queue, PCI_NEWS_BROKEN);
}

static void on_stopped(void *context, const struct virtqueue_position *position)
{
	struct pci_queue *queue = context;

	queue->position = *position;
	queue->stopped = true;
	loop_poller_wake(lane_of(queue)->loop, &queue->elsewhere.poller);
}

static void obeyed(struct pci_queue *queue)
{
	loop_post(home_of(queue), &queue->elsewhere.obeyed);
}

static void refresh_memory(struct pci_queue *queue);

static void on_released(void *context)
{
	struct pci_queue *queue = context;

	queue->changing = false;
	refresh_memory(queue);
}

/* As pci_queue_refresh_memory() does at home. */
static void refresh_memory(struct pci_queue *queue)
{
	struct pci_elsewhere *elsewhere = &queue->elsewhere;

	if (!queue->ring || queue->stopping)
		return;
	if (!queue->changing && queue->memory != elsewhere->memory_now &&
	    virtqueue_lies_in(&queue->setup, elsewhere->memory_now)) {
		queue->changing = true;
		queue->memory = elsewhere->memory_now;
		virtqueue_set_memory(queue->ring, queue->memory, on_released, queue);
	}
	virtqueue_set_enabled(queue->ring, queue->memory == elsewhere->memory_now && elsewhere->enabled_now);
}

static void take_memory(struct pci_queue *queue)
{
	struct pci_elsewhere *elsewhere = &queue->elsewhere;

	set_memory(&elsewhere->memory_now, elsewhere->memory);
	elsewhere->enabled_now = elsewhere->enabled;
	refresh_memory(queue);
}

static void start(struct pci_queue *queue)
{
	struct pci_elsewhere *elsewhere = &queue->elsewhere;

	elsewhere->start_due = false;
	queue->stopping = queue->stopped = queue->changing = false;
	queue->memory = queue->setup.memory;
	take_memory(queue);
	elsewhere->error = virtqueue_start(&queue->setup, &queue->ring);
	if (elsewhere->error) {
		queue->ring = NULL;
		set_memory(&elsewhere->memory_now, NULL);
		loop_poller_remove(lane_of(queue)->loop, &elsewhere->poller);
	}
	obeyed(queue);
}

static void end(struct pci_queue *queue)
{
	loop_poller_remove(lane_of(queue)->loop, &queue->elsewhere.poller);
	pci_queue_free_ring(queue);
	set_memory(&queue->elsewhere.memory_now, NULL);
	loop_post(home_of(queue), &queue->elsewhere.gone);
}

static bool poll_elsewhere(struct loop_poller *poller)
{
	struct pci_queue *queue = OF(poller, poller);

	if (queue->elsewhere.start_due)
		start(queue);
	else if (queue->ring && queue->stopped)
		end(queue);
	else
		return false;
	return true;
}

static bool park_elsewhere(struct loop_poller *poller)
{
	const struct pci_queue *queue = OF(poller, poller);

	return !queue->elsewhere.start_due && !(queue->ring && queue->stopped);
}

static void obey(struct pci_queue *queue)
{
	struct pci_elsewhere *elsewhere = &queue->elsewhere;

	switch (elsewhere->order) {
	case PCI_ORDER_START:
		elsewhere->start_due = true;
		loop_poller_wake(lane_of(queue)->loop, &elsewhere->poller);
		return;
	case PCI_ORDER_STOP:
		queue->stopping = true;
		virtqueue_stop(queue->ring, on_stopped, queue);
		break;
	case PCI_ORDER_ABANDON:
		if (queue->ring)
			virtqueue_abandon(queue->ring, 0);
		break;
	case PCI_ORDER_MEMORY:
		take_memory(queue);
		break;
	case PCI_ORDER_NOTHING:
		break;
	}
	obeyed(queue);
}

static void on_order(struct loop_message *message)
{
	struct pci_queue *queue = OF(message, message);
	struct register_lane *lane = lane_of(queue);

	loop_pay(lane->loop, lane->account);
	obey(queue);
	loop_pay(lane->loop, NULL);
}

static void on_kick(struct loop_message *message)
{
	struct pci_queue *queue = OF(message, kick);
	struct register_lane *lane = lane_of(queue);

	__atomic_store_n(&queue->elsewhere.kick_posted, false, __ATOMIC_RELEASE);
	loop_pay(lane->loop, lane->account);
	/* One that is about to start looks at its ring then. */
	if (queue->ring && !queue->stopping)
		virtqueue_kick(queue->ring);
	loop_pay(lane->loop, NULL);
}

void pci_lane_freeze(void *opaque, unsigned lane)
{
	struct pci_function *function = opaque;

	for (unsigned i = 0; i < function->queue_count; i++) {
		struct pci_queue *queue = &function->queue[i];

		if (queue->lane == lane && queue->ring && !queue->stopped)
			virtqueue_abandon(queue->ring, 0);
	}
}

/* ---- at home ---- */

static void give_order(struct pci_queue *queue, enum pci_order order)
{
	assert(!queue->elsewhere.ordering);
	queue->elsewhere.ordering = true;
	queue->elsewhere.order = order;
	loop_post(lane_of(queue)->loop, &queue->elsewhere.message);
}

void pci_elsewhere_start(struct pci_queue *queue)
{
	struct pci_elsewhere *elsewhere = &queue->elsewhere;

	queue->setup.loop = lane_of(queue)->loop;
	queue->setup.account = lane_of(queue)->account;
	queue->setup.call = on_call;
	queue->setup.broken = on_broken;
	elsewhere->poller = (struct loop_poller){
		.poll = poll_elsewhere,
		.park = park_elsewhere,
		.account = lane_of(queue)->account,
	};
	elsewhere->up = elsewhere->enabled = true;
	elsewhere->stops = elsewhere->abandons = elsewhere->abandon_wanted = elsewhere->nudged = false;
	set_memory(&elsewhere->memory, queue->setup.memory);
	give_order(queue, PCI_ORDER_START);
}

void pci_elsewhere_steer(struct pci_queue *queue)
{
	struct pci_elsewhere *elsewhere = &queue->elsewhere;
	const struct pci_function *function = queue->function;
	struct guest_memory *memory = function->bus->memory;

	if (!elsewhere->up || elsewhere->ordering)
		return;
	if (elsewhere->abandon_wanted && !elsewhere->abandons) {
		elsewhere->abandons = true;
		give_order(queue, PCI_ORDER_ABANDON);
	} else if (elsewhere->stops) {
		return;
	} else if (function->resetting || function->quiescing) {
		elsewhere->stops = true;
		give_order(queue, PCI_ORDER_STOP);
	} else if (elsewhere->memory != memory || elsewhere->enabled == function->broken) {
		set_memory(&elsewhere->memory, memory);
		elsewhere->enabled = !function->broken;
		give_order(queue, PCI_ORDER_MEMORY);
	} else if (elsewhere->nudged) {
		give_order(queue, PCI_ORDER_NOTHING);
	}
}

bool pci_elsewhere_is_settled(const struct pci_queue *queue)
{
	const struct pci_elsewhere *elsewhere = &queue->elsewhere;

	return !elsewhere->ordering &&
	       (!elsewhere->up || elsewhere->stops || elsewhere->memory == queue->function->bus->memory);
}

void pci_elsewhere_kick(struct pci_queue *queue)
{
	struct pci_elsewhere *elsewhere = &queue->elsewhere;

	if (elsewhere->up && !elsewhere->stops &&
	    !__atomic_exchange_n(&elsewhere->kick_posted, true, __ATOMIC_ACQ_REL))
		loop_post(lane_of(queue)->loop, &elsewhere->kick);
}

static void could_not_start(struct pci_queue *queue)
{
	queue->elsewhere.up = false;
	set_memory(&queue->elsewhere.memory, NULL);
	pci_queue_failed(queue, queue->elsewhere.error);
	queue->elsewhere.error = 0;
}

static void on_obeyed(struct loop_message *message)
{
	struct pci_queue *queue = OF(message, obeyed);
	struct pci_elsewhere *elsewhere = &queue->elsewhere;
	struct pci_function *function = queue->function;
	struct register_bus *bus = function->bus;

	loop_pay(bus->loop, bus->account);
	elsewhere->ordering = false;
	if (elsewhere->order == PCI_ORDER_START && elsewhere->error) {
		/* Kicks are on their way, maybe: they are before this. */
		elsewhere->stops = true;
		give_order(queue, PCI_ORDER_NOTHING);
	} else if (elsewhere->error) {
		could_not_start(queue);
	} else if (elsewhere->order == PCI_ORDER_NOTHING) {
		elsewhere->nudged = false;
		pci_tell_queue(function, queue);
	}
	pci_elsewhere_steer(queue);
	pci_settle(function);
	loop_pay(bus->loop, NULL);
}

static void on_gone(struct loop_message *message)
{
	struct pci_queue *queue = OF(message, gone);
	struct pci_function *function = queue->function;
	struct register_bus *bus = function->bus;

	loop_pay(bus->loop, bus->account);
	queue->elsewhere.up = false;
	set_memory(&queue->elsewhere.memory, NULL);
	pci_queues_wake(function);
	pci_settle(function);
	loop_pay(bus->loop, NULL);
}

static void on_news(struct loop_message *message)
{
	struct pci_queue *queue = OF(message, news_message);
	struct register_bus *bus = queue->function->bus;
	uint32_t news;

	__atomic_store_n(&queue->elsewhere.news_posted, false, __ATOMIC_RELEASE);
	news = __atomic_exchange_n(&queue->elsewhere.news, 0, __ATOMIC_ACQ_REL);
	loop_pay(bus->loop, bus->account);
	if (news & PCI_NEWS_CALL)
		pci_tell_queue(queue->function, queue);
	if (news & PCI_NEWS_BROKEN)
		pci_queue_broken(queue, queue->elsewhere.violation, queue->elsewhere.offending_value);
	loop_pay(bus->loop, NULL);
}

void pci_elsewhere_init(struct pci_queue *queue)
{
	struct pci_elsewhere *elsewhere = &queue->elsewhere;

	elsewhere->message.run = on_order;
	elsewhere->kick.run = on_kick;
	elsewhere->obeyed.run = on_obeyed;
	elsewhere->gone.run = on_gone;
	elsewhere->news_message.run = on_news;
}
