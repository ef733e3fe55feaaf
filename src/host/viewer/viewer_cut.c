/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/viewer/viewer_cut.h"

#include "host/viewer/viewer_input.h"

void viewer_cut_begin(struct viewer_cut *cut, uint32_t count)
{
	cut->left = count;
	cut->too_long = false;
	cut->message = (struct viewer_message){ .kind = VIEWER_CUT };
}

/* A byte of Latin-1 is one or two of UTF-8. */
static void put(struct viewer_cut *cut, uint8_t byte)
{
	uint32_t wanted = byte < 0x80 ? 1 : 2;

	if (cut->too_long || cut->message.number + wanted > VIEWER_CUT_MAX) {
		cut->too_long = true;
		return;
	}
	if (wanted == 2)
		cut->text[cut->message.number++] = (char)(0xc0 | byte >> 6);
	cut->text[cut->message.number++] = (char)(wanted == 1 ? byte : 0x80 | (byte & 0x3f));
}

size_t viewer_cut_take(struct viewer_cut *cut, const uint8_t *bytes, size_t count)
{
	size_t taken = count < cut->left ? count : cut->left;

	for (size_t i = 0; i < taken; i++)
		put(cut, bytes[i]);
	cut->left -= (uint32_t)taken;
	return taken;
}

bool viewer_cut_tell(struct viewer_cut *cut, int inner)
{
	if (cut->too_long)
		cut->message.number = 0;
	return viewer_tell_text(inner, &cut->message, cut->message.number);
}
