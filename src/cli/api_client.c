/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/api_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MAX ((size_t)64 << 20)	/* the map of a very large pool stays below */
#define ERROR_MAX  4096
#define TIMEOUT_S  30L

struct api_client {
	CURL *curl;
	char socket_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char error[ERROR_MAX];
	long timeout_s;
	bool (*give_up)(void *context);	/* or NULL */
	void *give_up_context;
};

struct answer {
	char *bytes;
	size_t length;
};

static int fail(struct api_client *client, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(struct api_client *client, int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(client->error, sizeof(client->error), format, arguments);
	va_end(arguments);
	return error;
}

int api_client_create(const char *runtime_dir, struct api_client **ret_client)
{
	struct api_client *client = calloc(1, sizeof(*client));
	int length;

	if (!client)
		return -ENOMEM;
	length = snprintf(client->socket_path, sizeof(client->socket_path), "%s/api.sock", runtime_dir);
	if (length >= (int)sizeof(client->socket_path)) {
		free(client);
		return -ENAMETOOLONG;
	}
	client->timeout_s = TIMEOUT_S;
	client->curl = curl_easy_init();
	if (!client->curl) {
		free(client);
		return -ENOMEM;
	}
	*ret_client = client;
	return 0;
}

void api_client_destroy(struct api_client *client)
{
	if (!client)
		return;
	curl_easy_cleanup(client->curl);
	free(client);
}

void api_client_set_patience(struct api_client *client, long timeout_s, bool (*give_up)(void *context),
			     void *context)
{
	client->timeout_s = timeout_s;
	client->give_up = give_up;
	client->give_up_context = context;
}

const char *api_client_error(const struct api_client *client)
{
	return client->error;
}

/* ---- why no connection ---- */

/* "group viaduct" of the nearest directory or socket that can be looked at and keeps us out. */
static int explain_permission(struct api_client *client)
{
	char path[sizeof(client->socket_path)];
	const struct group *group;
	struct stat status;
	char *slash;

	snprintf(path, sizeof(path), "%s", client->socket_path);
	while (stat(path, &status) < 0) {
		slash = strrchr(path, '/');
		if (!slash || slash == path)
			return fail(client, -EACCES, "permission denied on %s", client->socket_path);
		*slash = '\0';
	}
	group = getgrgid(status.st_gid);
	if ((status.st_mode & 0060) == 0)
		return fail(client, -EACCES, "permission denied: %s is open to its owner only; use sudo",
			    path);
	/* Nobody should be in root's group: it has more than this socket. */
	if (status.st_gid == 0)
		return fail(client, -EACCES,
			    "permission denied: %s is root's; use sudo, or give viaductd a group of its own "
			    "with group = viaduct in [daemon]",
			    path);
	return fail(client, -EACCES,
		    "permission denied: %s is for group %s; add yourself with `sudo usermod -aG %s $USER` "
		    "and log in again",
		    path, group ? group->gr_name : "?", group ? group->gr_name : "GROUP");
}

/* Tries the socket without curl, which hides errno. */
static int probe_socket(struct api_client *client)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, error = 0;

	memcpy(address.sun_path, client->socket_path, sizeof(address.sun_path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		error = -errno;
	if (fd >= 0)
		close(fd);
	switch (error) {
	case 0:
		return 0;
	case -EACCES:
	case -EPERM:
		return explain_permission(client);
	case -ENOENT:
	case -ECONNREFUSED:
	case -ENOTDIR:
		return fail(client, -ECONNREFUSED,
			    "viaductd is not running (nothing answers on %s); start it with `systemctl start "
			    "viaductd`, or `viaductd --config FILE` by hand; --runtime-dir says where else "
			    "to look",
			    client->socket_path);
	default:
		return fail(client, error, "%s: %s", client->socket_path, strerror(-error));
	}
}

/* ---- one request ---- */

static size_t collect(char *bytes, size_t size, size_t count, void *context)
{
	struct answer *answer = context;
	size_t more = size * count;
	char *grown;

	if (more > ANSWER_MAX - answer->length)
		return 0;
	grown = realloc(answer->bytes, answer->length + more + 1);
	if (!grown)
		return 0;
	memcpy(grown + answer->length, bytes, more);
	answer->bytes = grown;
	answer->length += more;
	return more;
}

static int status_errno(long status)
{
	switch (status) {
	case 400:
		return -EINVAL;
	case 404:
		return -ENOENT;
	case 405:
		return -EOPNOTSUPP;
	case 409:
		return -EBUSY;
	case 413:
		return -EFBIG;
	case 507:
		return -ENOSPC;
	default:
		return -EIO;
	}
}

/* One sentence; a refused configuration has one a mistake. */
static void explain_refusal(struct api_client *client, long status, const json_t *json)
{
	const char *sentence = api_text(json, "error");
	const json_t *mistakes = json_object_get(json, "errors"), *mistake;
	size_t index, length;

	fail(client, 0, "%s", sentence);
	if (!sentence[0])
		fail(client, 0, "the daemon answered with HTTP status %ld", status);
	json_array_foreach(mistakes, index, mistake) {
		length = strlen(client->error);
		if (index > 0 && json_is_string(mistake))
			snprintf(client->error + length, sizeof(client->error) - length, "\n  %s",
				 json_string_value(mistake));
	}
}

/* Turns status and body into a result; the daemon's own sentence is the best one there is. */
static int judge(struct api_client *client, long status, const struct answer *answer, json_t **ret_answer)
{
	json_error_t json_error;
	json_t *json;
	int error;

	if (answer->length == 0)
		json = json_null();
	else
		json = json_loadb(answer->bytes, answer->length, JSON_DECODE_ANY, &json_error);
	if (status >= 400) {
		error = status_errno(status);
		explain_refusal(client, status, json);
		json_decref(json);
		return error;
	}
	if (!json)
		return fail(client, -EPROTO, "the daemon's answer is no JSON: %s", json_error.text);
	if (ret_answer)
		*ret_answer = json;
	else
		json_decref(json);
	return 0;
}

/* curl asks this at least once a second; anything but 0 ends the request. */
static int ask_to_give_up(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
			  curl_off_t up)
{
	struct api_client *client = context;

	return client->give_up && client->give_up(client->give_up_context);
}

/* `body` may be NULL. */
static void prepare(struct api_client *client, const char *method, const char *url, const void *body,
		    size_t body_length, struct curl_slist *headers, struct answer *answer)
{
	CURL *curl = client->curl;

	curl_easy_reset(curl);
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, client->socket_path);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, client->timeout_s);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, ask_to_give_up);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, client);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	if (body) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)body_length);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	}
}

