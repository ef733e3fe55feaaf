/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a successor gets of a display; and files that are not as they should be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/display/virtio_gpu.h"
#include "devices/display/virtio_gpu_format.h"
#include "gpu_bench.h"
#include "test_disk.h"

#define BGRX	VIRTIO_GPU_FORMAT_B8G8R8X8
#define RGBA	VIRTIO_GPU_FORMAT_R8G8B8A8
#define SHOWN	7u
#define SHOWN_2 9u
#define POINTER 1000u
#define BARE	UINT32_MAX
#define WIDTH	40u
#define HEIGHT	30u
#define DAMAGES 2000u
#define BLOB	4u

static void fill(uint64_t gpa, unsigned pixels, uint32_t seed)
{
	for (unsigned i = 0; i < pixels; i++)
		put(gpa + i * 4ul, &(uint32_t){ (seed + i) * 2654435761u }, 4);
}

/* Two pictures, one of which has a backing in three pieces, a cursor, and a resource that has nothing. */
static void make_much(void)
{
	const struct virtio_gpu_entry pieces[] = { { BACKING_AT, 4000 },
						   { BACKING_AT + 8000, 0 },
						   { BACKING_AT + 4000, 800 } };

	fill(BACKING_AT, WIDTH * HEIGHT, 1);
	assert_ok(create_2d(BARE, RGBA, 3, 5));
	assert_ok(create_2d(SHOWN, BGRX, WIDTH, HEIGHT));
	assert_ok(attach(SHOWN, pieces, 3));
	assert_ok(transfer(SHOWN, rect_of(0, 0, WIDTH, HEIGHT), 0));
	assert_ok(create_2d(SHOWN_2, RGBA, WIDTH, HEIGHT));
	assert_ok(attach_one(SHOWN_2, BACKING_AT, WIDTH * HEIGHT * 4));
	assert_ok(transfer(SHOWN_2, rect_of(0, 0, WIDTH, HEIGHT), 0));
	assert_ok(detach(SHOWN_2));
	assert_ok(set_scanout(0, SHOWN, rect_of(0, 0, WIDTH, HEIGHT)));
	assert_ok(set_scanout(2, SHOWN_2, rect_of(5, 6, 7, 8)));
	assert_ok(create_2d(POINTER, RGBA, 64, 64));
	assert_ok(attach_one(POINTER, BACKING_AT, 64 * 64 * 4));
	assert_ok(transfer(POINTER, rect_of(0, 0, 64, 64), 0));
	assert_ok(ask(CURSOR,
		      &(struct virtio_gpu_update_cursor){
			      { VIRTIO_GPU_CMD_UPDATE_CURSOR }, 2, -5, 6, 0, POINTER, 3, 4, 0 },
		      sizeof(struct virtio_gpu_update_cursor)));
	assert_int_equal(virtio_gpu_set_size(bench.device, 1, 1920, 1080, true), 0);
}

/* The same, and a blob that a scanout shows a part of. */
static void make_blobs_too(void)
{
	const struct {
		struct virtio_gpu_create_blob head;
		struct virtio_gpu_entry entry;
	} create = { { { VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB }, BLOB, 1, 0, 1, 0, WIDTH * HEIGHT * 4 },
		     { BACKING_AT, WIDTH * HEIGHT * 4 } };
	const struct virtio_gpu_set_scanout_blob view = {
		.header = { VIRTIO_GPU_CMD_SET_SCANOUT_BLOB },
		.rect = { 3, 4, 20, 10 },
		.scanout_id = 1,
		.resource_id = BLOB,
		.width = 30,
		.height = 20,
		.format = BGRX,
		.stride_bytes = { WIDTH * 4 },
		.offset_bytes = { 8 },
	};

	make_much();
	assert_ok(ask(CONTROL, &create, sizeof(create)));
	assert_ok(ask(CONTROL, &view, sizeof(view)));
}

