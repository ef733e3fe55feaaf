/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads of a disk, of 4 KiB at random places, and what each of them costs. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/fd.h"
#include "registers.h"

#define WAIT_MS 10000
/* A flood goes on a little longer, so that of two that count at the same time none is ever alone. */
#define FLOOD_AFTER_NS 300000000u

struct place {
	void *data;
	uint64_t since_ns;
};

/* One sample: what is answered from begin_ns to end_ns counts. */
struct sample {
	const char *name;
	uint64_t begin_ns, end_ns, stop_ns;
	uint64_t now_ns, counted, taken;
	uint64_t cpu_ns, notices, interrupts; /* of this process, at the begin */
	struct registers_watch *watch;
	struct registers_seen before;
	struct load_histogram latency;
};

static uint64_t own_cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void begin(struct sample *sample, const struct registers_options *options, const char *name,
		  uint64_t notices, uint64_t interrupts)
{
	bool is_flood = options->flood_from_ns > 0;

	memset(sample, 0, sizeof(*sample));
	sample->name = name;
	sample->watch = registers_watch_create(options->watch_pid);
	sample->notices = notices;
	sample->interrupts = interrupts;
	sample->before = registers_watch_look(sample->watch);
	sample->cpu_ns = own_cpu_ns();
	sample->now_ns = registers_now_ns();
	sample->begin_ns = is_flood ? options->flood_from_ns : sample->now_ns;
	sample->end_ns = sample->begin_ns + (uint64_t)(options->seconds * 1e9);
	sample->stop_ns = sample->end_ns + (is_flood ? FLOOD_AFTER_NS : 0);
}

/* Of a request that was answered. True: there is to be another one. */
static bool answered(struct sample *sample, const struct place *place)
{
	sample->now_ns = registers_now_ns();
	sample->taken++;
	sample->counted += sample->now_ns >= sample->begin_ns && sample->now_ns < sample->end_ns;
	load_histogram_add(&sample->latency, sample->now_ns - place->since_ns);
	return sample->now_ns < sample->stop_ns;
}

static void finish(struct sample *sample, uint64_t notices, uint64_t interrupts)
{
	struct registers_seen after = registers_watch_look(sample->watch);
	double taken = (double)sample->taken;
	struct registers_cost cost = {
		.daemon_us = (double)(after.cpu_ns - sample->before.cpu_ns) / 1e3 / taken,
		.client_us = (double)(own_cpu_ns() - sample->cpu_ns) / 1e3 / taken,
		.instructions = registers_watch_counts_instructions(sample->watch)
					? (double)(after.instructions - sample->before.instructions) / taken
					: -1,
		.wakes = (double)(after.sleeps - sample->before.sleeps) / taken,
		.notices = (double)(notices - sample->notices) / taken,
		.interrupts = (double)(interrupts - sample->interrupts) / taken,
	};

	registers_report(sample->name, &sample->latency, sample->counted, sample->end_ns - sample->begin_ns,
			 sample->watch ? &cost : NULL);
	registers_watch_destroy(sample->watch);
}

static uint64_t random_place(uint64_t size_bytes)
{
	static uint64_t state = 88172645463325252ull;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % (size_bytes / REGISTERS_BLOCK_BYTES) * REGISTERS_BLOCK_BYTES;
}

static void spread(struct place *places, char *memory)
{
	for (unsigned i = 0; i < REGISTERS_DEPTH_MAX; i++)
		places[i].data = memory + (size_t)i * REGISTERS_BLOCK_BYTES;
}

/* ---- NVMe ---- */

static void ask_nvme(struct nvme_driver *driver, struct place *place, uint64_t now_ns)
{
	const struct nvme_driver_request request = {
		.op = NVME_DRIVER_READ,
		.offset_bytes = random_place(nvme_driver_identity(driver)->size_bytes),
		.bytes = REGISTERS_BLOCK_BYTES,
		.data = place->data,
		.token = place,
	};

	place->since_ns = now_ns;
	if (nvme_driver_add(driver, &request) || nvme_driver_kick(driver))
		registers_fail("a command", EIO);
}

