/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prometheus' text format 0.0.4: what the rooms that print metrics have in common. */
#ifndef VIADUCT_DAEMON_BASE_METRICS_H
#define VIADUCT_DAEMON_BASE_METRICS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct histogram;

/* Before the samples of a metric; type: "counter", "gauge" or "histogram". */
void metrics_head(FILE *out, const char *name, const char *type, const char *help);
/* One sample. `ns`: the value is nanoseconds, told in seconds. `labels`: without braces. */
void metrics_sample(FILE *out, const char *name, const char *labels, uint64_t value, bool ns);
/* The samples of one histogram of nanoseconds, told in seconds. `labels`: without braces, not empty. */
void metrics_histogram(FILE *out, const char *name, const char *labels, const struct histogram *histogram);

#endif
