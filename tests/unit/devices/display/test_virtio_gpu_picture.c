/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An output that reads pictures on a thread of its own, while the guest frees what it showed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "core/reaper.h"
#include "devices/display/virtio_gpu.h"
#include "devices/display/virtio_gpu_format.h"
#include "gpu_bench.h"

#define BGRA	 VIRTIO_GPU_FORMAT_B8G8R8A8
#define PICTURES 200u
/* With a mapping of its own, and without. */
#define LARGE_SIDE 300u
#define SMALL_SIDE 20u
#define COLOUR	   0x00c0ffeeu

/* A picture that waits for the thread, and what the thread has seen. */
static struct {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t news;
	struct virtio_gpu_picture *waiting;
	bool ended;
	unsigned read;	/* atomic: pictures */
	unsigned wrong; /* pixels */
} reader = { .lock = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER };

static struct virtio_gpu_picture *next_picture(void)
{
	struct virtio_gpu_picture *picture;

	pthread_mutex_lock(&reader.lock);
	while (!reader.waiting && !reader.ended)
		pthread_cond_wait(&reader.news, &reader.lock);
	picture = reader.waiting;
	reader.waiting = NULL;
	pthread_mutex_unlock(&reader.lock);
	return picture;
}

static void *read_pictures(void *unused)
{
	struct virtio_gpu_picture *picture;

	while ((picture = next_picture())) {
		for (unsigned y = 0; y < picture->height; y++)
			for (unsigned x = 0; x < picture->width; x++)
				reader.wrong += picture->pixels[y * picture->stride_bytes / 4 + x] != COLOUR;
		virtio_gpu_picture_put(picture);
		__atomic_add_fetch(&reader.read, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void hand_over(struct virtio_gpu_picture *picture)
{
	struct virtio_gpu_picture *replaced;

	pthread_mutex_lock(&reader.lock);
	replaced = reader.waiting;
	reader.waiting = virtio_gpu_picture_get(picture);
	pthread_cond_signal(&reader.news);
	pthread_mutex_unlock(&reader.lock);
	virtio_gpu_picture_put(replaced);
}

static void start_reader(void)
{
	reader.ended = false;
	reader.read = reader.wrong = 0;
	assert_int_equal(pthread_create(&reader.thread, NULL, read_pictures, NULL), 0);
}

/* It reads what waits. */
static void end_reader(void)
{
	pthread_mutex_lock(&reader.lock);
	reader.ended = true;
	pthread_cond_signal(&reader.news);
	pthread_mutex_unlock(&reader.lock);
	pthread_join(reader.thread, NULL);
	assert_int_equal(reader.wrong, 0);
}

/* The guest's memory has one colour. */
static void fill(void)
{
	const uint32_t colour = COLOUR;

	for (uint64_t at = 0; at < BACKING_BYTES; at += 4)
		put(BACKING_AT + at, &colour, 4);
}

static void show_one(uint32_t id, unsigned side)
{
	const struct virtio_gpu_rect all = { 0, 0, side, side };

	assert_ok(create_2d(id, BGRA, side, side));
	assert_ok(attach_one(id, BACKING_AT, BACKING_BYTES));
	assert_ok(transfer(id, all, 0));
	assert_ok(set_scanout(0, id, all));
	hand_over(bench.seen[0].picture);
	assert_ok(unref(id));
}

static void pictures_outlive_their_resources(void **state)
{
	assert_int_equal(reaper_start(), 0);
	begin();
	fill();
	start_reader();
	for (uint32_t id = 1; id <= PICTURES; id++)
		show_one(id, id % 2 ? LARGE_SIDE : SMALL_SIDE);
	AWAIT(__atomic_load_n(&reader.read, __ATOMIC_ACQUIRE) > 0, turn());
	/* The last one outlives the device, too. */
	show_one(1, LARGE_SIDE);
	end();
	end_reader();
	reaper_stop();
}

/* The guest has all of its pixels again when the thread has let go. */
static void pixels_come_back(void **state)
{
	begin_with((struct virtio_gpu_options){ .pixel_bytes_max = LARGE_SIDE * LARGE_SIDE * 4 }, false);
	fill();
	start_reader();
	for (uint32_t id = 1; id <= PICTURES / 4; id++) {
		show_one(id, LARGE_SIDE);
		AWAIT(__atomic_load_n(&reader.read, __ATOMIC_ACQUIRE) == id, turn());
	}
	end_reader();
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pictures_outlive_their_resources),
		cmocka_unit_test(pixels_come_back),
	};

	return cmocka_run_group_tests_name("virtio_gpu_picture", tests, NULL, NULL);
}
