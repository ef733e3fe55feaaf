/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TCP segments of several connections, as a sender cuts them, from a script of bytes, and what is made of
 * them by joining them (host/nic_user_join.h) and cutting again. A script may be anything: it also makes
 * gaps, retransmissions, padding, and headers with a byte changed, of which some are no TCP any more.
 */
#ifndef VIADUCT_TESTS_SUPPORT_SEGMENT_SCRIPT_H
#define VIADUCT_TESTS_SUPPORT_SEGMENT_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCRIPT_CONNECTIONS 12u
#define SCRIPT_FRAMES_MAX  400u
#define SCRIPT_FRAME_BYTES 3200u

/* how */
#define SCRIPT_PSH	  0x01u
#define SCRIPT_GAP	  0x02u /* the sequence number goes on by one more */
#define SCRIPT_AGAIN	  0x04u /* the same sequence number as before */
#define SCRIPT_PAD	  0x08u /* to 60 bytes, or by two */
#define SCRIPT_TRUNCATE	  0x10u /* by `change_to` bytes */
#define SCRIPT_CHANGE	  0x20u /* the byte at change_at */
#define SCRIPT_OWN_NUMBER 0x40u /* an IPv4 identification that does not follow */

/* A segment for each of these in a script. */
struct script_step {
	uint8_t connection; /* modulo SCRIPT_CONNECTIONS; odd ones are IPv6 */
	uint8_t how;
	uint16_t payload_bytes; /* modulo 2900 */
	uint8_t option_words;	/* modulo 11 */
	uint8_t change_at;	/* modulo the frame's length */
	uint8_t change_to;	/* exclusive or */
	uint8_t unused;
};

struct script_frame {
	uint8_t *bytes; /* of its own, so that a sanitizer sees the first byte beyond */
	uint32_t length;
};

struct script_frames {
	struct script_frame frames[SCRIPT_FRAMES_MAX];
	unsigned count;
};

/* What came of joining. */
struct script_result {
	unsigned handed; /* frames, joined or alone */
	unsigned joined; /* that have several pieces */
	unsigned pieces_max;
	uint32_t bytes_max;
};

/* Each has right checksums, if it is TCP. Freed by script_frames_finish(). */
void script_frames_init(struct script_frames *frames, const void *script, size_t bytes);
void script_frames_finish(struct script_frames *frames);

/*
 * Joins the frames, in as many batches as it takes, and cuts what came out for a receiver that does nothing
 * itself. NULL: each frame came back once and byte for byte, and in order: those of one connection, those
 * that are no TCP among each other, and what may be of any connection with all of TCP. Else a text of what is
 * wrong.
 */
const char *script_check(const struct script_frames *frames, struct script_result *ret_result);

#endif
