/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A simulated disk that simulated guests share, in simulated time: the proving ground of the disk scheduler.
 * The same seed gives the same run, to the nanosecond.
 *
 * The device serves `parallel` requests at a time, each in base_ns + its KiB * ns_per_kib of its direction;
 * what enters beyond that waits inside, first come, first served. As in the daemon, depth.h bounds what is
 * inside and the scheduler says what enters next. A guest is a closed loop (always `depth` requests under
 * way), or an open one (requests arrive at random, `rate` a second, however many wait).
 */
#ifndef VIADUCT_TESTS_SIMULATOR_H
#define VIADUCT_TESTS_SIMULATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "arbiter/share/depth.h"
#include "arbiter/share/scheduler.h"
#include "core/clock.h"

#define SIM_GUESTS_MAX 4096u

struct sim_device {
	unsigned parallel;
	uint64_t base_ns[2], ns_per_kib[2];	/* reads, writes */
	unsigned jitter_percent;		/* services take so much more or less, at random */
	uint64_t window_ns;			/* see depth.h */
	/* From slow_from_ns to slow_until_ns everything takes slow_factor times as long. */
	uint64_t slow_from_ns, slow_until_ns;
	unsigned slow_factor;
};

/* 50000 reads of 4 KiB a second, 8 at a time; a write of 256 KiB takes 8 times as long as such a read. */
extern const struct sim_device sim_device_ssd;

struct sim_load {
	uint64_t bytes;
	bool write;
	unsigned depth;			/* closed loop; or 0: */
	double rate;			/* … open, requests a second */
	bool regular;			/* … that do not arrive at random, but in equal distances */
	uint64_t start_ns, stop_ns;	/* stop_ns 0: never */
	uint64_t on_ns, off_ns;		/* works so long, pauses so long, and again; 0: always works */
};

/* Ways in which a scheduler could be wrong: what it is told is spoiled: each must make a test fail. */
enum sim_mutation {
	SIM_SOUND,
	SIM_WEIGHTS_IGNORED,
	SIM_RESERVATIONS_FORGOTTEN,
	SIM_REQUESTS_COUNTED,
	SIM_LIMITS_FORGOTTEN,
	SIM_MUTATIONS
};

struct sim_guest;
struct simulation;

struct sim_request {
	struct scheduler_request waiting;	/* first */
	struct sim_guest *guest;
	uint64_t cost_ns;			/* its device time, whatever the scheduler was told */
	uint64_t submitted_ns;
	struct sim_request *next;		/* for rivals */
};

/* Another scheduler in the same place, for comparison. It queues at guests (sim_guest's first and last). */
struct sim_rival {
	const char *name;
	void (*add)(struct simulation *sim, struct sim_request *request);
	/* As scheduler_next(). */
	struct sim_request *(*next)(struct simulation *sim, uint64_t *ret_ready_ns);
};

/* What a guest got in one bin of time, by completion. */
#define SIM_BIN_NS NS_PER_MS
struct sim_bin {
	uint64_t device_ns, bytes;
	uint32_t requests;
};

struct sim_guest {
	struct simulation *sim;
	struct scheduler_node *node;
	struct scheduler_settings settings;
	struct sim_load load;
	unsigned under_way;
	bool working;
	struct sim_bin *bins;
	uint64_t *latencies_ns;			/* of all requests so far */
	unsigned latency_count, latency_room;
	/*
	 * How far what entered the device was ahead of the limits, at most and now: the overshoot, in
	 * requests and bytes.
	 */
	double excess_most[2], excess[2];
	uint64_t excess_ns;
	struct sim_request *spare;
	/* For rivals. */
	struct sim_request *first, *last;
	double account[2];			/* what it is good for is theirs to say */
};

struct sim_event {
	uint64_t at_ns, number;
	void (*happen)(struct simulation *sim, void *subject);
	void *subject;
};

struct simulation {
	uint64_t now_ns, end_ns;
	uint64_t random;
	struct sim_device device;
	enum sim_mutation mutation;
	const struct sim_rival *rival;
	struct scheduler *scheduler;
	struct depth depth;
	uint64_t *server_free_ns;
	uint64_t wake_ns;
	struct sim_guest *guests;
	unsigned guest_count;
	struct scheduler_node **groups;
	unsigned group_count;
	struct sim_event *events;		/* a binary heap by (at_ns, number) */
	unsigned event_count, event_room;
	uint64_t event_number;
	double rival_clock;
	unsigned rival_turn;
};

/* Aborts without memory: this is a test. Runs last at most end_ns. */
struct simulation *sim_create(const struct sim_device *device, uint64_t end_ns, uint64_t seed);
void sim_destroy(struct simulation *sim);

/* Both: below `parent`, or NULL: the root. */
struct scheduler_node *sim_group(struct simulation *sim, struct scheduler_node *parent,
				 const struct scheduler_settings *settings);
/* Returns its number: 0, 1, … */
unsigned sim_guest(struct simulation *sim, struct scheduler_node *parent,
		   const struct scheduler_settings *settings, const struct sim_load *load);

/* Until simulated time `until_ns`, or the end. */
void sim_run(struct simulation *sim, uint64_t until_ns);

/* ---- what came out ---- */

/* Of one guest from..until, whole bins. */
struct sim_bin sim_got(const struct simulation *sim, unsigned guest, uint64_t from_ns, uint64_t until_ns);
/* Device time of all guests; divided by the span: the utilisation. */
uint64_t sim_device_ns(const struct simulation *sim, uint64_t from_ns, uint64_t until_ns);
/* Latency at a quantile, of all requests of a guest that were completed. */
uint64_t sim_latency_ns(struct simulation *sim, unsigned guest, double quantile);
/* Of `count` numbers: (sum x)^2 / (n * sum x^2); 1: all the same. */
double sim_jain(const double *x, unsigned count);
/* What one such request costs. */
uint64_t sim_cost_ns(const struct sim_device *device, const struct sim_load *load);
/* Below `limit`. */
uint64_t sim_random(struct simulation *sim, uint64_t limit);

#endif
