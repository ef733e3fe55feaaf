/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One virtqueue between the naive driver (ring_driver.h) and the echo device, for tests of the ring code.
 * Everything runs on the test's own thread: nothing happens except in bench_turn().
 */
#ifndef VIADUCT_TESTS_UNIT_QUEUE_BENCH_H
#define VIADUCT_TESTS_UNIT_QUEUE_BENCH_H

#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/loop.h"
#include "core/memory_guard.h"
#include "core/shared.h"
#include "echo_model.h"
#include "interfaces/virtio/dirty_log.h"
#include "interfaces/virtio/inflight.h"
#include "patience.h"
#include "ring_driver.h"

#define BENCH_SIZE 16u
#define DATA	   (DRIVER_GUEST_BASE + DRIVER_DATA_OFFSET)
#define BORDER	   (DRIVER_GUEST_BASE + DRIVER_REGION_BYTES)
#define OUTSIDE	   0x1000ull

#define FEATURE(bit) (1ull << (bit))

struct queue_bench {
	struct loop *loop;
	struct ring_driver driver;
	struct echo_device device;
	struct virtqueue_setup setup;
	struct virtqueue *queue;
	struct virtqueue_position position;
	bool stopped;
	unsigned broken, released;
	enum virtqueue_violation violation;
	uint64_t value;
};

static inline void bench_broken(void *context, enum virtqueue_violation violation, uint64_t value)
{
	struct queue_bench *bench = context;

	bench->broken++;
	bench->violation = violation;
	bench->value = value;
}

static inline void bench_stopped(void *context, const struct virtqueue_position *position)
{
	struct queue_bench *bench = context;

	assert_false(bench->stopped);
	bench->stopped = true;
	bench->position = *position;
}

static inline void bench_released(void *context)
{
	((struct queue_bench *)context)->released++;
}

/* A loop, a driver with an empty ring, and the set-up for it; the test may change the set-up. */
static inline void bench_begin(struct queue_bench *bench, bool packed, unsigned size, uint64_t features)
{
	struct loop_options options = { .name = "bench" };

	memset(bench, 0, sizeof(*bench));
	/* In each test, because cmocka puts its own handler in its place. */
	assert_int_equal(memory_guard_install(), 0);
	assert_int_equal(loop_create(&options, &bench->loop), 0);
	ring_driver_init(&bench->driver, packed, size, features);
	bench->setup = ring_driver_setup(&bench->driver);
	bench->setup.loop = bench->loop;
	bench->setup.model = &echo_model;
	bench->setup.device = &bench->device;
	bench->setup.broken = bench_broken;
	bench->setup.context = bench;
}

/* Enough turns for everything that can happen, the sleep included. */
static inline void bench_turn(struct queue_bench *bench)
{
	for (int i = 0; i < 6; i++)
		assert_int_equal(loop_turn(bench->loop, NS_PER_MS / 2), 0);
}

static inline void bench_start(struct queue_bench *bench)
{
	assert_int_equal(virtqueue_start(&bench->setup, &bench->queue), 0);
	bench_turn(bench);
	ring_driver_called(&bench->driver);
}

/* A queue that stops may still offer what a predecessor had in flight. */
static inline void bench_stop_turn(struct queue_bench *bench)
{
	echo_answer_all(&bench->device);
	assert_int_equal(loop_turn(bench->loop, NS_PER_MS), 0);
}

static inline void bench_stop(struct queue_bench *bench)
{
	bench->stopped = false;
	virtqueue_stop(bench->queue, bench_stopped, bench);
	AWAIT(bench->stopped, bench_stop_turn(bench));
	virtqueue_destroy(bench->queue);
	bench->queue = NULL;
	assert_int_equal(bench->device.queues_running, 0);
}

static inline void bench_end(struct queue_bench *bench)
{
	if (bench->queue)
		bench_stop(bench);
	loop_destroy(bench->loop);
	ring_driver_finish(&bench->driver);
}

/* ---- guest memory, byte by byte, so that borders of regions do not matter ---- */

static inline void bench_write(struct queue_bench *bench, uint64_t guest, const void *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		/* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): the caller filled `bytes` */
		*ring_driver_at(&bench->driver, guest + i) = ((const uint8_t *)bytes)[i];
}

