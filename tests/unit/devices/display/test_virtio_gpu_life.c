/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Limits of one guest, what becomes of everything when its driver goes, and of memory that changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "gpu_bench.h"

#define BGRA	   VIRTIO_GPU_FORMAT_B8G8R8A8
#define MIB	   (1u << 20)
#define LARGE_SIDE 2048u /* 16 MiB */

/* ---- limits ---- */

static void limits_of_pixels(void **state)
{
	struct virtio_gpu_picture *kept;

	begin_with((struct virtio_gpu_options){ .pixel_bytes_max = MIB }, false);
	assert_ok(create_2d(1, BGRA, 512, 256));
	assert_int_equal(create_2d(2, BGRA, 512, 257), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	assert_ok(create_2d(2, BGRA, 512, 256));
	assert_int_equal(create_2d(3, BGRA, 1, 1), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	assert_ok(unref(1));
	assert_ok(create_2d(1, BGRA, 512, 255));
	assert_ok(unref(1));
	assert_ok(unref(2));
	/* Pixels that the output still reads count. */
	assert_ok(create_2d(1, BGRA, 512, 512));
	assert_ok(set_scanout(0, 1, rect_of(0, 0, 512, 512)));
	kept = virtio_gpu_picture_get(bench.seen[0].picture);
	assert_ok(unref(1));
	assert_int_equal(create_2d(1, BGRA, 1, 1), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	virtio_gpu_picture_put(kept);
	assert_ok(create_2d(1, BGRA, 512, 512));
	end();
}

/* One that fits exactly, and which costs nothing while nothing is drawn. */
static void the_largest_resource(void **state)
{
	begin();
	assert_ok(create_2d(1, BGRA, VIRTIO_GPU_SIDE_MAX, VIRTIO_GPU_SIDE_MAX));
	assert_int_equal(create_2d(2, BGRA, 1, 1), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	assert_ok(attach_one(1, BACKING_AT, BACKING_BYTES));
	*ring_driver_at(&bench.driver[CONTROL], BACKING_AT) = 0x5a;
	assert_ok(transfer(1, rect_of(VIRTIO_GPU_SIDE_MAX - 1, VIRTIO_GPU_SIDE_MAX - 1, 1, 1), 0));
	assert_ok(set_scanout(0, 1, rect_of(VIRTIO_GPU_SIDE_MAX - 1, VIRTIO_GPU_SIDE_MAX - 1, 1, 1)));
	assert_int_equal(bench.seen[0].picture->pixels[0], 0x5a);
	end();
}

static void limits_of_resources(void **state)
{
	begin_with((struct virtio_gpu_options){ .resources_max = 5 }, false);
	for (uint32_t i = 1; i <= 5; i++)
		assert_ok(create_2d(i, BGRA, 1, 1));
	assert_int_equal(create_2d(6, BGRA, 1, 1), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	assert_ok(unref(3));
	assert_ok(create_2d(6, BGRA, 1, 1));
	assert_int_equal(create_2d(3, BGRA, 1, 1), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	end();
}

static void limits_of_entries(void **state)
{
	struct virtio_gpu_entry entries[10];

	for (unsigned i = 0; i < 10; i++)
		entries[i] = (struct virtio_gpu_entry){ BACKING_AT, 4 };
	begin_with((struct virtio_gpu_options){ .all_entries_max = 10 }, false);
	assert_ok(create_2d(1, BGRA, 1, 1));
	assert_ok(create_2d(2, BGRA, 1, 1));
	assert_ok(attach(1, entries, 6));
	assert_int_equal(attach(2, entries, 5), VIRTIO_GPU_RESP_ERR_OUT_OF_MEMORY);
	assert_ok(attach(2, entries, 4));
	assert_ok(detach(1));
	/* What is refused gives back what it had. */
	entries[5].gpa = UINT64_MAX;
	assert_int_equal(attach(1, entries, 6), VIRTIO_GPU_RESP_ERR_INVALID_PARAMETER);
	assert_ok(attach(1, entries, 5));
	assert_ok(unref(1));
	assert_ok(unref(2));
	assert_ok(create_2d(1, BGRA, 1, 1));
	entries[5].gpa = BACKING_AT;
	assert_ok(attach(1, entries, 10));
	end();
}

static void devices_that_are_none(void **state)
{
	struct virtio_gpu_options options = { .output = &output };
	struct virtio_gpu *device = NULL;

	assert_int_equal(virtio_gpu_create(&options, &device), -EINVAL);
	options.scanouts = VIRTIO_GPU_SCANOUTS_MAX + 1;
	assert_int_equal(virtio_gpu_create(&options, &device), -EINVAL);
	assert_null(device);
	virtio_gpu_destroy(NULL);
	virtio_gpu_picture_put(NULL);
}

/* ---- a driver that goes ---- */

static void a_reset_drops_all(void **state)
{
	const struct virtio_gpu_update_cursor show = { { VIRTIO_GPU_CMD_UPDATE_CURSOR }, 0, 1, 1, 0, 2 };
	const struct virtio_gpu_update_cursor move = { { VIRTIO_GPU_CMD_MOVE_CURSOR }, 0, 2, 2 };

	begin_with((struct virtio_gpu_options){ .pixel_bytes_max = MIB, .all_entries_max = 1 }, false);
	for (unsigned round = 0; round < 3; round++) {
		assert_ok(create_2d(1, BGRA, 512, 256));
		assert_ok(create_2d(2, BGRA, 64, 64));
		assert_ok(attach_one(1, BACKING_AT, 4096));
		assert_ok(set_scanout(0, 1, rect_of(0, 0, 512, 256)));
		assert_ok(set_scanout(2, 1, rect_of(0, 0, 512, 256)));
		assert_ok(ask(CURSOR, &show, sizeof(show)));
		assert_int_equal(virtio_gpu_set_size(bench.device, 0, 100 + round, 100, true), 0);
		stop(CONTROL);
		stop(CURSOR);
		/* Queues that stop keep what the driver made. */
		assert_non_null(bench.seen[0].picture);
		virtio_gpu_model.reset(bench.device);
		assert_null(bench.seen[0].picture);
		assert_null(bench.seen[2].picture);
		assert_null(bench.seen[0].cursor.pixels);
		assert_int_equal(bench.seen[1].shows, 0);
		start(CONTROL, round & 1);
		start(CURSOR, round & 1);
		assert_int_equal(unref(1), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
		assert_ok(ask(CURSOR, &move, sizeof(move)));
		assert_null(bench.seen[0].cursor.pixels);
	}
	end();
}

/* A guest that pauses goes on with its resources. */
static void queues_that_stop_keep_resources(void **state)
{
	begin();
	assert_ok(create_2d(1, BGRA, 4, 4));
	assert_ok(set_scanout(0, 1, rect_of(0, 0, 4, 4)));
	stop(CONTROL);
	start(CONTROL, true);
	assert_ok(flush(1, rect_of(0, 0, 4, 4)));
	assert_int_equal(bench.seen[0].damages, 1);
	assert_int_equal(bench.seen[0].shows, 1);
	end();
}

/* As a front end starts it where it stopped, which is where a new one begins. */
static void start_at_the_beginning(bool packed, bool touched)
{
	struct ring_driver *driver = &bench.driver[CONTROL];
	struct virtqueue_setup setup;

	stop(CONTROL);
	ring_driver_init(driver, packed, RING, 1ull << VIRTIO_RING_F_INDIRECT);
	if (touched && packed)
		ring_driver_packed_descriptors(driver)[RING - 1].length = 24;
	else if (touched)
		ring_driver_used(driver)->ring[RING - 1].length = 24;
	setup = ring_driver_setup(driver);
	setup.index = CONTROL;
	setup.loop = bench.loop;
	setup.account = bench.account;
	setup.model = &virtio_gpu_model;
	setup.device = bench.device;
	setup.broken = on_broken;
	setup.context = &bench.broken[CONTROL];
	setup.has_served = true;
	assert_int_equal(virtqueue_start(&setup, &bench.queue[CONTROL]), 0);
}

/* A pause at an index of 0 loses nothing, and a driver that begins there finds nothing: the ring tells. */
static void a_ring_that_ends_where_one_begins(void **state)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		begin_with((struct virtio_gpu_options){ .serial = "alice" }, packed);
		assert_ok(create_2d(1, BGRA, 4, 4));
		start_at_the_beginning(packed, true);
		assert_int_equal(create_2d(1, BGRA, 4, 4), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
		start_at_the_beginning(packed, false);
		assert_ok(create_2d(1, BGRA, 4, 4));
		end();
	}
}

static void queues_run_on_one_worker(void **state)
{
	const struct loop_options options = { .name = "other" };
	struct virtio_queue_setup setup = { .index = CURSOR };
	void *queue = NULL;

	begin();
	stop(CURSOR);
	assert_int_equal(loop_create(&options, &setup.loop), 0);
	assert_int_equal(virtio_gpu_model.queue_start(bench.device, &setup, &queue), -EBUSY);
	loop_destroy(setup.loop);
	start(CURSOR, false);
	end();
}

/* ---- memory that changes ---- */

/* A resource of 16 MiB backed by the same mebibyte again and again, and its transfer, which is under way. */
static void begin_large_transfer(void)
{
	const struct virtio_gpu_transfer request = {
		{ VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D }, { 0, 0, LARGE_SIDE, LARGE_SIDE }, 0, 1
	};
	const struct driver_element elements[] = { { REQUEST_AT, sizeof(request), false },
						   { ANSWER_AT, ANSWER_BYTES, true } };
	struct virtio_gpu_entry entries[16];
	uint32_t length;

	for (unsigned i = 0; i < 16; i++)
		entries[i] = (struct virtio_gpu_entry){ BORDER, MIB };
	*ring_driver_at(&bench.driver[CONTROL], BORDER + MIB - 1) = 0x11;
	assert_ok(create_2d(1, BGRA, LARGE_SIDE, LARGE_SIDE));
	assert_ok(attach(1, entries, 16));
	assert_ok(set_scanout(0, 1, rect_of(0, 0, LARGE_SIDE, LARGE_SIDE)));
	put(REQUEST_AT, &request, sizeof(request));
	assert_true(ring_driver_add(&bench.driver[CONTROL], elements, 2, false) >= 0);
	ring_driver_kick(&bench.driver[CONTROL]);
	AWAIT(bench.seen[0].picture->pixels[MIB / 4 - 1] == 0x11000000, turn());
	/* A turn does some 64 KiB, and never all that is left. */
	assert_int_equal(ring_driver_take(&bench.driver[CONTROL], &length), -1);
}

static void assert_large_transfer_ends(void)
{
	const uint32_t *pixels = bench.seen[0].picture->pixels;

	await_answer(CONTROL);
	assert_ok(bench.answer.header.type);
	for (unsigned i = 1; i <= 16; i++)
		assert_int_equal(pixels[i * (MIB / 4) - 1], 0x11000000);
}

static void on_released(void *context)
{
	*(bool *)context = true;
}

/* The old memory is let go of at once, and the command is carried out from the new one. */
static void memory_changes_in_a_transfer(void **state)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		struct guest_memory *new;
		bool released = false;

		begin_with((struct virtio_gpu_options){ 0 }, packed);
		begin_large_transfer();
		new = ring_driver_map(&bench.driver[CONTROL]);
		virtqueue_set_memory(bench.queue[CONTROL], new, on_released, &released);
		guest_memory_put(new);
		assert_true(released);
		assert_large_transfer_ends();
		end();
	}
}

/* A stop does not wait for the transfer, and the next queue does it. */
static void a_stop_in_a_transfer(void **state)
{
	struct virtqueue_setup setup;
	bool stopped = false;

	begin();
	begin_large_transfer();
	virtqueue_stop(bench.queue[CONTROL], on_stopped, &stopped);
	AWAIT(stopped, turn());
	virtqueue_destroy(bench.queue[CONTROL]);
	setup = ring_driver_setup(&bench.driver[CONTROL]);
	setup.loop = bench.loop;
	setup.account = bench.account;
	setup.model = &virtio_gpu_model;
	setup.device = bench.device;
	setup.broken = on_broken;
	setup.context = &bench.broken[CONTROL];
	assert_int_equal(virtqueue_start(&setup, &bench.queue[CONTROL]), 0);
	assert_large_transfer_ends();
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_of_pixels),
		cmocka_unit_test(the_largest_resource),
		cmocka_unit_test(limits_of_resources),
		cmocka_unit_test(limits_of_entries),
		cmocka_unit_test(devices_that_are_none),
		cmocka_unit_test(a_reset_drops_all),
		cmocka_unit_test(queues_that_stop_keep_resources),
		cmocka_unit_test(a_ring_that_ends_where_one_begins),
		cmocka_unit_test(queues_run_on_one_worker),
		cmocka_unit_test(memory_changes_in_a_transfer),
		cmocka_unit_test(a_stop_in_a_transfer),
	};

	return cmocka_run_group_tests_name("virtio_gpu_life", tests, NULL, NULL);
}
