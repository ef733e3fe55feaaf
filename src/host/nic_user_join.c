/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A frame's pieces stay where they lie: the first with its headers, the others without. Which frames are
 * still open is all that is remembered of them; the rest is read from their headers again.
 */
#include "host/nic_user_join.h"

#include <assert.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <string.h>

#include "core/big_endian.h"
#include "core/internet_sum.h"

#define IP		     FRAME_HEADER_BYTES
#define IPV4_BYTES	     20u
#define IPV6_BYTES	     40u
#define TCP_BYTES	     20u
#define TCP_PSH		     0x08u
#define TCP_ACK		     0x10u
#define CHECKSUM_OFFSET	     16u /* in a TCP header */
#define IPV4_DO_NOT_FRAGMENT 0x4000u
/* Of the packet, as IP counts it. */
#define PACKET_BYTES_MAX 65535u

struct segment {
	uint8_t *bytes;
	bool ipv6;
	unsigned transport; /* offset of the TCP header */
	unsigned payload;   /* and of what is behind it */
	uint32_t payload_bytes;
};

enum kind {
	KIND_OTHER,   /* no TCP */
	KIND_UNCLEAR, /* may be TCP, of any connection */
	KIND_ALONE, /* of the connection that its ports and addresses say, and neither joins nor is joined */
	KIND_PIECE,
};

/* ---- reading ---- */

static enum kind read_tcp(struct segment *segment, uint32_t bytes)
{
	const uint8_t *tcp = segment->bytes + segment->transport;

	segment->payload = segment->transport + (tcp[12] >> 4) * 4u;
	if (segment->payload < segment->transport + TCP_BYTES || segment->payload >= bytes)
		return KIND_ALONE;
	segment->payload_bytes = bytes - segment->payload;
	return (tcp[13] & ~TCP_PSH) == TCP_ACK ? KIND_PIECE : KIND_ALONE;
}

static enum kind read_ipv4(struct segment *segment, uint32_t bytes)
{
	const uint8_t *ip = segment->bytes + IP;

	if (bytes < IP + IPV4_BYTES || ip[0] >> 4 != 4)
		return KIND_UNCLEAR;
	if (ip[9] != IPPROTO_TCP)
		return KIND_OTHER;
	if ((ip[0] & 15) * 4u != IPV4_BYTES || (big16_get(ip + 6) & ~IPV4_DO_NOT_FRAGMENT) ||
	    bytes < IP + IPV4_BYTES + TCP_BYTES)
		return KIND_UNCLEAR;
	segment->transport = IP + IPV4_BYTES;
	return big16_get(ip + 2) == bytes - IP ? read_tcp(segment, bytes) : KIND_ALONE;
}

static enum kind read_ipv6(struct segment *segment, uint32_t bytes)
{
	const uint8_t *ip = segment->bytes + IP;

	if (bytes < IP + IPV6_BYTES || ip[0] >> 4 != 6)
		return KIND_UNCLEAR;
	if (ip[6] == IPPROTO_UDP || ip[6] == IPPROTO_ICMPV6)
		return KIND_OTHER;
	if (ip[6] != IPPROTO_TCP || bytes < IP + IPV6_BYTES + TCP_BYTES)
		return KIND_UNCLEAR;
	segment->ipv6 = true;
	segment->transport = IP + IPV6_BYTES;
	return big16_get(ip + 4) == bytes - IP - IPV6_BYTES ? read_tcp(segment, bytes) : KIND_ALONE;
}

static enum kind read_frame(uint8_t *frame, uint32_t bytes, struct segment *segment)
{
	*segment = (struct segment){ .bytes = frame };
	switch (big16_get(frame + FRAME_HEADER_BYTES - 2)) {
	case ETHERTYPE_IP:
		return read_ipv4(segment, bytes);
	case ETHERTYPE_IPV6:
		return read_ipv6(segment, bytes);
	case ETHERTYPE_ARP:
		return KIND_OTHER;
	default:
		return KIND_UNCLEAR;
	}
}

/* The headers of a frame that is open, or has several pieces: they were read before. */
static struct segment read_again(const struct frame *frame)
{
	struct segment segment;
	enum kind kind = read_frame(frame->iov[0].iov_base, (uint32_t)frame->iov[0].iov_len, &segment);

	assert(kind == KIND_PIECE);
	return segment;
}

/* ---- comparing ---- */

static bool same(const struct segment *a, const struct segment *b, unsigned begin, unsigned end)
{
	return memcmp(a->bytes + begin, b->bytes + begin, end - begin) == 0;
}

static bool same_connection(const struct segment *a, const struct segment *b)
{
	return a->ipv6 == b->ipv6 && same(a, b, a->transport, a->transport + 4) &&
	       (a->ipv6 ? same(a, b, IP + 8, IP + 40) : same(a, b, IP + 12, IP + 20));
}

/* `next` is the piece that has `before` in front of it. */
static bool same_network(const struct segment *first, const struct segment *next, unsigned before)
{
	if (first->ipv6)
		return same(first, next, 0, IP + 4) && same(first, next, IP + 6, IP + 8);
	return same(first, next, 0, IP + 2) && same(first, next, IP + 6, IP + 10) &&
	       big16_get(next->bytes + IP + 4) == (uint16_t)(big16_get(first->bytes + IP + 4) + before);
}

static bool same_transport(const struct segment *first, const struct segment *next, uint32_t payload_before)
{
	unsigned at = first->transport;

	/* The header's length is the same first, so that the options are. */
	return same(first, next, at + 8, at + 13) && same(first, next, at + 14, at + 16) &&
	       same(first, next, at + 18, first->payload) &&
	       big32_get(next->bytes + at + 4) == big32_get(first->bytes + at + 4) + payload_before;
}

