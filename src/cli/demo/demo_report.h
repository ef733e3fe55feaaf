/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the demo prints at its end, before the last checks. */
#ifndef VIADUCT_CLI_DEMO_DEMO_REPORT_H
#define VIADUCT_CLI_DEMO_DEMO_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct hostile;

/* The longest request that was under way, as the hostile guest's driver saw it. */
struct demo_pauses {
	uint64_t kill_ns, takeover_ns;
	bool takeover;			/* there was one */
};

/* The pool's map, the counters per guest, the refused requests by kind, the pauses. */
void demo_report_print(const json_t *pool, const json_t *status, const struct hostile *hostile,
		       const struct demo_pauses *pauses, bool colour);

/* The last lines of a log on stderr: what led to a failure. */
void demo_report_log_tail(const char *path);

#endif
