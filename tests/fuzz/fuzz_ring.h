/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the ring, blk and inflight targets share: a queue over guest memory whose bytes the fuzzer chose, on a
 * loop that lives as long as one input and goes by a clock of its own.
 */
#ifndef VIADUCT_TESTS_FUZZ_RING_H
#define VIADUCT_TESTS_FUZZ_RING_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/loop.h"
#include "input_trace.h"
#include "ring_driver.h"

/* Turns until a queue has stopped; none needs nearly as many. */
#define FUZZ_TURNS_MAX 1000

struct fuzz_input {
	const uint8_t *bytes;
	size_t left;
};

static inline uint8_t fuzz_byte(struct fuzz_input *input)
{
	if (input->left == 0)
		return 0;
	input->left--;
	return *input->bytes++;
}

static inline uint16_t fuzz_u16(struct fuzz_input *input)
{
	uint16_t low = fuzz_byte(input);

	return (uint16_t)(low | fuzz_byte(input) << 8);
}

static struct loop *fuzz_loop;
static uint64_t fuzz_now_ns;
static uint64_t fuzz_look_ns = 100;

/* Each look at the clock takes a moment, so that bounds in time are met, and the same for the same input. */
static inline uint64_t fuzz_look_at_clock(void)
{
	return fuzz_now_ns += fuzz_look_ns;
}

static inline void fuzz_begin(void)
{
	static const struct loop_clocks clocks = {
		.now_ns = fuzz_look_at_clock, .thread_ns = fuzz_look_at_clock,
	};
	struct loop_options options = { .name = "fuzz", .entries = 64, .clocks = &clocks };

	fuzz_now_ns = NS_PER_S;
	if (loop_create(&options, &fuzz_loop) != 0)
		abort();
}

static inline void fuzz_end(void)
{
	loop_destroy(fuzz_loop);
	fuzz_trace_number(fuzz_now_ns);
}

static inline void fuzz_broken(void *context, enum virtqueue_violation violation, uint64_t value)
{
	unsigned *count = context;

	assert(violation > VIOLATION_NONE && violation < VIOLATIONS);
	assert(++*count == 1);
}

static inline void fuzz_stopped(void *context, const struct virtqueue_position *position)
{
	*(bool *)context = true;
}

/*
 * A device of packed × features × size, and patches: (u16 place, u8 length, bytes) over the pages of the
 * descriptor table, the driver's ring, the device's ring and the first page of data.
 */
static inline void fuzz_driver(struct fuzz_input *input, struct ring_driver *driver)
{
	uint8_t choice = fuzz_byte(input);
	uint64_t features = (choice & 2 ? 1ull << VIRTIO_RING_F_INDIRECT : 0) |
			    (choice & 4 ? 1ull << VIRTIO_RING_F_EVENT_IDX : 0) |
			    (choice & 8 ? 1ull << VIRTIO_F_IN_ORDER : 0);

	fuzz_begin();
	ring_driver_init(driver, choice & 1, 1u << (choice >> 4 & 7), features);
}

static inline void fuzz_patch(struct fuzz_input *input, struct ring_driver *driver)
{
	static const uint32_t pages[4] = { 0, 0x20000, 0x30000, DRIVER_DATA_OFFSET };
	uint16_t place = fuzz_u16(input);
	uint8_t length = fuzz_byte(input);

	for (unsigned i = 0; i < length && input->left > 0; i++)
		driver->file[pages[place >> 14] + ((place & 0x3fff) + i) % 4096] = fuzz_byte(input);
}

static inline void fuzz_turns(unsigned count)
{
	while (count-- > 0)
		/* Long enough to park what polls: nothing comes that has not come already. */
		if (loop_turn(fuzz_loop, 1) != 0)
			abort();
}

/*
 * Stops and destroys; the caller has made sure that every chain gets answered. `step` is called between
 * turns; NULL is allowed.
 */
static inline void fuzz_stop(struct virtqueue *queue, void (*step)(void))
{
	bool stopped = false;

	virtqueue_stop(queue, fuzz_stopped, &stopped);
	for (int i = 0; i < FUZZ_TURNS_MAX && !stopped; i++) {
		fuzz_turns(1);
		if (step)
			step();
	}
	assert(stopped);
	virtqueue_destroy(queue);
}

/* Ends the input: guest memory is what the guest can see. */
static inline void fuzz_driver_finish(struct ring_driver *driver)
{
	fuzz_trace(driver->file, 3 * DRIVER_REGION_BYTES);
	ring_driver_finish(driver);
	fuzz_end();
}

#endif
