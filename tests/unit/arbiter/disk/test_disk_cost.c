/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What requests cost: the figures, and the correction against simulated devices, in simulated time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "arbiter/disk/disk_cost.h"
#include "core/clock.h"

#define SEED	  20240611u
#define WINDOW_NS (10 * NS_PER_MS)

static const struct disk_cost plain = {
	.line = {
		{ 10000, 1000 }, { 8000, 1000 }, { 10000, 1000 }, { 8000, 1000 }, { 100000, 0 }, { 50000, 0 },
	},
	.window_ns = 100000,
};

/* ---- figures ---- */

static void test_cost_of_a_request(void **state)
{
	struct disk_cost cost = plain;

	assert_int_equal(disk_cost_ns(&cost, COST_READ_RANDOM, 4096), 14000);
	assert_int_equal(disk_cost_ns(&cost, COST_READ_SEQUENTIAL, 128 * 1024), 136000);
	assert_int_equal(disk_cost_ns(&cost, COST_WRITE_RANDOM, 512), 10500);
	assert_int_equal(disk_cost_ns(&cost, COST_FLUSH, 0), 100000);
	/* A null device still costs something, and the dearest one does not overflow. */
	cost.line[COST_READ_RANDOM] = (struct cost_line){ 0, 0 };
	assert_int_equal(disk_cost_ns(&cost, COST_READ_RANDOM, 4096), COST_MIN_NS);
	cost.line[COST_DISCARD] = (struct cost_line){ UINT32_MAX, UINT32_MAX };
	assert_true(disk_cost_ns(&cost, COST_DISCARD, (1ull << 41) - 512) > (1ull << 62));
}

static void test_figures_are_of_the_dearer_direction(void **state)
{
	struct disk_cost cost = plain;

	assert_int_equal(disk_cost_iops(&cost), NS_PER_S / 14000);
	assert_int_equal(disk_cost_bandwidth(&cost), 131072 * NS_PER_S / 136000);
	cost.line[COST_WRITE_RANDOM].base_ns = 16000;
	cost.line[COST_READ_SEQUENTIAL].ns_per_kib = 2000;
	assert_int_equal(disk_cost_iops(&cost), 50000);
	assert_int_equal(disk_cost_bandwidth(&cost), 131072 * NS_PER_S / 264000);
	/* An SSD as one would expect. */
	assert_in_range(disk_cost_iops(&disk_cost_default), 30000, 100000);
	assert_in_range(disk_cost_bandwidth(&disk_cost_default), 300 << 20, 600 << 20);
}

static void assert_line(struct cost_line line, uint32_t base_ns, uint32_t ns_per_kib)
{
	assert_int_equal(line.base_ns, base_ns);
	assert_int_equal(line.ns_per_kib, ns_per_kib);
}

static void test_lines_through_two_points(void **state)
{
	assert_line(cost_line_through(4096, 14000, 131072, 138000), 10000, 1000);
	assert_line(cost_line_through(512, 1500, 4096, 5000), 1000, 1000);
	/* Measured at different moments: larger and cheaper, or nothing but bytes. */
	assert_line(cost_line_through(4096, 14000, 131072, 13000), 14000, 0);
	assert_line(cost_line_through(4096, 8000, 131072, 404800), 1000, 3200);
	/* One size only. */
	assert_line(cost_line_through(512, 14000, 512, 15000), 14000, 0);
	assert_line(cost_line_through(4096, UINT64_MAX, 131072, UINT64_MAX), UINT32_MAX, 0);
	assert_line(cost_line_through(4096, 0, 131072, UINT64_MAX / 2), 0, UINT32_MAX);
}

