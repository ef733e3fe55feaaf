/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What goes out is the private head, with the tag changed, and slices of the original behind it. A segment's
 * head is all of the headers, written anew for each: they differ from the original's in
 *
 *	IPv4	total length, identification (one more each), header checksum
 *	IPv6	payload length
 *	TCP	sequence number, FIN and PSH (in the last only), CWR (in the first only), checksum
 *	UDP	length, checksum
 */
#include "arbiter/switch/packet.h"

#include <assert.h>
#include <string.h>

#include "core/big_endian.h"
#include "core/internet_sum.h"

#define ADDRESSES_BYTES 12u /* destination and source */
#define IPV6_BYTES	40u

#define TCP_FIN 0x01u
#define TCP_PSH 0x08u
#define TCP_CWR 0x80u

/* In a UDP header, where 0 means that there is no checksum (RFC 768). */
#define UDP_CHECKSUM_OFFSET 6u

/* A header of the cut frame: at `offset` of the original. */
static uint8_t *head_at(struct packet_cut *cut, unsigned offset)
{
	return cut->head + offset + cut->shift;
}

/* ---- payload ---- */

static void skip_head(struct packet_cut *cut, size_t bytes)
{
	cut->iov_idx = 0;
	while (bytes > 0 && bytes >= cut->frame->iov[cut->iov_idx].iov_len)
		bytes -= cut->frame->iov[cut->iov_idx++].iov_len;
	cut->iov_offset = bytes;
}

/* Puts the next bytes of payload behind the head; returns how many iovecs all are. */
static unsigned slice(struct packet_cut *cut, uint32_t bytes)
{
	unsigned count = 1;

	cut->left_bytes -= bytes;
	while (bytes > 0) {
		const struct iovec *from = &cut->frame->iov[cut->iov_idx];
		size_t part;

		assert(cut->iov_idx < cut->frame->iov_count);
		part = from->iov_len - cut->iov_offset;
		if (part > bytes)
			part = bytes;
		if (part > 0)
			cut->iov[count++] =
				(struct iovec){ (uint8_t *)from->iov_base + cut->iov_offset, part };
		bytes -= (uint32_t)part;
		cut->iov_offset += part;
		if (cut->iov_offset == from->iov_len) {
			cut->iov_idx++;
			cut->iov_offset = 0;
		}
	}
	return count;
}

/* ---- headers ---- */

static void fill_ipv4_checksum(uint8_t *header)
{
	struct internet_sum sum = { 0 };

	big16_put(header + 10, 0);
	internet_sum_add(&sum, header, (size_t)(header[0] & 15) * 4);
	memcpy(header + 10, &(uint16_t){ (uint16_t)~internet_sum_fold(&sum) }, 2);
}

static void write_network(struct packet_cut *cut, uint32_t transport_bytes)
{
	const struct packet *packet = cut->packet;
	uint8_t *header = head_at(cut, packet->network);
	uint32_t bytes = packet->transport - packet->network + transport_bytes;

	if (packet->type == PACKET_IPV6) {
		big16_put(header + 4, (uint16_t)(bytes - IPV6_BYTES));
		return;
	}
	big16_put(header + 2, (uint16_t)bytes);
	big16_put(header + 4, (uint16_t)(big16_get(packet->head + packet->network + 4) + cut->segment_idx));
	fill_ipv4_checksum(header);
}

/* The original has the pseudo header's sum with its own length, a segment with another. */
static void write_pseudo_sum(struct packet_cut *cut, uint32_t transport_bytes)
{
	unsigned at = cut->packet->transport + cut->frame->offload.csum_offset;
	uint32_t original_bytes = cut->frame->bytes - cut->packet->transport;
	struct internet_sum sum = { 0 };
	uint16_t word;

	internet_sum_add(&sum, cut->packet->head + at, sizeof(word));
	internet_sum_add_word(&sum, (uint16_t)~htobe16((uint16_t)original_bytes));
	internet_sum_add_word(&sum, htobe16((uint16_t)transport_bytes));
	word = internet_sum_fold(&sum);
	memcpy(head_at(cut, at), &word, sizeof(word));
}

