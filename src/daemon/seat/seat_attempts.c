/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/seat/seat_attempts.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"

#define NETWORK_BYTES 8u
#define IPV4_AT	      12u

/* ---- where from ---- */

bool seat_origin_of(const struct sockaddr *address, struct seat_origin *ret_origin)
{
	static const uint8_t mapped[IPV4_AT] = { [10] = 0xff, [11] = 0xff };
	const struct sockaddr_in *four = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
	struct seat_origin origin = { 0 };

	if (address->sa_family == AF_INET) {
		memcpy(origin.bytes, mapped, sizeof(mapped));
		memcpy(origin.bytes + IPV4_AT, &four->sin_addr, sizeof(four->sin_addr));
	} else if (address->sa_family == AF_INET6) {
		memcpy(origin.bytes, &six->sin6_addr,
		       IN6_IS_ADDR_V4MAPPED(&six->sin6_addr) ? sizeof(origin.bytes) : NETWORK_BYTES);
	} else {
		return false;
	}
	*ret_origin = origin;
	return true;
}

bool seat_origin_is(const struct seat_origin *origin, const struct seat_origin *other)
{
	return memcmp(origin, other, sizeof(*origin)) == 0;
}

void seat_origin_print(const struct seat_origin *origin, char text[SEAT_ORIGIN_TEXT])
{
	char address[INET6_ADDRSTRLEN];
	bool four = IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)origin);

	inet_ntop(four ? AF_INET : AF_INET6, origin->bytes + (four ? IPV4_AT : 0), address, sizeof(address));
	snprintf(text, SEAT_ORIGIN_TEXT, "%s%s", address, four ? "" : "/64");
}

/* ---- what failed ---- */

static unsigned find(const struct seat_attempts *attempts, const struct seat_origin *origin)
{
	unsigned at = 0;

	while (at < attempts->count && !seat_origin_is(&attempts->kept[at].origin, origin))
		at++;
	return at;
}

static unsigned oldest(const struct seat_attempts *attempts)
{
	unsigned found = 0;

	for (unsigned i = 1; i < attempts->count; i++) {
		if (attempts->kept[i].last_ns < attempts->kept[found].last_ns)
			found = i;
	}
	return found;
}

/* After so many failures. */
static uint64_t wait_ns(unsigned failed)
{
	uint64_t wait = NS_PER_S;

	if (failed < SEAT_ATTEMPTS_FREE)
		return 0;
	for (unsigned i = SEAT_ATTEMPTS_FREE; i < failed && wait < SEAT_ATTEMPTS_WAIT_MAX_NS; i++)
		wait *= 2;
	return wait < SEAT_ATTEMPTS_WAIT_MAX_NS ? wait : SEAT_ATTEMPTS_WAIT_MAX_NS;
}

bool seat_attempts_must_wait(const struct seat_attempts *attempts, const struct seat_origin *origin,
			     uint64_t now_ns)
{
	unsigned at = find(attempts, origin);

	return at < attempts->count &&
	       now_ns - attempts->kept[at].last_ns < wait_ns(attempts->kept[at].failed);
}

void seat_attempts_failed(struct seat_attempts *attempts, const struct seat_origin *origin, uint64_t now_ns)
{
	unsigned at = find(attempts, origin);

	if (at == SEAT_ATTEMPTS_KEPT)
		at = oldest(attempts);
	else if (at == attempts->count)
		attempts->count++;
	if (!seat_origin_is(&attempts->kept[at].origin, origin) ||
	    now_ns - attempts->kept[at].last_ns > SEAT_ATTEMPTS_FORGOTTEN_NS)
		attempts->kept[at].failed = 0;
	attempts->kept[at].origin = *origin;
	attempts->kept[at].failed++;
	attempts->kept[at].last_ns = now_ns;
}

void seat_attempts_forget(struct seat_attempts *attempts, const struct seat_origin *origin)
{
	unsigned at = find(attempts, origin);

	if (at < attempts->count)
		attempts->kept[at] = attempts->kept[--attempts->count];
}