static void test_reservations(void **state)
{
	struct disk_cost cost = plain;

	assert_int_equal(disk_cost_reservation_ppb(&cost, 0, 0), 0);
	assert_int_equal(disk_cost_reservation_ppb(&cost, 1000, 0), 14000000);
	assert_int_equal(disk_cost_reservation_ppb(&cost, 0, 1310720), 1360000);
	/* The dearer one, not both. */
	assert_int_equal(disk_cost_reservation_ppb(&cost, 1000, 1310720), 14000000);
	assert_int_equal(disk_cost_reservation_ppb(&cost, 1, 1310720), 1360000);
	/* Up: a promise is not rounded away. */
	assert_int_equal(disk_cost_reservation_ppb(&cost, 0, 1), 2);
	assert_int_equal(disk_cost_reservation_ppb(&cost, 0, 1310721), 1360002);
	/* All that there is, and more than all. */
	assert_in_range(disk_cost_reservation_ppb(&cost, disk_cost_iops(&cost), 0), 999900000, NS_PER_S);
	assert_in_range(disk_cost_reservation_ppb(&cost, 0, disk_cost_bandwidth(&cost)), 999900000, NS_PER_S);
	assert_int_equal(disk_cost_reservation_ppb(&cost, UINT64_MAX, 0), UINT64_MAX);
	assert_int_equal(disk_cost_reservation_ppb(&cost, 0, UINT64_MAX), UINT64_MAX);
	for (unsigned kind = 0; kind < COST_KINDS; kind++)
		cost.line[kind] = (struct cost_line){ UINT32_MAX, UINT32_MAX };
	assert_int_equal(disk_cost_reservation_ppb(&cost, UINT64_MAX / 2, UINT64_MAX / 2), UINT64_MAX);
	assert_true(disk_cost_reservation_ppb(&cost, 0, 131071) > UINT32_MAX);
}

static void test_streams(void **state)
{
	struct cost_streams streams = { .next = 0 };

	assert_false(cost_streams_follow(&streams, 4096, 4096));
	assert_true(cost_streams_follow(&streams, 8192, 4096));
	for (uint64_t other = 1; other < COST_STREAMS; other++)
		assert_false(cost_streams_follow(&streams, other << 30, 512));
	/* As many streams as there are places go on, and one more pushes the oldest out. */
	assert_true(cost_streams_follow(&streams, 12288, 512));
	assert_true(cost_streams_follow(&streams, (1ull << 30) + 512, 512));
	assert_false(cost_streams_follow(&streams, 1ull << 40, 512));
	assert_false(cost_streams_follow(&streams, 12800, 512));
}

/* ---- correction ---- */

#define MIX_SIZES 8u

/* A device that takes what `truth` says, times `slowness`, and whose guests change their minds. */
struct device {
	struct disk_cost truth;
	double slowness;
	uint32_t random;
	double left_ns;		/* of the request under way when the window ended */
	bool kinds[COST_KINDS]; /* in use */
	unsigned largest;	/* requests are of 4 KiB … 4 KiB << largest */
	/* Chance of each kind and size and those before it, not normalised. */
	double mix[COST_KINDS * MIX_SIZES];
	unsigned windows;
};

static uint32_t draw(struct device *device)
{
	device->random ^= device->random << 13;
	device->random ^= device->random >> 17;
	device->random ^= device->random << 5;
	return device->random;
}

static double draw_part(struct device *device)
{
	return draw(device) / 4294967296.0;
}

static void new_mix(struct device *device)
{
	double sum = 0;

	for (unsigned kind = 0; kind < COST_KINDS; kind++)
		for (unsigned size = 0; size < MIX_SIZES; size++) {
			if (device->kinds[kind] && size <= device->largest)
				sum += draw_part(device) * draw_part(device);
			device->mix[kind * MIX_SIZES + size] = sum;
		}
}

static void draw_request(struct device *device, unsigned *ret_kind, unsigned *ret_size)
{
	double at = draw_part(device) * device->mix[COST_KINDS * MIX_SIZES - 1];
	unsigned i = 0;

	while (at >= device->mix[i])
		i++;
	*ret_kind = i / MIX_SIZES;
	*ret_size = i % MIX_SIZES;
}

/* One window of a busy device; the mix lasts for about 50 ms. */
static struct cost_window device_window(struct device *device)
{
	struct cost_window window = { .wall_ns = WINDOW_NS };
	double left = WINDOW_NS - device->left_ns;

	if (device->windows++ == 0 || draw(device) % 5 == 0)
		new_mix(device);
	while (left > 0) {
		unsigned kind, size;
		uint64_t bytes;

		draw_request(device, &kind, &size);
		bytes = kind == COST_FLUSH ? 0 : 4096ull << size;
		left -= (double)disk_cost_ns(&device->truth, kind, bytes) * device->slowness;
		window.requests[kind]++;
		window.bytes[kind] += bytes;
	}
	device->left_ns = -left;
	return window;
}

static struct device device_of(const struct disk_cost *truth, unsigned largest, unsigned kinds)
{
	struct device device = { .truth = *truth, .slowness = 1, .random = SEED, .largest = largest };

	for (unsigned kind = 0; kind < COST_KINDS; kind++)
		device.kinds[kind] = kinds >> kind & 1;
	return device;
}

