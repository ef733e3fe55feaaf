/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/demo/demo_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/pool/pool_map.h"

#define MARKER	     "@viaduct-demo:"
#define MARKER_BYTES (sizeof(MARKER) - 1)
#define WINDOW_BYTES (1u << 20)

struct scan {
	const json_t *pool;
	const char *token;
	struct scan_result *result;
	struct pool_map_run run;	/* the run of the last line: most lines lie in the same */
	bool run_known;
};

void scan_pattern_line(char line[SCAN_PATTERN_BYTES], const char *token, const char *guest, unsigned round)
{
	int length =
		snprintf(line, SCAN_PATTERN_BYTES, MARKER "%s.guest=%s.round=%06u.", token, guest, round);

	if (length < (int)SCAN_PATTERN_BYTES)
		memset(line + length, '.', SCAN_PATTERN_BYTES - (size_t)length);
	line[SCAN_PATTERN_BYTES - 1] = '\n';
}

const struct scan_guest *scan_find(const struct scan_result *result, const char *name)
{
	for (size_t i = 0; i < result->guest_count; i++) {
		if (strcmp(result->guests[i].name, name) == 0)
			return &result->guests[i];
	}
	return NULL;
}

/* The guest named in the bytes behind a marker, or an empty string when it is no line of a pattern. */
static void parse_line(const char *line, size_t bytes, const char *token, char name[SCAN_NAME_MAX])
{
	char text[SCAN_PATTERN_BYTES + 1];
	size_t token_length, name_length;
	const char *guest;

	name[0] = '\0';
	snprintf(text, sizeof(text), "%.*s", (int)(bytes < SCAN_PATTERN_BYTES ? bytes : SCAN_PATTERN_BYTES),
		 line);
	token_length = strcspn(text + MARKER_BYTES, " .");
	guest = strstr(text, "guest=");
	if (!guest || (token && (strlen(token) != token_length ||
				 strncmp(text + MARKER_BYTES, token, token_length) != 0)))
		return;
	name_length = strcspn(guest + 6, " .\n");
	if (name_length < SCAN_NAME_MAX)
		snprintf(name, SCAN_NAME_MAX, "%.*s", (int)name_length, guest + 6);
}

static struct scan_guest *guest_entry(struct scan_result *result, const char *name)
{
	struct scan_guest *entry = (struct scan_guest *)scan_find(result, name);

	if (entry || result->guest_count == SCAN_GUESTS_MAX)
		return entry;
	entry = &result->guests[result->guest_count++];
	snprintf(entry->name, sizeof(entry->name), "%s", name);
	return entry;
}

static bool run_holds(const struct pool_map_run *run, uint64_t offset)
{
	return offset >= run->offset_bytes && offset - run->offset_bytes < run->length_bytes;
}

/* Who owns this place of the disk: "guest/disk", or "". */
static const char *owner_at(struct scan *scan, uint64_t offset)
{
	struct pool_map_run run;

	if (scan->run_known && run_holds(&scan->run, offset))
		return scan->run.owner;
	for (size_t i = 0; pool_map_run(scan->pool, i, &run); i++) {
		if (run_holds(&run, offset)) {
			scan->run = run;
			scan->run_known = true;
			return run.owner;
		}
	}
	return "";
}

/* Both ends of the line must be the guest's own. */
static int judge_line(struct scan *scan, uint64_t offset, const char *name)
{
	struct scan_guest *guest = guest_entry(scan->result, name);
	size_t length = strlen(name);

	if (!guest)
		return -E2BIG;
	for (unsigned end = 0; end < 2; end++) {
		const char *owner = owner_at(scan, offset + (end ? SCAN_PATTERN_BYTES - 1 : 0));

		if (pool_map_guest_length(owner) == length && strncmp(owner, name, length) == 0)
			continue;
		if (guest->foreign + guest->outside == 0) {
			guest->first_bad_bytes = offset;
			snprintf(guest->first_bad_owner, sizeof(guest->first_bad_owner), "%s", owner);
		}
		if (owner[0])
			guest->foreign++;
		else
			guest->outside++;
		return 0;
	}
	guest->own++;
	return 0;
}

/* Looks at bytes [offset, offset + bytes) of the file; a marker may begin in the first `fresh` of them. */
static int scan_window(struct scan *scan, const char *window, size_t bytes, size_t fresh, uint64_t offset)
{
	const char *at = window, *found;

	while ((found = memmem(at, bytes - (size_t)(at - window), MARKER, MARKER_BYTES))) {
		char name[SCAN_NAME_MAX];
		int error = 0;

		if ((size_t)(found - window) >= fresh)
			break;
		parse_line(found, bytes - (size_t)(found - window), scan->token, name);
		if (name[0])
			error = judge_line(scan, offset + (uint64_t)(found - window), name);
		if (error)
			return error;
		at = found + MARKER_BYTES;
	}
	return 0;
}

static int scan_stretch(struct scan *scan, int fd, char *buffer, uint64_t begin, uint64_t end)
{
	while (begin < end) {
		size_t fresh = end - begin < WINDOW_BYTES ? (size_t)(end - begin) : WINDOW_BYTES;
		/* Lines may reach beyond the window, not beyond what follows it. */
		ssize_t n = pread(fd, buffer, fresh + SCAN_PATTERN_BYTES, (off_t)begin);
		int error;

		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		error = scan_window(scan, buffer, (size_t)n, fresh, begin);
		if (error)
			return error;
		scan->result->scanned_bytes += fresh;
		begin += fresh;
	}
	return 0;
}

static int scan_file(struct scan *scan, int fd, char *buffer)
{
	off_t end = 0, begin;
	int error = 0;

	while (!error) {
		begin = lseek(fd, end, SEEK_DATA);
		if (begin < 0)
			return errno == ENXIO ? 0 : -errno;
		end = lseek(fd, begin, SEEK_HOLE);
		if (end < 0)
			return -errno;
		error = scan_stretch(scan, fd, buffer, (uint64_t)begin, (uint64_t)end);
	}
	return error;
}

int scan_pool_file(const char *path, const json_t *pool, const char *token, struct scan_result *ret_result)
{
	struct scan_result result = { 0 };
	struct scan scan = { .pool = pool, .token = token, .result = &result };
	char *buffer = malloc(WINDOW_BYTES + SCAN_PATTERN_BYTES);
	int fd, error;

	if (!buffer)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	error = fd < 0 ? -errno : scan_file(&scan, fd, buffer);
	if (fd >= 0)
		close(fd);
	free(buffer);
	if (!error)
		*ret_result = result;
	return error;
}
