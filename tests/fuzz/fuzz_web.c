/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Headers of a browser's request, of which is judged whether they are meant for us: host, origin,
 * subprotocols, authorization and the path, each a line of the input.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "host/web/web_request.h"
#include "host/web/web_site.h"
#include "input_trace.h"

#define LINES 5u
#define OWN   "127.0.0.1"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is taken for ours begins with one of our names, and a port at most follows. */
static void check_host(const char *host)
{
	bool ours = web_host_is_ours(host, OWN);

	fuzz_trace_number(ours);
	assert(!ours || !strpbrk(host, "/@, \t"));
	assert(!ours || strncasecmp(host, "localhost", 9) == 0 || strncmp(host, "127.0.0.1", 9) == 0 ||
	       strncmp(host, "[::1]", 5) == 0);
}

static void check_token(bool found, const char *token, const char *source)
{
	fuzz_trace_number(found);
	if (!found)
		return;
	assert(strlen(token) == WEB_TOKEN_SIZE - 1 && strstr(source, token));
	fuzz_trace(token, WEB_TOKEN_SIZE);
}

static void check_console(const char *path)
{
	char guest[32];
	bool found = web_console_of_path(path, guest, sizeof(guest));

	fuzz_trace_number(found);
	if (!found)
		return;
	assert(strlen(guest) < sizeof(guest) && strstr(path, guest));
	fuzz_trace(guest, strlen(guest));
}

static void check_lines(char *const lines[LINES])
{
	static struct web_site site;
	char token[WEB_TOKEN_SIZE];
	const struct web_file *file;

	if (site.file_count == 0)
		web_site_read(&site, "/nonexistent");
	check_host(lines[0]);
	fuzz_trace_number(web_origin_is_ours(lines[1], lines[0]));
	check_token(web_token_of_protocols(lines[2], token), token, lines[2]);
	check_token(web_token_of_authorization(lines[3], token), token, lines[3]);
	check_console(lines[4]);
	file = web_site_find(&site, lines[4]);
	fuzz_trace_number(file ? file->count : 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + LINES), *lines[LINES], *at = text;

	if (!text)
		abort();
	memcpy(text, data, size);
	memset(text + size, '\0', LINES);
	for (unsigned i = 0; i < LINES; i++) {
		char *end = memchr(at, '\n', size - (size_t)(at - text));

		lines[i] = at;
		if (end)
			*end = '\0';
		at = end ? end + 1 : text + size;
	}
	check_lines(lines);
	free(text);
	return 0;
}
