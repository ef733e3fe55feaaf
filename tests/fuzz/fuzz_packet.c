/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A frame of any bytes, in pieces of any lengths, with any offload header, cut for any receiver; between
 * parsing and cutting its guest may write over its beginning. What comes out has the headers that were
 * parsed, all of the payload once and in order, the sizes that the receiver takes, and right checksums.
 *
 * The input: struct input_head, then the frame's first bytes; `grow` more are made up.
 */
#include <stdlib.h>
#include <string.h>

#include "arbiter/switch/packet.h"
#include "core/big_endian.h"
#include "core/iov.h"
#include "frame_recipe.h"
#include "input_trace.h"

#define PACKED	      __attribute__((packed))
#define FRAME_SPACE   (FRAME_BYTES_MAX + 1024u)
#define CUT_TAG	      1u
#define CUT_OVERWRITE 2u

struct PACKED input_head {
	uint8_t able; /* the abilities in their order, a bit each */
	uint16_t mtu;
	uint16_t tag;
	struct frame_offload offload;
	uint32_t pieces_seed;
	uint8_t pieces;
	uint8_t how; /* CUT_… */
	uint16_t grow;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t parsed[FRAME_SPACE];  /* the frame as it was then */
static uint8_t present[FRAME_SPACE]; /* and as it is while it is cut */
static uint8_t out[FRAME_SPACE];
static struct packet packet;
static struct packet_cut cut;

static void check(bool good)
{
	if (!good)
		abort();
}

/* Modulo 65535, which is what the sum of the Internet is. */
static uint32_t sum(const uint8_t *bytes, uint32_t count)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < count; i++)
		total += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return (uint32_t)(total % 65535);
}

/* ---- what a fine frame is ---- */

static void check_parsed(const struct frame *frame)
{
	unsigned ethernet = FRAME_HEADER_BYTES + PACKET_TAG_BYTES * packet.tags;

	check(packet.head_bytes == (frame->bytes < PACKET_HEAD_BYTES ? frame->bytes : PACKET_HEAD_BYTES));
	check(memcmp(packet.head, parsed, packet.head_bytes) == 0);
	check(packet.tags <= 2 && ethernet <= packet.head_bytes);
	check(packet.type == big16_get(parsed + ethernet - 2));
	check(packet.network == 0 || packet.network == ethernet);
	check(packet.transport == 0 || (packet.network != 0 && packet.transport >= packet.network + 20));
	check(packet.payload == 0 || (packet.transport != 0 && packet.payload >= packet.transport + 8));
	check(packet.network + 20 <= packet.head_bytes || packet.network == 0);
	check(packet.transport + 8 <= packet.head_bytes || packet.transport == 0);
	check(packet.payload <= packet.head_bytes);
	fuzz_trace_number(packet.tags);
	fuzz_trace_number(packet.network);
	fuzz_trace_number(packet.transport);
	fuzz_trace_number(packet.payload);
	fuzz_trace_number(packet.protocol);
}

/* ---- what comes out ---- */

struct expected {
	const struct frame *frame;
	const struct frame_abilities *receiver;
	int tag;
	int shift; /* of the headers behind the tag */
	uint32_t payload_done;
};

static void check_ethernet(const struct expected *expected)
{
	unsigned at = 12;

	check(memcmp(out, parsed, 12) == 0);
	if (expected->tag != PACKET_UNTAGGED) {
		check(big16_get(out + 12) == PACKET_VLAN && big16_get(out + 14) == expected->tag);
		at += 4;
	}
	check(memcmp(out + at, parsed + (packet.tags > 0 ? 16 : 12), 2) == 0);
}

static uint32_t mtu_bytes(const struct expected *expected)
{
	bool tagged = expected->tag != PACKET_UNTAGGED || packet.tags > 1;

	return expected->receiver->mtu + FRAME_HEADER_BYTES + (tagged ? PACKET_TAG_BYTES : 0);
}

