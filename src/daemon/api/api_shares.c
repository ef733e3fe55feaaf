/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shares of the physical devices' time: as JSON, and changed by PATCH. */
#include <string.h>

#include "daemon/api/api.h"
#include "daemon/api/api_body.h"
#include "daemon/config/config_values.h"
#include "daemon/base/daemon.h"
#include "daemon/share/share_json.h"
#include "daemon/share/shares.h"

/* ---- what it is ---- */

json_t *api_group_json(struct daemon *daemon, const char *name)
{
	json_t *object;

	if (!config_find(config_groups(daemon->config), name))
		return NULL;
	object = json_pack("{s:s}", "name", name);
	share_set_json(object, daemon, SHARE_OF_GROUP, name);
	return object;
}

json_t *api_groups_json(struct daemon *daemon)
{
	json_t *list = json_array();

	config_for_each(config_groups(daemon->config), config_group, group)
		json_array_append_new(list, api_group_json(daemon, group->object.name));
	return list;
}

/* ---- changing it ---- */

unsigned api_share_fields(enum share_kind kind, struct api_field *ret_fields)
{
	const struct config_section *section = share_section(kind);
	unsigned count = 0;

	for (unsigned resource = 0; resource < SHARE_RESOURCES; resource++) {
		for (unsigned i = 0; i < SHARE_KEYS; i++) {
			const struct config_key *key = config_share_key(section, resource, i);

			if (key)
				ret_fields[count++] = (struct api_field){
					.name = share_field_name(key, i),
					.type = JSON_INTEGER,
					.nullable = true,
				};
		}
	}
	return count;
}

/*
 * One setting, if the body names it. The bounds of the configuration hold here too. False after answering
 * 400.
 */
static bool read_setting(const struct config_key *key, enum share_key setting, const json_t *body,
			 struct share_change *change, struct api_response *response)
{
	const char *name = share_field_name(key, setting);
	const json_t *value = json_object_get(body, name);
	json_int_t given = json_integer_value(value);

	if (!value)
		return true;
	change->changed[setting] = true;
	change->given[setting] = !json_is_null(value);
	change->share.value[setting] = (uint64_t)given;
	if (!change->given[setting] ||
	    (given >= (json_int_t)key->minimum && given <= (json_int_t)key->maximum))
		return true;
	api_respond_error(response, 400, "%s = %lld is out of range: give a number from %llu to %llu", name,
			  (long long)given, (unsigned long long)key->minimum,
			  (unsigned long long)key->maximum);
	return false;
}

/* What the body changes of the share of one resource. False after answering 400. */
static bool read_change(const struct config_section *section, enum share_resource resource,
			const json_t *body, struct share_change *ret_change, struct api_response *response)
{
	bool good = true;

	for (unsigned i = 0; i < SHARE_KEYS && good; i++) {
		const struct config_key *key = config_share_key(section, resource, i);

		good = !key || read_setting(key, i, body, ret_change, response);
	}
	return good;
}

bool api_share_change(struct daemon *daemon, enum share_kind kind, const char *name, const json_t *body,
		      struct api_response *response)
{
	struct share_change changes[SHARE_RESOURCES] = { { .changed = { false } } };
	struct error error;

	for (unsigned resource = 0; resource < SHARE_RESOURCES; resource++) {
		if (!read_change(share_section(kind), resource, body, &changes[resource], response))
			return false;
	}
	if (shares_set(daemon, kind, name, changes, &error) == 0)
		return true;
	api_respond_failed(response, &error);
	return false;
}

static void patch(struct daemon *daemon, enum share_kind kind, const char *name,
		  const struct api_request *request, struct api_response *response)
{
	json_t *now = kind == SHARE_OF_GROUP ? api_group_json(daemon, name) : api_guest_json(daemon, name),
	       *body;
	struct api_field fields[API_SHARE_FIELDS_MAX];

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
