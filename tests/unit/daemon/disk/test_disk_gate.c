/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a physical disk is believed to do: what is said, what was kept, or what any disk does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arbiter/disk/disk_meter.h"
#include "core/log.h"
#include "daemon/daemon.h"
#include "daemon/disk/disk_gate.h"
#include "host/host_disk.h"

static struct host_disk *open_memory(void)
{
	/* 8 requests at a time, 0.8 ms each: 10000 a second. */
	const struct disk_memory_options options = {
		.size_bytes = 16 << 20, .read_base_ns = 800000, .write_base_ns = 800000, .depth = 8,
	};
	struct host_disk *host;

	assert_int_equal(disk_memory_open(&options, &host), 0);
	return host;
}

static void expect(const struct disk_gate *gate, uint64_t iops, uint64_t bandwidth, double within)
{
	struct disk_cost cost;

	disk_meter_cost(gate->meter, &cost);
	assert_in_range(disk_cost_iops(&cost), (uint64_t)((double)iops * (1 - within)),
			(uint64_t)((double)iops * (1 + within)));
	assert_in_range(disk_cost_bandwidth(&cost), (uint64_t)((double)bandwidth * (1 - within)),
			(uint64_t)((double)bandwidth * (1 + within)));
}

/* What the configuration says is what comes out. */
static void test_capacity_is_said(void **state)
{
	static const struct config_capacity capacities[] = {
		{ 1, 4096 },	      { 100, 100 << 20 },      { 10000, 100 << 20 },
		{ 20000, 100 << 20 }, { 1000000, 1ull << 33 },
	};
	struct daemon daemon = { .state_dir = NULL };
	struct host_disk *host = open_memory();

	for (unsigned i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++) {
		struct disk_gate *gate = disk_gate_open(&daemon, "/memory", 0, host, &capacities[i]);

		assert_non_null(gate);
		assert_int_equal(gate->origin, DISK_COST_SAID);
		/* Whole nanoseconds */
		expect(gate, capacities[i].iops, capacities[i].bandwidth, 0.06);
		disk_gate_close(&daemon, gate);
	}
	assert_null(daemon.gates);
	host->ops->close(host);
}

/* A disk that nobody has said anything of is opened without a request to it: it may hang. */
static void test_nothing_is_known(void **state)
{
	const struct config_capacity unknown = { .iops = 0 };
	struct daemon daemon = { .state_dir = NULL };
	struct host_disk *host = open_memory();
	struct disk_gate *gate;

	for (unsigned turning = 0; turning < 2; turning++) {
		const struct disk_cost *cost = turning ? &disk_cost_rotational : &disk_cost_default;

		host->geometry.rotational = turning;
		gate = disk_gate_open(&daemon, "/memory", 0, host, &unknown);
		assert_non_null(gate);
		assert_int_equal(gate->origin, DISK_COST_SUPPOSED);
		expect(gate, disk_cost_iops(cost), disk_cost_bandwidth(cost), 0);
		disk_gate_close(&daemon, gate);
	}
	host->ops->close(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_capacity_is_said), cmocka_unit_test(test_nothing_is_known),
	};

	return cmocka_run_group_tests_name("disk_gate", tests, NULL, NULL);
}
