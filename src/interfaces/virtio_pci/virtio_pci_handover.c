/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Takeover: registers, and where each ring stands. No ring runs; chains that the model did not take are in
 * the rings, and those that an abandoned ring had in flight are in its record.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/checked.h"
#include "core/handover.h"
#include "interfaces/virtio/inflight.h"
#include "interfaces/virtio_pci/virtio_pci_private.h"

#define FORMAT_VERSION 1u

static void save_queue(struct handover *handover, const struct pci_queue *queue)
{
	bool has_record = queue->abandoned && queue->record;

	handover_put_u64(handover, queue->size);
	handover_put_u64(handover, queue->vector);
	handover_put_u64(handover, queue->enabled);
	handover_put_u64(handover, queue->descriptors);
	handover_put_u64(handover, queue->driver);
	handover_put_u64(handover, queue->device);
	handover_put_u64(handover, queue->has_stopped);
	handover_put_u64(handover, queue->has_served);
	handover_put_u64(handover, queue->position.available_idx);
	handover_put_u64(handover, queue->position.used_idx);
	handover_put_u64(handover, queue->position.available_wrap);
	handover_put_u64(handover, queue->position.used_wrap);
	handover_put_u64(handover, has_record);
	if (has_record)
		handover_put_bytes(handover, queue->record, pci_queue_record_bytes(queue));
}

void pci_save(const void *opaque, struct handover *handover)
{
	const struct pci_function *function = opaque;

	assert(function->quiescing && !function->quiet && !function->resetting);
	handover_put_u64(handover, FORMAT_VERSION);
	handover_put_u64(handover, function->pci->options.model->virtio_id);
	handover_put_u64(handover, function->device_feature_select);
	handover_put_u64(handover, function->driver_feature_select);
	handover_put_u64(handover, function->driver_features);
	handover_put_u64(handover, function->config_vector);
	handover_put_u64(handover, function->queue_select);
	handover_put_u64(handover, function->status);
	handover_put_u64(handover, function->isr);
	handover_put_u64(handover, function->window.bar);
	handover_put_u64(handover, function->window.offset);
	handover_put_u64(handover, function->window.length);
	handover_put_u64(handover, function->generation);
	handover_put_bytes(handover, function->config_seen, sizeof(function->config_seen));
	handover_put_u64(handover, function->broken);
	handover_put_u64(handover, function->broken_told);
	handover_put_u64(handover, function->queue_count);
	for (unsigned i = 0; i < function->queue_count; i++)
		save_queue(handover, &function->queue[i]);
}

/* ---- restore ---- */

static void restore_record(struct handover *handover, struct pci_queue *queue)
{
	size_t bytes = pci_queue_record_bytes(queue);

	queue->record = calloc(1, bytes);
	if (!queue->record) {
		handover->error = -ENOMEM;
		return;
	}
	queue->abandoned = true;
	handover_get_exactly(handover, queue->record, bytes);
	handover_fail_if(handover, !queue->function->pci->options.model->repeatable);
}

static void restore_queue(struct handover *handover, struct pci_queue *queue)
{
	const struct virtio_pci *pci = queue->function->pci;

	queue->size = (uint16_t)handover_get_at_most(handover, pci->options.queue_size_max);
	queue->vector = (uint16_t)handover_get_at_most(handover, UINT16_MAX);
	queue->enabled = handover_get_flag(handover);
	queue->descriptors = handover_get_u64(handover);
	queue->driver = handover_get_u64(handover);
	queue->device = handover_get_u64(handover);
	queue->has_stopped = handover_get_flag(handover);
	queue->has_served = handover_get_flag(handover);
	queue->position.available_idx = (uint16_t)handover_get_at_most(handover, UINT16_MAX);
	queue->position.used_idx = (uint16_t)handover_get_at_most(handover, UINT16_MAX);
	queue->position.available_wrap = handover_get_flag(handover);
	queue->position.used_wrap = handover_get_flag(handover);
	handover_fail_if(handover, !is_power_of_two(queue->size) || (queue->vector >= pci->ops.vectors &&
								     queue->vector != VIRTIO_PCI_NO_VECTOR));
	if (handover_get_flag(handover) && !handover->error)
		restore_record(handover, queue);
}

static uint16_t get_vector(struct handover *handover, const struct virtio_pci *pci)
{
	uint64_t vector = handover_get_at_most(handover, UINT16_MAX);

	handover_fail_if(handover, vector >= pci->ops.vectors && vector != VIRTIO_PCI_NO_VECTOR);
	return (uint16_t)vector;
}

void pci_restore(void *opaque, struct handover *handover)
{
	struct pci_function *function = opaque;
	const struct virtio_pci *pci = function->pci;

	handover_fail_if(handover, handover_get_u64(handover) != FORMAT_VERSION);
	handover_fail_if(handover, handover_get_u64(handover) != pci->options.model->virtio_id);
	function->device_feature_select = (uint32_t)handover_get_at_most(handover, UINT32_MAX);
	function->driver_feature_select = (uint32_t)handover_get_at_most(handover, UINT32_MAX);
	function->driver_features = handover_get_u64(handover);
	function->config_vector = get_vector(handover, pci);
	function->queue_select = (uint16_t)handover_get_at_most(handover, UINT16_MAX);
	function->status = (uint8_t)handover_get_at_most(handover, UINT8_MAX);
	function->isr = (uint8_t)handover_get_at_most(handover, UINT8_MAX);
	function->window.bar = (uint8_t)handover_get_at_most(handover, UINT8_MAX);
	function->window.offset = (uint32_t)handover_get_at_most(handover, UINT32_MAX);
	function->window.length = (uint32_t)handover_get_at_most(handover, UINT32_MAX);
	function->generation = (uint8_t)handover_get_at_most(handover, UINT8_MAX);
	handover_get_exactly(handover, function->config_seen, sizeof(function->config_seen));
	function->broken = handover_get_flag(handover);
	function->broken_told = handover_get_flag(handover);
	/* What the driver has agreed on is what the device can do, and its queues are those that it found. */
	handover_fail_if(handover, function->status & STATUS_FEATURES_OK &&
					   (function->driver_features & ~pci_offered_features(pci)) != 0);
	handover_fail_if(handover, handover_get_u64(handover) != function->queue_count);
	for (unsigned i = 0; i < function->queue_count && !handover->error; i++)
		restore_queue(handover, &function->queue[i]);
}
