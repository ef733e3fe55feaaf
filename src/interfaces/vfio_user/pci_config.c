/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/vfio_user/pci_config.h"

#include <assert.h>
#include <string.h>

#include "core/checked.h"

/* Offsets of registers (6.1). */
#define VENDOR	      0x00
#define DEVICE	      0x02
#define COMMAND	      0x04
#define STATUS	      0x06
#define REVISION      0x08
#define CLASS	      0x09 /* 24 bits */
#define CACHE_LINE    0x0c
#define LATENCY	      0x0d
#define BAR(index)    (0x10u + 4 * (index))
#define SUBSYS_VENDOR 0x2c
#define SUBSYSTEM     0x2e
#define CAPABILITIES  0x34
#define LINE	      0x3c
#define PIN	      0x3d
/* Behind the header: capabilities, each at a multiple of 4. */
#define MSIX		   0x40
#define MSIX_BYTES	   12u
#define CAPABILITIES_BEGIN 0x40u

#define COMMAND_IO	(1u << 0)
#define COMMAND_MEMORY	(1u << 1)
#define COMMAND_MASTER	(1u << 2)
#define COMMAND_PARITY	(1u << 6)
#define COMMAND_SERR	(1u << 8)
#define COMMAND_PIN_OFF (1u << 10)
#define COMMAND_WRITABLE                                                                                     \
	(COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER | COMMAND_PARITY | COMMAND_SERR | COMMAND_PIN_OFF)
#define STATUS_PIN	    (1u << 3)
#define STATUS_CAPABILITIES (1u << 4)

#define CAPABILITY_MSIX 0x11
/* Message control (6.8.2.3). */
#define MSIX_ENABLE   (1u << 15)
#define MSIX_MASK_ALL (1u << 14)

#define BAR_IO	      1u
#define BAR_MEMORY_64 (2u << 1)
#define BAR_PREFETCH  (1u << 3)

static void put(uint8_t *at, uint32_t value, size_t bytes)
{
	memcpy(at, &value, bytes);
}

static uint32_t get(const uint8_t *at, size_t bytes)
{
	uint32_t value = 0;

	memcpy(&value, at, bytes);
	return value;
}

/* The bits of an address below the BAR's size are zero and stay so: that tells the size (6.2.5.1). */
static void put_bar(struct pci_config *config, unsigned index, const struct register_bar *bar)
{
	uint32_t kind = bar->kind == REGISTER_BAR_IO	      ? BAR_IO
			: bar->kind == REGISTER_BAR_MEMORY_64 ? BAR_MEMORY_64
							      : 0;

	assert(is_power_of_two(bar->bytes) && bar->bytes >= 16);
	if (bar->mapped_bytes == bar->bytes)
		kind |= BAR_PREFETCH;
	put(config->bytes + BAR(index), kind, 4);
	put(config->writable + BAR(index), ~(bar->bytes - 1), 4);
	if (bar->kind == REGISTER_BAR_MEMORY_64) {
		assert(index + 1 < REGISTER_BARS);
		put(config->writable + BAR(index + 1), 0xffffffff, 4);
	}
}

static void put_interrupts(struct pci_config *config, const struct register_model_ops *model)
{
	uint8_t *bytes = config->bytes;

	put(bytes + PIN, 1, 1);
	put(bytes + MSIX, CAPABILITY_MSIX, 2);
	put(bytes + MSIX + 2, model->vectors - 1, 2);
	put(bytes + MSIX + 4, model->msix_table_offset | model->msix_bar, 4);
	put(bytes + MSIX + 8, model->msix_pending_offset | model->msix_bar, 4);
	put(config->writable + MSIX + 2, MSIX_ENABLE | MSIX_MASK_ALL, 2);
}

/* Adds those of the model behind `last`, the place that tells where the next one is. */
static void put_capabilities(struct pci_config *config, const struct register_model_ops *model, uint8_t *last)
{
	uint32_t at = model->vectors > 0 ? CAPABILITIES_BEGIN + MSIX_BYTES : CAPABILITIES_BEGIN;

	for (unsigned i = 0; i < REGISTER_CAPABILITIES_MAX; i++) {
		const struct register_capability *capability = &model->capabilities[i];

		if (capability->bytes == 0)
			continue;
		assert(capability->bytes <= REGISTER_CAPABILITY_BYTES_MAX &&
		       at + capability->bytes <= PCI_CONFIG_BYTES);
		*last = (uint8_t)at;
		last = config->bytes + at + 1;
		put(config->bytes + at, capability->id, 1);
		memcpy(config->bytes + at + 2, capability->contents, capability->bytes - 2u);
		if (capability->registers_from > 0) {
			config->capability = at;
			config->registers = at + capability->registers_from;
			config->registers_end = at + capability->bytes;
		}
		at = (uint32_t)align_up(at + capability->bytes, 4);
	}
}

void pci_config_init(struct pci_config *config, const struct register_model_ops *model)
{
	const struct register_identity *identity = &model->identity;
	uint8_t *bytes = config->bytes;

	*config = (struct pci_config){ .bytes = { 0 } };
	put(bytes + VENDOR, identity->vendor, 2);
	put(bytes + DEVICE, identity->device, 2);
	put(bytes + REVISION, identity->revision, 1);
	put(bytes + CLASS, identity->class_code, 3);
	put(bytes + SUBSYS_VENDOR, identity->subsystem_vendor, 2);
	put(bytes + SUBSYSTEM, identity->subsystem, 2);
	put(config->writable + COMMAND, COMMAND_WRITABLE, 2);
	put(config->writable + CACHE_LINE, 0xff, 1);
	put(config->writable + LATENCY, 0xff, 1);
	put(config->writable + LINE, 0xff, 1);
	for (unsigned i = 0; i < REGISTER_BARS; i++)
		if (model->bars[i].kind != REGISTER_BAR_NONE)
			put_bar(config, i, &model->bars[i]);
	if (model->vectors > 0) {
		put_interrupts(config, model);
		put(bytes + CAPABILITIES, MSIX, 1);
		put_capabilities(config, model, bytes + MSIX + 1);
	} else {
		put_capabilities(config, model, bytes + CAPABILITIES);
	}
	if (bytes[CAPABILITIES] != 0)
		put(bytes + STATUS, STATUS_CAPABILITIES, 2);
}

void pci_config_read(const struct pci_config *config, uint32_t offset, void *to, size_t bytes)
{
	assert(checked_range(offset, bytes, sizeof(config->bytes)));
	memcpy(to, config->bytes + offset, bytes);
}

void pci_config_write(struct pci_config *config, uint32_t offset, const void *from, size_t bytes)
{
	const uint8_t *value = from;

	assert(checked_range(offset, bytes, sizeof(config->bytes)));
	for (size_t i = 0; i < bytes; i++) {
		uint8_t writable = config->writable[offset + i], *at = &config->bytes[offset + i];

		*at = (uint8_t)((*at & ~writable) | (value[i] & writable));
	}
}

bool pci_config_is_bus_master(const struct pci_config *config)
{
	return get(config->bytes + COMMAND, 2) & COMMAND_MASTER;
}

bool pci_config_pin_allowed(const struct pci_config *config)
{
	return !(get(config->bytes + COMMAND, 2) & COMMAND_PIN_OFF);
}

void pci_config_set_pin(struct pci_config *config, bool pending)
{
	uint32_t status = get(config->bytes + STATUS, 2);

	put(config->bytes + STATUS, pending ? status | STATUS_PIN : status & ~STATUS_PIN, 2);
}
