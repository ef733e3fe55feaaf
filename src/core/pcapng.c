/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A block is
 *
 *   0  4  type
 *   4  4  length of the whole block, a multiple of 4
 *   8     body, then options: a code and a length of 2 bytes each, a value, up to a multiple of 4; 0 0 ends
 * them -4  4  the length again
 */
#include "core/pcapng.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "core/checked.h"

#define BLOCK_INTERFACE	 1u
#define BLOCK_STATISTICS 5u
#define BLOCK_PACKET	 6u

#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define LINK_ETHERNET	 1u
#define NANOSECONDS	 9u /* if_tsresol: 10^-9 */

enum option_code {
	OPTION_END = 0,
	OPTION_COMMENT = 1,
	SECTION_PROGRAM = 4,
	INTERFACE_NAME = 2,
	INTERFACE_DESCRIPTION = 3,
	INTERFACE_RESOLUTION = 9,
	STATISTICS_FRAMES = 4,
	STATISTICS_LOST = 5,
	PACKET_FLAGS = 2,
	PACKET_LOST = 4,
};

#define FLAG_INBOUND  1u
#define FLAG_OUTBOUND 2u

struct block_head {
	uint32_t type, bytes;
};

struct section_body {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t section_bytes[2]; /* all ones: not told */
};

struct interface_body {
	uint16_t link, reserved;
	uint32_t snap_bytes;
};

struct statistics_body {
	uint32_t interface, time_high, time_low;
};

struct packet_body {
	uint32_t interface, time_high, time_low, kept_bytes, frame_bytes;
};

struct option_head {
	uint16_t code, bytes;
};

static_assert(sizeof(struct block_head) == 8 && sizeof(struct section_body) == 16 &&
		      sizeof(struct interface_body) == 8 && sizeof(struct statistics_body) == 12 &&
		      sizeof(struct packet_body) == 20 && sizeof(struct option_head) == 4,
	      "as the format has them");
static_assert(sizeof(struct block_head) + sizeof(struct packet_body) + FRAME_BYTES_MAX + PCAPNG_TEXT_MAX +
			      64 <
		      PCAPNG_BLOCK_MAX,
	      "the largest packet's options fit, too");

/* ---- writing ---- */

/* A block that grows; `full`: the room was too small. */
struct writer {
	uint8_t *to;
	size_t room, used;
	bool full;
};

/* Up to a multiple of 4. */
static void add(struct writer *writer, const void *bytes, size_t count)
{
	size_t padded = align_up(count, 4);

	writer->full |= padded > writer->room - writer->used;
	if (writer->full)
		return;
	memcpy(writer->to + writer->used, bytes, count);
	memset(writer->to + writer->used + count, 0, padded - count);
	writer->used += padded;
}

static void add_option(struct writer *writer, enum option_code code, const void *value, size_t bytes)
{
	struct option_head head = { .code = (uint16_t)code, .bytes = (uint16_t)bytes };

	assert(bytes <= PCAPNG_TEXT_MAX);
	add(writer, &head, sizeof(head));
	add(writer, value, bytes);
}

static void add_text(struct writer *writer, enum option_code code, const char *text)
{
	if (text[0])
		add_option(writer, code, text, strnlen(text, PCAPNG_TEXT_MAX));
}

static struct writer begin(uint8_t *to, size_t room, uint32_t type, const void *body, size_t body_bytes)
{
	struct writer writer = { .to = to, .room = room };
	struct block_head head = { .type = type };

	add(&writer, &head, sizeof(head));
	add(&writer, body, body_bytes);
	return writer;
}

/* Returns the length of the block. */
static size_t end(struct writer *writer)
{
	static const struct option_head last = { .code = OPTION_END };
	uint32_t bytes;

	add(writer, &last, sizeof(last));
	bytes = (uint32_t)(writer->used + sizeof(bytes));
	add(writer, &bytes, sizeof(bytes));
	if (writer->full)
		return 0;
	memcpy(writer->to + offsetof(struct block_head, bytes), &bytes, sizeof(bytes));
	return bytes;
}

size_t pcapng_write_head(uint8_t *to, size_t room, const char *name, const char *description,
			 uint32_t snap_bytes)
{
	static const struct section_body section = { .magic = BYTE_ORDER_MAGIC,
						     .major = 1,
						     .section_bytes = { UINT32_MAX, UINT32_MAX } };
	const struct interface_body interface = { .link = LINK_ETHERNET,
						  .snap_bytes = snap_bytes ? snap_bytes : PCAPNG_SNAP_ALL };
	static const uint8_t resolution = NANOSECONDS;
	struct writer writer = begin(to, room, PCAPNG_MAGIC, &section, sizeof(section));
	size_t first, second;

	add_text(&writer, SECTION_PROGRAM, "viaduct");
	first = end(&writer);
	writer = begin(to + first, room - first, BLOCK_INTERFACE, &interface, sizeof(interface));
	add_text(&writer, INTERFACE_NAME, name);
	add_text(&writer, INTERFACE_DESCRIPTION, description);
	add_option(&writer, INTERFACE_RESOLUTION, &resolution, sizeof(resolution));
	second = end(&writer);
	return first > 0 && second > 0 ? first + second : 0;
}

