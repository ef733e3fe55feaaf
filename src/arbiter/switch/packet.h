/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is in a frame, and what has to be made of it for a receiver.
 *
 * A frame's bytes are a guest's, who may change them while we look. So the beginning of a frame, as far as
 * any decision depends on it, is copied once: what is checked is what is delivered. Only payload is read
 * again.
 */
#ifndef VIADUCT_ARBITER_SWITCH_PACKET_H
#define VIADUCT_ARBITER_SWITCH_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include "core/frame.h"

/* Addresses and type, two VLAN tags, IPv6 with extension headers, TCP with options; an ARP or ND message. */
#define PACKET_HEAD_BYTES 256u

#define PACKET_ARP  0x0806u
#define PACKET_IPV4 0x0800u
#define PACKET_IPV6 0x86ddu
#define PACKET_VLAN 0x8100u
#define PACKET_QINQ 0x88a8u

#define PACKET_ICMP   1u
#define PACKET_TCP    6u
#define PACKET_UDP    17u
#define PACKET_ICMPV6 58u

/* Why a frame is not forwarded as it is. Drops are counted by these. */
enum packet_fault {
	PACKET_FINE,
	PACKET_SHORT,	    /* less than an Ethernet header */
	PACKET_LONG,	    /* more than FRAME_BYTES_MAX, or than the receiver's MTU */
	PACKET_BAD_OFFLOAD, /* an offload header that does not fit the frame (virtio 1.2, 5.1.6.2) */
	PACKET_FAULTS
};

/* A word for each, as metrics have it: "short". */
const char *packet_fault_text(enum packet_fault fault);

/* Offsets are from the frame's beginning; 0: there is no such header, or it is not all in the head. */
struct packet {
	unsigned head_bytes; /* copied of the frame: all of it, or PACKET_HEAD_BYTES */
	/* VLAN tags in front of `type` (PACKET_VLAN or PACKET_QINQ): 0, 1, or 2 for more */
	unsigned tags;
	uint16_t tag;	  /* of the first: priority, DEI and VLAN */
	uint16_t type;	  /* behind up to two tags; PACKET_…, or a length below 1536 */
	unsigned network; /* the ARP, IPv4 or IPv6 header, complete with IPv4 options */
	/* Of IPv4, or of IPv6 behind extension headers; 0: no transport header here */
	uint8_t protocol;
	bool fragment;	    /* one of several: only the first has a transport header */
	unsigned transport; /* the TCP header (complete with options), UDP, ICMP or ICMPv6 header */
	unsigned payload;   /* behind TCP's or UDP's header; 0: neither */
	uint8_t head[PACKET_HEAD_BYTES];
};

static inline const uint8_t *packet_destination(const struct packet *packet)
{
	return packet->head;
}

static inline const uint8_t *packet_source(const struct packet *packet)
{
	return packet->head + FRAME_ADDRESS_BYTES;
}

/*
 * Reads a frame's beginning and checks its offload header. A frame of an unknown type, or whose inner headers
 * contradict each other, is fine as long as it asks for no offload that needs them. On a fault *ret_packet is
 * undefined but for the addresses, which are there unless the fault is PACKET_SHORT.
 *
 * FRAME_CSUM_NEEDED: the checksum's two bytes lie in the head, behind the Ethernet header. GSO: the frame is
 * TCP over the IP version that gso_type says, or UDP, no fragment, with all its headers in the head;
 * gso_bytes is not 0; the checksum to fill in is the transport header's.
 */
enum packet_fault packet_parse(const struct frame *frame, struct packet *ret_packet);

/* ---- what a receiver gets ---- */

#define PACKET_UNTAGGED (-1)

/*
 * Cuts one frame into those that a receiver takes: the frame itself when it can do what is left to do, one
 * with its checksum filled in, or the segments of a GSO frame with theirs. Owned by the caller, a few KiB:
 * one for each thread, used again.
 */
struct packet_cut {
	const struct packet *packet;
	const struct frame *frame;
	/* private */
	struct frame out;
	struct iovec iov[FRAME_IOV_MAX + 2];
	uint8_t head[PACKET_HEAD_BYTES + 4];
	unsigned head_bytes;
	unsigned offset; /* of the payload, how much is cut off already */
	unsigned step;	 /* payload of the next one */
	bool fill_checksum, segments, over;
};

/*
 * `tag`: the VLAN tag that the frame gets, or PACKET_UNTAGGED; in either case a tag that it has (packet->tags
 * > 0, the first one) is taken off before. Returns PACKET_FINE; or PACKET_LONG: the frame is larger than
 * receiver->mtu and no GSO frame, or a segment of it would be (mtu counts what is behind the Ethernet header
 * and one tag).
 */
enum packet_fault packet_cut_begin(struct packet_cut *cut, const struct packet *packet,
				   const struct frame *frame, const struct frame_abilities *receiver,
				   int tag);
/* The next frame, valid until the next call; NULL: that was all. */
const struct frame *packet_cut_next(struct packet_cut *cut);

#endif
