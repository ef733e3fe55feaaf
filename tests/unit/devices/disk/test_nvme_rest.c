/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The NVMe model's function comes to rest, is frozen, and moves to other workers. */
#include "core/handover.h"
#include "nvme_driver.h"

static struct nvme_command flush(void)
{
	return (struct nvme_command){ .opcode = NVME_IO_FLUSH, .namespace_id = 1 };
}

/* ---- rest ---- */

static void rest(void **state)
{
	begin_ready();
	quiesce();
	assert_true(driver.quiet);
	/* Registers are served, and commands wait. */
	assert_int_equal(get32(NVME_REG_CSTS), NVME_CSTS_READY);
	for (unsigned i = 0; i < 3; i++)
		submit(1, flush());
	submit(ADMIN, (struct nvme_command){ .opcode = NVME_ADMIN_ABORT });
	assert_silent(1);
	assert_silent(ADMIN);
	nvme_model.resume(driver.function);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(status_of(await(1)), NVME_SUCCESS);
	assert_int_equal(status_of(await(ADMIN)), NVME_SUCCESS);
	end();
}

static void rest_after_what_is_under_way(void **state)
{
	begin_ready();
	driver.held->at_once = false;
	for (unsigned i = 0; i < 10; i++)
		submit(1, io(NVME_IO_WRITE, i, 1, DATA_AT));
	settle();
	quiesce();
	for (unsigned i = 10; i < 20; i++)
		submit(1, io(NVME_IO_WRITE, i, 1, DATA_AT));
	settle();
	assert_int_equal(driver.held->held_count, 10);
	for (unsigned i = 0; i < 10; i++) {
		assert_false(driver.quiet);
		held_end(driver.held, 0, 0);
	}
	settle();
	assert_true(driver.quiet);
	assert_int_equal(driver.held->held_count, 0);
	driver.held->at_once = true;
	nvme_model.resume(driver.function);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(status_of(await(1)), NVME_SUCCESS);
	assert_silent(1);
	end();
}

/* A command that gives up many ranges is a hint: what waits for rest waits for one of them. */
static void rest_before_the_last_range(void **state)
{
	const struct nvme_range ranges[] = { { .blocks = 8 }, { .blocks = 8, .first_block = 16 },
					     { .blocks = 8, .first_block = 32 } };
	struct nvme_command command = io(NVME_IO_DATASET_MANAGEMENT, 0, 1, DATA_AT);

	begin_ready();
	driver.held->host.geometry.can_punch = true;
	memcpy(driver.ram + DATA_AT, ranges, sizeof(ranges));
	command.cdw10 = 2;
	command.cdw11 = NVME_DEALLOCATE;
	driver.held->at_once = false;
	submit(1, command);
	settle();
	assert_int_equal(driver.held->held_count, 1);
	quiesce();
	settle();
	assert_false(driver.quiet);
	held_end(driver.held, 0, 0);
	settle();
	assert_true(driver.quiet);
	assert_int_equal(driver.held->held_count, 0);
	assert_int_equal(status_of(await(1)), NVME_SUCCESS);
	nvme_model.resume(driver.function);
	end();
}

/* A driver that shuts down has nothing more done, so that the shutdown ends. */
static void shutdown_takes_no_commands(void **state)
{
	begin_ready();
	driver.held->at_once = false;
	submit(1, io(NVME_IO_READ, 0, 1, DATA_AT));
	settle();
	set32(NVME_REG_CC, CC_ENTRIES | NVME_CC_ENABLE | 1u << 14);
	submit(1, io(NVME_IO_READ, 1, 1, DATA_AT));
	settle();
	assert_int_equal(driver.held->held_count, 1);
	driver.held->at_once = true;
	held_end(driver.held, 0, 0);
	settle();
	assert_int_equal(get32(NVME_REG_CSTS) & NVME_CSTS_SHUTDOWN_MASK, NVME_CSTS_SHUT_DOWN);
	assert_int_equal(status_of(await(1)), NVME_SUCCESS);
	end();
}

/* The driver switches it off, or shuts it down, while it comes to rest. */
static void rest_and_the_end_of_a_controller(void **state)
{
	for (unsigned shutdown = 0; shutdown < 2; shutdown++) {
		begin_ready();
		driver.held->at_once = false;
		submit(1, io(NVME_IO_WRITE, 0, 1, DATA_AT));
		settle();
		quiesce();
		submit(1, io(NVME_IO_WRITE, 1, 1, DATA_AT));
		driver.held->at_once = true;
		set32(NVME_REG_CC, shutdown ? CC_ENABLE | CC_ENTRIES | CC_SHUTDOWN : CC_ENTRIES);
		held_end_all(driver.held);
		settle();
		assert_true(driver.quiet);
		nvme_model.resume(driver.function);
		settle();
		assert_int_equal(get32(NVME_REG_CSTS), shutdown ? NVME_CSTS_READY | NVME_CSTS_SHUT_DOWN : 0);
		assert_int_equal(driver.held->logged, shutdown ? 3 : 1);
		end();
	}
}

