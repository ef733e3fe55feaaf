/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Queues of one controller on two workers, which turn when the test says so. */
#include "nvme_lane_driver.h"

/* ---- each queue has its worker ---- */

static void queues_are_served_where_they_belong(void **state)
{
	struct nvme_completion completion;

	begin_spread();
	assert_int_equal(disk_channel_count(driver.disk), 2);
	memset(driver.raised, 0, sizeof(driver.raised));
	for (unsigned i = 1; i < QUEUES; i++)
		submit(i, flush());
	home_turns();
	assert_true(reap(1, &completion) && reap(3, &completion));
	assert_false(look(2, &completion) || look(4, &completion));
	lane_turns();
	assert_true(reap(2, &completion) && reap(4, &completion));
	/* Each tells of its own. */
	for (unsigned i = 1; i < QUEUES; i++) {
		assert_int_equal(driver.raised[i], i % 2);
		assert_int_equal(driver.raised_from_lane[i], !(i % 2));
	}
	end();
}

static void data_of_both(void **state)
{
	begin_spread();
	for (unsigned i = 1; i < QUEUES; i++) {
		memset(driver.ram + DATA_AT, 0x10 + (int)i, 4 * PAGE);
		assert_int_equal(run_status(i, io(NVME_IO_WRITE, 100 * i, 32, DATA_AT)), NVME_SUCCESS);
	}
	for (unsigned i = 1; i < QUEUES; i++) {
		assert_int_equal(run_status(QUEUES - i, io(NVME_IO_READ, 100 * i, 32, DATA_AT)),
				 NVME_SUCCESS);
		for (unsigned k = 0; k < 4 * PAGE; k++)
			assert_int_equal(driver.ram[DATA_AT + k], 0x10 + i);
	}
	end();
}

/* What is counted is told of together. */
static void health_of_both(void **state)
{
	begin_spread();
	for (unsigned i = 1; i < QUEUES; i++)
		assert_int_equal(run_status(i, io(NVME_IO_READ, 0, 8, DATA_AT)), NVME_SUCCESS);
	assert_int_equal(run_status(ADMIN, (struct nvme_command){ .opcode = NVME_ADMIN_GET_LOG_PAGE,
								   .prp1 = RAM_BASE + DATA_AT,
								   .cdw10 = 127 << 16 | NVME_LOG_HEALTH }),
			 NVME_SUCCESS);
	assert_int_equal(driver.ram[DATA_AT + 64], QUEUES - 1);
	end();
}

/* A submission queue is served where its completion queue is. */
static void submission_queues_follow(void **state)
{
	struct nvme_completion completion;

	begin_with_lane();
	queue_init(1, 16, 16);
	queue_init(2, 16, 16);
	assert_int_equal(run_status(ADMIN, create_cq(2, 16, 2)), NVME_SUCCESS);
	assert_int_equal(run_status(ADMIN, create_sq(1, 16, 2)), NVME_SUCCESS);
	submit(1, flush());
	home_turns();
	assert_false(look(2, &completion));
	lane_turns();
	assert_true(reap(2, &completion));
	assert_int_equal(completion.sq_id, 1);
	end();
}

/* Without queues there is nothing to do for a worker, and so it has no channel to the disk. */
static void a_lane_without_queues_sleeps(void **state)
{
	begin_with_lane();
	assert_int_equal(disk_channel_count(driver.disk), 1);
	make_queue(1, 16, 16);
	settle();
	assert_int_equal(disk_channel_count(driver.disk), 1);
	make_queue(2, 16, 16);
	settle();
	assert_int_equal(disk_channel_count(driver.disk), 2);
	assert_int_equal(run_status(ADMIN, delete_queue(NVME_ADMIN_DELETE_SQ, 2)), NVME_SUCCESS);
	assert_int_equal(run_status(ADMIN, delete_queue(NVME_ADMIN_DELETE_CQ, 2)), NVME_SUCCESS);
	settle();
	assert_int_equal(disk_channel_count(driver.disk), 1);
	make_queue(2, 16, 16);
	assert_int_equal(run_status(2, flush()), NVME_SUCCESS);
	end();
}

/* ---- queues come and go while the other worker is busy ---- */

static void deletion_waits_for_what_is_under_way(void **state)
{
	uint16_t deletion;

	begin_spread();
	hold_reads(3);
	deletion = submit(ADMIN, delete_queue(NVME_ADMIN_DELETE_SQ, 2));
	assert_silent(ADMIN);
	/* Others go on. */
	assert_int_equal(driver.held->held_count, 12);
	held_end_all(driver.held);
	assert_int_equal(await(ADMIN).command_id, deletion);
	await_all(3);
	assert_int_equal(run_status(ADMIN, delete_queue(NVME_ADMIN_DELETE_CQ, 2)), NVME_SUCCESS);
	make_queue(2, 8, 8);
	assert_working();
	end();
}

