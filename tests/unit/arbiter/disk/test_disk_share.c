/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a virtual disk's requests are to its gate: which of them pass it, and what they cost there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arbiter/disk/disk.h"
#include "arbiter/disk/disk_meter.h"
#include "arbiter/disk/disk_stats.h"
#include "arbiter/pool/pool.h"
#include "arbiter/share/gate.h"
#include "arbiter/share/gate_private.h"
#include "core/clock.h"
#include "core/loop.h"
#include "held_disk.h"
#include "stopped_clock.h"

#define POOL_BYTES (32u << 20)
#define DISK_BYTES (4u << 20)

struct request {
	struct disk_request disk;	/* first */
	struct iovec iov;
	unsigned done;
};

static struct loop *loop;
static struct held_disk *held;
static struct pool *pool;
static struct pool_disk *part;
static struct disk_meter *meter;
static struct gate_node *node;
static struct disk *disk;
static struct disk_channel *channel;
static uint8_t buffer[DISK_BYTES];

static void begin(bool on_pool)
{
	struct share_settings settings = SHARE_SETTINGS_DEFAULT;
	struct loop_options options = { .name = "share", .clocks = &stopped_clocks };
	struct disk_options disk_options = { .guest = "g", .name = "d" };
	struct error error;

	held = held_disk_create(POOL_BYTES, 512);
	held->at_once = true;
	assert_int_equal(loop_create(&options, &loop), 0);
	assert_int_equal(disk_meter_create(&disk_cost_default, true, &meter), 0);
	disk_meter_gate(meter)->clock_ns = stopped_clock_now;
	assert_int_equal(gate_node_create(disk_meter_gate(meter), NULL, &settings, &node, NULL), 0);
	disk_options.share = node;
	pool = NULL;
	if (on_pool) {
		assert_int_equal(pool_format(&held->host, true, &error), 0);
		assert_int_equal(pool_open(&held->host, &pool, &error), 0);
		assert_int_equal(pool_disk_create(pool, "g/d", DISK_BYTES, &part, &error), 0);
		assert_int_equal(disk_create_on_pool(&disk_options, pool, part, &disk), 0);
	} else {
		assert_int_equal(disk_create_on_host(&disk_options, &held->host, &disk), 0);
	}
	assert_int_equal(disk_channel_open(disk, loop, &channel), 0);
}

static void end(void)
{
	disk_channel_close(channel);
	disk_destroy(disk);
	gate_node_destroy(node);
	disk_meter_destroy(meter);
	if (pool)
		pool_close(pool);
	loop_turn(loop, 0);
	held->host.ops->close(&held->host);
	loop_destroy(loop);
}

static void request_done(struct disk_request *base, int error)
{
	((struct request *)base)->done++;
	assert_int_equal(error, 0);
}

/* Device time charged for it. */
static uint64_t cost_of(enum disk_op op, uint64_t offset, uint64_t bytes)
{
	struct request request = {
		.disk = { .op = op, .offset_bytes = offset, .length_bytes = bytes, .done = request_done },
		.iov = { buffer, bytes }
	};
	struct disk_stats before, after;

	if (op == DISK_READ || op == DISK_WRITE) {
		request.disk.iov = &request.iov;
		request.disk.iov_count = 1;
	}
	disk_stats_read(disk, &before);
	disk_submit(channel, &request.disk);
	while (!request.done)
		assert_int_equal(loop_turn(loop, NS_PER_MS), 0);
	disk_stats_read(disk, &after);
	return counter_read(&after.gate.device_ns) - counter_read(&before.gate.device_ns);
}

/* What does not touch the device does not ask for it; but a blank first piece hides no others. */
static void only_blank_reads_pass_for_nothing(void **state)
{
	uint64_t written;

	begin(true);
	assert_true(cost_of(DISK_WRITE, POOL_GRAIN_BYTES, 1 << 20) > 0);
	written = cost_of(DISK_READ, POOL_GRAIN_BYTES, 1 << 20);
	assert_int_equal(cost_of(DISK_READ, 0, POOL_GRAIN_BYTES), 0);
	assert_true(cost_of(DISK_READ, POOL_GRAIN_BYTES - 512, (1 << 20) + 512) >= written);
	end();
}

/* Zeroes that the device cannot make from nothing are written, and cost what is written. */
static void zeroes_cost_what_they_take(void **state)
{
	uint64_t small, large;

	begin(false);
	small = cost_of(DISK_WRITE_ZEROES, 0, 4096);
	large = cost_of(DISK_WRITE_ZEROES, 0, DISK_BYTES);
	assert_true(large >= cost_of(DISK_WRITE, 0, DISK_BYTES));
	assert_true(small < large);
	held->host.geometry.can_punch = true;
	assert_int_equal(cost_of(DISK_WRITE_ZEROES, 0, DISK_BYTES), cost_of(DISK_DISCARD, 0, DISK_BYTES));
	end();
	begin(true);
	assert_int_equal(cost_of(DISK_WRITE_ZEROES, 0, DISK_BYTES), cost_of(DISK_DISCARD, 0, DISK_BYTES));
	end();
}

/* Requests that wait for a limit, and are waited for; also what they ask for when they have come that far. */
static void drained_requests_do_not_wait(void **state)
{
	struct share_settings settings = SHARE_SETTINGS_DEFAULT;
	struct request request[8];
	unsigned done = 0;

	begin(false);
	settings.max_iops = 1;
	assert_int_equal(gate_node_set(node, &settings, NULL), 0);
	for (unsigned i = 0; i < 8; i++) {
		request[i] = (struct request){ .disk = { .op = DISK_DISCARD, .offset_bytes = i * 4096,
							 .length_bytes = 4096, .done = request_done } };
		disk_submit(channel, &request[i].disk);
		done += request[i].done;
	}
	assert_int_equal(done, 1);
	disk_channel_drain(channel, true);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(request[i].done, 1);
	assert_true(cost_of(DISK_READ, 0, 4096) > 0);
	disk_channel_drain(channel, false);
	request[0].done = 0;
	disk_submit(channel, &request[0].disk);
	assert_int_equal(request[0].done, 0);
	settings.max_iops = 0;
	assert_int_equal(gate_node_set(node, &settings, NULL), 0);
	assert_int_equal(loop_turn(loop, NS_PER_MS), 0);
	assert_int_equal(request[0].done, 1);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_blank_reads_pass_for_nothing),
		cmocka_unit_test(zeroes_cost_what_they_take),
		cmocka_unit_test(drained_requests_do_not_wait),
	};

	return cmocka_run_group_tests_name("disk_share", tests, NULL, NULL);
}
