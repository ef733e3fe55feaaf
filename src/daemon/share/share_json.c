/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/share/share_json.h"

#include <stdlib.h>
#include <string.h>

#include "arbiter/share/gate.h"
#include "core/error.h"
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

/* Adds the settings of one share. Returns why it is not as it was asked for, or NULL. */
static const char *add_settings(json_t *settings, const struct daemon *daemon, struct share_id id)
{
	const struct config_section *section = share_section(id.kind);
	const char *refused;
	const struct share_settings share = share_effective(daemon, id, &refused);

	for (unsigned i = 0; i < SHARE_KEYS; i++) {
		const struct config_key *key = config_share_key(section, id.resource, i);

		if (key)
			json_object_set_new(settings, share_field_name(key, i), number(share.value[i]));
	}
	return refused;
}

void share_set_json(json_t *object, const struct daemon *daemon, enum share_kind kind, const char *name)
{
	json_t *settings = json_object();
	char refused[SHARE_RESOURCES * (ERROR_TEXT_MAX + 2)] = "";

	for (unsigned resource = 0; resource < SHARE_RESOURCES; resource++) {
		struct share_id id = { kind, resource, name };
		const char *why = config_has_share(share_section(kind), resource)
					  ? add_settings(settings, daemon, id)
					  : NULL;
		size_t used = strlen(refused);

		if (why)
			snprintf(refused + used, sizeof(refused) - used, "%s%s", used ? "; " : "", why);
	}
	json_object_set_new(object, "share", settings);
	if (refused[0])
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

/* What a setting's metric is called after its key, the unit of the value, and the help for each resource. */
static const struct {
	const char *suffix;
	double unit;
	const char *help[SHARE_RESOURCES];
} metrics[SHARE_KEYS] = {
	[SHARE_WEIGHT] = { "", 1,
		{ "Weight of its share of the physical disk's time.",
		  "Weight of its share of the uplink's time and of the workers'." } },
	[SHARE_MIN_IOPS] = { "", 1, { "Requests a second reserved." } },
	[SHARE_MAX_IOPS] = { "", 1,
		{ "Requests a second allowed; 0: no limit.", "Frames a second allowed; 0: no limit." } },
	[SHARE_MIN_BANDWIDTH] = { "_bytes", 1,
		{ "Bytes a second reserved.", "Bytes a second to the uplink reserved." } },
	[SHARE_MAX_BANDWIDTH] = { "_bytes", 1,
		{ "Bytes a second allowed; 0: no limit.", "Bytes a second allowed; 0: no limit." } },
	[SHARE_BURST] = { "_seconds", 1e-3,
		{ "So much of the limits may be saved up.", "So much of the limits may be saved up." } },
	[SHARE_LATENCY_TARGET] = { "_seconds", 1e-6,
		{ "Wished time inside the physical disk; 0: none." } },
};

bool share_metric_head(FILE *out, struct share_id id, enum share_key setting,
		       struct share_metric *ret_metric)
{
	const struct config_key *key = config_share_key(share_section(id.kind), id.resource, setting);

	if (!key)
		return false;
	snprintf(ret_metric->name, sizeof(ret_metric->name), "viaduct_%s_%s%s", share_kind_text(id.kind),
		 key->name, metrics[setting].suffix);
	ret_metric->unit = metrics[setting].unit;
	metrics_head(out, ret_metric->name, "gauge", metrics[setting].help[id.resource]);
	return true;
}

/* `shares`: room for those of all objects of the list. */
static void print_shares(FILE *out, const struct daemon *daemon, struct share_id id,
			 const struct config_object *list, struct share_settings *shares)
{
	struct share_metric metric;
	size_t count = 0;

	for (const struct config_object *object = list; object; object = object->next) {
		id.name = object->name;
		shares[count++] = share_effective(daemon, id, NULL);
	}
	for (unsigned i = 0; i < SHARE_KEYS; i++) {
		if (!share_metric_head(out, id, i, &metric))
			continue;
		count = 0;
		for (const struct config_object *object = list; object; object = object->next)
			fprintf(out, "%s{%s=\"%s\"} %.12g\n", metric.name, share_kind_text(id.kind),
				object->name, (double)shares[count++].value[i] * metric.unit);
	}
}

void share_print_metrics(FILE *out, const struct daemon *daemon, enum share_kind kind)
{
	const struct config_object *list = config_list(daemon->config, share_section(kind));
	struct share_settings *shares;
	size_t count = 0;

	for (const struct config_object *object = list; object; object = object->next)
		count++;
	shares = calloc(count + 1, sizeof(*shares));
	if (!shares)
		return;
	for (unsigned resource = 0; resource < SHARE_RESOURCES; resource++)
		print_shares(out, daemon, (struct share_id){ kind, resource, NULL }, list, shares);
	free(shares);
}
