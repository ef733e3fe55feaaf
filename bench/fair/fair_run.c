/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One run: a server, its guests, and what happens to them at which time. */
#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "fair.h"

/* From the last connection to the first request. */
#define START_NS (20 * NS_PER_MS)

void fair_check(int error, const char *what)
{
	if (!error)
		return;
	fprintf(stderr, "viaduct-fair: %s: %s\n", what, strerror(-error));
	exit(1);
}

void *fair_allocate(size_t count, size_t bytes)
{
	void *memory = calloc(count, bytes);

	if (!memory) {
		fprintf(stderr, "viaduct-fair: out of memory\n");
		exit(1);
	}
	return memory;
}

bool fair_prefer(pthread_t thread, int priority)
{
	const struct sched_param wanted = {.sched_priority = priority};

	/* A user without that right measures on a quiet machine. */
	return pthread_setschedparam(thread, SCHED_FIFO, &wanted) == 0;
}

/* To the CPUs that this program may use, from the `first`-th of them on, `count` at most. */
static void place(pthread_t thread, unsigned first, unsigned count)
{
	cpu_set_t may, chosen;

	if (sched_getaffinity(0, sizeof(may), &may) < 0)
		return;
	CPU_ZERO(&chosen);
	for (unsigned cpu = 0, nth = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &may) && nth++ >= first && count > 0) {
			CPU_SET(cpu, &chosen);
			count--;
		}
	(void)pthread_setaffinity_np(thread, sizeof(chosen), &chosen);
}

static bool cpus_left(unsigned workers)
{
	cpu_set_t may;

	return sched_getaffinity(0, sizeof(may), &may) == 0 && (unsigned)CPU_COUNT(&may) > workers;
}

void fair_place_worker(pthread_t thread, unsigned worker, unsigned workers)
{
	if (cpus_left(workers))
		place(thread, worker, 1);
}

void fair_place_guests(pthread_t thread, unsigned workers)
{
	if (cpus_left(workers))
		place(thread, workers, CPU_SETSIZE);
}

struct fair_guest *fair_plan_add(struct fair_plan *plan, unsigned count, struct fair_load load,
				 struct share_settings share)
{
	struct fair_guest *guest = &plan->guest[plan->guest_rows++];

	assert(plan->guest_rows <= FAIR_ROWS_OF_GUESTS);
	*guest = (struct fair_guest){.count = count, .load = load, .share = share};
	return guest;
}

void fair_plan_at(struct fair_plan *plan, unsigned at_ms,
		  void (*act)(struct fair_server *server, unsigned value), unsigned value)
{
	assert(plan->events < FAIR_EVENTS);
	plan->event[plan->events++] = (struct fair_event){at_ms, act, value};
}

unsigned fair_plan_guests(const struct fair_plan *plan)
{
	unsigned guests = 0;

	for (unsigned row = 0; row < plan->guest_rows; row++)
		guests += plan->guest[row].count;
	return guests;
}

