/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calibration, of a modelled disk in simulated time: each turn of the loop completes the next request, and
 * the clock jumps there. What the real clock and the real drivers make of it is one coarse test at the end.
 */
#include "disk_fixture.h"

#include <errno.h>

#include "arbiter/disk/disk_calibrate.h"
#include "core/container.h"

#define SERVERS_MAX 64u
#define GIB	    (1024 * MIB)

/* `servers` with a FIFO before them; a channel at a time. */
struct model {
	struct host_disk host;
	struct host_channel channel;
	unsigned channels;
	struct loop *loop;
	struct loop_task task;

	unsigned servers;
	uint64_t base_ns[2], ns_per_kib[2];	/* in one server; read, write */
	uint64_t seek_ns;			/* on top, when it does not follow the one before */
	uint64_t dispatch_ns;			/* until a completion is seen */
	unsigned hiccup;			/* one in so many takes 5 ms more */
	bool hang;
	unsigned fail_at;			/* the how manieth request fails; 0: none */
	const struct host_io *failing;

	uint64_t server_free_ns[SERVERS_MAX], head;
	struct host_io *waiting[256];
	uint64_t complete_ns[256];
	unsigned count, requests, writes;
	uint64_t read_low, read_high, written_low, written_high;
};

static uint64_t now_ns;

static uint64_t model_now(void)
{
	return now_ns;
}

/* For a disk that answers never: each look at the clock moves it. */
static uint64_t ticking_now(void)
{
	return now_ns += 10 * NS_PER_US;
}

static void model_next(struct loop_task *task)
{
	struct model *model = container_of(task, struct model, task);
	struct host_io *io;
	unsigned first = 0;

	if (model->hang) {
		now_ns += NS_PER_MS;
		loop_defer(model->loop, task);
		return;
	}
	if (model->count == 0)
		return;
	for (unsigned i = 1; i < model->count; i++)
		if (model->complete_ns[i] < model->complete_ns[first])
			first = i;
	io = model->waiting[first];
	if (model->complete_ns[first] > now_ns)
		now_ns = model->complete_ns[first];
	model->waiting[first] = model->waiting[--model->count];
	model->complete_ns[first] = model->complete_ns[model->count];
	loop_defer(model->loop, task);
	io->done(io, io == model->failing ? -EIO : 0);
}

static uint64_t model_service_ns(struct model *model, const struct host_io *io)
{
	bool write = io->op == HOST_IO_WRITE;
	uint64_t service = model->base_ns[write] + io->range.length_bytes * model->ns_per_kib[write] / 1024;

	if (io->range.offset_bytes != model->head)
		service += model->seek_ns;
	model->head = io->range.offset_bytes + io->range.length_bytes;
	if (model->hiccup && model->requests % model->hiccup == 0)
		service += 5 * NS_PER_MS;
	return service;
}

static void model_submit(struct host_channel *channel, struct host_io *io)
{
	struct model *model = (struct model *)channel->disk;
	uint64_t *server = model->server_free_ns, end = io->range.offset_bytes + io->range.length_bytes;
	bool write = io->op == HOST_IO_WRITE;
	uint64_t *low = write ? &model->written_low : &model->read_low;
	uint64_t *high = write ? &model->written_high : &model->read_high;

	assert_true(io->range.length_bytes > 0 && end <= model->host.geometry.size_bytes);
	assert_int_equal(io->range.offset_bytes % model->host.geometry.block_bytes, 0);
	assert_int_equal(io->range.length_bytes % model->host.geometry.block_bytes, 0);
	assert_int_equal(io->iov->iov_len, io->range.length_bytes);
	assert_int_equal((uintptr_t)io->iov->iov_base % 4096, 0);
	if (++model->requests == model->fail_at)
		model->failing = io;
	model->writes += write;
	*low = *high == 0 || io->range.offset_bytes < *low ? io->range.offset_bytes : *low;
	*high = end > *high ? end : *high;
	/* Every byte is touched as a device would; what was read is never written. */
	if (write)
		assert_memory_not_equal(io->iov->iov_base, "\xee\xee\xee\xee\xee\xee\xee\xee", 8);
	else
		memset(io->iov->iov_base, 0xee, io->iov->iov_len);
	for (unsigned i = 1; i < model->servers; i++)
		if (model->server_free_ns[i] < *server)
			server = &model->server_free_ns[i];
	*server = (*server > now_ns ? *server : now_ns) + model_service_ns(model, io);
	assert_true(model->count < 256);
	model->waiting[model->count] = io;
	model->complete_ns[model->count++] = *server + model->dispatch_ns;
	loop_defer(model->loop, &model->task);
}

