/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loads and stores (virtio 1.2, 4.1.4). A register is stored to in its own size, one of 64 bits also in
 * halves; what is loaded may be any piece. A store that is not so goes nowhere, and is counted.
 */
#include <string.h>

#include "core/checked.h"
#include "interfaces/virtio_pci/virtio_pci_private.h"

void pci_violated(struct pci_function *function, enum pci_violation kind, uint64_t value)
{
	function->bus->ops->violated(function->bus, kind, value);
}

/* NULL: there is no such queue. */
static struct pci_queue *selected(struct pci_function *function)
{
	return function->queue_select < function->queue_count ? &function->queue[function->queue_select]
							      : NULL;
}

/* ---- the configuration space of the model ---- */

static size_t config_bytes(const struct pci_function *function)
{
	const struct virtio_pci_options *options = &function->pci->options;

	return options->model->config_size(options->device);
}

static void read_config(const struct pci_function *function, uint8_t *to)
{
	const struct virtio_pci_options *options = &function->pci->options;
	size_t bytes = config_bytes(function);

	memset(to, 0, VIRTIO_CONFIG_BYTES_MAX);
	if (bytes > 0)
		options->model->config_read(options->device, 0, to, bytes);
}

/* Another one whenever the space is not what it was: drivers compare what they read around their loads. */
static uint8_t generation(struct pci_function *function)
{
	uint8_t now[VIRTIO_CONFIG_BYTES_MAX];

	read_config(function, now);
	if (memcmp(now, function->config_seen, sizeof(now)) != 0) {
		memcpy(function->config_seen, now, sizeof(now));
		function->generation++;
	}
	return function->generation;
}

static uint64_t load(const uint8_t *from, unsigned bytes)
{
	uint64_t value = 0;

	memcpy(&value, from, bytes);
	return value;
}

static uint64_t config_load(const struct pci_function *function, uint32_t offset, unsigned bytes)
{
	uint8_t space[VIRTIO_CONFIG_BYTES_MAX];

	if (!checked_range(offset, bytes, sizeof(space)))
		return 0;
	read_config(function, space);
	return load(space + offset, bytes);
}

static void config_store(struct pci_function *function, uint32_t offset, unsigned bytes, uint64_t value)
{
	const struct virtio_pci_options *options = &function->pci->options;

	if (!checked_range(offset, bytes, config_bytes(function)) || !options->model->config_write ||
	    options->model->config_write(options->device, function->driver_features, offset, &value, bytes))
		pci_violated(function, PCI_VIOLATION_REGISTER, VIRTIO_PCI_DEVICE_SPACE + offset);
}

/* ---- the common configuration: loads ---- */

static void put(uint8_t *image, uint32_t offset, uint64_t value, size_t bytes)
{
	memcpy(image + offset, &value, bytes);
}

static void image_of_queue(uint8_t *image, const struct pci_queue *queue)
{
	put(image, COMMON_QUEUE_SIZE, queue->size, 2);
	put(image, COMMON_QUEUE_VECTOR, queue->vector, 2);
	put(image, COMMON_QUEUE_ENABLE, queue->enabled, 2);
	put(image, COMMON_QUEUE_NOTIFY, queue->index, 2);
	put(image, COMMON_QUEUE_DESCRIPTORS, queue->descriptors, 8);
	put(image, COMMON_QUEUE_DRIVER, queue->driver, 8);
	put(image, COMMON_QUEUE_DEVICE, queue->device, 8);
}

/* Half a word of features; those above 64 are zero (4.1.4.3.1). */
static uint32_t features_part(uint64_t features, uint32_t select)
{
	return select > 1 ? 0 : (uint32_t)(features >> 32 * select);
}

