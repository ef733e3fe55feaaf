/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A display that gets commands at random, right and wrong, against a model that keeps each resource as a
 * plain array and asks of each number by itself whether it is allowed. Compared are all answers, what the
 * output was told and every pixel that is shown.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gpu_bench.h"
#include "test_disk.h"

#define IDS	  6u /* 0 is none */
#define SIDE_MAX  24
#define PIECES	  3u
#define STEPS	  20000u
#define PIECE_MAX 1500u

struct model_resource {
	bool exists, attached;
	int width, height;
	uint32_t pixels[SIDE_MAX][SIDE_MAX];
	struct virtio_gpu_entry pieces[PIECES];
	unsigned piece_count;
};

static struct {
	uint64_t seed;
	struct model_resource resources[IDS];
	struct {
		uint32_t id; /* 0: dark */
		struct virtio_gpu_rect rect;
	} scanouts[SCANOUTS];
} model;

/* ---- random numbers ---- */

static uint32_t below(uint32_t limit)
{
	return test_below(&model.seed, limit);
}

static uint32_t any_id(void)
{
	return below(IDS);
}

/* Mostly one that is allowed, sometimes one just behind, sometimes anything. */
static uint32_t side(void)
{
	switch (below(20)) {
	case 0:
		return UINT32_MAX - below(30);
	case 1:
		return VIRTIO_GPU_SIDE_MAX + 1;
	case 2:
		return 0;
	default:
		return 1 + below(SIDE_MAX);
	}
}

static struct virtio_gpu_rect any_rect(void)
{
	struct virtio_gpu_rect rect = { below(SIDE_MAX), below(SIDE_MAX), side(), side() };

	if (below(3) > 0)
		rect.x = rect.y = 0;
	if (below(30) == 0)
		rect.x = UINT32_MAX - below(5);
	return rect;
}

/* ---- what is allowed ---- */

static bool is_inside(const struct virtio_gpu_rect *rect, const struct model_resource *resource)
{
	return (int64_t)rect->x + rect->width <= resource->width &&
	       (int64_t)rect->y + rect->height <= resource->height;
}

static uint64_t backing_bytes(const struct model_resource *resource)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < resource->piece_count; i++)
		bytes += resource->pieces[i].length_bytes;
	return bytes;
}

/* -1: there is none. */
static int backing_byte(const struct model_resource *resource, uint64_t offset)
{
	for (unsigned i = 0; i < resource->piece_count; i++) {
		if (offset < resource->pieces[i].length_bytes)
			return get(resource->pieces[i].gpa + offset);
		offset -= resource->pieces[i].length_bytes;
	}
	return -1;
}

/* ---- commands ---- */

static void go_dark(uint32_t id)
{
	for (unsigned i = 0; i < SCANOUTS; i++)
		if (model.scanouts[i].id == id)
			model.scanouts[i].id = 0;
}

/* Only what the model can hold is kept; a resource of the largest side is not made. */
static void try_create(void)
{
	uint32_t id = any_id(), width = side(), height = side(), format = below(9) ? 1 : 99;
	uint32_t wanted = VIRTIO_GPU_RESP_OK_NODATA;
	struct model_resource *resource = &model.resources[id];

	if (width == 0 || width > SIDE_MAX || height == 0 || height > SIDE_MAX || format != 1)
		wanted = VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	if (id == 0 || resource->exists)
		wanted = VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	assert_int_equal(create_2d(id, format, width, height), wanted);
	if (wanted == VIRTIO_GPU_RESP_OK_NODATA)
		*resource =
			(struct model_resource){ .exists = true, .width = (int)width, .height = (int)height };
}