static int model_channel_open(struct host_disk *host, struct loop *loop, struct host_channel **ret_channel)
{
	struct model *model = (struct model *)host;

	model->channel = (struct host_channel){ host->ops, host };
	model->channels++;
	model->loop = loop;
	model->task.run = model_next;
	*ret_channel = &model->channel;
	return 0;
}

static void model_channel_close(struct host_channel *channel)
{
	struct model *model = (struct model *)channel->disk;

	assert_int_equal(model->count, 0);
	loop_defer_cancel(model->loop, &model->task);
	model->channels--;
}

static const struct host_disk_ops model_ops = {
	.name = "model",
	.channel_open = model_channel_open,
	.channel_close = model_channel_close,
	.submit = model_submit,
};

static struct model model_of(unsigned servers, uint64_t base_ns, uint64_t ns_per_kib)
{
	now_ns = NS_PER_S;
	return (struct model){
		.host = { .ops = &model_ops, .geometry = { .size_bytes = GIB, .block_bytes = 512 } },
		.servers = servers, .base_ns = { base_ns, base_ns }, .ns_per_kib = { ns_per_kib, ns_per_kib },
	};
}

static int calibrate(struct model *model, struct calibrate_options options, struct disk_cost *cost)
{
	struct calibration *left = NULL;
	int error;

	options.now_ns = model_now;
	error = disk_calibrate(&model->host, &options, cost, &left);
	assert_null(left);
	assert_int_equal(model->channels, 0);
	return error;
}

static void assert_about(uint64_t value, uint64_t wanted, uint64_t percent)
{
	assert_in_range(value, wanted - wanted * percent / 100, wanted + wanted * percent / 100);
}

static void assert_line_about(const struct cost_line *line, uint64_t base_ns, uint64_t ns_per_kib)
{
	assert_about(line->base_ns, base_ns, 10);
	assert_about(line->ns_per_kib, ns_per_kib, 10);
}

/* ---- what is found ---- */

static const struct calibrate_options reads_only;

static void test_devices_of_one_to_many_servers(void **state)
{
	static const unsigned servers[] = { 1, 2, 3, 4, 7, 16, 50 };

	for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
		struct model model = model_of(servers[i], 100000, 3000);
		struct disk_cost cost;

		model.dispatch_ns = 10000;
		assert_int_equal(calibrate(&model, reads_only, &cost), 0);
		/* Our own latency takes a few more inside to hide. */
		assert_in_range(cost.parallel, servers[i], servers[i] + servers[i] / 4 + 1);
		assert_line_about(&cost.line[COST_READ_RANDOM], 100000 / servers[i], 3000 / servers[i]);
		assert_memory_equal(&cost.line[COST_READ_SEQUENTIAL], &cost.line[COST_WRITE_SEQUENTIAL],
				    sizeof(struct cost_line));
		assert_line_about(&cost.line[COST_WRITE_RANDOM], 100000 / servers[i], 3000 / servers[i]);
		assert_int_equal(model.writes, 0);
		/* All over the disk, and within the budget. */
		assert_true(model.read_low < GIB / 16 && model.read_high > GIB / 16 * 15);
		assert_true(now_ns - NS_PER_S < CALIBRATE_NS + 50 * NS_PER_MS);
	}
}

static void test_sequential_reads_of_a_spinning_disk(void **state)
{
	struct model model = model_of(1, 100000, 6000);
	struct disk_cost cost;

	model.seek_ns = 8 * NS_PER_MS;
	assert_int_equal(calibrate(&model, reads_only, &cost), 0);
	assert_int_equal(cost.parallel, 1);
	assert_about(disk_cost_ns(&cost, COST_READ_RANDOM, 4096), 8124000, 10);
	assert_about(disk_cost_ns(&cost, COST_READ_SEQUENTIAL, 131072), 868000, 10);
	assert_true(now_ns - NS_PER_S < CALIBRATE_NS + 100 * NS_PER_MS);
	/* A slow disk's flush is no cheaper than an ordinary one's. */
	assert_int_equal(cost.line[COST_FLUSH].base_ns, disk_cost_default.line[COST_FLUSH].base_ns);
}

