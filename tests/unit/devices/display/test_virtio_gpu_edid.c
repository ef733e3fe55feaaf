/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a driver is told of the windows: sizes, and monitors that prefer them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "gpu_bench.h"

/* ---- reading an EDID ---- */

struct timing {
	unsigned width, height, across_total, down_total;
	unsigned clock; /* 10 kHz */
};

static unsigned u16(const uint8_t *at)
{
	return at[0] | (unsigned)at[1] << 8;
}

/* The first descriptor of the block: E-EDID A.2, 3.10.2. */
static struct timing read_detailed(const uint8_t *at)
{
	struct timing timing = { .width = at[2] | (at[4] & 0xf0u) << 4,
				 .height = at[5] | (at[7] & 0xf0u) << 4 };

	timing.across_total = timing.width + (at[3] | (at[4] & 0xfu) << 8);
	timing.down_total = timing.height + (at[6] | (at[7] & 0xfu) << 8);
	timing.clock = u16(at);
	return timing;
}

/* The data block of a DisplayID section with this tag, which must be there once: its bytes. */
static const uint8_t *find_block(const uint8_t *extension, uint8_t tag, uint8_t bytes)
{
	const uint8_t *found = NULL, *end = extension + 5 + extension[2];
	const uint8_t *at = extension + 5;

	while (at < end) {
		if (at[0] == tag) {
			assert_null(found);
			assert_int_equal(at[2], bytes);
			found = at + 3;
		}
		at += 3 + at[2];
	}
	assert_ptr_equal(at, end);
	assert_non_null(found);
	return found;
}

/* The DisplayID section of an extension, with all that a display which stands alone must have. */
static struct timing read_display_id(const uint8_t *extension)
{
	const uint8_t *at = find_block(extension, 0x03, 20), *product = find_block(extension, 0x00, 12),
		      *parameters = find_block(extension, 0x01, 12);
	struct timing timing = { .width = u16(at + 4) + 1, .height = u16(at + 12) + 1 };

	assert_int_equal(extension[0], 0x70);
	assert_int_equal(extension[3], 3);
	assert_true(at[3] & 0x80);
	assert_memory_equal(product, "VQD", 3);
	assert_int_equal(u16(parameters + 4), timing.width);
	assert_int_equal(u16(parameters + 6), timing.height);
	find_block(extension, 0x0f, 10);
	timing.across_total = timing.width + u16(at + 6) + 1;
	timing.down_total = timing.height + u16(at + 14) + 1;
	timing.clock = (u16(at) | (unsigned)at[2] << 16) + 1;
	return timing;
}

static void assert_sums_to_zero(const uint8_t *at, size_t bytes)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < bytes; i++)
		sum = (uint8_t)(sum + at[i]);
	assert_int_equal(sum, 0);
}

static const uint8_t *ask_edid(uint32_t scanout)
{
	assert_int_equal(ASK(virtio_gpu_get_edid, { VIRTIO_GPU_CMD_GET_EDID }, scanout),
			 VIRTIO_GPU_RESP_OK_EDID);
	return bench.answer.edid.edid;
}

/* The preferred timing, of an EDID that is sound. */
static struct timing preferred(const uint8_t *edid)
{
	static const uint8_t header[] = { 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0 };
	unsigned blocks = 1u + edid[126];
	struct timing timing = read_detailed(edid + 54);

	assert_int_equal(bench.answer.edid.size_bytes, 128 * blocks);
	assert_memory_equal(edid, header, sizeof(header));
	assert_int_equal(u16(edid + 18), 0x0401); /* 1.4 */
	assert_true(edid[24] & 2);
	for (unsigned i = 0; i < blocks; i++)
		assert_sums_to_zero(edid + 128ul * i, 128);
	for (unsigned i = 128 * blocks; i < sizeof(bench.answer.edid.edid); i++)
		assert_int_equal(edid[i], 0);
	if (blocks == 1)
		return timing;
	/* The block's own is smaller and has the shape of the other. */
	assert_true(timing.width <= 4095 && timing.height <= 4095);
	assert_sums_to_zero(edid + 129, 5 + edid[130]);
	return read_display_id(edid + 128);
}

