/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The NVMe model's registers, its controller's life, and its queues. */
#include "nvme_driver.h"

/* ---- registers ---- */

/* Are all registers in [from, to) zero? */
static bool reads_as_zero(uint32_t from, uint32_t to)
{
	for (uint32_t offset = from; offset < to; offset += 4)
		if (get32(offset))
			return false;
	return true;
}

static void registers_after_power_on(void **state)
{
	uint64_t cap;

	begin();
	cap = get64(NVME_REG_CAP);
	assert_int_equal(cap & 0xffff, 1023);  /* MQES, zero-based */
	assert_int_equal(cap >> 16 & 1, 1);    /* CQR */
	assert_int_equal(cap >> 17 & 3, 0);    /* AMS */
	assert_true((cap >> 24 & 0xff) >= 20); /* TO: ten seconds at least */
	assert_int_equal(cap >> 32 & 0xf, 0);  /* DSTRD */
	assert_int_equal(cap >> 36 & 1, 0);    /* NSSRS */
	assert_int_equal(cap >> 37 & 0xff, 1); /* CSS: NVM commands */
	assert_int_equal(cap >> 48, 0);	       /* MPSMIN, MPSMAX: 4 KiB */
	assert_int_equal(get32(NVME_REG_VS), 0x10400);
	assert_true(reads_as_zero(NVME_REG_INTMS, nvme_model.bars[0].bytes));
	/* In any size, and in no other BAR. */
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(nvme_model.read(driver.function, 0, i, 1), cap >> 8 * i & 0xff);
	for (unsigned i = 0; i < 8; i += 2)
		assert_int_equal(nvme_model.read(driver.function, 0, i, 2), cap >> 8 * i & 0xffff);
	assert_int_equal(get32(4), cap >> 32);
	assert_int_equal(nvme_model.read(driver.function, 1, 0, 8), 0);
	assert_int_equal(nvme_model.read(driver.function, 0, 0x3c, 8), 0);
	assert_int_equal(nvme_model.read(driver.function, 0, 0xfffffff8, 8), 0);
	end();
}

static void registers_that_are_written(void **state)
{
	uint64_t cap;

	begin();
	cap = get64(NVME_REG_CAP);
	set32(NVME_REG_AQA, UINT32_MAX);
	assert_int_equal(get32(NVME_REG_AQA), 0x0fff0fff);
	set64(NVME_REG_ASQ, 0x1122334455667788);
	set32(NVME_REG_ACQ + 4, 0xaabbccdd);
	set32(NVME_REG_ACQ, 0x00112233);
	assert_int_equal(get64(NVME_REG_ASQ), 0x1122334455667788);
	assert_int_equal(get64(NVME_REG_ACQ), 0xaabbccdd00112233);
	/* What cannot be written, and writes of no register's size. */
	set64(NVME_REG_CAP, 0);
	set32(NVME_REG_VS, 0);
	set32(NVME_REG_CSTS, UINT32_MAX);
	nvme_model.write(driver.function, 0, NVME_REG_AQA, 1, 0);
	nvme_model.write(driver.function, 0, NVME_REG_AQA, 2, 0);
	nvme_model.write(driver.function, 0, NVME_REG_AQA + 2, 4, 0);
	nvme_model.write(driver.function, 1, NVME_REG_AQA, 4, 0);
	assert_int_equal(get64(NVME_REG_CAP), cap);
	assert_int_equal(get32(NVME_REG_VS), 0x10400);
	assert_int_equal(get32(NVME_REG_CSTS), 0);
	assert_int_equal(get32(NVME_REG_AQA), 0x0fff0fff);
	set32(NVME_REG_INTMS, 0x0f);
	set32(NVME_REG_INTMC, 0x03);
	assert_int_equal(get32(NVME_REG_INTMS), 0x0c);
	assert_int_equal(get32(NVME_REG_INTMC), 0x0c);
	assert_int_equal(violations(), 0);
	end();
}

/* ---- the controller's life ---- */

