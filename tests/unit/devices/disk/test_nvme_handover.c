/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The NVMe model's function while the world around it changes: its memory, and the process. */
#include "core/handover.h"
#include "nvme_driver.h"
#include "test_disk.h"

static struct nvme_command flush(void)
{
	return (struct nvme_command){ .opcode = NVME_IO_FLUSH, .namespace_id = 1 };
}

static void memory_becomes(struct guest_memory *memory)
{
	driver.bus.memory = memory;
	nvme_model.memory_changed(driver.function);
}

/* ---- memory ---- */

/* What is under way keeps the memory that it began with; its answer has no place to go to. */
static void memory_goes_with_commands_under_way(void **state)
{
	begin_ready();
	driver.held->at_once = false;
	memset(driver.ram + DATA_AT, 0, PAGE);
	submit(1, io(NVME_IO_READ, 0, 1, DATA_AT));
	settle();
	assert_int_equal(driver.held->held_count, 1);
	memory_becomes(driver.empty);
	guest_memory_put(driver.memory);
	driver.memory = NULL;
	settle();
	assert_int_equal(get32(NVME_REG_CSTS), NVME_CSTS_READY);
	held_end(driver.held, 0, 0);
	settle();
	assert_int_equal(driver.ram[DATA_AT + 511], 0xee);
	assert_int_equal(get32(NVME_REG_CSTS), NVME_CSTS_READY | NVME_CSTS_FATAL);
	assert_int_equal(driver.violations[QUEUE_MEMORY], 1);
	/* The driver resets it, when it has memory again. */
	driver.memory = memory_of(0, RAM_BYTES);
	memory_becomes(driver.memory);
	driver.held->at_once = true;
	set32(NVME_REG_CC, 0);
	enable();
	end();
}

/* Another set with the same memory in it: nothing happens. */
static void memory_is_another_one(void **state)
{
	struct guest_memory *before;

	begin_ready();
	driver.held->at_once = false;
	for (unsigned i = 0; i < 4; i++) {
		memset(driver.ram + DATA_AT, 0, PAGE);
		submit(1, io(NVME_IO_READ, 0, 1, DATA_AT));
		settle();
		before = driver.memory;
		driver.memory = memory_of(0, RAM_BYTES);
		memory_becomes(driver.memory);
		guest_memory_put(before);
		held_end(driver.held, 0, 0);
		assert_int_equal(status_of(await(1)), NVME_SUCCESS);
		assert_int_equal(driver.ram[DATA_AT + 511], 0xee);
	}
	assert_int_equal(violations(), 0);
	end();
}

/* Commands that are rung while there is no memory are found when it is there again. */
static void memory_goes_for_a_while(void **state)
{
	begin_ready();
	memory_becomes(driver.empty);
	for (unsigned i = 0; i < 5; i++)
		submit(1, flush());
	assert_silent(1);
	nvme_model.config_changed(driver.function);
	memory_becomes(driver.memory);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(status_of(await(1)), NVME_SUCCESS);
	/* A shutdown does not wait for what lies nowhere. */
	memory_becomes(driver.empty);
	submit(1, flush());
	set32(NVME_REG_CC, CC_ENABLE | CC_ENTRIES | CC_SHUTDOWN);
	settle();
	assert_int_equal(get32(NVME_REG_CSTS), NVME_CSTS_READY | NVME_CSTS_SHUT_DOWN);
	memory_becomes(driver.memory);
	assert_int_equal(violations(), 0);
	end();
}

/* Of a pair of queues one is left: it is as if there were none. */
static void half_of_the_memory_goes(void **state)
{
	struct guest_memory *half;

	begin_ready();
	half = memory_of(0, CQ_AT(1));
	memory_becomes(half);
	submit(1, flush());
	assert_silent(1);
	memory_becomes(driver.memory);
	guest_memory_put(half);
	assert_int_equal(status_of(await(1)), NVME_SUCCESS);
	half = memory_of(CQ_AT(1), RAM_BYTES - CQ_AT(1));
	memory_becomes(half);
	submit(1, flush());
	assert_silent(1);
	memory_becomes(driver.memory);
	guest_memory_put(half);
	assert_int_equal(status_of(await(1)), NVME_SUCCESS);
	assert_int_equal(violations(), 0);
	end();
}

/* ---- takeover ---- */

