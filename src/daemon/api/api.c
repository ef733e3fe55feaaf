/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a request to a response: the table of routes, and how errors look. */
#include "daemon/api/api.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config/config_values.h"
#include "daemon/device/device.h"
#include "daemon/device/reload.h"
#include "daemon/disk/disk_device.h"
#include "daemon/nic/switch.h"
#include "daemon/seat/seat_room.h"

/* ---- responses ---- */

static const char json_content[] = "application/json";
static const char metrics_type[] = "text/plain; version=0.0.4; charset=utf-8";

void api_respond_json(struct api_response *response, unsigned status, json_t *value)
{
	char *text = value ? json_dumps(value, JSON_INDENT(1) | JSON_PRESERVE_ORDER) : NULL;

	json_decref(value);
	response->status = text ? status : 500;
	response->content_type = json_content;
	response->body = text;
	response->body_length = text ? strlen(text) : 0;
}

void api_respond_error(struct api_response *response, unsigned status, const char *format, ...)
{
	char text[1024];
	va_list arguments;
	json_t *value;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	value = json_pack("{s:s}", "error", text);
	/* A path of odd bytes quoted in the sentence is no UTF-8. */
	if (!value)
		value = json_pack("{s:s}", "error", "the request holds bytes that are not UTF-8");
	api_respond_json(response, status, value);
}

static unsigned http_status(int code)
{
	switch (-code) {
	case EINVAL:
	case ENAMETOOLONG:
		return 400;
	case ENODEV:
	case ENOENT:
		return 404;
	case EEXIST:
	case EBUSY:
	case EFBIG:
	case EPERM:
		return 409;
	case ENOSPC:
		return 507;
	case ENXIO:
	case ETIMEDOUT:
		return 503;
	default:
		return 500;
	}
}

void api_respond_failed(struct api_response *response, const struct error *error)
{
	if (error->code == -EINPROGRESS) {
		response->later = true;
		return;
	}
	api_respond_error(response, http_status(error->code), "%s", error->text);
}

/* ---- handlers ---- */

#define ROUTE_NAMES_MAX 3

struct route_call {
	struct daemon *daemon;
	const struct api_request *request;
	char names[ROUTE_NAMES_MAX][CONFIG_NAME_SIZE];	/* what the variable parts of the path held */
	char device_name[2 * CONFIG_NAME_SIZE];		/* the last two of them: "guest/name" */
};

static void get_status(struct route_call *call, struct api_response *response)
{
	api_respond_json(response, 200, api_status_json(call->daemon));
}

static void get_pools(struct route_call *call, struct api_response *response)
{
	api_respond_json(response, 200, api_pools_json(call->daemon));
}

static void get_pool(struct route_call *call, struct api_response *response)
{
	struct daemon_pool *pool = daemon_pool_find(call->daemon, call->names[0]);

	if (pool)
		api_respond_json(response, 200, api_pool_json(pool, true));
	else
		api_respond_error(response, 404, "there is no pool '%s'", call->names[0]);
}

static void get_disks(struct route_call *call, struct api_response *response)
{
	api_respond_json(response, 200,
			 json_pack("{s:o}", "disks", api_devices_json(call->daemon, &disk_device_kind)));
}

/* The kind that a part of the path names; NULL after answering 404. */
static const struct device_kind *kind_of(const char *name, struct api_response *response)
{
	for (unsigned i = 0; device_kinds[i]; i++)
		if (strcmp(device_kinds[i]->name, name) == 0)
			return device_kinds[i];
	api_respond_error(response, 404, "there is no kind of device '%s'", name);
	return NULL;
}

static void get_devices(struct route_call *call, struct api_response *response)
{
	api_respond_json(response, 200, json_pack("{s:o}", "devices", api_devices_json(call->daemon, NULL)));
}

static void get_device(struct route_call *call, struct api_response *response)
{
	const struct device_kind *kind = kind_of(call->names[0], response);
	const struct device *device = kind ? device_find(call->daemon, kind, call->device_name) : NULL;

	if (device)
		api_respond_json(response, 200, api_device_json(device));
	else if (kind)
		api_respond_error(response, 404, "there is no %s '%s'", kind->name, call->device_name);
}

static void post_nic_capture(struct route_call *call, struct api_response *response)
{
	api_capture_nic(call->daemon, call->device_name, call->request, response);
}

static void post_uplink_capture(struct route_call *call, struct api_response *response)
{
	api_capture_uplink(call->daemon, call->names[0], call->request, response);
}

static void post_disks(struct route_call *call, struct api_response *response)
{
	api_disks_create(call->daemon, call->request, response);
}

static void get_disk(struct route_call *call, struct api_response *response)
{
	struct disk_device *disk = disk_device_find(call->daemon, call->device_name);

	if (disk)
		api_respond_json(response, 200, api_device_json(&disk->base));
	else
		api_respond_error(response, 404, "there is no disk '%s'", call->device_name);
}

static void patch_disk(struct route_call *call, struct api_response *response)
{
	api_disks_change(call->daemon, call->device_name, call->request, response);
}

