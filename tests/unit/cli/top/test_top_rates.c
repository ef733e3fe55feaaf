/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "top_fixture.h"

#define assert_near(a, b) assert_float_equal((float)(a), (float)(b), 1e-6f)

struct looks {
	struct top_sample *before, *now;
	struct top_view *view;
};

static struct top_listing *listing(struct top_sample *sample)
{
	return &sample->listings[TOP_RESOURCE_DISK];
}

static int setup(void **state)
{
	struct looks *looks = calloc(1, sizeof(*looks));

	looks->before = top_look(0);
	looks->now = top_look(1);
	*state = looks;
	return 0;
}

static int teardown(void **state)
{
	struct looks *looks = *state;

	top_view_destroy(looks->view);
	top_sample_destroy(looks->before);
	top_sample_destroy(looks->now);
	free(looks);
	return 0;
}

static void test_disks(void **state)
{
	struct looks *looks = *state;
	struct top_view *view = looks->view = top_view_create(looks->before, looks->now, TOP_DISKS);
	const struct top_row *alice = &view->rows[0], *data = &view->rows[1], *carol = &view->rows[3];

	assert_true(view->measured);
	assert_near(view->seconds, 1);
	assert_int_equal(view->row_count, 4);
	assert_int_equal(view->connected_count, 3);
	assert_near(view->cpu, 0.085);
	assert_near(alice->operations, 5000);
	assert_near(alice->in_bytes, 5000 * 4096);
	assert_near(alice->device, 0.5);
	assert_near(alice->got, 500.0 / 850);
	assert_near(alice->cpu, 0.05);
	/* 300 of gold's 400, gold 200 of 300; alice/data wants nothing. */
	assert_near(alice->due, 0.5);
	assert_near(view->rows[2].due, 1.0 / 6);
	assert_near(carol->due, 1.0 / 3);
	assert_near(data->due, 0);
	assert_near(carol->throttled, 0.9);
	assert_near(carol->limit, 0.2);
	assert_near(carol->device, 0.2);
	assert_near(alice->limit, 0);
	assert_near(alice->p99_ns, 4194304);
	assert_near(data->p99_ns, 0);
	assert_near(carol->waiting, 64);
	assert_near(carol->errors, 1);
	assert_int_equal(data->state, TOP_IDLE);
}

static void test_guests_and_groups(void **state)
{
	struct looks *looks = *state;
	struct top_view *view = looks->view = top_view_create(looks->before, looks->now, TOP_GUESTS);

	assert_int_equal(view->row_count, 3);
	assert_string_equal(view->rows[0].name, "alice");
	assert_near(view->rows[0].operations, 5000);
	assert_near(view->rows[0].due, 0.5);
	assert_near(view->rows[0].reservation, 0.3);
	assert_near(view->rows[0].errors, 2);
	assert_int_equal(view->rows[0].state, TOP_CONNECTED);
	top_view_destroy(view);
	view = looks->view = top_view_create(looks->before, looks->now, TOP_GROUPS);
	assert_int_equal(view->row_count, 1);
	assert_near(view->rows[0].device, 0.65);
	assert_near(view->rows[0].due, 2.0 / 3);
	assert_near(view->rows[0].got, 650.0 / 850);
	assert_near(view->rows[0].waiting, 35);
}

static void test_devices(void **state)
{
	struct looks *looks = *state;

	looks->view = top_view_create(looks->before, looks->now, TOP_DISKS);
	assert_int_equal(looks->view->device_count, 1);
	assert_near(looks->view->devices[0].busy, 0.85);
	assert_near(looks->view->devices[0].operations, 8500);
	top_view_destroy(looks->view);
	/* A device that carries out less than its model says is full with less. */
	listing(looks->before)->devices[0].rate = listing(looks->now)->devices[0].rate = 0.5;
	looks->view = top_view_create(looks->before, looks->now, TOP_DISKS);
	assert_near(looks->view->devices[0].busy, 1);
	assert_near(looks->view->rows[3].device, 200.0 / 850);
	assert_near(looks->view->rows[3].limit, 200.0 / 850);
	top_view_destroy(looks->view);
	listing(looks->before)->devices[0].rate = 1.5;
	listing(looks->now)->devices[0].rate = 2.5;
	looks->view = top_view_create(looks->before, looks->now, TOP_DISKS);
	assert_near(looks->view->devices[0].busy, 0.425);
	assert_near(looks->view->rows[3].device, 0.1);
}

/* Each physical disk counts once in what its guests could have got, however many of their disks are on it. */
static void test_guest_on_two_devices(void **state)
{
	struct looks *looks = *state;
	struct top_listing *disks = listing(looks->now);

	disks->devices = realloc(disks->devices, 2 * sizeof(*disks->devices));
	disks->devices[1] = disks->devices[0];
	disks->device_count = 2;
	disks->leaves[2].device = 1;
	disks->leaves[2].guest = 0;	/* bob/root is alice's now, alone on the second one */
	disks->leaves[1].waiting = 1;	/* and alice/data wants something on the first one */
	looks->view = top_view_create(looks->before, looks->now, TOP_GUESTS);
	assert_near(looks->view->rows[0].device, 0.65);
	assert_near(looks->view->rows[0].got, 650.0 / 850);
	assert_near(looks->view->rows[0].due, (700 * 2.0 / 3 + 150) / 850);
}

static void test_nothing_is_measured_across_a_restart(void **state)
{
	struct looks *looks = *state;

	looks->view = top_view_create(NULL, looks->now, TOP_DISKS);
	assert_false(looks->view->measured);
	assert_near(looks->view->rows[0].operations, 0);
	assert_int_equal(looks->view->row_count, 4);
	top_view_destroy(looks->view);
	looks->before->pid = 78;
	looks->view = top_view_create(looks->before, looks->now, TOP_DISKS);
	assert_false(looks->view->measured);
	top_view_destroy(looks->view);
	/* The same process number, but younger. */
	looks->before->pid = 77;
	looks->before->uptime_ns = looks->now->uptime_ns + 1;
	looks->view = top_view_create(looks->before, looks->now, TOP_DISKS);
	assert_false(looks->view->measured);
}

static void test_disks_that_come_and_are_made_anew(void **state)
{
	struct looks *looks = *state;

	strcpy(listing(looks->before)->leaves[2].name, "bob/gone");
	listing(looks->before)->leaves[0].counters.operations = 999999;
	looks->view = top_view_create(looks->before, looks->now, TOP_DISKS);
	assert_near(looks->view->rows[0].operations, 0);	/* the counter fell */
	assert_near(looks->view->rows[2].operations, 0);	/* bob/root was not there before */
	assert_near(looks->view->rows[3].operations, 2000);
}

static void test_without_histograms(void **state)
{
	struct looks *looks = *state;

	for (size_t i = 0; i < 4; i++)
		memset(&listing(looks->now)->leaves[i].counters.latency, 0, sizeof(struct histogram));
	listing(looks->now)->leaves[0].p99_ns = 777;
	looks->view = top_view_create(looks->before, looks->now, TOP_DISKS);
	assert_near(looks->view->rows[0].p99_ns, 777);
	top_view_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_disks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guests_and_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(test_devices, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guest_on_two_devices, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_is_measured_across_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_disks_that_come_and_are_made_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_histograms, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
