/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Resources that are guest memory: what is shown of them, and what a driver may not say of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "gpu_bench.h"

#define BGRX   VIRTIO_GPU_FORMAT_B8G8R8X8
#define RGBX   VIRTIO_GPU_FORMAT_R8G8B8X8
#define BLOB   5u
#define OTHER  6u
#define WIDTH  60u
#define HEIGHT 40u
#define BYTES  (WIDTH * HEIGHT * 4)
#define MEMORY_GUEST VIRTIO_GPU_BLOB_MEM_GUEST

/* ---- the driver ---- */

/* With as many entries as there are sent, or says another number. */
static uint32_t create_blob_as(const struct virtio_gpu_create_blob *head,
			       const struct virtio_gpu_entry *entries, uint32_t sent)
{
	static uint8_t request[REQUEST_BYTES];

	memcpy(request, head, sizeof(*head));
	memcpy(request + sizeof(*head), entries, sent * sizeof(*entries));
	return ask(CONTROL, request, (uint32_t)(sizeof(*head) + sent * sizeof(*entries)));
}

static struct virtio_gpu_create_blob blob_head(uint32_t id, uint64_t bytes, uint32_t entries)
{
	return (struct virtio_gpu_create_blob){
		{ VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB }, id, MEMORY_GUEST, 2, entries, 0, bytes
	};
}

static uint32_t create_blob(uint32_t id, uint64_t bytes, uint64_t gpa, uint32_t backed)
{
	const struct virtio_gpu_create_blob head = blob_head(id, bytes, 1);

	return create_blob_as(&head, &(struct virtio_gpu_entry){ gpa, backed }, 1);
}

static struct virtio_gpu_set_scanout_blob view_of(uint32_t id, uint32_t width, uint32_t height)
{
	return (struct virtio_gpu_set_scanout_blob){
		.header = { VIRTIO_GPU_CMD_SET_SCANOUT_BLOB },
		.rect = { 0, 0, width, height },
		.resource_id = id,
		.width = width,
		.height = height,
		.format = BGRX,
		.stride_bytes = { width * 4 },
	};
}

static uint32_t show_view(const struct virtio_gpu_set_scanout_blob *view)
{
	return ask(CONTROL, view, sizeof(*view));
}

static void put_pixel(uint64_t offset, uint32_t value)
{
	put(BACKING_AT + offset, &value, sizeof(value));
}

static void fill(uint32_t seed)
{
	for (unsigned i = 0; i < BYTES / 4; i++)
		put_pixel(i * 4ul, (seed + i) * 2654435761u);
}

static uint32_t filled(uint32_t seed, unsigned x, unsigned y)
{
	return ((seed + y * WIDTH + x) * 2654435761u) & 0xffffff;
}

static uint32_t shown(unsigned scanout, unsigned x, unsigned y)
{
	const struct virtio_gpu_picture *picture = bench.seen[scanout].picture;

	return picture->pixels[y * picture->stride_bytes / 4 + x] & 0xffffff;
}

/* ---- what is shown ---- */

static void assert_damage(const struct virtio_gpu_rect *damage, struct virtio_gpu_rect expected)
{
	assert_memory_equal(damage, &expected, sizeof(expected));
}

static void assert_shows(unsigned scanout, uint32_t seed, unsigned from_x, unsigned from_y)
{
	const struct virtio_gpu_picture *picture = bench.seen[scanout].picture;

	assert_non_null(picture);
	for (unsigned y = 0; y < picture->height; y++)
		for (unsigned x = 0; x < picture->width; x++)
			assert_int_equal(shown(scanout, x, y), filled(seed, from_x + x, from_y + y));
}

