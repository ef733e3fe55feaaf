/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How much is inside the device: against a device of several servers, in simulated time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "arbiter/share/depth.h"
#include "core/clock.h"

/* ---- the rules, one at a time ---- */

static void test_room(void **state)
{
	struct depth depth;

	depth_init(&depth, 4, 200000);
	/* Small ones: as many as the window holds. */
	for (unsigned i = 0; i < depth.window_ns / 25000; i++) {
		assert_true(depth_room(&depth));
		depth_enter(&depth, 25000);
	}
	assert_false(depth_room(&depth));
	depth_leave(&depth, 25000);
	assert_true(depth_room(&depth));
	/* Large ones: as many as may always be inside. */
	depth_init(&depth, 4, 200000);
	for (int i = 0; i < 4; i++) {
		assert_true(depth_room(&depth));
		depth_enter(&depth, 500000);
	}
	assert_false(depth_room(&depth));
}

static void report_many(struct depth *depth, unsigned count, unsigned missed, uint64_t *now_ns)
{
	for (unsigned i = 0; i < count; i++) {
		*now_ns += DEPTH_PERIOD_NS / count;
		depth_report(depth, i < missed ? 3000 : 1000, 2000, *now_ns);
	}
}

static void test_one_miss_in_a_hundred_is_borne(void **state)
{
	struct depth depth;
	uint64_t now_ns = NS_PER_S;

	depth_init(&depth, 32, 400000);
	report_many(&depth, 1, 0, &now_ns);
	report_many(&depth, 200, 2, &now_ns);
	assert_int_equal(depth.parallel, 32);
	report_many(&depth, 200, 3, &now_ns);
	assert_int_equal(depth.parallel, 24);
	assert_int_equal(depth.window_ns, 300000);
	/* Few misses neither shrink it nor let it grow. */
	report_many(&depth, 200, 1, &now_ns);
	report_many(&depth, 200, 2, &now_ns);
	assert_int_equal(depth.parallel, 24);
	report_many(&depth, 200, 0, &now_ns);
	assert_int_equal(depth.parallel, 25);
	for (int i = 0; i < 10; i++)
		report_many(&depth, 200, 0, &now_ns);
	assert_int_equal(depth.parallel, 32);
	assert_int_equal(depth.window_ns, depth.window_max_ns);
}

static void test_bounds_of_the_bound(void **state)
{
	struct depth depth;
	uint64_t now_ns = NS_PER_S;

	depth_init(&depth, 4, 200000);
	for (int i = 0; i < 100; i++)
		report_many(&depth, 100, 100, &now_ns);
	assert_int_equal(depth.parallel, 1);
	assert_in_range(depth.window_ns, 1, depth.window_max_ns / 60);
	assert_true(depth_room(&depth));
	/* Another model: as open as before, of the new bound. */
	depth_set(&depth, 128, 256000);
	assert_int_equal(depth.parallel, 2);
	/* Nobody with a target any more: it opens in less than a second. */
	for (int i = 0; i < 1000; i++)
		depth_report(&depth, 50000000, 0, now_ns += NS_PER_MS);
	assert_int_equal(depth.parallel, 128);
	assert_int_equal(depth.window_ns, depth.window_max_ns);
}

/* Requests from before it shrank met the old bound: they are no reason to shrink it again. */
static void test_old_requests_do_not_count(void **state)
{
	struct depth depth;
	uint64_t now_ns = NS_PER_S;

	depth_init(&depth, 32, 320000);
	report_many(&depth, 1, 0, &now_ns);
	report_many(&depth, 1, 1, &now_ns);
	assert_int_equal(depth.parallel, 24);
	for (uint64_t i = 1; i <= 50; i++)
		depth_report(&depth, i * NS_PER_MS + 1, NS_PER_MS, now_ns + i * NS_PER_MS);
	assert_int_equal(depth.parallel, 24);
	now_ns += 50 * NS_PER_MS;
	depth_report(&depth, NS_PER_MS + 1, NS_PER_MS, now_ns += 9 * NS_PER_MS);
	assert_int_equal(depth.parallel, 24);
	depth_report(&depth, NS_PER_MS + 1, NS_PER_MS, now_ns += NS_PER_MS);
	assert_int_equal(depth.parallel, 18);
}

/* ---- a device ---- */

#define INSIDE_MAX  1024
#define SERVERS_MAX 64
#define NOISE_NS    (10 * NS_PER_MS)

/*
 * Serves from one FIFO, and completes are seen, and what waits is dispatched, `dispatch_ns` later. Two
 * guests share it: one always has `flood` requests, waiting or inside; the victim has one at a time, half
 * as dear, before all others.
 */