static uint64_t accesses(const struct nvme_driver *driver)
{
	struct nvme_driver_counts counts = nvme_driver_counts(driver);

	return counts.loads + counts.stores + counts.posted;
}

void registers_read_nvme(const struct registers_options *options, struct nvme_driver *driver, unsigned depth,
			 const char *name)
{
	struct place places[REGISTERS_DEPTH_MAX];
	static struct sample sample;
	unsigned in_flight = 0;
	uint16_t status;
	void *token;

	spread(places, nvme_driver_memory(driver));
	begin(&sample, options, name, accesses(driver), nvme_driver_counts(driver).interrupts);
	for (; in_flight < depth; in_flight++)
		ask_nvme(driver, &places[in_flight], sample.now_ns);
	while (in_flight > 0) {
		if (!nvme_driver_take(driver, &token, &status)) {
			if (nvme_driver_wait(driver, WAIT_MS) != 1)
				registers_fail("waiting for NVMe", ETIMEDOUT);
			continue;
		}
		if (status)
			registers_fail("a read by NVMe", EIO);
		if (answered(&sample, token))
			ask_nvme(driver, token, sample.now_ns);
		else
			in_flight--;
	}
	finish(&sample, accesses(driver), nvme_driver_counts(driver).interrupts);
}

/* ---- virtio-blk ---- */

static void ask_virtio(struct frontend_queue *queue, struct place *place, uint64_t size_bytes,
		       uint64_t now_ns)
{
	const struct frontend_block_request request = {
		.type = FRONTEND_BLOCK_IN,
		.sector = random_place(size_bytes) / 512,
		.data = place->data,
		.data_bytes = REGISTERS_BLOCK_BYTES,
		.token = place,
	};

	place->since_ns = now_ns;
	if (frontend_block_add(queue, &request))
		registers_fail("a request", EIO);
	frontend_kick(queue);
}

void registers_read_virtio(const struct registers_options *options, struct frontend *frontend, unsigned depth,
			   const char *name)
{
	struct frontend_queue *queue = frontend_queue(frontend, 0);
	struct place places[REGISTERS_DEPTH_MAX];
	static struct sample sample;
	struct frontend_queue_counters counters = frontend_queue_counters(queue);
	unsigned in_flight = 0;
	uint64_t size_bytes;
	uint8_t status;
	size_t bytes;
	char *memory = frontend_memory(frontend, &bytes);
	void *token;

	if (frontend_block_size(frontend, &size_bytes) || bytes < REGISTERS_DEPTH_MAX * REGISTERS_BLOCK_BYTES)
		registers_fail("the virtio disk", EPROTO);
	spread(places, memory);
	begin(&sample, options, name, counters.kicks, counters.waits);
	for (; in_flight < depth; in_flight++)
		ask_virtio(queue, &places[in_flight], size_bytes, sample.now_ns);
	while (in_flight > 0) {
		if (!frontend_block_take(queue, &token, &status)) {
			if (frontend_wait(queue, WAIT_MS) != 1)
				registers_fail("waiting for virtio", ETIMEDOUT);
			continue;
		}
		if (status)
			registers_fail("a read by virtio", EIO);
		if (answered(&sample, token))
			ask_virtio(queue, token, size_bytes, sample.now_ns);
		else
			in_flight--;
	}
	counters = frontend_queue_counters(queue);
	finish(&sample, counters.kicks, counters.waits);
}

/* ---- system calls ---- */

void registers_read_file(const struct registers_options *options, const char *name)
{
	static char data[REGISTERS_BLOCK_BYTES];
	static struct sample sample;
	struct place place = { data, 0 };
	struct stat stat;
	int fd = open(options->file, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &stat) < 0)
		registers_fail(options->file, errno);
	begin(&sample, options, name, 0, 0);
	do {
		place.since_ns = sample.now_ns;
		if (pread(fd, data, sizeof(data), (off_t)random_place((uint64_t)stat.st_size)) !=
		    sizeof(data))
			registers_fail(options->file, EIO);
	} while (answered(&sample, &place));
	finish(&sample, 0, 0);
	fd_close(&fd);
}
