/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * viaduct-fair: does the disk stay shared as promised? Experiments through the whole path: front ends with
 * virtio rings, vhost-user sockets, virtio-blk, virtual disk, gate, and a disk that is simulated (the
 * in-memory twin with service times) or a real file. In real time, in one process:
 *
 *   fair_server.c   the daemon's side, put together by hand: workers, disk, tree of shares, endpoints
 *   fair_client.c   the guests: one thread drives the front ends of all honest ones, another the hostile ones
 *   fair_series.c   what the guests got, millisecond by millisecond, and what is calculated from it
 *   fair_run.c      one run: a server, its guests, and what happens to them at which time
 *   fair_rounds.c   a victim alone and beside hostile guests, in turn
 *   fair_machine.c, fair_watch.c   what else the machine did meanwhile
 *   fair_*.c        the experiments, each a function that makes runs and reports rows
 *   fair.c          options, repetitions, the table
 */
#ifndef VIADUCT_BENCH_FAIR_H
#define VIADUCT_BENCH_FAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arbiter/disk/disk_cost.h"
#include "arbiter/share/gate.h"
#include "fair_series.h"
#include "host/host_disk.h"
#include "load.h"

#define KIB 1024u
#define MIB (1024u * KIB)

/* ---- guests ---- */

enum fair_op {
	FAIR_READ,
	FAIR_WRITE,
	FAIR_FLUSH,
	FAIR_IDENTIFY,	/* asks for the serial number: costs the daemon time and the disk none */
	FAIR_STORM,	/* kicks and offers nothing */
};

/* What a guest asks for: random blocks of its own part of the disk. */
struct fair_load {
	enum fair_op op;
	uint32_t block_bytes;
	unsigned depth;		/* requests in flight; 0: connected and idle */
	unsigned iops;		/* > 0: so many arrive a second, evenly, as far as the depth allows */
	unsigned start_ms;	/* idle before */
	unsigned on_ms, off_ms; /* alternates from then on; off_ms 0: always on */
};

/* `count` guests alike, each with one disk. */
struct fair_guest {
	unsigned count;
	struct fair_load load;
	struct share_settings share; /* the guest's; the latency target is the disk's */
	unsigned group;		     /* 0: below the root, else 1 … FAIR_GROUPS */
	bool hostile;		     /* of the other client thread, which gives way to everybody */
};

#define FAIR_GROUPS 2u

/* ---- a run ---- */

struct fair_server;

struct fair_event {
	unsigned at_ms;
	void (*act)(struct fair_server *server, unsigned value);
	unsigned value;
};

#define FAIR_ROWS_OF_GUESTS 5u
#define FAIR_ROUNDS	    5u
#define FAIR_EVENTS	    1024u

struct fair_plan {
	const struct disk_memory_options *disk; /* NULL: the real file */
	struct fair_guest guest[FAIR_ROWS_OF_GUESTS];
	unsigned guest_rows;
	struct share_settings group[FAIR_GROUPS];
	unsigned workers; /* 0: FAIR_WORKERS */
	bool poll;	  /* the clients look instead of sleeping */
	bool watched;	  /* stand-stills of the machine are noticed; with rounds they always are */
	unsigned total_ms;
	/*
	 * From rounds_from_ms on, so many rounds of round_ms: settle_ms in which the hostile guests stop and
	 * their last requests end, half_ms without them, half_ms with them.
	 */
	unsigned rounds, rounds_from_ms, round_ms, settle_ms, half_ms;
	struct fair_event event[FAIR_EVENTS];
	unsigned events;
};

#define FAIR_WORKERS 2u

/* A share of weight `w` and nothing else; other members may follow. */
#define FAIR_SHARE(w, ...) { .weight = (w), .burst_ms = SHARE_BURST_MS_DEFAULT, __VA_ARGS__ }

/* Requests, when they were sent after the epoch, and how long they took. */
struct fair_samples {
	struct fair_sample {
		uint32_t sent_ms, took_ns;
	} *sample;
	size_t count, room;
};

/* Adds one that is neither of before the rounds nor of a time in which they settle. */
void fair_samples_add(struct fair_samples *samples, const struct fair_plan *plan, uint64_t sent_ms,
		      uint64_t took_ns);

/* What one guest got. */
struct fair_outcome {
	struct fair_series series;
	struct fair_samples samples; /* of rounds; not of hostile guests */
	/* Of all rounds, charged to it by the workers without [0] and with [1] the hostile guests. */
	uint64_t cpu_ns[2];
	uint64_t errors;
};

struct fair_run {
	struct fair_watch *watch; /* NULL: not watched */
	unsigned guests;
	struct fair_outcome *outcome; /* [guests], in the plan's order */
	uint64_t worker_cpu_ns;
	size_t resident_bytes; /* while all were connected */
};

/* What is common to all runs. */
struct fair_bench {
	const char *file; /* of the real disk, or NULL */
	const char *folder; /* for sockets */
	bool quick;
	bool off;	  /* the gate lets everything pass */
	unsigned poll_us; /* of the workers */
};

/* Carries the plan out. Failures end the program with a message. */
void fair_run_make(const struct fair_bench *bench, const struct fair_plan *plan, struct fair_run *ret_run);
void fair_run_free(struct fair_run *run);
/* Adds a row of guests; returns it for more settings. */
struct fair_guest *fair_plan_add(struct fair_plan *plan, unsigned count, struct fair_load load,
				 struct share_settings share);
