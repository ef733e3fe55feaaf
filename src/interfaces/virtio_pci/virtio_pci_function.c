/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A function, from a VMM's coming to its going. What has to wait until no ring runs (a reset, rest) goes on
 * in one place: pci_settle().
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/guest_memory.h"
#include "core/loop_account.h"
#include "interfaces/virtio_pci/virtio_pci_private.h"

/* ---- power ---- */

static void reset_registers(struct pci_function *function)
{
	function->device_feature_select = function->driver_feature_select = 0;
	function->driver_features = 0;
	function->config_vector = VIRTIO_PCI_NO_VECTOR;
	function->queue_select = 0;
	function->status = function->isr = 0;
	function->broken = function->broken_told = false;
	memset(&function->window, 0, sizeof(function->window));
	for (unsigned i = 0; i < function->queue_count; i++)
		pci_queue_reset(&function->queue[i]);
	function->bus->ops->lower(function->bus, 0);
}

int pci_power_on(void *opaque, struct register_bus *bus, void **ret_function)
{
	struct virtio_pci *pci = opaque;
	struct pci_function *function =
		calloc(1, sizeof(*function) + pci->queue_count * sizeof(function->queue[0]));

	if (!function)
		return -ENOMEM;
	function->pci = pci;
	function->bus = bus;
	function->queue_count = pci->queue_count;
	function->quiescing = true;
	for (unsigned i = 0; i < function->queue_count; i++) {
		function->queue[i].function = function;
		function->queue[i].index = i;
		pci_elsewhere_init(&function->queue[i]);
		log_subject_name(&function->queue[i].subject, "%s q%u", pci->ops.name, i);
	}
	reset_registers(function);
	*ret_function = function;
	return 0;
}

static void forget_driver(struct pci_function *function)
{
	const struct virtio_pci_options *options = &function->pci->options;

	if (options->model->reset)
		options->model->reset(options->device);
}

void pci_power_off(void *opaque)
{
	struct pci_function *function = opaque;

	if (function->status != 0)
		forget_driver(function);
	/* Frees what queues keep. */
	for (unsigned i = 0; i < function->queue_count; i++)
		pci_queue_reset(&function->queue[i]);
	free(function);
}

static void note_vectors(struct pci_function *function)
{
	__atomic_store_n(&function->has_vectors, function->bus->ops->has_vectors(function->bus),
			 __ATOMIC_RELAXED);
}

int pci_arrive(void *opaque)
{
	struct pci_function *function = opaque;
	const struct register_bus *bus = function->bus;

	function->poller = (struct loop_poller){
		.poll = pci_queues_poll,
		.park = pci_queues_park,
		.account = function->bus->account,
	};
	note_vectors(function);
	/* No ring runs. */
	for (unsigned i = 0; i < function->queue_count; i++)
		function->queue[i].lane = bus->lane_count > 1 ? bus->queue_lane[i % REGISTER_QUEUES_MAX] : 0;
	return 0;
}

void pci_leave(void *opaque)
{
	const struct pci_function *function = opaque;

	assert(function->quiescing && !function->poller.awake);
}

/* ---- rest and resets ---- */

static bool is_at_rest(const struct pci_function *function)
{
	for (unsigned i = 0; i < function->queue_count; i++)
		if (pci_queue_is_up(&function->queue[i]))
			return false;
	return true;
}

/* Does no lane reach into memory that is taken away? */
static bool is_settled(const struct pci_function *function)
{
	for (unsigned i = 0; i < function->queue_count; i++)
		if (function->queue[i].lane > 0 && !pci_elsewhere_is_settled(&function->queue[i]))
			return false;
	return true;
}

/* The VMM's answer waits for that. */
static void settle_memory(struct pci_function *function)
{
	if (function->answers_later == 0 || !is_settled(function))
		return;
	for (; function->answers_later > 0; function->answers_later--)
		function->bus->ops->answer(function->bus);
}

static void finish_reset(struct pci_function *function)
{
	forget_driver(function);
	reset_registers(function);
	function->resetting = false;
}