static uint64_t common_load(struct pci_function *function, uint32_t offset, unsigned bytes)
{
	uint64_t offered = pci_offered_features(function->pci);
	const struct pci_queue *queue = selected(function);
	uint8_t image[COMMON_BYTES] = { 0 };

	if (!checked_range(offset, bytes, sizeof(image)))
		return 0;
	put(image, COMMON_DEVICE_FEATURE_SELECT, function->device_feature_select, 4);
	put(image, COMMON_DEVICE_FEATURE, features_part(offered, function->device_feature_select), 4);
	put(image, COMMON_DRIVER_FEATURE_SELECT, function->driver_feature_select, 4);
	put(image, COMMON_DRIVER_FEATURE,
	    features_part(function->driver_features, function->driver_feature_select), 4);
	put(image, COMMON_CONFIG_VECTOR, function->config_vector, 2);
	put(image, COMMON_QUEUE_COUNT, function->queue_count, 2);
	put(image, COMMON_STATUS, function->status, 1);
	if (checked_range(COMMON_GENERATION - offset, 1, bytes))
		put(image, COMMON_GENERATION, generation(function), 1);
	put(image, COMMON_QUEUE_SELECT, function->queue_select, 2);
	if (queue)
		image_of_queue(image, queue);
	return load(image + offset, bytes);
}

/* ---- the common configuration: stores ---- */

static bool features_agreed(const struct pci_function *function)
{
	return function->status & STATUS_FEATURES_OK;
}

static void set_features(struct pci_function *function, uint32_t value)
{
	unsigned shift = 32 * function->driver_feature_select;

	if (features_agreed(function)) {
		pci_violated(function, PCI_VIOLATION_FEATURES, value);
		return;
	}
	/* Drivers that know no more clear what is above. */
	if (function->driver_feature_select > 1) {
		if (value != 0)
			pci_violated(function, PCI_VIOLATION_FEATURES, value);
		return;
	}
	function->driver_features &= ~(0xffffffffull << shift);
	function->driver_features |= (uint64_t)value << shift;
}

static bool features_fit(const struct pci_function *function)
{
	return (function->driver_features & ~pci_offered_features(function->pci)) == 0 &&
	       function->driver_features >> VIRTIO_F_VERSION_1 & 1;
}

/* Bits are only added; 0 resets (2.1.1, 2.1.2). The driver looks whether FEATURES_OK has stayed. */
static void set_status(struct pci_function *function, uint8_t value)
{
	uint8_t added = value & (uint8_t)~function->status;

	if (value == 0) {
		pci_begin_reset(function);
		return;
	}
	if (added & STATUS_FEATURES_OK && !features_fit(function)) {
		pci_violated(function, PCI_VIOLATION_FEATURES, function->driver_features);
		added &= (uint8_t)~STATUS_FEATURES_OK;
	}
	if (added & STATUS_DRIVER_OK && !((function->status | added) & STATUS_FEATURES_OK)) {
		pci_violated(function, PCI_VIOLATION_STATUS, value);
		added &= (uint8_t)~STATUS_DRIVER_OK;
	}
	function->status |= added & (uint8_t)~STATUS_NEEDS_RESET;
	if (added & STATUS_DRIVER_OK)
		pci_queues_wake(function);
}

static uint16_t vector_of(const struct pci_function *function, uint64_t value)
{
	return value < function->pci->ops.vectors ? (uint16_t)value : VIRTIO_PCI_NO_VECTOR;
}

static bool size_fits(const struct pci_function *function, uint64_t size)
{
	return size <= function->pci->options.queue_size_max && is_power_of_two(size);
}

static void enable_queue(struct pci_queue *queue)
{
	queue->enabled = true;
	pci_queues_wake(queue->function);
}

/*
 * Of the selected queue, which must not be enabled but for its vector. Sizes that are no power of two are
 * refused for packed rings, too: a driver has no reason for them. False: there is no such register.
 */
