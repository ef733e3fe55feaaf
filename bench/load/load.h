/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The load generator's parts: options (load.c), one job per queue (load_job.c), what a job drives (an
 * engine: load_ring.c through a front end, load_host.c straight on the host), and verification
 * (load_verify.c). Every figure of a comparison comes from the same job, so that only the engine differs.
 */
#ifndef VIADUCT_BENCH_LOAD_H
#define VIADUCT_BENCH_LOAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "frontend/frontend.h"

enum load_pattern { LOAD_RANDREAD, LOAD_RANDWRITE, LOAD_SEQREAD, LOAD_SEQWRITE };

enum load_host_mode { LOAD_HOST_DIRECT, LOAD_HOST_BUFFERED, LOAD_HOST_NULL };

struct load_options {
	const char *socket; /* either a vhost-user socket … */
	const char *host;   /* … or a file on this host */
	enum load_host_mode host_mode;
	enum load_pattern pattern;
	uint32_t block_bytes;
	unsigned depth; /* requests in flight for each queue */
	unsigned batch; /* completions answered by new requests before these are started */
	unsigned queues;
	unsigned ring_size;  /* 0: the least that holds the depth, at least 128 */
	double seconds;	     /* measured; 0: until `count` requests are done */
	double ramp_seconds; /* before the measurement */
	uint64_t count;	     /* for each queue; 0: no limit */
	uint64_t area_bytes; /* of the disk that is used; 0: all */
	uint64_t seed;
	bool poll, packed, no_event_idx, no_indirect, in_order, inflight, write_back;
	bool verify, idle;
	unsigned reconnect_ms; /* > 0: reconnect when the back end dies, waiting this long */
	int cpu;	       /* -1: any */
	int watch_pid;	       /* > 0: sample this process's CPU time too */
	bool json;
};

/* ---- latencies: 64 buckets for each power of two, 1.6 % wide ---- */

#define LOAD_HISTOGRAM_BUCKETS (64 * 36)

struct load_histogram {
	uint32_t bucket[LOAD_HISTOGRAM_BUCKETS];
	uint64_t count, max_ns;
};

void load_histogram_add(struct load_histogram *histogram, uint64_t ns);
void load_histogram_merge(struct load_histogram *to, const struct load_histogram *from);
/* Middle of the bucket in which `fraction` (0..1) is reached; 0 without events. */
double load_histogram_ns(const struct load_histogram *histogram, double fraction);

/* ---- engines ---- */

/* One request in flight; the job owns it, data points into the engine's buffers. */
struct load_io {
	uint64_t offset;
	uint8_t *data;
	bool write;
	uint64_t start_ns;
	uint64_t block; /* verification: the block that is written and read back */
};

/* What one job drives; each of its functions is called on the job's thread. */
struct load_lane {
	const struct load_lane_ops *ops;
	uint8_t *buffers; /* depth * block_bytes */
};

struct load_lane_ops {
	/* There is room: a job has at most `depth` in flight. */
	void (*add)(struct load_lane *lane, struct load_io *io);
	/* Starts what was added. */
	void (*submit)(struct load_lane *lane);
	/* A finished request, and 0 or -errno; NULL when there is none now. */
	struct load_io *(*take)(struct load_lane *lane, int *ret_error);
	/* Until one has finished: 1, 0 after 100 ms, or -errno. */
	int (*wait)(struct load_lane *lane);
	/* The lane failed: make it work again, with all in flight. Called by every job. NULL: cannot. */
	int (*rejoin)(struct load_lane *lane);
	/* The job is done with its lane. */
	void (*leave)(struct load_lane *lane);
};

/* All lanes of a run. */
struct load_engine {
	const char *name;
	uint64_t size_bytes;
	uint64_t features; /* of the front end */
	struct load_lane *(*lane)(struct load_engine *engine, unsigned index);
	struct frontend_queue_counters (*counters)(struct load_engine *engine);
	void (*close)(struct load_engine *engine);
};

/* Return 0, or -errno after printing why. */
int load_ring_open(const struct load_options *options, struct load_engine **ret_engine);
int load_host_open(const struct load_options *options, struct load_engine **ret_engine);

#define LOAD_BUFFER_ALIGN 4096u
static inline uint64_t load_buffer_bytes(const struct load_options *options)
{
	return (options->block_bytes + LOAD_BUFFER_ALIGN - 1) / LOAD_BUFFER_ALIGN * LOAD_BUFFER_ALIGN;
}

/* ---- verification: each block says where it belongs, who wrote it and when, and has a checksum ---- */

struct load_verify;

/* Blocks of [first, first + blocks), all unknown. Returns NULL when out of memory. */
struct load_verify *load_verify_create(uint64_t seed, uint32_t block_bytes, uint64_t first, uint64_t blocks);
void load_verify_destroy(struct load_verify *verify);
/* Picks a block that is not in flight and fills data with its next version. */
void load_verify_write(struct load_verify *verify, struct load_io *io, uint64_t random);
/* The write was acknowledged; io becomes the read that checks it. */
void load_verify_read_back(struct load_verify *verify, struct load_io *io);
/* The read is back: true when the data is what was acknowledged last. The first difference is printed. */
bool load_verify_check(struct load_verify *verify, const struct load_io *io);
/* The last pass: io becomes a read of the next block that was ever written; false when there is none left. */
bool load_verify_next(struct load_verify *verify, struct load_io *io);

/* ---- a job: one thread, one lane ---- */

struct load_job {
	/* set by the caller */
	const struct load_options *options;
	struct load_engine *engine;
	unsigned index;
	/* results */
	struct load_histogram latency;
	uint64_t requests, bytes; /* in the measured time */
	uint64_t errors, mismatches, reconnects;
	uint64_t measured_ns, cpu_ns;
	int failure; /* -errno that ended the job early, or 0 */
	pthread_t thread;
};

/* The thread's function; takes a struct load_job. */
void *load_job_run(void *job);

#endif
