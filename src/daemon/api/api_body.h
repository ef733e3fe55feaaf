/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bodies of the API's requests: small JSON objects with known fields. */
#ifndef VIADUCT_DAEMON_API_API_BODY_H
#define VIADUCT_DAEMON_API_API_BODY_H

#include <jansson.h>
#include <stdbool.h>

struct api_request;
struct api_response;

/* One key that a body may have. */
struct api_field {
	const char *name;
	json_type type;		/* JSON_STRING, JSON_INTEGER, JSON_OBJECT, or JSON_TRUE: true or false */
	bool required;
	bool nullable;		/* null will do too */
};

/* The body as an object with these fields; NULL after answering 400. */
json_t *api_body_parse(const struct api_request *request, const struct api_field *fields, unsigned count,
		       struct api_response *response);

#endif
