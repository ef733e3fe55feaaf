/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A lane on a thread of its own, while home changes queues and memory, stands still, ends and moves, at
 * random: each command is answered once, with the right bytes.
 */
#include <pthread.h>
#include <stdio.h>

#include "nvme_lane_driver.h"
#include "patience.h"
#include "test_disk.h"

#define STEPS	     20000u
#define BLOCKS_EACH  64u /* of one queue: they are no other's */
#define UNDER_WAY    20u

static uint64_t seed;
static pthread_t lane_thread;

static struct {
	bool exists;
	unsigned under_way;
	uint16_t id[UNDER_WAY];
	uint8_t last[BLOCKS_EACH]; /* what was written to each block last */
} queue[QUEUES];

static void *run_lane(void *unused)
{
	return loop_run(driver.lane_loop) ? &driver : NULL;
}

static void await_one(unsigned index)
{
	struct nvme_completion completion;
	unsigned at = 0;

	AWAIT(reap(index, &completion), assert_int_equal(loop_turn(driver.loop, NS_PER_MS / 10), 0));
	assert_int_equal(status_of(completion), NVME_SUCCESS);
	while (at < queue[index].under_way && queue[index].id[at] != completion.command_id)
		at++;
	assert_true(at < queue[index].under_way);
	queue[index].id[at] = queue[index].id[--queue[index].under_way];
}

static void await_queue(unsigned index)
{
	while (queue[index].under_way > 0)
		await_one(index);
}

static uint16_t run_admin(struct nvme_command command)
{
	uint16_t id = submit(ADMIN, command);
	struct nvme_completion completion;

	AWAIT(reap(ADMIN, &completion), assert_int_equal(loop_turn(driver.loop, NS_PER_MS / 10), 0));
	assert_int_equal(completion.command_id, id);
	return status_of(completion);
}

static uint64_t data_of(unsigned index, unsigned block)
{
	return DATA_AT + PAGE * (index * BLOCKS_EACH + block);
}

static uint64_t first_block(unsigned index, unsigned block)
{
	return index * BLOCKS_EACH + block;
}

static void write_some(unsigned index)
{
	while (queue[index].under_way < UNDER_WAY && test_below(&seed, 8)) {
		unsigned block = test_below(&seed, BLOCKS_EACH);
		uint64_t at = data_of(index, block);

		/* A block of which a write may be under way is written with the same. */
		if (queue[index].under_way == 0)
			queue[index].last[block]++;
		memset(driver.ram + at, queue[index].last[block], 512);
		queue[index].id[queue[index].under_way++] =
			submit(index, io(NVME_IO_WRITE, first_block(index, block), 1, at));
	}
}

static void check_data(unsigned index)
{
	unsigned block = test_below(&seed, BLOCKS_EACH);
	uint64_t at = data_of(0, block);

	await_queue(index);
	memset(driver.ram + at, 0xee, 512);
	queue[index].id[queue[index].under_way++] =
		submit(index, io(NVME_IO_READ, first_block(index, block), 1, at));
	await_queue(index);
	for (unsigned i = 0; i < 512; i++)
		assert_int_equal(driver.ram[at + i], queue[index].last[block]);
}

static void create(unsigned index)
{
	queue_init(index, 32, 32);
	assert_int_equal(run_admin(create_cq(index, 32, index)), NVME_SUCCESS);
	assert_int_equal(run_admin(create_sq(index, 32, index)), NVME_SUCCESS);
	queue[index].exists = true;
}

static void create_all(void)
{
	for (unsigned i = 1; i < QUEUES; i++)
		create(i);
}

