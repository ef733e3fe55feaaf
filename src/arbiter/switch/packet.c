/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reader goes from header to header and stops where one is not complete, contradicts the frame or is not
 * known here. It looks at the private head only, never at the frame again.
 *
 *	0	destination	 6 bytes
 *	6	source		 6
 *	12	tags		 4 each: 0x8100 or 0x88a8; priority, DEI, VLAN
 *		type		 2
 *		ARP		28, or IPv4: 20 to 60, or IPv6: 40, then extension headers of 8 to 2048 each
 *		TCP		20 to 60, or UDP, ICMP, ICMPv6: 8
 */
#include "arbiter/switch/packet.h"

#include <assert.h>
#include <string.h>

#include "core/big_endian.h"
#include "core/shared.h"

#define TYPE_OFFSET	12u
#define TAGS_MAX	2u
#define ARP_BYTES	28u
#define IPV4_BYTES	20u
#define IPV6_BYTES	40u
#define TCP_BYTES	20u
#define UDP_BYTES	8u
#define ICMP_BYTES	8u
#define EXTENSION_BYTES 8u /* the first bytes of one, with its length; all of a fragment header */

/* In IPv4's flags and fragment offset, and in IPv6's fragment header (RFC 8200, 4.5) */
#define IPV4_FRAGMENT	     0x3fffu
#define IPV4_FRAGMENT_OFFSET 0x1fffu
#define IPV6_FRAGMENT	     0xfff9u
#define IPV6_FRAGMENT_OFFSET 0xfff8u

enum extension {
	HOP_BY_HOP = 0,
	ROUTING = 43,
	FRAGMENT = 44,
	DESTINATION_OPTIONS = 60,
};

struct reader {
	const struct frame *frame;
	struct packet *packet;
	unsigned at;	 /* behind the last header */
	unsigned end;	 /* of what can be read: the head's end, or IP's */
	unsigned ip_end; /* where IP says that the frame ends; 0: no IP */
	unsigned free;	 /* a checksum that is to be filled in may lie from here on */
};

/* What can be read, at least `bytes`; or NULL. */
static const uint8_t *header_of(const struct reader *reader, unsigned bytes)
{
	return reader->end - reader->at < bytes ? NULL : reader->packet->head + reader->at;
}

static void copy_head(const struct frame *frame, struct packet *packet)
{
	unsigned bytes = frame->bytes < PACKET_HEAD_BYTES ? frame->bytes : PACKET_HEAD_BYTES;
	unsigned done = 0;

	for (unsigned i = 0; done < bytes; i++) {
		size_t part = bytes - done;

		assert(i < frame->iov_count);
		if (part > frame->iov[i].iov_len)
			part = frame->iov[i].iov_len;
		if (part == 0)
			continue;
		shared_copy_in(packet->head + done, frame->iov[i].iov_base, part);
		done += (unsigned)part;
	}
	packet->head_bytes = bytes;
}

/* False: the frame ends inside a tag. */
static bool read_tags(struct packet *packet)
{
	unsigned at = TYPE_OFFSET;

	packet->tags = 0;
	packet->tag = 0;
	packet->type = big16_get(packet->head + at);
	while ((packet->type == PACKET_VLAN || packet->type == PACKET_QINQ) && packet->tags < TAGS_MAX) {
		if (packet->head_bytes < at + 2 + PACKET_TAG_BYTES)
			return false;
		if (packet->tags == 0)
			packet->tag = big16_get(packet->head + at + 2);
		packet->tags++;
		at += PACKET_TAG_BYTES;
		packet->type = big16_get(packet->head + at);
	}
	return true;
}

/* ---- behind the Ethernet header ---- */

static void read_transport(struct reader *reader, uint8_t protocol)
{
	struct packet *packet = reader->packet;
	const uint8_t *header = NULL;
	unsigned bytes = 0;

	packet->protocol = protocol;
	reader->free = reader->at;
	if (protocol == PACKET_TCP) {
		header = header_of(reader, TCP_BYTES);
		bytes = header ? (header[12] >> 4) * 4u : 0;
		if (bytes < TCP_BYTES || bytes > reader->end - reader->at)
			header = NULL;
	} else if (protocol == PACKET_UDP) {
		header = header_of(reader, UDP_BYTES);
		bytes = UDP_BYTES;
	} else if (protocol == (packet->type == PACKET_IPV4 ? PACKET_ICMP : PACKET_ICMPV6)) {
		header = header_of(reader, ICMP_BYTES);
	} else {
		return;
	}
	reader->free = PACKET_HEAD_BYTES;
	if (!header)
		return;
	packet->transport = reader->at;
	if (bytes > 0)
		reader->free = packet->payload = reader->at + bytes;
}

