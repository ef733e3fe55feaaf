/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Large requests: the steps in which they enter the device, and what a worker does of them in a turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arbiter/disk/disk.h"
#include "arbiter/disk/disk_internal.h"
#include "arbiter/disk/disk_meter.h"
#include "arbiter/disk/disk_stats.h"
#include "arbiter/pool/pool.h"
#include "arbiter/share/gate.h"
#include "arbiter/share/gate_private.h"
#include "core/clock.h"
#include "core/loop.h"
#include "held_disk.h"
#include "stopped_clock.h"

#define HOST_BYTES (96u << 20)
#define DISK_BYTES (64u << 20)
#define MIB	   (1u << 20)
#define LARGE	   (3 * MIB + 512)

struct request {
	struct disk_request disk; /* first */
	struct iovec iov[3], given[3];
	unsigned done;
	int error;
};

static struct loop *loop;
static struct held_disk *held;
static struct pool *pool;
static struct disk_meter *meter;
static struct gate_node *node;
static struct disk *disk;
static struct disk_channel *channel;
static uint8_t buffer[4 * MIB];

static void make_disk(bool on_pool)
{
	struct disk_options options = { .guest = "g", .name = "d", .share = node };
	struct pool_disk *part;
	struct error error;

	pool = NULL;
	if (!on_pool) {
		assert_int_equal(disk_create_on_host(&options, &held->host, &disk), 0);
		return;
	}
	assert_int_equal(pool_format(&held->host, true, &error), 0);
	assert_int_equal(pool_open(&held->host, &pool, &error), 0);
	assert_int_equal(pool_disk_create(pool, "g/d", DISK_BYTES, &part, &error), 0);
	assert_int_equal(disk_create_on_pool(&options, pool, part, &disk), 0);
}

/* A device that serves one request at a time; its I/Os wait for the test. */
static void begin(bool on_pool, bool copies, bool can_punch)
{
	struct share_settings settings = SHARE_SETTINGS_DEFAULT;
	struct loop_options options = { .name = "steps", .clocks = &stopped_clocks };
	struct disk_cost cost = disk_cost_default;

	cost.window_ns = 1;
	held = held_disk_create(HOST_BYTES, 512);
	held->host.geometry.copies = copies;
	held->host.geometry.can_punch = can_punch;
	assert_int_equal(loop_create(&options, &loop), 0);
	assert_int_equal(disk_meter_create(&cost, true, &meter), 0);
	disk_meter_gate(meter)->clock_ns = stopped_clock_now;
	assert_int_equal(gate_node_create(disk_meter_gate(meter), NULL, &settings, &node, NULL), 0);
	make_disk(on_pool);
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
	struct request *request = (struct request *)base;

	request->done++;
	request->error = error;
	assert_memory_equal(request->iov, request->given, sizeof(request->iov));
}

/* The data in three elements, whose borders are not those of steps. */
static void submit(struct request *request, enum disk_op op, uint64_t offset, uint64_t bytes)
{
	*request = (struct request){
		.disk = { .op = op, .offset_bytes = offset, .length_bytes = bytes, .done = request_done }
	};
	if (op == DISK_READ || op == DISK_WRITE) {
		uint64_t cut = bytes / 3;

		assert_true(bytes <= sizeof(buffer));
		request->iov[0] = (struct iovec){ buffer, cut };
		request->iov[1] = (struct iovec){ buffer + cut, cut };
		request->iov[2] = (struct iovec){ buffer + 2 * cut, bytes - 2 * cut };
		request->disk.iov = request->iov;
		request->disk.iov_count = 3;
	}
	memcpy(request->given, request->iov, sizeof(request->iov));
	disk_submit(channel, &request->disk);
}

static void turn(void)
{
	assert_int_equal(loop_turn(loop, 0), 0);
}

/* Ends I/Os one after the other until the request is done. */
static void finish(const struct request *request)
{
	for (unsigned turns = 0; !request->done; turns++) {
		assert_true(turns < 10000);
		/* A commit runs in a thread of its own. */
		assert_int_equal(loop_turn(loop, NS_PER_MS), 0);
		if (held->held_count > 0)
			held_end(held, 0, 0);
	}
}

static void fill(uint8_t *bytes, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 4096);
}