static void save(struct handover *handover)
{
	memset(handover, 0, sizeof(*handover));
	quiesce();
	settle();
	assert_true(driver.quiet);
	nvme_model.save(driver.function, handover);
	assert_int_equal(handover->error, 0);
	assert_int_equal(handover->fd_count, 0);
}

/* The successor's function has read all of it, and goes on. */
static void take_over(void)
{
	struct handover handover;

	save(&handover);
	power_off();
	power_on();
	nvme_model.restore(driver.function, &handover);
	assert_int_equal(handover.error, 0);
	assert_int_equal(handover.position, handover.length);
	handover_finish(&handover);
	go();
}

/* Rings that are half full, in their second round; requests for events; features. */
static void prepare(void)
{
	struct nvme_completion completion;
	struct nvme_command feature = { .opcode = NVME_ADMIN_SET_FEATURES, .cdw11 = 1u << 8 };

	begin();
	enable_with(8, 8);
	make_queue(1, 7, 5);
	queue_init(2, 3, 1024);
	assert_int_equal(run_status(ADMIN, create_cq(2, 1024, 63)), NVME_SUCCESS);
	feature.cdw10 = NVME_FEATURE_ASYNC_EVENTS;
	assert_int_equal(run_status(ADMIN, feature), NVME_SUCCESS);
	feature.cdw10 = NVME_FEATURE_COALESCING;
	assert_int_equal(run_status(ADMIN, feature), NVME_SUCCESS);
	for (unsigned i = 0; i < 3; i++)
		submit(ADMIN, (struct nvme_command){ .opcode = NVME_ADMIN_ASYNC_EVENT });
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(run_status(1, io(NVME_IO_READ, i, 1, DATA_AT)), NVME_SUCCESS);
	for (unsigned i = 0; i < 6; i++)
		submit(1, flush());
	settle();
	/* Four answers are there, of which one is read; two commands wait for room. */
	assert_true(look(1, &completion));
	driver.held->logged = 0;
	nvme_model.config_changed(driver.function);
	settle();
	assert_true(reap(ADMIN, &completion));
	assert_int_equal(completion.result, NVME_EVENT_NAMESPACE);
	set32(NVME_REG_INTMS, 1u << 5);
}

static void takeover_with_half_full_rings(void **state)
{
	uint64_t registers[8];
	struct nvme_completion completion;

	prepare();
	for (unsigned i = 0; i < 8; i++)
		registers[i] = get64(8 * i);
	take_over();
	for (unsigned i = 0; i < 8; i++)
		assert_true(get64(8 * i) == registers[i]);
	settle();
	assert_int_equal(driver.held->logged, 0);
	for (unsigned i = 0; i < 3; i++)
		assert_true(look(1, &completion));
	assert_silent(1);
	take_over();
	ring_cq(1, driver.queue[1].head);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(status_of(await(1)), NVME_SUCCESS);
	assert_int_equal(driver.held->logged, 2);
	/* The event's log was not read: it is told of once. */
	nvme_model.config_changed(driver.function);
	assert_silent(ADMIN);
	ring_sq(3, 1);
	assert_int_equal(await(ADMIN).result, NVME_EVENT_DOORBELL_REGISTER);
	take_over();
	completion = run(ADMIN, (struct nvme_command){ .opcode = NVME_ADMIN_GET_FEATURES,
						       .cdw10 = NVME_FEATURE_COALESCING });
	assert_int_equal(completion.result, 1u << 8);
	/* What it has counted. */
	completion = run(ADMIN, (struct nvme_command){ .opcode = NVME_ADMIN_GET_LOG_PAGE,
						       .prp1 = RAM_BASE + DATA_AT,
						       .cdw10 = 127u << 16 | NVME_LOG_HEALTH });
	assert_int_equal(status_of(completion), NVME_SUCCESS);
	assert_int_equal(driver.ram[DATA_AT + 64], 8);
	assert_int_equal(run_status(ADMIN, create_sq(2, 3, 2)), NVME_SUCCESS);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(run_status(2, flush()), NVME_SUCCESS);
		take_over();
	}
	assert_int_equal(driver.violations[DOORBELL], 1);
	assert_int_equal(violations(), 1);
	end();
}

