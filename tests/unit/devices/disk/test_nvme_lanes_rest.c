/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A controller whose queues are on two workers ends, stands still, is frozen, moves and is taken over. */
#include "core/handover.h"
#include "nvme_lane_driver.h"

/* ---- rest ---- */

static void rest_waits_for_all(void **state)
{
	begin_spread();
	hold_reads(2);
	quiesce();
	for (unsigned i = 1; i < QUEUES; i++)
		submit(i, flush());
	settle();
	while (driver.held->held_count > 0) {
		assert_false(driver.quiet);
		held_end(driver.held, driver.held->held_count - 1, 0);
		settle();
	}
	assert_true(driver.quiet);
	assert_int_equal(disk_channel_count(driver.disk), 1);
	driver.held->at_once = true;
	nvme_model.resume(driver.function);
	await_all(3);
	end();
}

/* Neither worker is done before the other. */
static void rest_waits_for_the_one_that_is_last(void **state)
{
	for (unsigned lane_is_last = 0; lane_is_last < 2; lane_is_last++) {
		begin_spread();
		driver.held->at_once = false;
		submit(lane_is_last ? 1 : 2, io(NVME_IO_READ, 0, 1, DATA_AT));
		settle();
		submit(lane_is_last ? 2 : 1, io(NVME_IO_READ, 1, 1, DATA_AT));
		settle();
		quiesce();
		settle();
		held_end(driver.held, 0, 0);
		settle();
		assert_false(driver.quiet);
		held_end(driver.held, 0, 0);
		settle();
		assert_true(driver.quiet);
		nvme_model.resume(driver.function);
		for (unsigned i = 1; i < 3; i++)
			assert_int_equal(status_of(await(i)), NVME_SUCCESS);
		end();
	}
}

static void reset_forgets_all_queues(void **state)
{
	begin_spread();
	hold_reads(2);
	quiesce();
	held_end_all(driver.held);
	settle();
	assert_true(driver.quiet);
	nvme_model.reset(driver.function);
	assert_int_equal(get32(NVME_REG_CSTS), 0);
	settle();
	assert_int_equal(disk_channel_count(driver.disk), 1);
	driver.held->at_once = true;
	enable();
	for (unsigned i = 1; i < QUEUES; i++)
		make_queue(i, 16, 16);
	assert_working();
	end();
}

/* It is off, or shut down, when no worker has anything under way; a shutdown flushes behind all writes. */
static void the_end_of_a_controller(void **state)
{
	for (unsigned shutdown = 0; shutdown < 2; shutdown++) {
		begin_spread();
		driver.held->at_once = false;
		submit(2, io(NVME_IO_WRITE, 0, 1, DATA_AT));
		settle();
		set32(NVME_REG_CC, shutdown ? CC_ENABLE | CC_ENTRIES | CC_SHUTDOWN : CC_ENTRIES);
		submit(2, flush());
		submit(1, flush());
		settle();
		assert_int_equal(get32(NVME_REG_CSTS) & NVME_CSTS_READY, NVME_CSTS_READY);
		assert_int_not_equal(get32(NVME_REG_CSTS) & NVME_CSTS_SHUTDOWN_MASK, NVME_CSTS_SHUT_DOWN);
		assert_int_equal(driver.held->held_count, 1);
		driver.held->at_once = true;
		held_end_all(driver.held);
		settle();
		if (shutdown) {
			assert_int_equal(get32(NVME_REG_CSTS) & NVME_CSTS_SHUTDOWN_MASK, NVME_CSTS_SHUT_DOWN);
			assert_int_equal(driver.held->log[1].op, HOST_IO_FLUSH);
			set32(NVME_REG_CC, CC_ENTRIES);
			settle();
		}
		assert_int_equal(get32(NVME_REG_CSTS), 0);
		enable();
		for (unsigned i = 1; i < QUEUES; i++)
			make_queue(i, 16, 16);
		assert_working();
		end();
	}
}

/* A change of queues is under way when it has to come to rest. */
static void rest_behind_a_change_of_queues(void **state)
{
	begin_spread();
	hold_reads(1);
	submit(ADMIN, delete_queue(NVME_ADMIN_DELETE_SQ, 3));
	home_turns();
	quiesce();
	held_end_all(driver.held);
	settle();
	assert_true(driver.quiet);
	assert_int_equal(status_of(await(ADMIN)), NVME_SUCCESS);
	nvme_model.resume(driver.function);
	await_all(1);
	end();
}