struct device {
	struct depth depth;
	bool bounded;
	unsigned servers, flood;
	uint64_t service_ns, cost_ns, dispatch_ns, target_ns;
	uint64_t throttle_ns;		/* at least so long between the beginnings of two; 0: as it can */
	double jitter, noise;		/* of each service, and of all in 10 ms: of their logarithms */
	unsigned seed;

	uint64_t now_ns, free_ns[SERVERS_MAX], token_ns, noise_until_ns;
	double factor;
	/* A ring, what is seen first at its front: a search for that would take most of the time. */
	struct inside {
		uint64_t entered_ns, seen_ns, cost_ns;
		bool victim;
	} inside[INSIDE_MAX];
	unsigned front, count, flooding;
	bool victim_waits;
	uint64_t victim_since_ns, victim_device_max_ns;
	uint64_t took_ns[1 << 16];
	unsigned took;
};

static double draw(struct device *device)
{
	double sum = 0;

	/* Nearly normal. */
	for (int i = 0; i < 12; i++)
		sum += (double)rand_r(&device->seed) / RAND_MAX;
	return sum - 6;
}

static struct inside *inside_at(struct device *device, unsigned place)
{
	return &device->inside[(device->front + place) % INSIDE_MAX];
}

static void put_inside(struct device *device, const struct inside *request)
{
	unsigned place = device->count++;

	assert_true(device->count <= INSIDE_MAX);
	for (; place > 0 && inside_at(device, place - 1)->seen_ns > request->seen_ns; place--)
		*inside_at(device, place) = *inside_at(device, place - 1);
	*inside_at(device, place) = *request;
}

static void dispatch(struct device *device, bool victim)
{
	uint64_t *server = &device->free_ns[0], start_ns, part = victim ? 2 : 1;
	struct inside inside;

	for (unsigned i = 1; i < device->servers; i++)
		if (device->free_ns[i] < *server)
			server = &device->free_ns[i];
	start_ns = *server > device->now_ns ? *server : device->now_ns;
	if (device->throttle_ns > 0) {
		start_ns = start_ns > device->token_ns ? start_ns : device->token_ns;
		device->token_ns = start_ns + device->throttle_ns / part;
	}
	if (device->now_ns >= device->noise_until_ns) {
		device->factor = exp(device->noise * draw(device));
		device->noise_until_ns = device->now_ns + NOISE_NS;
	}
	*server = start_ns + (uint64_t)((double)device->service_ns / (double)part * device->factor *
					exp(device->jitter * draw(device)));
	inside = (struct inside){
		device->now_ns, *server + device->dispatch_ns, device->cost_ns / part, victim,
	};
	put_inside(device, &inside);
	depth_enter(&device->depth, device->cost_ns / part);
	depth_entered(&device->depth, device->depth.inside_ns, device->now_ns);
}

static bool room(const struct device *device)
{
	return !device->bounded || depth_room(&device->depth);
}

static void fill(struct device *device)
{
	if (device->victim_waits && room(device)) {
		device->victim_waits = false;
		dispatch(device, true);
	}
	while (device->flooding < device->flood && room(device)) {
		device->flooding++;
		dispatch(device, false);
	}
}

static void victim_done(struct device *device, uint64_t in_device_ns)
{
	if (device->took < sizeof(device->took_ns) / sizeof(device->took_ns[0]))
		device->took_ns[device->took++] = device->now_ns - device->victim_since_ns;
	if (in_device_ns > device->victim_device_max_ns)
		device->victim_device_max_ns = in_device_ns;
	device->victim_since_ns = device->now_ns;
	device->victim_waits = true;
}

static uint64_t see_next(struct device *device)
{
	bool full = device->victim_waits || device->flooding < device->flood;
	struct inside done = *inside_at(device, 0);

	device->front = (device->front + 1) % INSIDE_MAX;
	device->count--;
	device->now_ns = done.seen_ns;
	depth_leave(&device->depth, done.cost_ns);
	depth_left(&device->depth, done.cost_ns, device->depth.inside_ns, full, device->now_ns);
	depth_report(&device->depth, done.seen_ns - done.entered_ns, done.victim ? device->target_ns : 0,
		     device->now_ns);
	if (done.victim)
		victim_done(device, done.seen_ns - done.entered_ns);
	else
		device->flooding--;
	return done.cost_ns;
}

