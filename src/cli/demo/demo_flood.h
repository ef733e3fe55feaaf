/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A flood: a driver of ours on a network card, on a thread of its own, that keeps its rings full of large
 * frames to the uplink. No card has their destination, so the switch sends them there; the uplink `user` does
 * not know their type and throws them away at once, which costs the least.
 */
#ifndef VIADUCT_CLI_DEMO_DEMO_FLOOD_H
#define VIADUCT_CLI_DEMO_DEMO_FLOOD_H

#include <stdint.h>

#include "cli/demo/demo_nic.h"
#include "core/stats.h"

/*
 * As of a guest with eight processors. Together the rings last for longer than a thread waits for its
 * processor, as a rule.
 */
#define DEMO_FLOOD_PAIRS 8u

struct demo_flood;

/* Connects and begins. Returns 0, or -errno and *ret_error (static). */
int demo_flood_open(const char *socket, const uint8_t mac[DEMO_MAC_BYTES], struct demo_flood **ret_flood,
		    const char **ret_error);
/* NULL is allowed. */
void demo_flood_close(struct demo_flood *flood);

/* Waits until all that is on the rings was sent. Returns 0, or -ETIMEDOUT: the switch does not take it. */
int demo_flood_stop(struct demo_flood *flood);

/* These at any time. Frames that the switch has dealt with: */
uint64_t demo_flood_sent(const struct demo_flood *flood);
/*
 * How often a ring was found empty: a thread that gets no processor for long does not flood, and cannot
 * claim its share.
 */
uint64_t demo_flood_gaps(const struct demo_flood *flood);
/* How long frames were on a ring, since the start. */
const struct histogram *demo_flood_waits(const struct demo_flood *flood);

#endif
