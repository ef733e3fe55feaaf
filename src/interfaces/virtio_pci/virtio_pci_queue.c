/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Queues and their rings. A ring starts in a turn of its guest, one after the other, because that is work;
 * it ends at once when nothing is in flight, so that a driver that does not wait for the end of its reset
 * finds it done.
 *
 * A ring that the guest's memory does not hold stands still until it does: VMMs take memory away and give it
 * back in other pieces while guests start, and drivers switch bus mastering off and on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/container.h"
#include "core/guest_memory.h"
#include "core/loop_account.h"
#include "interfaces/virtio/inflight.h"
#include "interfaces/virtio_pci/virtio_pci_private.h"

static bool is_packed(const struct pci_function *function)
{
	return function->driver_features >> VIRTIO_F_RING_PACKED & 1;
}

static void drop_record(struct pci_queue *queue)
{
	free(queue->record);
	queue->record = NULL;
	queue->abandoned = false;
}

void pci_queue_reset(struct pci_queue *queue)
{
	assert(!pci_queue_is_up(queue));
	queue->size = (uint16_t)queue->function->pci->options.queue_size_max;
	__atomic_store_n(&queue->vector, VIRTIO_PCI_NO_VECTOR, __ATOMIC_RELAXED);
	queue->enabled = false;
	queue->descriptors = queue->driver = queue->device = 0;
	queue->has_stopped = queue->has_served = false;
	drop_record(queue);
}

size_t pci_queue_record_bytes(const struct pci_queue *queue)
{
	return inflight_region_bytes(is_packed(queue->function), queue->size);
}

bool pci_queue_is_ready(const struct pci_queue *queue)
{
	return queue->enabled && queue->function->status & STATUS_DRIVER_OK && !queue->function->broken;
}

/* ---- what the ring says ---- */

static void on_call(void *context)
{
	struct pci_queue *queue = context;

	pci_tell_queue(queue->function, queue);
}

/* Maybe inside of the ring's code: the other rings are told later. */
void pci_queue_broken(struct pci_queue *queue, enum virtqueue_violation violation, uint64_t value)
{
	struct pci_function *function = queue->function;
	struct register_bus *bus = function->bus;

	bus->ops->violated(bus, function->pci->ring_violation[violation], value);
	function->broken = true;
	function->status |= STATUS_NEEDS_RESET;
	pci_queues_wake(function);
}

static void on_broken(void *context, enum virtqueue_violation violation, uint64_t offending_value)
{
	pci_queue_broken(context, violation, offending_value);
}

static void on_stopped(void *context, const struct virtqueue_position *position)
{
	struct pci_queue *queue = context;

	queue->position = *position;
	queue->stopped = true;
	pci_queues_wake(queue->function);
}

static void on_released(void *context)
{
	struct pci_queue *queue = context;

	queue->changing = false;
	pci_queues_wake(queue->function);
}

/* ---- start ---- */

/* Where an abandoned ring left what it had in flight, or zeroes. */
static int prepare_record(struct pci_queue *queue)
{
	bool repeatable = queue->function->pci->options.model->repeatable;

	if (!queue->abandoned)
		drop_record(queue);
	queue->abandoned = false;
	if (!queue->record && repeatable)
		queue->record = calloc(1, pci_queue_record_bytes(queue));
	return repeatable && !queue->record ? -ENOMEM : 0;
}

static void describe(struct pci_queue *queue)
{
	const struct pci_function *function = queue->function;
	const struct virtio_pci_options *options = &function->pci->options;

	queue->setup = (struct virtqueue_setup){
		.loop = function->bus->loop,
		.account = function->bus->account,
		.index = queue->index,
		.size = queue->size,
		.features = function->driver_features,
		.model = options->model,
		.device = options->device,
		.memory = function->bus->memory,
		.descriptor_user = queue->descriptors,
		.driver_user = queue->driver,
		.device_user = queue->device,
		.position = { .available_wrap = true, .used_wrap = true },
		.anew = !queue->has_stopped,
		.has_served = queue->has_served,
		.kick_fd = -1,
		.call_fd = -1,
		.call = on_call,
		.enabled = true,
		.log_used_guest = ~0ull,
		.subject = &queue->subject,
		.broken = on_broken,
		.context = queue,
	};
	if (queue->has_stopped)
		queue->setup.position = queue->position;
}

static bool lies_in_memory(const struct pci_queue *queue)
{
	const struct virtqueue_setup ring = {
		.size = queue->size,
		.features = queue->function->driver_features,
		.descriptor_user = queue->descriptors,
		.driver_user = queue->driver,
		.device_user = queue->device,
	};

	return virtqueue_lies_in(&ring, queue->function->bus->memory);
}