/* A controller that was never switched on, one that failed, and one that was shut down. */
static void takeover_of_controllers_that_do_not_work(void **state)
{
	begin();
	take_over();
	assert_int_equal(get32(NVME_REG_CSTS), 0);
	set32(NVME_REG_CC, CC_ENABLE | 1u << 7);
	assert_int_equal(get32(NVME_REG_CSTS), NVME_CSTS_FATAL);
	take_over();
	assert_int_equal(get32(NVME_REG_CSTS), NVME_CSTS_FATAL);
	set32(NVME_REG_CC, 0);
	enable();
	set32(NVME_REG_CC, CC_ENABLE | CC_ENTRIES | CC_SHUTDOWN);
	settle();
	take_over();
	assert_int_equal(get32(NVME_REG_CSTS), NVME_CSTS_READY | NVME_CSTS_SHUT_DOWN);
	end();
}

/* A shutdown is at its end, or has not begun, when a successor takes over. */
static void takeover_of_a_shutdown(void **state)
{
	begin_ready();
	driver.held->at_once = false;
	quiesce();
	assert_true(driver.quiet);
	nvme_model.resume(driver.function);
	submit(1, io(NVME_IO_WRITE, 0, 1, DATA_AT));
	settle();
	quiesce();
	set32(NVME_REG_CC, CC_ENABLE | CC_ENTRIES | CC_SHUTDOWN);
	held_end(driver.held, 0, 0);
	settle();
	assert_int_equal(driver.held->held_count, 1);
	assert_false(driver.quiet);
	held_end(driver.held, 0, 0);
	settle();
	assert_true(driver.quiet);
	nvme_model.resume(driver.function);
	take_over();
	assert_int_equal(get32(NVME_REG_CSTS), NVME_CSTS_READY | NVME_CSTS_SHUT_DOWN);
	end();
}

/* ---- streams that are wrong ---- */

static void streams_that_are_cut(void **state)
{
	struct handover handover;
	size_t length;

	prepare();
	save(&handover);
	length = handover.length;
	for (size_t cut = 0; cut < length; cut++) {
		power_off();
		power_on();
		handover.length = cut;
		handover.position = 0;
		handover.error = 0;
		nvme_model.restore(driver.function, &handover);
		assert_int_equal(handover.error, -EBADMSG);
	}
	handover_finish(&handover);
	power_off();
	power_on();
	go();
	end();
}

/* Much of what a driver can do, in a controller that makes no sense, perhaps. */
static void poke(uint64_t *seed)
{
	driver.held->logged = 0;
	nvme_model.config_changed(driver.function);
	submit(ADMIN,
	       (struct nvme_command){ .opcode = NVME_ADMIN_GET_FEATURES, .cdw10 = NVME_FEATURE_WRITE_CACHE });
	for (unsigned i = 0; i < 10; i++) {
		ring_sq(test_below(seed, QUEUES), test_below(seed, 10));
		ring_cq(test_below(seed, QUEUES), test_below(seed, 10));
		turn();
	}
	for (unsigned i = 0; i < 6; i++) {
		submit(ADMIN, (struct nvme_command){ .opcode = NVME_ADMIN_ASYNC_EVENT });
		submit(ADMIN, delete_queue(NVME_ADMIN_DELETE_SQ, i));
		submit(ADMIN, delete_queue(NVME_ADMIN_DELETE_CQ, i));
	}
	settle();
	set32(NVME_REG_CC, 0);
	settle();
	enable_with(16, 16);
	nvme_model.config_changed(driver.function);
	for (unsigned i = 0; i < KEPT_EVENTS; i++)
		submit(ADMIN, (struct nvme_command){ .opcode = NVME_ADMIN_ASYNC_EVENT });
	ring_sq(3, 1);
	settle();
}

/* Takes over from the stream as it is. Returns whether it was taken. */
static bool live_with(struct handover *handover, uint64_t *seed)
{
	power_off();
	power_on();
	handover->position = 0;
	handover->error = 0;
	nvme_model.restore(driver.function, handover);
	if (handover->error) {
		assert_int_equal(handover->error, -EBADMSG);
		return false;
	}
	go();
	poke(seed);
	quiesce();
	settle();
	assert_true(driver.quiet);
	return true;
}

