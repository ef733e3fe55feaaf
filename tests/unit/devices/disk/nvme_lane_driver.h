/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The NVMe model with a lane besides home: queues 1 and 3 are home's, 2 and 4 the lane's. */
#ifndef VIADUCT_TESTS_UNIT_NVME_LANE_DRIVER_H
#define VIADUCT_TESTS_UNIT_NVME_LANE_DRIVER_H

#include "nvme_driver.h"

static inline void make_lane_loop(void)
{
	const struct loop_options options = { .name = "lane", .clocks = driver_clocks };

	assert_int_equal(loop_create(&options, &driver.lane_loop), 0);
}

/* Ready, with vectors and without I/O queues. */
static inline void begin_with_lane(void)
{
	begin();
	make_lane_loop();
	driver.has_vectors = true;
	quiesce();
	assert_true(driver.quiet);
	go_elsewhere(give_lane);
	enable();
}

static inline void begin_spread(void)
{
	begin_with_lane();
	for (unsigned i = 1; i < QUEUES; i++)
		make_queue(i, 32, 32);
}

/* Only one of the two workers turns. */
static inline void home_turns(void)
{
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(loop_turn(driver.loop, 0), 0);
}

static inline void lane_turns(void)
{
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(loop_turn(driver.lane_loop, 0), 0);
}

static inline struct nvme_command flush(void)
{
	return (struct nvme_command){ .opcode = NVME_IO_FLUSH, .namespace_id = 1 };
}

/* Of each queue, so many reads that the disk holds. */
static inline void hold_reads(unsigned count)
{
	driver.held->at_once = false;
	for (unsigned queue = 1; queue < QUEUES; queue++)
		for (unsigned i = 0; i < count; i++)
			submit(queue, io(NVME_IO_READ, i, 1, DATA_AT + PAGE * (QUEUES * i + queue)));
	settle();
	assert_int_equal(driver.held->held_count, count * (QUEUES - 1));
}

/* Each queue answers so many commands, all with success, and no more. */
static inline void await_all(unsigned count)
{
	for (unsigned queue = 1; queue < QUEUES; queue++) {
		for (unsigned i = 0; i < count; i++)
			assert_int_equal(status_of(await(queue)), NVME_SUCCESS);
		assert_silent(queue);
	}
}

static inline void assert_working(void)
{
	driver.held->at_once = true;
	for (unsigned queue = 1; queue < QUEUES; queue++)
		assert_int_equal(run_status(queue, flush()), NVME_SUCCESS);
	assert_int_equal(violations(), 0);
}

#endif
