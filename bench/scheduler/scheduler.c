/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * viaduct-bench-scheduler: what one scheduling decision costs. Goal: at most 100 ns, and flat within a factor
 * of two.
 */
#include <stdio.h>

#include "scheduler_cost.h"

int main(void)
{
	static const struct scheduler_case rows[] = {
		{ "2 guests", 2, 2, false, false },
		{ "8 guests", 8, 8, false, false },
		{ "64 guests", 64, 64, false, false },
		{ "512 guests", 512, 512, false, false },
		{ "4096 guests", 4096, 4096, false, false },
		{ "512 guests, 500 idle", 512, 12, false, false },
		{ "512 guests in groups of 8", 512, 512, true, false },
		{ "2 guests, reservations and limits", 2, 2, false, true },
		{ "512 guests, reservations and limits", 512, 512, false, true },
		{ "512 in groups, reservations and limits", 512, 512, true, true },
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		printf("%-40s %6.1f ns\n", rows[i].name, scheduler_cost_ns(&rows[i]));
	return 0;
}
