/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/nic_vxlan_format.h"

#include "core/big_endian.h"

#define FLAG_VNI_VALID 0x08000000u
#define VNI_SHIFT      8

enum vxlan_fault vxlan_parse(uint8_t *datagram, size_t bytes, uint32_t vni, struct vxlan_inner *ret_inner)
{
	uint32_t vni_and_reserved;

	assert(vni <= VXLAN_VNI_MAX);
	if (bytes < VXLAN_HEADER_BYTES + FRAME_HEADER_BYTES)
		return VXLAN_SHORT;
	if (bytes > VXLAN_HEADER_BYTES + FRAME_BYTES_MAX)
		return VXLAN_LONG;
	vni_and_reserved = big32_get(datagram + 4);
	if (big32_get(datagram) != FLAG_VNI_VALID || (vni_and_reserved & ((1u << VNI_SHIFT) - 1)) != 0)
		return VXLAN_FLAGS;
	if (vni_and_reserved >> VNI_SHIFT != vni)
		return VXLAN_VNI;
	*ret_inner =
		(struct vxlan_inner){ datagram + VXLAN_HEADER_BYTES, (uint32_t)bytes - VXLAN_HEADER_BYTES };
	return VXLAN_FINE;
}

void vxlan_header_put(uint8_t header[VXLAN_HEADER_BYTES], uint32_t vni)
{
	assert(vni <= VXLAN_VNI_MAX);
	big32_put(header, FLAG_VNI_VALID);
	big32_put(header + 4, vni << VNI_SHIFT);
}
