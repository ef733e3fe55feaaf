/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loads and stores. What is not memory is bytes that are looked up one by one, so that accesses of any size,
 * at any place, mean what they would mean for memory: a part of a register, or several.
 */
#include <assert.h>
#include <string.h>

#include "core/checked.h"
#include "devices/display/bochs_display_private.h"

/* In BAR 2. */
#define EDID_AT	     0x000u
#define MODE_AT	     0x500u
#define EXTENSION_AT 0x600u
#define MODE_BYTES   (BOCHS_REGISTERS * 2u)

/* The version of the registers with all that is there. */
#define ID 0xb0c5u
/* Bytes of the extension; and pixels are little-endian, as they always are here. */
static const uint8_t extension[] = { 8, 0, 0, 0, 0x1e, 0x1e, 0x1e, 0x1e };

static uint16_t register_value(const struct bochs_function *function, unsigned index)
{
	switch (index) {
	case BOCHS_ID:
		return ID;
	case BOCHS_MEMORY_64K:
		return (uint16_t)(bochs_memory_bytes(function->display) >> 16);
	default:
		return function->registers[index];
	}
}

static uint8_t byte_at(const struct bochs_function *function, uint32_t offset)
{
	if (offset - EDID_AT < sizeof(function->edid))
		return function->edid[offset - EDID_AT];
	if (offset >= MODE_AT && offset - MODE_AT < MODE_BYTES)
		return (uint8_t)(register_value(function, (offset - MODE_AT) / 2) >> offset % 2 * 8);
	if (offset >= EXTENSION_AT && offset - EXTENSION_AT < sizeof(extension))
		return extension[offset - EXTENSION_AT];
	return 0;
}

uint64_t bochs_read(void *opaque, unsigned bar, uint32_t offset, unsigned bytes)
{
	const struct bochs_function *function = opaque;
	uint64_t value = 0;

	if (bar == BOCHS_BAR_MEMORY) {
		assert(checked_range(offset, bytes, function->memory->size));
		memcpy(&value, function->memory->bytes + offset, bytes);
		return value;
	}
	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)byte_at(function, offset + i) << i * 8;
	return value;
}

/* Stores to what cannot be changed go nowhere: register_value() does not ask for them. */
static void put_byte(struct bochs_function *function, uint32_t offset, uint8_t value)
{
	uint16_t *to;
	unsigned shift = offset % 2 * 8;

	if (offset < MODE_AT || offset - MODE_AT >= MODE_BYTES)
		return;
	to = &function->registers[(offset - MODE_AT) / 2];
	*to = (uint16_t)((*to & ~(0xffu << shift)) | (unsigned)value << shift);
}

void bochs_write(void *opaque, unsigned bar, uint32_t offset, unsigned bytes, uint64_t value)
{
	struct bochs_function *function = opaque;

	if (bar == BOCHS_BAR_MEMORY) {
		assert(checked_range(offset, bytes, function->memory->size));
		memcpy(function->memory->bytes + offset, &value, bytes);
		return;
	}
	for (unsigned i = 0; i < bytes; i++)
		put_byte(function, offset + i, (uint8_t)(value >> i * 8));
	bochs_mode_touched(function);
}

void bochs_registers_reset(struct bochs_function *function)
{
	memset(function->registers, 0, sizeof(function->registers));
	bochs_edid_refresh(function);
	bochs_mode_touched(function);
}

void bochs_edid_refresh(struct bochs_function *function)
{
	uint32_t shape = __atomic_load_n(&function->display->shape, __ATOMIC_RELAXED);
	const struct display_monitor monitor = {
		.width = shape & 0xffff,
		.height = shape >> 16,
		.serial = function->display->serial,
	};

	display_edid_make(&monitor, function->edid);
}
