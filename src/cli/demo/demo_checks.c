/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api_client.h"
#include "cli/demo/demo.h"
#include "cli/demo/demo_scan.h"
#include "cli/pool/pool_check.h"
#include "cli/pool/pool_map.h"
#include "cli/table.h"
#include "cli/text.h"

bool demo_check(struct demo_checks *checks, bool ok, const char *format, ...)
{
	va_list arguments;

	printf("  %s%-6s%s ", table_style_begin(ok ? TABLE_GOOD : TABLE_BAD, checks->colour),
	       ok ? "ok" : "FAILED", table_style_end(checks->colour));
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
	if (ok)
		checks->passed++;
	else
		checks->failed++;
	return ok;
}

static int compare_doubles(const void *left, const void *right)
{
	const double *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

double demo_median(double *values, size_t count)
{
	qsort(values, count, sizeof(values[0]), compare_doubles);
	return values[count / 2];
}

/* ---- the map ---- */

/* Offset of the first byte that two runs share, or UINT64_MAX. */
static uint64_t first_overlap(const json_t *pool)
{
	struct pool_map_run a, b;

	for (size_t i = 0; pool_map_run(pool, i, &a); i++) {
		for (size_t j = i + 1; pool_map_run(pool, j, &b); j++) {
			if (a.offset_bytes < b.offset_bytes + b.length_bytes &&
			    b.offset_bytes < a.offset_bytes + a.length_bytes)
				return a.offset_bytes > b.offset_bytes ? a.offset_bytes : b.offset_bytes;
		}
	}
	return UINT64_MAX;
}

static uint64_t owned_bytes(const json_t *pool, const char *disk)
{
	uint64_t bytes = 0;
	struct pool_map_run run;

	for (size_t i = 0; pool_map_run(pool, i, &run); i++) {
		if (strcmp(run.owner, disk) == 0)
			bytes += run.length_bytes;
	}
	return bytes;
}

void demo_check_map(struct demo_checks *checks, const json_t *pool)
{
	uint64_t overlap = first_overlap(pool);

	if (overlap == UINT64_MAX)
		demo_check(checks, json_array_size(json_object_get(pool, "map")) > 0,
			   "map: no part of the physical disk belongs to two disks");
	else
		demo_check(checks, false, "map: byte %#llx of the physical disk belongs to two disks",
			   (unsigned long long)overlap);
}

void demo_check_sizes(struct demo_checks *checks, const json_t *pool, const json_t *devices)
{
	const json_t *device;
	size_t index, disks = 0, complete = 0;

	json_array_foreach(devices, index, device) {
		if (strcmp(api_text(device, "kind"), "disk") != 0)
			continue;
		disks++;
		complete += owned_bytes(pool, api_text(device, "name")) >= api_number(device, "size_bytes");
	}
	demo_check(checks, complete == disks && complete > 0,
		   "map: %zu of %zu disks have extents for their whole size", complete, disks);
}

/* ---- the pool's file ---- */

static void print_problem(void *context, int severity, uint64_t offset_bytes, const char *text)
{
	if (severity > 0)
		printf("         at %#llx: %s\n", (unsigned long long)offset_bytes, text);
}

void demo_check_metadata(struct demo_checks *checks, const char *path)
{
	bool opened;
	int problems = pool_check_file(path, print_problem, NULL, &opened);

	if (problems < 0)
		demo_check(checks, false, "pool file: %s cannot be checked: %s", path, strerror(-problems));
	else
		demo_check(checks, problems == 0, "pool file: `pool check` finds %d problems in its metadata",
			   problems);
}

static void check_guest(struct demo_checks *checks, const struct scan_guest *guest)
{
	char lines[TEXT_NUMBER_MAX];

	if (guest->foreign + guest->outside == 0)
		demo_check(checks, true, "pool file: all %s lines of %s's pattern lie in %s's own extents",
			   text_count(lines, guest->own), guest->name, guest->name);
	else
		demo_check(
			checks, false,
			"pool file: %llu lines of %s's pattern lie in foreign extents and %llu in nobody's; "
			"the first at byte %#llx, which belongs to %s",
			(unsigned long long)guest->foreign, guest->name, (unsigned long long)guest->outside,
			(unsigned long long)guest->first_bad_bytes,
			guest->first_bad_owner[0] ? guest->first_bad_owner : "nobody");
}

void demo_check_pool_file(struct demo_checks *checks, const char *path, const json_t *pool, const char *token,
			  const struct demo_expected *expected, size_t expected_count)
{
	struct scan_result result;
	char size[TEXT_NUMBER_MAX];
	int error = scan_pool_file(path, pool, token, &result);

	if (error) {
		demo_check(checks, false, "pool file: %s cannot be read: %s", path, strerror(-error));
		return;
	}
	demo_check(checks, result.guest_count > 0,
		   "pool file: %s of data read from outside, patterns of %zu guests found",
		   text_size(size, result.scanned_bytes), result.guest_count);
	for (size_t i = 0; i < result.guest_count; i++)
		check_guest(checks, &result.guests[i]);
	for (size_t i = 0; i < expected_count; i++) {
		const struct scan_guest *guest = scan_find(&result, expected[i].guest);
		uint64_t own = guest ? guest->own : 0;

		demo_check(checks, own >= expected[i].lines && expected[i].lines > 0,
			   "pool file: what %s wrote is there (%llu lines, at least %llu expected)",
			   expected[i].guest, (unsigned long long)own, (unsigned long long)expected[i].lines);
	}
}