static void read_ipv4(struct reader *reader)
{
	const uint8_t *header = header_of(reader, IPV4_BYTES);
	unsigned bytes, total_bytes;
	uint16_t fragment;

	if (!header || header[0] >> 4 != 4)
		return;
	bytes = (header[0] & 15) * 4u;
	total_bytes = big16_get(header + 2);
	if (bytes < IPV4_BYTES || !header_of(reader, bytes) || total_bytes < bytes ||
	    total_bytes > reader->frame->bytes - reader->at)
		return;
	reader->packet->network = reader->at;
	reader->ip_end = reader->at + total_bytes;
	if (reader->end > reader->ip_end)
		reader->end = reader->ip_end;
	reader->at += bytes;
	fragment = big16_get(header + 6);
	reader->packet->fragment = (fragment & IPV4_FRAGMENT) != 0;
	reader->packet->later = (fragment & IPV4_FRAGMENT_OFFSET) != 0;
	if (!reader->packet->later)
		read_transport(reader, header[9]);
}

/* The bytes of an extension header, 0 if it is not all there. */
static unsigned extension_bytes(const struct reader *reader, uint8_t type)
{
	const uint8_t *header = header_of(reader, EXTENSION_BYTES);
	unsigned bytes;

	if (!header)
		return 0;
	bytes = type == FRAGMENT ? EXTENSION_BYTES : (header[1] + 1u) * EXTENSION_BYTES;
	return header_of(reader, bytes) ? bytes : 0;
}

static void read_extensions(struct reader *reader, uint8_t next)
{
	for (unsigned i = 0; i <= PACKET_EXTENSIONS_MAX; i++) {
		const uint8_t *header = reader->packet->head + reader->at;
		uint16_t fragment = 0;
		unsigned bytes;

		if (next != HOP_BY_HOP && next != ROUTING && next != FRAGMENT &&
		    next != DESTINATION_OPTIONS) {
			read_transport(reader, next);
			return;
		}
		bytes = extension_bytes(reader, next);
		if (bytes == 0)
			return;
		if (next == FRAGMENT)
			fragment = big16_get(header + 2);
		reader->packet->fragment |= (fragment & IPV6_FRAGMENT) != 0;
		reader->at += bytes;
		next = header[0];
		reader->packet->later = (fragment & IPV6_FRAGMENT_OFFSET) != 0;
		if (reader->packet->later)
			return;
	}
}

static void read_ipv6(struct reader *reader)
{
	const uint8_t *header = header_of(reader, IPV6_BYTES);
	unsigned total_bytes;

	if (!header || header[0] >> 4 != 6)
		return;
	total_bytes = IPV6_BYTES + big16_get(header + 4);
	if (total_bytes > reader->frame->bytes - reader->at)
		return;
	reader->packet->network = reader->at;
	reader->ip_end = reader->at + total_bytes;
	if (reader->end > reader->ip_end)
		reader->end = reader->ip_end;
	reader->at += IPV6_BYTES;
	read_extensions(reader, header[6]);
}

/* Of Ethernet and IPv4, which is all that ARP is used for. */
static void read_arp(struct reader *reader)
{
	static const uint8_t kind[] = { 0, 1, PACKET_IPV4 >> 8, PACKET_IPV4 & 0xff, FRAME_ADDRESS_BYTES, 4 };
	const uint8_t *header = header_of(reader, ARP_BYTES);

	if (header && memcmp(header, kind, sizeof(kind)) == 0)
		reader->packet->network = reader->at;
}

static void read_network(struct reader *reader)
{
	reader->packet->read = true;
	reader->free = PACKET_HEAD_BYTES;
	switch (reader->packet->type) {
	case PACKET_IPV4:
		read_ipv4(reader);
		break;
	case PACKET_IPV6:
		read_ipv6(reader);
		break;
	case PACKET_ARP:
		read_arp(reader);
		break;
	default:
		reader->free = reader->at;
	}
}

/* ---- what is asked for ---- */

/* Where a transport header has its checksum. */
static unsigned checksum_offset(uint8_t protocol)
{
	switch (protocol) {
	case PACKET_TCP:
		return 16;
	case PACKET_UDP:
		return 6;
	default:
		return 2;
	}
}

static bool is_transport_checksum(const struct packet *packet, const struct frame_offload *offload)
{
	return packet->transport != 0 && offload->csum_start == packet->transport &&
	       offload->csum_offset == checksum_offset(packet->protocol);
}

static bool checksum_is_sound(const struct reader *reader)
{
	const struct frame_offload *offload = &reader->frame->offload;

	if ((uint32_t)offload->csum_start + offload->csum_offset + 2 > reader->packet->head_bytes)
		return false;
	return is_transport_checksum(reader->packet, offload) || offload->csum_start >= reader->free;
}