static void enable_and_disable(void **state)
{
	begin_ready();
	/* Where the admin queues lie is settled. */
	set32(NVME_REG_AQA, 0);
	set64(NVME_REG_ASQ, 0);
	set64(NVME_REG_ACQ, 0);
	assert_int_equal(get32(NVME_REG_AQA), 31 << 16 | 31);
	assert_int_equal(get64(NVME_REG_ASQ), RAM_BASE + SQ_AT(ADMIN));
	set32(NVME_REG_INTMS, 1);
	set32(NVME_REG_CC, CC_ENTRIES);
	/* A controller reset keeps these three. */
	assert_int_equal(get32(NVME_REG_CSTS), 0);
	assert_int_equal(get32(NVME_REG_CC), 0);
	assert_int_equal(get32(NVME_REG_INTMS), 0);
	assert_int_equal(get32(NVME_REG_AQA), 31 << 16 | 31);
	assert_int_equal(get64(NVME_REG_ASQ), RAM_BASE + SQ_AT(ADMIN));
	assert_int_equal(get64(NVME_REG_ACQ), RAM_BASE + CQ_AT(ADMIN));
	/* The queues begin anew, and those for I/O are gone. */
	enable();
	make_queue(1, 4, 4);
	assert_int_equal(violations(), 0);
	end();
}

/* What is at the disk is waited for; its answer goes nowhere. */
static void disabled_with_commands_under_way(void **state)
{
	struct nvme_completion completion;

	begin_ready();
	driver.held->at_once = false;
	submit(1, io(NVME_IO_WRITE, 8, 1, DATA_AT));
	settle();
	assert_int_equal(driver.held->held_count, 1);
	set32(NVME_REG_CC, CC_ENTRIES);
	settle();
	assert_int_equal(get32(NVME_REG_CSTS), NVME_CSTS_READY);
	/* Nor is anything taken up meanwhile. */
	submit(1, io(NVME_IO_WRITE, 9, 1, DATA_AT));
	set32(NVME_REG_CC, CC_ENTRIES | CC_ENABLE);
	settle();
	assert_int_equal(driver.held->held_count, 1);
	held_end_all(driver.held);
	settle();
	assert_int_equal(get32(NVME_REG_CSTS), 0);
	assert_int_equal(driver.held->logged, 1);
	driver.held->at_once = true;
	enable();
	make_queue(1, 4, 4);
	assert_false(look(1, &completion));
	assert_int_equal(run_status(1, io(NVME_IO_READ, 0, 1, DATA_AT)), NVME_SUCCESS);
	end();
}

struct settings {
	uint32_t cc, aqa;
	uint64_t asq, acq;
	unsigned kind;
};

#define GOOD_AQA (31u << 16 | 31)
#define GOOD_ASQ (RAM_BASE + SQ_AT(ADMIN))
#define GOOD_ACQ (RAM_BASE + CQ_AT(ADMIN))

static void settings_that_cannot_be(void **state)
{
	static const struct settings bad[] = {
		{ 1u << 4, GOOD_AQA, GOOD_ASQ, GOOD_ACQ, ENABLE },
		{ 7u << 4, GOOD_AQA, GOOD_ASQ, GOOD_ACQ, ENABLE },
		{ 1u << 7, GOOD_AQA, GOOD_ASQ, GOOD_ACQ, ENABLE },
		{ 15u << 7, GOOD_AQA, GOOD_ASQ, GOOD_ACQ, ENABLE },
		{ 1u << 11, GOOD_AQA, GOOD_ASQ, GOOD_ACQ, ENABLE },
		{ 0, 31u << 16, GOOD_ASQ, GOOD_ACQ, ENABLE },
		{ 0, 31u, GOOD_ASQ, GOOD_ACQ, ENABLE },
		{ 0, GOOD_AQA, GOOD_ASQ + 64, GOOD_ACQ, ENABLE },
		{ 0, GOOD_AQA, GOOD_ASQ, GOOD_ACQ + 2048, ENABLE },
		{ 0, GOOD_AQA, 0, GOOD_ACQ, QUEUE_MEMORY },
		{ 0, GOOD_AQA, GOOD_ASQ, OUTSIDE, QUEUE_MEMORY },
		{ 0, GOOD_AQA, UINT64_MAX - 4095, GOOD_ACQ, QUEUE_MEMORY },
		/* Its first page is memory, and its last is not. */
		{ 0, 31u << 16 | 4095, RAM_BASE + RAM_BYTES - PAGE, GOOD_ACQ, QUEUE_MEMORY },
	};

	begin();
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		unsigned before = driver.violations[bad[i].kind], all = violations();

		set32(NVME_REG_AQA, bad[i].aqa);
		set64(NVME_REG_ASQ, bad[i].asq);
		set64(NVME_REG_ACQ, bad[i].acq);
		set32(NVME_REG_CC, CC_ENABLE | CC_ENTRIES | bad[i].cc);
		assert_int_equal(get32(NVME_REG_CSTS), NVME_CSTS_FATAL);
		assert_int_equal(driver.violations[bad[i].kind], before + 1);
		/* It hears nothing until it is reset. */
		ring_sq(ADMIN, 1);
		settle();
		assert_int_equal(violations(), all + 1);
		set32(NVME_REG_CC, 0);
		assert_int_equal(get32(NVME_REG_CSTS), 0);
	}
	enable();
	end();
}

