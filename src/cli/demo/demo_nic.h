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

struct demo_nic;

struct demo_nic_options {
	const char *socket;
	unsigned ring_size; /* frames that can wait to be sent: a power of two, at most 1024 */
	bool polled;	    /* its user looks now and then, and asks for no notifications */
};

/* Returns 0, or -errno and *ret_error (static). */
int demo_nic_open(const struct demo_nic_options *options, struct demo_nic **ret_nic, const char **ret_error);
/* What waits to be sent is not sent any more. NULL is allowed. */
void demo_nic_close(struct demo_nic *nic);

/* ---- sending: there is one frame, which may be sent again and again ---- */

/* Its DEMO_FRAME_BYTES_MAX bytes, zeroes at first. They change while none of it waits to be sent. */
uint8_t *demo_nic_frame(struct demo_nic *nic);
/* Sends it once, and waits until the switch has dealt with it. Returns 0 or -errno. */
int demo_nic_send(struct demo_nic *nic, size_t bytes);
/* Fills the ring with it. Returns how often it was added. */
unsigned demo_nic_fill(struct demo_nic *nic, size_t bytes);
/* How many frames the switch has dealt with since the last call. */
unsigned demo_nic_take_sent(struct demo_nic *nic);
/* Frames on the ring. */
unsigned demo_nic_waiting(const struct demo_nic *nic);

/* ---- receiving ---- */

/* Returns the next frame that has come, until the next call, or NULL. It may be shorter than any header. */
const uint8_t *demo_nic_receive(struct demo_nic *nic, size_t *ret_bytes);
/* Waits for one. Returns 1, 0 (the time is over) or -errno. */
int demo_nic_await(struct demo_nic *nic, unsigned timeout_ms);

#endif
