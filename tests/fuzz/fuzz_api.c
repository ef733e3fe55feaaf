/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests to the control API: lines "METHOD PATH BODY", each ended by a newline, against a daemon with one
 * pool in memory, no worker, and the shares of a guest in a group. Every answer must be JSON or metrics with
 * a sensible status, and every refusal a sentence.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "core/log.h"
#include "daemon/api/api.h"
#include "daemon/disk/disk_device.h"
#include "daemon/disk/disk_gate.h"
#include "daemon/share/settings.h"
#include "input_trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define POOL_BYTES (32ull << 20)
/* Requests of one input. */
#define REQUESTS_MAX 16

static void check_answer(const struct api_response *response)
{
	json_t *answer;

	if (!response->body || response->status < 200 || response->status > 599)
		abort();
	fuzz_trace_number((uint64_t)response->status);
	if (strncmp(response->content_type, "text/plain", 10) == 0)
		return;
	answer = json_loadb(response->body, response->body_length, 0, NULL);
	if (!answer || (response->status >= 400 && !json_is_string(json_object_get(answer, "error"))))
		abort();
	json_decref(answer);
}

static void request_line(struct daemon *daemon, char *line, size_t length)
{
	char *path = memchr(line, ' ', length), *body;
	struct api_request request = { .method = line };
	struct api_response response;

	if (!path)
		return;
	*path++ = '\0';
	body = memchr(path, ' ', length - (size_t)(path - line));
	if (body)
		*body++ = '\0';
	request.path = path;
	request.body = body ? body : "";
	request.body_length = body ? length - (size_t)(body - line) : 0;
	/* Reads the configuration's file: of another fuzzer. */
	if (strcmp(path, "/v1/reload") == 0)
		return;
	api_dispatch(daemon, &request, &response);
	check_answer(&response);
	free(response.body);
}

/* The pool in memory, so that no input sees what another left behind. */
static bool open_pool(struct daemon *daemon, struct daemon_pool *pool)
{
	struct disk_memory_options options = { .size_bytes = POOL_BYTES, .can_punch = true };
	const struct config_capacity capacity = { .iops = 10000, .bandwidth = 100 << 20 };
	struct error error;

	snprintf(pool->name, sizeof(pool->name), "main");
	pool->path = strdup("/memory");
	if (disk_memory_open(&options, &pool->host) < 0)
		return false;
	pool->gate = disk_gate_open(daemon, pool->path, 0, pool->host, &capacity);
	if (!pool->gate)
		return false;
	daemon->pools = pool;
	return pool_format(pool->host, false, &error) == 0 && pool_open(pool->host, &pool->pool, &error) == 0;
}

static void parse_config(struct daemon *daemon)
{
	static const char text[] = "[group gold]\n[guest alice]\ngroup = gold\nmin_iops = 100\n";
	struct config_messages messages = { .count = 0 };

	daemon->config = config_create();
	if (!daemon->config)
		abort();
	config_parse(daemon->config, "fuzz.conf", text, strlen(text), &messages);
	if (messages.count > 0)
		abort();
}

static void close_devices(struct daemon *daemon)
{
	while (daemon->devices)
		device_leave(daemon->devices, DEVICE_FORGET, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A runtime directory that cannot be made: disks are made and changed, but not served. */
	struct daemon daemon = { .runtime_dir = (char *)"/dev/null/viaduct",
				 .config_path = (char *)"/dev/null" };
	struct daemon_pool *pool = calloc(1, sizeof(*pool));
	char *text = malloc(size + 1), *line = text, *end;
	struct share_node *share;
	unsigned requests = 0;

	log_set_level(LOG_LEVEL_ERROR);
	parse_config(&daemon);
	if (!pool || !text || !open_pool(&daemon, pool))
		abort();
	share = share_open(&daemon, &pool->gate->base, "alice/served");
	if (!share)
		abort();
	memcpy(text, data, size);
	text[size] = '\n';
	while (line < text + size && requests++ < REQUESTS_MAX &&
	       (end = memchr(line, '\n', (size_t)(text + size + 1 - line)))) {
		*end = '\0';
		request_line(&daemon, line, (size_t)(end - line));
		line = end + 1;
	}
	share_close(share);
	close_devices(&daemon);
	daemon_pools_close(&daemon);
	settings_free(daemon.settings);
	config_destroy(daemon.config);
	free(text);
	return 0;
}
