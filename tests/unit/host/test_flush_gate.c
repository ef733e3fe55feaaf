/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The gate that lets one fsync run at a time: who leads, who follows, who hears of a failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/disk_uring_private.h"

struct caller {
	struct flush_entry entry;
	unsigned led, finished;
	int error;
};

static void note_lead(struct flush_entry *entry)
{
	((struct caller *)entry)->led++;
}

static void note_finished(struct flush_entry *entry, int error)
{
	((struct caller *)entry)->finished++;
	((struct caller *)entry)->error = error;
}

#define CALLER { .entry = { .lead = note_lead, .finished = note_finished } }

static void test_alone_one_leads_each_time(void **state)
{
	struct flush_gate gate;
	struct caller caller = CALLER;

	flush_gate_init(&gate);
	for (int i = 0; i < 3; i++) {
		assert_true(flush_gate_enter(&gate, &caller.entry));
		flush_gate_leave(&gate, 0);
	}
	assert_int_equal(caller.led + caller.finished, 0);
	flush_gate_finish(&gate);
}

/* Who came while an fsync ran is served by the next one: its own writes may be newer than the first. */
static void test_late_ones_wait_for_the_next(void **state)
{
	struct flush_gate gate;
	struct caller first = CALLER, second = CALLER, third = CALLER, fourth = CALLER;

	flush_gate_init(&gate);
	assert_true(flush_gate_enter(&gate, &first.entry));
	assert_false(flush_gate_enter(&gate, &second.entry));
	assert_false(flush_gate_enter(&gate, &third.entry));
	flush_gate_leave(&gate, -EIO);
	assert_int_equal(second.led, 1);
	assert_int_equal(third.led + third.finished + second.finished, 0);

	assert_false(flush_gate_enter(&gate, &fourth.entry));
	flush_gate_leave(&gate, -ENOSPC);
	assert_int_equal(third.finished, 1);
	assert_int_equal(third.error, -ENOSPC);
	assert_int_equal(fourth.led, 1);
	assert_int_equal(fourth.finished, 0);

	flush_gate_leave(&gate, 0);
	assert_int_equal(first.led + first.finished + second.finished + third.led + fourth.finished, 0);
	flush_gate_finish(&gate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone_one_leads_each_time),
		cmocka_unit_test(test_late_ones_wait_for_the_next),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
