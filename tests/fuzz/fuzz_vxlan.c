/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any bytes as a VXLAN datagram. A frame that is found is the datagram's end, of a size that frames have, and
 * the header before it is the one that we would write. What its sender left undone is said so that the
 * switch takes the frame, and its checksum is right when that is done.
 *
 * The input: the VNI (3 bytes), how many bytes more are made up (2), then the datagram's first bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "arbiter/switch/packet.h"
#include "core/big_endian.h"
#include "host/nic_vxlan_format.h"
#include "host/nic_vxlan_offload.h"
#include "input_trace.h"

#define HEAD_BYTES 5u
#define MTU	   1450u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

/* Modulo 65535, which is what the sum of the Internet is. */
static uint32_t sum(const uint8_t *bytes, uint32_t count)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < count; i++)
		total += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return (uint32_t)(total % 65535);
}

/* The field holds the pseudo header's sum, so the complement of all is what belongs there. */
static void check_filled(uint8_t *frame, uint32_t bytes, const struct packet *packet,
			 const struct frame_offload *offload)
{
	unsigned addresses = packet->network + (packet->type == PACKET_IPV4 ? 12 : 8);
	unsigned addresses_bytes = packet->type == PACKET_IPV4 ? 8 : 32;
	uint8_t *field = frame + offload->csum_start + offload->csum_offset;
	uint32_t transport_bytes = bytes - offload->csum_start;

	big16_put(field, (uint16_t)~sum(frame + offload->csum_start, transport_bytes));
	check((sum(frame + addresses, addresses_bytes) + packet->protocol + transport_bytes +
	       sum(frame + offload->csum_start, transport_bytes)) %
		      65535 ==
	      0);
}

static void check_offload(const struct vxlan_inner *inner)
{
	static const struct frame_offload none;
	static struct packet packet;
	struct frame_offload offload = vxlan_offload(inner->frame, inner->bytes, MTU);
	struct iovec iov = { inner->frame, inner->bytes };
	struct frame frame = { .iov = &iov, .iov_count = 1, .bytes = inner->bytes, .offload = offload };

	fuzz_trace(&offload, sizeof(offload));
	if (memcmp(&offload, &none, sizeof(none)) == 0)
		return;
	check(offload.flags == FRAME_CSUM_NEEDED);
	check(packet_parse(&frame, &packet) == PACKET_FINE);
	check(offload.gso_type == FRAME_GSO_NONE || inner->bytes - packet.network > MTU);
	check_filled(inner->frame, inner->bytes, &packet, &offload);
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
	if (fault == VXLAN_FINE) {
		check_inner(datagram, bytes, vni, &inner);
		check_offload(&inner);
	} else {
		check(!inner.frame && inner.bytes == 0);
	}
	free(datagram);
	return 0;
}
