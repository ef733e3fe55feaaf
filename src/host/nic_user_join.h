/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Joins TCP segments of one connection, one after the other, into one frame that a receiver takes whole or
 * the switch cuts again: what is cut is, byte for byte, what was joined. A guest has the work of one frame
 * then, not of forty.
 *
 * Segments are joined when all that packet_cut.c (arbiter/switch/packet.h) takes from the first is the same
 * in the others, and the rest follows from it:
 *
 * - Ethernet: the same; no VLAN tag.
 * - IPv4: the same, without options and no fragment; lengths as the frame's; identification one more each.
 * - IPv6: the same, without extension headers; lengths as the frame's.
 * - TCP: the same, its options among it; sequence numbers one after the other; of the flags ACK only, and PSH
 *   in the last.
 * - Payload: as much as the first has; less, but some, in the last.
 *
 * The checksums are taken for right: they are libslirp's, which is on this host. The joined frame is sent
 * with a checksum to fill in, and each piece gets its own again when it is cut.
 *
 * A batch is joined at a time and nothing is kept for the next, so no frame waits for another. The frames of
 * one connection stay in order; those of different connections may not. Pure: no memory but the caller's.
 */
#ifndef VIADUCT_HOST_NIC_USER_JOIN_H
#define VIADUCT_HOST_NIC_USER_JOIN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/frame.h"
#include "host/nic_offload.h"

/* Connections whose segments may come in turns and are still joined; of more, those that came last. */
#define USER_JOIN_OPEN_MAX 8u

/* Owned by the caller, 70 KiB: used again. */
struct user_join {
	/* What comes out, in the order of each frame's first piece. FRAME_CSUM_VALID if it has one piece. */
	struct frame frames[NIC_BATCH_MAX];
	unsigned count;
	uint64_t bytes; /* of all */
	/* private */
	unsigned open[USER_JOIN_OPEN_MAX]; /* indices of the frames that more may join; the newest first */
	unsigned open_count;
	struct iovec iov[NIC_BATCH_MAX][FRAME_IOV_MAX];
};

/* Begins a batch. What came out of the last is forgotten. */
void user_join_begin(struct user_join *join);

/* No more frames fit into this batch. */
static inline bool user_join_full(const struct user_join *join)
{
	return join->count == NIC_BATCH_MAX;
}

/*
 * Takes the next frame, FRAME_HEADER_BYTES to FRAME_BYTES_MAX bytes of anything; not while full. The bytes
 * are the caller's, and stay until the batch was handed on; its headers may be written to.
 */
void user_join_add(struct user_join *join, uint8_t *frame, uint32_t bytes);

/* Ends the batch: the frames are complete. */
void user_join_end(struct user_join *join);

#endif