/* ---- other workers ---- */

static void moves_to_another_worker(void **state)
{
	const struct loop_options options = { .name = "other" };
	struct loop *first;
	struct loop_account *first_account;

	begin_ready();
	for (unsigned round = 0; round < 2; round++) {
		first = driver.loop;
		first_account = driver.bus.account;
		quiesce();
		settle();
		assert_true(driver.quiet);
		submit(1, flush());
		nvme_model.leave(driver.function);
		assert_int_equal(disk_channel_count(driver.disk), 0);
		assert_int_equal(loop_create(&options, &driver.loop), 0);
		driver.bus.loop = driver.loop;
		driver.bus.account = loop_account_create(driver.guest, driver.loop);
		loop_account_close(first_account);
		loop_destroy(first);
		go();
		assert_int_equal(status_of(await(1)), NVME_SUCCESS);
		assert_int_equal(run_status(1, io(NVME_IO_READ, 0, 1, DATA_AT)), NVME_SUCCESS);
	}
	end();
}

/* ---- frozen ---- */

/* So many commands are done while the function is frozen: their answers are kept. */
static void begin_frozen(unsigned count)
{
	begin_ready();
	driver.held->at_once = false;
	for (unsigned i = 0; i < count; i++)
		submit(1, io(NVME_IO_READ, i, 1, DATA_AT + i * PAGE));
	settle();
	nvme_model.freeze(driver.function);
	assert_int_equal(driver.held->held_count, count);
}

static void answers_are_kept(void **state)
{
	uint16_t first;

	begin_frozen(5);
	first = (uint16_t)(driver.next_id - 5);
	for (unsigned i = 0; i < 3; i++)
		held_end(driver.held, 0, i == 1 ? -EIO : 0);
	/* Nor is anything fetched. */
	for (unsigned i = 0; i < 3; i++)
		submit(1, flush());
	submit(ADMIN, (struct nvme_command){ .opcode = NVME_ADMIN_ABORT });
	assert_silent(1);
	assert_silent(ADMIN);
	quiesce();
	settle();
	assert_false(driver.quiet);
	held_end(driver.held, 0, 0);
	held_end(driver.held, 0, 0);
	settle();
	assert_true(driver.quiet);
	assert_silent(1);
	assert_int_equal(driver.held->held_count, 0);
	driver.held->at_once = true;
	nvme_model.resume(driver.function);
	for (unsigned i = 0, seen = 0; i < 8; i++) {
		struct nvme_completion completion = await(1);
		unsigned which = (uint16_t)(completion.command_id - first);

		assert_in_range(which, 0, 7);
		assert_int_equal(seen & 1u << which, 0);
		seen |= 1u << which;
		assert_int_equal(status_of(completion), which == 1 ? NVME_UNRECOVERED_READ : NVME_SUCCESS);
	}
	assert_int_equal(status_of(await(ADMIN)), NVME_SUCCESS);
	assert_silent(1);
	end();
}

/* An event waits, too. */
static void events_are_kept(void **state)
{
	const struct nvme_command feature = {
		.opcode = NVME_ADMIN_SET_FEATURES,
		.cdw10 = NVME_FEATURE_ASYNC_EVENTS,
		.cdw11 = 1u << 8,
	};

	begin_ready();
	assert_int_equal(run_status(ADMIN, feature), NVME_SUCCESS);
	submit(ADMIN, (struct nvme_command){ .opcode = NVME_ADMIN_ASYNC_EVENT });
	settle();
	nvme_model.freeze(driver.function);
	nvme_model.config_changed(driver.function);
	assert_silent(ADMIN);
	quiesce();
	settle();
	assert_true(driver.quiet);
	nvme_model.resume(driver.function);
	assert_int_equal(await(ADMIN).result, NVME_EVENT_NAMESPACE);
	end();
}

/* The controller ends: what was kept has nobody to go to. */
static void kept_answers_of_a_controller_that_ends(void **state)
{
	begin_frozen(5);
	held_end_all(driver.held);
	set32(NVME_REG_CC, CC_ENTRIES);
	settle();
	assert_int_equal(get32(NVME_REG_CSTS), 0);
	quiesce();
	settle();
	assert_true(driver.quiet);
	driver.held->at_once = true;
	nvme_model.resume(driver.function);
	enable();
	make_queue(1, 8, 8);
	/* Their slots are free again, more often than there are any. */
	for (unsigned i = 0; i < 300; i++) {
		driver.held->logged = 0;
		assert_int_equal(run_status(1, flush()), NVME_SUCCESS);
	}
	end();
}

static void kept_answers_of_a_function_that_is_reset(void **state)
{
	begin_frozen(5);
	held_end_all(driver.held);
	quiesce();
	settle();
	assert_true(driver.quiet);
	nvme_model.reset(driver.function);
	driver.held->at_once = true;
	enable();
	make_queue(1, 8, 8);
	assert_int_equal(run_status(1, flush()), NVME_SUCCESS);
	end();
}

