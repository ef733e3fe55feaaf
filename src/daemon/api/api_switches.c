/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Switches, their forwards, and changes of cards: bodies are read here, the rest is the room nic's. */
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

static void change_link(struct device *device, const json_t *link)
{
	nic_set_link(nic_device_of(device), json_is_null(link)	 ? LINK_AS_CONFIGURED
					    : json_is_true(link) ? LINK_UP
								 : LINK_DOWN);
}

/* The body has a link (NULL: none), settings of the card's share, or both. */
static bool carry_out(struct device *device, const json_t *link, const json_t *body,
		      struct api_response *response)
{
	size_t settings = json_object_size(body) - (link ? 1 : 0);

	if (settings > 0 && !api_share_change(device->daemon, SHARE_OF_NIC, device->name, body, response))
		return false;
	if (link)
		change_link(device, link);
	return true;
}

void api_nic_change(struct daemon *daemon, const char *name, const struct api_request *request,
		    struct api_response *response)
{
	struct api_field fields[1 + API_SHARE_FIELDS_MAX] = {
		{ .name = "link", .type = JSON_TRUE, .nullable = true },
	};
	unsigned count = 1 + api_share_fields(SHARE_OF_NIC, fields + 1);
	struct device *device = device_find(daemon, &nic_device_kind, name);
	json_t *body;

	if (!device) {
		api_respond_error(response, 404, "there is no nic '%s'", name);
		return;
	}
	body = api_body_parse(request, fields, count, response);
	if (!body)
		return;
	if (json_object_size(body) == 0)
		api_respond_error(response, 400, "give link, or settings of the card's share, or both");
	else if (carry_out(device, json_object_get(body, "link"), body, response))
		api_respond_json(response, 200, api_device_json(device));
	json_decref(body);
}
