/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pixels from guest memory, against a model that takes each byte from where the specification says that it
 * is; and backings that are hostile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "gpu_bench.h"
#include "test_disk.h"

#define ENTRIES	  40u
#define TRANSFERS 60u
#define BGRA	  VIRTIO_GPU_FORMAT_B8G8R8A8

/* Where each colour is in a pixel of four bytes; 4: nowhere. */
static const struct layout {
	uint32_t format;
	unsigned blue, green, red, alpha;
} layouts[] = {
	{ VIRTIO_GPU_FORMAT_B8G8R8A8, 0, 1, 2, 3 }, { VIRTIO_GPU_FORMAT_B8G8R8X8, 0, 1, 2, 4 },
	{ VIRTIO_GPU_FORMAT_A8R8G8B8, 3, 2, 1, 0 }, { VIRTIO_GPU_FORMAT_X8R8G8B8, 3, 2, 1, 4 },
	{ VIRTIO_GPU_FORMAT_R8G8B8A8, 2, 1, 0, 3 }, { VIRTIO_GPU_FORMAT_X8B8G8R8, 1, 2, 3, 4 },
	{ VIRTIO_GPU_FORMAT_A8B8G8R8, 1, 2, 3, 0 }, { VIRTIO_GPU_FORMAT_R8G8B8X8, 2, 1, 0, 4 },
};

/* ---- the model ---- */

static struct {
	const struct layout *layout;
	unsigned width, height;
	struct virtio_gpu_entry entries[ENTRIES];
	unsigned entry_count;
	uint64_t bytes;
	uint32_t *pixels;
} model;

static uint8_t model_byte(uint64_t offset)
{
	unsigned i = 0;

	while (offset >= model.entries[i].length_bytes)
		offset -= model.entries[i++].length_bytes;
	return get(model.entries[i].gpa + offset);
}

static uint32_t model_pixel(uint64_t offset)
{
	const struct layout *layout = model.layout;
	uint8_t bytes[5];

	for (unsigned i = 0; i < 4; i++)
		bytes[i] = model_byte(offset + i);
	bytes[4] = 0xff;
	return (uint32_t)bytes[layout->alpha] << 24 | (uint32_t)bytes[layout->red] << 16 |
	       (uint32_t)bytes[layout->green] << 8 | bytes[layout->blue];
}

static void model_transfer(struct virtio_gpu_rect rect, uint64_t offset)
{
	for (unsigned y = 0; y < rect.height; y++)
		for (unsigned x = 0; x < rect.width; x++)
			model.pixels[(rect.y + y) * model.width + rect.x + x] =
				model_pixel(offset + 4ull * (y * model.width + x));
}

static void assert_as_the_model(void)
{
	const struct virtio_gpu_picture *picture = bench.seen[0].picture;

	assert_int_equal(picture->width, model.width);
	assert_int_equal(picture->stride_bytes, 4 * model.width);
	assert_memory_equal(picture->pixels, model.pixels, 4ull * model.width * model.height);
}

/* ---- random resources ---- */

/* Pieces anywhere in the backing's memory, on each other, too, and empty ones. */
static void back_randomly(uint64_t *seed, uint64_t wanted)
{
	model.bytes = 0;
	for (model.entry_count = 0; model.entry_count < ENTRIES - 1; model.entry_count++) {
		uint32_t length = test_below(seed, 4) == 0 ? test_below(seed, 8) : test_below(seed, 8000);

		model.entries[model.entry_count] = (struct virtio_gpu_entry){
			BACKING_AT + test_below(seed, (uint32_t)(BACKING_BYTES - length)), length
		};
		model.bytes += length;
	}
	if (model.bytes < wanted) {
		uint32_t length = (uint32_t)(wanted - model.bytes);

		model.entries[model.entry_count++] = (struct virtio_gpu_entry){ BACKING_AT + 1, length };
		model.bytes = wanted;
	}
}

static void make_randomly(uint64_t *seed, const struct layout *layout, unsigned width, unsigned height)
{
	model.layout = layout;
	model.width = width;
	model.height = height;
	model.pixels = calloc(1, 4ull * width * height);
	back_randomly(seed, 4ull * width * height + test_below(seed, 100));
	assert_ok(create_2d(1, layout->format, width, height));
	assert_ok(attach(1, model.entries, model.entry_count));
	assert_ok(set_scanout(0, 1, rect_of(0, 0, width, height)));
	assert_as_the_model();
}

static void drop(void)
{
	assert_ok(unref(1));
	free(model.pixels);
	model.pixels = NULL;
}