/* With commands under way: those that were fetched are answered, and others are not. */
static void delete(unsigned index)
{
	struct nvme_completion completion;

	assert_int_equal(run_admin(delete_queue(NVME_ADMIN_DELETE_SQ, index)), NVME_SUCCESS);
	while (look(index, &completion))
		assert_int_equal(status_of(completion), NVME_SUCCESS);
	assert_int_equal(run_admin(delete_queue(NVME_ADMIN_DELETE_CQ, index)), NVME_SUCCESS);
	queue[index].under_way = 0;
	queue[index].exists = false;
	/* What was written and what not is unknown. */
	memset(driver.held->bytes + 512 * first_block(index, 0), 0, 512 * BLOCKS_EACH);
	memset(queue[index].last, 0, sizeof(queue[index].last));
}

static void change_memory(void)
{
	struct guest_memory *memory = memory_of(0, RAM_BYTES);

	driver.bus.memory = memory;
	nvme_model.memory_changed(driver.function);
	AWAIT(driver.answers_wait == 0, assert_int_equal(loop_turn(driver.loop, NS_PER_MS / 10), 0));
	guest_memory_put(driver.memory);
	driver.memory = memory;
}

static void stand_still(bool freeze)
{
	if (freeze)
		nvme_model.freeze(driver.function);
	quiesce();
	AWAIT(driver.quiet, assert_int_equal(loop_turn(driver.loop, NS_PER_MS / 10), 0));
}

static void begin_anew(void)
{
	AWAIT(get32(NVME_REG_CSTS) == 0, assert_int_equal(loop_turn(driver.loop, NS_PER_MS / 10), 0));
	memset(driver.held->bytes, 0, DISK_BYTES);
	memset(queue, 0, sizeof(queue));
	queue_init(ADMIN, 32, 32);
	enable();
	create_all();
}

static void step(void)
{
	unsigned index = 1 + test_below(&seed, QUEUES - 1);

	switch (test_below(&seed, 40)) {
	case 0:
		if (queue[index].exists)
			delete(index);
		break;
	case 1:
		change_memory();
		break;
	case 2:
		stand_still(false);
		nvme_model.resume(driver.function);
		break;
	case 3:
		stand_still(true);
		nvme_model.resume(driver.function);
		break;
	case 4:
		stand_still(false);
		nvme_model.leave(driver.function);
		driver.bus.lane_count = driver.bus.lane_count == 2 ? 1 : 2;
		for (unsigned i = 0; i < REGISTER_QUEUES_MAX; i++)
			driver.bus.queue_lane[i] = (uint8_t)(i % driver.bus.lane_count);
		go();
		break;
	case 5:
		set32(NVME_REG_CC, CC_ENTRIES);
		begin_anew();
		break;
	case 6:
		stand_still(false);
		nvme_model.reset(driver.function);
		begin_anew();
		break;
	case 7:
		driver.has_vectors = !driver.has_vectors;
		nvme_model.vectors_changed(driver.function);
		break;
	default:
		if (!queue[index].exists)
			create(index);
		write_some(index);
		if (test_below(&seed, 4) == 0)
			check_data(index);
		else if (queue[index].under_way == UNDER_WAY)
			await_one(index);
		assert_int_equal(loop_turn(driver.loop, 0), 0);
	}
}

static void at_random(void **state)
{
	seed = test_seed("nvme_lanes_threads");
	begin_with_lane();
	driver.held->unwatched = true;
	memset(driver.held->bytes, 0, DISK_BYTES);
	driver.lane_runs = true;
	assert_int_equal(pthread_create(&lane_thread, NULL, run_lane, NULL), 0);
	create_all();
	for (unsigned i = 0; i < STEPS; i++)
		step();
	for (unsigned i = 1; i < QUEUES; i++)
		await_queue(i);
	assert_int_equal(violations(), 0);
	stand_still(false);
	loop_stop(driver.lane_loop);
	assert_int_equal(pthread_join(lane_thread, NULL), 0);
	driver.lane_runs = false;
	nvme_model.resume(driver.function);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_random),
	};

	return cmocka_run_group_tests_name("nvme_lanes_threads", tests, NULL, NULL);
}
