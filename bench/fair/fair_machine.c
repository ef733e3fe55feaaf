/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What else the machine does while something is measured. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/clock.h"
#include "fair.h"

static double own_user_s(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage) < 0)
		return 0;
	return (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6;
}

/*
 * proc(5), /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal. A system without it counts
 * nothing.
 */
struct fair_machine fair_machine_now(void)
{
	enum { USER, NICE, STEAL = 7, FIELDS };
	double ticks = (double)sysconf(_SC_CLK_TCK), time[FIELDS] = {0};
	FILE *file = fopen("/proc/stat", "re");
	char line[256] = "", *at = line + strlen("cpu ");

	if (file && fgets(line, sizeof(line), file) && strncmp(line, "cpu ", strlen("cpu ")) == 0)
		for (unsigned i = 0; i < FIELDS; i++)
			time[i] = (double)strtoull(at, &at, 10) / ticks;
	if (file)
		fclose(file);
	return (struct fair_machine){.stolen_s = time[STEAL],
				     .others_s = time[USER] + time[NICE] - own_user_s(),
				     .wall_s = (double)clock_now_ns() / 1e9};
}

double fair_machine_lost(const struct fair_machine *from, const struct fair_machine *to)
{
	double all_s = (to->wall_s - from->wall_s) * (double)sysconf(_SC_NPROCESSORS_ONLN);
	double others_s = to->others_s - from->others_s;

	return (to->stolen_s - from->stolen_s + (others_s > 0 ? others_s : 0)) / all_s;
}