/* Cost carried out a second from now on for so long; 1: a second's. */
static double device_run(struct device *device, uint64_t for_ns)
{
	uint64_t begin_ns = device->now_ns, cost_ns = 0;

	device->took = 0;
	device->victim_device_max_ns = 0;
	while (device->now_ns < begin_ns + for_ns) {
		fill(device);
		cost_ns += see_next(device);
	}
	return (double)cost_ns / (double)(device->now_ns - begin_ns);
}

static int compare(const void *one, const void *other)
{
	uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;

	return (a > b) - (a < b);
}

static uint64_t victim_p99_ns(struct device *device)
{
	assert_true(device->took > 0);
	qsort(device->took_ns, device->took, sizeof(uint64_t), compare);
	return device->took_ns[device->took * 99 / 100];
}

/* Fully busy, it carries out a second's cost a second. */
static struct device *device_of(bool bounded, unsigned servers, uint64_t service_ns, unsigned seed)
{
	struct device *device = calloc(1, sizeof(*device));

	assert_non_null(device);
	*device = (struct device){
		.bounded = bounded, .servers = servers, .flood = 128, .service_ns = service_ns,
		.cost_ns = service_ns / servers, .dispatch_ns = 20000, .now_ns = NS_PER_S, .factor = 1,
		.seed = seed, .victim_waits = true, .victim_since_ns = NS_PER_S,
	};
	depth_init(&device->depth, 1, 250000);
	depth_seek(&device->depth);
	return device;
}

/* ---- the search ---- */

struct kind {
	unsigned servers, flood;
	uint64_t service_ns;
	double jitter, noise;
};

static const struct kind kinds[] = {
	{ 1, 64, 100000, 0, 0 },
	{ 1, 64, 100000, 0.3, 0.1 },
	{ 16, 128, 200000, 0, 0 },
	{ 16, 128, 200000, 0.3, 0.08 },
	{ 4, 128, 800000, 0.3, 0.1 },
	{ 32, 256, 100000, 0.3, 0.05 },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))
#define SEEDS 2u

static struct device *of_kind(const struct kind *kind, bool bounded, unsigned seed)
{
	struct device *device = device_of(bounded, kind->servers, kind->service_ns, seed);

	device->flood = kind->flood;
	device->jitter = kind->jitter;
	device->noise = kind->noise;
	return device;
}

/* What nobody told it: devices of 1 to 32 servers, even or noisy, are kept busy, and nobody waits in them. */
static void test_the_window_is_found(void **state)
{
	for (unsigned i = 0; i < KINDS * SEEDS; i++) {
		const struct kind *kind = &kinds[i / SEEDS];
		struct device *free_device = of_kind(kind, false, 1 + i);
		struct device *device = of_kind(kind, true, 1 + i);
		double off, on;

		device_run(device, 2 * NS_PER_S);
		off = device_run(free_device, 6 * NS_PER_S);
		on = device_run(device, 6 * NS_PER_S);
		assert_true(on >= off * 0.95);
		assert_true(victim_p99_ns(device) <= victim_p99_ns(free_device) / 3);
		free(free_device);
		free(device);
	}
}

/* It becomes ten times as slow, as a bucket of tokens makes it, and itself again: both within 2 s. */
static void test_the_window_follows(void **state)
{
	for (unsigned i = 0; i < KINDS * SEEDS; i++) {
		const struct kind *kind = &kinds[i / SEEDS];
		struct device *device = of_kind(kind, true, 100 + i);
		double before, slow, after;
		uint64_t p99_ns;

		device_run(device, 2 * NS_PER_S);
		before = device_run(device, 2 * NS_PER_S);
		device->throttle_ns = 10 * device->cost_ns;
		device_run(device, 2 * NS_PER_S);
		slow = device_run(device, 2 * NS_PER_S);
		p99_ns = victim_p99_ns(device);
		assert_true(slow >= 0.1 * 0.93);
		/* Less waits in it than did in the quick device, ten times as long. */
		assert_true(p99_ns <= 10 * 4 * (kind->service_ns + 4 * device->cost_ns));
		device->throttle_ns = 0;
		device_run(device, 2 * NS_PER_S);
		after = device_run(device, 2 * NS_PER_S);
		assert_true(after >= before * 0.93);
		free(device);
	}
}

/* With sixteen servers instead of two, and two again: what is inside follows what the device can use. */
static void test_more_servers(void **state)
{
	static const unsigned servers[] = { 2, 16, 2 };

	for (unsigned seed = 1; seed <= SEEDS; seed++) {
		struct device *device = device_of(true, 2, 200000, seed);

		device->jitter = 0.2;
		for (unsigned i = 0; i < 3; i++) {
			device->servers = servers[i];
			for (unsigned k = 0; k < SERVERS_MAX; k++)
				device->free_ns[k] = device->now_ns;
			device_run(device, 3 * NS_PER_S);
			/* In costs of the device of two. */
			assert_true(device_run(device, NS_PER_S) >= servers[i] / 2.0 * 0.9);
			assert_in_range(device->depth.search.window_ns / (double)device->cost_ns,
					servers[i] / 2.0, servers[i] * 3.0 + 2);
		}
		free(device);
	}
}

