/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each command of a display, right and wrong, and chains that are no commands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gpu_bench.h"

#define BGRX VIRTIO_GPU_FORMAT_B8G8R8X8
#define BIG  UINT32_MAX

/* ---- resources ---- */

static void resources(void **state)
{
	begin();
	assert_ok(create_2d(1, BGRX, 64, 32));
	assert_ok(create_2d(BIG, BGRX, VIRTIO_GPU_SIDE_MAX, 1));
	assert_int_equal(create_2d(1, BGRX, 64, 32), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_int_equal(create_2d(0, BGRX, 64, 32), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_int_equal(create_2d(2, 0, 64, 32), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(create_2d(2, 5, 64, 32), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(create_2d(2, BGRX, 0, 32), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(create_2d(2, BGRX, 64, 0), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(create_2d(2, BGRX, 64, VIRTIO_GPU_SIDE_MAX + 1),
			 VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(create_2d(2, BGRX, BIG, BIG), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(unref(2), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_int_equal(unref(0), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_ok(unref(1));
	assert_int_equal(unref(1), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_ok(create_2d(1, BGRX, 64, 32));
	end();
}

/* Whatever the order of the ids, each names its own. */
static void resources_by_id(void **state)
{
	static const uint32_t ids[] = { 7, 3, BIG, 1, 900, 5, 4 };
	const unsigned count = sizeof(ids) / sizeof(ids[0]);

	begin();
	for (unsigned i = 0; i < count; i++)
		assert_ok(create_2d(ids[i], BGRX, 10 + i, 1));
	for (unsigned i = 0; i < count; i++) {
		assert_ok(set_scanout(0, ids[i], rect_of(0, 0, 10 + i, 1)));
		assert_int_equal(set_scanout(0, ids[i], rect_of(0, 0, 11 + i, 1)),
				 VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	}
	for (unsigned i = 0; i < count; i++) {
		assert_ok(unref(ids[i]));
		for (unsigned j = 0; j < count; j++)
			assert_int_equal(flush(ids[j], rect_of(0, 0, 1, 1)),
					 j > i ? VIRTIO_GPU_RESP_OK_NODATA
					       : VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	}
	end();
}

/* ---- scanouts ---- */

static void scanouts(void **state)
{
	struct virtio_gpu_picture *picture;

	begin();
	assert_ok(create_2d(1, BGRX, 100, 50));
	assert_ok(set_scanout(0, 1, rect_of(10, 20, 30, 30)));
	picture = bench.seen[0].picture;
	assert_int_equal(picture->width, 30);
	assert_int_equal(picture->height, 30);
	assert_int_equal(picture->stride_bytes, 400);
	/* Once more: nothing to tell. */
	assert_ok(set_scanout(0, 1, rect_of(10, 20, 30, 30)));
	assert_int_equal(bench.seen[0].shows, 1);
	assert_ok(set_scanout(1, 1, rect_of(0, 0, 100, 50)));
	/* Both show the same pixels. */
	assert_ptr_equal(bench.seen[1].picture->pixels + 20 * 100 + 10, picture->pixels);

	assert_ok(set_scanout(0, 0, rect_of(0, 0, 0, 0)));
	assert_null(bench.seen[0].picture);
	assert_ok(set_scanout(0, 0, rect_of(BIG, BIG, BIG, BIG)));
	assert_int_equal(bench.seen[0].shows, 2);
	assert_non_null(bench.seen[1].picture);
	end();
}

static void scanouts_that_are_none(void **state)
{
	static const struct virtio_gpu_rect bad[] = {
		{ 0, 0, 0, 50 },	 { 0, 0, 100, 0 },
		{ 0, 0, 101, 50 },	 { 0, 0, 100, 51 },
		{ 1, 0, 100, 50 },	 { 0, 1, 100, 50 },
		{ 100, 0, 1, 1 },	 { BIG, 0, 1, 1 },
		{ BIG, BIG, BIG, BIG },	 { BIG - 9, 0, 20, 20 },
		{ 0, BIG - 9, 20, 20 },	 { 20, 20, BIG - 9, 20 },
		{ 20, 20, 20, BIG - 9 }, { 0, 0, 1u << 31, 1u << 31 },
	};

	begin();
	assert_ok(create_2d(1, BGRX, 100, 50));
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(set_scanout(0, 1, bad[i]), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(set_scanout(0, 2, rect_of(0, 0, 1, 1)), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_int_equal(set_scanout(SCANOUTS, 1, rect_of(0, 0, 1, 1)),
			 VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID);
	assert_int_equal(set_scanout(BIG, 0, rect_of(0, 0, 1, 1)), VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID);
	assert_int_equal(bench.seen[0].shows, 0);
	end();
}

/* Its scanouts go dark, and only those. */
static void unref_of_what_is_shown(void **state)
{
	begin();
	assert_ok(create_2d(1, BGRX, 8, 8));
	assert_ok(create_2d(2, BGRX, 8, 8));
	assert_ok(set_scanout(0, 1, rect_of(0, 0, 8, 8)));
	assert_ok(set_scanout(1, 2, rect_of(0, 0, 8, 8)));
	assert_ok(set_scanout(2, 1, rect_of(0, 0, 8, 8)));
	/* One that another resource has replaced is not its any more. */
	assert_ok(set_scanout(0, 2, rect_of(0, 0, 8, 8)));
	assert_ok(unref(1));
	assert_non_null(bench.seen[0].picture);
	assert_non_null(bench.seen[1].picture);
	assert_null(bench.seen[2].picture);
	assert_ok(unref(2));
	assert_null(bench.seen[0].picture);
	assert_null(bench.seen[1].picture);
	end();
}

static void flushes(void **state)
{
	begin();
	assert_ok(create_2d(1, BGRX, 100, 50));
	assert_ok(flush(1, rect_of(0, 0, 100, 50)));
	assert_ok(set_scanout(0, 1, rect_of(10, 20, 30, 30)));
	assert_ok(set_scanout(1, 1, rect_of(0, 0, 100, 50)));
	assert_int_equal(bench.seen[0].damages + bench.seen[1].damages, 0);
	assert_ok(flush(1, rect_of(5, 40, 20, 10)));
	assert_memory_equal(&bench.seen[0].damage, &((struct virtio_gpu_rect){ 0, 20, 15, 10 }), 16);
	assert_memory_equal(&bench.seen[1].damage, &((struct virtio_gpu_rect){ 5, 40, 20, 10 }), 16);
	/* Beside what the first one shows; and nothing at all. */
	assert_ok(flush(1, rect_of(40, 0, 60, 50)));
	assert_ok(flush(1, rect_of(0, 0, 0, 0)));
	assert_int_equal(bench.seen[0].damages, 1);
	assert_int_equal(bench.seen[1].damages, 2);
	assert_int_equal(flush(1, rect_of(0, 0, 101, 50)), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(flush(1, rect_of(BIG, 0, 2, 50)), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(flush(2, rect_of(0, 0, 1, 1)), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_int_equal(bench.seen[1].damages, 2);
	end();
}

/* ---- order and fences ---- */

static void fences(void **state)
{
	struct virtio_gpu_flush request = { { VIRTIO_GPU_CMD_RESOURCE_FLUSH, 0, 0x1122334455667788, 9, 3 } };
	const struct virtio_gpu_header *header = &bench.answer.header;

	begin();
	for (unsigned flags = 0; flags < 4; flags++) {
		request.header.flags = flags | 0xf0;
		ask(CONTROL, &request, sizeof(request));
		assert_int_equal(header->flags, flags & 1 ? flags : 0);
		assert_int_equal(header->fence_id, flags & 1 ? 0x1122334455667788 : 0);
		assert_int_equal(header->ctx_id, flags & 1 ? 9 : 0);
		assert_int_equal(header->ring_idx, flags & 1 ? 3 : 0);
	}
	end();
}

/* Many at once, every third fenced: answered in the order in which they were asked. */
static void answers_keep_the_order(void **state)
{
	begin();
	for (unsigned packed = 0; packed < 2; packed++) {
		struct ring_driver *driver = &bench.driver[CONTROL];
		unsigned count = RING / 2;
		int ids[RING];

		stop(CONTROL);
		start(CONTROL, packed);
		for (unsigned i = 0; i < count; i++) {
			const struct virtio_gpu_create_2d request = {
				{ VIRTIO_GPU_CMD_RESOURCE_CREATE_2D, i % 3 == 0, i }, i + 1, BGRX, 8, 8
			};
			uint64_t at = REQUEST_AT + 128ull * i;
			const struct driver_element elements[] = { { at, sizeof(request), false },
								   { at + 64, 64, true } };

			memcpy(ring_driver_at(driver, at), &request, sizeof(request));
			ids[i] = ring_driver_add(driver, elements, 2, false);
		}
		ring_driver_kick(driver);
		for (unsigned i = 0; i < count; i++) {
			struct virtio_gpu_header header;
			uint32_t length;
			int id = -1;

			AWAIT((id = ring_driver_take(driver, &length)) >= 0, turn());
			assert_int_equal(id, ids[i]);
			memcpy(&header, ring_driver_at(driver, REQUEST_AT + 128ull * i + 64), sizeof(header));
			assert_int_equal(header.type, packed ? VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID
							     : VIRTIO_GPU_RESP_OK_NODATA);
			assert_int_equal(header.fence_id, i % 3 == 0 ? i : 0);
		}
	}
	end();
}

/* ---- cursor ---- */

static uint32_t cursor(uint32_t type, uint32_t scanout, int32_t x, int32_t y, uint32_t id, uint32_t hot)
{
	const struct virtio_gpu_update_cursor request = { { type }, scanout, x, y, 0, id, hot, hot + 1 };

	return ask(CURSOR, &request, sizeof(request));
}

static void cursors(void **state)
{
	const uint32_t update = VIRTIO_GPU_CMD_UPDATE_CURSOR, move = VIRTIO_GPU_CMD_MOVE_CURSOR;
	struct seen *seen = &bench.seen[1];
	uint32_t pixel = 0x80402010;

	begin();
	assert_ok(create_2d(1, VIRTIO_GPU_FORMAT_B8G8R8A8, 64, 64));
	assert_ok(create_2d(2, BGRX, 64, 64));
	assert_ok(create_2d(3, BGRX, 64, 63));
	put(BACKING_AT, &pixel, sizeof(pixel));
	assert_ok(attach_one(1, BACKING_AT, 64 * 64 * 4));
	assert_ok(attach_one(2, BACKING_AT, 64 * 64 * 4));
	assert_ok(transfer(1, rect_of(0, 0, 64, 64), 0));
	assert_ok(transfer(2, rect_of(0, 0, 64, 64), 0));
	assert_ok(cursor(update, 1, -5, 7, 1, 3));
	assert_int_equal(seen->cursor.x, -5);
	assert_int_equal(seen->cursor.y, 7);
	assert_int_equal(seen->cursor.hot_x, 3);
	assert_int_equal(seen->cursor.hot_y, 4);
	assert_false(seen->cursor.moved_only);
	assert_int_equal(seen->cursor_pixels[0], 0x80402010);
	assert_int_equal(seen->cursor_pixels[1], 0);
	assert_ok(cursor(move, 1, 8, 9, 0, 0));
	assert_true(seen->cursor.moved_only && seen->cursor.pixels);
	assert_int_equal(seen->cursor.x, 8);
	assert_int_equal(seen->cursor.hot_y, 4);
	/* Without alpha it is opaque. The cursor outlives its resource. */
	assert_ok(cursor(update, 1, 0, 0, 2, 62));
	assert_int_equal(seen->cursor_pixels[0], 0xff402010);
	assert_ok(unref(2));
	assert_ok(cursor(move, 1, 1, 1, 2, 0));
	assert_non_null(seen->cursor.pixels);
	assert_ok(cursor(update, 1, 0, 0, 0, 0));
	assert_null(seen->cursor.pixels);

	assert_int_equal(cursor(update, 1, 0, 0, 2, 0), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	assert_int_equal(cursor(update, 1, 0, 0, 3, 0), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(cursor(update, 1, 0, 0, 1, 63), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_int_equal(cursor(update, SCANOUTS, 0, 0, 1, 0), VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID);
	assert_int_equal(cursor(move, BIG, 0, 0, 1, 0), VIRTIO_GPU_RESP_ERR_INVALID_SCANOUT_ID);
	assert_int_equal(seen->cursors, 5);
	/* A cursor that is shown when the driver goes is hidden: end() looks. */
	assert_ok(cursor(update, 1, 0, 0, 1, 0));
	end();
}

/* Linux leaves no room for an answer there. */
static void cursors_without_an_answer(void **state)
{
	const struct virtio_gpu_update_cursor request = { { VIRTIO_GPU_CMD_MOVE_CURSOR }, 0, 3, 4 };

	begin();
	assert_int_equal(ask_bytes(CURSOR, &request, sizeof(request), 0), 0);
	assert_int_equal(bench.seen[0].cursor.y, 4);
	assert_int_equal(ask_bytes(CURSOR, &request, sizeof(request), 8), 8);
	assert_int_equal(bench.answer.bytes[8], UNTOUCHED);
	assert_false(bench.broken[CURSOR]);
	end();
}

/* ---- what is no command ---- */

static void unknown_and_short(void **state)
{
	static const uint32_t unknown[] = { 0,	   1,	  0xff,	 0x108, 0x109, 0x10b,  0x10e,
					    0x10f, 0x200, 0x207, 0x300, 0x301, 0x1100, BIG };
	static const uint32_t short_of[] = { 0x101, 0x102, 0x103, 0x104, 0x105,
					     0x106, 0x107, 0x10a, 0x10c, 0x10d };
	struct virtio_gpu_transfer request = { .resource_id = 1 };

	begin();
	for (unsigned i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		request.header.type = unknown[i];
		assert_int_equal(ask(CONTROL, &request, sizeof(request)), VIRTIO_GPU_RESP_ERR_UNSPEC);
	}
	for (unsigned i = 0; i < sizeof(short_of) / sizeof(short_of[0]); i++) {
		request.header.type = short_of[i];
		assert_int_equal(ask(CONTROL, &request, 31), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
		assert_int_equal(ask(CONTROL, &request, 23), VIRTIO_GPU_RESP_ERR_UNSPEC);
	}
	request.header.type = VIRTIO_GPU_CMD_GET_DISPLAY_INFO;
	assert_int_equal(ask(CURSOR, &request, sizeof(request)), VIRTIO_GPU_RESP_ERR_UNSPEC);
	request.header.type = VIRTIO_GPU_CMD_UPDATE_CURSOR;
	assert_int_equal(ask(CURSOR, &request, 55), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_false(bench.broken[CONTROL] || bench.broken[CURSOR]);
	end();
}

/* An answer is cut where its room ends, and nothing is written behind. */
static void little_room_for_the_answer(void **state)
{
	const struct virtio_gpu_get_edid request = { { VIRTIO_GPU_CMD_GET_EDID } };

	begin();
	for (uint32_t room = 24; room < 1056; room += 43) {
		assert_int_equal(ask_bytes(CONTROL, &request, sizeof(request), room), room);
		assert_int_equal(bench.answer.header.type, VIRTIO_GPU_RESP_OK_EDID);
		assert_int_equal(bench.answer.bytes[room], UNTOUCHED);
	}
	assert_int_equal(ask_bytes(CONTROL, &request, sizeof(request), ANSWER_BYTES), 1056);
	end();
}

/* Adds the chain and sees what becomes of it: true, it was answered; false, the ring broke. */
static bool is_answered(unsigned index, const struct driver_element *elements, unsigned count)
{
	bool answered = false;
	uint32_t length;

	assert_true(ring_driver_add(&bench.driver[index], elements, count, count > 8) >= 0);
	ring_driver_kick(&bench.driver[index]);
	AWAIT((answered = ring_driver_take(&bench.driver[index], &length) >= 0) || bench.broken[index],
	      turn());
	stop(index);
	start(index, false);
	return answered;
}

static void chains_without_room(void **state)
{
	static const struct driver_element readable[] = { { REQUEST_AT, 24, false } },
					   writable[] = { { REQUEST_AT, 2048, true } },
					   little[] = { { REQUEST_AT, 24, false }, { ANSWER_AT, 23, true } },
					   nowhere[] = { { REQUEST_AT, 24, false }, { OUTSIDE, 64, true } },
					   from_nowhere[] = { { OUTSIDE, 24, false },
							      { ANSWER_AT, 64, true } },
					   half[] = { { REQUEST_AT, 24, false },
						      { ANSWER_AT, 24, true },
						      { OUTSIDE, 4096, true } };

	begin();
	assert_false(is_answered(CONTROL, readable, 1));
	assert_false(is_answered(CONTROL, little, 2));
	assert_false(is_answered(CONTROL, nowhere, 2));
	assert_true(is_answered(CONTROL, writable, 1));
	assert_true(is_answered(CONTROL, from_nowhere, 2));
	assert_true(is_answered(CONTROL, half, 3));
	assert_true(is_answered(CURSOR, readable, 1));
	assert_true(is_answered(CURSOR, nowhere, 2));
	assert_false(is_answered(CURSOR, writable, 1));
	assert_false(is_answered(CURSOR, from_nowhere, 2));
	end();
}

/* In single bytes; and in more descriptors than any chain may have, which the ring code ends. */
static void many_descriptors(void **state)
{
	static struct split_descriptor table[1024];
	struct ring_driver *driver = &bench.driver[CONTROL];
	struct driver_element elements[32];
	uint8_t zeroes[24] = { 0 };

	begin();
	put(REQUEST_AT, zeroes, sizeof(zeroes));
	*ring_driver_at(driver, REQUEST_AT + 1) = 1; /* GET_DISPLAY_INFO */
	for (unsigned i = 0; i < 32; i++)
		elements[i] = (struct driver_element){ i < 24 ? REQUEST_AT + i : ANSWER_AT + 64ull * i,
						       i < 24 ? 1 : 64, i >= 24 };
	assert_true(is_answered(CONTROL, elements, 32));
	for (unsigned i = 0; i < 1024; i++)
		table[i] = (struct split_descriptor){ REQUEST_AT, 24, DESCRIPTOR_NEXT, (uint16_t)(i + 1) };
	put(BACKING_AT, table, sizeof(table));
	ring_driver_split_descriptors(driver)[0] =
		(struct split_descriptor){ BACKING_AT, sizeof(table), DESCRIPTOR_INDIRECT, 0 };
	ring_driver_available(driver)->idx++;
	ring_driver_kick(driver);
	AWAIT(bench.broken[CONTROL], turn());
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resources),
		cmocka_unit_test(resources_by_id),
		cmocka_unit_test(scanouts),
		cmocka_unit_test(scanouts_that_are_none),
		cmocka_unit_test(unref_of_what_is_shown),
		cmocka_unit_test(flushes),
		cmocka_unit_test(fences),
		cmocka_unit_test(answers_keep_the_order),
		cmocka_unit_test(cursors),
		cmocka_unit_test(cursors_without_an_answer),
		cmocka_unit_test(unknown_and_short),
		cmocka_unit_test(little_room_for_the_answer),
		cmocka_unit_test(chains_without_room),
		cmocka_unit_test(many_descriptors),
	};

	return cmocka_run_group_tests_name("virtio_gpu", tests, NULL, NULL);
}