static void observe(struct device *device, struct disk_cost *cost, struct cost_correction *correction,
		    uint64_t seconds)
{
	for (uint64_t i = 0; i < seconds * NS_PER_S / WINDOW_NS; i++) {
		struct cost_window window = device_window(device);

		disk_cost_observe(cost, correction, &window);
	}
}

static double ratio(const struct disk_cost *cost, enum cost_kind one, uint64_t one_bytes,
		    enum cost_kind other, uint64_t other_bytes)
{
	return (double)disk_cost_ns(cost, one, one_bytes) / (double)disk_cost_ns(cost, other, other_bytes);
}

static void assert_about(double value, double wanted, double error)
{
	if (value < wanted * (1 - error) || value > wanted * (1 + error))
		print_error("%g is not %g within %g (seed %u)\n", value, wanted, error, SEED);
	assert_true(value >= wanted * (1 - error) && value <= wanted * (1 + error));
}

#define READS_AND_WRITES (1u << COST_READ_RANDOM | 1u << COST_WRITE_RANDOM)

static void test_learns_that_writes_are_dear(void **state)
{
	struct disk_cost cost = plain, truth = plain;
	struct cost_correction correction;
	struct device device;

	truth.line[COST_WRITE_RANDOM] = (struct cost_line){ 30000, 3000 };
	device = device_of(&truth, 0, READS_AND_WRITES);
	cost_correction_init(&correction, &cost);
	observe(&device, &cost, &correction, 5);
	assert_about(ratio(&cost, COST_WRITE_RANDOM, 4096, COST_READ_RANDOM, 4096), 3, 0.1);
	/* With sizes, the lines' slopes have to be found too. */
	device = device_of(&truth, 4, READS_AND_WRITES);
	cost = plain;
	cost_correction_init(&correction, &cost);
	observe(&device, &cost, &correction, 10);
	assert_about(ratio(&cost, COST_WRITE_RANDOM, 4096, COST_READ_RANDOM, 4096), 3, 0.2);
	assert_about(ratio(&cost, COST_WRITE_RANDOM, 65536, COST_READ_RANDOM, 65536), 3, 0.1);
}

static void test_learns_that_large_requests_are_cheap(void **state)
{
	struct disk_cost cost = plain, truth = plain;
	struct cost_correction correction;
	struct device device;
	double truly;

	truth.line[COST_READ_RANDOM] = (struct cost_line){ 13000, 250 };
	device = device_of(&truth, 6, 1u << COST_READ_RANDOM);
	truly = ratio(&truth, COST_READ_RANDOM, 262144, COST_READ_RANDOM, 4096);
	cost_correction_init(&correction, &cost);
	observe(&device, &cost, &correction, 10);
	assert_about(ratio(&cost, COST_READ_RANDOM, 262144, COST_READ_RANDOM, 4096), truly, 0.15);
}

/* Flushes are rare and dear: what one costs is found, too. */
static void test_learns_what_a_flush_costs(void **state)
{
	struct disk_cost cost = plain, truth = plain;
	struct cost_correction correction;
	struct device device;

	truth.line[COST_FLUSH].base_ns = 400000;
	device = device_of(&truth, 0, 1u << COST_WRITE_SEQUENTIAL | 1u << COST_FLUSH);
	cost_correction_init(&correction, &cost);
	observe(&device, &cost, &correction, 10);
	assert_about(ratio(&cost, COST_FLUSH, 0, COST_WRITE_SEQUENTIAL, 4096), 400000.0 / 12000, 0.15);
}

static void assert_lines_about(const struct disk_cost *cost, const struct disk_cost *wanted, double error)
{
	for (unsigned kind = 0; kind < COST_KINDS; kind++) {
		assert_about(cost->line[kind].base_ns, wanted->line[kind].base_ns, error);
		assert_about(cost->line[kind].ns_per_kib, wanted->line[kind].ns_per_kib, error);
	}
}