static inline void bench_fill(struct queue_bench *bench, uint64_t guest, size_t count, uint8_t first)
{
	for (size_t i = 0; i < count; i++)
		*ring_driver_at(&bench->driver, guest + i) = (uint8_t)(first + i);
}

/* The echo of bench_fill(…, first) of `question` bytes lies here. */
static inline void bench_assert_echo(struct queue_bench *bench, uint64_t guest, size_t count, uint8_t first,
				     size_t question)
{
	for (size_t i = 0; i < count; i++)
		assert_int_equal(*ring_driver_at(&bench->driver, guest + i),
				 (uint8_t)(first + i % question) ^ 0x5a);
}

/* ---- chains ---- */

/* A good chain: 8 readable bytes at DATA + 256 * place, 8 writable ones behind them. Returns its id. */
static inline int bench_add(struct queue_bench *bench, unsigned place)
{
	uint64_t at = DATA + 256ull * place;
	struct driver_element elements[2] = { { at, 8, false }, { at + 8, 8, true } };
	int id;

	bench_fill(bench, at, 8, (uint8_t)(place + 1));
	id = ring_driver_add(&bench->driver, elements, 2, false);
	assert_true(id >= 0);
	return id;
}

/* Takes one used chain that must be there; `place` as in bench_add(). */
static inline int bench_take(struct queue_bench *bench, unsigned place)
{
	uint32_t length = 0;
	int id = ring_driver_take(&bench->driver, &length);

	assert_true(id >= 0);
	assert_int_equal(length, 8);
	bench_assert_echo(bench, DATA + 256ull * place + 8, 8, (uint8_t)(place + 1), 8);
	return id;
}

static inline void bench_take_none(struct queue_bench *bench)
{
	uint32_t length;

	assert_int_equal(ring_driver_take(&bench->driver, &length), -1);
}

/* The first readable byte of a held chain tells which one it is: `place` as in bench_add(). */
static inline unsigned bench_held(const struct queue_bench *bench, unsigned index)
{
	assert_true(index < bench->device.held_count);
	return *(const uint8_t *)bench->device.held[index]->iov[0].iov_base - 1u;
}

/* ---- raw ring writes, past the driver's book-keeping ---- */

static inline void bench_split(struct queue_bench *bench, unsigned index, uint64_t address, uint32_t length,
			       unsigned flags, unsigned next)
{
	ring_driver_split_descriptors(&bench->driver)[index] =
		(struct split_descriptor){ address, length, (uint16_t)flags, (uint16_t)next };
}

static inline void bench_publish(struct queue_bench *bench, unsigned head)
{
	struct ring_driver *driver = &bench->driver;
	struct split_available *available = ring_driver_available(driver);

	available->ring[driver->next_available++ % driver->size] = (uint16_t)head;
	available->idx = driver->next_available;
}

/* The next descriptor of a packed ring, made available. */
static inline void bench_packed(struct queue_bench *bench, uint64_t address, uint32_t length, unsigned id,
				unsigned flags)
{
	struct ring_driver *driver = &bench->driver;

	ring_driver_packed_descriptors(driver)[driver->next_available] = (struct packed_descriptor){
		address, length, (uint16_t)id,
		(uint16_t)(flags | (driver->available_wrap ? DESCRIPTOR_AVAILABLE : DESCRIPTOR_USED)),
	};
	if (++driver->next_available == driver->size) {
		driver->next_available = 0;
		driver->available_wrap = !driver->available_wrap;
	}
}

/* Entry of an indirect table, in the ring's format. */
static inline void bench_table(struct queue_bench *bench, uint64_t table, unsigned index, uint64_t address,
			       uint32_t length, unsigned flags, unsigned next)
{
	struct split_descriptor split = { address, length, (uint16_t)flags, (uint16_t)next };
	struct packed_descriptor packed = { address, length, 0, (uint16_t)flags };

	bench_write(bench, table + 16ull * index, bench->driver.packed ? (void *)&packed : (void *)&split,
		    16);
}

/* A chain of one descriptor of either format, at a free place of the ring; returns the slot it will have. */
static inline unsigned bench_single(struct queue_bench *bench, uint64_t address, uint32_t length,
				    unsigned flags)
{
	unsigned slot = bench->driver.size - 1;

	if (bench->driver.packed) {
		bench_packed(bench, address, length, slot, flags);
	} else {
		bench_split(bench, slot, address, length, flags, 0);
		bench_publish(bench, slot);
	}
	return slot;
}

#endif