/* The checksum is the complement of the sum from csum_start on, with what the sender put in its place. */
static void check_filled(const struct expected *expected, uint32_t bytes)
{
	const struct frame_offload *offload = &expected->frame->offload;
	unsigned start = offload->csum_start + expected->shift, field = start + offload->csum_offset;
	uint32_t filled = big16_get(out + field);

	/* What is compared afterwards is all the rest. */
	memcpy(out + field, parsed + field - expected->shift, 2);
	check((sum(out + start, bytes - start) + filled) % 65535 == 0);
	check(offload->csum_offset != 6 || filled != 0);
}

static void check_whole(const struct expected *expected, const struct frame *cut_frame)
{
	const struct frame *frame = expected->frame;
	unsigned behind = packet.tags > 0 ? 16 : 12, head = packet.head_bytes;

	check(cut_frame->bytes == frame->bytes + expected->shift);
	if ((frame->offload.flags & FRAME_CSUM_NEEDED) && !expected->receiver->csum)
		check_filled(expected, cut_frame->bytes);
	check(memcmp(out + behind + expected->shift, parsed + behind, head - behind) == 0);
	check(memcmp(out + head + expected->shift, present + head, frame->bytes - head) == 0);
	if (frame->offload.gso_type == FRAME_GSO_NONE)
		check(cut_frame->bytes <= mtu_bytes(expected));
}

/* The pseudo header's sum is the sender's, but for the length. */
static void check_segment_sum(const struct expected *expected, uint32_t bytes)
{
	const struct frame *frame = expected->frame;
	unsigned at = packet.transport + expected->shift, field = frame->offload.csum_offset;
	uint32_t pseudo = big16_get(parsed + packet.transport + field) + 2u * 65535u -
			  (frame->bytes - packet.transport) + (bytes - at);

	if (!expected->receiver->csum)
		check((sum(out + at, bytes - at) + pseudo) % 65535 == 0);
	else
		check((big16_get(out + at + field) + 65535u - pseudo % 65535) % 65535 == 0);
	check(packet.protocol != PACKET_UDP || expected->receiver->csum || big16_get(out + at + field) != 0);
}

static void check_segment(struct expected *expected, const struct frame *segment)
{
	const struct frame *frame = expected->frame;
	unsigned header = packet.payload + expected->shift, network = packet.network + expected->shift;
	unsigned transport = packet.transport + expected->shift;
	uint32_t bytes = segment->bytes - header, left;

	check(segment->bytes >= header && segment->bytes <= mtu_bytes(expected));
	left = frame->bytes - packet.payload - expected->payload_done;
	check(bytes == (left < frame->offload.gso_bytes ? left : frame->offload.gso_bytes));
	check(memcmp(out + header, present + packet.payload + expected->payload_done, bytes) == 0);
	if (packet.type == PACKET_IPV4) {
		check(big16_get(out + network + 2) == segment->bytes - network);
		check(sum(out + network, (out[network] & 15) * 4) == 0);
	} else {
		check(big16_get(out + network + 4) == segment->bytes - network - 40);
	}
	if (packet.protocol == PACKET_TCP)
		check(big32_get(out + transport + 4) ==
		      big32_get(parsed + packet.transport + 4) + expected->payload_done);
	else
		check(big16_get(out + transport + 4) == segment->bytes - transport);
	check_segment_sum(expected, segment->bytes);
	expected->payload_done += bytes;
}

static void check_offload(const struct expected *expected, const struct frame *frame, bool whole_gso)
{
	const struct frame_offload *asked = &expected->frame->offload, *left = &frame->offload;
	bool needed = (asked->flags & FRAME_CSUM_NEEDED) && expected->receiver->csum;

	check(left->flags == (needed			 ? FRAME_CSUM_NEEDED
			      : expected->receiver->csum ? asked->flags & FRAME_CSUM_VALID
							 : 0));
	check(left->csum_start == (needed ? asked->csum_start + expected->shift : 0));
	check(left->csum_offset == (needed ? asked->csum_offset : 0));
	check(left->gso_type == (whole_gso ? asked->gso_type : FRAME_GSO_NONE));
	check(left->gso_bytes == (whole_gso ? asked->gso_bytes : 0));
	check(left->header_bytes == (whole_gso ? packet.payload + expected->shift : 0));
}