/* Each change of queues has the other worker hold; what ends meanwhile is answered behind it. */
static void answers_during_a_hold(void **state)
{
	struct nvme_completion completion;

	begin_spread();
	hold_reads(1);
	submit(ADMIN, delete_queue(NVME_ADMIN_DELETE_SQ, 3));
	home_turns();
	/* It hears of the order now, and home not yet that it obeys. */
	assert_int_equal(loop_turn(driver.lane_loop, 0), 0);
	held_end_all(driver.held);
	lane_turns();
	assert_false(look(2, &completion) || look(4, &completion));
	await_all(1);
	assert_int_equal(status_of(await(ADMIN)), NVME_SUCCESS);
	end();
}

/* Behind a command that waits no other is fetched, and each is answered. */
static void admin_commands_have_their_order(void **state)
{
	struct nvme_completion completion;
	uint16_t first, second;

	begin_spread();
	first = submit(ADMIN, delete_queue(NVME_ADMIN_DELETE_SQ, 3));
	second = submit(ADMIN, delete_queue(NVME_ADMIN_DELETE_CQ, 3));
	home_turns();
	assert_false(look(ADMIN, &completion));
	completion = await(ADMIN);
	assert_int_equal(completion.command_id, first);
	assert_int_equal(status_of(completion), NVME_SUCCESS);
	completion = await(ADMIN);
	assert_int_equal(completion.command_id, second);
	assert_int_equal(status_of(completion), NVME_SUCCESS);
	end();
}

/* ---- doorbells ---- */

static void doorbells_that_cannot_be(void **state)
{
	begin_spread();
	ring_sq(2, 32);
	settle();
	assert_int_equal(driver.violations[DOORBELL_VALUE], 1);
	/* That is in the queue, and the lane alone knows that there are no such answers. */
	ring_cq(2, 5);
	assert_int_equal(driver.violations[DOORBELL_VALUE], 1);
	settle();
	assert_int_equal(driver.violations[DOORBELL_VALUE], 2);
	assert_int_equal(run_status(2, flush()), NVME_SUCCESS);
	end();
}

/* A lane that has gone to sleep for want of room hears that answers were read. */
static void room_for_answers(void **state)
{
	begin_with_lane();
	make_queue(2, 16, 4);
	for (unsigned i = 0; i < 10; i++)
		submit(2, flush());
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(status_of(await(2)), NVME_SUCCESS);
		settle();
	}
	assert_silent(2);
	assert_int_equal(violations(), 0);
	end();
}

/* A doorbell that was rung for a queue says nothing of the one that is made in its place. */
static void doorbells_of_a_queue_before(void **state)
{
	begin_spread();
	quiesce();
	settle();
	assert_true(driver.quiet);
	put(2, flush());
	ring_sq(2, 1);
	nvme_model.reset(driver.function);
	enable();
	for (unsigned i = 1; i < QUEUES; i++)
		make_queue(i, 32, 32);
	assert_silent(2);
	assert_working();
	end();
}

static uint32_t shadow(unsigned page, unsigned queue, bool is_cq)
{
	uint32_t value;

	memcpy(&value, driver.ram + LISTS_AT + page * PAGE + 8 * queue + 4 * is_cq, sizeof(value));
	return value;
}

static void set_shadow(unsigned queue, bool is_cq, uint32_t value)
{
	memcpy(driver.ram + LISTS_AT + 8 * queue + 4 * is_cq, &value, sizeof(value));
}

/* The lane looks by itself; a doorbell only wakes it. */
static void doorbells_in_memory(void **state)
{
	struct nvme_completion completion;

	begin_spread();
	memset(driver.ram + LISTS_AT, 0, 2 * PAGE);
	assert_int_equal(run_status(ADMIN, (struct nvme_command){ .opcode = NVME_ADMIN_DOORBELL_BUFFER_CONFIG,
								   .prp1 = RAM_BASE + LISTS_AT,
								   .prp2 = RAM_BASE + LISTS_AT + PAGE }),
			 NVME_SUCCESS);
	settle();
	for (unsigned i = 0; i < 40; i++) {
		put(2, flush());
		set_shadow(2, false, driver.queue[2].tail);
		/* What stands there says when the lane wants to be woken. */
		if (shadow(1, 2, false) == (driver.queue[2].tail + 31) % 32)
			ring_sq(2, 0xffff);
		home_turns();
		assert_false(look(2, &completion));
		lane_turns();
		assert_true(look(2, &completion));
		assert_int_equal(status_of(completion), NVME_SUCCESS);
		set_shadow(2, true, driver.queue[2].head);
	}
	set_shadow(4, false, 99);
	ring_sq(4, 0);
	settle();
	assert_int_equal(driver.violations[DOORBELL_VALUE], 1);
	end();
}

