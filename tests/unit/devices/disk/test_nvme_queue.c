/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way of a command through the NVMe model's queues: doorbells, phase, room, interrupts, turns. */
#include "nvme_driver.h"
#include "stopped_clock.h"

static struct nvme_command flush(void)
{
	return (struct nvme_command){ .opcode = NVME_IO_FLUSH, .namespace_id = 1 };
}

/* ---- rings that wrap ---- */

/* Every size from the smallest on; each completion is where it should be, in its phase, and once. */
static void phase_over_wraps(void **state)
{
	static const unsigned sizes[] = { 2, 3, 5, 16 };

	begin();
	for (unsigned i = 0; i < 4; i++) {
		enable_with(sizes[i], sizes[3 - i]);
		for (unsigned j = 0; j < 50; j++)
			assert_int_equal(
				run_status(ADMIN, (struct nvme_command){ .opcode = NVME_ADMIN_ABORT }),
				NVME_SUCCESS);
		assert_silent(ADMIN);
		set32(NVME_REG_CC, 0);
	}
	assert_int_equal(violations(), 0);
	end();
}

/* A full submission queue of each size, whose completions are read when all are there. */
static void full_rounds(void **state)
{
	struct nvme_completion completion;
	uint16_t next = 0;

	begin();
	enable();
	make_queue(1, 7, 8);
	next = driver.next_id;
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 6; i++)
			put(1, flush());
		ring_sq(1, driver.queue[1].tail);
		settle();
		for (unsigned i = 0; i < 6; i++) {
			assert_true(look(1, &completion));
			assert_int_equal(completion.command_id, next++);
			assert_int_equal(completion.sq_id, 1);
			assert_int_equal(status_of(completion), NVME_SUCCESS);
		}
		assert_silent(1);
		ring_cq(1, driver.queue[1].head);
	}
	end();
}

