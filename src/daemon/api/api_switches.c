/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Switches, their forwards, and the links of cards: bodies are read here, the rest is the room nic's. */
#include <string.h>

#include "daemon/api/api.h"
#include "daemon/api/api_body.h"
#include "daemon/nic/nic_device.h"
#include "daemon/nic/switch.h"

static struct daemon_switch *find(const struct daemon *daemon, const char *name,
				  struct api_response *response)
{
	struct daemon_switch *found = daemon_switch_find(daemon, name);

	if (!found)
		api_respond_error(response, 404, "there is no switch '%s'", name);
	return found;
}

void api_switch_get(struct daemon *daemon, const char *name, struct api_response *response)
{
	const struct daemon_switch *found = find(daemon, name, response);

	if (found)
		api_respond_json(response, 200, switch_json(found, true));
}

/* ---- forwards ---- */

static void respond_forwards(const struct daemon_switch *owner, unsigned status,
			     struct api_response *response)
{
	api_respond_json(response, status, json_pack("{s:o}", "forwards", forwards_json(owner)));
}

void api_forwards_get(struct daemon *daemon, const char *name, struct api_response *response)
{
	const struct daemon_switch *found = find(daemon, name, response);

	if (found)
		respond_forwards(found, 200, response);
}

void api_forwards_change(struct daemon *daemon, const char *name, bool add, const struct api_request *request,
			 struct api_response *response)
{
	static const struct api_field fields[] = {
		{ .name = "forward", .type = JSON_STRING, .required = true },
	};
	struct daemon_switch *owner = find(daemon, name, response);
	json_t *body = owner ? api_body_parse(request, fields, 1, response) : NULL;
	const char *text = json_string_value(json_object_get(body, "forward"));
	struct error error;

	if (!body)
		return;
	if (add ? forward_add(owner, text, &error) : forward_remove(owner, text, &error))
		api_respond_failed(response, &error);
	else
		respond_forwards(owner, add ? 201 : 200, response);
	json_decref(body);
}

/* ---- cards ---- */

void api_nic_change(struct daemon *daemon, const char *name, const struct api_request *request,
		    struct api_response *response)
{
	static const struct api_field fields[] = {
		{ .name = "link", .type = JSON_TRUE, .required = true, .nullable = true },
	};
	struct device *device = device_find(daemon, &nic_device_kind, name);
	const json_t *link;
	json_t *body;

	if (!device) {
		api_respond_error(response, 404, "there is no nic '%s'", name);
		return;
	}
	body = api_body_parse(request, fields, 1, response);
	if (!body)
		return;
	link = json_object_get(body, "link");
	nic_set_link(nic_device_of(device), json_is_null(link)	 ? LINK_AS_CONFIGURED
					    : json_is_true(link) ? LINK_UP
								 : LINK_DOWN);
	api_respond_json(response, 200, api_device_json(device));
	json_decref(body);
}