static bool can_join(const struct frame *frame, const struct segment *first, const struct segment *next)
{
	return frame->iov_count < FRAME_IOV_MAX && next->payload_bytes <= first->payload_bytes &&
	       frame->bytes - IP + next->payload_bytes <= PACKET_BYTES_MAX &&
	       same_network(first, next, frame->iov_count) &&
	       same_transport(first, next, frame->bytes - first->payload);
}

/* ---- the frames that are open ---- */

static void open_remove(struct user_join *join, unsigned position)
{
	join->open_count--;
	memmove(join->open + position, join->open + position + 1,
		(join->open_count - position) * sizeof(join->open[0]));
}

static void open_insert(struct user_join *join, unsigned frame_idx)
{
	if (join->open_count == USER_JOIN_OPEN_MAX)
		join->open_count--;
	memmove(join->open + 1, join->open, join->open_count * sizeof(join->open[0]));
	join->open[0] = frame_idx;
	join->open_count++;
}

static bool is_pushed(const struct segment *segment)
{
	return segment->bytes[segment->transport + 13] & TCP_PSH;
}

/* ---- adding ---- */

static void append(struct user_join *join, unsigned frame_idx, const struct segment *first,
		   const struct segment *next)
{
	struct frame *frame = &join->frames[frame_idx];

	join->iov[frame_idx][frame->iov_count++] =
		(struct iovec){ next->bytes + next->payload, next->payload_bytes };
	frame->bytes += next->payload_bytes;
	join->bytes += next->payload_bytes;
	first->bytes[first->transport + 13] |= next->bytes[next->transport + 13];
}

/* Joins it to the frame of its connection. If it cannot, nothing that comes later may join that frame. */
static bool join_open(struct user_join *join, const struct segment *next, bool piece)
{
	for (unsigned i = 0; i < join->open_count; i++) {
		unsigned frame_idx = join->open[i];
		struct segment first = read_again(&join->frames[frame_idx]);
		bool joins;

		if (!same_connection(&first, next))
			continue;
		joins = piece && can_join(&join->frames[frame_idx], &first, next);
		if (joins)
			append(join, frame_idx, &first, next);
		if (!joins || is_pushed(next) || next->payload_bytes < first.payload_bytes)
			open_remove(join, i);
		return joins;
	}
	return false;
}

void user_join_begin(struct user_join *join)
{
	join->count = join->open_count = 0;
	join->bytes = 0;
}

void user_join_add(struct user_join *join, uint8_t *frame, uint32_t bytes)
{
	unsigned frame_idx = join->count;
	struct segment segment;
	enum kind kind;

	assert(!user_join_full(join) && bytes >= FRAME_HEADER_BYTES && bytes <= FRAME_BYTES_MAX);
	kind = read_frame(frame, bytes, &segment);
	if (kind == KIND_UNCLEAR)
		join->open_count = 0;
	if (kind >= KIND_ALONE && join_open(join, &segment, kind == KIND_PIECE))
		return;
	join->iov[frame_idx][0] = (struct iovec){ frame, bytes };
	join->frames[frame_idx] = (struct frame){ .iov = join->iov[frame_idx],
						  .iov_count = 1,
						  .bytes = bytes,
						  .offload = { .flags = FRAME_CSUM_VALID } };
	join->bytes += bytes;
	join->count++;
	if (kind == KIND_PIECE && !is_pushed(&segment))
		open_insert(join, frame_idx);
}

/* ---- the joined frame's headers ---- */

static void write_network(const struct segment *first, uint32_t packet_bytes)
{
	uint8_t *ip = first->bytes + IP;
	struct internet_sum sum = { 0 };
	uint16_t check;

	if (first->ipv6) {
		big16_put(ip + 4, (uint16_t)(packet_bytes - IPV6_BYTES));
		return;
	}
	big16_put(ip + 2, (uint16_t)packet_bytes);
	big16_put(ip + 10, 0);
	internet_sum_add(&sum, ip, IPV4_BYTES);
	check = (uint16_t)~internet_sum_fold(&sum);
	memcpy(ip + 10, &check, sizeof(check));
}

/* In the checksum's place is the sum of the pseudo header. */
static void write_pseudo_sum(const struct segment *first, uint32_t transport_bytes)
{
	const uint8_t *addresses = first->bytes + IP + (first->ipv6 ? 8 : 12);
	struct internet_sum sum = { 0 };
	uint16_t word;

	internet_sum_add(&sum, addresses, first->ipv6 ? 32 : 8);
	internet_sum_add_word(&sum, htobe16(IPPROTO_TCP));
	internet_sum_add_word(&sum, htobe16((uint16_t)transport_bytes));
	word = internet_sum_fold(&sum);
	memcpy(first->bytes + first->transport + CHECKSUM_OFFSET, &word, sizeof(word));
}

static void complete(struct frame *frame)
{
	struct segment first = read_again(frame);

	write_network(&first, frame->bytes - IP);
	write_pseudo_sum(&first, frame->bytes - first.transport);
	frame->offload = (struct frame_offload){
		.flags = FRAME_CSUM_NEEDED,
		.gso_type = first.ipv6 ? FRAME_GSO_TCP6 : FRAME_GSO_TCP4,
		.header_bytes = (uint16_t)first.payload,
		.gso_bytes = (uint16_t)first.payload_bytes,
		.csum_start = (uint16_t)first.transport,
		.csum_offset = CHECKSUM_OFFSET,
	};
}

void user_join_end(struct user_join *join)
{
	for (unsigned i = 0; i < join->count; i++)
		if (join->frames[i].iov_count > 1)
			complete(&join->frames[i]);
}