/* When it is named, and when it is flushed: what lies there then, in as many pieces as it may. */
static void every_pixel(void **state)
{
	const struct virtio_gpu_entry pieces[] = { { BACKING_AT, 1001 },
						   { BACKING_AT + 1001, 0 },
						   { BACKING_AT + 1001, BYTES - 1001 } };
	const struct virtio_gpu_create_blob head = blob_head(BLOB, BYTES, 3);
	struct virtio_gpu_set_scanout_blob view = view_of(BLOB, WIDTH, HEIGHT);

	for (unsigned packed = 0; packed < 2; packed++) {
		begin_with((struct virtio_gpu_options){ .serial = "alice" }, packed);
		assert_ok(create_blob_as(&head, pieces, 3));
		fill(1);
		assert_ok(show_view(&view));
		assert_shows(0, 1, 0, 0);
		assert_int_equal(bench.seen[0].shows, 1);
		/* What is drawn is not seen before it is flushed, and then in that rectangle alone. */
		fill(2);
		assert_shows(0, 1, 0, 0);
		assert_ok(flush(BLOB, rect_of(3, 5, 20, 30)));
		assert_int_equal(bench.seen[0].damages, 1);
		assert_damage(&bench.seen[0].damage, rect_of(3, 5, 20, 30));
		assert_int_equal(shown(0, 3, 5), filled(2, 3, 5));
		assert_int_equal(shown(0, 22, 34), filled(2, 22, 34));
		assert_int_equal(shown(0, 2, 5), filled(1, 2, 5));
		assert_int_equal(shown(0, 23, 34), filled(1, 23, 34));
		assert_ok(flush(BLOB, rect_of(0, 0, WIDTH, HEIGHT)));
		assert_shows(0, 2, 0, 0);
		/* Linux asks for a transfer of cursors. */
		assert_ok(transfer(BLOB, rect_of(0, 0, 64, 64), 0));
		view.resource_id = 0;
		assert_ok(show_view(&view));
		assert_null(bench.seen[0].picture);
		view.resource_id = BLOB;
		assert_ok(show_view(&view));
		assert_ok(unref(BLOB));
		assert_null(bench.seen[0].picture);
		end();
	}
}

/* A part of a picture that lies anywhere in the blob, with gaps between its lines, in any format. */
static void parts_strides_and_formats(void **state)
{
	struct virtio_gpu_set_scanout_blob view = view_of(BLOB, 20, 10);

	begin();
	assert_ok(create_blob(BLOB, BYTES, BACKING_AT, BYTES));
	fill(9);
	view.stride_bytes[0] = WIDTH * 4;
	view.offset_bytes[0] = (7 * WIDTH + 11) * 4;
	view.rect = rect_of(4, 2, 9, 5);
	view.scanout_id = 1;
	assert_ok(show_view(&view));
	assert_int_equal(bench.seen[1].picture->width, 9);
	assert_shows(1, 9, 11 + 4, 7 + 2);
	/* A rectangle of the picture is flushed; what is shown of that is told. */
	fill(10);
	assert_ok(flush(BLOB, rect_of(0, 0, 5, 3)));
	assert_damage(&bench.seen[1].damage, rect_of(0, 0, 1, 1));
	assert_int_equal(shown(1, 0, 0), filled(10, 15, 9));
	assert_int_equal(shown(1, 1, 0), filled(9, 16, 9));
	assert_ok(flush(BLOB, rect_of(13, 0, 7, 10)));
	assert_int_equal(bench.seen[1].damages, 1);
	/* Another format of the same bytes: red and blue are each other. */
	view.format = RGBX;
	assert_ok(show_view(&view));
	assert_int_equal(shown(1, 0, 0), (filled(10, 15, 9) & 0xff) << 16 | (filled(10, 15, 9) & 0xff00) |
						 filled(10, 15, 9) >> 16);
	/* Not at a multiple of four, and as large as the blob. */
	view = view_of(BLOB, 1, 1);
	view.offset_bytes[0] = BYTES - 4;
	assert_ok(show_view(&view));
	view.offset_bytes[0] = 1;
	assert_ok(show_view(&view));
	end();
}

