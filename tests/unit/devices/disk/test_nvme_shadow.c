/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shadow doorbells of the NVMe model: who sees what when, and that no command is ever left alone. */
#include "core/handover.h"
#include "nvme_driver.h"

#define SHADOW_AT 0x280000u
#define EVENTS_AT 0x281000u
#define SQ_TAIL(queue) (2 * (queue))
#define CQ_HEAD(queue) (2 * (queue) + 1)

static unsigned tails_rung; /* doorbells that the driver had to ring */

static struct nvme_command flush(void)
{
	return (struct nvme_command){ .opcode = NVME_IO_FLUSH, .namespace_id = 1 };
}

static uint32_t *words_at(unsigned at)
{
	return (uint32_t *)(void *)(driver.ram + at);
}

static uint16_t configure(uint64_t shadow, uint64_t events)
{
	return run_status(ADMIN, (struct nvme_command){ .opcode = NVME_ADMIN_DOORBELL_BUFFER_CONFIG,
							.prp1 = shadow, .prp2 = events });
}

static void begin_shadowed(unsigned sq_entries, unsigned cq_entries)
{
	begin();
	driver.has_vectors = true;
	tails_rung = 0;
	enable();
	make_queue(1, sq_entries, cq_entries);
	memset(driver.ram + SHADOW_AT, 0, 2 * PAGE);
	assert_int_equal(configure(RAM_BASE + SHADOW_AT, RAM_BASE + EVENTS_AT), NVME_SUCCESS);
	settle();
}

/* As a driver does it: into memory, and to the doorbell only when that passes the event (annex B.5). */
static void ring(unsigned word, uint32_t value)
{
	uint16_t before = (uint16_t)words_at(SHADOW_AT)[word], now = (uint16_t)value,
		 event = (uint16_t)words_at(EVENTS_AT)[word];

	words_at(SHADOW_AT)[word] = value;
	if ((uint16_t)(now - event - 1) >= (uint16_t)(now - before))
		return;
	tails_rung += word % 2 == 0;
	set32(NVME_DOORBELLS + 4 * word, value);
}

static void submit_shadowed(unsigned index)
{
	put(index, flush());
	ring(SQ_TAIL(index), driver.queue[index].tail);
}

static bool reap_shadowed(unsigned index)
{
	struct nvme_completion completion;

	if (!look(index, &completion))
		return false;
	assert_int_equal(status_of(completion), NVME_SUCCESS);
	ring(CQ_HEAD(index), driver.queue[index].head);
	return true;
}

/* The worker looks for a while, and then waits to be woken. */
static void fall_asleep(void)
{
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(loop_turn(driver.loop, 1), 0);
}

/* ---- what there is ---- */

static void first_is_rung_and_others_are_seen(void **state)
{
	begin_shadowed(64, 64);
	for (unsigned i = 0; i < 10; i++)
		submit_shadowed(1);
	assert_int_equal(tails_rung, 1);
	settle();
	for (unsigned i = 0; i < 10; i++)
		assert_true(reap_shadowed(1));
	fall_asleep();
	assert_int_equal(tails_rung, 1);
	assert_int_equal(words_at(EVENTS_AT)[SQ_TAIL(1)], 10);
	submit_shadowed(1);
	assert_int_equal(tails_rung, 2);
	settle();
	assert_true(reap_shadowed(1));
	assert_int_equal(violations(), 0);
	end();
}

/* Of all sizes, with turns of the worker anywhere between: all are answered, and most are not rung for. */
static void no_command_is_left_alone(void **state)
{
	static const unsigned sizes[] = { 2, 3, 8, 64 };

	srandom(1);
	for (unsigned i = 0; i < 16; i++) {
		unsigned sq_entries = sizes[i % 4], cq_entries = sizes[i / 4], waiting = 0, done = 0;

		begin_shadowed(sq_entries, cq_entries);
		while (done < 1000) {
			unsigned choice = (unsigned)random() % 8;

			driver.held->logged = 0;
			if (choice < 4 && waiting < sq_entries - 1) {
				submit_shadowed(1);
				waiting++;
			} else if (choice < 6 && reap_shadowed(1)) {
				waiting--;
				done++;
			} else if (choice < 7) {
				turn();
			} else {
				fall_asleep();
				if (waiting > 0) {
					assert_true(reap_shadowed(1));
					waiting--;
					done++;
				}
			}
		}
		assert_int_equal(violations(), 0);
		assert_true(sq_entries < 64 || cq_entries < 64 || tails_rung < done / 2);
		end();
	}
}

/* Several queues, and one that is made after the doorbells in memory. */
static void queues_of_their_own(void **state)
{
	begin_shadowed(8, 8);
	for (unsigned index = 2; index < QUEUES; index++)
		make_queue(index, 8, 8);
	for (unsigned round = 0; round < 40; round++) {
		for (unsigned index = 1; index < QUEUES; index++)
			submit_shadowed(index);
		settle();
		for (unsigned index = 1; index < QUEUES; index++)
			assert_true(reap_shadowed(index));
	}
	/* The admin queue's are where they were. */
	words_at(SHADOW_AT)[SQ_TAIL(ADMIN)] = 5;
	assert_int_equal(run_status(ADMIN, delete_queue(NVME_ADMIN_DELETE_SQ, 2)), NVME_SUCCESS);
	assert_int_equal(violations(), 0);
	end();
}