/* Each number of the stream is another one: it is refused, or the function can be lived with. */
static void streams_that_are_changed(void **state)
{
	static const uint64_t values[] = { 0, 1, 2, 3, 4, 64, 255, 4096, 0xffff, 1ull << 32, UINT64_MAX };
	uint64_t seed = 4242, before;
	struct handover handover;
	unsigned taken = 0, refused = 0;

	prepare();
	save(&handover);
	for (size_t at = 0; at + 9 <= handover.length; at++) {
		/* A number, or any byte where there is none. */
		size_t bytes = handover.bytes[at] == 'u' ? 8 : 1;

		memcpy(&before, handover.bytes + at + 1, sizeof(before));
		for (unsigned i = 0; i < (bytes == 8 ? 11 : 1); i++) {
			uint64_t value = bytes == 8 ? values[i] : values[test_below(&seed, 11)];

			memcpy(handover.bytes + at + 1, &value, bytes);
			if (live_with(&handover, &seed))
				taken++;
			else
				refused++;
			memcpy(handover.bytes + at + 1, &before, sizeof(before));
		}
	}
	assert_true(taken > 100 && refused > 100);
	handover_finish(&handover);
	power_off();
	power_on();
	go();
	end();
}

/* The stream's number `index`; the first ones have no other fields between them. */
static uint8_t *number(struct handover *handover, unsigned index)
{
	assert_int_equal(handover->bytes[9 * index], 'u');
	return handover->bytes + 9 * index + 1;
}

static int restored(struct handover *handover)
{
	handover->position = 0;
	handover->error = 0;
	power_off();
	power_on();
	nvme_model.restore(driver.function, handover);
	return handover->error;
}

enum { CC = 2, CSTS = 3, ADMIN_CQ_POSTED = 15, ADMIN_SQ_CQ = 18, ADMIN_SQ_ENTRIES, ADMIN_SQ_DELETING = 23 };

/* Numbers that may be by themselves, and not with the others. */
static void streams_that_contradict_themselves(void **state)
{
	static const struct {
		unsigned index;
		uint64_t value;
	} bad[] = {
		{ CC, 0 },
		{ CSTS, 0 },
		{ CSTS, NVME_CSTS_FATAL },
		{ ADMIN_CQ_POSTED, 7 },
		{ ADMIN_SQ_CQ, 1 },
		{ ADMIN_SQ_DELETING, 1 },
	};
	struct handover handover;
	uint64_t before;

	prepare();
	save(&handover);
	memcpy(&before, number(&handover, ADMIN_SQ_ENTRIES), sizeof(before));
	assert_int_equal(before, 8);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memcpy(&before, number(&handover, bad[i].index), sizeof(before));
		memcpy(number(&handover, bad[i].index), &bad[i].value, sizeof(before));
		assert_int_equal(restored(&handover), -EBADMSG);
		memcpy(number(&handover, bad[i].index), &before, sizeof(before));
	}
	assert_int_equal(restored(&handover), 0);
	handover_finish(&handover);
	go();
	end();
}

/* A request for an event, of a controller that is off. */
static void a_request_without_a_queue(void **state)
{
	/* Eight registers, of no queue more than that there is none, and three of the shadow doorbells. */
	const size_t features_at = 9 * (8 + 2 * REGISTER_VECTORS_MAX + 3);
	struct handover off;
	uint32_t features_bytes;

	begin();
	save(&off);
	assert_int_equal(off.bytes[features_at], 'b');
	memcpy(&features_bytes, off.bytes + features_at + 1, sizeof(features_bytes));
	for (unsigned requests = 0; requests < 2; requests++) {
		/* As it was, up to the requests; then one of them, and zeroes for all that follows. */
		off.length = features_at + 5 + features_bytes;
		handover_put_u64(&off, requests);
		for (unsigned i = 0; i < requests + 8; i++)
			handover_put_u64(&off, 0);
		assert_int_equal(restored(&off), requests ? -EBADMSG : 0);
		assert_true(requests || off.position == off.length);
	}
	handover_finish(&off);
	power_off();
	power_on();
	go();
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_goes_with_commands_under_way),
		cmocka_unit_test(memory_is_another_one),
		cmocka_unit_test(memory_goes_for_a_while),
		cmocka_unit_test(half_of_the_memory_goes),
		cmocka_unit_test(takeover_with_half_full_rings),
		cmocka_unit_test(takeover_of_controllers_that_do_not_work),
		cmocka_unit_test(takeover_of_a_shutdown),
		cmocka_unit_test(streams_that_are_cut),
		cmocka_unit_test(streams_that_are_changed),
		cmocka_unit_test(streams_that_contradict_themselves),
		cmocka_unit_test(a_request_without_a_queue),
	};

	return cmocka_run_group_tests_name("nvme_handover", tests, NULL, NULL);
}
