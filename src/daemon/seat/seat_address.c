/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where viewers and browsers connect by TCP. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "daemon/seat/seat_config.h"

bool seat_address_is_loopback(const struct seat_address *address)
{
	const struct sockaddr_in *four = (const struct sockaddr_in *)&address->address;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&address->address;

	if (address->address.ss_family == AF_INET)
		return ntohl(four->sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
}

static bool parse_host(const char *host, unsigned port, struct seat_address *ret_address)
{
	struct sockaddr_in *four = (struct sockaddr_in *)&ret_address->address;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&ret_address->address;

	memset(ret_address, 0, sizeof(*ret_address));
	if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons((uint16_t)port);
		ret_address->bytes = sizeof(*four);
	} else if (inet_pton(AF_INET6, host, &six->sin6_addr) == 1) {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons((uint16_t)port);
		ret_address->bytes = sizeof(*six);
	}
	return ret_address->bytes > 0;
}

/* Splits at the last colon; an address of IPv6 stands in brackets. */
static bool split(const char *text, char host[INET6_ADDRSTRLEN], unsigned *ret_port)
{
	const char *colon = strrchr(text, ':'), *rest;
	size_t length = colon ? (size_t)(colon - text) : 0;

	if (length > 2 && text[0] == '[' && colon[-1] == ']') {
		text++;
		length -= 2;
	} else if (length > 0 && memchr(text, ':', length)) {
		return false;
	}
	if (length == 0 || length >= INET6_ADDRSTRLEN)
		return false;
	memcpy(host, text, length);
	host[length] = '\0';
	rest = seat_parse_number(colon + 1, UINT16_MAX, ret_port);
	return rest && !*rest && *ret_port > 0;
}

const char *seat_parse_address(const char *text, struct seat_address *ret_address)
{
	char host[INET6_ADDRSTRLEN];
	unsigned port;

	*ret_address = (struct seat_address){ .bytes = 0 };
	if (strcmp(text, "none") == 0)
		return NULL;
	if (!split(text, host, &port) || !parse_host(host, port, ret_address))
		return "is no address and port, for example 127.0.0.1:5900 or [::1]:5900, and not none";
	return NULL;
}
