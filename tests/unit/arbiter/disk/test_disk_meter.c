/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The meter of a disk: what requests cost at its gate, and that it learns from what the disk completes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "arbiter/disk/disk_meter.h"
#include "arbiter/share/gate_private.h"
#include "core/clock.h"
#include "core/loop.h"
#include "stopped_clock.h"

#define PASSES 16u

/* 1000 reads of 4 KiB a second, twice as many writes; a byte costs nothing. */
static const struct disk_cost cost = {
	.line = {
		[COST_READ_RANDOM] = { 1000000, 0 },
		[COST_READ_SEQUENTIAL] = { 1000000, 0 },
		[COST_WRITE_RANDOM] = { 500000, 0 },
		[COST_WRITE_SEQUENTIAL] = { 500000, 0 },
		[COST_FLUSH] = { 3000000, 0 },
		[COST_DISCARD] = { 1000, 0 },
	},
	.window_ns = 2000000,
};

static struct loop *loop;
static struct disk_meter *meter;
static struct gate_node *node;
static struct disk_meter_port port;
static struct gate_counters counters;
static struct disk_pass passes[PASSES];

static void entered(struct gate_pass *pass)
{
}

static void begin(void)
{
	const struct loop_options options = { .name = "meter", .clocks = &stopped_clocks };
	const struct share_settings settings = SHARE_SETTINGS_DEFAULT;

	memset(&counters, 0, sizeof(counters));
	assert_int_equal(loop_create(&options, &loop), 0);
	assert_int_equal(disk_meter_create(&cost, true, &meter), 0);
	assert_int_equal(gate_node_create(disk_meter_gate(meter), NULL, &settings, &node, NULL), 0);
	assert_int_equal(disk_meter_port_open(&port, node, loop, &counters), 0);
}

static void end(void)
{
	disk_meter_port_close(&port);
	assert_null(port.gate);
	disk_meter_port_close(&port);
	gate_node_destroy(node);
	disk_meter_destroy(meter);
	assert_int_equal(loop_turn(loop, 0), 0);
	loop_destroy(loop);
}

static void enter(unsigned index, enum cost_kind kind, bool flush)
{
	passes[index] = (struct disk_pass){ .kind = kind, .flush = flush, .gate.enter = entered };
	passes[index].gate.waiting.bytes = 4096;
	gate_enter(port.gate, disk_meter_price(&port, &passes[index]));
}

static uint64_t charged(enum cost_kind kind, bool flush)
{
	uint64_t before_ns = counter_read(&counters.device_ns);

	enter(0, kind, flush);
	gate_leave(&passes[0].gate);
	return counter_read(&counters.device_ns) - before_ns;
}

static void kinds_cost_what_the_model_says(void **state)
{
	struct disk_cost other = cost;

	begin();
	assert_int_equal(charged(COST_READ_RANDOM, false), 1000000);
	assert_int_equal(charged(COST_WRITE_RANDOM, false), 500000);
	assert_int_equal(charged(COST_WRITE_RANDOM, true), 3500000);
	assert_int_equal(charged(COST_FLUSH, false), 3000000);
	other.line[COST_WRITE_RANDOM].base_ns = 700000;
	disk_meter_set_cost(meter, &other);
	assert_int_equal(charged(COST_WRITE_RANDOM, true), 3700000);
	end();
}

/*
 * A hundred windows of a disk ten times as slow as said, that another guest wants, too: the meter learns
 * what the model makes of them.
 */
static void it_learns_from_a_full_disk(void **state)
{
	struct cost_window window = { .wall_ns = 10 * NS_PER_MS };
	struct cost_correction correction;
	struct disk_cost expected = cost, after;

	begin();
	disk_meter_gate(meter)->shared_ns = stopped_clock_ns;
	cost_correction_init(&correction, &cost);
	window.requests[COST_READ_RANDOM] = 1;
	window.bytes[COST_READ_RANDOM] = 4096;
	for (unsigned i = 0; i < PASSES; i++)
		enter(i, COST_READ_RANDOM, i == 0);
	for (unsigned i = 0; i < 100; i++) {
		stopped_clock_ns += window.wall_ns;
		disk_meter_gate(meter)->shared_ns = stopped_clock_ns;
		assert_int_equal(loop_turn(loop, 0), 0);
		gate_leave(&passes[i % PASSES].gate);
		enter(i % PASSES, COST_READ_RANDOM, false);
		window.requests[COST_FLUSH] = i == 0;
		disk_cost_observe(&expected, &correction, &window);
	}
	disk_meter_cost(meter, &after);
	assert_memory_equal(&after, &expected, sizeof(after));
	assert_memory_equal(&port.cost, &expected, sizeof(port.cost));
	assert_true(after.line[COST_READ_RANDOM].base_ns > 1001000);
	assert_true(disk_meter_rate(meter) == correction.rate);
	disk_meter_set_cost(meter, &cost);
	assert_true(disk_meter_rate(meter) == 1);
	for (unsigned i = 0; i < PASSES; i++)
		gate_leave(&passes[(100 + i) % PASSES].gate);
	end();
}

static void reservations_are_parts_of_its_time(void **state)
{
	struct share_settings settings = SHARE_SETTINGS_DEFAULT;
	struct error error;

	begin();
	settings.min_iops = 300;
	assert_int_equal(gate_node_set(node, &settings, &error), 0);
	assert_int_equal(gate_reserved_ppb(disk_meter_gate(meter)), 300000000);
	settings.min_bandwidth = 400 * 131072;		/* the dearer of the two */
	assert_int_equal(gate_node_set(node, &settings, &error), 0);
	assert_int_equal(gate_reserved_ppb(disk_meter_gate(meter)), 400000000);
	settings.min_iops = 1000;
	assert_int_equal(gate_node_set(node, &settings, &error), -ENOSPC);
	assert_string_equal(error.text,
			    "the reservation is 100.0 % of the disk's time, and 90.0 % is left of what may "
			    "be reserved: min_iops up to 900, or min_bandwidth up to 112M");
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds_cost_what_the_model_says),
		cmocka_unit_test(it_learns_from_a_full_disk),
		cmocka_unit_test(reservations_are_parts_of_its_time),
	};

	return cmocka_run_group_tests_name("disk_meter", tests, NULL, NULL);
}