static void shutdown_flushes(void **state)
{
	begin_ready();
	assert_int_equal(run_status(1, io(NVME_IO_WRITE, 0, 1, DATA_AT)), NVME_SUCCESS);
	driver.held->at_once = false;
	driver.held->logged = 0;
	submit(1, io(NVME_IO_WRITE, 1, 1, DATA_AT));
	settle();
	set32(NVME_REG_CC, CC_ENABLE | CC_ENTRIES | CC_SHUTDOWN);
	settle();
	assert_int_equal(get32(NVME_REG_CSTS), NVME_CSTS_READY | NVME_CSTS_SHUTTING_DOWN);
	/* The flush comes behind what was under way. */
	assert_int_equal(driver.held->logged, 1);
	held_end(driver.held, 0, 0);
	settle();
	assert_int_equal(driver.held->logged, 2);
	assert_int_equal(driver.held->log[1].op, HOST_IO_FLUSH);
	assert_int_equal(get32(NVME_REG_CSTS), NVME_CSTS_READY | NVME_CSTS_SHUTTING_DOWN);
	held_end(driver.held, 0, 0);
	settle();
	assert_int_equal(get32(NVME_REG_CSTS), NVME_CSTS_READY | NVME_CSTS_SHUT_DOWN);
	driver.held->at_once = true;
	set32(NVME_REG_CC, CC_ENTRIES);
	assert_int_equal(get32(NVME_REG_CSTS), 0);
	enable();
	end();
}

/* The disk's error is in its log; the driver is not kept waiting. */
static void shutdown_with_a_failing_flush(void **state)
{
	begin_ready();
	driver.held->at_once = false;
	set32(NVME_REG_CC, CC_ENABLE | CC_ENTRIES | CC_SHUTDOWN);
	settle();
	/* A driver that loses patience switches it off. */
	set32(NVME_REG_CC, CC_ENTRIES);
	assert_int_equal(get32(NVME_REG_CSTS), NVME_CSTS_READY | NVME_CSTS_SHUTTING_DOWN);
	held_end(driver.held, 0, -EIO);
	settle();
	assert_int_equal(get32(NVME_REG_CSTS), 0);
	end();
}

static void reset_of_the_function(void **state)
{
	begin_ready();
	driver.held->at_once = false;
	submit(1, io(NVME_IO_READ, 0, 1, DATA_AT));
	settle();
	quiesce();
	settle();
	assert_false(driver.quiet);
	held_end_all(driver.held);
	settle();
	assert_true(driver.quiet);
	nvme_model.reset(driver.function);
	assert_true(reads_as_zero(NVME_REG_INTMS, 0x40));
	driver.held->at_once = true;
	enable();
	end();
}

/* ---- making and deleting queues ---- */