static void write_transport(struct packet_cut *cut, uint32_t transport_bytes)
{
	const uint8_t *original = cut->packet->head + cut->packet->transport;
	uint8_t *header = head_at(cut, cut->packet->transport);

	write_pseudo_sum(cut, transport_bytes);
	if (cut->packet->protocol == PACKET_UDP) {
		big16_put(header + 4, (uint16_t)transport_bytes);
		return;
	}
	big32_put(header + 4, big32_get(original + 4) + cut->segment_idx * cut->frame->offload.gso_bytes);
	header[13] = original[13];
	if (cut->left_bytes > 0)
		header[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (cut->segment_idx > 0)
		header[13] &= (uint8_t)~TCP_CWR;
}

/* From csum_start to the frame's end, with what is in the checksum's place: the pseudo header's sum. */
static void fill_checksum(struct packet_cut *cut)
{
	const struct frame_offload *offload = &cut->frame->offload;
	uint8_t *start = head_at(cut, offload->csum_start);
	struct internet_sum sum = { 0 };
	uint16_t word;

	internet_sum_add(&sum, start, (size_t)(cut->head + cut->head_bytes - start));
	for (unsigned i = 1; i < cut->out.iov_count; i++)
		internet_sum_add(&sum, cut->iov[i].iov_base, cut->iov[i].iov_len);
	word = (uint16_t)~internet_sum_fold(&sum);
	if (word == 0 && offload->csum_offset == UDP_CHECKSUM_OFFSET)
		word = 0xffff;
	memcpy(start + offload->csum_offset, &word, sizeof(word));
}

/* ---- what the receiver does itself ---- */

static bool can_segment(const struct frame_abilities *receiver, uint8_t gso_type)
{
	bool can = receiver->csum && (receiver->ecn || !(gso_type & FRAME_GSO_ECN));

	switch (gso_type & ~FRAME_GSO_ECN) {
	case FRAME_GSO_TCP4:
		return can && receiver->tso4;
	case FRAME_GSO_TCP6:
		return can && receiver->tso6;
	default:
		return can && receiver->uso;
	}
}

static void leave_to_receiver(struct packet_cut *cut, const struct frame_abilities *receiver)
{
	const struct frame_offload *asked = &cut->frame->offload;
	struct frame_offload *left = &cut->out.offload;

	*left = (struct frame_offload){ 0 };
	if (!receiver->csum)
		return;
	left->flags = asked->flags & FRAME_CSUM_VALID;
	if (!(asked->flags & FRAME_CSUM_NEEDED))
		return;
	left->flags = FRAME_CSUM_NEEDED;
	left->csum_start = (uint16_t)(asked->csum_start + cut->shift);
	left->csum_offset = asked->csum_offset;
	if (asked->gso_type == FRAME_GSO_NONE || cut->segments)
		return;
	left->gso_type = asked->gso_type;
	left->gso_bytes = asked->gso_bytes;
	left->header_bytes = (uint16_t)(cut->packet->payload + cut->shift);
}

/* ---- the cut ---- */

/* The first `bytes` of the original, its first tag taken off and another put. */
static void write_head(struct packet_cut *cut, unsigned bytes, int tag)
{
	const uint8_t *head = cut->packet->head;
	unsigned behind = ADDRESSES_BYTES + (cut->packet->tags > 0 ? PACKET_TAG_BYTES : 0);
	unsigned at = ADDRESSES_BYTES;

	memcpy(cut->head, head, ADDRESSES_BYTES);
	if (tag != PACKET_UNTAGGED) {
		big16_put(cut->head + at, PACKET_VLAN);
		big16_put(cut->head + at + 2, (uint16_t)tag);
		at += PACKET_TAG_BYTES;
	}
	memcpy(cut->head + at, head + behind, bytes - behind);
	cut->shift = (int)at - (int)behind;
	cut->head_bytes = at + bytes - behind;
}

/* The largest frame that the receiver, or the one behind it that cuts the rest, sees. */
static bool is_too_long(const struct packet_cut *cut, const struct frame_abilities *receiver, int tag)
{
	const struct frame *frame = cut->frame;
	bool tagged = tag != PACKET_UNTAGGED || cut->packet->tags > 1;
	uint32_t bytes = frame->bytes;

	if (frame->offload.gso_type != FRAME_GSO_NONE &&
	    bytes - cut->packet->payload > frame->offload.gso_bytes)
		bytes = cut->packet->payload + frame->offload.gso_bytes;
	return bytes + cut->shift > FRAME_HEADER_BYTES + (tagged ? PACKET_TAG_BYTES : 0) + receiver->mtu ||
	       frame->bytes + cut->shift > FRAME_BYTES_MAX;
}

enum packet_fault packet_cut_begin(struct packet_cut *cut, const struct packet *packet,
				   const struct frame *frame, const struct frame_abilities *receiver, int tag)
{
	const struct frame_offload *asked = &frame->offload;
	unsigned bytes = packet->head_bytes;

	assert(frame->iov_count <= FRAME_IOV_MAX && tag >= PACKET_UNTAGGED && tag <= UINT16_MAX);
	cut->packet = packet;
	cut->frame = frame;
	cut->fill_checksum = (asked->flags & FRAME_CSUM_NEEDED) && !receiver->csum;
	cut->segments =
		asked->gso_type != FRAME_GSO_NONE && (frame->bytes - packet->payload <= asked->gso_bytes ||
						      !can_segment(receiver, asked->gso_type));
	if (cut->segments)
		bytes = packet->payload;
	cut->over = true;
	write_head(cut, bytes, tag);
	if (is_too_long(cut, receiver, tag))
		return PACKET_LONG;
	skip_head(cut, bytes);
	leave_to_receiver(cut, receiver);
	cut->left_bytes = frame->bytes - bytes;
	cut->segment_idx = 0;
	cut->iov[0] = (struct iovec){ cut->head, cut->head_bytes };
	cut->out.iov = cut->iov;
	cut->over = false;
	return PACKET_FINE;
}

unsigned packet_cut_skip(struct packet_cut *cut, unsigned count)
{
	uint32_t each = cut->segments ? cut->frame->offload.gso_bytes : cut->left_bytes;
	unsigned there = cut->left_bytes > each ? (cut->left_bytes + each - 1) / each : 1;
	size_t bytes;

	if (cut->over)
		return count;
	if (count >= there) {
		cut->over = true;
		return count - there;
	}
	bytes = (size_t)count * each;
	cut->left_bytes -= (uint32_t)bytes;
	cut->segment_idx += count;
	for (bytes += cut->iov_offset; bytes >= cut->frame->iov[cut->iov_idx].iov_len; cut->iov_idx++)
		bytes -= cut->frame->iov[cut->iov_idx].iov_len;
	cut->iov_offset = bytes;
	return 0;
}

const struct frame *packet_cut_next(struct packet_cut *cut)
{
	uint32_t bytes = cut->left_bytes;

	if (cut->over)
		return NULL;
	if (cut->segments && bytes > cut->frame->offload.gso_bytes)
		bytes = cut->frame->offload.gso_bytes;
	cut->out.iov_count = slice(cut, bytes);
	cut->out.bytes = cut->head_bytes + bytes;
	if (cut->segments) {
		uint32_t transport_bytes = cut->packet->payload - cut->packet->transport + bytes;

		write_network(cut, transport_bytes);
		write_transport(cut, transport_bytes);
	}
	if (cut->fill_checksum)
		fill_checksum(cut);
	cut->segment_idx++;
	cut->over = cut->left_bytes == 0;
	return &cut->out;
}
