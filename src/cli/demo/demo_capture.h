/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `viaduct capture` of a card while the demo's guests use it, and what is in the file that it wrote. */
#ifndef VIADUCT_CLI_DEMO_DEMO_CAPTURE_H
#define VIADUCT_CLI_DEMO_DEMO_CAPTURE_H

#include <stdint.h>
#include <sys/types.h>

#include "cli/cli.h"

#define DEMO_CAPTURE_SNAP 128u /* bytes kept of each frame */

struct demo_capture {
	char path[CLI_PATH_MAX]; /* of the file */
	char log[CLI_PATH_MAX];	 /* its messages */
	pid_t pid;		 /* 0: none runs */
};

enum demo_protocol { DEMO_ARP, DEMO_ICMP, DEMO_TCP, DEMO_UDP, DEMO_IPV6, DEMO_OTHER, DEMO_PROTOCOLS };

struct demo_capture_summary {
	uint64_t frames, bytes, lost;	   /* lost: copies that `viaduct capture` was too slow for */
	uint64_t protocol[DEMO_PROTOCOLS]; /* frames of each */
	/* Of mallory's card's frames: those that the switch let pass, and those that it dropped, and says so
	 */
	uint64_t passed, refused;
};

/*
 * Starts it for the card "GUEST/NIC", into DIRECTORY/GUEST.pcapng.
 * Returns 0 when it has begun, else -errno: -ECHILD (it ended), -ETIMEDOUT.
 */
int demo_capture_start(struct demo_capture *capture, const char *runtime_dir, const char *directory,
		       const char *card);
/* Ends it as Ctrl-C would. Returns its exit code, or -1. */
int demo_capture_stop(struct demo_capture *capture);

/*
 * What was written so far. Frames that carry `token` where mallory's card puts it are told apart. Returns 0
 * or -errno (-EBADMSG: this is no pcapng).
 */
int demo_capture_read(const struct demo_capture *capture, const char *token,
		      struct demo_capture_summary *ret_summary);

/* "ARP", "TCP", … */
const char *demo_protocol_text(enum demo_protocol protocol);

#endif