static void delete_disk(struct route_call *call, struct api_response *response)
{
	api_disks_delete(call->daemon, call->device_name, response);
}

static void patch_nic(struct route_call *call, struct api_response *response)
{
	api_nic_change(call->daemon, call->device_name, call->request, response);
}

static void post_console_attach(struct route_call *call, struct api_response *response)
{
	api_console_attach(call->daemon, call->device_name, call->request, response);
}

static void patch_console(struct route_call *call, struct api_response *response)
{
	api_console_resize(call->daemon, call->device_name, call->request, response);
}

static void post_console_input(struct route_call *call, struct api_response *response)
{
	api_console_type(call->daemon, call->device_name, call->request, response);
}

static void get_switches(struct route_call *call, struct api_response *response)
{
	api_respond_json(response, 200, json_pack("{s:o}", "switches", switches_json(call->daemon)));
}

static void get_switch(struct route_call *call, struct api_response *response)
{
	api_switch_get(call->daemon, call->names[0], response);
}

static void get_forwards(struct route_call *call, struct api_response *response)
{
	api_forwards_get(call->daemon, call->names[0], response);
}

static void post_forwards(struct route_call *call, struct api_response *response)
{
	api_forwards_change(call->daemon, call->names[0], true, call->request, response);
}

static void delete_forwards(struct route_call *call, struct api_response *response)
{
	api_forwards_change(call->daemon, call->names[0], false, call->request, response);
}

static void get_seats(struct route_call *call, struct api_response *response)
{
	api_respond_json(response, 200, json_pack("{s:o}", "seats", seats_json(call->daemon)));
}

static void get_seat(struct route_call *call, struct api_response *response)
{
	api_seat_get(call->daemon, call->names[0], response);
}

static void patch_seat(struct route_call *call, struct api_response *response)
{
	api_seat_change(call->daemon, call->names[0], call->request, response);
}

static void post_seat_type(struct route_call *call, struct api_response *response)
{
	api_seat_type(call->daemon, call->names[0], call->request, response);
}

static void post_seat_paste(struct route_call *call, struct api_response *response)
{
	api_seat_paste(call->daemon, call->names[0], call->request, response);
}

static void post_seat_picture(struct route_call *call, struct api_response *response)
{
	api_seat_picture(call->daemon, call->names[0], response);
}

static void post_display_picture(struct route_call *call, struct api_response *response)
{
	api_display_picture(call->daemon, call->device_name, response);
}

static void post_display_window_picture(struct route_call *call, struct api_response *response)
{
	char name[3 * CONFIG_NAME_SIZE];

	snprintf(name, sizeof(name), "%s/%s:%s", call->names[0], call->names[1], call->names[2]);
	api_display_picture(call->daemon, name, response);
}

static void get_guests(struct route_call *call, struct api_response *response)
{
	api_respond_json(response, 200, api_guests_json(call->daemon));
}

static void get_guest(struct route_call *call, struct api_response *response)
{
	json_t *guest = api_guest_json(call->daemon, call->names[0]);

	if (guest)
		api_respond_json(response, 200, guest);
	else
		api_respond_error(response, 404, "there is no guest '%s'", call->names[0]);
}

static void patch_guest(struct route_call *call, struct api_response *response)
{
	api_guests_change(call->daemon, call->names[0], call->request, response);
}

static void get_groups(struct route_call *call, struct api_response *response)
{
	api_respond_json(response, 200, json_pack("{s:o}", "groups", api_groups_json(call->daemon)));
}

static void get_group(struct route_call *call, struct api_response *response)
{
	json_t *group = api_group_json(call->daemon, call->names[0]);

	if (group)
		api_respond_json(response, 200, group);
	else
		api_respond_error(response, 404, "there is no group '%s'", call->names[0]);
}

static void patch_group(struct route_call *call, struct api_response *response)
{
	api_groups_change(call->daemon, call->names[0], call->request, response);
}

static json_t *lines_json(char *const *lines, unsigned count)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < count; i++)
		json_array_append_new(list, json_string(lines[i]));
	return list;
}

static void post_reload(struct route_call *call, struct api_response *response)
{
	struct reload_report report;

	reload_run(call->daemon, &report);
	if (report.mistakes.count > 0)
		api_respond_json(response, 422,
				 json_pack("{s:s, s:o}", "error",
					   report.mistakes.kept ? report.mistakes.text[0]
								: "the configuration has mistakes",
					   "errors", lines_json(report.mistakes.text, report.mistakes.kept)));
	else
		api_respond_json(response, 200,
				 json_pack("{s:o, s:o}", "changes",
					   lines_json(report.changes.applied, report.changes.applied_count),
					   "refused",
					   lines_json(report.changes.refused, report.changes.refused_count)));
	reload_report_finish(&report);
}

static void get_metrics(struct route_call *call, struct api_response *response)
{
	response->status = 200;
	response->content_type = metrics_type;
	response->body = api_metrics_text(call->daemon, &response->body_length);
}

/* ---- routes ---- */