static int request(struct api_client *client, const char *method, const char *path, const void *body,
		   size_t body_length, const char *type, json_t **ret_answer)
{
	struct curl_slist *headers = curl_slist_append(NULL, type);
	struct answer answer = { 0 };
	char *url = NULL;
	long status = 0;
	CURLcode code;
	int error;

	if (asprintf(&url, "http://localhost%s", path) < 0) {
		curl_slist_free_all(headers);
		return fail(client, -ENOMEM, "out of memory");
	}
	prepare(client, method, url, body, body_length, headers, &answer);
	code = curl_easy_perform(client->curl);
	curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
	if (code != CURLE_OK)
		error = fail(client, -EIO, "the daemon broke off: %s", curl_easy_strerror(code));
	else
		error = judge(client, status, &answer, ret_answer);
	curl_slist_free_all(headers);
	free(answer.bytes);
	free(url);
	return error;
}

int api_call(struct api_client *client, const char *method, const char *path, const json_t *body,
	     json_t **ret_answer)
{
	char *text = NULL;
	int error = probe_socket(client);

	if (error)
		return error;
	if (body && !(text = json_dumps(body, JSON_COMPACT)))
		return fail(client, -ENOMEM, "out of memory");
	error = request(client, method, path, text, text ? strlen(text) : 0, "Content-Type: application/json",
			ret_answer);
	free(text);
	return error;
}

/* Without a look at the socket first: that would be another connection for each key. */
int api_post_bytes(struct api_client *client, const char *path, const void *bytes, size_t count,
		   json_t **ret_answer)
{
	return request(client, "POST", path, bytes, count, "Content-Type: application/octet-stream",
		       ret_answer);
}

/* ---- one answer that comes bit by bit ---- */

struct stream {
	struct api_client *client;
	const struct api_follow_options *options;
	bool ended; /* by take() or before_wait() */
	struct answer refusal;
};