/* One that the backing has room for, somewhere in it. */
static void transfer_randomly(uint64_t *seed)
{
	unsigned x = test_below(seed, model.width), y = test_below(seed, model.height);
	struct virtio_gpu_rect rect = { x, y, 1 + test_below(seed, model.width - x),
					1 + test_below(seed, model.height - y) };
	uint64_t extent = 4ull * ((rect.height - 1) * model.width + rect.width), offset;

	offset = test_below(seed, (uint32_t)(model.bytes - extent + 1));
	assert_ok(transfer(1, rect, offset));
	model_transfer(rect, offset);
}

static void fill_memory(uint64_t *seed)
{
	for (uint64_t i = 0; i < BACKING_BYTES; i++)
		*ring_driver_at(&bench.driver[CONTROL], BACKING_AT + i) = (uint8_t)test_below(seed, 256);
}

static void formats_are_exact(void **state)
{
	uint64_t seed = test_seed("virtio_gpu_transfer");

	begin();
	fill_memory(&seed);
	for (unsigned i = 0; i < sizeof(layouts) / sizeof(layouts[0]); i++) {
		make_randomly(&seed, &layouts[i], 1 + test_below(&seed, 90), 1 + test_below(&seed, 50));
		for (unsigned j = 0; j < TRANSFERS; j++)
			transfer_randomly(&seed);
		assert_as_the_model();
		transfer(1, rect_of(0, 0, model.width, model.height), 0);
		model_transfer(rect_of(0, 0, model.width, model.height), 0);
		assert_as_the_model();
		drop();
	}
	end();
}

/* More than one chunk; the longest lines. */
static void large_ones_are_exact(void **state)
{
	uint64_t seed = test_seed("virtio_gpu_large");
	static const unsigned sizes[][2] = {
		{ 300, 500 }, { VIRTIO_GPU_SIDE_MAX, 9 }, { 8, 8192 }, { 127, 129 }
	};

	begin();
	fill_memory(&seed);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const struct virtio_gpu_rect all = { 0, 0, sizes[i][0], sizes[i][1] };

		make_randomly(&seed, &layouts[2 * i], sizes[i][0], sizes[i][1]);
		assert_ok(transfer(1, all, 0));
		model_transfer(all, 0);
		transfer_randomly(&seed);
		assert_as_the_model();
		drop();
	}
	end();
}

/* ---- what is refused ---- */

