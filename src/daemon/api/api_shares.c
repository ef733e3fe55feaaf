/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shares of the physical disks' time: as JSON, and changed by PATCH. */
#include <string.h>

#include "core/clock.h"
#include "daemon/api/api.h"
#include "daemon/api/api_body.h"
#include "daemon/config/config_values.h"
#include "daemon/daemon.h"

/* JSON tells the unit, which a key of the configuration leaves to its description. */
static const char *field_name(const struct config_key *key, unsigned index)
{
	return index == SHARE_LATENCY_TARGET ? "latency_target_us" : key->name;
}

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

/* ---- what it is ---- */

void api_set_share(json_t *object, struct daemon *daemon, enum share_kind kind, const char *name)
{
	const struct config_section *section = config_section_find(share_kind_text(kind));
	const char *refused;
	const struct config_share share = share_effective(daemon, kind, name, &refused);
	json_t *settings = json_object();

	for (unsigned i = 0; i < SHARE_KEYS; i++) {
		const struct config_key *key = config_share_key(section, i);

		if (key)
			json_object_set_new(settings, field_name(key, i), number(share.value[i]));
	}
	json_object_set_new(object, "share", settings);
	if (refused)
		json_object_set_new(object, "share_error", json_string(refused));
}

json_t *api_group_json(struct daemon *daemon, const char *name)
{
	json_t *object;

	if (!config_find(config_groups(daemon->config), name))
		return NULL;
	object = json_pack("{s:s}", "name", name);
	api_set_share(object, daemon, SHARE_OF_GROUP, name);
	return object;
}

json_t *api_groups_json(struct daemon *daemon)
{
	json_t *list = json_array();

	config_for_each(config_groups(daemon->config), config_group, group)
		json_array_append_new(list, api_group_json(daemon, group->object.name));
	return list;
}

json_t *api_time_json(const struct disk_stats *stats, uint64_t cpu_ns)
{
	const struct gate_counters *gate = &stats->gate;

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:{s:o, s:o}}", "device_ns",
			 number(counter_read(&gate->device_ns)), "cpu_ns", number(cpu_ns), "throttled_ns",
			 number(counter_read(&gate->throttled_ns)), "contended_ns",
			 number(counter_read(&gate->contended_ns)), "waiting",
			 number(counter_read(&gate->waiting)), "wait_ns", "p50",
			 number(histogram_quantile_ns(&gate->wait, 0.5)), "p99",
			 number(histogram_quantile_ns(&gate->wait, 0.99)));
}

json_t *api_capacity_json(const struct share_gate *gate)
{
	struct disk_cost cost;

	gate_cost(gate->gate, &cost);
	return json_pack("{s:o, s:o, s:o, s:f}", "iops", number(disk_cost_iops(&cost)), "bandwidth",
			 number(disk_cost_bandwidth(&cost)), "reserved_ppb",
			 number(gate_reserved_ppb(gate->gate)), "rate", gate_rate(gate->gate));
}

/* ---- changing it ---- */

unsigned api_share_fields(enum share_kind kind, struct api_field *ret_fields)
{
	const struct config_section *section = config_section_find(share_kind_text(kind));
	unsigned count = 0;

	for (unsigned i = 0; i < SHARE_KEYS; i++) {
		const struct config_key *key = config_share_key(section, i);

		if (key)
			ret_fields[count++] = (struct api_field){
				.name = field_name(key, i), .type = JSON_INTEGER, .nullable = true,
			};
	}
	return count;
}

/* The bounds of the configuration hold here too. False after answering 400. */
static bool read_change(const struct config_section *section, const json_t *body,
			struct share_change *ret_change, struct api_response *response)
{
	for (unsigned i = 0; i < SHARE_KEYS; i++) {
		const struct config_key *key = config_share_key(section, i);
		const json_t *value = key ? json_object_get(body, field_name(key, i)) : NULL;
		json_int_t given = json_integer_value(value);

		if (!value)
			continue;
		ret_change->changed[i] = true;
		ret_change->given[i] = !json_is_null(value);
		ret_change->share.value[i] = (uint64_t)given;
		if (ret_change->given[i] &&
		    (given < (json_int_t)key->minimum || given > (json_int_t)key->maximum)) {
			api_respond_error(response, 400,
					  "%s = %lld is out of range: give a number from %llu to %llu",
					  field_name(key, i), (long long)given,
					  (unsigned long long)key->minimum, (unsigned long long)key->maximum);
			return false;
		}
	}
	return true;
}

bool api_share_change(struct daemon *daemon, enum share_kind kind, const char *name, const json_t *body,
		      struct api_response *response)
{
	const struct config_section *section = config_section_find(share_kind_text(kind));
	struct share_change change = { .changed = { false } };
	struct daemon_error error;

	if (!read_change(section, body, &change, response))
		return false;
	if (share_set(daemon, kind, name, &change, &error) == 0)
		return true;
	api_respond_failed(response, &error);
	return false;
}

static void patch(struct daemon *daemon, enum share_kind kind, const char *name,
		  const struct api_request *request, struct api_response *response)
{
	json_t *now = kind == SHARE_OF_GROUP ? api_group_json(daemon, name) : api_guest_json(daemon, name),
	       *body;
	struct api_field fields[SHARE_KEYS];

	if (!now) {
		api_respond_error(response, 404, "there is no %s '%s'", share_kind_text(kind), name);
		return;
	}
	json_decref(now);
	body = api_body_parse(request, fields, api_share_fields(kind, fields), response);
	if (body && api_share_change(daemon, kind, name, body, response))
		api_respond_json(response, 200,
				 kind == SHARE_OF_GROUP ? api_group_json(daemon, name)
							: api_guest_json(daemon, name));
	json_decref(body);
}

void api_guests_change(struct daemon *daemon, const char *name, const struct api_request *request,
		       struct api_response *response)
{
	patch(daemon, SHARE_OF_GUEST, name, request, response);
}

void api_groups_change(struct daemon *daemon, const char *name, const struct api_request *request,
		       struct api_response *response)
{
	patch(daemon, SHARE_OF_GROUP, name, request, response);
}
