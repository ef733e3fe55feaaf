/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A text that the client has copied, while its bytes come in, and the message that tells the daemon of it, in
 * UTF-8. A text that would be longer than VIEWER_CUT_MAX bytes is told as an empty one, so that none from
 * before is taken for it.
 *
 * It comes in one of two forms:
 *
 * ClientCutText (RFC 6143, 7.5.6): Latin-1.
 *
 * The same with a negative length, of clients that know the Extended Clipboard (pseudo-encoding 0xC0A1E5CE,
 * in the community's description of RFB). Its first four bytes say what it is, as bits:
 *
 *     bit 0   it is about text, in UTF-8
 *     bit 24  caps: the other bits are what its sender understands
 *     bit 25  request: its sender wants the text
 *     bit 27  notify: its sender has one
 *     bit 28  provide: here it is, compressed as by zlib: four bytes of its length, and the text, which ends
 *             with NUL
 *
 * Numbers are big-endian. The client is told what is understood (notify, provide); when it notifies, the text
 * is requested. What is inflated is bounded like all else here.
 */
#ifndef VIADUCT_HOST_VIEWER_VIEWER_CUT_H
#define VIADUCT_HOST_VIEWER_VIEWER_CUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

#include "host/viewer/viewer_message.h"

/* ServerCutText of the longest kind that is sent here. */
#define VIEWER_CUT_ANSWER_MAX 16u

enum viewer_cut_end {
	VIEWER_CUT_TEXT,   /* for viewer_cut_tell() */
	VIEWER_CUT_NOTICE, /* the client has a text; viewer_cut_request() asks for it */
	VIEWER_CUT_NOTHING,
};

struct viewer_cut {
	uint32_t left; /* bytes that are to come; 0: none is coming in */
	bool too_long;
	/* Extended. */
	bool is_extended, is_inflating, is_torn;
	uint32_t flags;	      /* what it is */
	unsigned head_bytes;  /* of the flags, and of the length, that have come */
	uint32_t text_left;   /* bytes that the text still has; valid when all of the length has come */
	z_stream stream;      /* while is_inflating */
	/* One packet. */
	struct viewer_message message;
	char text[VIEWER_CUT_MAX];
};

/* So many bytes follow; 0: nothing does, and the text is empty. */
void viewer_cut_begin(struct viewer_cut *cut, uint32_t count, bool is_extended);
/* Takes some of the bytes, and returns how many. cut->left is 0 with the last. */
size_t viewer_cut_take(struct viewer_cut *cut, const uint8_t *bytes, size_t count);
/* All bytes have come: what they were. */
enum viewer_cut_end viewer_cut_end(struct viewer_cut *cut);
/* The whole text goes to the daemon. Returns false when that has gone. */
bool viewer_cut_tell(struct viewer_cut *cut, int inner);
/* It will not come to an end. Idempotent; zeroed is allowed. */
void viewer_cut_finish(struct viewer_cut *cut);

/* Messages to the client, whose length they return: what is understood; and that its text is wanted. */
size_t viewer_cut_caps(uint8_t message[VIEWER_CUT_ANSWER_MAX]);
size_t viewer_cut_request(uint8_t message[VIEWER_CUT_ANSWER_MAX]);

#endif
