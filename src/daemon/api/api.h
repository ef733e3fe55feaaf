/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control API: HTTP/1.1 with JSON on RUNTIME/api.sock, described in docs/openapi.yaml. api_http.c speaks
 * HTTP; api_dispatch() is the rest, a function from a request to a response, which tests and the fuzzer call.
 */
#ifndef VIADUCT_DAEMON_API_API_H
#define VIADUCT_DAEMON_API_API_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "daemon/share/settings.h"

struct daemon;
struct device;
struct device_kind;
struct error;
struct api;
struct api_field;
struct api_stream;

/* Bodies are small objects; more is refused with 413. */
#define API_BODY_MAX  (64ul * 1024)
#define API_DEPTH_MAX 16

struct api_request {
	const char *method;
	const char *path;	/* without the query, percent-decoded or not: no name needs it */
	const char *body;
	size_t body_length;
};

struct api_response {
	unsigned status;
	const char *content_type;
	char allow[32];		/* of a 405: the methods there are; else "" */
	char *body;		/* malloc'ed; NULL when out of memory: answer 500 */
	size_t body_length;
	struct api_stream *stream;	/* instead of a body: the caller answers with it, or closes it */
	bool later;		/* instead of a body: nothing was done; dispatch the request again */
};

/* Never fails; the caller frees response->body. Control thread. */
void api_dispatch(struct daemon *daemon, const struct api_request *request,
		  struct api_response *ret_response);

/* ---- the server ---- */

/*
 * Listens on RUNTIME/api.sock (mode 0660, group of the configuration), or on a descriptor that a predecessor
 * or the service manager passed. Returns 0, or -errno with *error: -EADDRINUSE: another viaductd runs there.
 */
int api_create(struct daemon *daemon, struct api **ret_api, struct error *error);

/* Ends all connections; removes the socket file if it is ours. NULL is allowed. */
void api_destroy(struct api *api);

/* ---- for the files of the API: one JSON value or text each; NULL when out of memory ---- */

json_t *api_status_json(struct daemon *daemon);
json_t *api_device_json(const struct device *device);
/* The list itself; kind NULL: all. */
json_t *api_devices_json(struct daemon *daemon, const struct device_kind *kind);
json_t *api_guests_json(struct daemon *daemon);
json_t *api_guest_json(struct daemon *daemon, const char *guest);	/* NULL also: no such guest */
json_t *api_pools_json(struct daemon *daemon);
json_t *api_groups_json(struct daemon *daemon);				/* the list itself */
json_t *api_group_json(struct daemon *daemon, const char *group);	/* NULL also: no such group */
struct daemon_pool;
json_t *api_pool_list_json(struct daemon *daemon);	/* the list itself */
json_t *api_pool_json(struct daemon_pool *pool, bool with_map);

/* Prometheus text; malloc'ed. */
char *api_metrics_text(struct daemon *daemon, size_t *ret_length);

/* A response that is {"error": "..."}; `text` is a sentence. */
void api_respond_error(struct api_response *response, unsigned status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The same for a refusal of ours: the status follows from its code. */
void api_respond_failed(struct api_response *response, const struct error *error);
/* Takes the value (NULL: answers 500). */
void api_respond_json(struct api_response *response, unsigned status, json_t *value);

/* Handlers of /v1/disks; `name` is "guest/name". */
void api_disks_create(struct daemon *daemon, const struct api_request *request,
		      struct api_response *response);
void api_disks_change(struct daemon *daemon, const char *name, const struct api_request *request,
		      struct api_response *response);
void api_disks_delete(struct daemon *daemon, const char *name, struct api_response *response);

/* Handlers of /v1/switches and of PATCH on /v1/nics. */
void api_switch_get(struct daemon *daemon, const char *name, struct api_response *response);
void api_forwards_get(struct daemon *daemon, const char *name, struct api_response *response);
/* `add`: else removes. */
void api_forwards_change(struct daemon *daemon, const char *name, bool add, const struct api_request *request,
			 struct api_response *response);
void api_nic_change(struct daemon *daemon, const char *name, const struct api_request *request,
		    struct api_response *response);

/* Handlers of POST on a card's and on a switch's /capture: the stream is pcapng. */
void api_capture_nic(struct daemon *daemon, const char *name, const struct api_request *request,
		     struct api_response *response);
void api_capture_uplink(struct daemon *daemon, const char *name, const struct api_request *request,
			struct api_response *response);

/* Handlers of /v1/seats, and of the pictures of seats and displays: streams of image/x-portable-pixmap. */
void api_seat_get(struct daemon *daemon, const char *name, struct api_response *response);
void api_seat_change(struct daemon *daemon, const char *name, const struct api_request *request,
		     struct api_response *response);
void api_seat_type(struct daemon *daemon, const char *name, const struct api_request *request,
		   struct api_response *response);
void api_seat_paste(struct daemon *daemon, const char *name, const struct api_request *request,
		    struct api_response *response);
void api_seat_picture(struct daemon *daemon, const char *name, struct api_response *response);
void api_display_picture(struct daemon *daemon, const char *name, struct api_response *response);
/*
 * Handlers of POST on a console's /attach, whose stream is what the guest says, and on its /input; and of
 * PATCH on it.
 */
void api_console_attach(struct daemon *daemon, const char *name, const struct api_request *request,
			struct api_response *response);
void api_console_resize(struct daemon *daemon, const char *name, const struct api_request *request,
			struct api_response *response);
void api_console_type(struct daemon *daemon, const char *name, const struct api_request *request,
		      struct api_response *response);

/* Handlers of PATCH on /v1/guests and /v1/groups. */
void api_guests_change(struct daemon *daemon, const char *name, const struct api_request *request,
		       struct api_response *response);
void api_groups_change(struct daemon *daemon, const char *name, const struct api_request *request,
		       struct api_response *response);
/* The settings of shares that a body may have; returns how many. */
#define API_SHARE_FIELDS_MAX (SHARE_RESOURCES * SHARE_KEYS)
unsigned api_share_fields(enum share_kind kind, struct api_field *ret_fields);
/* Changes what the body names. False after answering. */
bool api_share_change(struct daemon *daemon, enum share_kind kind, const char *name, const json_t *body,
		      struct api_response *response);

#endif