static void queues_that_cannot_be_made(void **state)
{
	struct nvme_command command;

	begin();
	enable();
	queue_init(1, 16, 16);
	assert_int_equal(run_status(ADMIN, create_cq(0, 16, 1)), REFUSED(NVME_INVALID_QUEUE_ID));
	assert_int_equal(run_status(ADMIN, create_cq(QUEUES, 16, 1)), REFUSED(NVME_INVALID_QUEUE_ID));
	assert_int_equal(run_status(ADMIN, create_cq(0xffff, 16, 1)), REFUSED(NVME_INVALID_QUEUE_ID));
	assert_int_equal(run_status(ADMIN, create_cq(1, 1, 1)), REFUSED(NVME_INVALID_QUEUE_SIZE));
	assert_int_equal(run_status(ADMIN, create_cq(1, 1025, 1)), REFUSED(NVME_INVALID_QUEUE_SIZE));
	assert_int_equal(run_status(ADMIN, create_cq(1, 65536, 1)), REFUSED(NVME_INVALID_QUEUE_SIZE));
	assert_int_equal(run_status(ADMIN, create_cq(1, 16, 64)), REFUSED(NVME_INVALID_VECTOR));
	assert_int_equal(run_status(ADMIN, create_cq(1, 16, 0xffff)), REFUSED(NVME_INVALID_VECTOR));
	command = create_cq(1, 16, 1);
	command.cdw11 &= ~1u;
	assert_int_equal(run_status(ADMIN, command), REFUSED(NVME_INVALID_FIELD));
	command = create_cq(1, 16, 1);
	command.prp1 += 64;
	assert_int_equal(run_status(ADMIN, command), REFUSED(NVME_PRP_OFFSET_INVALID));
	command.prp1 = OUTSIDE;
	assert_int_equal(run_status(ADMIN, command), REFUSED(NVME_INVALID_FIELD));
	command.prp1 = UINT64_MAX - 4095;
	assert_int_equal(run_status(ADMIN, command), REFUSED(NVME_INVALID_FIELD));
	/* Without a completion queue, with none such, and with the admin queue's. */
	assert_int_equal(run_status(ADMIN, create_sq(1, 16, 1)), REFUSED(NVME_CQ_INVALID));
	assert_int_equal(run_status(ADMIN, create_cq(1, 1024, 63)), NVME_SUCCESS);
	assert_int_equal(run_status(ADMIN, create_cq(1, 16, 1)), REFUSED(NVME_INVALID_QUEUE_ID));
	assert_int_equal(run_status(ADMIN, create_sq(1, 16, 0)), REFUSED(NVME_CQ_INVALID));
	assert_int_equal(run_status(ADMIN, create_sq(1, 16, 0xffff)), REFUSED(NVME_CQ_INVALID));
	assert_int_equal(run_status(ADMIN, create_sq(0, 16, 1)), REFUSED(NVME_INVALID_QUEUE_ID));
	assert_int_equal(run_status(ADMIN, create_sq(QUEUES, 16, 1)), REFUSED(NVME_INVALID_QUEUE_ID));
	assert_int_equal(run_status(ADMIN, create_sq(1, 1, 1)), REFUSED(NVME_INVALID_QUEUE_SIZE));
	assert_int_equal(run_status(ADMIN, create_sq(1, 1025, 1)), REFUSED(NVME_INVALID_QUEUE_SIZE));
	command = create_sq(1, 16, 1);
	command.cdw11 &= ~1u;
	assert_int_equal(run_status(ADMIN, command), REFUSED(NVME_INVALID_FIELD));
	command = create_sq(1, 16, 1);
	command.prp1++;
	assert_int_equal(run_status(ADMIN, command), REFUSED(NVME_PRP_OFFSET_INVALID));
	command.prp1 = RAM_BASE + RAM_BYTES;
	assert_int_equal(run_status(ADMIN, command), REFUSED(NVME_INVALID_FIELD));
	assert_int_equal(run_status(ADMIN, create_sq(1, 1024, 1)), NVME_SUCCESS);
	assert_int_equal(run_status(ADMIN, create_sq(1, 16, 1)), REFUSED(NVME_INVALID_QUEUE_ID));
	end();
}

/* Entries of another size than these cannot be, and CC says which it shall be. */
static void queues_of_other_entries(void **state)
{
	static const uint32_t bad[] = { 0, 6u << 16, 4u << 20, 7u << 16 | 4u << 20, 6u << 16 | 5u << 20 };

	begin();
	for (unsigned i = 0; i < 5; i++) {
		enable();
		set32(NVME_REG_CC, CC_ENABLE | bad[i]);
		assert_int_equal(run_status(ADMIN, create_cq(1, 16, 1)), NVME_SUCCESS);
		assert_int_equal(run_status(ADMIN, create_sq(1, 16, 1)), REFUSED(NVME_INVALID_QUEUE_SIZE));
		set32(NVME_REG_CC, 0);
	}
	end();
}

