/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes of virtual disks: bodies are read here, the rest is disk_changes.c's. */
#include <errno.h>
#include <string.h>

#include "daemon/api/api.h"
#include "daemon/api/api_body.h"
#include "daemon/disk/disk_device.h"

/* size_bytes of a body; 0 after answering 400. */
static uint64_t body_size(const json_t *body, struct api_response *response)
{
	json_int_t size = json_integer_value(json_object_get(body, "size_bytes"));

	if (size <= 0)
		api_respond_error(response, 400, "size_bytes must be more than 0");
	return size > 0 ? (uint64_t)size : 0;
}

/* ---- answers ---- */

static void respond_disk(struct api_response *response, unsigned status, struct daemon *daemon,
			 const char *name)
{
	struct disk_device *disk = disk_device_find(daemon, name);

	if (disk)
		api_respond_json(response, status, api_device_json(&disk->base));
	else
		api_respond_error(response, 500, "the disk %s is gone again", name);
}

void api_disks_create(struct daemon *daemon, const struct api_request *request, struct api_response *response)
{
	static const struct api_field fields[] = {
		{ .name = "name", .type = JSON_STRING, .required = true },
		{ .name = "pool", .type = JSON_STRING, .required = true },
		{ .name = "size_bytes", .type = JSON_INTEGER, .required = true },
	};
	json_t *body = api_body_parse(request, fields, 3, response);
	struct error error;
	uint64_t size_bytes;
	const char *name;

	if (!body)
		return;
	size_bytes = body_size(body, response);
	name = json_string_value(json_object_get(body, "name"));
	if (size_bytes > 0) {
		if (disk_create(daemon, name, json_string_value(json_object_get(body, "pool")),
				       size_bytes, &error))
			api_respond_failed(response, &error);
		else
			respond_disk(response, 201, daemon, name);
	}
	json_decref(body);
}

static void rename_disk(struct disk_device *disk, const char *name, struct api_response *response)
{
	struct daemon *daemon = disk->base.daemon;
	struct error error;
	int result = disk_rename(disk, name, &error);

	if (result > 0)
		api_respond_json(response, 202, json_pack("{s:s}", "status", "the disk is being renamed"));
	else if (result < 0)
		api_respond_failed(response, &error);
	else
		respond_disk(response, 200, daemon, name);
}

static void grow_disk(struct disk_device *disk, uint64_t size_bytes, struct api_response *response)
{
	struct error error;

	if (disk_grow(disk, size_bytes, &error))
		api_respond_failed(response, &error);
	else
		api_respond_json(response, 200, api_device_json(&disk->base));
}

void api_disks_change(struct daemon *daemon, const char *name, const struct api_request *request,
		      struct api_response *response)
{
	struct api_field fields[2 + API_SHARE_FIELDS_MAX] = {
		{ .name = "size_bytes", .type = JSON_INTEGER }, { .name = "name", .type = JSON_STRING },
	};
	struct disk_device *disk = disk_device_find(daemon, name);
	unsigned count = 2 + api_share_fields(SHARE_OF_DISK, fields + 2);
	const char *new_name;
	uint64_t size_bytes;
	json_t *body;

	if (!disk) {
		api_respond_error(response, 404, "there is no disk '%s'", name);
		return;
	}
	body = api_body_parse(request, fields, count, response);
	if (!body)
		return;
	new_name = json_string_value(json_object_get(body, "name"));
	if (json_object_size(body) > 0 && !new_name && !json_object_get(body, "size_bytes")) {
		if (api_share_change(daemon, SHARE_OF_DISK, name, body, response))
			api_respond_json(response, 200, api_device_json(&disk->base));
	} else if (json_object_size(body) != 1) {
		api_respond_error(
			response, 400,
			"give either size_bytes, to grow the disk, or name, to rename it, or settings of "
			"its share");
	} else if (new_name) {
		rename_disk(disk, new_name, response);
	} else if ((size_bytes = body_size(body, response)) > 0) {
		grow_disk(disk, size_bytes, response);
	}
	json_decref(body);
}

void api_disks_delete(struct daemon *daemon, const char *name, struct api_response *response)
{
	struct disk_device *disk = disk_device_find(daemon, name);
	struct error error;
	int result;

	if (!disk) {
		api_respond_error(response, 404, "there is no disk '%s'", name);
		return;
	}
	result = disk_delete(disk, &error);
	if (result > 0)
		api_respond_json(response, 202, json_pack("{s:s}", "status", "the disk is being deleted"));
	else if (result < 0)
		api_respond_failed(response, &error);
	else
		api_respond_json(response, 200, json_pack("{s:s}", "deleted", name));
}
