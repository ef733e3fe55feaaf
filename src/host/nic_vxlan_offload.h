/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the sender of a frame has left undone.
 *
 * Linux leaves checksums to be filled in, and large TCP segments to be cut, to the card that the datagram
 * leaves by. Between two network namespaces of one host, and between a host and its own containers, there is
 * no such card: the datagram comes with a frame that is larger than the network's MTU, and whose checksum
 * field holds the sum of the pseudo header only. The kernel knows that, but a UDP socket does not tell.
 *
 * It shows in the frame. A checksum field that is equal to the pseudo header's sum is taken for one that is
 * to be filled in. A right checksum that happens to be equal to that sum stays what it is when it is filled
 * in; so no frame that was right becomes wrong. A TCP frame beyond the MTU that has such a field is taken for
 * one that is to be cut: TCP does not mind where.
 */
#ifndef VIADUCT_HOST_NIC_VXLAN_OFFLOAD_H
#define VIADUCT_HOST_NIC_VXLAN_OFFLOAD_H

#include "core/frame.h"

/*
 * For a frame of FRAME_HEADER_BYTES or more. `mtu`: of the virtual network. What cannot be cut (UDP, a
 * frame whose checksum is there) is left as it is, whatever its size.
 */
struct frame_offload vxlan_offload(const uint8_t *frame, uint32_t bytes, unsigned mtu);

#endif
