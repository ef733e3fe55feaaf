/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a VXLAN datagram looks like (RFC 7348, 5), from the UDP header on:
 *
 *   0    flags: 0x08, the VNI is valid; the other bits are reserved
 *   1-3  reserved
 *   4-6  VNI, the number of the virtual network
 *   7    reserved
 *   8-   an Ethernet frame without FCS
 *
 * What is reserved is 0 when it is sent. The RFC wants it ignored on receipt; we refuse a datagram in which
 * it is not 0, as Linux and Open vSwitch do: extensions use these bits to say that no Ethernet frame follows.
 * Pure: bytes in, result out.
 */
#ifndef VIADUCT_HOST_NIC_VXLAN_FORMAT_H
#define VIADUCT_HOST_NIC_VXLAN_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "core/frame.h"

#define VXLAN_HEADER_BYTES 8u
#define VXLAN_VNI_MAX	   0xffffffu

enum vxlan_fault {
	VXLAN_FINE,
	VXLAN_SHORT, /* too short for the header and a frame */
	VXLAN_LONG,  /* of more than FRAME_BYTES_MAX */
	VXLAN_FLAGS, /* no VNI, or something in what is reserved */
	VXLAN_VNI,   /* of another network */
	VXLAN_FAULTS,
};

struct vxlan_inner {
	uint8_t *frame; /* in the datagram */
	uint32_t bytes;
};

/* *ret_inner is set when the result is VXLAN_FINE. */
enum vxlan_fault vxlan_parse(uint8_t *datagram, size_t bytes, uint32_t vni, struct vxlan_inner *ret_inner);

/* `vni` is at most VXLAN_VNI_MAX. */
void vxlan_header_put(uint8_t header[VXLAN_HEADER_BYTES], uint32_t vni);

#endif
