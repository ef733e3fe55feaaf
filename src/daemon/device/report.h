/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a reload did: sentences, of what was applied and of what needs a restart or failed. */
#ifndef VIADUCT_DAEMON_DEVICE_REPORT_H
#define VIADUCT_DAEMON_DEVICE_REPORT_H

struct change_report {
	unsigned applied_count, refused_count;
	char **applied, **refused;
};

void report_applied(struct change_report *report, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void report_refused(struct change_report *report, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void report_finish(struct change_report *report);

#endif
