/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration space, at the offsets of PCI 3.0. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "interfaces/vfio_user/pci_config.h"

/* BARs of all kinds; 1 is the upper half of 0. */
static const struct register_model_ops model = {
	.identity = { .vendor = 0x1234,
		      .device = 0x5678,
		      .subsystem_vendor = 0x9abc,
		      .subsystem = 0xdef0,
		      .revision = 7,
		      .class_code = 0x010802 },
	.bars[0] = { REGISTER_BAR_MEMORY_64, 0x4000 },
	.bars[2] = { REGISTER_BAR_MEMORY_32, 0x1000 },
	.bars[3] = { REGISTER_BAR_IO, 16 },
	.vectors = 64,
	.msix_bar = 0,
	.msix_table_offset = 0x2000,
	.msix_pending_offset = 0x3000,
};

static struct pci_config config;

static uint32_t get(uint32_t offset, size_t bytes)
{
	uint32_t value = 0;

	pci_config_read(&config, offset, &value, bytes);
	return value;
}

static void put(uint32_t offset, uint32_t value, size_t bytes)
{
	pci_config_write(&config, offset, &value, bytes);
}

static void after_power_on(void **state)
{
	/* What was there before does not matter. */
	memset(&config, 0xff, sizeof(config));
	pci_config_init(&config, &model);
	assert_int_equal(get(0x00, 2), 0x1234);
	assert_int_equal(get(0x02, 2), 0x5678);
	assert_int_equal(get(0x04, 2), 0);	/* command: no memory, no bus master */
	assert_int_equal(get(0x06, 2), 1 << 4); /* status: a list of capabilities */
	assert_int_equal(get(0x08, 4), 0x01080207);
	assert_int_equal(get(0x0c, 4), 0); /* header type 0, one function */
	assert_int_equal(get(0x2c, 4), 0xdef09abc);
	assert_int_equal(get(0x30, 4), 0); /* no ROM */
	assert_int_equal(get(0x34, 1), 0x40);
	assert_int_equal(get(0x3c, 2), 0x0100); /* pin A */
	assert_int_equal(get(0x40, 1), 0x11);
	assert_int_equal(get(0x41, 1), 0); /* the last capability */
	assert_int_equal(get(0x42, 2), 63);
	assert_int_equal(get(0x44, 4), 0x2000);
	assert_int_equal(get(0x48, 4), 0x3000);
	for (uint32_t offset = 0x4c; offset < PCI_CONFIG_BYTES; offset++)
		assert_int_equal(get(offset, 1), 0);
	assert_false(pci_config_is_bus_master(&config));
	assert_true(pci_config_pin_allowed(&config));
}

/* All ones are written, and tell the size; an address is kept as far as it may be one. */
static void bars(void **state)
{
	static const struct {
		uint32_t offset, at_first, ones, address, then;
	} cases[] = {
		{ 0x10, 0x4, 0xffffc004, 0x12345678, 0x12344004 },
		{ 0x14, 0, 0xffffffff, 0x12345678, 0x12345678 },
		{ 0x18, 0, 0xfffff000, 0x12345678, 0x12345000 },
		{ 0x1c, 1, 0xfffffff1, 0x0000c07f, 0x0000c071 },
		{ 0x20, 0, 0, 0x12345678, 0 },
		{ 0x24, 0, 0, 0x12345678, 0 },
		{ 0x30, 0, 0, 0x12345678, 0 },
	};

	pci_config_init(&config, &model);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(get(cases[i].offset, 4), cases[i].at_first);
		put(cases[i].offset, UINT32_MAX, 4);
		assert_int_equal(get(cases[i].offset, 4), cases[i].ones);
		put(cases[i].offset, cases[i].address, 4);
		assert_int_equal(get(cases[i].offset, 4), cases[i].then);
	}
}