static void test_prices_follow_the_device(void **state)
{
	struct disk_cost cost = plain, before, slow;
	struct cost_correction correction;
	struct device device = device_of(&plain, 4, READS_AND_WRITES);

	cost_correction_init(&correction, &cost);
	observe(&device, &cost, &correction, 2);
	assert_about(correction.rate, 1, 0.05);
	before = cost;
	assert_lines_about(&cost, &plain, 0.05);
	device.slowness = 10;
	for (int i = 0; i < 40; i++) {
		struct cost_window window = device_window(&device);

		disk_cost_observe(&cost, &correction, &window);
	}
	assert_about(correction.rate / correction.level, 0.1, 0.4);
	/* Within 2 s all prices are as it is now, the one against the other as before. */
	observe(&device, &cost, &correction, 2);
	slow = before;
	for (unsigned kind = 0; kind < COST_KINDS; kind++) {
		slow.line[kind].base_ns *= 10;
		slow.line[kind].ns_per_kib *= 10;
	}
	assert_about(correction.rate, 1, 0.1);
	assert_about(correction.level, 10, 0.1);
	assert_lines_about(&cost, &slow, 0.12);
	device.slowness = 1;
	observe(&device, &cost, &correction, 2);
	assert_about(correction.rate, 1, 0.1);
	assert_lines_about(&cost, &before, 0.12);
	assert_about(ratio(&cost, COST_WRITE_RANDOM, 4096, COST_READ_RANDOM, 4096), 1, 0.04);
}

/* One kind of one size tells nothing about the others, nor about its own base and slope. */
static void test_one_kind_alone_moves_all_alike(void **state)
{
	struct disk_cost cost = plain;
	struct cost_correction correction;
	struct device device = device_of(&plain, 0, 1u << COST_READ_RANDOM);

	device.slowness = 3;
	cost_correction_init(&correction, &cost);
	observe(&device, &cost, &correction, 5);
	/* But all together follow the rate. */
	assert_about(correction.rate, 1, 0.05);
	assert_about(ratio(&cost, COST_WRITE_RANDOM, 4096, COST_READ_RANDOM, 4096), 1, 0.001);
	assert_about((double)disk_cost_ns(&cost, COST_READ_RANDOM, 4096), 42000, 0.05);
}

static void test_corrections_are_bounded(void **state)
{
	struct disk_cost cost = plain, truth = plain;
	struct cost_correction correction;
	struct device device;

	truth.line[COST_WRITE_RANDOM] = (struct cost_line){ 5000000, 5000 };
	device = device_of(&truth, 0, READS_AND_WRITES);
	cost_correction_init(&correction, &cost);
	observe(&device, &cost, &correction, 60);
	for (unsigned kind = 0; kind < COST_KINDS; kind++) {
		double base_ns = plain.line[kind].base_ns * correction.level,
		       per_kib = plain.line[kind].ns_per_kib * correction.level;

		assert_in_range(cost.line[kind].base_ns, base_ns / 33, base_ns * 33);
		assert_in_range(cost.line[kind].ns_per_kib, per_kib / 33, per_kib * 33);
	}
	assert_true(ratio(&cost, COST_WRITE_RANDOM, 4096, COST_READ_RANDOM, 4096) > 8);
}

/* Nothing completes for a second: the rate says so, and nothing else changes. */
static void test_a_hanging_device(void **state)
{
	struct disk_cost cost = plain;
	struct cost_correction correction;
	struct device device = device_of(&plain, 0, READS_AND_WRITES);
	struct cost_window nothing = { .wall_ns = WINDOW_NS },
			   no_time = { .requests = { 5 }, .bytes = { 20480 } };

	cost_correction_init(&correction, &cost);
	disk_cost_observe(&cost, &correction, &nothing);
	observe(&device, &cost, &correction, 1);
	for (int i = 0; i < 100; i++)
		disk_cost_observe(&cost, &correction, &nothing);
	assert_true(correction.rate < 0.001);
	disk_cost_observe(&cost, &correction, &no_time);
	assert_true(correction.rate < 0.001);
	assert_lines_about(&cost, &plain, 0.05);
	observe(&device, &cost, &correction, 3);
	assert_about(correction.rate, 1, 0.05);
	assert_lines_about(&cost, &plain, 0.05);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cost_of_a_request),
		cmocka_unit_test(test_figures_are_of_the_dearer_direction),
		cmocka_unit_test(test_lines_through_two_points),
		cmocka_unit_test(test_reservations),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_learns_that_writes_are_dear),
		cmocka_unit_test(test_learns_that_large_requests_are_cheap),
		cmocka_unit_test(test_learns_what_a_flush_costs),
		cmocka_unit_test(test_prices_follow_the_device),
		cmocka_unit_test(test_one_kind_alone_moves_all_alike),
		cmocka_unit_test(test_corrections_are_bounded),
		cmocka_unit_test(test_a_hanging_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