/* ---- sizes ---- */

static void check_size(unsigned width, unsigned height)
{
	struct timing timing;
	double exact;

	assert_int_equal(virtio_gpu_set_size(bench.device, 1, width, height, true), 0);
	timing = preferred(ask_edid(1));
	assert_int_equal(timing.width, width);
	assert_int_equal(timing.height, height);
	/* 60 Hz, rounded to the clock's unit; but for a block whose clock has no room for more. */
	exact = 60.0 * timing.across_total * timing.down_total / 10000;
	if (timing.clock == 65535)
		assert_true(exact > 65535 && exact < 2 * 65535);
	else
		assert_true(timing.clock - exact <= 0.5 && exact - timing.clock <= 0.5);
	/* 10 MHz is the least that some take for a timing. */
	assert_true(width < 64 || height < 64 || timing.clock >= 1000);
}

static void monitors_prefer_their_windows_size(void **state)
{
	static const unsigned sizes[][2] = {
		{ 640, 480 },	{ 800, 600 },	{ 1024, 768 },	{ 1280, 800 },	{ 1366, 768 },
		{ 1920, 1080 }, { 2560, 1440 }, { 3840, 2160 }, { 4095, 4095 }, { 4096, 2160 },
		{ 4096, 4096 }, { 7680, 4320 }, { 8192, 8192 }, { 8192, 1 },	{ 1, 8192 },
		{ 1, 1 },	{ 641, 479 },	{ 1023, 767 },	{ 5119, 2881 }, { 4097, 64 },
		{ 77, 4095 },	{ 8191, 8191 },
	};

	begin();
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		check_size(sizes[i][0], sizes[i][1]);
	end();
}

static void every_size_is_sound(void **state)
{
	begin();
	for (unsigned side = 1; side <= VIRTIO_GPU_SIDE_MAX; side += 61)
		check_size(side, VIRTIO_GPU_SIDE_MAX + 1 - side);
	end();
}

static void names_and_serial_numbers(void **state)
{
	begin_with((struct virtio_gpu_options){ .serial = "a-long-name-that-is-cut" }, false);
	for (uint32_t i = 0; i < SCANOUTS; i++) {
		const uint8_t *edid = ask_edid(i);
		char serial[] = "a-long-nam/0\n";

		serial[11] = (char)('0' + i);
		assert_int_equal(edid[12], i + 1);
		assert_int_equal(edid[72 + 3], 0xfc);
		assert_memory_equal(edid + 72 + 5, "Viaduct\n     ", 13);
		assert_int_equal(edid[90 + 3], 0xff);
		assert_memory_equal(edid + 90 + 5, serial, 13);
		assert_int_equal(edid[108 + 3], 0x10);
	}
	assert_int_equal(ASK(virtio_gpu_get_edid, { VIRTIO_GPU_CMD_GET_EDID }, SCANOUTS),
			 VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID);
	assert_int_equal(ASK(virtio_gpu_get_edid, { VIRTIO_GPU_CMD_GET_EDID }, UINT32_MAX),
			 VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID);
	end();
}