static void test_writes_stay_in_the_scratch_range(void **state)
{
	struct calibrate_options options = { .scratch_offset_bytes = 5 * MIB + 512,
					     .scratch_bytes = 8 * MIB };
	struct model model = model_of(4, 100000, 3000);
	struct disk_cost cost;

	model.base_ns[1] = 40000;
	model.ns_per_kib[1] = 9000;
	assert_int_equal(calibrate(&model, options, &cost), 0);
	assert_line_about(&cost.line[COST_READ_RANDOM], 25000, 750);
	assert_line_about(&cost.line[COST_WRITE_RANDOM], 10000, 2250);
	assert_line_about(&cost.line[COST_WRITE_SEQUENTIAL], 10000, 2250);
	assert_true(model.writes > 100);
	assert_true(model.written_low >= 5 * MIB + 512 && model.written_high <= 13 * MIB + 512);
	/* Neither on a disk that refuses, nor where there is no room, nor outside. */
	model = model_of(4, 100000, 3000);
	model.host.geometry.read_only = true;
	assert_int_equal(calibrate(&model, options, &cost), 0);
	assert_int_equal(model.writes, 0);
	model.host.geometry.read_only = false;
	options.scratch_bytes = 4096;
	assert_int_equal(calibrate(&model, options, &cost), 0);
	assert_int_equal(model.writes, 0);
	options.scratch_bytes = GIB;
	assert_int_equal(calibrate(&model, options, &cost), -EINVAL);
	assert_int_equal(model.writes, 0);
}

/* One request in 300 takes 5 ms more: most slices have none of them. */
static void test_hiccups_are_not_the_device(void **state)
{
	struct model model = model_of(1, 100000, 500);
	struct disk_cost cost;

	model.hiccup = 300;
	assert_int_equal(calibrate(&model, reads_only, &cost), 0);
	assert_line_about(&cost.line[COST_READ_RANDOM], 100000, 500);
}

static void test_disks_of_odd_sizes(void **state)
{
	static const struct {
		uint64_t size;
		uint32_t block;
	} sizes[] = {
		{ 512, 512 }, { 1024, 512 }, { 3584, 512 }, { 4096, 4096 }, { 4096, 512 }, { 8192, 4096 },
		{ 100 * KIB + 512, 512 }, { 129 * KIB + 512, 512 }, { 1ull << 62, 4096 },
	};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct model model = model_of(2, 100000, 1000);
		struct disk_cost cost;

		model.host.geometry.size_bytes = sizes[i].size;
		model.host.geometry.block_bytes = sizes[i].block;
		assert_int_equal(calibrate(&model, reads_only, &cost), 0);
		assert_about(disk_cost_ns(&cost, COST_READ_RANDOM, 4096), 52000, 10);
	}
}

/* So little time that only the beginning is measured: the rest is guessed from it. */
static void test_a_budget_that_is_too_small(void **state)
{
	struct calibrate_options options = { .budget_ns = NS_PER_MS, .scratch_bytes = MIB };
	struct model model = model_of(1, 2 * NS_PER_MS, 1000);
	struct disk_cost cost;

	assert_int_equal(calibrate(&model, options, &cost), 0);
	assert_about(disk_cost_ns(&cost, COST_READ_RANDOM, 4096), 2004000, 5);
	assert_about(disk_cost_ns(&cost, COST_WRITE_SEQUENTIAL, 4096), 2004000, 5);
	assert_int_equal(cost.line[COST_READ_RANDOM].ns_per_kib,
			 disk_cost_default.line[COST_READ_RANDOM].ns_per_kib);
	assert_int_equal(cost.parallel, 1);
}

/* ---- trouble ---- */

static void test_a_disk_that_fails(void **state)
{
	struct calibrate_options options = { .scratch_bytes = 64 * MIB };

	for (unsigned at = 1; at < 50000; at = at * 3 + 1) {
		struct model model = model_of(4, 100000, 3000);
		struct disk_cost cost;

		model.fail_at = at;
		/* The last ones are beyond what is asked at all. */
		if (calibrate(&model, options, &cost) == 0) {
			assert_true(model.requests < at);
			continue;
		}
		assert_in_range(model.requests, at, at + 256);
		assert_memory_equal(&cost, &disk_cost_default, sizeof(cost));
	}
}

