/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a process has used, as the kernel tells of each of its threads. */
#include <dirent.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/fd.h"
#include "registers.h"

/* A daemon has a few workers and helpers. */
#define THREADS_MAX 64u

struct registers_watch {
	int pid;
	unsigned threads;
	int tid[THREADS_MAX], counter[THREADS_MAX]; /* -1: it is not counted */
};

static int open_counter(int tid)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_HARDWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_HW_INSTRUCTIONS,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};

	return (int)syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

struct registers_watch *registers_watch_create(int pid)
{
	struct registers_watch *watch;
	struct dirent *entry;
	char path[64];
	DIR *tasks;

	if (pid == 0)
		return NULL;
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	watch = calloc(1, sizeof(*watch));
	if (!tasks || !watch)
		registers_fail("the process to watch", ESRCH);
	watch->pid = pid;
	while ((entry = readdir(tasks)) && watch->threads < THREADS_MAX) {
		int tid = (int)strtol(entry->d_name, NULL, 10);

		if (tid == 0)
			continue;
		watch->tid[watch->threads] = tid;
		watch->counter[watch->threads++] = open_counter(tid);
	}
	closedir(tasks);
	return watch;
}

void registers_watch_destroy(struct registers_watch *watch)
{
	if (!watch)
		return;
	for (unsigned i = 0; i < watch->threads; i++)
		fd_close(&watch->counter[i]);
	free(watch);
}

bool registers_watch_counts_instructions(const struct registers_watch *watch)
{
	for (unsigned i = 0; watch && i < watch->threads; i++)
		if (watch->counter[i] < 0)
			return false;
	return watch && watch->threads > 0;
}

/* The number behind `key` in a file in /proc; 0: there is none, as of a thread that has ended. */
static uint64_t number_in(const struct registers_watch *watch, unsigned thread, const char *file,
			  const char *key)
{
	uint64_t number = 0;
	char path[96], line[256];
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", watch->pid, watch->tid[thread], file);
	status = fopen(path, "r");
	while (status && fgets(line, sizeof(line), status))
		if (strncmp(line, key, strlen(key)) == 0) {
			number = strtoull(line + strlen(key), NULL, 10);
			break;
		}
	if (status)
		fclose(status);
	return number;
}

struct registers_seen registers_watch_look(const struct registers_watch *watch)
{
	struct registers_seen seen = { 0 };

	for (unsigned i = 0; watch && i < watch->threads; i++) {
		uint64_t count;

		seen.cpu_ns += number_in(watch, i, "schedstat", "");
		seen.sleeps += number_in(watch, i, "status", "voluntary_ctxt_switches:");
		if (watch->counter[i] >= 0 && read(watch->counter[i], &count, sizeof(count)) == sizeof(count))
			seen.instructions += count;
	}
	return seen;
}
