/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames written from a description, the slow and plain way, without any of the code that is tested: what a
 * sender would have put on the wire. Addresses are always the same.
 */
#ifndef VIADUCT_TESTS_SUPPORT_FRAME_RECIPE_H
#define VIADUCT_TESTS_SUPPORT_FRAME_RECIPE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "core/frame.h"

#define RECIPE_BYTES_MAX      (FRAME_BYTES_MAX + 64u)
#define RECIPE_TAGS_MAX	      3u
#define RECIPE_EXTENSIONS_MAX 12u

enum recipe_checksum {
	RECIPE_FULL,
	RECIPE_PARTIAL, /* the pseudo header's sum, for an offload */
};

struct frame_recipe {
	unsigned tags;
	uint16_t tag[RECIPE_TAGS_MAX]; /* the outermost first; 0x8100 each */
	bool ipv6;
	unsigned ipv4_option_bytes; /* multiple of 4, up to 40 */
	uint16_t identification;
	uint16_t ipv4_fragment;				 /* flags and offset */
	unsigned extensions;				 /* IPv6's */
	uint8_t extension_type[RECIPE_EXTENSIONS_MAX];	 /* a routing header has one more address to visit */
	unsigned extension_bytes[RECIPE_EXTENSIONS_MAX]; /* multiple of 8; 24 for a routing header */
	uint8_t protocol;				 /* 6: TCP, 17: UDP; else the payload follows */
	unsigned tcp_option_bytes;			 /* multiple of 4, up to 40 */
	uint32_t sequence;
	uint8_t tcp_flags;
	const uint8_t *payload;
	uint32_t payload_bytes;
	enum recipe_checksum checksum;
};

/* Writes the frame; returns its length. */
uint32_t frame_recipe_write(const struct frame_recipe *recipe, uint8_t *frame);

/* Where the headers are in it. */
unsigned frame_recipe_network(const struct frame_recipe *recipe);
unsigned frame_recipe_transport(const struct frame_recipe *recipe);
unsigned frame_recipe_payload(const struct frame_recipe *recipe);

/* The offload header for RECIPE_PARTIAL; gso_bytes 0: none. */
struct frame_offload frame_recipe_offload(const struct frame_recipe *recipe, uint16_t gso_bytes, bool ecn);

/* Segment `index` of `recipe`, as a sender without offloads would have described it. */
struct frame_recipe frame_recipe_segment(const struct frame_recipe *recipe, uint16_t gso_bytes,
					 unsigned index);
unsigned frame_recipe_segments(const struct frame_recipe *recipe, uint16_t gso_bytes);

/*
 * Bytes in pieces, each in memory of its own, so that a sanitizer sees the first byte beyond. `random` gives
 * the lengths; some pieces are empty. Freed by frame_pieces_finish().
 */
struct frame_pieces {
	struct iovec iov[FRAME_IOV_MAX];
	unsigned count;
};

void frame_pieces_init(struct frame_pieces *pieces, const uint8_t *bytes, uint32_t count, unsigned pieces_max,
		       uint64_t *random);
void frame_pieces_finish(struct frame_pieces *pieces);

#endif