/* '*' stands for one name. */
static const struct route {
	const char *path, *method;
	void (*handle)(struct route_call *call, struct api_response *response);
} routes[] = {
	{ "/v1/status", "GET", get_status },
	{ "/v1/pools", "GET", get_pools },
	{ "/v1/pools/*", "GET", get_pool },
	{ "/v1/devices", "GET", get_devices },
	{ "/v1/devices/*/*/*", "GET", get_device },
	{ "/v1/nics/*/*/capture", "POST", post_nic_capture },
	{ "/v1/switches/*/capture", "POST", post_uplink_capture },
	{ "/v1/disks", "GET", get_disks },
	{ "/v1/disks", "POST", post_disks },
	{ "/v1/disks/*/*", "GET", get_disk },
	{ "/v1/disks/*/*", "PATCH", patch_disk },
	{ "/v1/disks/*/*", "DELETE", delete_disk },
	{ "/v1/nics/*/*", "PATCH", patch_nic },
	{ "/v1/consoles/*/*", "PATCH", patch_console },
	{ "/v1/consoles/*/*/attach", "POST", post_console_attach },
	{ "/v1/consoles/*/*/input", "POST", post_console_input },
	{ "/v1/switches", "GET", get_switches },
	{ "/v1/switches/*", "GET", get_switch },
	{ "/v1/switches/*/forwards", "GET", get_forwards },
	{ "/v1/switches/*/forwards", "POST", post_forwards },
	{ "/v1/switches/*/forwards", "DELETE", delete_forwards },
	{ "/v1/seats", "GET", get_seats },
	{ "/v1/seats/*", "GET", get_seat },
	{ "/v1/seats/*", "PATCH", patch_seat },
	{ "/v1/seats/*/type", "POST", post_seat_type },
	{ "/v1/seats/*/paste", "POST", post_seat_paste },
	{ "/v1/seats/*/picture", "POST", post_seat_picture },
	{ "/v1/displays/*/*/picture", "POST", post_display_picture },
	{ "/v1/displays/*/*:*/picture", "POST", post_display_window_picture },
	{ "/v1/guests", "GET", get_guests },
	{ "/v1/guests/*", "GET", get_guest },
	{ "/v1/guests/*", "PATCH", patch_guest },
	{ "/v1/groups", "GET", get_groups },
	{ "/v1/groups/*", "GET", get_group },
	{ "/v1/groups/*", "PATCH", patch_group },
	{ "/v1/reload", "POST", post_reload },
	{ "/metrics", "GET", get_metrics },
};
#define ROUTES (sizeof(routes) / sizeof(routes[0]))

/* Takes one name off the path; false when it is no name. No name has a colon. */
static bool take_name(const char **path, char *name)
{
	size_t length = strcspn(*path, "/:");

	if (!value_is_name(*path, length, CONFIG_NAME_SIZE - 1))
		return false;
	memcpy(name, *path, length);
	name[length] = '\0';
	*path += length;
	return true;
}

static bool match(const char *pattern, const char *path, struct route_call *call)
{
	unsigned count = 0;

	call->device_name[0] = '\0';
	while (*pattern) {
		if (*pattern == '*') {
			assert(count < ROUTE_NAMES_MAX);
			if (!take_name(&path, call->names[count]))
				return false;
			count++;
			pattern++;
		} else if (*pattern++ != *path++) {
			return false;
		}
	}
	if (count >= 2)
		snprintf(call->device_name, sizeof(call->device_name), "%s/%s", call->names[count - 2],
			 call->names[count - 1]);
	return *path == '\0';
}

/* For the Allow header of a 405: what routes[] has for this path. */
static void list_methods(const char *path, char *ret_methods, size_t size)
{
	size_t used = 0;

	for (const struct route *route = routes; route < routes + ROUTES; route++)
		if (strcmp(route->path, path) == 0)
			used += (size_t)snprintf(ret_methods + used, size - used, "%s%s", used ? ", " : "",
						 route->method);
	assert(used < size);
}

void api_dispatch(struct daemon *daemon, const struct api_request *request, struct api_response *ret_response)
{
	struct route_call call = { .daemon = daemon, .request = request };
	const struct route *other = NULL;

	*ret_response = (struct api_response){ .status = 500 };
	if (request->body_length > API_BODY_MAX) {
		api_respond_error(ret_response, 413, "the body is larger than %lu bytes", API_BODY_MAX);
		return;
	}
	if (daemon->suspended) {
		api_respond_error(ret_response, 503, "a takeover is under way; try again");
		return;
	}
	for (const struct route *route = routes; route < routes + ROUTES; route++) {
		if (!match(route->path, request->path, &call))
			continue;
		if (strcmp(route->method, request->method) == 0) {
			route->handle(&call, ret_response);
			return;
		}
		other = route;
	}
	if (other) {
		list_methods(other->path, ret_response->allow, sizeof(ret_response->allow));
		api_respond_error(ret_response, 405, "%.16s is not possible here; possible: %s",
				  request->method, ret_response->allow);
		return;
	}
	api_respond_error(ret_response, 404,
			  "there is nothing at %.200s; see /v1/status, /v1/devices, /v1/pools, /v1/disks, "
			  "/v1/switches, /v1/seats, /v1/guests, /v1/groups, /v1/reload, /metrics",
			  request->path);
}
