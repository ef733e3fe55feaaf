/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/nic_vxlan_offload.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "core/big_endian.h"
#include "core/internet_sum.h"

#define TYPE_OFFSET 12u
#define TAG_BYTES   4u
#define TAGS_MAX    2u
#define IPV4_BYTES  20u
#define IPV6_BYTES  40u
#define TCP_BYTES   20u
#define UDP_BYTES   8u

#define IPV4_FRAGMENT	    0x3fffu /* more of them, or an offset */
#define TCP_CHECKSUM_OFFSET 16u
#define UDP_CHECKSUM_OFFSET 6u
#define TCP_CWR		    0x80u

/* Where a frame has what matters here, from its beginning; all of it is there. */
struct layers {
	unsigned network;
	unsigned transport;
	uint32_t transport_bytes; /* up to the frame's end */
	uint8_t protocol;
	bool ipv4;
};

/* Each reader returns false when the frame is none whose checksum can be left. */

static bool read_ipv4(const uint8_t *header, uint32_t bytes, struct layers *layers)
{
	unsigned header_bytes;

	if (bytes < IPV4_BYTES || header[0] >> 4 != 4)
		return false;
	header_bytes = (header[0] & 15) * 4u;
	/* Padding at the end would be counted into the sum. */
	if (header_bytes < IPV4_BYTES || header_bytes > bytes || big16_get(header + 2) != bytes ||
	    (big16_get(header + 6) & IPV4_FRAGMENT) != 0)
		return false;
	layers->ipv4 = true;
	layers->protocol = header[9];
	layers->transport = layers->network + header_bytes;
	layers->transport_bytes = bytes - header_bytes;
	return true;
}

static bool read_ipv6(const uint8_t *header, uint32_t bytes, struct layers *layers)
{
	if (bytes < IPV6_BYTES || header[0] >> 4 != 6 || big16_get(header + 4) != bytes - IPV6_BYTES)
		return false;
	layers->ipv4 = false;
	layers->protocol = header[6];
	layers->transport = layers->network + IPV6_BYTES;
	layers->transport_bytes = bytes - IPV6_BYTES;
	return true;
}

static bool read_layers(const uint8_t *frame, uint32_t bytes, struct layers *layers)
{
	unsigned at = TYPE_OFFSET, type = big16_get(frame + at);

	for (unsigned i = 0; i < TAGS_MAX && (type == ETH_P_8021Q || type == ETH_P_8021AD); i++) {
		at += TAG_BYTES;
		if (bytes < at + 2)
			return false;
		type = big16_get(frame + at);
	}
	layers->network = at + 2;
	if (type == ETH_P_IP)
		return read_ipv4(frame + layers->network, bytes - layers->network, layers);
	return type == ETH_P_IPV6 && read_ipv6(frame + layers->network, bytes - layers->network, layers);
}

/* Does the checksum's field hold the pseudo header's sum? */
static bool is_left(const uint8_t *frame, const struct layers *layers, unsigned offset)
{
	const uint8_t *network = frame + layers->network;
	struct internet_sum sum = { 0 };
	uint16_t field;

	if (layers->ipv4)
		internet_sum_add(&sum, network + 12, 2 * sizeof(struct in_addr));
	else
		internet_sum_add(&sum, network + 8, 2 * sizeof(struct in6_addr));
	internet_sum_add_word(&sum, htons(layers->protocol));
	internet_sum_add_word(&sum, htons((uint16_t)layers->transport_bytes));
	memcpy(&field, frame + layers->transport + offset, sizeof(field));
	return field == internet_sum_fold(&sum);
}

/* Returns 0 when there is no whole header of TCP or UDP. */
static unsigned transport_header_bytes(const uint8_t *frame, const struct layers *layers)
{
	const uint8_t *header = frame + layers->transport;
	unsigned bytes;

	if (layers->protocol == IPPROTO_UDP)
		return layers->transport_bytes < UDP_BYTES ? 0 : UDP_BYTES;
	if (layers->protocol != IPPROTO_TCP || layers->transport_bytes < TCP_BYTES)
		return 0;
	bytes = (header[12] >> 4) * 4u;
	return bytes < TCP_BYTES || bytes > layers->transport_bytes ? 0 : bytes;
}

static void leave_cutting(const uint8_t *frame, const struct layers *layers, unsigned header_bytes,
			  unsigned mtu, struct frame_offload *offload)
{
	unsigned headers_bytes = layers->transport - layers->network + header_bytes;

	if (headers_bytes >= mtu)
		return;
	offload->gso_type = layers->ipv4 ? FRAME_GSO_TCP4 : FRAME_GSO_TCP6;
	if (frame[layers->transport + 13] & TCP_CWR)
		offload->gso_type |= FRAME_GSO_ECN;
	offload->gso_bytes = (uint16_t)(mtu - headers_bytes);
	offload->header_bytes = (uint16_t)(layers->transport + header_bytes);
}

struct frame_offload vxlan_offload(const uint8_t *frame, uint32_t bytes, unsigned mtu)
{
	struct frame_offload offload = { 0 };
	unsigned header_bytes, csum_offset;
	struct layers layers;
	bool tcp;

	if (!read_layers(frame, bytes, &layers))
		return offload;
	header_bytes = transport_header_bytes(frame, &layers);
	if (header_bytes == 0)
		return offload;
	tcp = layers.protocol == IPPROTO_TCP;
	csum_offset = tcp ? TCP_CHECKSUM_OFFSET : UDP_CHECKSUM_OFFSET;
	if (!is_left(frame, &layers, csum_offset))
		return offload;
	offload.flags = FRAME_CSUM_NEEDED;
	offload.csum_start = (uint16_t)layers.transport;
	offload.csum_offset = (uint16_t)csum_offset;
	if (tcp && bytes - layers.network > mtu)
		leave_cutting(frame, &layers, header_bytes, mtu, &offload);
	return offload;
}
