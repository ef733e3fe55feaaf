/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as a VXLAN datagram. A frame that is found is the datagram's end, of a size that frames have, and
 * the header before it is the one that we would write.
 *
 * The input: the VNI (3 bytes), how many bytes more are made up (2), then the datagram's first bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "core/big_endian.h"
#include "host/nic_vxlan_format.h"
#include "input_trace.h"

#define HEAD_BYTES 5u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

static void check_inner(const uint8_t *datagram, size_t bytes, uint32_t vni, const struct vxlan_inner *inner)
{
	uint8_t header[VXLAN_HEADER_BYTES];

	check(inner->frame == datagram + VXLAN_HEADER_BYTES && inner->bytes == bytes - VXLAN_HEADER_BYTES);
	check(inner->bytes >= FRAME_HEADER_BYTES && inner->bytes <= FRAME_BYTES_MAX);
	vxlan_header_put(header, vni);
	check(memcmp(header, datagram, sizeof(header)) == 0);
	fuzz_trace(inner->frame, inner->bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vxlan_inner inner = { 0 };
	enum vxlan_fault fault;
	size_t given, bytes;
	uint8_t *datagram;
	uint32_t vni;

	if (size < HEAD_BYTES)
		return 0;
	vni = (uint32_t)data[0] << 16 | big16_get(data + 1);
	given = size - HEAD_BYTES;
	bytes = given + big16_get(data + 3);
	/* Of just this size, so that a byte too many that is read is found. */
	datagram = calloc(1, bytes ? bytes : 1);
	check(datagram);
	memcpy(datagram, data + HEAD_BYTES, given);
	fault = vxlan_parse(datagram, bytes, vni, &inner);
	check(fault < VXLAN_FAULTS);
	fuzz_trace_number(fault);
	if (fault == VXLAN_FINE)
		check_inner(datagram, bytes, vni, &inner);
	else
		check(!inner.frame && inner.bytes == 0);
	free(datagram);
	return 0;
}
