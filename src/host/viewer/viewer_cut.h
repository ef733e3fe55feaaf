/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A text that the client has copied (ClientCutText, in Latin-1), while its bytes come in, and the message
 * that tells the daemon of it, in UTF-8. A text that would be longer than VIEWER_CUT_MAX bytes is told as an
 * empty one, so that none from before is taken for it.
 */
#ifndef VIADUCT_HOST_VIEWER_VIEWER_CUT_H
#define VIADUCT_HOST_VIEWER_VIEWER_CUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/viewer/viewer_message.h"

struct viewer_cut {
	uint32_t left; /* bytes that are to come; 0: none is coming in */
	bool too_long;
	/* One packet. */
	struct viewer_message message;
	char text[VIEWER_CUT_MAX];
};

/* So many bytes follow; 0: nothing does, and the text is empty. */
void viewer_cut_begin(struct viewer_cut *cut, uint32_t count);
/* Takes some of the bytes, and returns how many. cut->left is 0 with the last. */
size_t viewer_cut_take(struct viewer_cut *cut, const uint8_t *bytes, size_t count);
/* The whole text goes to the daemon. Returns false when that has gone. */
bool viewer_cut_tell(struct viewer_cut *cut, int inner);

#endif