/* What was seen, beside what a successor has seen shown. */
static void expect_seen(const struct seen *before, const struct seen *now)
{
	assert_int_equal(before->picture != NULL, now->picture != NULL);
	assert_int_equal(before->cursor.pixels != NULL, now->cursor.pixels != NULL);
	assert_int_equal(before->cursor.x, now->cursor.x);
	assert_int_equal(before->cursor.y, now->cursor.y);
	assert_int_equal(before->cursor.hot_x, now->cursor.hot_x);
	assert_int_equal(before->cursor.hot_y, now->cursor.hot_y);
	assert_memory_equal(before->cursor_pixels, now->cursor_pixels, sizeof(now->cursor_pixels));
	if (!now->picture)
		return;
	assert_int_equal(before->picture->width, now->picture->width);
	assert_int_equal(before->picture->height, now->picture->height);
	for (unsigned y = 0; y < now->picture->height; y++)
		assert_memory_equal(before->picture->pixels + y * before->picture->stride_bytes / 4,
				    now->picture->pixels + y * now->picture->stride_bytes / 4,
				    now->picture->width * 4ul);
}

/* The queues stop; another device goes on with what the file says, on the same rings begun anew. */
static void hand_over(bool packed)
{
	struct virtio_gpu *old = bench.device,
			  *new = make_device((struct virtio_gpu_options){ .serial = "a" });
	struct seen before[SCANOUTS];
	int file;

	end_queues();
	file = virtio_gpu_save(old);
	assert_true(file >= 0);
	memcpy(before, bench.seen, sizeof(before));
	memset(bench.seen, 0, sizeof(bench.seen));
	assert_int_equal(virtio_gpu_restore(new, file), 0);
	for (unsigned i = 0; i < SCANOUTS; i++) {
		expect_seen(&before[i], &bench.seen[i]);
		virtio_gpu_picture_put(before[i].picture);
	}
	close(file);
	memcpy(before, bench.seen, sizeof(before));
	memset(bench.seen, 0, sizeof(bench.seen));
	virtio_gpu_destroy(old);
	memcpy(bench.seen, before, sizeof(before));
	begin_on(new, packed);
}

static void all_of_it(void **state)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		begin_with((struct virtio_gpu_options){ .serial = "alice" }, packed);
		make_much();
		for (unsigned i = 0; i < 3; i++)
			hand_over(packed);
		/* The driver goes on: names are taken, backings are there, limits are as they were. */
		assert_int_equal(create_2d(BARE, RGBA, 3, 5), VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
		fill(BACKING_AT, WIDTH * HEIGHT, 77);
		assert_ok(transfer(SHOWN, rect_of(3, 29, 30, 1), (29 * WIDTH + 3) * 4));
		assert_ok(flush(SHOWN, rect_of(3, 29, 30, 1)));
		assert_int_equal(bench.seen[0].damages, 1);
		assert_int_equal(bench.seen[0].picture->pixels[29 * WIDTH + 3] & 0xffffff,
				 ((77u + 29 * WIDTH + 3) * 2654435761u) & 0xffffff);
		assert_int_equal(transfer(SHOWN_2, rect_of(0, 0, 1, 1), 0), VIRTIO_GPU_RESP_ERR_UNSPEC);
		assert_ok(unref(SHOWN_2));
		assert_null(bench.seen[2].picture);
		assert_int_equal(ask(CONTROL, &(struct virtio_gpu_header){ VIRTIO_GPU_CMD_GET_DISPLAY_INFO },
				     sizeof(struct virtio_gpu_header)),
				 VIRTIO_GPU_RESP_OK_DISPLAY_INFO);
		assert_int_equal(bench.answer.display_info.mode[1].rect.width, 1920);
		assert_int_equal(bench.answer.display_info.mode[1].enabled, 1);
		end();
	}
}

static void blobs(void **state)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		begin_with((struct virtio_gpu_options){ .serial = "alice" }, packed);
		make_blobs_too();
		/* What is not flushed is not handed over. */
		fill(BACKING_AT, WIDTH * HEIGHT, 55);
		for (unsigned i = 0; i < 2; i++)
			hand_over(packed);
		assert_int_equal(bench.seen[1].picture->pixels[0] & 0xffffff,
				 ((1u + 2 + 4 * WIDTH + 3) * 2654435761u) & 0xffffff);
		fill(BACKING_AT, WIDTH * HEIGHT, 77);
		assert_ok(flush(BLOB, rect_of(0, 0, 30, 20)));
		assert_int_equal(bench.seen[1].picture->pixels[0] & 0xffffff,
				 ((77u + 2 + 4 * WIDTH + 3) * 2654435761u) & 0xffffff);
		assert_ok(unref(BLOB));
		assert_null(bench.seen[1].picture);
		end();
	}
}