/* Never more than `most` bytes are in the device at a time, and what comes is right. */
static void check_steps(enum disk_op op, uint64_t most)
{
	uint8_t *at = held->bytes + 5 * MIB;
	uint64_t done = 0;
	struct request request;

	fill(op == DISK_READ ? at : buffer, LARGE);
	submit(&request, op, 5 * MIB, LARGE);
	finish(&request);
	assert_int_equal(request.error, 0);
	assert_memory_equal(buffer, at, LARGE);
	for (unsigned i = 0; i < held->logged; i++) {
		assert_int_equal(held->log[i].offset, 5 * MIB + done);
		assert_true(held->log[i].length <= most);
		done += held->log[i].length;
	}
	assert_int_equal(done, LARGE);
}

static void a_large_request_enters_in_steps(void **state)
{
	for (enum disk_op op = DISK_READ; op <= DISK_WRITE; op++) {
		begin(false, false, false);
		check_steps(op, MIB);
		assert_int_equal(held->logged, 4);
		end();
		begin(false, true, false);
		check_steps(op, DISK_SLICE_BYTES);
		end();
	}
}

/* What others ask for between two steps has its turn before the second one. */
static void others_enter_between_steps(void **state)
{
	struct disk_options options = { .guest = "h", .name = "d" };
	struct share_settings settings = SHARE_SETTINGS_DEFAULT;
	struct disk_channel *first_channel, *other_channel;
	struct request large, small;
	struct disk *other;

	begin(false, false, false);
	first_channel = channel;
	assert_int_equal(gate_node_create(disk_meter_gate(meter), NULL, &settings, &options.share, NULL), 0);
	assert_int_equal(disk_create_on_host(&options, &held->host, &other), 0);
	assert_int_equal(disk_channel_open(other, loop, &other_channel), 0);
	submit(&large, DISK_READ, 0, LARGE);
	assert_int_equal(held->held_count, 1);
	channel = other_channel;
	submit(&small, DISK_READ, 32 * MIB, 4096);
	channel = first_channel;
	assert_int_equal(held->held_count, 1);
	finish(&large);
	assert_int_equal(small.done, 1);
	assert_int_equal(held->log[1].offset, 32 * MIB);
	disk_channel_close(other_channel);
	disk_destroy(other);
	gate_node_destroy(options.share);
	end();
}

/* A worker that copies does no more than a slice of each request in a turn. */
static void copies_take_turns(void **state)
{
	struct request request[3];
	unsigned before;

	begin(false, true, false);
	gate_set_on(disk_meter_gate(meter), false);
	held->at_once = true;
	for (unsigned i = 0; i < 3; i++)
		submit(&request[i], DISK_READ, i * 4 * MIB, LARGE);
	assert_int_equal(held->logged, 3);
	while (!request[0].done || !request[1].done || !request[2].done) {
		before = held->logged;
		turn();
		assert_true(held->logged <= before + 1);
	}
	end();
}

static uint64_t charged(void)
{
	struct disk_stats stats;

	disk_stats_read(disk, &stats);
	return counter_read(&stats.gate.device_ns);
}

static uint64_t cost_of(enum disk_op op, uint64_t offset, uint64_t bytes)
{
	uint64_t before = charged();
	struct request request;

	submit(&request, op, offset, bytes);
	finish(&request);
	assert_int_equal(request.error, 0);
	return charged() - before;
}

/* Each step is charged; a large request costs no less than small ones. */
static void steps_are_charged(void **state)
{
	begin(false, false, true);
	assert_true(cost_of(DISK_READ, 0, 4 * MIB) >= 4 * cost_of(DISK_READ, 4 * MIB, MIB) * 9 / 10);
	assert_int_equal(cost_of(DISK_DISCARD, 0, 32 * MIB), 8 * cost_of(DISK_DISCARD, 0, 4 * MIB));
	assert_int_equal(held->log[held->logged - 1].length, 4 * MIB);
	end();
}

/* A discard of space that was never written is one request, whatever its size: there is nothing to do. */
static void blank_space_is_no_step(void **state)
{
	uint64_t once;

	begin(true, false, false);
	once = cost_of(DISK_DISCARD, 0, 4096);
	held->logged = 0;
	assert_int_equal(cost_of(DISK_DISCARD, 0, DISK_BYTES), once);
	assert_int_equal(held->logged, 0);
	/* Written, its steps count. */
	for (unsigned i = 0; i < 8; i++)
		cost_of(DISK_WRITE, (16 + i) * MIB, MIB);
	held->logged = 0;
	assert_in_range(cost_of(DISK_DISCARD, 0, DISK_BYTES), 2 * once, 3 * once);
	assert_int_equal(held->logged, 0);
	end();
}