/* Side by side, those that are enabled; the others have sizes, too. */
static void display_info(void **state)
{
	const struct virtio_gpu_header request = { VIRTIO_GPU_CMD_GET_DISPLAY_INFO };
	const struct virtio_gpu_display_info *info = &bench.answer.display_info;
	static const struct virtio_gpu_rect expected[] = { { 0, 0, 1024, 768 },
							   { 1024, 0, 800, 600 },
							   { 1824, 0, 5, 6 } };

	begin();
	assert_int_equal(virtio_gpu_set_size(bench.device, 1, 800, 600, true), 0);
	assert_int_equal(virtio_gpu_set_size(bench.device, 2, 5, 6, false), 0);
	assert_int_equal(ask_bytes(CONTROL, &request, sizeof(request), ANSWER_BYTES), sizeof(*info));
	assert_int_equal(info->header.type, VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
	for (unsigned i = 0; i < VIRTIO_GPU_SCANOUTS_MAX; i++) {
		static const struct virtio_gpu_rect none;

		assert_memory_equal(&info->mode[i].rect, i < 3 ? &expected[i] : &none, sizeof(none));
		assert_int_equal(info->mode[i].enabled, i < 2);
		assert_int_equal(info->mode[i].flags, 0);
	}
	end();
}

/* ---- configuration ---- */

static struct virtio_gpu_config config(void)
{
	struct virtio_gpu_config config;

	assert_int_equal(virtio_gpu_model.config_size(bench.device), sizeof(config));
	virtio_gpu_model.config_read(bench.device, 0, &config, sizeof(config));
	return config;
}

static void configuration(void **state)
{
	struct virtio_gpu_config all = { UINT32_MAX, 0, 99, 99 };
	uint32_t seen = VIRTIO_GPU_EVENT_DISPLAY;
	uint8_t byte = 0;

	begin();
	assert_int_equal(config().events_read, 0);
	assert_int_equal(config().events_clear, 0);
	assert_int_equal(config().num_scanouts, SCANOUTS);
	assert_int_equal(config().num_capsets, 0);
	assert_int_equal(virtio_gpu_model.features(bench.device),
			 1u << VIRTIO_GPU_F_EDID | 1u << VIRTIO_GPU_F_RESOURCE_BLOB);
	/* Not another size: nothing has happened. */
	assert_int_equal(virtio_gpu_set_size(bench.device, 0, 1024, 768, true), 0);
	assert_int_equal(config().events_read, 0);
	assert_int_equal(virtio_gpu_set_size(bench.device, 0, 1024, 768, false), 0);
	assert_int_equal(config().events_read, VIRTIO_GPU_EVENT_DISPLAY);
	/* What is not the driver's to write is ignored, and so is a part of what is. */
	assert_int_equal(virtio_gpu_model.config_write(bench.device, 0, 0, &all, sizeof(all)), 0);
	assert_int_equal(virtio_gpu_model.config_write(bench.device, 0, 5, &all, 3), 0);
	assert_int_equal(config().events_read, VIRTIO_GPU_EVENT_DISPLAY);
	assert_int_equal(config().num_scanouts, SCANOUTS);
	virtio_gpu_model.config_read(bench.device, 8, &byte, 1);
	assert_int_equal(byte, SCANOUTS);
	assert_int_equal(virtio_gpu_model.config_write(bench.device, 0, 4, &seen, sizeof(seen)), 0);
	assert_int_equal(config().events_read, 0);
	end();
}

static void sizes_that_are_none(void **state)
{
	begin();
	assert_int_equal(virtio_gpu_set_size(bench.device, SCANOUTS, 1, 1, true), -EINVAL);
	assert_int_equal(virtio_gpu_set_size(bench.device, 0, 0, 1, true), -EINVAL);
	assert_int_equal(virtio_gpu_set_size(bench.device, 0, 1, 0, true), -EINVAL);
	assert_int_equal(virtio_gpu_set_size(bench.device, 0, 8193, 1, true), -EINVAL);
	assert_int_equal(virtio_gpu_set_size(bench.device, 0, 1, UINT32_MAX, true), -EINVAL);
	assert_int_equal(config().events_read, 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(monitors_prefer_their_windows_size),
		cmocka_unit_test(every_size_is_sound),
		cmocka_unit_test(names_and_serial_numbers),
		cmocka_unit_test(display_info),
		cmocka_unit_test(configuration),
		cmocka_unit_test(sizes_that_are_none),
	};

	return cmocka_run_group_tests_name("virtio_gpu_edid", tests, NULL, NULL);
}
