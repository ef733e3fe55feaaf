/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/share/share_json.h"

#include <stdlib.h>

#include "arbiter/share/gate.h"
#include "daemon/base/daemon.h"
#include "daemon/base/metrics.h"
#include "daemon/share/shares.h"

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

const char *share_field_name(const struct config_key *key, enum share_key index)
{
	return index == SHARE_LATENCY_TARGET ? "latency_target_us" : key->name;
}

void share_set_json(json_t *object, const struct daemon *daemon, enum share_kind kind, const char *name)
{
	const struct config_section *section = config_section_find(share_kind_text(kind));
	const char *refused;
	const struct share_settings share = share_effective(daemon, kind, name, &refused);
	json_t *settings = json_object();

	for (unsigned i = 0; i < SHARE_KEYS; i++) {
		const struct config_key *key = config_share_key(section, i);

		if (key)
			json_object_set_new(settings, share_field_name(key, i), number(share.value[i]));
	}
	json_object_set_new(object, "share", settings);
	if (refused)
		json_object_set_new(object, "share_error", json_string(refused));
}

json_t *share_time_json(const struct gate_counters *gate, uint64_t cpu_ns)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:{s:o, s:o}}", "device_ns",
			 number(counter_read(&gate->device_ns)), "cpu_ns", number(cpu_ns), "throttled_ns",
			 number(counter_read(&gate->throttled_ns)), "contended_ns",
			 number(counter_read(&gate->contended_ns)), "waiting",
			 number(counter_read(&gate->waiting)), "wait_ns", "p50",
			 number(histogram_quantile_ns(&gate->wait, 0.5)), "p99",
			 number(histogram_quantile_ns(&gate->wait, 0.99)));
}

/* ---- metrics ---- */

const struct share_metric share_metrics[SHARE_KEYS] = {
	{ "weight", "Weight of its share of the physical disk's time.", 1 },
	{ "min_iops", "Requests a second reserved.", 1 },
	{ "max_iops", "Requests a second allowed; 0: no limit.", 1 },
	{ "min_bandwidth_bytes", "Bytes a second reserved.", 1 },
	{ "max_bandwidth_bytes", "Bytes a second allowed; 0: no limit.", 1 },
	{ "burst_seconds", "So much of the limits may be saved up.", 1e-3 },
	{ "latency_target_seconds", "Wished time inside the physical disk; 0: none.", 1e-6 },
};

void share_print_metrics(FILE *out, const struct daemon *daemon, enum share_kind kind)
{
	const struct config_object *list =
		config_list(daemon->config, config_section_find(share_kind_text(kind)));
	struct share_settings *shares;
	size_t count = 0;

	for (const struct config_object *object = list; object; object = object->next)
		count++;
	shares = calloc(count + 1, sizeof(*shares));
	if (!shares)
		return;
	count = 0;
	for (const struct config_object *object = list; object; object = object->next)
		shares[count++] = share_effective(daemon, kind, object->name, NULL);
	/* Groups and guests have no latency target. */
	for (unsigned i = 0; i < SHARE_LATENCY_TARGET; i++) {
		const struct share_metric *metric = &share_metrics[i];
		char name[64];

		snprintf(name, sizeof(name), "viaduct_%s_disk_%s", share_kind_text(kind), metric->name);
		metrics_head(out, name, "gauge", metric->help);
		count = 0;
		for (const struct config_object *object = list; object; object = object->next)
			fprintf(out, "%s{%s=\"%s\"} %.12g\n", name, share_kind_text(kind), object->name,
				(double)shares[count++].value[i] * metric->unit);
	}
	free(shares);
}