static void what_is_too_large_is_refused(void **state)
{
	struct request request;

	begin(false, false, false);
	submit(&request, DISK_READ, HOST_BYTES - 2 * MIB, LARGE);
	assert_int_equal(request.done, 1);
	assert_int_equal(request.error, -ERANGE);
	assert_true(request.disk.refused);
	held->host.geometry.size_bytes = 4ull << 30;
	disk_resized(disk);
	submit(&request, DISK_DISCARD, 0, DISK_REQUEST_BYTES_MAX + 512);
	assert_int_equal(request.done, 1);
	assert_int_equal(request.error, -EINVAL);
	assert_true(request.disk.refused);
	assert_int_equal(held->logged, 0);
	assert_int_equal(charged(), 0);
	end();
}

/* The first error ends the request: no further step enters. */
static void an_error_ends_the_steps(void **state)
{
	struct request request;

	begin(false, false, false);
	submit(&request, DISK_WRITE, 0, LARGE);
	held_end(held, 0, 0);
	turn();
	assert_int_equal(held->held_count, 1);
	held_end(held, 0, -EIO);
	assert_int_equal(request.done, 1);
	assert_int_equal(request.error, -EIO);
	turn();
	assert_int_equal(held->logged, 2);
	end();
}

static void never(struct gate_pass *pass)
{
	fail();
}

/* A guest whose memory makes the worker wait: of a request, only what is in the device is carried out. */
static void abandoned_requests_touch_no_memory(void **state)
{
	static const struct share_settings usual = SHARE_SETTINGS_DEFAULT;
	struct disk_meter_port port = { .gate = NULL };
	struct request first, second, blank;
	struct gate_counters counters = { 0 };
	struct gate_node *neighbour;
	struct disk_pass pass = { .kind = COST_READ_RANDOM, .gate.waiting.bytes = 4096 };

	begin(true, false, false);
	/* Another disk was asked for just now: one request at a time is let in. */
	assert_int_equal(gate_node_create(disk_meter_gate(meter), NULL, &usual, &neighbour, NULL), 0);
	assert_int_equal(disk_meter_port_open(&port, neighbour, loop, &counters), 0);
	pass.gate.enter = never;
	assert_true(gate_enter(port.gate, disk_meter_price(&port, &pass)));
	gate_leave(&pass.gate);
	submit(&first, DISK_WRITE, 0, LARGE);
	finish(&first);
	assert_int_equal(first.error, 0);
	held->logged = 0;
	submit(&first, DISK_READ, 0, LARGE);
	submit(&second, DISK_READ, 0, 4096);
	submit(&blank, DISK_READ, 32 * MIB, LARGE);
	assert_int_equal(held->held_count, 1);
	memset(buffer, 0x77, sizeof(buffer));
	disk_channel_abandon(channel);
	held_end(held, 0, -EIO);
	for (unsigned turns = 0; turns < 20; turns++)
		turn();
	assert_true(first.done == 1 && first.error);
	assert_true(second.done == 1 && second.error == -ECANCELED);
	assert_true(blank.done == 1 && blank.error == -ECANCELED);
	assert_int_equal(held->held_count, 0);
	assert_int_equal(held->logged, 1);
	for (unsigned i = 0; i < sizeof(buffer); i++)
		assert_int_equal(buffer[i], 0x77);
	disk_meter_port_close(&port);
	gate_node_destroy(neighbour);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_large_request_enters_in_steps),
		cmocka_unit_test(others_enter_between_steps),
		cmocka_unit_test(copies_take_turns),
		cmocka_unit_test(steps_are_charged),
		cmocka_unit_test(blank_space_is_no_step),
		cmocka_unit_test(what_is_too_large_is_refused),
		cmocka_unit_test(an_error_ends_the_steps),
		cmocka_unit_test(abandoned_requests_touch_no_memory),
	};

	return cmocka_run_group_tests_name("disk_steps", tests, NULL, NULL);
}