static long http_status(struct api_client *client)
{
	long status = 0;

	curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

static size_t pass_on(char *bytes, size_t size, size_t count, void *context)
{
	struct stream *stream = context;

	if (http_status(stream->client) >= 400)
		return collect(bytes, size, count, &stream->refusal);
	stream->ended =
		!stream->options->take(stream->options->context, (const uint8_t *)bytes, size * count);
	return stream->ended ? 0 : size * count;
}

#define HEADER_MAX 256

/* "Name: value" with a line's end; what is longer is none of ours. */
static size_t pass_header_on(char *bytes, size_t size, size_t count, void *context)
{
	struct stream *stream = context;
	char line[HEADER_MAX], *value;

	if (!stream->options->header || size * count >= sizeof(line))
		return size * count;
	memcpy(line, bytes, size * count);
	line[size * count] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
	value = strchr(line, ':');
	if (value) {
		*value++ = '\0';
		value += strspn(value, " ");
		stream->options->header(stream->options->context, line, value);
	}
	return size * count;
}

/* Waits for the answer, or for what before_wait() says. Returns false when that ends the call, or fails. */
static bool wait_for_more(CURLM *multi, struct stream *stream)
{
	struct api_wait wait = { .timeout_ms = 1000 };
	struct curl_waitfd fds[API_WAIT_FDS];

	if (!stream->options->before_wait(stream->options->context, &wait)) {
		stream->ended = true;
		return false;
	}
	for (unsigned i = 0; i < wait.fd_count; i++)
		fds[i] = (struct curl_waitfd){ .fd = wait.fds[i], .events = CURL_WAIT_POLLIN };
	return curl_multi_poll(multi, fds, wait.fd_count, wait.timeout_ms, NULL) == CURLM_OK;
}

static CURLcode perform(CURLM *multi, CURL *curl, struct stream *stream)
{
	CURLcode code = CURLE_FAILED_INIT;
	int running = 1, left;
	const CURLMsg *message;

	if (curl_multi_add_handle(multi, curl) != CURLM_OK)
		return code;
	while (running && curl_multi_perform(multi, &running) == CURLM_OK && running &&
	       wait_for_more(multi, stream))
		;
	while ((message = curl_multi_info_read(multi, &left)))
		code = message->data.result;
	curl_multi_remove_handle(multi, curl);
	return code;
}

int api_follow(struct api_client *client, const struct api_follow_options *options)
{
	struct stream stream = { .client = client, .options = options };
	struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
	char *url = NULL, *text = json_dumps(options->body, JSON_COMPACT);
	CURLM *multi = curl_multi_init();
	int error = probe_socket(client);
	CURLcode code;

	if (!error && (!multi || !text || asprintf(&url, "http://localhost%s", options->path) < 0))
		error = fail(client, -ENOMEM, "out of memory");
	if (!error) {
		prepare(client, "POST", url, text, text ? strlen(text) : 0, headers, NULL);
		curl_easy_setopt(client->curl, CURLOPT_TIMEOUT, 0L);
		curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, pass_on);
		curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, &stream);
		curl_easy_setopt(client->curl, CURLOPT_HEADERFUNCTION, pass_header_on);
		curl_easy_setopt(client->curl, CURLOPT_HEADERDATA, &stream);
		code = perform(multi, client->curl, &stream);
		if (code != CURLE_OK && !stream.ended)
			error = fail(client, -EIO, "the daemon broke off: %s", curl_easy_strerror(code));
		else if (http_status(client) >= 400)
			error = judge(client, http_status(client), &stream.refusal, NULL);
	}
	curl_multi_cleanup(multi);
	curl_slist_free_all(headers);
	free(stream.refusal.bytes);
	free(text);
	free(url);
	return error;
}

struct stoppable {
	bool (*take)(void *context, const uint8_t *bytes, size_t count);
	void *context;
	int stop_fd;
};

static bool take_until_stopped(void *context, const uint8_t *bytes, size_t count)
{
	const struct stoppable *stoppable = context;

	return stoppable->take(stoppable->context, bytes, count);
}

static bool not_stopped(void *context, struct api_wait *wait)
{
	const struct stoppable *stoppable = context;
	struct pollfd stop = { .fd = stoppable->stop_fd, .events = POLLIN };

	wait->fds[wait->fd_count++] = stoppable->stop_fd;
	return poll(&stop, 1, 0) <= 0;
}

int api_stream(struct api_client *client, const char *path, const json_t *body, int stop_fd,
	       bool (*take)(void *context, const uint8_t *bytes, size_t count), void *context)
{
	struct stoppable stoppable = { take, context, stop_fd };
	const struct api_follow_options options = {
		.path = path,
		.body = body,
		.take = take_until_stopped,
		.before_wait = not_stopped,
		.context = &stoppable,
	};

	return api_follow(client, &options);
}

/* ---- reading answers ---- */

const char *api_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

uint64_t api_number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (json_is_real(value)) {
		double real = json_real_value(value);

		return real >= (double)INT64_MAX ? INT64_MAX : real > 0 ? (uint64_t)real : 0;
	}
	return json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;
}

bool api_flag(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}
