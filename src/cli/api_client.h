/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client of the daemon's control API (docs/openapi.yaml): HTTP with JSON over RUNTIME/api.sock. Whatever
 * goes wrong becomes one sentence that says what to do about it.
 */
#ifndef VIADUCT_CLI_API_CLIENT_H
#define VIADUCT_CLI_API_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct api_client;

/* Nothing is connected yet. Returns 0, -ENAMETOOLONG (the socket's path) or -ENOMEM. */
int api_client_create(const char *runtime_dir, struct api_client **ret_client);
/* NULL is allowed. */
void api_client_destroy(struct api_client *client);

/*
 * One request. `body` (borrowed) or NULL. Returns 0 and *ret_answer (owned by the caller; a JSON null when
 * there was no body; ret_answer may be NULL), or -errno; api_client_error() then has the sentence:
 * -ENOENT (404), -EBUSY (409), -ENOSPC (507), -EINVAL (400), -EFBIG (413), -EIO (other refusals);
 * -ECONNREFUSED (no daemon), -EACCES (not allowed), -EPROTO (the answer is no JSON).
 */
int api_call(struct api_client *client, const char *method, const char *path, const json_t *body,
	     json_t **ret_answer);

/*
 * For calls of an interactive program: they fail after timeout_s seconds, and soon (within a second) after
 * give_up() returns true.
 */
void api_client_set_patience(struct api_client *client, long timeout_s, bool (*give_up)(void *context),
			     void *context);

/*
 * One POST whose answer comes bit by bit, for as long as it takes. take() gets the pieces; it ends the call
 * by returning false, and so does `stop_fd` when it becomes readable. Returns 0, also when the answer was
 * over, or -errno as api_call() does, then -EIO also when the daemon broke off.
 */
int api_stream(struct api_client *client, const char *path, const json_t *body, int stop_fd,
	       bool (*take)(void *context, const uint8_t *bytes, size_t count), void *context);

/*
 * One POST whose body is these bytes as they are, and whose answer is as api_call()'s. Calls that follow each
 * other go through one connection.
 */
int api_post_bytes(struct api_client *client, const char *path, const void *bytes, size_t count,
		   json_t **ret_answer);

/* What is waited for beside an answer that comes bit by bit. */
#define API_WAIT_FDS 2
struct api_wait {
	int fds[API_WAIT_FDS]; /* that become readable; fd_count of them */
	unsigned fd_count;
	int timeout_ms;
};

struct api_follow_options {
	const char *path;
	const json_t *body;
	/* As api_stream()'s. */
	bool (*take)(void *context, const uint8_t *bytes, size_t count);
	/* A header of the answer, before all of its bytes; `value` has no line's end. */
	void (*header)(void *context, const char *name, const char *value);
	/* Before each wait: does what there is to do, and says what to wait for. false ends the call. */
	bool (*before_wait)(void *context, struct api_wait *wait);
	void *context;
};

/* As api_stream(), for one who has something to do meanwhile. */
int api_follow(struct api_client *client, const struct api_follow_options *options);

/* The last failure, without a final dot or newline. */
const char *api_client_error(const struct api_client *client);

/* ---- reading answers; a missing member reads as "", 0, false ---- */

const char *api_text(const json_t *object, const char *key);
uint64_t api_number(const json_t *object, const char *key);
bool api_flag(const json_t *object, const char *key);

#endif