/* Memory is another one while it comes to rest. */
static void memory_changes_before_rest(void **state)
{
	begin_spread();
	hold_reads(1);
	quiesce();
	nvme_model.memory_changed(driver.function);
	assert_int_equal(driver.answers_wait, 1);
	settle();
	assert_int_equal(driver.answers_wait, 0);
	assert_false(driver.quiet);
	nvme_model.memory_changed(driver.function);
	held_end_all(driver.held);
	settle();
	assert_int_equal(driver.answers_wait, 0);
	assert_true(driver.quiet);
	nvme_model.resume(driver.function);
	await_all(1);
	end();
}

/* A worker that has no memory for a channel serves nothing, and the driver hears of it. */
static void a_lane_that_cannot_wake_up(void **state)
{
	begin_with_lane();
	make_queue(1, 16, 16);
	driver.held->refuses_channels = true;
	queue_init(2, 16, 16);
	assert_int_equal(run_status(ADMIN, create_cq(2, 16, 2)), NVME_SUCCESS);
	settle();
	assert_int_equal(get32(NVME_REG_CSTS), NVME_CSTS_READY | NVME_CSTS_FATAL);
	set32(NVME_REG_CC, CC_ENTRIES);
	settle();
	assert_int_equal(get32(NVME_REG_CSTS), 0);
	driver.held->refuses_channels = false;
	enable();
	make_queue(2, 16, 16);
	assert_int_equal(run_status(2, flush()), NVME_SUCCESS);
	end();
}

/* ---- other workers ---- */

static void moves(void **state)
{
	begin_spread();
	for (unsigned round = 0; round < 4; round++) {
		quiesce();
		settle();
		for (unsigned i = 1; i < QUEUES; i++)
			submit(i, flush());
		go_elsewhere(round % 2 ? give_lane : take_lane);
		await_all(1);
		assert_int_equal(disk_channel_count(driver.disk), round % 2 ? 2 : 1);
		assert_working();
	}
	end();
}

/* ---- frozen ---- */

/* All answers are kept, of each queue `count`. */
static void begin_frozen(unsigned count)
{
	begin_spread();
	hold_reads(count);
	nvme_model.freeze(driver.function);
	settle();
}

static void assert_all_silent(void)
{
	for (unsigned i = 0; i < QUEUES; i++)
		assert_silent(i);
}

static void answers_are_kept(void **state)
{
	begin_frozen(3);
	for (unsigned i = 1; i < QUEUES; i++)
		submit(i, flush());
	held_end_all(driver.held);
	assert_all_silent();
	quiesce();
	settle();
	assert_true(driver.quiet);
	assert_all_silent();
	assert_int_equal(driver.held->logged, 12);
	driver.held->at_once = true;
	/* It goes on where home serves all. */
	go_elsewhere(take_lane);
	await_all(4);
	assert_working();
	end();
}

/* A queue's worker is the one that waited: it keeps away at once, and home hears of it later. */
static void a_lane_is_frozen(void **state)
{
	struct nvme_completion completion;

	begin_spread();
	hold_reads(2);
	nvme_model.lane_freeze(driver.function, 1);
	submit(2, flush());
	held_end_all(driver.held);
	settle();
	assert_true(reap(1, &completion) && reap(3, &completion));
	assert_true(reap(1, &completion) && reap(3, &completion));
	assert_false(look(2, &completion) || look(4, &completion));
	nvme_model.freeze(driver.function);
	quiesce();
	settle();
	assert_true(driver.quiet);
	assert_all_silent();
	driver.held->at_once = true;
	nvme_model.resume(driver.function);
	for (unsigned i = 0; i < 2; i++)
		assert_true(status_of(await(4)) == NVME_SUCCESS && status_of(await(2)) == NVME_SUCCESS);
	assert_int_equal(status_of(await(2)), NVME_SUCCESS);
	assert_working();
	end();
}

/* A lane that sleeps has nothing to freeze. */
static void a_lane_that_sleeps_is_frozen(void **state)
{
	begin_with_lane();
	nvme_model.lane_freeze(driver.function, 1);
	nvme_model.freeze(driver.function);
	quiesce();
	settle();
	assert_true(driver.quiet);
	nvme_model.resume(driver.function);
	for (unsigned i = 1; i < QUEUES; i++)
		make_queue(i, 16, 16);
	assert_working();
	end();
}

/* A change of queues waits for the lane: it is as if it had not been fetched. */
static void frozen_before_a_change_of_queues(void **state)
{
	uint16_t deletion;

	begin_spread();
	deletion = submit(ADMIN, delete_queue(NVME_ADMIN_DELETE_SQ, 2));
	home_turns();
	nvme_model.freeze(driver.function);
	quiesce();
	settle();
	assert_true(driver.quiet);
	assert_all_silent();
	nvme_model.resume(driver.function);
	assert_int_equal(await(ADMIN).command_id, deletion);
	assert_silent(ADMIN);
	end();
}

