/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/device/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A reload of this many changes reports the first ones. */
#define REPORT_LINES_MAX 1000

static void add_line(char ***list, unsigned *count, const char *format, va_list arguments)
{
	char **lines, *text;

	if (*count == REPORT_LINES_MAX)
		return;
	lines = reallocarray(*list, *count + 1, sizeof(*lines));
	if (!lines)
		return;
	*list = lines;
	if (vasprintf(&text, format, arguments) >= 0)
		lines[(*count)++] = text;
}

void report_applied(struct change_report *report, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	add_line(&report->applied, &report->applied_count, format, arguments);
	va_end(arguments);
}

void report_refused(struct change_report *report, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	add_line(&report->refused, &report->refused_count, format, arguments);
	va_end(arguments);
}

void report_finish(struct change_report *report)
{
	for (unsigned i = 0; i < report->applied_count; i++)
		free(report->applied[i]);
	for (unsigned i = 0; i < report->refused_count; i++)
		free(report->refused[i]);
	free(report->applied);
	free(report->refused);
	*report = (struct change_report){ .applied_count = 0 };
}
