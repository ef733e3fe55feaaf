/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/viewer/viewer_cut.h"

#include <string.h>

#include "core/big_endian.h"
#include "host/viewer/viewer_input.h"

#define SERVER_CUT_TEXT 3u
#define HEADER_BYTES	8u
#define NUMBER_BYTES	4u

#define FLAG_TEXT    (1u << 0)
#define FLAG_CAPS    (1u << 24)
#define FLAG_REQUEST (1u << 25)
#define FLAG_NOTIFY  (1u << 27)
#define FLAG_PROVIDE (1u << 28)

/* Inflated at a time. */
#define PIECE_BYTES 4096u

void viewer_cut_begin(struct viewer_cut *cut, uint32_t count, bool is_extended)
{
	viewer_cut_finish(cut);
	cut->left = count;
	cut->is_extended = is_extended;
	cut->too_long = cut->is_torn = false;
	cut->flags = cut->text_left = 0;
	cut->head_bytes = 0;
	cut->message = (struct viewer_message){ .kind = VIEWER_CUT };
}

void viewer_cut_finish(struct viewer_cut *cut)
{
	if (cut->is_inflating)
		inflateEnd(&cut->stream);
	cut->is_inflating = false;
}

/* ---- Latin-1 ---- */

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

/* ---- extended ---- */

static bool is_provided(const struct viewer_cut *cut)
{
	return (cut->flags & (FLAG_CAPS | FLAG_PROVIDE | FLAG_TEXT)) == (FLAG_PROVIDE | FLAG_TEXT);
}

/* The length, and behind it the text. */
static void take_inflated(struct viewer_cut *cut, const uint8_t *bytes, size_t count)
{
	size_t at = 0;

	for (; at < count && cut->head_bytes < 2 * NUMBER_BYTES; at++, cut->head_bytes++)
		cut->text_left = cut->text_left << 8 | bytes[at];
	if (cut->head_bytes < 2 * NUMBER_BYTES)
		return;
	/* The NUL is not kept. */
	cut->too_long |= cut->message.number + (uint64_t)cut->text_left > VIEWER_CUT_MAX + 1u;
	for (; at < count && cut->text_left > 0 && !cut->too_long; at++, cut->text_left--)
		if (bytes[at] != '\0' && cut->message.number < VIEWER_CUT_MAX)
			cut->text[cut->message.number++] = (char)bytes[at];
}

static bool is_complete(const struct viewer_cut *cut)
{
	return cut->head_bytes == 2 * NUMBER_BYTES && cut->text_left == 0;
}

/* Until nothing more comes out of these bytes; what is behind the text is not looked at. */
static void inflate_some(struct viewer_cut *cut, const uint8_t *bytes, size_t count)
{
	uint8_t piece[PIECE_BYTES];
	int result = Z_OK;

	cut->stream.next_in = (Bytef *)bytes;
	cut->stream.avail_in = (uInt)count;
	do {
		if (cut->too_long || is_complete(cut))
			return;
		cut->stream.next_out = piece;
		cut->stream.avail_out = PIECE_BYTES;
		result = inflate(&cut->stream, Z_SYNC_FLUSH);
		take_inflated(cut, piece, PIECE_BYTES - cut->stream.avail_out);
	} while (result == Z_OK && cut->stream.avail_out == 0);
	cut->is_torn |= result != Z_OK && result != Z_BUF_ERROR && result != Z_STREAM_END;
}

static void begin_inflating(struct viewer_cut *cut)
{
	cut->stream = (z_stream){ .next_in = NULL };
	cut->is_inflating = inflateInit(&cut->stream) == Z_OK;
	cut->is_torn = !cut->is_inflating;
}

static void take_extended(struct viewer_cut *cut, const uint8_t *bytes, size_t count)
{
	size_t at = 0;

	for (; at < count && cut->head_bytes < NUMBER_BYTES; at++, cut->head_bytes++)
		cut->flags = cut->flags << 8 | bytes[at];
	if (at == count || !is_provided(cut) || cut->is_torn)
		return;
	if (!cut->is_inflating)
		begin_inflating(cut);
	if (cut->is_inflating)
		inflate_some(cut, bytes + at, count - at);
}

/* ---- both ---- */

size_t viewer_cut_take(struct viewer_cut *cut, const uint8_t *bytes, size_t count)
{
	size_t taken = count < cut->left ? count : cut->left;

	if (cut->is_extended)
		take_extended(cut, bytes, taken);
	for (size_t i = 0; i < taken && !cut->is_extended; i++)
		put(cut, bytes[i]);
	cut->left -= (uint32_t)taken;
	return taken;
}

enum viewer_cut_end viewer_cut_end(struct viewer_cut *cut)
{
	viewer_cut_finish(cut);
	if (!cut->is_extended)
		return VIEWER_CUT_TEXT;
	/* Torn, it is told as an empty one, too. */
	if (is_provided(cut)) {
		cut->too_long |= cut->is_torn || !is_complete(cut);
		return VIEWER_CUT_TEXT;
	}
	/* Caps have the same bits. */
	if ((cut->flags & FLAG_CAPS) || !(cut->flags & FLAG_NOTIFY) || !(cut->flags & FLAG_TEXT))
		return VIEWER_CUT_NOTHING;
	return VIEWER_CUT_NOTICE;
}

bool viewer_cut_tell(struct viewer_cut *cut, int inner)
{
	if (cut->too_long)
		cut->message.number = 0;
	return viewer_tell_text(inner, &cut->message, cut->message.number);
}

/* ---- to the client ---- */

static size_t put_message(uint8_t *message, uint32_t flags, size_t numbers)
{
	uint32_t bytes = (uint32_t)(NUMBER_BYTES * (1 + numbers));

	memset(message, 0, VIEWER_CUT_ANSWER_MAX);
	message[0] = SERVER_CUT_TEXT;
	big32_put(message + 4, -bytes);
	big32_put(message + HEADER_BYTES, flags);
	return HEADER_BYTES + bytes;
}

size_t viewer_cut_caps(uint8_t message[VIEWER_CUT_ANSWER_MAX])
{
	size_t length = put_message(message, FLAG_CAPS | FLAG_NOTIFY | FLAG_PROVIDE | FLAG_TEXT, 1);

	/* So much it may provide unasked. */
	big32_put(message + HEADER_BYTES + NUMBER_BYTES, VIEWER_CUT_MAX);
	return length;
}

size_t viewer_cut_request(uint8_t message[VIEWER_CUT_ANSWER_MAX])
{
	return put_message(message, FLAG_REQUEST | FLAG_TEXT, 0);
}