/* What is written to a doorbell tells that there is something, and not what. */
static void an_old_doorbell(void **state)
{
	begin_shadowed(8, 8);
	for (unsigned i = 0; i < 3; i++)
		submit_shadowed(1);
	settle();
	ring_sq(1, 1);
	ring_cq(1, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_true(reap_shadowed(1));
	assert_silent(1);
	assert_int_equal(violations(), 0);
	end();
}

static void pin_follows_what_was_read(void **state)
{
	begin_shadowed(8, 8);
	driver.has_vectors = false;
	nvme_model.vectors_changed(driver.function);
	for (unsigned round = 0; round < 20; round++) {
		submit_shadowed(1);
		submit_shadowed(1);
		settle();
		assert_true(driver.pin);
		assert_true(reap_shadowed(1));
		settle();
		assert_true(driver.pin);
		assert_true(reap_shadowed(1));
		settle();
		assert_false(driver.pin);
	}
	end();
}

/* ---- what cannot be ---- */

static void pages_that_cannot_be(void **state)
{
	static const uint64_t places[][3] = {
		{ RAM_BASE + SHADOW_AT + 4, RAM_BASE + EVENTS_AT, NVME_PRP_OFFSET_INVALID },
		{ RAM_BASE + SHADOW_AT, RAM_BASE + EVENTS_AT + 8, NVME_PRP_OFFSET_INVALID },
		{ OUTSIDE, RAM_BASE + EVENTS_AT, NVME_INVALID_FIELD },
		{ RAM_BASE + SHADOW_AT, OUTSIDE, NVME_INVALID_FIELD },
		{ 0, 0, NVME_INVALID_FIELD },
		{ UINT64_MAX - PAGE + 1, RAM_BASE + EVENTS_AT, NVME_INVALID_FIELD },
	};

	begin_ready();
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		assert_int_equal(configure(places[i][0], places[i][1]), REFUSED(places[i][2]));
	/* And all is as it was. */
	assert_int_equal(run_status(1, flush()), NVME_SUCCESS);
	end();
}

static void values_that_cannot_be(void **state)
{
	static const uint32_t tails[] = { 8, 0xffff, 0x10001, UINT32_MAX - 1 };

	begin_shadowed(8, 8);
	for (unsigned i = 0; i < 4; i++) {
		words_at(SHADOW_AT)[SQ_TAIL(1)] = tails[i];
		words_at(SHADOW_AT)[CQ_HEAD(1)] = tails[i];
		ring_sq(1, 1);
		settle();
		settle();
		/* Each once, however often it is looked at. */
		assert_int_equal(driver.violations[DOORBELL_VALUE], 2 * (i + 1));
	}
	/* A head of answers that there are not. */
	words_at(SHADOW_AT)[CQ_HEAD(1)] = 2;
	ring_sq(1, 1);
	settle();
	assert_int_equal(driver.violations[DOORBELL_VALUE], 9);
	words_at(SHADOW_AT)[CQ_HEAD(1)] = 0;
	words_at(SHADOW_AT)[SQ_TAIL(1)] = 0;
	submit_shadowed(1);
	ring_sq(1, 1);
	settle();
	assert_true(reap_shadowed(1));
	end();
}

/* ---- another state of things ---- */

static void resets_forget_them(void **state)
{
	for (unsigned bus = 0; bus < 2; bus++) {
		begin_shadowed(8, 8);
		if (bus) {
			quiesce();
			settle();
			nvme_model.reset(driver.function);
		} else {
			set32(NVME_REG_CC, CC_ENTRIES);
		}
		settle();
		memset(driver.ram + SHADOW_AT, 0xff, 2 * PAGE);
		enable();
		make_queue(1, 8, 8);
		for (unsigned i = 0; i < 20; i++)
			assert_int_equal(run_status(1, flush()), NVME_SUCCESS);
		assert_int_equal(words_at(EVENTS_AT)[SQ_TAIL(1)], UINT32_MAX);
		assert_int_equal(violations(), 0);
		end();
	}
}

static void memory_goes_and_comes(void **state)
{
	begin_shadowed(8, 8);
	driver.bus.memory = driver.empty;
	nvme_model.memory_changed(driver.function);
	submit_shadowed(1);
	settle();
	driver.bus.memory = driver.memory;
	nvme_model.memory_changed(driver.function);
	settle();
	assert_true(reap_shadowed(1));
	submit_shadowed(1);
	settle();
	assert_true(reap_shadowed(1));
	end();
}

/* What comes while it stands still is there when it goes on. */
static void takeover(void **state)
{
	struct handover handover = { 0 };

	begin_shadowed(8, 8);
	submit_shadowed(1);
	settle();
	assert_true(reap_shadowed(1));
	quiesce();
	settle();
	submit_shadowed(1);
	nvme_model.save(driver.function, &handover);
	power_off();
	submit_shadowed(1);
	power_on();
	nvme_model.restore(driver.function, &handover);
	assert_int_equal(handover.error, 0);
	handover_finish(&handover);
	submit_shadowed(1);
	go();
	settle();
	for (unsigned i = 0; i < 3; i++)
		assert_true(reap_shadowed(1));
	submit_shadowed(1);
	settle();
	assert_true(reap_shadowed(1));
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_is_rung_and_others_are_seen),
		cmocka_unit_test(no_command_is_left_alone),
		cmocka_unit_test(queues_of_their_own),
		cmocka_unit_test(an_old_doorbell),
		cmocka_unit_test(pin_follows_what_was_read),
		cmocka_unit_test(pages_that_cannot_be),
		cmocka_unit_test(values_that_cannot_be),
		cmocka_unit_test(resets_forget_them),
		cmocka_unit_test(memory_goes_and_comes),
		cmocka_unit_test(takeover),
	};

	return cmocka_run_group_tests_name("nvme_shadow", tests, NULL, NULL);
}
