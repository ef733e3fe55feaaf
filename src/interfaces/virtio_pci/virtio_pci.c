/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/virtio_pci/virtio_pci.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "interfaces/virtio_pci/virtio_pci_private.h"

static_assert(PCI_VIOLATIONS + VIOLATIONS - 3 < PCI_VIOLATIONS_MAX, "all but three of the rings', and NULL");

uint64_t pci_offered_features(const struct virtio_pci *pci)
{
	const struct virtio_pci_options *options = &pci->options;

	return (options->model->features(options->device) | VIRTQUEUE_FEATURES) &
	       ~(options->features_off | 1ull << VIRTIO_F_RING_RESET);
}

/* ---- what the bus is told ---- */

static void put_32(uint8_t *at, uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

/* 4.1.4: the contents begin behind the first two bytes. */
static struct register_capability capability(uint8_t kind, uint32_t offset)
{
	struct register_capability made = { .id = VIRTIO_PCI_CAPABILITY, .bytes = VIRTIO_PCI_CAP_BYTES };

	made.contents[0] = made.bytes;
	made.contents[1] = kind;
	made.contents[2] = VIRTIO_PCI_BAR;
	put_32(made.contents + 6, offset);
	put_32(made.contents + 10, VIRTIO_PCI_PART_BYTES);
	return made;
}

static void describe_capabilities(struct register_capability *capabilities)
{
	capabilities[0] = capability(VIRTIO_PCI_CAP_COMMON, VIRTIO_PCI_COMMON);
	capabilities[1] = capability(VIRTIO_PCI_CAP_ISR, VIRTIO_PCI_ISR);
	capabilities[2] = capability(VIRTIO_PCI_CAP_DEVICE, VIRTIO_PCI_DEVICE_SPACE);
	capabilities[3] = capability(VIRTIO_PCI_CAP_NOTIFY, VIRTIO_PCI_NOTIFY);
	capabilities[3].bytes = capabilities[3].contents[0] = VIRTIO_PCI_CAP_BYTES_MORE;
	put_32(capabilities[3].contents + 14, VIRTIO_PCI_NOTIFY_STEP);
	capabilities[4] = capability(VIRTIO_PCI_CAP_PCI, 0);
	capabilities[4].bytes = capabilities[4].contents[0] = VIRTIO_PCI_CAP_BYTES_MORE;
	capabilities[4].registers_from = VIRTIO_PCI_WINDOW_BAR;
}

static void describe_violations(struct virtio_pci *pci)
{
	static const char *const own[PCI_VIOLATIONS] = {
		[PCI_VIOLATION_REGISTER] = "register",
		[PCI_VIOLATION_STATUS] = "status",
		[PCI_VIOLATION_FEATURES] = "features",
		[PCI_VIOLATION_QUEUE] = "queue-register",
	};
	uint8_t count = PCI_VIOLATIONS;

	memcpy(pci->violations, own, sizeof(own));
	for (enum virtqueue_violation i = VIOLATION_NONE + 1; i < VIOLATIONS; i++) {
		/* There is no region of the VMM's, and no call descriptor. */
		if (i == VIOLATION_INFLIGHT || i == VIOLATION_CALL)
			continue;
		pci->ring_violation[i] = count;
		pci->violations[count++] = virtqueue_violation_text(i);
	}
}

static unsigned queue_count(void *device)
{
	const struct virtio_pci *pci = device;

	return pci->queue_count;
}

static void describe(struct virtio_pci *pci)
{
	const struct virtio_pci_options *options = &pci->options;
	unsigned vectors = pci->queue_count + 1;

	pci->ops = (struct register_model_ops){
		.name = options->model->name,
		.identity = { .vendor = VIRTIO_PCI_VENDOR,
			      .device = (uint16_t)VIRTIO_PCI_DEVICE(options->model->virtio_id),
			      .subsystem_vendor = VIRTIO_PCI_VENDOR,
			      .subsystem = 0x1100,
			      .revision = VIRTIO_PCI_REVISION,
			      .class_code = options->class_code },
		.bars[VIRTIO_PCI_BAR] = { REGISTER_BAR_MEMORY_64, VIRTIO_PCI_BAR_BYTES },
		.vectors = vectors < REGISTER_VECTORS_MAX ? vectors : REGISTER_VECTORS_MAX,
		.msix_bar = VIRTIO_PCI_BAR,
		.msix_table_offset = VIRTIO_PCI_MSIX_TABLE,
		.msix_pending_offset = VIRTIO_PCI_MSIX_PENDING,
		.violations = pci->violations,
		.power_on = pci_power_on,
		.power_off = pci_power_off,
		.arrive = pci_arrive,
		.leave = pci_leave,
		.read = pci_read,
		.write = pci_write,
		.queues = queue_count,
		.lane_freeze = pci_lane_freeze,
		.memory_changed = pci_memory_changed,
		.vectors_changed = pci_vectors_changed,
		.quiesce = pci_quiesce,
		.resume = pci_resume,
		.freeze = pci_freeze,
		.reset = pci_reset,
		.config_changed = pci_config_changed,
		.save = pci_save,
		.restore = pci_restore,
	};
	describe_capabilities(pci->ops.capabilities);
	describe_violations(pci);
}

/* ---- life ---- */

int virtio_pci_create(const struct virtio_pci_options *options, struct virtio_pci **ret_pci)
{
	struct virtio_pci *pci = calloc(1, sizeof(*pci));

	if (!pci)
		return -ENOMEM;
	pci->options = *options;
	if (pci->options.queue_size_max == 0)
		pci->options.queue_size_max = PCI_QUEUE_SIZE_DEFAULT;
	pci->queue_count = options->model->queue_count(options->device);
	assert(is_power_of_two(pci->options.queue_size_max) &&
	       pci->options.queue_size_max <= VIRTQUEUE_SIZE_MAX);
	assert(pci->queue_count * VIRTIO_PCI_NOTIFY_STEP <= VIRTIO_PCI_PART_BYTES);
	assert(options->model->config_size(options->device) <= VIRTIO_CONFIG_BYTES_MAX);
	describe(pci);
	*ret_pci = pci;
	return 0;
}

void virtio_pci_destroy(struct virtio_pci *pci)
{
	free(pci);
}

const struct register_model_ops *virtio_pci_model(const struct virtio_pci *pci)
{
	return &pci->ops;
}
