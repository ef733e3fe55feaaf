/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The demo's last check, from outside: reads the pool's file itself and looks for the guests' patterns. A
 * pattern is lines of 64 bytes, each "@viaduct-demo:TOKEN guest=NAME …" ('.' stands for a space too).
 */
#ifndef VIADUCT_CLI_DEMO_DEMO_SCAN_H
#define VIADUCT_CLI_DEMO_DEMO_SCAN_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define SCAN_GUESTS_MAX	   12u
#define SCAN_NAME_MAX	   32u
#define SCAN_PATTERN_BYTES 64u

/* What was found of one guest's pattern. */
struct scan_guest {
	char name[SCAN_NAME_MAX];
	uint64_t own;			/* lines inside its own extents */
	uint64_t foreign;		/* lines in another guest's extents */
	uint64_t outside;		/* lines in places that no guest owns */
	uint64_t first_bad_bytes;	/* offset in the file of the first line that is not its own */
	char first_bad_owner[160];	/* the guest that owns that place; "": none */
};

struct scan_result {
	struct scan_guest guests[SCAN_GUESTS_MAX];
	size_t guest_count;
	uint64_t scanned_bytes;		/* data; holes are skipped */
};

/*
 * `pool` is an answer of GET /v1/pools/{pool}. `token` NULL: every token counts. Returns 0 or -errno (the
 * file cannot be read; -E2BIG: patterns of more guests than SCAN_GUESTS_MAX).
 */
int scan_pool_file(const char *path, const json_t *pool, const char *token, struct scan_result *ret_result);

/* The entry of a guest, or NULL when nothing of it was found. */
const struct scan_guest *scan_find(const struct scan_result *result, const char *name);

/* One line of a pattern, as the guests write them. */
void scan_pattern_line(char line[SCAN_PATTERN_BYTES], const char *token, const char *guest, unsigned round);

#endif
