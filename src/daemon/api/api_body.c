/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/api/api_body.h"

#include <stdio.h>
#include <string.h>

#include "daemon/api/api.h"

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

static void refuse_unknown(const char *key, const struct api_field *fields, unsigned count,
			   struct api_response *response)
{
	char names[256];
	size_t used = 0;

	for (unsigned i = 0; i < count && used < sizeof(names); i++)
		used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "",
					 fields[i].name);
	api_respond_error(response, 400, "unknown field '%.100s'; possible: %s", key, names);
}

static const char *type_name(const struct api_field *field)
{
	if (field->type == JSON_STRING)
		return "a string";
	if (field->type == JSON_OBJECT)
		return "an object";
	if (field->type == JSON_TRUE)
		return field->nullable ? "true, false, or null for what the configuration says"
				       : "true or false";
	return field->nullable ? "a whole number, or null for what the configuration says" : "a whole number";
}

static bool has_type(const json_t *value, const struct api_field *field)
{
	if (json_is_null(value))
		return field->nullable;
	return field->type == JSON_TRUE ? json_is_boolean(value) : json_typeof(value) == field->type;
}

static bool check_fields(json_t *body, const struct api_field *fields, unsigned count,
			 struct api_response *response)
{
	const char *key;
	json_t *value;

	json_object_foreach(body, key, value) {
		unsigned i = 0;

		while (i < count && strcmp(fields[i].name, key) != 0)
			i++;
		if (i == count) {
			refuse_unknown(key, fields, count, response);
			return false;
		}
		if (!has_type(value, &fields[i])) {
			api_respond_error(response, 400, "%s must be %s", fields[i].name,
					  type_name(&fields[i]));
			return false;
		}
	}
	for (unsigned i = 0; i < count; i++) {
		if (fields[i].required && !json_object_get(body, fields[i].name)) {
			api_respond_error(response, 400, "%s is missing: %s", fields[i].name,
					  type_name(&fields[i]));
			return false;
		}
	}
	return true;
}

json_t *api_body_parse(const struct api_request *request, const struct api_field *fields, unsigned count,
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
		api_respond_error(response, 400, "the body is not JSON: line %d, column %d: %s", error.line,
				  error.column, error.text);
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