/* A byte short is an error, and nothing is copied. */
static void backings_that_are_too_short(void **state)
{
	static const uint64_t offsets[] = {
		1, 4, 100 * 50 * 4, 1ull << 32, 1ull << 63, UINT64_MAX, UINT64_MAX - 100 * 50 * 4 + 1
	};
	const struct virtio_gpu_rect all = { 0, 0, 100, 50 }, last = { 99, 49, 1, 1 };

	begin();
	*ring_driver_at(&bench.driver[CONTROL], BACKING_AT) = 1;
	assert_ok(create_2d(1, BGRA, 100, 50));
	assert_ok(set_scanout(0, 1, all));
	assert_ok(attach_one(1, BACKING_AT, 100 * 50 * 4 - 1));
	assert_int_equal(transfer(1, all, 0), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(transfer(1, last, (99 + 49 * 100) * 4), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(bench.seen[0].picture->pixels[0], 0);
	assert_ok(detach(1));
	assert_ok(attach_one(1, BACKING_AT, 100 * 50 * 4));
	for (unsigned i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
		assert_int_equal(transfer(1, all, offsets[i]), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(bench.seen[0].picture->pixels[0], 0);
	assert_ok(transfer(1, last, (99 + 49 * 100) * 4));
	assert_ok(transfer(1, all, 0));
	assert_int_equal(bench.seen[0].picture->pixels[0], 1);
	/* A line that is none needs no memory. */
	assert_ok(transfer(1, rect_of(100, 0, 0, 50), 100 * 50 * 4));
	assert_ok(transfer(1, rect_of(0, 50, 100, 0), 0));
	end();
}

static void transfers_that_are_none(void **state)
{
	static const struct virtio_gpu_rect bad[] = {
		{ 0, 0, 101, 50 },
		{ 1, 0, 100, 50 },
		{ 0, 0, 100, 51 },
		{ 0, 50, 1, 1 },
		{ UINT32_MAX, 0, 1, 1 },
		{ 0, UINT32_MAX, 1, 1 },
		{ 1, 1, UINT32_MAX, UINT32_MAX },
		{ 0, 0, 1u << 30, 1u << 30 },
	};

	begin();
	assert_ok(create_2d(1, BGRA, 100, 50));
	assert_int_equal(transfer(1, rect_of(0, 0, 1, 1), 0), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_ok(attach_one(1, BACKING_AT, BACKING_BYTES));
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(transfer(1, bad[i], 0), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(transfer(2, rect_of(0, 0, 1, 1), 0), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_ok(detach(1));
	assert_int_equal(detach(1), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(detach(2), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_int_equal(transfer(1, rect_of(0, 0, 1, 1), 0), VIRTIO_GPU_RESP_ERR_UNSPEC);
	end();
}

/* What does not exist is an error when it is read; what wraps around, at once. */
static void backings_outside_memory(void **state)
{
	static const struct virtio_gpu_entry outside[] = {
		{ 0, 4096 },
		{ OUTSIDE, 4096 },
		{ OUTSIDE - 4095, 4096 },
		{ DRIVER_GUEST_BASE - 1, 4096 },
		{ 1ull << 63, 4096 },
		{ UINT64_MAX - 4096, 4096 },
	};
	static const struct virtio_gpu_entry wrapping[] = { { UINT64_MAX, 1 },
							    { UINT64_MAX - 4094, 4096 },
							    { UINT64_MAX - 7, UINT32_MAX } };
	const struct virtio_gpu_rect all = { 0, 0, 32, 32 };

	begin();
	assert_ok(create_2d(1, BGRA, 32, 32));
	for (unsigned i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
		assert_ok(attach(1, &outside[i], 1));
		assert_int_equal(transfer(1, all, 0), VIRTIO_GPU_RESP_ERR_UNSPEC);
		assert_ok(detach(1));
	}
	for (unsigned i = 0; i < sizeof(wrapping) / sizeof(wrapping[0]); i++)
		assert_int_equal(attach(1, &wrapping[i], 1), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	/* The first lines are there; the rest is not, and that is said. */
	assert_ok(attach(1, (struct virtio_gpu_entry[]){ { BACKING_AT, 2048 }, { OUTSIDE, 2048 } }, 2));
	assert_ok(transfer(1, rect_of(0, 0, 32, 16), 0));
	assert_int_equal(transfer(1, all, 0), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_false(bench.broken[CONTROL]);
	end();
}

static void attachments_that_are_none(void **state)
{
	static struct virtio_gpu_entry entries[VIRTIO_GPU_ENTRIES_MAX + 1];

	begin();
	assert_ok(create_2d(1, BGRA, 128, 32));
	/* Of each byte an entry; and as many again that are empty. */
	for (unsigned i = 0; i <= VIRTIO_GPU_ENTRIES_MAX; i++)
		entries[i] = (struct virtio_gpu_entry){ BACKING_AT + i, 1 };
	assert_int_equal(attach(1, entries, 0), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(attach(1, entries, VIRTIO_GPU_ENTRIES_MAX + 1),
			 VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(attach_as(1, entries, 4, 5), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(attach_as(1, entries, 4, 1u << 28), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(attach_as(1, entries, 4, UINT32_MAX), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(attach(2, entries, 1), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_ok(attach(1, entries, VIRTIO_GPU_ENTRIES_MAX));
	assert_int_equal(attach(1, entries, 1), VIRTIO_GPU_RESP_ERR_UNSPEC);
	*ring_driver_at(&bench.driver[CONTROL], BACKING_AT + VIRTIO_GPU_ENTRIES_MAX - 1) = 0x77;
	assert_ok(set_scanout(0, 1, rect_of(0, 0, 128, 32)));
	assert_ok(transfer(1, rect_of(0, 0, 128, 32), 0));
	assert_int_equal(bench.seen[0].picture->pixels[128 * 32 - 1], 0x77000000);
	assert_ok(detach(1));
	memset(entries, 0, sizeof(entries));
	assert_ok(attach(1, entries, VIRTIO_GPU_ENTRIES_MAX));
	assert_int_equal(transfer(1, rect_of(0, 0, 1, 1), 0), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_ok(transfer(1, rect_of(0, 0, 0, 0), 0));
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats_are_exact),	       cmocka_unit_test(large_ones_are_exact),
		cmocka_unit_test(backings_that_are_too_short), cmocka_unit_test(transfers_that_are_none),
		cmocka_unit_test(backings_outside_memory),     cmocka_unit_test(attachments_that_are_none),
	};

	return cmocka_run_group_tests_name("virtio_gpu_transfer", tests, NULL, NULL);
}
