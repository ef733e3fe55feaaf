/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/demo/demo_driver.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli/demo/demo_scan.h"
#include "core/clock.h"
#include "frontend/frontend.h"

#define SECTOR_BYTES 512u
#define RING_SIZE    512u
#define RING_BYTES   (1u << 20)	/* of the shared memory, for the ring */
#define ANSWER_MS    20000

struct read_slot {
	uint64_t start_ns;
	char *data;
};

struct demo_driver {
	struct frontend *frontend;
	struct frontend_queue *queue;
	uint32_t block_bytes;
	unsigned depth;
	char line[SCAN_PATTERN_BYTES];
	struct read_slot *slots;	/* `depth` of them */
	uint64_t random, added;
	bool filling;
	bool stop;			/* atomic */
	bool running;
	int error;			/* of the thread, when it has ended */
	pthread_t thread;
	struct counter done, failed;
	struct histogram latency;
};

/* ---- requests ---- */

static uint64_t next_random(struct demo_driver *driver)
{
	driver->random ^= driver->random << 13;
	driver->random ^= driver->random >> 7;
	driver->random ^= driver->random << 17;
	return driver->random;
}

static bool wants_more(const struct demo_driver *driver)
{
	return driver->filling ? driver->added < DEMO_DRIVER_BLOCKS
			       : !__atomic_load_n(&driver->stop, __ATOMIC_RELAXED);
}

static int add(struct demo_driver *driver, struct read_slot *slot)
{
	uint64_t block = driver->filling ? driver->added : next_random(driver) % DEMO_DRIVER_BLOCKS;
	const struct frontend_block_request request = {
		.type = driver->filling ? FRONTEND_BLOCK_OUT : FRONTEND_BLOCK_IN,
		.sector = block * (driver->block_bytes / SECTOR_BYTES),
		.data = slot->data,
		.data_bytes = driver->block_bytes,
		.token = slot,
	};

	if (!driver->filling)
		memset(slot->data, 0, SCAN_PATTERN_BYTES);
	driver->added++;
	slot->start_ns = clock_now_ns();
	return frontend_block_add(driver->queue, &request);
}

static void account(struct demo_driver *driver, const struct read_slot *slot, uint8_t status)
{
	bool good = status == 0 && memcmp(slot->data, driver->line, SCAN_PATTERN_BYTES) == 0;

	if (!good)
		counter_add(&driver->failed, 1);
	if (driver->filling)
		return;
	histogram_add(&driver->latency, clock_now_ns() - slot->start_ns);
	counter_add(&driver->done, 1);
}

/* Until nothing is wanted and nothing is in flight. 0 or -errno. */
static int work(struct demo_driver *driver)
{
	int error = 0;

	for (unsigned i = 0; i < driver->depth && wants_more(driver) && !error; i++)
		error = add(driver, &driver->slots[i]);
	frontend_kick(driver->queue);
	while (!error && frontend_in_flight(driver->queue) > 0) {
		int ready = frontend_wait(driver->queue, ANSWER_MS);
		uint8_t status;
		void *slot;

		if (ready <= 0)
			return ready ? ready : -ETIMEDOUT;
		while (!error && frontend_block_take(driver->queue, &slot, &status)) {
			account(driver, slot, status);
			if (wants_more(driver))
				error = add(driver, slot);
		}
		frontend_kick(driver->queue);
	}
	return error;
}

static void *run(void *context)
{
	struct demo_driver *driver = context;

	driver->error = work(driver);
	return NULL;
}

/* ---- opening ---- */

static int prepare(struct demo_driver *driver, const struct demo_driver_options *options)
{
	char *data;
	size_t room;

	driver->queue = frontend_queue(driver->frontend, 0);
	driver->slots = calloc(options->depth, sizeof(*driver->slots));
	data = frontend_memory(driver->frontend, &room);
	if (!driver->slots || room < (size_t)options->depth * options->block_bytes)
		return -ENOMEM;
	scan_pattern_line(driver->line, options->token, options->guest, 0);
	for (size_t at = 0; at < (size_t)options->depth * options->block_bytes; at += SCAN_PATTERN_BYTES)
		memcpy(data + at, driver->line, SCAN_PATTERN_BYTES);
	for (unsigned i = 0; i < options->depth; i++)
		driver->slots[i].data = data + (size_t)i * options->block_bytes;
	return 0;
}

static int fill(struct demo_driver *driver)
{
	int error;

	driver->filling = true;
	error = work(driver);
	driver->filling = false;
	return !error && driver->failed.value > 0 ? -EIO : error;
}

int demo_driver_open(const struct demo_driver_options *options, struct demo_driver **ret_driver,
		     const char **ret_error)
{
	const struct frontend_options frontend = {
		.path = options->socket,
		.queues = 1,
		.queue_size = RING_SIZE,
		.features = FRONTEND_F_INDIRECT | FRONTEND_F_EVENT_IDX,
		.memory_bytes = RING_BYTES + (size_t)options->depth * options->block_bytes,
	};
	struct demo_driver *driver = calloc(1, sizeof(*driver));
	int error;

	*ret_error = "out of memory";
	if (!driver)
		return -ENOMEM;
	driver->depth = options->depth;
	driver->block_bytes = options->block_bytes;
	driver->random = 88172645463325252ull;
	error = frontend_connect(&frontend, &driver->frontend, ret_error);
	if (!error)
		error = prepare(driver, options);
	if (!error) {
		*ret_error = "filling the disk";
		error = fill(driver);
	}
	if (error)
		demo_driver_close(driver);
	else
		*ret_driver = driver;
	return error;
}

void demo_driver_close(struct demo_driver *driver)
{
	if (!driver)
		return;
	demo_driver_stop(driver);
	frontend_close(driver->frontend);
	free(driver->slots);
	free(driver);
}

int demo_driver_start(struct demo_driver *driver)
{
	int error;

	memset(&driver->latency, 0, sizeof(driver->latency));
	driver->stop = false;
	error = -pthread_create(&driver->thread, NULL, run, driver);
	driver->running = !error;
	return error;
}

int demo_driver_stop(struct demo_driver *driver)
{
	if (!driver->running)
		return driver->error;
	__atomic_store_n(&driver->stop, true, __ATOMIC_RELAXED);
	pthread_join(driver->thread, NULL);
	driver->running = false;
	return driver->error;
}

/* ---- what came of it ---- */

uint64_t demo_driver_done(const struct demo_driver *driver)
{
	return counter_read(&driver->done);
}

uint64_t demo_driver_failed(const struct demo_driver *driver)
{
	return counter_read(&driver->failed);
}

const struct histogram *demo_driver_latency(const struct demo_driver *driver)
{
	return &driver->latency;
}