/* Two of one size in turn stay in one picture; another size makes one, and other kinds take its place. */
static void pictures_in_turn(void **state)
{
	struct virtio_gpu_set_scanout_blob view = view_of(BLOB, WIDTH, HEIGHT);

	begin();
	assert_ok(create_blob(BLOB, BYTES, BACKING_AT, BYTES));
	assert_ok(create_blob(OTHER, BYTES, BACKING_AT + BYTES, BYTES));
	fill(3);
	assert_ok(show_view(&view));
	view.resource_id = OTHER;
	assert_ok(show_view(&view));
	assert_int_equal(bench.seen[0].shows, 1);
	assert_int_equal(bench.seen[0].damages, 1);
	assert_int_equal(shown(0, 5, 5), 0);
	/* The one before is not shown any more. */
	assert_ok(flush(BLOB, rect_of(0, 0, WIDTH, HEIGHT)));
	assert_ok(unref(BLOB));
	assert_int_equal(bench.seen[0].damages, 1);
	assert_non_null(bench.seen[0].picture);
	view = view_of(OTHER, WIDTH, HEIGHT - 1);
	assert_ok(show_view(&view));
	assert_int_equal(bench.seen[0].shows, 2);
	assert_ok(create_2d(1, BGRX, 4, 4));
	assert_ok(set_scanout(0, 1, rect_of(0, 0, 4, 4)));
	assert_int_equal(bench.seen[0].picture->width, 4);
	assert_ok(show_view(&view));
	/* One blob at two scanouts is flushed for both. */
	view.scanout_id = 2;
	view.rect = rect_of(10, 0, 20, 20);
	assert_ok(show_view(&view));
	bench.seen[0].damages = 0;
	assert_ok(flush(OTHER, rect_of(0, 0, 12, 1)));
	assert_damage(&bench.seen[0].damage, rect_of(0, 0, 12, 1));
	assert_damage(&bench.seen[2].damage, rect_of(0, 0, 2, 1));
	end();
}

