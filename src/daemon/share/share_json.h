/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shares as JSON and as metrics: what a share is set to, and what it got. */
#ifndef VIADUCT_DAEMON_SHARE_SHARE_JSON_H
#define VIADUCT_DAEMON_SHARE_SHARE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "daemon/share/settings.h"

struct config_key;
struct daemon;
struct gate_counters;

/* JSON tells the unit, which a key of the configuration leaves to its description. */
const char *share_field_name(const struct config_key *key, enum share_key index);
/*
 * Sets "share" with the settings of the object's share of each resource, and "share_error" when one of them
 * is not as it was asked for.
 */
void share_set_json(json_t *object, const struct daemon *daemon, enum share_kind kind, const char *name);
/* What a device got of the physical device's time and of the workers'. NULL: out of memory. */
json_t *share_time_json(const struct gate_counters *gate, uint64_t cpu_ns);

/* A setting as a metric: its full name, and the unit of the value in that of the metric. */
struct share_metric {
	char name[64];
	double unit;
};
/*
 * Prints the head of a setting's metric for shares of this kind and resource, whichever object's they are.
 * False: they have no such setting.
 */
bool share_metric_head(FILE *out, struct share_id id, enum share_key setting,
		       struct share_metric *ret_metric);

/* Settings of the declared groups or guests, in Prometheus' text format. */
void share_print_metrics(FILE *out, const struct daemon *daemon, enum share_kind kind);

#endif
