/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A driver of ours on a network card that pings the gateway of the uplink `user`, and measures the way there
 * and back. */
#ifndef VIADUCT_CLI_DEMO_DEMO_PING_H
#define VIADUCT_CLI_DEMO_DEMO_PING_H

#include <stdint.h>

#include "cli/demo/demo_nic.h"
#include "core/stats.h"

struct demo_ping;

struct demo_ping_options {
	const char *socket;
	uint8_t mac[DEMO_MAC_BYTES];
	uint32_t address, gateway_address; /* as numbers */
};

/* Connects, and asks for the gateway's Ethernet address. Returns 0, or -errno and *ret_error (static). */
int demo_ping_open(const struct demo_ping_options *options, struct demo_ping **ret_ping,
		   const char **ret_error);
/* NULL is allowed. */
void demo_ping_close(struct demo_ping *ping);

/* One ping. Returns 0 or -errno; -ETIMEDOUT: it was lost. */
int demo_ping_send(struct demo_ping *ping);

struct demo_ping_counters {
	uint64_t sent, answered;
	struct histogram took;
};
const struct demo_ping_counters *demo_ping_counters(const struct demo_ping *ping);

#endif
