/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Progress of long work: on a terminal one line that is redrawn (bar, percent, rate, time left), elsewhere a
 * plain line every tenth part. The time is a parameter, so that it can be tested.
 */
#ifndef VIADUCT_CLI_PROGRESS_H
#define VIADUCT_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PROGRESS_LINE_MAX 256

struct progress {
	FILE *out;
	const char *label;	/* not copied */
	bool terminal;
	size_t width;		/* of the terminal */
	uint64_t total_bytes, done_bytes;
	uint64_t skipped_bytes;	/* part of done_bytes that cost no work (holes): not in the rate */
	uint64_t start_ns, drawn_ns;
	unsigned tenths;	/* plain lines printed */
};

void progress_start(struct progress *progress, FILE *out, bool terminal, size_t width, const char *label,
		    uint64_t total_bytes, uint64_t now_ns);

/* Prints when it is time to. done_bytes includes skipped_bytes. */
void progress_update(struct progress *progress, uint64_t done_bytes, uint64_t skipped_bytes, uint64_t now_ns);

/* Last line: what was done in which time; a line break in any case. */
void progress_finish(struct progress *progress, uint64_t now_ns);

/* Takes the bar away, so that an error can be printed on a line of its own. */
void progress_clear(struct progress *progress);

/* The line as it would be drawn, without escape sequences. */
void progress_format(const struct progress *progress, uint64_t now_ns, char line[PROGRESS_LINE_MAX]);

/* Nanoseconds left at the average rate; UINT64_MAX when there is no rate yet. */
uint64_t progress_left_ns(const struct progress *progress, uint64_t now_ns);

#endif