/* Without any memory, the driver has not made the function a bus master; a ring that has run comes back. */
static bool waits_for_memory(const struct pci_queue *queue)
{
	return queue->function->bus->memory->count == 0 || (queue->has_stopped && !lies_in_memory(queue));
}

static bool wants_start(const struct pci_queue *queue)
{
	return !pci_queue_is_up(queue) && !queue->function->resetting && !queue->function->quiescing &&
	       pci_queue_is_ready(queue) && !waits_for_memory(queue);
}

void pci_queue_failed(struct pci_queue *queue, int error)
{
	pci_queue_broken(queue, VIOLATION_RING_ADDRESS, queue->descriptors);
	if (error != -EFAULT && error != -EINVAL)
		log_error(&queue->subject, "cannot start: %s", strerror(-error));
}

static void start(struct pci_queue *queue)
{
	int error = prepare_record(queue);

	describe(queue);
	queue->setup.record = queue->record;
	if (!error && queue->lane > 0) {
		pci_elsewhere_start(queue);
		return;
	}
	if (!error)
		error = virtqueue_start(&queue->setup, &queue->ring);
	if (error) {
		queue->ring = NULL;
		pci_queue_failed(queue, error);
		return;
	}
	queue->stopping = queue->stopped = queue->changing = false;
	queue->memory = queue->setup.memory;
}

/* ---- end ---- */

bool pci_queue_is_up(const struct pci_queue *queue)
{
	return queue->lane > 0 ? queue->elsewhere.up || queue->elsewhere.ordering : queue->ring != NULL;
}

void pci_queue_free_ring(struct pci_queue *queue)
{
	queue->has_served |= counter_read(&virtqueue_get_counters(queue->ring)->chains) > 0;
	queue->has_stopped = true;
	virtqueue_destroy(queue->ring);
	queue->ring = NULL;
	queue->stopped = false;
}

void pci_queue_stop(struct pci_queue *queue)
{
	if (queue->lane > 0) {
		pci_elsewhere_steer(queue);
		return;
	}
	if (!queue->ring || queue->stopping)
		return;
	queue->stopping = true;
	virtqueue_stop(queue->ring, on_stopped, queue);
	if (queue->stopped)
		pci_queue_free_ring(queue);
}

/* ---- memory ---- */

/*
 * Chains in flight go on in the memory in which they began, and until the last of them has ended, there is no
 * next change: new chains wait for that.
 */
void pci_queue_refresh_memory(struct pci_queue *queue)
{
	struct guest_memory *memory = queue->function->bus->memory;

	if (queue->lane > 0) {
		pci_elsewhere_steer(queue);
		return;
	}
	if (!queue->ring || queue->stopping)
		return;
	if (!queue->changing && queue->memory != memory && lies_in_memory(queue)) {
		queue->changing = true;
		queue->memory = memory;
		virtqueue_set_memory(queue->ring, memory, on_released, queue);
	}
	virtqueue_set_enabled(queue->ring, queue->memory == memory && !queue->function->broken);
}

/* ---- turns ---- */

/* Drivers hear once of it that the device needs a reset, and no ring takes anything more. */
static void tell_broken(struct pci_function *function)
{
	function->broken_told = true;
	for (unsigned i = 0; i < function->queue_count; i++)
		pci_queue_refresh_memory(&function->queue[i]);
	pci_tell_config(function);
}

static bool has_ended(const struct pci_queue *queue)
{
	return queue->lane == 0 && queue->ring && queue->stopped;
}

static bool work(struct pci_queue *queue)
{
	if (has_ended(queue))
		pci_queue_free_ring(queue);
	else if (wants_start(queue))
		start(queue);
	else
		return false;
	return true;
}

bool pci_queues_poll(struct loop_poller *poller)
{
	struct pci_function *function = container_of(poller, struct pci_function, poller);
	bool worked = false;

	function->woken = false;
	for (unsigned i = 0; i < function->queue_count; i++) {
		pci_queue_refresh_memory(&function->queue[i]);
		if (!work(&function->queue[i]))
			continue;
		worked = true;
		if (loop_slice_over(function->bus->loop))
			break;
	}
	if (function->broken && !function->broken_told)
		tell_broken(function);
	pci_settle(function);
	return worked;
}

/* Nothing here waits for anything but calls that wake the poller; one may come while others are parked. */
bool pci_queues_park(struct loop_poller *poller)
{
	const struct pci_function *function = container_of(poller, struct pci_function, poller);

	if (function->woken)
		return false;
	for (unsigned i = 0; i < function->queue_count; i++) {
		const struct pci_queue *queue = &function->queue[i];

		if (has_ended(queue) || wants_start(queue))
			return false;
	}
	return true;
}

void pci_queues_wake(struct pci_function *function)
{
	function->woken = true;
	loop_poller_wake(function->bus->loop, &function->poller);
}