/* A command is fetched only when there is room for its answer: nothing that is unread is overwritten. */
static void full_completion_queue(void **state)
{
	struct nvme_completion completion;

	begin();
	enable();
	make_queue(1, 32, 4);
	driver.held->logged = 0;
	for (unsigned i = 0; i < 10; i++)
		submit(1, flush());
	settle();
	assert_int_equal(driver.held->logged, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_true(look(1, &completion));
	assert_silent(1);
	/* Room for one, and then for two. */
	ring_cq(1, 1);
	settle();
	assert_int_equal(driver.held->logged, 4);
	assert_true(look(1, &completion));
	assert_silent(1);
	ring_cq(1, 3);
	settle();
	assert_int_equal(driver.held->logged, 6);
	assert_true(look(1, &completion));
	assert_true(look(1, &completion));
	for (unsigned i = 0; i < 4; i++) {
		ring_cq(1, driver.queue[1].head);
		settle();
		while (look(1, &completion))
			assert_int_equal(status_of(completion), NVME_SUCCESS);
	}
	assert_int_equal(driver.held->logged, 10);
	assert_int_equal(violations(), 0);
	end();
}

/* Those under way have their room, too, and a shutdown does not wait for what cannot be fetched. */
static void room_is_kept_for_what_is_under_way(void **state)
{
	struct nvme_completion completion;

	begin();
	enable();
	make_queue(1, 32, 4);
	driver.held->at_once = false;
	for (unsigned i = 0; i < 10; i++)
		submit(1, io(NVME_IO_READ, i, 1, DATA_AT));
	settle();
	assert_int_equal(driver.held->held_count, 3);
	held_end(driver.held, 0, 0);
	settle();
	assert_true(look(1, &completion));
	assert_int_equal(driver.held->held_count, 2);
	ring_cq(1, 1);
	settle();
	assert_int_equal(driver.held->held_count, 3);
	set32(NVME_REG_CC, CC_ENABLE | CC_ENTRIES | CC_SHUTDOWN);
	driver.held->at_once = true;
	held_end_all(driver.held);
	settle();
	assert_int_equal(get32(NVME_REG_CSTS), NVME_CSTS_READY | NVME_CSTS_SHUT_DOWN);
	end();
}

/* Two submission queues share a completion queue, which has room for one answer at a time. */
static void queues_that_share_a_completion_queue(void **state)
{
	struct nvme_completion completion;
	unsigned answers[3] = { 0 };

	begin();
	enable();
	make_queue(1, 16, 2);
	queue_init(2, 16, 2);
	assert_int_equal(run_status(ADMIN, create_sq(2, 16, 1)), NVME_SUCCESS);
	for (unsigned i = 0; i < 10; i++) {
		submit(1, flush());
		submit(2, flush());
	}
	for (unsigned i = 0; i < 20; i++) {
		completion = await(1);
		assert_true(completion.sq_id == 1 || completion.sq_id == 2);
		answers[completion.sq_id]++;
		/* They have their turns one after the other. */
		assert_true(answers[1] <= answers[2] + 1 && answers[2] <= answers[1] + 1);
	}
	assert_silent(1);
	assert_int_equal(answers[1] + answers[2], 20);
	end();
}

/* As many as there are slots; the others wait, and none is forgotten. */
static void more_commands_than_slots(void **state)
{
	struct nvme_completion completion;
	unsigned answered = 0, logged = 0;

	begin();
	enable();
	make_queue(1, 1024, 1024);
	driver.held->at_once = true;
	for (unsigned i = 0; i < 900; i++)
		put(1, io(NVME_IO_READ, i % 100, 1, DATA_AT));
	ring_sq(1, driver.queue[1].tail);
	for (unsigned i = 0; i < 900; i++) {
		logged += driver.held->logged;
		driver.held->logged = 0;
		turn();
		while (reap(1, &completion))
			answered++;
	}
	assert_int_equal(answered, 900);
	assert_int_equal(logged + driver.held->logged, 900);
	end();
}

/* ---- doorbells ---- */

static void doorbells_of_no_queue(void **state)
{
	static const uint32_t bad[] = { 0x1010, 0x1014, 0x1018, 0x11f8, 0x11fc, 0x1200, 0x1ffc };

	begin_ready();
	for (unsigned i = 0; i < 7; i++) {
		set32(bad[i], 1);
		assert_int_equal(driver.violations[DOORBELL], i + 1);
	}
	/* Behind them lie the table of vectors and nothing. */
	set32(0x2000, 1);
	set32(0x3ffc, 1);
	set32(0x40, 1);
	set32(0xffc, 1);
	set32(0xfffffffc, 1);
	assert_int_equal(violations(), 7);
	assert_int_equal(run_status(1, flush()), NVME_SUCCESS);
	end();
}

static void doorbells_with_values_that_cannot_be(void **state)
{
	struct nvme_completion completion;

	begin();
	enable();
	make_queue(1, 8, 8);
	ring_sq(1, 8);
	ring_sq(1, 0xffff);
	assert_int_equal(driver.violations[DOORBELL_VALUE], 2);
	/* Nothing was answered, so that nothing can have been read. */
	for (uint32_t head = 1; head < 10; head++)
		ring_cq(1, head);
	assert_int_equal(driver.violations[DOORBELL_VALUE], 11);
	ring_cq(1, 0);
	assert_int_equal(driver.violations[DOORBELL_VALUE], 11);
	for (unsigned i = 0; i < 3; i++)
		submit(1, flush());
	settle();
	ring_cq(1, 4);
	ring_cq(1, 7);
	assert_int_equal(driver.violations[DOORBELL_VALUE], 13);
	ring_cq(1, 2);
	ring_cq(1, 1);
	assert_int_equal(driver.violations[DOORBELL_VALUE], 14);
	for (unsigned i = 0; i < 3; i++)
		assert_true(look(1, &completion));
	ring_cq(1, 3);
	/* The upper half is reserved. */
	put(1, flush());
	set32(NVME_DOORBELLS + 8, 0xabcd0004u);
	assert_int_equal(status_of(await(1)), NVME_SUCCESS);
	assert_int_equal(violations(), 14);
	end();
}

/* A tail that goes back makes old entries commands anew: the driver's own fault, and harmless. */
static void tail_that_goes_back(void **state)
{
	struct nvme_completion completion;
	unsigned answered = 0;

	begin();
	enable();
	make_queue(1, 8, 16);
	for (unsigned i = 0; i < 3; i++)
		submit(1, flush());
	settle();
	while (reap(1, &completion))
		answered++;
	assert_int_equal(answered, 3);
	ring_sq(1, 2);
	settle();
	while (reap(1, &completion))
		answered++;
	/* From 3 over the end to 2: zeroes are flushes of no namespace. */
	assert_int_equal(answered, 10);
	end();
}

/* ---- interrupts ---- */

/* One message for the answers of a turn, and none for a queue without interrupts. */
static void messages(void **state)
{
	struct nvme_completion completion;
	struct nvme_command command;

	begin();
	driver.has_vectors = true;
	nvme_model.vectors_changed(driver.function);
	enable();
	queue_init(1, 16, 16);
	queue_init(2, 16, 16);
	assert_int_equal(run_status(ADMIN, create_cq(1, 16, 7)), NVME_SUCCESS);
	command = create_cq(2, 16, 9);
	command.cdw11 &= ~2u;
	assert_int_equal(run_status(ADMIN, command), NVME_SUCCESS);
	assert_int_equal(run_status(ADMIN, create_sq(1, 16, 1)), NVME_SUCCESS);
	assert_int_equal(run_status(ADMIN, create_sq(2, 16, 2)), NVME_SUCCESS);
	assert_int_equal(driver.raised[0], 4);
	for (unsigned i = 0; i < 5; i++)
		put(1, flush());
	submit(1, flush());
	submit(2, flush());
	settle();
	assert_int_equal(driver.raised[7], 1);
	assert_int_equal(driver.raised[9], 0);
	for (unsigned i = 0; i < 6; i++)
		assert_true(reap(1, &completion));
	assert_true(reap(2, &completion));
	assert_int_equal(driver.raised[7], 1);
	assert_int_equal(driver.raised[0], 4);
	assert_false(driver.pin);
	end();
}

/* The pin is high while there is something unread of a queue with interrupts that is not masked. */
static void pin(void **state)
{
	struct nvme_completion completion;

	begin();
	enable();
	queue_init(1, 16, 16);
	submit(ADMIN, create_cq(1, 16, 3));
	settle();
	assert_true(driver.pin);
	assert_true(reap(ADMIN, &completion));
	assert_false(driver.pin);
	assert_int_equal(run_status(ADMIN, create_sq(1, 16, 1)), NVME_SUCCESS);
	submit(1, flush());
	submit(1, flush());
	settle();
	assert_true(driver.pin);
	set32(NVME_REG_INTMS, 1u << 3);
	assert_false(driver.pin);
	set32(NVME_REG_INTMC, 1u << 3);
	assert_true(driver.pin);
	set32(NVME_REG_INTMS, ~(1u << 3));
	assert_true(driver.pin);
	assert_true(reap(1, &completion));
	assert_true(driver.pin);
	assert_true(reap(1, &completion));
	assert_false(driver.pin);
	/* The other way: first masked, then due. */
	set32(NVME_REG_INTMS, UINT32_MAX);
	submit(1, flush());
	settle();
	assert_false(driver.pin);
	set32(NVME_REG_INTMC, UINT32_MAX);
	assert_true(driver.pin);
	set32(NVME_REG_CC, 0);
	assert_false(driver.pin);
	end();
}

/* What is unread of a queue that goes is no reason for the pin any more. */
static void pin_of_a_queue_that_goes(void **state)
{
	begin_ready();
	submit(1, flush());
	settle();
	assert_true(driver.pin);
	assert_int_equal(run_status(ADMIN, delete_queue(NVME_ADMIN_DELETE_SQ, 1)), NVME_SUCCESS);
	assert_true(driver.pin);
	assert_int_equal(run_status(ADMIN, delete_queue(NVME_ADMIN_DELETE_CQ, 1)), NVME_SUCCESS);
	assert_false(driver.pin);
	end();
}

/* Answers that wait while the driver changes from the pin to messages and back. */
static void pin_and_messages_in_turns(void **state)
{
	struct nvme_completion completion;
	unsigned raised;

	begin_ready();
	submit(1, flush());
	settle();
	assert_true(driver.pin);
	raised = driver.raised[0];
	driver.has_vectors = true;
	nvme_model.vectors_changed(driver.function);
	assert_false(driver.pin);
	/* What is unread is told of in the new way. */
	assert_int_equal(driver.raised[1], 1);
	assert_int_equal(driver.raised[0], raised);
	assert_true(reap(1, &completion));
	submit(1, flush());
	settle();
	assert_int_equal(driver.raised[1], 2);
	assert_false(driver.pin);
	driver.has_vectors = false;
	nvme_model.vectors_changed(driver.function);
	assert_true(driver.pin);
	assert_true(reap(1, &completion));
	assert_false(driver.pin);
	end();
}

/* Vectors, one queue of 32, and a disk that ends a request when it is told to. */
static void begin_burst(void)
{
	driver_clocks = &stopped_clocks;
	begin();
	driver.has_vectors = true;
	nvme_model.vectors_changed(driver.function);
	enable();
	make_queue(1, 32, 32);
	driver.held->at_once = false;
	driver.raised[1] = 0;
}

static void end_burst(void)
{
	end();
	driver_clocks = NULL;
}

/* One message for a burst that takes several turns to fetch; the last turn of it ends the wait. */
static void one_message_for_a_burst(void **state)
{
	struct nvme_completion completion;

	begin_burst();
	submit(1, io(NVME_IO_READ, 0, 1, DATA_AT));
	turn();
	for (unsigned i = 0; i < 3; i++) {
		submit(1, io(NVME_IO_READ, 0, 1, DATA_AT));
		held_end(driver.held, 0, 0);
		turn();
		/* It is there for a driver that looks. */
		assert_true(look(1, &completion));
		assert_int_equal(driver.raised[1], 0);
	}
	turn();
	assert_int_equal(driver.raised[1], 1);
	/* The last one has nothing to wait for. */
	held_end(driver.held, 0, 0);
	turn();
	assert_int_equal(driver.raised[1], 2);
	end_burst();
}

/* A driver that never stops adding commands hears of answers all the same. */
static void bursts_without_end(void **state)
{
	struct nvme_completion completion;

	begin_burst();
	submit(1, io(NVME_IO_READ, 0, 1, DATA_AT));
	turn();
	for (unsigned i = 0; i < 8; i++) {
		submit(1, io(NVME_IO_READ, 0, 1, DATA_AT));
		held_end(driver.held, 0, 0);
		turn();
		assert_true(reap(1, &completion));
		stopped_clock_ns += 30000;
		/* After 120 us, in the fifth turn. */
		assert_int_equal(driver.raised[1], i >= 4);
	}
	end_burst();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(phase_over_wraps),
		cmocka_unit_test(full_rounds),
		cmocka_unit_test(full_completion_queue),
		cmocka_unit_test(room_is_kept_for_what_is_under_way),
		cmocka_unit_test(queues_that_share_a_completion_queue),
		cmocka_unit_test(more_commands_than_slots),
		cmocka_unit_test(doorbells_of_no_queue),
		cmocka_unit_test(doorbells_with_values_that_cannot_be),
		cmocka_unit_test(tail_that_goes_back),
		cmocka_unit_test(messages),
		cmocka_unit_test(pin),
		cmocka_unit_test(pin_of_a_queue_that_goes),
		cmocka_unit_test(pin_and_messages_in_turns),
		cmocka_unit_test(one_message_for_a_burst),
		cmocka_unit_test(bursts_without_end),
	};

	return cmocka_run_group_tests_name("nvme_queue", tests, NULL, NULL);
}
