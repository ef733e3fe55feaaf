/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A display on two real rings, its guest and its output, to be included by one program. The guest's requests
 * and answers lie in the first region of its memory, what backs resources around the border to the second.
 */
#ifndef VIADUCT_TESTS_SUPPORT_GPU_BENCH_H
#define VIADUCT_TESTS_SUPPORT_GPU_BENCH_H

#include <string.h>

#include "core/clock.h"
#include "core/loop.h"
#include "core/loop_account.h"
#include "core/memory_guard.h"
#include "devices/display/virtio_gpu.h"
#include "devices/display/virtio_gpu_format.h"
#include "patience.h"
#include "ring_driver.h"

#define CONTROL	      0u
#define CURSOR	      1u
#define RING	      64u
#define REQUEST_AT    (DRIVER_GUEST_BASE + DRIVER_DATA_OFFSET)
#define REQUEST_BYTES (272u << 10) /* with as many entries as there may be */
#define ANSWER_AT     (REQUEST_AT + REQUEST_BYTES)
#define ANSWER_BYTES  2048u
#define BORDER	      (DRIVER_GUEST_BASE + DRIVER_REGION_BYTES)
#define BACKING_AT    (BORDER - (128u << 10))
#define BACKING_BYTES ((128u << 10) + DRIVER_REGION_BYTES)
#define OUTSIDE	      (DRIVER_GUEST_BASE + 2 * DRIVER_REGION_BYTES)
#define SCANOUTS      3u
#define UNTOUCHED     0xa5

/* What an output was told. */
struct seen {
	struct virtio_gpu_picture *picture; /* a reference */
	unsigned shows, damages, cursors;
	struct virtio_gpu_rect damage;
	struct virtio_gpu_cursor cursor;
	uint32_t cursor_pixels[VIRTIO_GPU_CURSOR_SIDE * VIRTIO_GPU_CURSOR_SIDE];
};

static struct bench {
	struct loop *loop;
	struct loop_guest *guest;
	struct loop_account *account;
	struct virtio_gpu *device;
	struct ring_driver driver[2];
	struct virtqueue *queue[2];
	bool broken[2];
	struct seen seen[SCANOUTS];
	union {
		struct virtio_gpu_header header;
		struct virtio_gpu_display_info display_info;
		struct virtio_gpu_edid edid;
		uint8_t bytes[ANSWER_BYTES];
	} answer;
} bench;

/* ---- the output ---- */

static void on_show(void *context, unsigned scanout, struct virtio_gpu_picture *picture)
{
	struct seen *seen = &bench.seen[scanout];

	assert_ptr_equal(context, &bench);
	virtio_gpu_picture_put(seen->picture);
	seen->picture = picture ? virtio_gpu_picture_get(picture) : NULL;
	seen->shows++;
}

static void on_damage(void *context, unsigned scanout, const struct virtio_gpu_rect *rect)
{
	struct seen *seen = &bench.seen[scanout];

	assert_non_null(seen->picture);
	assert_true(rect->width > 0 && rect->height > 0);
	assert_true(rect->x + rect->width <= seen->picture->width);
	assert_true(rect->y + rect->height <= seen->picture->height);
	seen->damages++;
	seen->damage = *rect;
}

static void on_cursor(void *context, unsigned scanout, const struct virtio_gpu_cursor *cursor)
{
	struct seen *seen = &bench.seen[scanout];

	seen->cursors++;
	seen->cursor = *cursor;
	if (cursor->pixels && !cursor->moved_only)
		memcpy(seen->cursor_pixels, cursor->pixels, sizeof(seen->cursor_pixels));
}

static inline void on_absent(void *context)
{
}

static const struct virtio_gpu_output_ops output = { on_show, on_damage, on_cursor, on_absent };

/* ---- life ---- */

static inline void on_broken(void *context, enum virtqueue_violation violation, uint64_t value)
{
	*(bool *)context = true;
}

static inline void turn(void)
{
	assert_int_equal(loop_turn(bench.loop, NS_PER_MS / 4), 0);
}

static inline void start(unsigned index, bool packed)
{
	struct virtqueue_setup setup;

	ring_driver_init(&bench.driver[index], packed, RING, 1ull << VIRTIO_RING_F_INDIRECT);
	setup = ring_driver_setup(&bench.driver[index]);
	setup.index = index;
	setup.loop = bench.loop;
	setup.account = bench.account;
	setup.model = &virtio_gpu_model;
	setup.device = bench.device;
	setup.broken = on_broken;
	setup.context = &bench.broken[index];
	assert_int_equal(virtqueue_start(&setup, &bench.queue[index]), 0);
}

static inline void on_stopped(void *context, const struct virtqueue_position *position)
{
	*(bool *)context = true;
}

static inline void stop(unsigned index)
{
	bool stopped = false;

	virtqueue_stop(bench.queue[index], on_stopped, &stopped);
	AWAIT(stopped, turn());
	virtqueue_destroy(bench.queue[index]);
	ring_driver_finish(&bench.driver[index]);
	bench.broken[index] = false;
}

/* The device is the caller's, and its output too. */
static inline void begin_on(struct virtio_gpu *device, bool packed)
{
	const struct loop_options loop = { .name = "test" };

	assert_int_equal(memory_guard_install(), 0);
	assert_int_equal(loop_create(&loop, &bench.loop), 0);
	bench.device = device;
	bench.guest = loop_guest_create();
	bench.account = loop_account_create(bench.guest, bench.loop);
	start(CONTROL, packed);
	start(CURSOR, packed);
}