static bool queue_store_16(struct pci_function *function, uint32_t offset, uint16_t value)
{
	struct pci_queue *queue = selected(function);

	if (offset != COMMON_QUEUE_SIZE && offset != COMMON_QUEUE_VECTOR && offset != COMMON_QUEUE_ENABLE)
		return false;
	if (queue && offset == COMMON_QUEUE_VECTOR)
		__atomic_store_n(&queue->vector, vector_of(function, value), __ATOMIC_RELAXED);
	else if (queue && offset == COMMON_QUEUE_SIZE && !queue->enabled && size_fits(function, value))
		queue->size = value;
	else if (queue && offset == COMMON_QUEUE_ENABLE && !queue->enabled && value == 1 &&
		 features_agreed(function))
		enable_queue(queue);
	else
		pci_violated(function, PCI_VIOLATION_QUEUE, (uint64_t)offset << 16 | value);
	return true;
}

/* Half of an address, or all of it. */
static bool queue_store_address(struct pci_function *function, uint32_t offset, unsigned bytes,
				uint64_t value)
{
	struct pci_queue *queue = selected(function);
	uint64_t *address;

	if (offset < COMMON_QUEUE_DESCRIPTORS || bytes < 4 || offset % bytes != 0)
		return false;
	if (!queue || queue->enabled) {
		pci_violated(function, PCI_VIOLATION_QUEUE, (uint64_t)offset << 16);
		return true;
	}
	address = offset < COMMON_QUEUE_DRIVER	 ? &queue->descriptors
		  : offset < COMMON_QUEUE_DEVICE ? &queue->driver
						 : &queue->device;
	memcpy((uint8_t *)address + offset % 8, &value, bytes);
	return true;
}

static bool common_store_16(struct pci_function *function, uint32_t offset, uint16_t value)
{
	if (offset == COMMON_CONFIG_VECTOR)
		function->config_vector = vector_of(function, value);
	else if (offset == COMMON_QUEUE_SELECT)
		function->queue_select = value;
	else
		return queue_store_16(function, offset, value);
	return true;
}

static bool common_store_32(struct pci_function *function, uint32_t offset, uint32_t value)
{
	if (offset == COMMON_DEVICE_FEATURE_SELECT)
		function->device_feature_select = value;
	else if (offset == COMMON_DRIVER_FEATURE_SELECT)
		function->driver_feature_select = value;
	else if (offset == COMMON_DRIVER_FEATURE)
		set_features(function, value);
	else
		return queue_store_address(function, offset, 4, value);
	return true;
}

static void common_store(struct pci_function *function, uint32_t offset, unsigned bytes, uint64_t value)
{
	bool known = false;

	/* While it lasts, the driver waits for the end of a reset (4.1.4.3.2). */
	if (function->resetting)
		return;
	if (!checked_range(offset, bytes, COMMON_BYTES)) {
		pci_violated(function, PCI_VIOLATION_REGISTER, offset);
		return;
	}
	if (bytes == 1 && offset == COMMON_STATUS) {
		set_status(function, (uint8_t)value);
		known = true;
	} else if (bytes == 2) {
		known = common_store_16(function, offset, (uint16_t)value);
	} else if (bytes == 4) {
		known = common_store_32(function, offset, (uint32_t)value);
	} else if (bytes == 8) {
		known = queue_store_address(function, offset, 8, value);
	}
	if (!known)
		pci_violated(function, PCI_VIOLATION_REGISTER, offset);
}

/* ---- interrupts' status, notifications ---- */

/* A load takes back what was told by the pin. */
static uint64_t isr_load(struct pci_function *function, uint32_t offset)
{
	uint8_t isr = function->isr;

	if (offset != 0)
		return 0;
	function->isr = 0;
	function->bus->ops->lower(function->bus, 0);
	return isr;
}

/* What is stored says nothing: the place does. */
static void notify(struct pci_function *function, uint32_t offset)
{
	uint32_t index = offset / VIRTIO_PCI_NOTIFY_STEP;
	struct pci_queue *queue;

	if (index >= function->queue_count || offset % VIRTIO_PCI_NOTIFY_STEP != 0) {
		pci_violated(function, PCI_VIOLATION_REGISTER, VIRTIO_PCI_NOTIFY + offset);
		return;
	}
	queue = &function->queue[index];
	/* One that is about to start looks at its ring then. */
	if (queue->lane > 0)
		pci_elsewhere_kick(queue);
	else if (queue->ring)
		virtqueue_kick(queue->ring);
}