static size_t resident_bytes(void)
{
	char line[128] = "", *resident;
	FILE *file = fopen("/proc/self/statm", "re");

	if (!file)
		return 0;
	if (!fgets(line, sizeof(line), file))
		line[0] = 0;
	fclose(file);
	/* In pages: all, then the resident ones. */
	resident = strchr(line, ' ');
	return resident ? strtoull(resident, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

void fair_sleep_until(uint64_t ns)
{
	const struct timespec until = {(time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

/* The charges are read three times a round: when it has settled, and after each half. */
#define MARKS_A_ROUND 3u

static unsigned mark_ms(const struct fair_plan *plan, unsigned mark)
{
	const unsigned in_ms[MARKS_A_ROUND] = { plan->settle_ms, plan->settle_ms + plan->half_ms,
						plan->round_ms };

	return plan->rounds_from_ms + mark / MARKS_A_ROUND * plan->round_ms + in_ms[mark % MARKS_A_ROUND];
}

/* At a mark: what each guest was charged since the last one. */
static void charge_guests(struct fair_server *server, struct fair_run *run, uint64_t *cpu_ns, unsigned mark)
{
	uint64_t *now_ns = fair_allocate(run->guests, sizeof(*now_ns));

	fair_server_guests_cpu_ns(server, now_ns);
	for (unsigned i = 0; i < run->guests; i++) {
		if (mark % MARKS_A_ROUND > 0)
			run->outcome[i].cpu_ns[mark % MARKS_A_ROUND - 1] += now_ns[i] - cpu_ns[i];
		cpu_ns[i] = now_ns[i];
	}
	free(now_ns);
}

/* Until total_ms; marks and the plan's events come in between. */
static void pass_time(const struct fair_plan *plan, struct fair_server *server, struct fair_run *run,
		      uint64_t epoch_ns)
{
	uint64_t *cpu_ns = fair_allocate(run->guests, sizeof(*cpu_ns));
	unsigned event = 0, mark = 0, marks = plan->rounds * MARKS_A_ROUND;

	while (event < plan->events || mark < marks) {
		if (mark < marks &&
		    (event == plan->events || mark_ms(plan, mark) < plan->event[event].at_ms)) {
			fair_sleep_until(epoch_ns + mark_ms(plan, mark) * NS_PER_MS);
			charge_guests(server, run, cpu_ns, mark++);
		} else {
			fair_sleep_until(epoch_ns + plan->event[event].at_ms * NS_PER_MS);
			plan->event[event].act(server, plan->event[event].value);
			event++;
		}
	}
	fair_sleep_until(epoch_ns + plan->total_ms * NS_PER_MS);
	free(cpu_ns);
}

static void play(const struct fair_plan *plan, struct fair_server *server, struct fair_run *run)
{
	struct fair_client *honest = fair_client_connect(plan, server, run->outcome, false);
	struct fair_client *hostile = fair_client_connect(plan, server, run->outcome, true);
	uint64_t epoch_ns, cpu_ns = fair_server_cpu_ns(server);

	run->resident_bytes = resident_bytes();
	epoch_ns = clock_now_ns() + START_NS;
	fair_client_start(honest, epoch_ns);
	fair_client_start(hostile, epoch_ns);
	if (plan->watched || plan->rounds > 0)
		run->watch = fair_watch_start(epoch_ns, plan->total_ms);
	pass_time(plan, server, run, epoch_ns);
	run->worker_cpu_ns = fair_server_cpu_ns(server) - cpu_ns;
	if (run->watch)
		fair_watch_join(run->watch);
	fair_client_finish(hostile);
	fair_client_finish(honest);
}

void fair_run_make(const struct fair_bench *bench, const struct fair_plan *plan, struct fair_run *ret_run)
{
	struct fair_server *server = fair_server_start(bench, plan);

	*ret_run = (struct fair_run){.guests = fair_plan_guests(plan)};
	ret_run->outcome = fair_allocate(ret_run->guests, sizeof(*ret_run->outcome));
	for (unsigned i = 0; i < ret_run->guests; i++)
		fair_check(fair_series_init(&ret_run->outcome[i].series, plan->total_ms), "outcomes");
	play(plan, server, ret_run);
	fair_server_stop(server);
	for (unsigned i = 0; i < ret_run->guests; i++)
		fair_check(ret_run->outcome[i].errors > 0 ? -EIO : 0, "a guest's request");
}

void fair_run_free(struct fair_run *run)
{
	for (unsigned i = 0; i < run->guests; i++) {
		fair_series_finish(&run->outcome[i].series);
		free(run->outcome[i].samples.sample);
	}
	free(run->outcome);
	fair_watch_free(run->watch);
	*run = (struct fair_run){0};
}

void fair_report_add(struct fair_report *report, const char *what, const char *unit, enum fair_sense sense,
		     double measured, double target)
{
	struct fair_row *row = &report->row[report->rows++];

	assert(report->rows <= FAIR_REPORT_ROWS);
	*row = (struct fair_row){.unit = unit, .sense = sense, .measured = measured, .target = target};
	snprintf(row->what, sizeof(row->what), "%s", what);
}