static void queues_are_deleted(void **state)
{
	begin_ready();
	assert_int_equal(run_status(ADMIN, create_sq(2, 16, 1)), NVME_SUCCESS);
	for (unsigned id = 0; id < 0x10000; id += 0x10000 / 4 - 1) {
		if (id == 1 || id == 2)
			continue;
		assert_int_equal(run_status(ADMIN, delete_queue(NVME_ADMIN_DELETE_SQ, id)),
				 REFUSED(NVME_INVALID_QUEUE_ID));
		assert_int_equal(run_status(ADMIN, delete_queue(NVME_ADMIN_DELETE_CQ, id)),
				 REFUSED(NVME_INVALID_QUEUE_ID));
	}
	/* 65 is where 1 would be in a table of 64. */
	assert_int_equal(run_status(ADMIN, delete_queue(NVME_ADMIN_DELETE_SQ, 65)),
			 REFUSED(NVME_INVALID_QUEUE_ID));
	assert_int_equal(run_status(ADMIN, delete_queue(NVME_ADMIN_DELETE_CQ, 1)),
			 REFUSED(NVME_INVALID_QUEUE_DELETION));
	assert_int_equal(run_status(ADMIN, delete_queue(NVME_ADMIN_DELETE_SQ, 1)), NVME_SUCCESS);
	assert_int_equal(run_status(ADMIN, delete_queue(NVME_ADMIN_DELETE_SQ, 1)),
			 REFUSED(NVME_INVALID_QUEUE_ID));
	assert_int_equal(run_status(ADMIN, delete_queue(NVME_ADMIN_DELETE_CQ, 1)),
			 REFUSED(NVME_INVALID_QUEUE_DELETION));
	assert_int_equal(run_status(ADMIN, delete_queue(NVME_ADMIN_DELETE_SQ, 2)), NVME_SUCCESS);
	assert_int_equal(run_status(ADMIN, delete_queue(NVME_ADMIN_DELETE_CQ, 1)), NVME_SUCCESS);
	make_queue(1, 2, 2);
	end();
}

/* The deletion is answered when what is under way has been, and what was not fetched is dropped. */
static void deleted_while_commands_are_under_way(void **state)
{
	struct nvme_completion completion;
	uint16_t first, second, deletion;

	begin_ready();
	driver.held->at_once = false;
	first = submit(1, io(NVME_IO_READ, 0, 1, DATA_AT));
	second = submit(1, io(NVME_IO_READ, 1, 1, DATA_AT));
	settle();
	deletion = submit(ADMIN, delete_queue(NVME_ADMIN_DELETE_SQ, 1));
	settle();
	submit(1, io(NVME_IO_READ, 2, 1, DATA_AT));
	assert_silent(ADMIN);
	assert_int_equal(driver.held->held_count, 2);
	/* It is on its way out already. */
	submit(ADMIN, delete_queue(NVME_ADMIN_DELETE_SQ, 1));
	assert_int_equal(status_of(await(ADMIN)), REFUSED(NVME_INVALID_QUEUE_ID));
	held_end(driver.held, 1, 0);
	assert_int_equal(await(1).command_id, second);
	assert_silent(ADMIN);
	held_end(driver.held, 0, -EIO);
	completion = await(1);
	assert_int_equal(completion.command_id, first);
	assert_int_equal(status_of(completion), NVME_UNRECOVERED_READ);
	completion = await(ADMIN);
	assert_int_equal(completion.command_id, deletion);
	assert_int_equal(status_of(completion), NVME_SUCCESS);
	assert_silent(1);
	assert_int_equal(driver.held->logged, 2);
	assert_int_equal(driver.violations[DOORBELL], 0);
	ring_sq(1, 0);
	assert_int_equal(driver.violations[DOORBELL], 1);
	driver.held->at_once = true;
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers_after_power_on),
		cmocka_unit_test(registers_that_are_written),
		cmocka_unit_test(enable_and_disable),
		cmocka_unit_test(disabled_with_commands_under_way),
		cmocka_unit_test(settings_that_cannot_be),
		cmocka_unit_test(shutdown_flushes),
		cmocka_unit_test(shutdown_with_a_failing_flush),
		cmocka_unit_test(reset_of_the_function),
		cmocka_unit_test(queues_that_cannot_be_made),
		cmocka_unit_test(queues_of_other_entries),
		cmocka_unit_test(queues_are_deleted),
		cmocka_unit_test(deleted_while_commands_are_under_way),
	};

	return cmocka_run_group_tests_name("nvme", tests, NULL, NULL);
}
