/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of viaduct-registers: what it was asked for and the rows that it prints (registers_client.c),
 * reads of a disk (registers_reads.c), what they cost another process (registers_watch.c), and a network card
 * that floods (registers_card.c).
 */
#ifndef VIADUCT_BENCH_REGISTERS_H
#define VIADUCT_BENCH_REGISTERS_H

#include <stdbool.h>
#include <stdint.h>

#include "frontend/frontend.h"
#include "frontend/nvme_driver.h"
#include "load.h"

#define REGISTERS_DEPTH_MAX   32u
#define REGISTERS_BLOCK_BYTES 4096u

struct registers_options {
	const char *nvme, *virtio, *card; /* sockets */
	const char *file;		  /* the same bytes without a daemon */
	double seconds;
	uint64_t flood_from_ns; /* 0: no flood */
	/* Where the other end of the ping-pong runs, like the daemon; -1: anywhere. */
	int peer_cpu;
	int watch_pid; /* the daemon; 0: its costs are not asked for */
};

/* Ends the program with a sentence about `error`. */
_Noreturn void registers_fail(const char *what, int error);
uint64_t registers_now_ns(void);

/* What one request took of the processes that took part, on the average. */
struct registers_cost {
	double daemon_us, client_us; /* CPU time */
	double instructions;	     /* of the daemon, in user space; < 0: cannot be counted here */
	double wakes;		     /* how often a thread of the daemon slept */
	double notices;		     /* accesses to registers, or kicks */
	double interrupts;	     /* of the client */
};

/* Prints a row and forgets its latencies. latency and cost may be NULL. */
void registers_report(const char *name, struct load_histogram *latency, uint64_t count, uint64_t ns,
		      const struct registers_cost *cost);

/* ---- reads of 4 KiB at random places ---- */

void registers_read_nvme(const struct registers_options *options, struct nvme_driver *driver, unsigned depth,
			 const char *name);
void registers_read_virtio(const struct registers_options *options, struct frontend *frontend, unsigned depth,
			   const char *name);
/* By system calls, one at a time. */
void registers_read_file(const struct registers_options *options, const char *name);

/* ---- what another process does ---- */

struct registers_watch;

struct registers_seen {
	uint64_t cpu_ns, sleeps, instructions;
};

/* Of a process and all its threads of now. pid 0: NULL, which the others allow. */
struct registers_watch *registers_watch_create(int pid);
void registers_watch_destroy(struct registers_watch *watch);
/* Since it was created or before. Without the right or the hardware to count them, no instructions. */
struct registers_seen registers_watch_look(const struct registers_watch *watch);
bool registers_watch_counts_instructions(const struct registers_watch *watch);

/* ---- a card as Intel's 82574L ---- */

/* Sends frames of 1500 bytes for so many seconds, whatever becomes of them. */
void registers_flood_card(const struct registers_options *options);

#endif