/* Fewer requests than the window: nobody waits for room, and the window is no more than what was inside. */
static void test_what_is_not_asked_for(void **state)
{
	struct device *device = device_of(true, 4, 800000, 1);

	depth_set(&device->depth, 1, 20000000);
	depth_seek(&device->depth);
	device->flood = 12;
	device_run(device, 2 * NS_PER_S);
	assert_in_range(device->depth.search.window_ns, 3 * device->cost_ns, 8 * device->cost_ns);
	assert_true(device_run(device, NS_PER_S) > 0.95);
	free(device);
}

/* Requests that come now and then, with the device idle in between, teach nothing. */
static void test_idleness_teaches_nothing(void **state)
{
	struct device *device = device_of(true, 16, 200000, 1);
	double found;

	device_run(device, 2 * NS_PER_S);
	found = device->depth.search.window_ns;
	for (unsigned i = 0; i < 2000; i++) {
		device->flood = 1;
		while (device->count > 0)
			see_next(device);
		device->victim_waits = false;
		device->now_ns += NS_PER_MS;
		fill(device);
	}
	assert_true(device->depth.search.window_ns <= found * 1.01);
	device->flood = 128;
	device->victim_waits = true;
	device_run(device, NS_PER_S);
	assert_true(device_run(device, NS_PER_S) > 0.95);
	free(device);
}

/* All costs become four times what they were: as many requests as before, and it goes on from there. */
static void test_costs_are_scaled(void **state)
{
	struct device *device = device_of(true, 16, 200000, 1);
	double requests;

	device_run(device, 2 * NS_PER_S);
	requests = device->depth.search.window_ns / (double)device->cost_ns;
	while (device->count > 0)
		see_next(device);
	device->cost_ns *= 4;
	depth_scale(&device->depth, 4);
	assert_in_range(device->depth.search.window_ns / (double)device->cost_ns, requests * 0.99,
			requests * 1.01);
	assert_true(device_run(device, NS_PER_S) > 4 * 0.95);
	/* Within what can be told and kept. */
	depth_scale(&device->depth, 1e6);
	assert_in_range(device->depth.search.window_ns, 1, DEPTH_WINDOW_MOST_NS);
	depth_scale(&device->depth, 1e-12);
	assert_in_range(device->depth.search.window_ns, 1, DEPTH_WINDOW_MOST_NS);
	/* One that is not sought stays. */
	depth_set(&device->depth, 4, 100000);
	depth_scale(&device->depth, 4);
	assert_int_equal(device->depth.window_ns, 100000);
	free(device);
}

/* A target is met: the bound closes until it holds, and opens when nobody minds any more. */
static void test_a_target_is_met(void **state)
{
	struct device *device = device_of(true, 2, 100000, 1);

	depth_set(&device->depth, 16, 16 * 50000);
	device->target_ns = 400000;
	device_run(device, 50 * NS_PER_MS);
	assert_true(device->victim_device_max_ns > 600000);
	device_run(device, 2 * NS_PER_S);
	/*
	 * It hunts a little: every now and then it opens too far. But it is met, and the device is not
	 * idle.
	 */
	assert_true(device_run(device, NS_PER_S) > 0.85);
	assert_true(device->victim_device_max_ns < 600000);
	device->target_ns = 0;
	device_run(device, NS_PER_S);
	assert_int_equal(device->depth.parallel, 16);
	/* Never reached: the bound closes, and requests still pass. */
	device->target_ns = 1;
	device_run(device, NS_PER_S);
	assert_int_equal(device->depth.parallel, 1);
	assert_true(device_run(device, NS_PER_S) > 0.3);
	free(device);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_one_miss_in_a_hundred_is_borne),
		cmocka_unit_test(test_bounds_of_the_bound),
		cmocka_unit_test(test_old_requests_do_not_count),
		cmocka_unit_test(test_the_window_is_found),
		cmocka_unit_test(test_the_window_follows),
		cmocka_unit_test(test_more_servers),
		cmocka_unit_test(test_what_is_not_asked_for),
		cmocka_unit_test(test_idleness_teaches_nothing),
		cmocka_unit_test(test_costs_are_scaled),
		cmocka_unit_test(test_a_target_is_met),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
