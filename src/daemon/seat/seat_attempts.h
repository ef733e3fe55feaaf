/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses whose viewers went without having proven the password: after SEAT_ATTEMPTS_FREE of them in a row
 * an address has to wait before the next, a second first and twice as long each time, up to a minute. Others
 * are not held up: each address stands for itself, and of IPv6 each network of 64 bits, which one machine can
 * have to itself. When more addresses have failed than are kept, that which failed longest ago is forgotten.
 *
 * A zeroed struct knows of none. Times are of one clock, in ns. Pure.
 */
#ifndef VIADUCT_DAEMON_SEAT_SEAT_ATTEMPTS_H
#define VIADUCT_DAEMON_SEAT_SEAT_ATTEMPTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define SEAT_ATTEMPTS_FREE	   5u
#define SEAT_ATTEMPTS_WAIT_MAX_NS  60000000000ull
#define SEAT_ATTEMPTS_FORGOTTEN_NS 900000000000ull /* without another */
#define SEAT_ATTEMPTS_KEPT	   256u

/* An address of IPv4 as IPv6 maps it, or a network of IPv6. */
struct seat_origin {
	uint8_t bytes[16];
};

struct seat_attempts {
	struct {
		struct seat_origin origin;
		unsigned failed;
		uint64_t last_ns;
	} kept[SEAT_ATTEMPTS_KEPT];
	unsigned count;
};

/* False: it is an address of another kind. */
bool seat_origin_of(const struct sockaddr *address, struct seat_origin *ret_origin);
bool seat_origin_is(const struct seat_origin *origin, const struct seat_origin *other);
/* Ends with NUL; "192.0.2.7", "2001:db8:0:1::/64". */
#define SEAT_ORIGIN_TEXT 64u
void seat_origin_print(const struct seat_origin *origin, char text[SEAT_ORIGIN_TEXT]);

bool seat_attempts_must_wait(const struct seat_attempts *attempts, const struct seat_origin *origin,
			     uint64_t now_ns);
void seat_attempts_failed(struct seat_attempts *attempts, const struct seat_origin *origin, uint64_t now_ns);
/* It has proven the password. */
void seat_attempts_forget(struct seat_attempts *attempts, const struct seat_origin *origin);

#endif
