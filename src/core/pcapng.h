/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Captured frames as a pcapng stream (draft-ietf-opsawg-pcapng), which Wireshark, tshark and tcpdump read:
 *
 *   section header, interface         where it was captured; times are in ns
 *   enhanced packet, …                a frame with its direction, the number of frames lost in front of it,
 * and a comment when it was not forwarded interface statistics              now and then, and at the end: all
 * frames, all that were lost
 *
 * Sections may follow each other in one file. Written and read in the host's byte order.
 */
#ifndef VIADUCT_CORE_PCAPNG_H
#define VIADUCT_CORE_PCAPNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/frame.h"

/* Names, descriptions and comments are cut to so many bytes. */
#define PCAPNG_TEXT_MAX 255u
/* The largest block that is written. */
#define PCAPNG_BLOCK_MAX (FRAME_BYTES_MAX + 1024u)
/* What "all of it" is called as a snap length: tcpdump's default. */
#define PCAPNG_SNAP_ALL 262144u
/* The first four bytes of a file. */
#define PCAPNG_MAGIC 0x0a0d0d0au

struct pcapng_frame {
	uint64_t time_ns; /* since 1970 */
	const uint8_t *bytes;
	uint32_t frame_bytes, kept_bytes; /* kept: those at `bytes` */
	bool outbound;
	uint64_t lost_before; /* between the frame before and this one */
	/* "" : none. Written up to its end; read: `comment_bytes` long */
	const char *comment;
	size_t comment_bytes;
};

struct pcapng_counts {
	uint64_t time_ns;
	uint64_t frames, lost; /* since the beginning of the section */
};

/* ---- writing: each returns the bytes written, or 0: there is not room for all of it ---- */

/* A section header and its interface; snap_bytes 0: frames are whole. */
size_t pcapng_write_head(uint8_t *to, size_t room, const char *name, const char *description,
			 uint32_t snap_bytes);
size_t pcapng_write_frame(uint8_t *to, size_t room, const struct pcapng_frame *frame);
size_t pcapng_write_counts(uint8_t *to, size_t room, const struct pcapng_counts *counts);

/* ---- reading ---- */

enum pcapng_kind { PCAPNG_OTHER, PCAPNG_FRAME, PCAPNG_COUNTS };

struct pcapng_block {
	enum pcapng_kind kind;
	union {
		struct pcapng_frame frame; /* points into the block */
		struct pcapng_counts counts;
	};
};

/*
 * The block at the beginning of `count` bytes that were written as above. Returns its length and *ret_block;
 * 0: it is not all there; -EBADMSG: this is none.
 */
long pcapng_read(const uint8_t *bytes, size_t count, struct pcapng_block *ret_block);

#endif