static bool is_of_gso_type(const struct packet *packet, uint8_t gso_type)
{
	switch (gso_type) {
	case FRAME_GSO_TCP4:
	case FRAME_GSO_TCP4 | FRAME_GSO_ECN:
		return packet->type == PACKET_IPV4 && packet->protocol == PACKET_TCP;
	case FRAME_GSO_TCP6:
	case FRAME_GSO_TCP6 | FRAME_GSO_ECN:
		return packet->type == PACKET_IPV6 && packet->protocol == PACKET_TCP;
	case FRAME_GSO_UDP:
		return packet->protocol == PACKET_UDP;
	default:
		return false;
	}
}

static bool gso_is_sound(const struct reader *reader)
{
	const struct frame_offload *offload = &reader->frame->offload;
	const struct packet *packet = reader->packet;

	return is_of_gso_type(packet, offload->gso_type) && !packet->fragment &&
	       (offload->flags & FRAME_CSUM_NEEDED) && is_transport_checksum(packet, offload) &&
	       reader->ip_end == reader->frame->bytes &&
	       reader->frame->bytes - packet->payload <= (uint64_t)offload->gso_bytes * PACKET_SEGMENTS_MAX &&
	       offload->gso_bytes != 0;
}

/* Of a frame whose tags are read. */
static struct reader behind_type(const struct frame *frame, struct packet *packet)
{
	return (struct reader){
		.frame = frame,
		.packet = packet,
		.at = TYPE_OFFSET + packet->tags * PACKET_TAG_BYTES + 2,
		.end = packet->head_bytes,
	};
}

static bool asks_for_offload(const struct frame *frame)
{
	return frame->offload.flags & FRAME_CSUM_NEEDED || frame->offload.gso_type != FRAME_GSO_NONE;
}

static enum packet_fault read_asking(const struct frame *frame, struct packet *packet)
{
	struct reader reader = behind_type(frame, packet);

	read_network(&reader);
	if ((frame->offload.flags & FRAME_CSUM_NEEDED) && !checksum_is_sound(&reader))
		return PACKET_BAD_OFFLOAD;
	if (frame->offload.gso_type != FRAME_GSO_NONE && !gso_is_sound(&reader))
		return PACKET_BAD_OFFLOAD;
	return PACKET_FINE;
}

enum packet_fault packet_parse_begin(const struct frame *frame, struct packet *ret_packet)
{
	assert(frame->iov_count <= FRAME_IOV_MAX);
	if (frame->bytes < FRAME_HEADER_BYTES)
		return PACKET_SHORT;
	copy_head(frame, ret_packet);
	if (frame->bytes > FRAME_BYTES_MAX)
		return PACKET_LONG;
	if (!read_tags(ret_packet))
		return PACKET_SHORT;
	ret_packet->network = ret_packet->transport = ret_packet->payload = 0;
	ret_packet->protocol = 0;
	ret_packet->fragment = false;
	ret_packet->later = false;
	ret_packet->read = false;
	return asks_for_offload(frame) ? read_asking(frame, ret_packet) : PACKET_FINE;
}

void packet_parse_rest(const struct frame *frame, struct packet *packet)
{
	struct reader reader;

	if (packet->read)
		return;
	reader = behind_type(frame, packet);
	read_network(&reader);
}

enum packet_fault packet_parse(const struct frame *frame, struct packet *ret_packet)
{
	enum packet_fault fault = packet_parse_begin(frame, ret_packet);

	if (fault == PACKET_FINE)
		packet_parse_rest(frame, ret_packet);
	return fault;
}

const char *packet_fault_text(enum packet_fault fault)
{
	static const char *const texts[PACKET_FAULTS] = {
		[PACKET_FINE] = "fine",
		[PACKET_SHORT] = "short",
		[PACKET_LONG] = "long",
		[PACKET_BAD_OFFLOAD] = "bad_offload",
	};

	assert(fault < PACKET_FAULTS);
	return texts[fault];
}

void packet_wire_size(const struct packet *packet, const struct frame *frame, uint64_t *ret_frames,
		      uint64_t *ret_bytes)
{
	uint32_t payload;

	*ret_frames = 1;
	*ret_bytes = frame->bytes;
	if (frame->offload.gso_type == FRAME_GSO_NONE || frame->bytes <= packet->payload)
		return;
	payload = frame->bytes - packet->payload;
	*ret_frames = (payload + frame->offload.gso_bytes - 1u) / frame->offload.gso_bytes;
	*ret_bytes += (*ret_frames - 1) * packet->payload;
}
