/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rings that go to another worker: which goes on with the record of its requests, and which begins anew. */
#include "interfaces/vhost_user/vhost_user_endpoint.h"
#include "vhost_user_bench.h"

#include <malloc.h>

#define LARGE_RING 256u

static unsigned waits;

static void on_wait(void *context, uint64_t waited_ns)
{
	waits++;
	endpoint_move(((struct bench *)context)->endpoint);
}

static int setup(void **state)
{
	int error = bench_setup(state);

	waits = 0;
	vhost_user_endpoint_of(((struct bench *)*state)->endpoint)->options.endpoint.made_wait = on_wait;
	return error;
}

/* The ring tells of a wait, as a worker does that has abandoned it. */
static void make_wait(struct bench *bench)
{
	unsigned before = waits;

	fake_ring[0]->setup.made_wait(fake_ring[0]->setup.context, 30 * NS_PER_MS);
	TURN_UNTIL(bench, waits > before);
	bench_settle(bench);
}

static void running_ring_keeps_its_record(void **state)
{
	struct bench *bench = *state;
	int socket = frontend_running(bench, 1);
	size_t bytes = inflight_region_bytes(false, RING_SIZE);
	unsigned starts = fake_starts;
	uint8_t *record = fake_ring[0]->setup.record;

	assert_true(record && malloc_usable_size(record) >= bytes);
	memset(record, 0xaa, bytes);
	make_wait(bench);
	assert_int_equal(fake_starts, starts + 1);
	assert_ptr_equal(fake_ring[0]->setup.record, record);
	assert_int_equal(record[bytes - 1], 0xaa);
	/* A front end that starts it anew has forgotten what was in flight. */
	stop_ring(bench, socket, 0);
	start_ring(bench, socket, 0, 0);
	record = fake_ring[0]->setup.record;
	for (size_t i = 0; i < bytes; i++)
		assert_int_equal(record[i], 0);
	close(socket);
}

/* Broken, moved, and reset with a larger ring: a record of the old size would be written behind its end. */
static void broken_ring_begins_anew(void **state)
{
	struct bench *bench = *state;
	int socket = frontend_running(bench, 1);
	size_t bytes = inflight_region_bytes(false, LARGE_RING);
	struct vhost_user_vring_address address = ring_address(0);
	uint8_t *record;

	memset(fake_ring[0]->setup.record, 0xaa, inflight_region_bytes(false, RING_SIZE));
	fake_ring[0]->setup.broken(fake_ring[0]->setup.context, VIOLATION_HEAD, 1);
	bench_settle(bench);
	make_wait(bench);
	stop_ring(bench, socket, 0);
	assert_int_equal(tell_state(bench, socket, VHOST_USER_SET_VRING_NUM, 0, LARGE_RING), 0);
	assert_int_equal(tell_state(bench, socket, VHOST_USER_SET_VRING_BASE, 0, 0), 0);
	assert_int_equal(tell(bench, socket, VHOST_USER_SET_VRING_ADDR, &address, sizeof(address)), 0);
	assert_int_equal(kick_ring(bench, socket, 0), 0);
	record = fake_ring[0]->setup.record;
	assert_true(record && malloc_usable_size(record) >= bytes);
	for (size_t i = 0; i < bytes; i++)
		assert_int_equal(record[i], 0);
	memset(record, 0xbb, bytes);
	close(socket);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(running_ring_keeps_its_record, setup, bench_teardown),
		cmocka_unit_test_setup_teardown(broken_ring_begins_anew, setup, bench_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