static void cursors(void **state)
{
	struct virtio_gpu_update_cursor update = {
		{ VIRTIO_GPU_CMD_UPDATE_CURSOR }, 1, 3, 4, 0, BLOB, 5, 6, 0
	};

	begin();
	assert_ok(create_blob(BLOB, 64 * 64 * 4, BACKING_AT, 64 * 64 * 4));
	assert_ok(create_blob(OTHER, 64 * 64 * 4 - 1, BACKING_AT, 64 * 64 * 4));
	/* The rings of the bench have a memory each. */
	for (uint32_t i = 0; i < 64 * 64 * 4; i++)
		*ring_driver_at(&bench.driver[CURSOR], BACKING_AT + i) =
			(uint8_t)(i / 4 * 77777u >> i % 4 * 8);
	assert_ok(ask(CURSOR, &update, sizeof(update)));
	for (unsigned i = 0; i < 64 * 64; i++)
		assert_int_equal(bench.seen[1].cursor_pixels[i], i * 77777u);
	assert_int_equal(bench.seen[1].cursor.hot_x, 5);
	update.resource_id = OTHER;
	assert_int_equal(ask(CURSOR, &update, sizeof(update)), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	update.resource_id = BLOB;
	assert_ok(detach(BLOB));
	assert_int_equal(ask(CURSOR, &update, sizeof(update)), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_ok(attach_one(BLOB, OUTSIDE, 64 * 64 * 4));
	assert_int_equal(ask(CURSOR, &update, sizeof(update)), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(bench.seen[1].cursors, 1);
	end();
}

/* ---- what a driver may not say ---- */

static void blobs_that_there_cannot_be(void **state)
{
	const struct virtio_gpu_entry entry = { BACKING_AT, 4096 };
	static const struct {
		uint32_t memory, flags, entries;
		uint64_t bytes;
	} wrong[] = {
		{ 0, 0, 1, 4096 },
		{ 2, 0, 1, 4096 },
		{ 3, 0, 1, 4096 },
		{ UINT32_MAX, 0, 1, 4096 },
		{ 1, 8, 1, 4096 },
		{ 1, UINT32_MAX, 1, 4096 },
		{ 1, 0, 1, 0 },
		{ 1, 0, 1, 4097 },
		{ 1, 0, 1, UINT64_MAX },
		{ 1, 0, 1, 1ull << 63 },
		{ 1, 0, 0, 4096 },
		{ 1, 0, 2, 4096 },
		{ 1, 0, VIRTIO_GPU_ENTRIES_MAX + 1, 4096 },
		{ 1, 0, UINT32_MAX, 4096 },
	};
	struct virtio_gpu_create_blob head = blob_head(0, 4096, 1);

	begin_with((struct virtio_gpu_options){ .resources_max = 2, .all_entries_max = 3 }, false);
	assert_int_equal(create_blob_as(&head, &entry, 1), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		head = blob_head(BLOB, wrong[i].bytes, wrong[i].entries);
		head.memory = wrong[i].memory;
		head.flags = wrong[i].flags;
		assert_int_equal(create_blob_as(&head, &entry, 1), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	}
	/* Entries that wrap around, and many that are larger than anything. */
	assert_int_equal(create_blob(BLOB, 1, UINT64_MAX, 2), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_ok(create_blob(BLOB, UINT32_MAX, OUTSIDE, UINT32_MAX));
	assert_int_equal(create_blob(BLOB, 4096, BACKING_AT, 4096), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	/* Limits: entries and resources, as of any others. Nothing was kept of those that were refused. */
	head = blob_head(OTHER, 4096, 3);
	assert_int_equal(create_blob_as(&head, (struct virtio_gpu_entry[]){ entry, entry, entry }, 3),
			 VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	head = blob_head(OTHER, 4096, 2);
	assert_ok(create_blob_as(&head, (struct virtio_gpu_entry[]){ entry, entry }, 2));
	assert_int_equal(create_blob(7, 4096, BACKING_AT, 4096), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	assert_int_equal(create_2d(7, BGRX, 1, 1), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	end();
}

static void views_that_there_cannot_be(void **state)
{
	static const struct {
		uint32_t width, height, format, stride, offset;
		struct virtio_gpu_rect rect;
	} wrong[] = {
		{ 0, 1, BGRX, 4, 0, { 0, 0, 0, 1 } },
		{ 1, 0, BGRX, 4, 0, { 0, 0, 1, 0 } },
		{ 8193, 1, BGRX, 8193 * 4, 0, { 0, 0, 1, 1 } },
		{ 1, 8193, BGRX, 4, 0, { 0, 0, 1, 1 } },
		{ UINT32_MAX, UINT32_MAX, BGRX, UINT32_MAX, UINT32_MAX, { 0, 0, 1, 1 } },
		{ WIDTH, HEIGHT, 5, WIDTH * 4, 0, { 0, 0, 1, 1 } },
		{ WIDTH, HEIGHT, BGRX, 0, 0, { 0, 0, 1, 1 } },
		{ WIDTH, HEIGHT, BGRX, WIDTH * 4 - 1, 0, { 0, 0, 1, 1 } },
		{ WIDTH, HEIGHT, BGRX, WIDTH * 4 + 1, 0, { 0, 0, 1, 1 } },
		{ WIDTH, HEIGHT, BGRX, UINT32_MAX, 0, { 0, 0, 1, 1 } },
		{ WIDTH, HEIGHT, BGRX, WIDTH * 4, 1, { 0, 0, 1, 1 } },
		{ WIDTH, HEIGHT, BGRX, WIDTH * 4, UINT32_MAX, { 0, 0, 1, 1 } },
		{ WIDTH, HEIGHT + 1, BGRX, WIDTH * 4, 0, { 0, 0, 1, 1 } },
		{ WIDTH, HEIGHT, BGRX, WIDTH * 4, 0, { 0, 0, WIDTH + 1, 1 } },
		{ WIDTH, HEIGHT, BGRX, WIDTH * 4, 0, { WIDTH, 0, 1, 1 } },
		{ WIDTH, HEIGHT, BGRX, WIDTH * 4, 0, { UINT32_MAX, 0, 2, 1 } },
		{ WIDTH, HEIGHT, BGRX, WIDTH * 4, 0, { 0, UINT32_MAX, 1, UINT32_MAX } },
		{ WIDTH, HEIGHT, BGRX, WIDTH * 4, 0, { 0, 0, 0, 0 } },
	};
	struct virtio_gpu_set_scanout_blob view;

	begin();
	assert_ok(create_blob(BLOB, BYTES, BACKING_AT, BYTES + 4096));
	assert_ok(create_2d(OTHER, BGRX, WIDTH, HEIGHT));
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		view = view_of(BLOB, wrong[i].width, wrong[i].height);
		view.format = wrong[i].format;
		view.stride_bytes[0] = wrong[i].stride;
		view.offset_bytes[0] = wrong[i].offset;
		view.rect = wrong[i].rect;
		assert_int_equal(show_view(&view), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	}
	view = view_of(OTHER, WIDTH, HEIGHT);
	assert_int_equal(show_view(&view), VIRTIO_GPU_RESP_ERR_UNSPEC);
	view.resource_id = 99;
	assert_int_equal(show_view(&view), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	view.scanout_id = SCANOUTS;
	assert_int_equal(show_view(&view), VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID);
	assert_int_equal(set_scanout(0, BLOB, rect_of(0, 0, 1, 1)), VIRTIO_GPU_RESP_ERR_UNSPEC);
	for (unsigned i = 0; i < SCANOUTS; i++)
		assert_int_equal(bench.seen[i].shows, 0);
	end();
}

/* The memory of a blob that is shown goes, becomes smaller, or lies nowhere: the last picture stays. */
static void memory_that_goes(void **state)
{
	const struct virtio_gpu_set_scanout_blob view = view_of(BLOB, WIDTH, HEIGHT);
	const struct virtio_gpu_rect all = rect_of(0, 0, WIDTH, HEIGHT);

	begin();
	assert_ok(create_blob(BLOB, BYTES, BACKING_AT, BYTES));
	fill(4);
	assert_ok(show_view(&view));
	assert_ok(detach(BLOB));
	assert_int_equal(flush(BLOB, all), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(show_view(&view), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_ok(attach_one(BLOB, BACKING_AT, BYTES - 1));
	assert_int_equal(flush(BLOB, all), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(show_view(&view), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_ok(detach(BLOB));
	assert_ok(attach_one(BLOB, OUTSIDE, BYTES));
	assert_int_equal(flush(BLOB, all), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(show_view(&view), VIRTIO_GPU_RESP_ERR_UNSPEC);
	assert_int_equal(flush(BLOB, rect_of(0, 0, VIRTIO_GPU_SIDE_MAX + 1, 1)),
			 VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(flush(BLOB, rect_of(UINT32_MAX, 0, 2, 1)), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(bench.seen[0].damages, 0);
	assert_shows(0, 4, 0, 0);
	assert_ok(detach(BLOB));
	assert_ok(attach_one(BLOB, BACKING_AT, BYTES));
	fill(5);
	assert_ok(flush(BLOB, all));
	assert_shows(0, 5, 0, 0);
	end();
}

/* What scanouts copy counts as pixels, until nothing shows it any more. */
static void copies_have_a_limit(void **state)
{
	struct virtio_gpu_set_scanout_blob view = view_of(BLOB, WIDTH, HEIGHT);

	begin_with((struct virtio_gpu_options){ .pixel_bytes_max = BYTES + 100 }, false);
	assert_ok(create_blob(BLOB, BYTES, BACKING_AT, BYTES));
	for (unsigned i = 0; i < 10; i++) {
		view.scanout_id = 0;
		assert_ok(show_view(&view));
		view.scanout_id = 1;
		assert_int_equal(show_view(&view), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
		assert_int_equal(create_2d(OTHER, BGRX, 6, 6), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
		assert_null(bench.seen[1].picture);
		assert_ok(set_scanout(0, 0, rect_of(0, 0, 0, 0)));
	}
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_pixel),
		cmocka_unit_test(parts_strides_and_formats),
		cmocka_unit_test(pictures_in_turn),
		cmocka_unit_test(cursors),
		cmocka_unit_test(blobs_that_there_cannot_be),
		cmocka_unit_test(views_that_there_cannot_be),
		cmocka_unit_test(memory_that_goes),
		cmocka_unit_test(copies_have_a_limit),
	};

	return cmocka_run_group_tests_name("virtio_gpu_blob", tests, NULL, NULL);
}