static void test_a_disk_that_hangs(void **state)
{
	struct calibrate_options options = { .now_ns = model_now, .patience_ns = 30 * NS_PER_MS };
	struct model model = model_of(4, 100000, 3000);
	struct calibration *left = NULL;
	struct disk_cost cost;
	unsigned requests, turns = 0;

	model.hang = true;
	assert_int_equal(disk_calibrate(&model.host, &options, &cost, &left), -ETIMEDOUT);
	assert_memory_equal(&cost, &disk_cost_default, sizeof(cost));
	assert_in_range(now_ns, NS_PER_S + CALIBRATE_NS, NS_PER_S + CALIBRATE_NS + 40 * NS_PER_MS);
	/* What hangs keeps its memory and its channel until it is back; nothing more is asked. */
	assert_non_null(left);
	assert_int_equal(model.channels, 1);
	assert_true(model.count > 0);
	requests = model.requests;
	for (int i = 0; i < 5; i++)
		assert_int_equal(calibration_finish(left), -EBUSY);
	assert_int_equal(model.channels, 1);
	model.hang = false;
	while (calibration_finish(left) == -EBUSY)
		assert_true(turns++ < 300);
	assert_int_equal(model.channels, 0);
	assert_int_equal(model.count, 0);
	assert_int_equal(model.requests, requests);
	assert_int_equal(calibration_finish(NULL), 0);
}

/* ---- the real clock ---- */

static int calibrate_memory(const struct disk_memory_options *options, struct disk_cost *cost)
{
	struct calibration *left = NULL;
	struct host_disk *disk = NULL;
	int error;

	assert_int_equal(disk_memory_open(options, &disk), 0);
	error = disk_calibrate(disk, &(struct calibrate_options){ .scratch_bytes = MIB }, cost, &left);
	assert_null(left);
	disk->ops->close(disk);
	return error;
}

/* Coarse, whatever else the machine does: a slow device is not fast. */
static void test_real_time(void **state)
{
	struct disk_memory_options null = { .size_bytes = GIB, .null = true };
	struct disk_memory_options timed = {
		.size_bytes = 64 * MIB, .depth = 4, .read_base_ns = NS_PER_MS, .write_base_ns = NS_PER_MS,
	};
	struct disk_cost cost;

	assert_int_equal(calibrate_memory(&null, &cost), 0);
	assert_true(disk_cost_ns(&cost, COST_READ_RANDOM, 4096) >= COST_MIN_NS);
	assert_true(cost.line[COST_FLUSH].base_ns <= disk_cost_default.line[COST_FLUSH].base_ns);
	assert_int_equal(calibrate_memory(&timed, &cost), 0);
	assert_true(disk_cost_ns(&cost, COST_READ_RANDOM, 4096) >= 125000);
	assert_true(disk_cost_ns(&cost, COST_WRITE_RANDOM, 131072) >= 125000);
}

/* The driver's own messages and timers arrive at a loop that is only turned now and then. */
static void test_a_memory_disk_that_hangs(void **state)
{
	struct disk_memory_options options = { .size_bytes = MIB, .read_base_ns = 10 * NS_PER_US };
	struct calibrate_options short_time = { .budget_ns = 2 * NS_PER_MS, .patience_ns = NS_PER_MS,
						.now_ns = ticking_now };
	struct calibration *left = NULL;
	struct host_disk *disk = NULL;
	struct disk_cost cost;

	assert_int_equal(disk_memory_open(&options, &disk), 0);
	disk_memory_hang(disk, true);
	assert_int_equal(disk_calibrate(disk, &short_time, &cost, &left), -ETIMEDOUT);
	assert_non_null(left);
	assert_int_equal(calibration_finish(left), -EBUSY);
	disk_memory_hang(disk, false);
	AWAIT(calibration_finish(left) == 0, );
	disk->ops->close(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_devices_of_one_to_many_servers),
		cmocka_unit_test(test_sequential_reads_of_a_spinning_disk),
		cmocka_unit_test(test_writes_stay_in_the_scratch_range),
		cmocka_unit_test(test_hiccups_are_not_the_device),
		cmocka_unit_test(test_disks_of_odd_sizes),
		cmocka_unit_test(test_a_budget_that_is_too_small),
		cmocka_unit_test(test_a_disk_that_fails),
		cmocka_unit_test(test_a_disk_that_hangs),
		cmocka_unit_test(test_real_time),
		cmocka_unit_test(test_a_memory_disk_that_hangs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
