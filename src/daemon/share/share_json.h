/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shares as JSON and as metrics: what a share is set to, and what it got. */
#ifndef VIADUCT_DAEMON_SHARE_SHARE_JSON_H
#define VIADUCT_DAEMON_SHARE_SHARE_JSON_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include "daemon/share/settings.h"

struct config_key;
struct daemon;
struct gate_counters;

/* JSON tells the unit, which a key of the configuration leaves to its description. */
const char *share_field_name(const struct config_key *key, enum share_key index);
/* Sets "share", and "share_error" when it is not as it was asked for. */
void share_set_json(json_t *object, const struct daemon *daemon, enum share_kind kind, const char *name);
/* What a device got of the physical device's time and of the workers'. NULL: out of memory. */
json_t *share_time_json(const struct gate_counters *gate, uint64_t cpu_ns);

/* In the order of enum share_key: name of the metric, its help, and the unit of the value. */
struct share_metric {
	const char *name, *help;
	double unit;
};
extern const struct share_metric share_metrics[SHARE_KEYS];

/* Settings of the declared groups or guests, in Prometheus' text format. */
void share_print_metrics(FILE *out, const struct daemon *daemon, enum share_kind kind);

#endif