static void check_cut(struct expected *expected)
{
	bool gso = expected->frame->offload.gso_type != FRAME_GSO_NONE;
	const struct frame *frame;
	unsigned count = 0;

	while ((frame = packet_cut_next(&cut))) {
		bool whole_gso = frame->offload.gso_type != FRAME_GSO_NONE;

		check(frame->iov_count <= FRAME_CUT_IOV_MAX && frame->bytes <= FRAME_BYTES_MAX);
		check(iov_bytes(frame->iov, frame->iov_count) == frame->bytes);
		iov_copy_out(frame->iov, frame->iov_count, 0, out, frame->bytes);
		fuzz_trace(out, frame->bytes);
		check_ethernet(expected);
		check_offload(expected, frame, whole_gso);
		if (gso && !whole_gso)
			check_segment(expected, frame);
		else
			check_whole(expected, frame);
		count++;
		check(count == 1 || (gso && !whole_gso && count <= PACKET_SEGMENTS_MAX));
	}
	check(count > 0);
	if (gso && expected->payload_done > 0)
		check(expected->payload_done == expected->frame->bytes - packet.payload);
	check(!packet_cut_next(&cut));
	fuzz_trace_number(count);
}

/* ---- one input ---- */

static void overwrite(const struct frame *frame)
{
	uint8_t lies[PACKET_HEAD_BYTES];
	size_t bytes;

	memset(lies, 0x5a, sizeof(lies));
	bytes = iov_copy_in(frame->iov, frame->iov_count, 0, lies, sizeof(lies));
	memcpy(present, lies, bytes);
}

static void parse_and_cut(const struct input_head *head, const struct frame *frame)
{
	struct frame_abilities receiver = {
		.csum = head->able & 1,
		.tso4 = head->able >> 1 & 1,
		.tso6 = head->able >> 2 & 1,
		.ecn = head->able >> 3 & 1,
		.uso = head->able >> 4 & 1,
		.mtu = head->mtu,
	};
	struct expected expected = { .frame = frame, .receiver = &receiver, .tag = PACKET_UNTAGGED };
	enum packet_fault fault = packet_parse(frame, &packet);

	fuzz_trace_number(fault);
	check(fault < PACKET_FAULTS);
	if (fault != PACKET_FINE)
		return;
	check_parsed(frame);
	if (head->how & CUT_OVERWRITE)
		overwrite(frame);
	if (head->how & CUT_TAG)
		expected.tag = head->tag;
	expected.shift = (expected.tag != PACKET_UNTAGGED ? 4 : 0) - (packet.tags > 0 ? 4 : 0);
	fault = packet_cut_begin(&cut, &packet, frame, &receiver, expected.tag);
	fuzz_trace_number(fault);
	check(fault == PACKET_FINE || fault == PACKET_LONG);
	if (fault == PACKET_FINE)
		check_cut(&expected);
	else
		check(!packet_cut_next(&cut));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_pieces pieces;
	struct input_head head;
	struct frame frame;
	uint64_t random;
	size_t bytes;

	if (size < sizeof(head))
		return 0;
	memcpy(&head, data, sizeof(head));
	bytes = size - sizeof(head);
	if (bytes > sizeof(parsed))
		bytes = sizeof(parsed);
	memcpy(parsed, data + sizeof(head), bytes);
	for (unsigned i = 0; i < head.grow && bytes < sizeof(parsed); i++)
		parsed[bytes++] = (uint8_t)(i * 37 + i / 256);
	memcpy(present, parsed, bytes);
	random = head.pieces_seed;
	frame_pieces_init(&pieces, parsed, (uint32_t)bytes, 1 + head.pieces % FRAME_IOV_MAX, &random);
	frame = (struct frame){ .iov = pieces.iov,
				.iov_count = pieces.count,
				.bytes = (uint32_t)bytes,
				.offload = head.offload };
	parse_and_cut(&head, &frame);
	frame_pieces_finish(&pieces);
	return 0;
}
