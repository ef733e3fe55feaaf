/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "top_fixture.h"

static struct top_sample *parse(const char *status_text)
{
	json_t *status = json_loads(status_text, JSON_DECODE_ANY, NULL);
	struct top_sample *sample;

	assert_non_null(status);
	sample = top_sample_parse(status, NULL, 42);
	json_decref(status);
	return sample;
}

static const struct top_listing *listing(const struct top_sample *sample)
{
	return &sample->listings[TOP_RESOURCE_DISK];
}

static void test_everything_is_read(void **state)
{
	struct top_sample *sample = top_look(0);
	const struct top_leaf *first = &listing(sample)->leaves[0], *disk = &listing(sample)->leaves[3];

	assert_int_equal(sample->now_ns, 5000000000);
	assert_int_equal(sample->pid, 77);
	assert_int_equal(sample->group_count, 1);
	assert_int_equal(sample->guest_count, 3);
	assert_int_equal(listing(sample)->device_count, 1);
	assert_int_equal(listing(sample)->leaf_count, 4);
	assert_true(sample->groups[0].share[TOP_RESOURCE_DISK].weight == 200);
	assert_int_equal(sample->guests[0].group, 0);
	assert_true(sample->guests[0].share[TOP_RESOURCE_DISK].min_operations == 3000);
	assert_true(sample->guests[2].group == TOP_NONE);
	assert_int_equal(listing(sample)->devices[0].capacity_operations, 10000);
	assert_string_equal(disk->name, "carol/root");
	assert_int_equal(disk->guest, 2);
	assert_int_equal(disk->state, TOP_CONNECTED);
	assert_true(disk->share.max_operations == 2000);
	assert_int_equal(disk->waiting, 64);
	assert_int_equal(disk->counters.errors, 1);
	assert_int_equal(disk->counters.refused, 320);
	assert_int_equal(first->counters.operations, 100);
	assert_int_equal(first->counters.in.bytes, 409600);
	assert_int_equal(first->counters.latency.bucket[histogram_bucket(262143)].value, 90);
	top_sample_destroy(sample);
}

/* A daemon that knows nothing of shares. */
static void test_absent_members(void **state)
{
	struct top_sample *sample =
		parse("{\"devices\": [{\"kind\": \"disk\", \"name\": \"a/b\", \"guest\": \"a\", \"path\": "
		      "\"/dev/x\"},"
		      "{\"kind\": \"disk\", \"name\": \"a/c\", \"guest\": \"a\", \"pool\": \"gone\"}, "
		      "{\"kind\": \"disk\"}], \"uptime_s\": 2.5}");

	assert_int_equal(sample->now_ns, 2500000000);
	assert_int_equal(listing(sample)->leaf_count, 3);
	assert_int_equal(sample->guest_count, 2);
	assert_int_equal(listing(sample)->leaves[0].guest, listing(sample)->leaves[1].guest);
	assert_string_equal(listing(sample)->devices[listing(sample)->leaves[0].device].name, "a/b");
	assert_true(listing(sample)->leaves[0].share.weight == 100);
	assert_true(listing(sample)->devices[0].rate == 1);
	top_sample_destroy(sample);
	sample = parse("{}");
	assert_int_equal(sample->now_ns, 42);
	top_sample_destroy(sample);
}

static void test_wrong_types(void **state)
{
	static const char *const answers[] = {
		"5",
		"[]",
		"null",
		"\"x\"",
		"{\"devices\": 5, \"pools\": \"x\", \"groups\": {}, \"guests\": true}",
		("{\"devices\": [null, 3, [], \"x\", {\"kind\": \"disk\", \"name\": 5, \"guest\": [], "
		 "\"pool\": 7, \"time\": 3, "
		 "\"share\": [],"
		 "\"operations\": {\"read\": 5, \"write\": {\"latency_ns\": {\"buckets\": [5, [], [-1, 5], "
		 "[\"x\", {}], [8, -8],"
		 "[9223372036854775807, 1]]}}}, \"violations\": 9}], \"pools\": [5, {\"capacity\": 3}],"
		 "\"guests\": [{}, 5], \"groups\": [7]}"),
		("{\"pid\": -1, \"now_ns\": 1e300, \"uptime_s\": -1e300, \"devices\": [{\"kind\": \"disk\", "
		 "\"time\": "
		 "{\"device_ns\": 1e300,"
		 "\"cpu_ns\": -5}, \"share\": {\"weight\": 1e300}}], \"pools\": [{\"capacity\": {\"rate\": "
		 "1e300}}]}"),
	};

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct top_sample *sample = parse(answers[i]), *again = parse(answers[i]);
		struct top_view *view = top_view_create(sample, again, TOP_GUESTS);

		for (size_t d = 0; d < listing(sample)->device_count; d++)
			assert_true(listing(sample)->devices[d].rate == 1);
		top_view_destroy(view);
		top_sample_destroy(sample);
		top_sample_destroy(again);
	}
}

/* Escape sequences, umlauts and long names stay harmless. */
static void test_hostile_names(void **state)
{
	char status[2048], longest[1001];
	struct top_sample *sample;

	memset(longest, 'x', 1000);
	longest[1000] = '\0';
	snprintf(status, sizeof(status),
		 "{\"devices\": [{\"kind\": \"disk\", \"name\": \"a\\u001b[2Jb\\n\\u007f\"}, {\"kind\": "
		 "\"disk\", \"name\": "
		 "\"\\u00e9\"}, {\"kind\": \"disk\", \"name\": "
		 "\"%s\"}]}",
		 longest);
	sample = parse(status);
	assert_string_equal(listing(sample)->leaves[0].name, "a?[2Jb??");
	assert_string_equal(listing(sample)->leaves[1].name, "??");
	assert_int_equal(strlen(listing(sample)->leaves[2].name), TOP_NAME_MAX - 1);
	top_sample_destroy(sample);
	top_sample_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_is_read),
		cmocka_unit_test(test_absent_members),
		cmocka_unit_test(test_wrong_types),
		cmocka_unit_test(test_hostile_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
