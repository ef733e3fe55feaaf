/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/web/web_request.h"

#include <string.h>
#include <strings.h>

#define TOKEN_PREFIX "token."
#define BEARER	     "Bearer "
#define SCHEME	     "http://"
#define DIGITS	     "0123456789"
#define PORT_DIGITS  5u
#define CONSOLE	     "/console"
#define TOKEN_CHARS  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

/* ---- where it comes from ---- */

/* How long the name is, without the port. 0: it is no name and port. */
static size_t name_length(const char *host)
{
	size_t length = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":"), digits;

	/* A bracket that is not closed. */
	if (length > strlen(host))
		return 0;
	if (host[length] == '\0')
		return length;
	digits = strspn(host + length + 1, DIGITS);
	return host[length] == ':' && digits > 0 && digits <= PORT_DIGITS && !host[length + 1 + digits]
		       ? length
		       : 0;
}

bool web_host_is_ours(const char *host, const char *own)
{
	const char *const names[] = { "localhost", "127.0.0.1", "[::1]", own };
	size_t length = name_length(host);

	for (unsigned i = 0; length > 0 && i < sizeof(names) / sizeof(names[0]); i++) {
		if (strlen(names[i]) == length && strncasecmp(names[i], host, length) == 0)
			return true;
	}
	return false;
}

bool web_origin_is_ours(const char *origin, const char *host)
{
	return strncasecmp(origin, SCHEME, sizeof(SCHEME) - 1) == 0 &&
	       strcasecmp(origin + sizeof(SCHEME) - 1, host) == 0;
}

/* ---- the token ---- */

bool web_token_take(const char *text, size_t length, char ret_token[WEB_TOKEN_SIZE])
{
	if (length != WEB_TOKEN_SIZE - 1 || strspn(text, TOKEN_CHARS) < length)
		return false;
	memcpy(ret_token, text, length);
	ret_token[length] = '\0';
	return true;
}

bool web_token_of_protocols(const char *protocols, char ret_token[WEB_TOKEN_SIZE])
{
	const char *at = protocols;

	while (*at) {
		size_t length;

		at += strspn(at, ", \t");
		length = strcspn(at, ", \t");
		if (strncmp(at, TOKEN_PREFIX, sizeof(TOKEN_PREFIX) - 1) == 0)
			return web_token_take(at + sizeof(TOKEN_PREFIX) - 1,
					      length - (sizeof(TOKEN_PREFIX) - 1), ret_token);
		at += length;
	}
	return false;
}

bool web_token_of_authorization(const char *authorization, char ret_token[WEB_TOKEN_SIZE])
{
	const char *token = authorization + sizeof(BEARER) - 1;

	return strncmp(authorization, BEARER, sizeof(BEARER) - 1) == 0 &&
	       web_token_take(token, strlen(token), ret_token);
}

/* ---- the console ---- */

bool web_console_of_path(const char *path, char *ret_guest, size_t room)
{
	const char *rest = path + sizeof(CONSOLE) - 1;
	size_t length;

	if (strncmp(path, CONSOLE, sizeof(CONSOLE) - 1) != 0 || (rest[0] != '\0' && rest[0] != '/'))
		return false;
	/* What follows the slash is a name. */
	length = rest[0] ? strlen(rest + 1) : 0;
	if ((rest[0] && length == 0) || length >= room)
		return false;
	memcpy(ret_guest, rest + (rest[0] ? 1 : 0), length);
	ret_guest[length] = '\0';
	return true;
}