static inline struct virtio_gpu *make_device(struct virtio_gpu_options options)
{
	struct virtio_gpu *device;

	options.scanouts = SCANOUTS;
	options.output = &output;
	options.context = &bench;
	assert_int_equal(virtio_gpu_create(&options, &device), 0);
	return device;
}

static inline void begin_with(struct virtio_gpu_options options, bool packed)
{
	memset(&bench, 0, sizeof(bench));
	begin_on(make_device(options), packed);
}

static inline void begin(void)
{
	begin_with((struct virtio_gpu_options){ .serial = "alice" }, false);
}

/* What begin_on() began. */
static inline void end_queues(void)
{
	stop(CONTROL);
	stop(CURSOR);
	loop_account_close(bench.account);
	loop_guest_put(bench.guest);
	loop_turn(bench.loop, 0);
	loop_destroy(bench.loop);
}

/* Nothing is shown any more when the device is gone. */
static inline void end(void)
{
	end_queues();
	virtio_gpu_destroy(bench.device);
	for (unsigned i = 0; i < SCANOUTS; i++) {
		assert_null(bench.seen[i].picture);
		assert_null(bench.seen[i].cursor.pixels);
	}
}

/* ---- guest memory, byte by byte, so that the border does not matter ---- */

static inline void put(uint64_t guest, const void *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		*ring_driver_at(&bench.driver[CONTROL], guest + i) = ((const uint8_t *)bytes)[i];
}

static inline uint8_t get(uint64_t guest)
{
	return *ring_driver_at(&bench.driver[CONTROL], guest);
}

/* ---- commands ---- */

/* Takes the answer that must come: its bytes, which are in bench.answer. */
static inline uint32_t await_answer(unsigned index)
{
	struct ring_driver *driver = &bench.driver[index];
	uint32_t length = 0;

	AWAIT(ring_driver_take(driver, &length) >= 0, turn());
	assert_true(length <= ANSWER_BYTES);
	memcpy(&bench.answer, ring_driver_at(driver, ANSWER_AT), ANSWER_BYTES);
	return length;
}

/* A chain of the request and so much room for the answer; returns the bytes of the answer. */
static inline uint32_t ask_bytes(unsigned index, const void *request, uint32_t bytes, uint32_t room)
{
	struct ring_driver *driver = &bench.driver[index];
	const struct driver_element elements[] = { { REQUEST_AT, bytes, false }, { ANSWER_AT, room, true } };

	memcpy(ring_driver_at(driver, REQUEST_AT), request, bytes);
	memset(ring_driver_at(driver, ANSWER_AT), UNTOUCHED, ANSWER_BYTES);
	assert_true(ring_driver_add(driver, elements, room > 0 ? 2 : 1, false) >= 0);
	ring_driver_kick(driver);
	return await_answer(index);
}

/* Returns the type of the answer. */
static inline uint32_t ask(unsigned index, const void *request, uint32_t bytes)
{
	assert_true(ask_bytes(index, request, bytes, ANSWER_BYTES) >= sizeof(bench.answer.header));
	return bench.answer.header.type;
}

#define ASK(type, ...) ask(CONTROL, &(struct type){ __VA_ARGS__ }, sizeof(struct type))

static inline uint32_t create_2d(uint32_t id, uint32_t format, uint32_t width, uint32_t height)
{
	return ASK(virtio_gpu_create_2d, { VIRTIO_GPU_CMD_RESOURCE_CREATE_2D }, id, format, width, height);
}

static inline uint32_t unref(uint32_t id)
{
	return ASK(virtio_gpu_name_resource, { VIRTIO_GPU_CMD_RESOURCE_UNREF }, id);
}

static inline uint32_t detach(uint32_t id)
{
	return ASK(virtio_gpu_name_resource, { VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING }, id);
}

static inline uint32_t set_scanout(uint32_t scanout, uint32_t id, struct virtio_gpu_rect rect)
{
	return ASK(virtio_gpu_set_scanout, { VIRTIO_GPU_CMD_SET_SCANOUT }, rect, scanout, id);
}

static inline uint32_t flush(uint32_t id, struct virtio_gpu_rect rect)
{
	return ASK(virtio_gpu_flush, { VIRTIO_GPU_CMD_RESOURCE_FLUSH }, rect, id);
}

static inline uint32_t transfer(uint32_t id, struct virtio_gpu_rect rect, uint64_t offset)
{
	return ASK(virtio_gpu_transfer, { VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D }, rect, offset, id);
}

/* Says that there are `said` entries, and sends `sent`. */
static inline uint32_t attach_as(uint32_t id, const struct virtio_gpu_entry *entries, uint32_t sent,
				 uint32_t said)
{
	static uint8_t request[REQUEST_BYTES];
	const struct virtio_gpu_attach head = { { VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING }, id, said };

	memcpy(request, &head, sizeof(head));
	memcpy(request + sizeof(head), entries, sent * sizeof(*entries));
	return ask(CONTROL, request, (uint32_t)(sizeof(head) + sent * sizeof(*entries)));
}

static inline uint32_t attach(uint32_t id, const struct virtio_gpu_entry *entries, uint32_t count)
{
	return attach_as(id, entries, count, count);
}

static inline uint32_t attach_one(uint32_t id, uint64_t gpa, uint32_t bytes)
{
	return attach(id, &(struct virtio_gpu_entry){ gpa, bytes }, 1);
}

static inline struct virtio_gpu_rect rect_of(uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
	return (struct virtio_gpu_rect){ x, y, width, height };
}

#define assert_ok(answer) assert_int_equal(answer, VIRTIO_GPU_RESP_OK_NODATA)

#endif
