/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "core/clock.h"
#include "core/trace.h"

static void wait_ns(uint64_t ns)
{
	uint64_t start = clock_now_ns();

	while (clock_now_ns() - start < ns)
		;
}

static void off_records_nothing(void **state)
{
	uint64_t ns, marks;

	trace_on = false;
	for (unsigned stage = 0; stage < TRACE_STAGES; stage++)
		trace_mark((enum trace_stage)stage);
	for (unsigned stage = 0; stage < TRACE_STAGES; stage++) {
		trace_read((enum trace_stage)stage, &ns, &marks);
		assert_int_equal(ns, 0);
		assert_int_equal(marks, 0);
	}
}

static void a_stage_is_charged_with_the_time_before_it(void **state)
{
	uint64_t ns, taken_ns, marks, start, all;

	trace_on = true;
	trace_mark(TRACE_KICK);	/* the first mark of a thread has nothing before it */
	start = clock_now_ns();
	wait_ns(20 * NS_PER_MS);
	trace_mark(TRACE_TAKEN);
	trace_mark(TRACE_MAPPED);
	wait_ns(20 * NS_PER_MS);
	trace_mark(TRACE_TAKEN);
	all = clock_now_ns() - start;
	trace_on = false;

	trace_read(TRACE_KICK, &ns, &marks);
	assert_int_equal(marks, 0);
	trace_read(TRACE_TAKEN, &taken_ns, &marks);
	assert_int_equal(marks, 2);
	/* The rate of the processor's counter is measured: it may be off by a little. */
	assert_true(taken_ns >= 39 * NS_PER_MS);
	trace_read(TRACE_MAPPED, &ns, &marks);
	assert_int_equal(marks, 1);
	assert_true(taken_ns + ns <= all + all / 20);
}

static void *mark_once(void *argument)
{
	trace_record(TRACE_SIGNALLED);
	return NULL;
}

/* Another thread's first mark must not be charged with our time. */
static void threads_have_marks_of_their_own(void **state)
{
	uint64_t ns, marks;
	pthread_t thread;

	trace_record(TRACE_KICK);
	assert_int_equal(pthread_create(&thread, NULL, mark_once, NULL), 0);
	pthread_join(thread, NULL);
	trace_read(TRACE_SIGNALLED, &ns, &marks);
	assert_int_equal(marks, 0);
}

static void stages_have_different_names(void **state)
{
	for (unsigned i = 0; i < TRACE_STAGES; i++)
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(trace_stage_text((enum trace_stage)i),
						trace_stage_text((enum trace_stage)j));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(off_records_nothing),
		cmocka_unit_test(a_stage_is_charged_with_the_time_before_it),
		cmocka_unit_test(threads_have_marks_of_their_own),
		cmocka_unit_test(stages_have_different_names),
	};

	return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