void pci_settle(struct pci_function *function)
{
	void (*quiet)(void *context) = function->quiet;

	settle_memory(function);
	if ((!function->resetting && !quiet) || !is_at_rest(function))
		return;
	if (function->resetting)
		finish_reset(function);
	if (!quiet)
		return;
	function->quiet = NULL;
	loop_poller_remove(function->bus->loop, &function->poller);
	quiet(function->quiet_context);
}

static void stop_all(struct pci_function *function)
{
	for (unsigned i = 0; i < function->queue_count; i++)
		pci_queue_stop(&function->queue[i]);
	pci_settle(function);
}

void pci_begin_reset(struct pci_function *function)
{
	function->resetting = true;
	stop_all(function);
}

void pci_quiesce(void *opaque, void (*quiet)(void *context), void *context)
{
	struct pci_function *function = opaque;

	assert(!function->quiescing);
	function->quiescing = true;
	function->quiet = quiet;
	function->quiet_context = context;
	stop_all(function);
}

void pci_resume(void *opaque)
{
	struct pci_function *function = opaque;

	assert(function->quiescing && !function->quiet);
	function->quiescing = false;
	pci_queues_wake(function);
}

void pci_reset(void *opaque)
{
	struct pci_function *function = opaque;

	assert(function->quiescing && !function->quiet);
	finish_reset(function);
	function->quiescing = false;
}

void pci_freeze(void *opaque)
{
	struct pci_function *function = opaque;

	for (unsigned i = 0; i < function->queue_count; i++) {
		struct pci_queue *queue = &function->queue[i];

		if (queue->lane > 0 && queue->elsewhere.up) {
			queue->elsewhere.abandon_wanted = queue->abandoned = true;
			pci_elsewhere_steer(queue);
			continue;
		}
		if (queue->lane > 0 || !queue->ring || queue->stopped)
			continue;
		virtqueue_abandon(queue->ring, 0);
		queue->abandoned = true;
	}
}

/* ---- changes ---- */

void pci_memory_changed(void *opaque)
{
	struct pci_function *function = opaque;

	/* Now: what was taken away is the VMM's when it has its answer. */
	for (unsigned i = 0; i < function->queue_count; i++)
		pci_queue_refresh_memory(&function->queue[i]);
	if (!is_settled(function)) {
		function->answers_later++;
		function->bus->ops->answer_later(function->bus);
	}
	pci_queues_wake(function);
}

void pci_tell_queue(struct pci_function *function, const struct pci_queue *queue)
{
	struct register_bus *bus = function->bus;

	if (!bus->ops->has_vectors(bus)) {
		function->isr |= ISR_QUEUE;
		bus->ops->raise(bus, 0);
	} else if (queue->vector != VIRTIO_PCI_NO_VECTOR) {
		bus->ops->raise(bus, queue->vector);
	}
}

void pci_tell_config(struct pci_function *function)
{
	struct register_bus *bus = function->bus;

	if (!(function->status & STATUS_DRIVER_OK))
		return;
	function->isr |= ISR_CONFIG;
	if (!bus->ops->has_vectors(bus))
		bus->ops->raise(bus, 0);
	else if (function->config_vector != VIRTIO_PCI_NO_VECTOR)
		bus->ops->raise(bus, function->config_vector);
}

/* What was told of the one kind may have come too late for it; told once too often, it harms nobody. */
void pci_vectors_changed(void *opaque)
{
	struct pci_function *function = opaque;
	bool has_vectors = function->bus->ops->has_vectors(function->bus);

	note_vectors(function);
	if (has_vectors)
		function->bus->ops->lower(function->bus, 0);
	for (unsigned i = 0; i < function->queue_count; i++) {
		struct pci_queue *queue = &function->queue[i];

		/* Lanes may tell in the way before until they have heard of this. */
		queue->elsewhere.nudged = queue->lane > 0;
		if (queue->lane > 0)
			pci_elsewhere_steer(queue);
		else if (queue->ring && has_vectors)
			pci_tell_queue(function, queue);
	}
}

void pci_config_changed(void *opaque)
{
	pci_tell_config(opaque);
}
