/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The NVMe model while its VMM moves the guest's memory, range by range. */
#include "nvme_driver.h"

static struct nvme_command flush(void)
{
	return (struct nvme_command){ .opcode = NVME_IO_FLUSH, .namespace_id = 1 };
}

static void memory_becomes(struct guest_memory *memory)
{
	driver.bus.memory_moves = true;
	driver.bus.memory = memory;
	nvme_model.memory_changed(driver.function);
	settle();
}

/* With commands at the disk, and memory without their queues. */
static struct guest_memory *begin_moving(unsigned commands)
{
	struct guest_memory *part;

	begin_ready();
	part = memory_of(DATA_AT, RAM_BYTES - DATA_AT);
	driver.held->at_once = false;
	for (unsigned i = 0; i < commands; i++)
		submit(1, io(NVME_IO_WRITE, i, 1, DATA_AT));
	settle();
	memory_becomes(part);
	return part;
}

/* A VMM that moves memory unmaps it first: answers wait until their queues are somewhere again. */
static void memory_that_moves(void **state)
{
	struct guest_memory *part = begin_moving(6);
	unsigned failed = 0;

	held_end(driver.held, 0, 0);
	held_end(driver.held, 0, -EIO);
	settle();
	/* One range comes, and the one with the queues not yet. */
	memory_becomes(driver.empty);
	memory_becomes(part);
	held_end(driver.held, 0, 0);
	settle();
	assert_int_equal(violations(), 0);
	assert_int_equal(get32(NVME_REG_CSTS), NVME_CSTS_READY);
	memory_becomes(driver.memory);
	driver.bus.memory_moves = false;
	held_end_all(driver.held);
	for (unsigned i = 0; i < 6; i++)
		failed += status_of(await(1)) != NVME_SUCCESS;
	assert_int_equal(failed, 1);
	assert_silent(1);
	driver.held->at_once = true;
	assert_int_equal(run_status(1, flush()), NVME_SUCCESS);
	end();
	guest_memory_put(part);
}

/* Whatever the VMM says next ends the move: by then the queues are nowhere. */
static void memory_that_has_moved_away(void **state)
{
	struct guest_memory *part = begin_moving(2);

	held_end(driver.held, 0, 0);
	settle();
	assert_int_equal(violations(), 0);
	driver.bus.memory_moves = false;
	held_end(driver.held, 0, 0);
	settle();
	assert_int_equal(driver.violations[QUEUE_MEMORY], 1);
	assert_true(get32(NVME_REG_CSTS) & NVME_CSTS_FATAL);
	/* The answer that waits goes with its controller. */
	driver.bus.memory = driver.memory;
	set32(NVME_REG_CC, 0);
	settle();
	assert_int_equal(get32(NVME_REG_CSTS), 0);
	driver.held->at_once = true;
	enable();
	make_queue(1, 32, 32);
	assert_int_equal(run_status(1, flush()), NVME_SUCCESS);
	assert_silent(1);
	end();
	guest_memory_put(part);
}

/* A function that is to come to rest does so with the answer kept, and gives it when it goes on. */
static void rest_while_memory_moves(void **state)
{
	struct guest_memory *part = begin_moving(1);

	quiesce();
	assert_false(driver.quiet);
	held_end(driver.held, 0, 0);
	settle();
	assert_true(driver.quiet);
	memory_becomes(driver.memory);
	assert_silent(1);
	driver.held->at_once = true;
	nvme_model.resume(driver.function);
	assert_int_equal(status_of(await(1)), NVME_SUCCESS);
	assert_int_equal(violations(), 0);
	end();
	guest_memory_put(part);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_that_moves),
		cmocka_unit_test(memory_that_has_moved_away),
		cmocka_unit_test(rest_while_memory_moves),
	};

	return cmocka_run_group_tests_name("nvme_memory", tests, NULL, NULL);
}