/* The queue's last command has ended, and home has not heard of it yet. */
static void frozen_at_the_end_of_a_deletion(void **state)
{
	uint16_t deletion;

	begin_spread();
	driver.held->at_once = false;
	submit(2, io(NVME_IO_READ, 0, 1, DATA_AT));
	settle();
	deletion = submit(ADMIN, delete_queue(NVME_ADMIN_DELETE_SQ, 2));
	settle();
	held_end_all(driver.held);
	lane_turns();
	nvme_model.freeze(driver.function);
	quiesce();
	settle();
	assert_true(driver.quiet);
	assert_silent(ADMIN);
	nvme_model.resume(driver.function);
	assert_int_equal(status_of(await(2)), NVME_SUCCESS);
	assert_int_equal(await(ADMIN).command_id, deletion);
	assert_silent(ADMIN);
	end();
}

static void a_frozen_one_is_reset(void **state)
{
	begin_frozen(2);
	quiesce();
	held_end_all(driver.held);
	settle();
	assert_true(driver.quiet);
	nvme_model.reset(driver.function);
	driver.held->at_once = true;
	enable();
	for (unsigned i = 1; i < QUEUES; i++)
		make_queue(i, 16, 16);
	assert_working();
	end();
}

/* ---- takeover ---- */

/* The successor has other workers. */
static void take_over(void (*change)(void))
{
	struct handover handover = { 0 };

	assert_true(driver.quiet);
	nvme_model.save(driver.function, &handover);
	power_off();
	power_on();
	nvme_model.restore(driver.function, &handover);
	assert_int_equal(handover.error, 0);
	assert_int_equal(handover.position, handover.length);
	handover_finish(&handover);
	driver.held->at_once = true;
	change();
	go();
}

static void nothing(void)
{
}

static void takeover(void **state)
{
	begin_spread();
	hold_reads(2);
	quiesce();
	held_end_all(driver.held);
	settle();
	for (unsigned i = 1; i < QUEUES; i++)
		submit(i, flush());
	take_over(nothing);
	await_all(3);
	assert_int_equal(disk_channel_count(driver.disk), 2);
	quiesce();
	settle();
	take_over(take_lane);
	assert_working();
	assert_int_equal(disk_channel_count(driver.disk), 1);
	end();
}

static void takeover_with_kept_answers(void **state)
{
	for (unsigned fewer = 0; fewer < 2; fewer++) {
		begin_frozen(5);
		quiesce();
		held_end_all(driver.held);
		settle();
		take_over(fewer ? take_lane : nothing);
		await_all(5);
		assert_working();
		end();
	}
}

/* More answers than a function with one worker can have kept. */
static void takeover_with_many_kept_answers(void **state)
{
	const unsigned count = 200;

	begin_with_lane();
	for (unsigned i = 1; i < 3; i++)
		make_queue(i, 256, 256);
	driver.held->at_once = false;
	for (unsigned i = 1; i < 3; i++)
		for (unsigned k = 0; k < count; k++)
			submit(i, io(NVME_IO_READ, k, 1, DATA_AT + PAGE * k));
	settle();
	assert_int_equal(driver.held->held_count, 2 * count);
	nvme_model.freeze(driver.function);
	quiesce();
	settle();
	held_end_all(driver.held);
	settle();
	take_over(take_lane);
	for (unsigned i = 1; i < 3; i++) {
		for (unsigned k = 0; k < count; k++)
			assert_int_equal(status_of(await(i)), NVME_SUCCESS);
		assert_silent(i);
	}
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rest_waits_for_all),
		cmocka_unit_test(rest_waits_for_the_one_that_is_last),
		cmocka_unit_test(reset_forgets_all_queues),
		cmocka_unit_test(the_end_of_a_controller),
		cmocka_unit_test(rest_behind_a_change_of_queues),
		cmocka_unit_test(memory_changes_before_rest),
		cmocka_unit_test(a_lane_that_cannot_wake_up),
		cmocka_unit_test(moves),
		cmocka_unit_test(answers_are_kept),
		cmocka_unit_test(a_lane_is_frozen),
		cmocka_unit_test(a_lane_that_sleeps_is_frozen),
		cmocka_unit_test(frozen_before_a_change_of_queues),
		cmocka_unit_test(frozen_at_the_end_of_a_deletion),
		cmocka_unit_test(a_frozen_one_is_reset),
		cmocka_unit_test(takeover),
		cmocka_unit_test(takeover_with_kept_answers),
		cmocka_unit_test(takeover_with_many_kept_answers),
	};

	return cmocka_run_group_tests_name("nvme_lanes_rest", tests, NULL, NULL);
}
