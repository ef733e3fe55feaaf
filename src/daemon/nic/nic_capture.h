/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A capture: the frames of one port as pcapng blocks, for a reader on the control thread. */
#ifndef VIADUCT_DAEMON_NIC_NIC_CAPTURE_H
#define VIADUCT_DAEMON_NIC_NIC_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/pcapng.h"

struct loop;
struct nic_capture;
struct port;

struct nic_capture_options {
	const char *name, *description; /* of the captured interface, for who reads the capture; copied */
	bool uplink;			/* what the port sends comes in from the world */
	uint32_t snap_bytes;		/* of each frame; 0: all */
	struct loop *loop;		/* the control thread's */
	/* nic_capture_fill() has something after it had nothing; now and then also without a reason. */
	void (*ready)(void *context);
	void *context;
};

/* Returns 0 or -ENOMEM. */
int nic_capture_open(struct port *port, const struct nic_capture_options *options,
		     struct nic_capture **ret_capture);
/* NULL is allowed. The port may have gone. */
void nic_capture_close(struct nic_capture *capture);

/*
 * Writes the next blocks, whole ones, into `room` bytes, at least PCAPNG_BLOCK_MAX. Returns how many bytes;
 * 0: there is nothing now.
 */
size_t nic_capture_fill(struct nic_capture *capture, uint8_t *to, size_t room);
/* The next fill has a block with the counts, whether or not there are frames. */
void nic_capture_count(struct nic_capture *capture);
/* What follows is a section of its own: for another file. */
void nic_capture_restart(struct nic_capture *capture);
/* The port has gone, and all was written. */
bool nic_capture_ended(const struct nic_capture *capture);
/* Frames written and lost until now. */
void nic_capture_totals(const struct nic_capture *capture, uint64_t *ret_frames, uint64_t *ret_lost);

#endif
