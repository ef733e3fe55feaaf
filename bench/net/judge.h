/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What honest guests send each other, and a judge of what a guest receives. An honest frame carries a note:
 *
 *	bytes	0 .. 13		Ethernet header
 *		14 .. 45	struct note
 *		46 ..		made of the note, and known to the receiver to the last byte
 */
#ifndef VIADUCT_BENCH_NET_JUDGE_H
#define VIADUCT_BENCH_NET_JUDGE_H

#include "net_client.h"

struct note {
	uint64_t mark;	   /* of the sender; a hostile guest does not know it */
	uint64_t number;   /* of the sender's frames */
	uint64_t stamp_ns; /* when it was sent */
	uint64_t bytes;	   /* of the frame */
};

/* Where its frames go to. */
const uint8_t *guest_peer_address(const struct guest *guest);
/* Writes the Ethernet header of a frame at `frame`. */
void frame_write_header(uint8_t *frame, const uint8_t to[FRAME_ADDRESS_BYTES],
			const uint8_t from[FRAME_ADDRESS_BYTES], uint16_t type);
/* Writes a frame from `guest` to its peer, with an empty header in front, into a transmit slot. */
void note_write(const struct guest *guest, uint8_t *slot, uint32_t bytes, uint64_t number, uint64_t stamp_ns);
/*
 * Counts a received frame, and what is wrong with it, in the verdict. True: it is the peer's, whole and
 * unchanged; its number is for the caller to judge. False: it is a hostile guest's in its own name, or wrong.
 */
bool judge_frame(struct guest *receiver, const uint8_t *frame, uint32_t bytes, struct note *ret_note);

/* What a receiver knows of the numbers of its peer's frames. */
struct numbers {
	uint64_t wanted;   /* 0 to wanted - 1 */
	uint64_t most;	   /* a few more may come, to tell that the last ones were lost */
	uint64_t next;	   /* the highest that came, and one */
	uint64_t received; /* different ones below `wanted` */
	uint8_t *seen;	   /* a bit for each */
};

/* Ends the program when there is no memory. numbers_finish() accepts a zeroed one. */
void numbers_init(struct numbers *numbers, uint64_t wanted, uint64_t most);
void numbers_finish(struct numbers *numbers);
/* A number of an intact frame: one that came before, or that is late, counts in the verdict. */
void numbers_add(struct numbers *numbers, uint64_t number, struct verdict *verdict);

#endif
