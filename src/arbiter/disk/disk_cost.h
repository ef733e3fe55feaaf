/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a request costs: its share of the device's time, before it is carried out. Linear models, one for
 * each direction and for random and sequential access: base_ns + bytes * ns_per_kib / 1024, scaled so that
 * a device which is fully busy carries out 1e9 ns of cost a second (a device that serves eight requests at
 * a time in 80 us each has a cost of 10 us for each). A pure module; the time is an argument.
 *
 * The coefficients are corrected while the device is busy (disk_cost_observe()), so they may begin as those
 * of an ordinary disk, of the configuration, or of an earlier run.
 */
#ifndef VIADUCT_ARBITER_DISK_DISK_COST_H
#define VIADUCT_ARBITER_DISK_DISK_COST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cost_kind {
	COST_READ_RANDOM,
	COST_READ_SEQUENTIAL,
	COST_WRITE_RANDOM,
	COST_WRITE_SEQUENTIAL,
	COST_FLUSH,
	COST_DISCARD,
	COST_KINDS
};

struct cost_line {
	uint32_t base_ns;
	uint32_t ns_per_kib;
};

/* Plain data: goes into a file as it is printed by disk_cost_print(). */
struct disk_cost {
	struct cost_line line[COST_KINDS];
	/*
	 * The cost that was inside the device together when it was just busy: where depth.h begins to
	 * search.
	 */
	uint32_t window_ns;		/* 1 … COST_WINDOW_MAX_NS */
};

#define COST_WINDOW_MAX_NS 1000000000u

/* For a device of which nothing is known: an ordinary SSD, and an ordinary disk that turns. */
extern const struct disk_cost disk_cost_default, disk_cost_rotational;

/* The least that a request costs: a null device would have none, and shares of nothing. */
#define COST_MIN_NS 1u

/* `bytes`: whole sectors, less than 2 TiB, as virtio-blk's requests are; so nothing overflows. */
static inline uint64_t disk_cost_ns(const struct disk_cost *cost, enum cost_kind kind, uint64_t bytes)
{
	const struct cost_line *line = &cost->line[kind];
	uint64_t ns = line->base_ns + ((bytes >> 9) * line->ns_per_kib >> 1);

	return ns < COST_MIN_NS ? COST_MIN_NS : ns;
}

#define COST_SMALL_BYTES 4096u
#define COST_LARGE_BYTES 131072u

/*
 * The line through two measured costs; bytes are whole sectors. A larger request is never the cheaper one,
 * and a small one is never nothing but its bytes: at least 1/8 of it is base.
 */
struct cost_line cost_line_through(uint64_t small_bytes, uint64_t small_ns, uint64_t large_bytes,
				   uint64_t large_ns);

/* 4 KiB random requests a second, and bytes a second in 128 KiB sequential ones: the dearer direction. */
uint64_t disk_cost_iops(const struct disk_cost *cost);
uint64_t disk_cost_bandwidth(const struct disk_cost *cost);
/*
 * A reservation as a part of the device's time, in 1e-9, rounded up: the dearer of the two. May be more than
 * all of it; UINT64_MAX: more than can be said.
 */
uint64_t disk_cost_reservation_ppb(const struct disk_cost *cost, uint64_t min_iops, uint64_t min_bandwidth);

/* ---- as text, to keep over restarts what was learnt: disk_cost_text.c ---- */

/* Enough for any model, with the NUL. */
#define COST_TEXT_MAX 320u

/* Returns the length without the NUL, or -ENOSPC. */
int disk_cost_print(const struct disk_cost *cost, char *buffer, size_t bytes);
/* Exactly what disk_cost_print() writes, or -EINVAL. `text` may be anything, and needs no NUL. */
int disk_cost_parse(const char *text, size_t bytes, struct disk_cost *ret_cost);

/* ---- correction ---- */

/*
 * What was completed in an interval during which the device was fully busy; about 10 ms, and never a second.
 */
struct cost_window {
	uint64_t wall_ns;
	uint32_t requests[COST_KINDS];
	uint64_t bytes[COST_KINDS];
};

enum cost_term { COST_BASE, COST_PER_KIB, COST_TERMS };

/*
 * Moves the coefficients towards what would have predicted the window: all together (`level`) within a
 * second, and each against the others slowly, in seconds of mixed load.
 */
struct cost_correction {
	struct disk_cost start;
	/* All coefficients are so many times those of `start`, but for COST_DRIFT_MAX at most each way */
	double level;
	/* Cost carried out per second of wall time, smoothed over about 100 ms; 1: as modelled */
	double rate;
	double fine[COST_KINDS][COST_TERMS];		/* the coefficients, unrounded */
	/*
	 * Lately: the rate, and the part of the cost that each coefficient made up. What is compared with
	 * them teaches.
	 */
	double usual_rate, usual[COST_KINDS][COST_TERMS];
	bool started;			/* `usual` is known */
};

#define COST_DRIFT_MAX 32.0
/* How far a device may be from what it was believed to be, either way. */
#define COST_LEVEL_MAX 10000.0

void cost_correction_init(struct cost_correction *correction, const struct disk_cost *start);
/* A window without completions counts: the device hung. */
void disk_cost_observe(struct disk_cost *cost, struct cost_correction *correction,
		       const struct cost_window *window);

/* ---- sequential or random? ---- */

/* Of one virtual disk: where its last few streams ended. */
#define COST_STREAMS 4
struct cost_streams {
	uint64_t end[COST_STREAMS];
	unsigned next;
};

/* True when the request goes on where an earlier one ended; remembers where this one ends. */
static inline bool cost_streams_follow(struct cost_streams *streams, uint64_t offset, uint64_t bytes)
{
	for (unsigned i = 0; i < COST_STREAMS; i++) {
		if (streams->end[i] == offset) {
			streams->end[i] = offset + bytes;
			return true;
		}
	}
	streams->end[streams->next] = offset + bytes;
	streams->next = (streams->next + 1) % COST_STREAMS;
	return false;
}

#endif
