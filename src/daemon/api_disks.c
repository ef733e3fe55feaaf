/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes of virtual disks: bodies are checked here, the rest is daemon_changes.c's. */
#include <errno.h>
#include <string.h>

#include "daemon/api.h"
#include "daemon/daemon.h"

/* ---- bodies ---- */

/* Is no value nested deeper than API_DEPTH_MAX? The parser recurses, and this bounds it. */
static bool shallow(const char *text, size_t length)
{
	unsigned depth = 0;
	bool quoted = false;

	for (size_t i = 0; i < length; i++) {
		if (quoted && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			quoted = !quoted;
		else if (!quoted && (text[i] == '{' || text[i] == '['))
			depth++;
		else if (!quoted && (text[i] == '}' || text[i] == ']') && depth > 0)
			depth--;
		if (depth > API_DEPTH_MAX)
			return false;
	}
	return true;
}

/* One key that a body may have. */
struct field {
	const char *name;
	json_type type;
	bool required;
};

static const char *type_name(json_type type)
{
	return type == JSON_STRING ? "a string" : "a whole number";
}

static bool check_fields(json_t *body, const struct field *fields, unsigned count, struct api_response *response)
{
	const char *key;
	json_t *value;

	json_object_foreach(body, key, value) {
		unsigned i = 0;

		while (i < count && strcmp(fields[i].name, key) != 0)
			i++;
		if (i == count) {
			api_respond_error(response, 400, "unknown field '%.100s'; possible: %s%s%s%s%s", key, fields[0].name,
					  count > 1 ? ", " : "", count > 1 ? fields[1].name : "", count > 2 ? ", " : "",
					  count > 2 ? fields[2].name : "");
			return false;
		}
		if (json_typeof(value) != fields[i].type) {
			api_respond_error(response, 400, "%s must be %s", fields[i].name, type_name(fields[i].type));
			return false;
		}
	}
	for (unsigned i = 0; i < count; i++) {
		if (fields[i].required && !json_object_get(body, fields[i].name)) {
			api_respond_error(response, 400, "%s is missing: %s", fields[i].name, type_name(fields[i].type));
			return false;
		}
	}
	return true;
}

/* The body as an object with these fields; NULL after answering 400. */
static json_t *parse_body(const struct api_request *request, const struct field *fields, unsigned count,
			  struct api_response *response)
{
	json_error_t error;
	json_t *body;

	if (!shallow(request->body, request->body_length)) {
		api_respond_error(response, 400, "the body is nested deeper than %u levels", API_DEPTH_MAX);
		return NULL;
	}
	body = json_loadb(request->body, request->body_length, JSON_REJECT_DUPLICATES, &error);
	if (!body) {
		api_respond_error(response, 400, "the body is not JSON: line %d, column %d: %s", error.line, error.column,
				  error.text);
		return NULL;
	}
	if (!json_is_object(body)) {
		api_respond_error(response, 400, "the body must be a JSON object");
	} else if (check_fields(body, fields, count, response)) {
		return body;
	}
	json_decref(body);
	return NULL;
}

/* size_bytes of a body; 0 after answering 400. */
static uint64_t body_size(const json_t *body, struct api_response *response)
{
	json_int_t size = json_integer_value(json_object_get(body, "size_bytes"));

	if (size <= 0)
		api_respond_error(response, 400, "size_bytes must be more than 0");
	return size > 0 ? (uint64_t)size : 0;
}

/* ---- answers ---- */

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
		return 503;
	default:
		return 500;
	}
}

static void respond_failed(struct api_response *response, const struct daemon_error *error)
{
	api_respond_error(response, http_status(error->code), "%s", error->text);
}

static void respond_disk(struct api_response *response, unsigned status, struct daemon *daemon, const char *name)
{
	struct daemon_disk *disk = daemon_disk_find(daemon, name);

	if (disk)
		api_respond_json(response, status, api_disk_json(disk));
	else
		api_respond_error(response, 500, "the disk %s is gone again", name);
}

void api_disks_create(struct daemon *daemon, const struct api_request *request, struct api_response *response)
{
	static const struct field fields[] = {
		{ "name", JSON_STRING, true }, { "pool", JSON_STRING, true }, { "size_bytes", JSON_INTEGER, true },
	};
	json_t *body = parse_body(request, fields, 3, response);
	struct daemon_error error;
	uint64_t size_bytes;
	const char *name;

	if (!body)
		return;
	size_bytes = body_size(body, response);
	name = json_string_value(json_object_get(body, "name"));
	if (size_bytes > 0) {
		if (daemon_disk_create(daemon, name, json_string_value(json_object_get(body, "pool")), size_bytes, &error))
			respond_failed(response, &error);
		else
			respond_disk(response, 201, daemon, name);
	}
	json_decref(body);
}

static void rename_disk(struct daemon_disk *disk, const char *name, struct api_response *response)
{
	struct daemon *daemon = disk->daemon;
	struct daemon_error error;
	int result = daemon_disk_rename(disk, name, &error);

	if (result > 0)
		api_respond_json(response, 202, json_pack("{s:s}", "status", "the disk is being renamed"));
	else if (result < 0)
		respond_failed(response, &error);
	else
		respond_disk(response, 200, daemon, name);
}

static void grow_disk(struct daemon_disk *disk, uint64_t size_bytes, struct api_response *response)
{
	struct daemon_error error;

	if (daemon_disk_grow(disk, size_bytes, &error))
		respond_failed(response, &error);
	else
		api_respond_json(response, 200, api_disk_json(disk));
}

void api_disks_change(struct daemon *daemon, const char *name, const struct api_request *request,
		      struct api_response *response)
{
	static const struct field fields[] = { { "size_bytes", JSON_INTEGER, false }, { "name", JSON_STRING, false } };
	struct daemon_disk *disk = daemon_disk_find(daemon, name);
	const char *new_name;
	uint64_t size_bytes;
	json_t *body;

	if (!disk) {
		api_respond_error(response, 404, "there is no disk '%s'", name);
		return;
	}
	body = parse_body(request, fields, 2, response);
	if (!body)
		return;
	new_name = json_string_value(json_object_get(body, "name"));
	if (json_object_size(body) != 1)
		api_respond_error(response, 400, "give either size_bytes, to grow the disk, or name, to rename it");
	else if (new_name)
		rename_disk(disk, new_name, response);
	else if ((size_bytes = body_size(body, response)) > 0)
		grow_disk(disk, size_bytes, response);
	json_decref(body);
}

void api_disks_delete(struct daemon *daemon, const char *name, struct api_response *response)
{
	struct daemon_disk *disk = daemon_disk_find(daemon, name);
	struct daemon_error error;
	int result;

	if (!disk) {
		api_respond_error(response, 404, "there is no disk '%s'", name);
		return;
	}
	result = daemon_disk_delete(disk, &error);
	if (result > 0)
		api_respond_json(response, 202, json_pack("{s:s}", "status", "the disk is being deleted"));
	else if (result < 0)
		respond_failed(response, &error);
	else
		api_respond_json(response, 200, json_pack("{s:s}", "deleted", name));
}