/* Without memory for another channel, the controller is at its end until its driver enables it again. */
static void no_memory_to_go_on_with(void **state)
{
	static const uint32_t fatal = NVME_CSTS_FATAL | NVME_CSTS_READY;

	for (unsigned freezes = 1; freezes <= 2; freezes++) {
		begin_frozen(5);
		held_end_all(driver.held);
		driver.held->refuses_channels = driver.held->at_once = true;
		for (unsigned i = 0; i < freezes; i++) {
			quiesce();
			settle();
			assert_true(driver.quiet);
			nvme_model.resume(driver.function);
			nvme_model.freeze(driver.function);
		}
		quiesce();
		settle();
		nvme_model.resume(driver.function);
		for (unsigned i = 0; i < 5; i++)
			assert_int_equal(status_of(await(1)), NVME_SUCCESS);
		assert_int_equal(get32(NVME_REG_CSTS), fatal);
		submit(1, flush());
		assert_silent(1);
		/* A shutdown ends all the same. */
		set32(NVME_REG_CC, CC_ENABLE | CC_ENTRIES | CC_SHUTDOWN);
		settle();
		assert_int_equal(get32(NVME_REG_CSTS), fatal | NVME_CSTS_SHUT_DOWN);
		set32(NVME_REG_CC, CC_ENTRIES);
		settle();
		assert_int_equal(get32(NVME_REG_CSTS), 0);
		enable_with(32, 32);
		assert_int_equal(get32(NVME_REG_CSTS), fatal);
		set32(NVME_REG_CC, CC_ENTRIES);
		driver.held->refuses_channels = false;
		enable();
		make_queue(1, 8, 8);
		assert_int_equal(run_status(1, flush()), NVME_SUCCESS);
		assert_int_equal(driver.held->channels, 1);
		end();
	}
}

static void power_off_with_kept_answers(void **state)
{
	begin_frozen(5);
	end();
}

/* ---- taken over while answers are kept ---- */

static void take_over_frozen(void)
{
	struct handover handover = { 0 };

	quiesce();
	held_end_all(driver.held);
	settle();
	assert_true(driver.quiet);
	nvme_model.save(driver.function, &handover);
	power_off();
	power_on();
	nvme_model.restore(driver.function, &handover);
	assert_int_equal(handover.error, 0);
	assert_int_equal(handover.position, handover.length);
	handover_finish(&handover);
	driver.held->at_once = true;
	go();
}

static void takeover_with_kept_answers(void **state)
{
	begin_frozen(5);
	held_end(driver.held, 4, -EIO);
	take_over_frozen();
	for (unsigned i = 0, failed = 0; i < 5; i++) {
		struct nvme_completion completion = await(1);

		failed += status_of(completion) == NVME_UNRECOVERED_READ;
		assert_true(i < 4 || failed == 1);
	}
	assert_silent(1);
	assert_int_equal(run_status(1, flush()), NVME_SUCCESS);
	end();
}

/* The deletion of their queue is answered behind them, by the successor. */
static void takeover_with_a_deletion_that_waits(void **state)
{
	struct nvme_completion completion;
	uint16_t deletion;

	begin_ready();
	driver.held->at_once = false;
	submit(ADMIN, (struct nvme_command){ .opcode = NVME_ADMIN_ASYNC_EVENT });
	for (unsigned i = 0; i < 2; i++)
		submit(1, io(NVME_IO_READ, i, 1, DATA_AT));
	settle();
	deletion = submit(ADMIN, delete_queue(NVME_ADMIN_DELETE_SQ, 1));
	settle();
	nvme_model.freeze(driver.function);
	take_over_frozen();
	assert_int_equal(status_of(await(1)), NVME_SUCCESS);
	assert_int_equal(status_of(await(1)), NVME_SUCCESS);
	completion = await(ADMIN);
	assert_int_equal(completion.command_id, deletion);
	assert_int_equal(status_of(completion), NVME_SUCCESS);
	assert_int_equal(run_status(ADMIN, delete_queue(NVME_ADMIN_DELETE_CQ, 1)), NVME_SUCCESS);
	make_queue(1, 8, 8);
	assert_int_equal(run_status(1, flush()), NVME_SUCCESS);
	assert_int_equal(violations(), 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rest),
		cmocka_unit_test(rest_after_what_is_under_way),
		cmocka_unit_test(rest_before_the_last_range),
		cmocka_unit_test(shutdown_takes_no_commands),
		cmocka_unit_test(rest_and_the_end_of_a_controller),
		cmocka_unit_test(moves_to_another_worker),
		cmocka_unit_test(answers_are_kept),
		cmocka_unit_test(events_are_kept),
		cmocka_unit_test(kept_answers_of_a_controller_that_ends),
		cmocka_unit_test(kept_answers_of_a_function_that_is_reset),
		cmocka_unit_test(no_memory_to_go_on_with),
		cmocka_unit_test(power_off_with_kept_answers),
		cmocka_unit_test(takeover_with_kept_answers),
		cmocka_unit_test(takeover_with_a_deletion_that_waits),
	};

	return cmocka_run_group_tests_name("nvme_rest", tests, NULL, NULL);
}