void fair_plan_at(struct fair_plan *plan, unsigned at_ms,
		  void (*act)(struct fair_server *server, unsigned value), unsigned value);
unsigned fair_plan_guests(const struct fair_plan *plan);

/* ---- the server ---- */

/* Started with every guest's endpoint listening at fair_server_socket(). */
struct fair_server *fair_server_start(const struct fair_bench *bench, const struct fair_plan *plan);
void fair_server_socket(const struct fair_server *server, unsigned guest, char *path, size_t bytes);
const struct disk_cost *fair_server_cost(const struct fair_server *server);
uint64_t fair_server_cpu_ns(const struct fair_server *server);
void fair_server_stop(struct fair_server *server);

/* What the workers charged each guest of the plan so far. */
void fair_server_guests_cpu_ns(struct fair_server *server, uint64_t *ret_cpu_ns);

/* Events. */
void fair_gate_on(struct fair_server *server, unsigned on);
void fair_disk_slow(struct fair_server *server, unsigned factor);

/* What the gate is told of a simulated disk: exactly what it does. */
struct disk_cost fair_cost_of(const struct disk_memory_options *disk);
/* Makes and writes the real file when it is missing. */
void fair_prepare_file(const struct fair_bench *bench);

/* ---- the clients ---- */

struct fair_client;

/* Connects to every guest of the plan that is (not) hostile; NULL when there is none. */
struct fair_client *fair_client_connect(const struct fair_plan *plan, const struct fair_server *server,
					struct fair_outcome *outcome, bool hostile);
/* Runs on a thread of its own from epoch_ns until total_ms later. */
void fair_client_start(struct fair_client *client, uint64_t epoch_ns);
/* Waits for its end, disconnects, frees. NULL is allowed. */
void fair_client_finish(struct fair_client *client);

/* ---- rows of the table ---- */

enum fair_sense { FAIR_AT_LEAST, FAIR_AT_MOST, FAIR_INFORMS };

struct fair_row {
	char what[64];
	const char *unit;
	enum fair_sense sense;
	double measured, target;
};

#define FAIR_REPORT_ROWS 16u

struct fair_report {
	struct fair_row row[FAIR_REPORT_ROWS];
	unsigned rows;
	bool disturbed; /* the machine stood still too often: the figures say little */
};

void fair_report_add(struct fair_report *report, const char *what, const char *unit, enum fair_sense sense,
		     double measured, double target);

/*
 * What else the machine was at, in seconds of CPU time since it was started: its host took them, other
 * programs had them.
 */
struct fair_machine {
	double stolen_s, others_s, wall_s;
};

struct fair_machine fair_machine_now(void);
/* Between two: the part of the machine's CPU time that was lost to that. */
double fair_machine_lost(const struct fair_machine *from, const struct fair_machine *to);

/* Threads that notice when a CPU does not run, for total_ms from epoch_ns on. */
struct fair_watch;

struct fair_watch *fair_watch_start(uint64_t epoch_ns, unsigned total_ms);
/* Waits for the end of the time. */
void fair_watch_join(struct fair_watch *watch);
/* After that: the part of the time [from, to) in which the CPU that ran least did not run. */
double fair_watch_lost(const struct fair_watch *watch, unsigned from_ms, unsigned to_ms);
/* NULL is allowed. */
void fair_watch_free(struct fair_watch *watch);

struct fair_experiment {
	const char *id, *title;
	unsigned guests[4]; /* sizes, up to the first 0 */
	bool on_file;	    /* also on the real file */
	/* `file`: on the real file instead of the simulated disk. */
	void (*run)(const struct fair_bench *bench, unsigned guests, bool file, struct fair_report *report);
};

extern const struct fair_experiment fair_share_experiments[], fair_time_experiments[],
	fair_cost_experiments[];
extern const unsigned fair_share_count, fair_time_count, fair_cost_count;

/*
 * The simulated disk of most experiments: 4 requests at a time; 20,000 IOPS of 4 KiB, 1.2 GiB/s in 256 KiB.
 */
extern const struct disk_memory_options fair_disk;

/*
 * Lets a thread of a run come before everything else on this machine, when the user may do that: what is
 * measured is the arbiter, not what else the machine is at. Who watches the machine, makes a plan's events,
 * workers, guests. Returns whether the user may.
 */
#define FAIR_WATCH_PRIORITY  5
#define FAIR_EVENT_PRIORITY  4
#define FAIR_WORKER_PRIORITY 3
#define FAIR_GUEST_PRIORITY  2
bool fair_prefer(pthread_t thread, int priority);
/*
 * Where there are more CPUs than workers, each worker has one of its own, and the guests have the others.
 * Otherwise a kernel that grants ordinary threads a little of each CPU would stop a busy worker for a hostile
 * guest.
 */
void fair_place_worker(pthread_t thread, unsigned worker, unsigned workers);
void fair_place_guests(pthread_t thread, unsigned workers);
/* On clock_now_ns(). */
void fair_sleep_until(uint64_t ns);
/* Ends the program when error is not 0. */
void fair_check(int error, const char *what);
/* Zeroed memory; never NULL. */
void *fair_allocate(size_t count, size_t bytes);

#endif
