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
#define PACKET_TAG_BYTES  4u

/* IPv6 headers in front of the transport header. The standard knows seven, each used once (RFC 8200, 4.1). */
#define PACKET_EXTENSIONS_MAX 8u
/*
 * Segments of one GSO frame: what a guest can make us do with one descriptor chain. 64 KiB may still have
 * segments of 32 bytes, where IPv4's smallest MTU of 68 gives 28 and no stack uses less than 48.
 */
#define PACKET_SEGMENTS_MAX 2048u

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
	PACKET_SHORT,	    /* less than an Ethernet header with its tags */
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
	uint16_t tag;  /* of the first: priority, DEI and VLAN */
	uint16_t type; /* behind up to two tags; PACKET_…, or a length below 1536 */
	/*
	 * The IPv4 header, complete with options, or the IPv6 header, with lengths that fit the frame; or
	 * the 28 bytes of ARP for IPv4 over Ethernet. 0 although `type` is one of these: it contradicts
	 * itself or the frame, or is ARP for something else.
	 */
	unsigned network;
	/*
	 * Of IPv4, or of IPv6 behind extension headers. 0: the transport header is not here but in the first
	 * fragment, or the extension headers are more than PACKET_EXTENSIONS_MAX or not all in the head.
	 */
	uint8_t protocol;
	bool fragment;	    /* one of several: only the first has a transport header */
	bool later;	    /* a fragment behind the first */
	unsigned transport; /* the TCP header (complete with options), UDP, ICMP or ICMPv6 header */
	unsigned payload;   /* behind TCP's or UDP's header; 0: neither */
	bool read;	    /* private: what is behind `type` is there */
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
 * FRAME_CSUM_NEEDED: the checksum's two bytes lie in the head, and are those of the transport header or lie
 * behind all headers that are found here (a tunnel's payload). So the checksum that is written later changes
 * nothing that was looked at: a guest could choose its value. A message of ARP, ICMP or ICMPv6, a fragment
 * behind the first, and a header that contradicts itself have no such place behind them.
 *
 * GSO: the frame is TCP over the IP version that gso_type says, or UDP, no fragment, with all its headers in
 * the head, and ends where IP says; gso_bytes is not 0 and gives PACKET_SEGMENTS_MAX segments at most; the
 * checksum to fill in (FRAME_CSUM_NEEDED) is the transport header's.
 */
enum packet_fault packet_parse(const struct frame *frame, struct packet *ret_packet);

/*
 * packet_parse() in two steps, because most frames go their way by Ethernet's header alone. The first finds
 * all faults; of a frame that asks for no offload it reads no further than the type. The second, on a frame
 * that is fine, reads the rest from the private head, once.
 */
enum packet_fault packet_parse_begin(const struct frame *frame, struct packet *ret_packet);
void packet_parse_rest(const struct frame *frame, struct packet *packet);

/* What the frame is on a wire: how many frames when it is cut into segments, and all their bytes. */
void packet_wire_size(const struct packet *packet, const struct frame *frame, uint64_t *ret_frames,
		      uint64_t *ret_bytes);

/* ---- what a receiver gets ---- */

#define PACKET_UNTAGGED (-1)

/*
 * Cuts one frame into those that a receiver takes: the frame itself when it can do what is left to do, one
 * with its checksum filled in, or the segments of a GSO frame. Segments have their checksums filled in, too,
 * unless the receiver does that (FRAME_CSUM_NEEDED is set then). A GSO frame whose payload is one segment
 * becomes a frame like any other. What the sender has put into the checksum's place is taken for the sum of
 * the pseudo header, as the kernel does: behind a routing header only the sender knows its addresses.
 *
 * Owned by the caller, a few KiB: one for each thread, used again.
 */
struct packet_cut {
	const struct packet *packet;
	const struct frame *frame;
	/* private */
	struct frame out;
	struct iovec iov[FRAME_CUT_IOV_MAX];
	uint8_t head[PACKET_HEAD_BYTES + PACKET_TAG_BYTES];
	unsigned head_bytes;
	int shift;	     /* of the headers behind the tag, against the original */
	unsigned iov_idx;    /* the iovec of the original where the rest of the payload begins */
	size_t iov_offset;   /* inside it */
	uint32_t left_bytes; /* of payload */
	uint32_t segment_idx;
	bool fill_checksum, segments, over;
};

/*
 * `packet` is what packet_parse() found fine in `frame`; both stay until the last frame is taken.
 *
 * `tag`: the VLAN tag that the frame gets, or PACKET_UNTAGGED; in either case a tag that it has (packet->tags
 * > 0, the first one) is taken off before. Returns PACKET_FINE; or PACKET_LONG: the frame is larger than
 * receiver->mtu and no GSO frame, or a segment of it would be (mtu counts what is behind the Ethernet header
 * and one tag); or it would be larger than FRAME_BYTES_MAX with its tag.
 */
enum packet_fault packet_cut_begin(struct packet_cut *cut, const struct packet *packet,
				   const struct frame *frame, const struct frame_abilities *receiver,
				   int tag);
/* Passes over the next frames. Returns how many of `count` there were not any more. */
unsigned packet_cut_skip(struct packet_cut *cut, unsigned count);
/* The next frame, of FRAME_CUT_IOV_MAX iovecs at most, valid until the next call; NULL: that was all. */
const struct frame *packet_cut_next(struct packet_cut *cut);

#endif
