/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does the machine stand still? The host of a virtual machine takes its CPUs away for milliseconds and does
 * not always tell, and no share of one per cent of a guest's requests is measured then. On each CPU a thread
 * before all others wants to wake every half millisecond; what it comes late, that CPU did not run.
 */
#include <sched.h>
#include <stdlib.h>

#include "core/clock.h"
#include "fair.h"

#define WATCH_EVERY_NS (500 * NS_PER_US)
/* As late as this is usual. */
#define WATCH_USUAL_NS (200 * NS_PER_US)
#define WATCH_CPUS_MAX 16u

struct watcher {
	struct fair_watch *watch;
	pthread_t thread;
	bool preferred;
	uint32_t *late_us; /* by millisecond */
};

struct fair_watch {
	uint64_t epoch_ns;
	unsigned total_ms, watchers;
	struct watcher watcher[WATCH_CPUS_MAX];
};

static void count_late(struct watcher *watcher, uint64_t from_ns, uint64_t until_ns)
{
	const struct fair_watch *watch = watcher->watch;

	while (from_ns < until_ns) {
		uint64_t ms = from_ns > watch->epoch_ns ? (from_ns - watch->epoch_ns) / NS_PER_MS : 0;
		uint64_t next_ns = watch->epoch_ns + (ms + 1) * NS_PER_MS;

		if (ms >= watch->total_ms)
			return;
		if (next_ns > until_ns)
			next_ns = until_ns;
		watcher->late_us[ms] += (uint32_t)((next_ns - from_ns) / NS_PER_US);
		from_ns = next_ns;
	}
}

static void *watch_run(void *argument)
{
	struct watcher *watcher = argument;
	uint64_t end_ns = watcher->watch->epoch_ns + watcher->watch->total_ms * NS_PER_MS;

	for (uint64_t at_ns = watcher->watch->epoch_ns, now_ns; at_ns < end_ns;
	     at_ns = now_ns + WATCH_EVERY_NS) {
		fair_sleep_until(at_ns);
		now_ns = clock_now_ns();
		if (now_ns > at_ns + WATCH_USUAL_NS)
			count_late(watcher, at_ns, now_ns);
	}
	return NULL;
}

static void watch_start(struct watcher *watcher, const cpu_set_t *cpu)
{
	pthread_attr_t attributes;

	watcher->late_us = fair_allocate(watcher->watch->total_ms, sizeof(*watcher->late_us));
	pthread_attr_init(&attributes);
	pthread_attr_setaffinity_np(&attributes, sizeof(*cpu), cpu);
	fair_check(-pthread_create(&watcher->thread, &attributes, watch_run, watcher), "watcher");
	pthread_attr_destroy(&attributes);
	watcher->preferred = fair_prefer(watcher->thread, FAIR_WATCH_PRIORITY);
}

struct fair_watch *fair_watch_start(uint64_t epoch_ns, unsigned total_ms)
{
	struct fair_watch *watch = fair_allocate(1, sizeof(*watch));
	cpu_set_t may, one;

	watch->epoch_ns = epoch_ns;
	watch->total_ms = total_ms;
	if (sched_getaffinity(0, sizeof(may), &may) < 0)
		return watch;
	for (int cpu = 0; cpu < CPU_SETSIZE && watch->watchers < WATCH_CPUS_MAX; cpu++) {
		if (!CPU_ISSET(cpu, &may))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		watch->watcher[watch->watchers].watch = watch;
		watch_start(&watch->watcher[watch->watchers++], &one);
	}
	return watch;
}

void fair_watch_join(struct fair_watch *watch)
{
	for (unsigned i = 0; i < watch->watchers; i++)
		pthread_join(watch->watcher[i].thread, NULL);
}

double fair_watch_lost(const struct fair_watch *watch, unsigned from_ms, unsigned to_ms)
{
	uint64_t most_us = 0;

	for (unsigned i = 0; i < watch->watchers; i++) {
		uint64_t late_us = 0;

		for (unsigned ms = from_ms; ms < to_ms; ms++)
			late_us += watch->watcher[i].late_us[ms];
		/* Who does not come before all others is late because of them. */
		if (watch->watcher[i].preferred && late_us > most_us)
			most_us = late_us;
	}
	return (double)most_us / 1000 / (to_ms - from_ms);
}

void fair_watch_free(struct fair_watch *watch)
{
	if (!watch)
		return;
	for (unsigned i = 0; i < watch->watchers; i++)
		free(watch->watcher[i].late_us);
	free(watch);
}