/* ---- the window in the configuration space (4.1.4.9), for firmware that reaches no BAR ---- */

static bool window_is_open(const struct pci_function *function, uint32_t offset, unsigned bytes)
{
	uint32_t length = function->window.length;

	return offset == VIRTIO_PCI_WINDOW_DATA && bytes == length &&
	       (length == 1 || length == 2 || length == 4) && function->window.bar == VIRTIO_PCI_BAR &&
	       function->window.offset % length == 0 &&
	       checked_range(function->window.offset, length, VIRTIO_PCI_BAR_BYTES);
}

static void window_image(const struct pci_function *function, uint8_t *image)
{
	put(image, VIRTIO_PCI_WINDOW_BAR, function->window.bar, 1);
	put(image, VIRTIO_PCI_WINDOW_OFFSET, function->window.offset, 4);
	put(image, VIRTIO_PCI_WINDOW_LENGTH, function->window.length, 4);
}

static uint64_t window_load(struct pci_function *function, uint32_t offset, unsigned bytes)
{
	uint8_t image[VIRTIO_PCI_CAP_BYTES_MORE] = { 0 };

	if (window_is_open(function, offset, bytes))
		return pci_read(function, VIRTIO_PCI_BAR, function->window.offset, bytes);
	if (!checked_range(offset, bytes, sizeof(image)))
		return 0;
	window_image(function, image);
	return load(image + offset, bytes);
}

/* Where it looks may be stored in any pieces, as in all of the configuration space. */
static void window_store(struct pci_function *function, uint32_t offset, unsigned bytes, uint64_t value)
{
	uint8_t image[VIRTIO_PCI_CAP_BYTES_MORE] = { 0 };

	if (window_is_open(function, offset, bytes)) {
		pci_write(function, VIRTIO_PCI_BAR, function->window.offset, bytes, value);
		return;
	}
	if (!checked_range(offset, bytes, sizeof(image)) || offset >= VIRTIO_PCI_WINDOW_DATA) {
		pci_violated(function, PCI_VIOLATION_REGISTER, offset);
		return;
	}
	window_image(function, image);
	put(image, offset, value, bytes);
	function->window.bar = image[VIRTIO_PCI_WINDOW_BAR];
	function->window.offset = (uint32_t)load(image + VIRTIO_PCI_WINDOW_OFFSET, 4);
	function->window.length = (uint32_t)load(image + VIRTIO_PCI_WINDOW_LENGTH, 4);
}

/* ---- all ---- */

uint64_t pci_read(void *opaque, unsigned bar, uint32_t offset, unsigned bytes)
{
	struct pci_function *function = opaque;
	uint32_t in_part = offset % VIRTIO_PCI_PART_BYTES;

	if (bar == REGISTER_BAR_CAPABILITY)
		return window_load(function, offset, bytes);
	switch (offset - in_part) {
	case VIRTIO_PCI_COMMON:
		return common_load(function, in_part, bytes);
	case VIRTIO_PCI_ISR:
		return isr_load(function, in_part);
	case VIRTIO_PCI_DEVICE_SPACE:
		return config_load(function, in_part, bytes);
	default:
		return 0;
	}
}

void pci_write(void *opaque, unsigned bar, uint32_t offset, unsigned bytes, uint64_t value)
{
	struct pci_function *function = opaque;
	uint32_t in_part = offset % VIRTIO_PCI_PART_BYTES;

	if (bar == REGISTER_BAR_CAPABILITY) {
		window_store(function, offset, bytes, value);
		return;
	}
	switch (offset - in_part) {
	case VIRTIO_PCI_COMMON:
		common_store(function, in_part, bytes, value);
		break;
	case VIRTIO_PCI_DEVICE_SPACE:
		config_store(function, in_part, bytes, value);
		break;
	case VIRTIO_PCI_NOTIFY:
		notify(function, in_part);
		break;
	default:
		pci_violated(function, PCI_VIOLATION_REGISTER, offset);
	}
}