static void try_unref(void)
{
	uint32_t id = any_id();

	assert_int_equal(unref(id), model.resources[id].exists ? VIRTIO_GPU_RESP_OK_NODATA
							       : VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	model.resources[id].exists = false;
	if (id > 0)
		go_dark(id);
}

static void try_attach(void)
{
	struct virtio_gpu_entry pieces[PIECES];
	uint32_t id = any_id(), count = 1 + below(PIECES), wanted = VIRTIO_GPU_RESP_OK_NODATA;
	struct model_resource *resource = &model.resources[id];

	for (unsigned i = 0; i < count; i++)
		pieces[i] = (struct virtio_gpu_entry){ BACKING_AT + below(BACKING_BYTES - PIECE_MAX),
						       below(PIECE_MAX) };
	if (resource->attached)
		wanted = VIRTIO_GPU_RESP_ERR_UNSPEC;
	if (!resource->exists)
		wanted = VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	assert_int_equal(attach(id, pieces, count), wanted);
	if (wanted != VIRTIO_GPU_RESP_OK_NODATA)
		return;
	resource->attached = true;
	resource->piece_count = count;
	memcpy(resource->pieces, pieces, sizeof(pieces));
}

static void try_detach(void)
{
	uint32_t id = any_id(), wanted = VIRTIO_GPU_RESP_OK_NODATA;

	if (!model.resources[id].attached)
		wanted = VIRTIO_GPU_RESP_ERR_UNSPEC;
	if (!model.resources[id].exists)
		wanted = VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	assert_int_equal(detach(id), wanted);
	model.resources[id].attached = false;
}

static void copy(struct model_resource *resource, const struct virtio_gpu_rect *rect, uint64_t offset)
{
	for (uint32_t y = 0; y < rect->height; y++) {
		for (uint32_t x = 0; x < rect->width; x++) {
			uint64_t at = offset + 4ull * (y * (uint32_t)resource->width + x);
			uint32_t pixel = 0;

			for (unsigned i = 0; i < 4; i++)
				pixel |= (uint32_t)backing_byte(resource, at + i) << 8 * i;
			resource->pixels[rect->y + y][rect->x + x] = pixel;
		}
	}
}

static void try_transfer(void)
{
	uint32_t id = any_id(), wanted = VIRTIO_GPU_RESP_OK_NODATA;
	struct model_resource *resource = &model.resources[id];
	struct virtio_gpu_rect rect = any_rect();
	uint64_t offset = below(4) ? below(300) : UINT64_MAX - below(3000), last = 0;

	if (rect.width > 0 && rect.height > 0 && is_inside(&rect, resource))
		last = 4ull * ((rect.height - 1) * (uint32_t)resource->width + rect.width);
	if (offset > backing_bytes(resource) || last > backing_bytes(resource) - offset)
		wanted = VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	if (!resource->attached)
		wanted = VIRTIO_GPU_RESP_ERR_UNSPEC;
	if (!is_inside(&rect, resource))
		wanted = VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	if (!resource->exists)
		wanted = VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	assert_int_equal(transfer(id, rect, offset), wanted);
	if (wanted == VIRTIO_GPU_RESP_OK_NODATA)
		copy(resource, &rect, offset);
}

static void try_scanout(void)
{
	uint32_t id = any_id(), scanout = below(SCANOUTS + 1), wanted = VIRTIO_GPU_RESP_OK_NODATA;
	struct virtio_gpu_rect rect = any_rect();

	if (rect.width == 0 || rect.height == 0 || !is_inside(&rect, &model.resources[id]))
		wanted = VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	if (!model.resources[id].exists)
		wanted = VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	if (id == 0)
		wanted = VIRTIO_GPU_RESP_OK_NODATA;
	if (scanout == SCANOUTS)
		wanted = VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID;
	assert_int_equal(set_scanout(scanout, id, rect), wanted);
	if (wanted != VIRTIO_GPU_RESP_OK_NODATA)
		return;
	model.scanouts[scanout].id = id;
	model.scanouts[scanout].rect = rect;
}

/* ---- flush: every pixel is looked at ---- */

static bool holds(const struct virtio_gpu_rect *rect, uint32_t x, uint32_t y)
{
	return x >= rect->x && x - rect->x < rect->width && y >= rect->y && y - rect->y < rect->height;
}

static void assert_damage(unsigned scanout, const struct virtio_gpu_rect *rect, unsigned damages_before)
{
	const struct virtio_gpu_rect *shown = &model.scanouts[scanout].rect;
	const struct seen *seen = &bench.seen[scanout];
	unsigned common = 0;

	for (uint32_t y = 0; y < SIDE_MAX; y++) {
		for (uint32_t x = 0; x < SIDE_MAX; x++) {
			if (!holds(rect, x, y) || !holds(shown, x, y))
				continue;
			common++;
			assert_true(holds(&seen->damage, x - shown->x, y - shown->y));
		}
	}
	assert_int_equal(seen->damages, damages_before + (common > 0));
	if (common > 0)
		assert_int_equal(seen->damage.width * seen->damage.height, common);
}

static void try_flush(void)
{
	uint32_t id = any_id(), wanted = VIRTIO_GPU_RESP_OK_NODATA;
	struct virtio_gpu_rect rect = any_rect();
	unsigned before[SCANOUTS];

	for (unsigned i = 0; i < SCANOUTS; i++)
		before[i] = bench.seen[i].damages;
	if (!is_inside(&rect, &model.resources[id]))
		wanted = VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER;
	if (!model.resources[id].exists)
		wanted = VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID;
	assert_int_equal(flush(id, rect), wanted);
	for (unsigned i = 0; i < SCANOUTS; i++) {
		if (wanted == VIRTIO_GPU_RESP_OK_NODATA && model.scanouts[i].id == id)
			assert_damage(i, &rect, before[i]);
		else
			assert_int_equal(bench.seen[i].damages, before[i]);
	}
}

/* ---- all of it ---- */

static void assert_shown(void)
{
	for (unsigned i = 0; i < SCANOUTS; i++) {
		const struct virtio_gpu_picture *picture = bench.seen[i].picture;
		const struct virtio_gpu_rect *rect = &model.scanouts[i].rect;

		if (model.scanouts[i].id == 0) {
			assert_null(picture);
			continue;
		}
		assert_int_equal(picture->width, rect->width);
		assert_int_equal(picture->height, rect->height);
		for (uint32_t y = 0; y < rect->height; y++)
			assert_memory_equal(
				(const uint8_t *)picture->pixels + y * picture->stride_bytes,
				&model.resources[model.scanouts[i].id].pixels[rect->y + y][rect->x],
				4ul * rect->width);
	}
}

static void a_display_is_as_the_model(void **state)
{
	static void (*const tries[])(void) = { try_create,   try_unref,	   try_attach,	 try_attach,
					       try_detach,   try_create,   try_transfer, try_transfer,
					       try_transfer, try_transfer, try_scanout,	 try_scanout,
					       try_flush,    try_flush };

	model.seed = test_seed("gpu");
	begin();
	for (uint64_t at = 0; at < BACKING_BYTES; at++)
		*ring_driver_at(&bench.driver[CONTROL], BACKING_AT + at) = (uint8_t)below(256);
	for (unsigned step = 0; step < STEPS; step++) {
		tries[below(sizeof(tries) / sizeof(tries[0]))]();
		assert_shown();
	}
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_display_is_as_the_model) };

	return cmocka_run_group_tests_name("gpu", tests, NULL, NULL);
}
