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

static void test_everything_is_read(void **state)
{
	struct top_sample *sample = top_look(0);
	const struct top_disk *disk = &sample->disks[3];

	assert_int_equal(sample->now_ns, 5000000000);
	assert_int_equal(sample->pid, 77);
	assert_int_equal(sample->group_count, 1);
	assert_int_equal(sample->guest_count, 3);
	assert_int_equal(sample->device_count, 1);
	assert_int_equal(sample->disk_count, 4);
	assert_int_equal(sample->groups[0].share.weight, 200);
	assert_int_equal(sample->guests[0].group, 0);
	assert_int_equal(sample->guests[0].share.min_iops, 3000);
	assert_true(sample->guests[2].group == TOP_NONE);
	assert_int_equal(sample->devices[0].capacity_iops, 10000);
	assert_string_equal(disk->name, "carol/root");
	assert_int_equal(disk->guest, 2);
	assert_int_equal(disk->state, TOP_CONNECTED);
	assert_int_equal(disk->share.max_iops, 2000);
	assert_int_equal(disk->waiting, 64);
	assert_int_equal(disk->counters.errors, 1);
	assert_int_equal(disk->counters.refused, 320);
	assert_int_equal(sample->disks[0].counters.operations, 100);
	assert_int_equal(sample->disks[0].counters.read_bytes, 409600);
	assert_int_equal(sample->disks[0].counters.latency.bucket[histogram_bucket(262143)].value, 90);
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
	assert_int_equal(sample->disk_count, 3);
	assert_int_equal(sample->guest_count, 2);
	assert_int_equal(sample->disks[0].guest, sample->disks[1].guest);
	assert_string_equal(sample->devices[sample->disks[0].device].name, "a/b");
	assert_int_equal(sample->disks[0].share.weight, 100);
	assert_true(sample->devices[0].rate == 1);
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

		for (size_t d = 0; d < sample->device_count; d++)
			assert_true(sample->devices[d].rate == 1);
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
	assert_string_equal(sample->disks[0].name, "a?[2Jb??");
	assert_string_equal(sample->disks[1].name, "??");
	assert_int_equal(strlen(sample->disks[2].name), TOP_NAME_MAX - 1);
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