/* ---- memory ---- */

static void change_memory(struct guest_memory *memory)
{
	driver.bus.memory = memory;
	nvme_model.memory_changed(driver.function);
}

/* What the VMM took away is touched by nobody when it has its answer. */
static void memory_is_let_go_of(void **state)
{
	struct guest_memory *less;
	struct nvme_completion completion;

	begin_spread();
	less = memory_of(0, SQ_AT(2));
	submit(2, flush());
	change_memory(less);
	assert_int_equal(driver.answers_wait, 1);
	home_turns();
	assert_int_equal(driver.answers_wait, 1);
	settle();
	assert_int_equal(driver.answers_wait, 0);
	/* The queue is out of reach, and comes back. */
	assert_false(look(2, &completion));
	submit(2, flush());
	assert_silent(2);
	assert_int_equal(run_status(1, flush()), NVME_SUCCESS);
	change_memory(driver.memory);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(status_of(await(2)), NVME_SUCCESS);
	assert_int_equal(driver.answers_wait, 0);
	guest_memory_put(less);
	assert_int_equal(violations(), 0);
	end();
}

/* An answer has no place any more: the controller fails, on all workers. */
static void memory_of_an_answer_is_gone(void **state)
{
	begin_spread();
	hold_reads(1);
	change_memory(driver.empty);
	settle();
	assert_int_equal(driver.answers_wait, 0);
	held_end_all(driver.held);
	settle();
	assert_int_equal(get32(NVME_REG_CSTS) & NVME_CSTS_FATAL, NVME_CSTS_FATAL);
	assert_true(driver.violations[QUEUE_MEMORY] > 0);
	change_memory(driver.memory);
	set32(NVME_REG_CC, CC_ENTRIES);
	settle();
	assert_int_equal(get32(NVME_REG_CSTS), 0);
	driver.held->at_once = true;
	enable();
	make_queue(2, 8, 8);
	assert_int_equal(run_status(2, flush()), NVME_SUCCESS);
	end();
}

/* ---- the pin ---- */

/* It is one interrupt for all: home serves all queues as long as the driver has no vectors. */
static void without_vectors_home_serves_all(void **state)
{
	struct nvme_completion completion;

	begin_spread();
	hold_reads(2);
	driver.has_vectors = false;
	nvme_model.vectors_changed(driver.function);
	held_end_all(driver.held);
	settle();
	assert_true(driver.pin);
	await_all(2);
	assert_false(driver.pin);
	assert_int_equal(disk_channel_count(driver.disk), 1);
	driver.held->at_once = true;
	submit(2, flush());
	home_turns();
	assert_true(driver.pin);
	assert_true(reap(2, &completion));
	assert_false(driver.pin);
	driver.has_vectors = true;
	nvme_model.vectors_changed(driver.function);
	settle();
	assert_int_equal(disk_channel_count(driver.disk), 2);
	submit(2, flush());
	home_turns();
	assert_false(look(2, &completion));
	lane_turns();
	assert_true(reap(2, &completion));
	assert_working();
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queues_are_served_where_they_belong),
		cmocka_unit_test(data_of_both),
		cmocka_unit_test(health_of_both),
		cmocka_unit_test(submission_queues_follow),
		cmocka_unit_test(a_lane_without_queues_sleeps),
		cmocka_unit_test(deletion_waits_for_what_is_under_way),
		cmocka_unit_test(answers_during_a_hold),
		cmocka_unit_test(admin_commands_have_their_order),
		cmocka_unit_test(doorbells_that_cannot_be),
		cmocka_unit_test(room_for_answers),
		cmocka_unit_test(doorbells_of_a_queue_before),
		cmocka_unit_test(doorbells_in_memory),
		cmocka_unit_test(memory_is_let_go_of),
		cmocka_unit_test(memory_of_an_answer_is_gone),
		cmocka_unit_test(without_vectors_home_serves_all),
	};

	return cmocka_run_group_tests_name("nvme_lanes", tests, NULL, NULL);
}