/* Each byte of the space, all ones and all zeroes: only what may be written is another. */
static void what_can_be_written(void **state)
{
	static const uint8_t writable[PCI_CONFIG_BYTES] = {
		[0x04] = 0x47, [0x05] = 0x05, [0x0c] = 0xff, [0x0d] = 0xff, [0x11] = 0xc0,
		[0x12] = 0xff, [0x13] = 0xff, [0x14] = 0xff, [0x15] = 0xff, [0x16] = 0xff,
		[0x17] = 0xff, [0x19] = 0xf0, [0x1a] = 0xff, [0x1b] = 0xff, [0x1c] = 0xf0,
		[0x1d] = 0xff, [0x1e] = 0xff, [0x1f] = 0xff, [0x3c] = 0xff, [0x43] = 0xc0,
	};

	pci_config_init(&config, &model);
	for (uint32_t offset = 0; offset < PCI_CONFIG_BYTES; offset++) {
		uint32_t before = get(offset, 1);

		put(offset, 0xff, 1);
		assert_int_equal(get(offset, 1), before | writable[offset]);
		put(offset, 0, 1);
		assert_int_equal(get(offset, 1), before & ~writable[offset] & 0xff);
	}
}

/* In any size and at any place, like byte by byte. */
static void accesses_of_any_size(void **state)
{
	uint8_t all[PCI_CONFIG_BYTES], ones[PCI_CONFIG_BYTES];
	struct pci_config byte_by_byte;

	memset(ones, 0xff, sizeof(ones));
	pci_config_init(&byte_by_byte, &model);
	for (uint32_t offset = 0; offset < PCI_CONFIG_BYTES; offset++)
		pci_config_write(&byte_by_byte, offset, ones, 1);
	for (size_t bytes = 1; bytes <= PCI_CONFIG_BYTES; bytes++) {
		pci_config_init(&config, &model);
		for (uint32_t offset = 0; offset < PCI_CONFIG_BYTES; offset += (uint32_t)bytes) {
			size_t left = PCI_CONFIG_BYTES - offset;

			pci_config_write(&config, offset, ones, bytes < left ? bytes : left);
		}
		pci_config_read(&config, 0, all, sizeof(all));
		assert_memory_equal(all, byte_by_byte.bytes, sizeof(all));
	}
}

static void command_and_status(void **state)
{
	pci_config_init(&config, &model);
	put(0x04, 0x0006, 2);
	assert_true(pci_config_is_bus_master(&config));
	assert_true(pci_config_pin_allowed(&config));
	put(0x04, 0x0402, 2);
	assert_false(pci_config_is_bus_master(&config));
	assert_false(pci_config_pin_allowed(&config));
	pci_config_set_pin(&config, true);
	assert_int_equal(get(0x06, 2), 1 << 4 | 1 << 3);
	/* The driver cannot clear it. */
	put(0x06, 0xffff, 2);
	assert_int_equal(get(0x06, 2), 1 << 4 | 1 << 3);
	assert_int_equal(get(0x04, 2), 0x0402);
	pci_config_set_pin(&config, false);
	assert_int_equal(get(0x06, 2), 1 << 4);
}

/* Without vectors there is no list of capabilities, and no pin. */
static void without_interrupts(void **state)
{
	struct register_model_ops other = model;

	other.vectors = 0;
	pci_config_init(&config, &other);
	assert_int_equal(get(0x06, 2), 0);
	assert_int_equal(get(0x34, 1), 0);
	assert_int_equal(get(0x3d, 1), 0);
	put(0x42, 0xffff, 2);
	for (uint32_t offset = 0x40; offset < PCI_CONFIG_BYTES; offset++)
		assert_int_equal(get(offset, 1), 0);
}

/* A BAR that is all memory can be prefetched, one that is in part cannot. */
static void mapped_bars(void **state)
{
	struct register_model_ops other = model;

	other.bars[0].mapped_offset = other.bars[0].mapped_bytes = 0x2000;
	other.bars[2].mapped_bytes = 0x1000;
	pci_config_init(&config, &other);
	assert_int_equal(get(0x10, 4), 0x4);
	assert_int_equal(get(0x18, 4), 0x8);
	put(0x18, UINT32_MAX, 4);
	assert_int_equal(get(0x18, 4), 0xfffff008);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(after_power_on),      cmocka_unit_test(bars),
		cmocka_unit_test(what_can_be_written), cmocka_unit_test(accesses_of_any_size),
		cmocka_unit_test(command_and_status),  cmocka_unit_test(without_interrupts),
		cmocka_unit_test(mapped_bars),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
