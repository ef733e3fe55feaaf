/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An Ethernet frame on its way between a virtual NIC, the switch and a physical one: the bytes from the
 * destination address on, without FCS, and what is still to be done for it. The receiver of a frame copies
 * what it keeps: a frame and its bytes are lent for the call. The bytes may be a guest's, who changes them
 * meanwhile: read them once.
 */
#ifndef VIADUCT_CORE_FRAME_H
#define VIADUCT_CORE_FRAME_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define FRAME_HEADER_BYTES  14u /* two addresses and the type */
#define FRAME_ADDRESS_BYTES 6u
/* The largest one: IP's 64 KiB of a segmented packet behind two VLAN tags. */
#define FRAME_BYTES_MAX (65535u + FRAME_HEADER_BYTES + 8u)
/* Iovecs of a frame that a port sends, and of one that it gets, with the switch's private head in front. */
#define FRAME_IOV_MAX	  64u
#define FRAME_CUT_IOV_MAX (FRAME_IOV_MAX + 1u)

/* flags */
/* The checksum at csum_start + csum_offset holds the pseudo header's sum only */
#define FRAME_CSUM_NEEDED 1u
#define FRAME_CSUM_VALID  2u /* the checksums were verified, or never left this host */

/* gso_type: the frame is to be cut into segments of gso_bytes of payload each */
#define FRAME_GSO_NONE 0u
#define FRAME_GSO_TCP4 1u
#define FRAME_GSO_TCP6 4u
#define FRAME_GSO_UDP  5u    /* UDP over IPv4 or IPv6, each segment a datagram */
#define FRAME_GSO_ECN  0x80u /* besides TCP4 or TCP6: CWR in the first segment only */

/*
 * The fields of struct virtio_net_hdr (virtio 1.2, 5.1.6), which is the kernel's for taps and packet sockets,
 * too.
 */
struct frame_offload {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t header_bytes; /* all headers of a GSO frame; a hint, not to be trusted */
	uint16_t gso_bytes;
	uint16_t csum_start;  /* from the frame's beginning */
	uint16_t csum_offset; /* from csum_start */
};

#define FRAME_OFFLOAD_WIRE_BYTES 10u

static_assert(sizeof(struct frame_offload) == FRAME_OFFLOAD_WIRE_BYTES,
	      "as on the wire of a little-endian machine");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the header is used as it lies in memory");

struct frame {
	const struct iovec *iov;
	unsigned iov_count; /* at most FRAME_IOV_MAX or FRAME_CUT_IOV_MAX */
	uint32_t bytes;	    /* of all of them; FRAME_HEADER_BYTES to FRAME_BYTES_MAX */
	struct frame_offload offload;
};

/* What a receiver of frames does itself; the rest is done for it before. */
struct frame_abilities {
	uint8_t csum, tso4, tso6, ecn, uso; /* flags */
	/* Bytes behind the Ethernet header and VLAN tag; GSO frames aside */
	uint16_t mtu;
};

#endif
