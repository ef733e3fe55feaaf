/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A driver of ours on a virtual network card, for frames that a stock kernel sends never, or not fast enough.
 * One thread uses it at a time.
 */
#ifndef VIADUCT_CLI_DEMO_DEMO_NIC_H
#define VIADUCT_CLI_DEMO_DEMO_NIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEMO_MAC_BYTES	     6u
#define DEMO_ETHERNET_BYTES  14u   /* before what a frame carries */
#define DEMO_FRAME_BYTES_MAX 1514u /* without its check sequence */

#define DEMO_NIC_PAIRS_MAX 8u
#define DEMO_NIC_RING	   64u /* frames that can wait to be sent, in each pair */

struct demo_nic;
struct histogram;

struct demo_nic_options {
	const char *socket;
	unsigned pairs; /* of queues: 1 … DEMO_NIC_PAIRS_MAX */
	bool polled;	/* its user looks now and then, and asks for no notifications */
};

/* Returns 0, or -errno and *ret_error (static). */
int demo_nic_open(const struct demo_nic_options *options, struct demo_nic **ret_nic, const char **ret_error);
/* What waits to be sent is not sent any more. NULL is allowed. */
void demo_nic_close(struct demo_nic *nic);

/* ---- sending: there is one frame, which may be sent again and again ---- */

/* Its DEMO_FRAME_BYTES_MAX bytes, zeroes at first. They change while none of it waits to be sent. */
uint8_t *demo_nic_frame(struct demo_nic *nic);
/* Sends it once, with no other waiting, and waits until the switch has dealt with it. Returns 0 or -errno. */
int demo_nic_send(struct demo_nic *nic, size_t bytes);
/* Fills all rings with it. */
void demo_nic_fill(struct demo_nic *nic, size_t bytes);
/* Returns how many the switch has dealt with since the last call; `waits` has how long they were on a ring.
 */
unsigned demo_nic_take_sent(struct demo_nic *nic, struct histogram *waits);
/* Frames on the rings. */
unsigned demo_nic_waiting(const struct demo_nic *nic);
/* Has one of the rings no frame? */
bool demo_nic_ran_dry(const struct demo_nic *nic);

/* ---- receiving ---- */

/* Returns the next frame that has come, until the next call, or NULL. It may be shorter than any header. */
const uint8_t *demo_nic_receive(struct demo_nic *nic, size_t *ret_bytes);
/* Waits for one, on the first pair. Returns 1, 0 (the time is over) or -errno. */
int demo_nic_await(struct demo_nic *nic, unsigned timeout_ms);

#endif