/* ---- files that are not as they should be ---- */

static int copy_of(const uint8_t *bytes, size_t count)
{
	int file = memfd_create("damaged", MFD_CLOEXEC);

	assert_true(file >= 0);
	assert_int_equal(pwrite(file, bytes, count, 0), count);
	return file;
}

/* It is taken over or refused, and then the device is as new. */
static int restore_damaged(const uint8_t *bytes, size_t count)
{
	struct virtio_gpu *device = make_device((struct virtio_gpu_options){ .serial = "a" });
	int file = copy_of(bytes, count), code = virtio_gpu_restore(device, file);

	close(file);
	for (unsigned i = 0; code && i < SCANOUTS; i++) {
		assert_null(bench.seen[i].picture);
		assert_null(bench.seen[i].cursor.pixels);
	}
	virtio_gpu_destroy(device);
	return code;
}

static void damage_files(void (*make)(void))
{
	uint64_t seed = test_seed("virtio_gpu_handover");
	struct stat info;
	uint8_t *bytes, *damaged;
	int file;

	begin();
	make();
	stop(CONTROL);
	stop(CURSOR);
	file = virtio_gpu_save(bench.device);
	assert_int_equal(fstat(file, &info), 0);
	bytes = malloc((size_t)info.st_size);
	damaged = malloc((size_t)info.st_size);
	assert_int_equal(pread(file, bytes, (size_t)info.st_size, 0), info.st_size);
	close(file);
	for (unsigned i = 0; i < SCANOUTS; i++)
		virtio_gpu_picture_put(bench.seen[i].picture);
	memset(bench.seen, 0, sizeof(bench.seen));
	assert_int_equal(restore_damaged(bytes, (size_t)info.st_size), 0);
	/* Cut short, at any place. */
	for (unsigned i = 0; i < DAMAGES; i++)
		assert_int_not_equal(restore_damaged(bytes, test_below(&seed, (uint32_t)info.st_size)), 0);
	for (unsigned i = 0; i < DAMAGES; i++) {
		memcpy(damaged, bytes, (size_t)info.st_size);
		/* Most of it is pixels, which can be anything. */
		damaged[test_below(&seed, 2000)] = (uint8_t)test_below(&seed, 256);
		restore_damaged(damaged, (size_t)info.st_size);
	}
	free(damaged);
	free(bytes);
	memset(bench.seen, 0, sizeof(bench.seen));
	virtio_gpu_destroy(bench.device);
	loop_account_close(bench.account);
	loop_guest_put(bench.guest);
	loop_turn(bench.loop, 0);
	loop_destroy(bench.loop);
}

static void damaged_files(void **state)
{
	damage_files(make_much);
	damage_files(make_blobs_too);
}

/* Of a successor with other limits, or of another device. */
static void what_does_not_fit(void **state)
{
	struct virtio_gpu_options options = { .scanouts = SCANOUTS + 1,
					      .output = &output,
					      .context = &bench };
	struct virtio_gpu *other;
	int file;

	begin();
	make_much();
	end_queues();
	file = virtio_gpu_save(bench.device);
	assert_int_equal(virtio_gpu_create(&options, &other), 0);
	assert_int_equal(virtio_gpu_restore(other, file), -EBADMSG);
	virtio_gpu_destroy(other);
	options.scanouts = SCANOUTS;
	options.pixel_bytes_max = WIDTH * HEIGHT * 4;
	assert_int_equal(virtio_gpu_create(&options, &other), 0);
	assert_int_equal(virtio_gpu_restore(other, file), -ENOMEM);
	virtio_gpu_destroy(other);
	close(file);
	begin_on(bench.device, false);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_of_it),
		cmocka_unit_test(blobs),
		cmocka_unit_test(damaged_files),
		cmocka_unit_test(what_does_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
