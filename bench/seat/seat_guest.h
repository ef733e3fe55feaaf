/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest of the benchmark: a VMM that draws into a display of its own and hears keys, as fast as it is asked
 * to and not as an emulated processor can. It has a thread.
 */
#ifndef VIADUCT_BENCH_SEAT_GUEST_H
#define VIADUCT_BENCH_SEAT_GUEST_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

/* How it draws, after its first picture. */
enum seat_role {
	SEAT_STILL,  /* nothing more */
	SEAT_BLINK,  /* a cursor of 8 to 16 pixels, so many times a second */
	SEAT_FRAMES, /* all of its picture, so many times a second, when the one before was taken */
	SEAT_PULSE,  /* the same, some time after it was seen at the viewer */
	SEAT_STORM,  /* all of its picture, without end */
};

struct seat_guest_options {
	const char *socket; /* the daemon's, of its display */
	unsigned width, height;
	enum seat_role role;
	double rate; /* a second; of SEAT_BLINK and SEAT_FRAMES */
};

struct seat_guest {
	struct seat_guest_options options;
	pthread_t thread;
	int events; /* an eventfd: it has heard a key */
	int seen;   /* an eventfd: its picture was seen, or it is to end */

	/* Any thread: atomic. */
	bool is_shown, is_over;
	const char *failed;  /* what has; NULL: nothing */
	uint32_t corner;     /* the last pixel of what was drawn last */
	uint64_t flushed_ns; /* when that was */
	uint64_t key_ns;     /* when the last key was heard */
	uint64_t keys, flushes;

	/* the thread's */
	int qmp, display;
	char line[512];
	size_t line_bytes;
	sd_bus *control, *listener;
	uint32_t number;  /* of the picture */
	unsigned waiting; /* calls that were not answered */
	uint64_t next_ns; /* it draws not before */
	bool was_seen;
};

/* Connects and begins. Returns 0 or -errno. */
int seat_guest_start(struct seat_guest *guest, const struct seat_guest_options *options);
void seat_guest_stop(struct seat_guest *guest);
/* Of SEAT_PULSE: the viewer has it. */
void seat_guest_saw(struct seat_guest *guest);

#endif