size_t pcapng_write_frame(uint8_t *to, size_t room, const struct pcapng_frame *frame)
{
	const struct packet_body body = {
		.time_high = (uint32_t)(frame->time_ns >> 32),
		.time_low = (uint32_t)frame->time_ns,
		.kept_bytes = frame->kept_bytes,
		.frame_bytes = frame->frame_bytes,
	};
	const uint32_t flags = frame->outbound ? FLAG_OUTBOUND : FLAG_INBOUND;
	struct writer writer = begin(to, room, BLOCK_PACKET, &body, sizeof(body));

	assert(frame->kept_bytes <= FRAME_BYTES_MAX);
	add(&writer, frame->bytes, frame->kept_bytes);
	add_text(&writer, OPTION_COMMENT, frame->comment);
	add_option(&writer, PACKET_FLAGS, &flags, sizeof(flags));
	if (frame->lost_before > 0)
		add_option(&writer, PACKET_LOST, &frame->lost_before, sizeof(frame->lost_before));
	return end(&writer);
}

size_t pcapng_write_counts(uint8_t *to, size_t room, const struct pcapng_counts *counts)
{
	const struct statistics_body body = {
		.time_high = (uint32_t)(counts->time_ns >> 32),
		.time_low = (uint32_t)counts->time_ns,
	};
	struct writer writer = begin(to, room, BLOCK_STATISTICS, &body, sizeof(body));

	add_option(&writer, STATISTICS_FRAMES, &counts->frames, sizeof(counts->frames));
	add_option(&writer, STATISTICS_LOST, &counts->lost, sizeof(counts->lost));
	return end(&writer);
}

/* ---- reading ---- */

/* What is left of a block. */
struct reader {
	const uint8_t *at;
	size_t left;
};

/* Returns NULL when there is less. */
static const uint8_t *take(struct reader *reader, size_t bytes)
{
	size_t padded = align_up(bytes, 4);
	const uint8_t *at = reader->at;

	if (padded > reader->left)
		return NULL;
	reader->at += padded;
	reader->left -= padded;
	return at;
}

/* The next option; NULL: that was all. */
static const uint8_t *take_option(struct reader *reader, struct option_head *ret_head)
{
	const uint8_t *at = take(reader, sizeof(*ret_head));

	if (!at)
		return NULL;
	memcpy(ret_head, at, sizeof(*ret_head));
	return ret_head->code == OPTION_END ? NULL : take(reader, ret_head->bytes);
}

static uint64_t number(const uint8_t *value, const struct option_head *head)
{
	uint64_t number64 = 0;

	if (head->bytes == sizeof(number64))
		memcpy(&number64, value, sizeof(number64));
	return number64;
}

static uint64_t time_of(uint32_t high, uint32_t low)
{
	return (uint64_t)high << 32 | low;
}

static int read_frame(struct reader *reader, struct pcapng_frame *ret_frame)
{
	const uint8_t *at = take(reader, sizeof(struct packet_body));
	struct pcapng_frame frame = { .comment = "" };
	struct packet_body body;
	struct option_head head;
	uint32_t flags = 0;

	if (!at)
		return -EBADMSG;
	memcpy(&body, at, sizeof(body));
	frame.time_ns = time_of(body.time_high, body.time_low);
	frame.frame_bytes = body.frame_bytes;
	frame.kept_bytes = body.kept_bytes;
	frame.bytes = take(reader, body.kept_bytes);
	if (!frame.bytes || body.kept_bytes > body.frame_bytes)
		return -EBADMSG;
	while ((at = take_option(reader, &head))) {
		if (head.code == OPTION_COMMENT) {
			frame.comment = (const char *)at;
			frame.comment_bytes = head.bytes;
		} else if (head.code == PACKET_FLAGS && head.bytes == sizeof(flags)) {
			memcpy(&flags, at, sizeof(flags));
		} else if (head.code == PACKET_LOST) {
			frame.lost_before = number(at, &head);
		}
	}
	frame.outbound = flags & FLAG_OUTBOUND;
	*ret_frame = frame;
	return 0;
}

static int read_counts(struct reader *reader, struct pcapng_counts *ret_counts)
{
	const uint8_t *at = take(reader, sizeof(struct statistics_body));
	struct pcapng_counts counts = { .frames = 0 };
	struct statistics_body body;
	struct option_head head;

	if (!at)
		return -EBADMSG;
	memcpy(&body, at, sizeof(body));
	counts.time_ns = time_of(body.time_high, body.time_low);
	while ((at = take_option(reader, &head))) {
		if (head.code == STATISTICS_FRAMES)
			counts.frames = number(at, &head);
		else if (head.code == STATISTICS_LOST)
			counts.lost = number(at, &head);
	}
	*ret_counts = counts;
	return 0;
}

long pcapng_read(const uint8_t *bytes, size_t count, struct pcapng_block *ret_block)
{
	struct pcapng_block block = { .kind = PCAPNG_OTHER };
	struct reader reader;
	struct block_head head;
	uint32_t again;
	int error = 0;

	if (count < sizeof(head))
		return 0;
	memcpy(&head, bytes, sizeof(head));
	if (head.bytes % 4 != 0 || head.bytes < sizeof(head) + sizeof(again) || head.bytes > PCAPNG_BLOCK_MAX)
		return -EBADMSG;
	if (count < head.bytes)
		return 0;
	memcpy(&again, bytes + head.bytes - sizeof(again), sizeof(again));
	if (again != head.bytes)
		return -EBADMSG;
	reader = (struct reader){ bytes + sizeof(head), head.bytes - sizeof(head) - sizeof(again) };
	if (head.type == BLOCK_PACKET) {
		block.kind = PCAPNG_FRAME;
		error = read_frame(&reader, &block.frame);
	} else if (head.type == BLOCK_STATISTICS) {
		block.kind = PCAPNG_COUNTS;
		error = read_counts(&reader, &block.counts);
	}
	if (error)
		return error;
	*ret_block = block;
	return head.bytes;
}
