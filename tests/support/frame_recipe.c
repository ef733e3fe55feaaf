/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "frame_recipe.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TCP	6
#define UDP	17
#define ROUTING 43

static const uint8_t ethernet_addresses[12] = { 0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2 };
static const uint8_t ipv4_addresses[8] = { 192, 0, 2, 1, 198, 51, 100, 7 };
static const uint8_t ipv6_addresses[32] = { 0x20, 1, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
					    0x20, 1, 0x0d, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2 };
/* The last one that a routing header names. */
static const uint8_t ipv6_final[16] = { 0x20, 1, 0x0d, 0xb8, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x33 };

/* ---- a cursor that writes ---- */

static void put8(uint8_t **at, unsigned value)
{
	*(*at)++ = (uint8_t)value;
}

static void put16(uint8_t **at, unsigned value)
{
	put8(at, value >> 8);
	put8(at, value);
}

static void put32(uint8_t **at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at, value & 0xffff);
}

static void put(uint8_t **at, const void *bytes, size_t count)
{
	if (count > 0)
		memcpy(*at, bytes, count);
	*at += count;
}

/* ---- the sum, one word at a time ---- */

static uint32_t add(uint32_t sum, const uint8_t *bytes, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

static uint32_t pseudo_sum(const struct frame_recipe *recipe, uint32_t transport_bytes)
{
	uint8_t lengths[4] = { 0, recipe->protocol, (uint8_t)(transport_bytes >> 8),
			       (uint8_t)transport_bytes };
	const uint8_t *destination = ipv6_addresses + 16;
	uint32_t sum;

	if (!recipe->ipv6) {
		sum = add(0, ipv4_addresses, 8);
	} else {
		for (unsigned i = 0; i < recipe->extensions; i++)
			if (recipe->extension_type[i] == ROUTING)
				destination = ipv6_final;
		sum = add(add(0, ipv6_addresses, 16), destination, 16);
	}
	return add(sum, lengths, 4);
}

/* ---- headers ---- */

static unsigned transport_header_bytes(const struct frame_recipe *recipe)
{
	switch (recipe->protocol) {
	case TCP:
		return 20 + recipe->tcp_option_bytes;
	case UDP:
		return 8;
	default:
		return 0;
	}
}

static unsigned network_bytes(const struct frame_recipe *recipe)
{
	unsigned bytes = 40;

	if (!recipe->ipv6)
		return 20 + recipe->ipv4_option_bytes;
	for (unsigned i = 0; i < recipe->extensions; i++)
		bytes += recipe->extension_bytes[i];
	return bytes;
}

unsigned frame_recipe_network(const struct frame_recipe *recipe)
{
	return 14 + 4 * recipe->tags;
}

unsigned frame_recipe_transport(const struct frame_recipe *recipe)
{
	return frame_recipe_network(recipe) + network_bytes(recipe);
}

unsigned frame_recipe_payload(const struct frame_recipe *recipe)
{
	return frame_recipe_transport(recipe) + transport_header_bytes(recipe);
}

static void put_ipv4(uint8_t **at, const struct frame_recipe *recipe)
{
	uint8_t *header = *at;
	uint32_t sum;

	put8(at, 0x40 | (network_bytes(recipe) / 4));
	put8(at, 0x02);
	put16(at, network_bytes(recipe) + transport_header_bytes(recipe) + recipe->payload_bytes);
	put16(at, recipe->identification);
	put16(at, recipe->ipv4_fragment);
	put8(at, 64);
	put8(at, recipe->protocol);
	put16(at, 0);
	put(at, ipv4_addresses, 8);
	for (unsigned i = 0; i < recipe->ipv4_option_bytes; i++)
		put8(at, 1); /* no operation */
	sum = add(0, header, network_bytes(recipe));
	header += 10;
	put16(&header, ~sum & 0xffff);
}

static void put_extension(uint8_t **at, const struct frame_recipe *recipe, unsigned index)
{
	unsigned bytes = recipe->extension_bytes[index];
	bool last = index + 1 == recipe->extensions;

	put8(at, last ? recipe->protocol : recipe->extension_type[index + 1]);
	put8(at, recipe->extension_type[index] == 44 ? 0 : bytes / 8 - 1);
	if (recipe->extension_type[index] == ROUTING) {
		put8(at, 0);
		put8(at, 1);
		put32(at, 0);
		put(at, ipv6_final, 16);
		return;
	}
	if (recipe->extension_type[index] == 44) {
		put16(at, recipe->ipv4_fragment);
		put32(at, 0x01020304);
		return;
	}
	/* PadN of at most 255 bytes each, filled with nothing */
	for (unsigned left = bytes - 2; left > 0;) {
		unsigned some = left > 200 ? 200 : left;

		put8(at, 1);
		put8(at, some - 2);
		for (unsigned i = 2; i < some; i++)
			put8(at, 0);
		left -= some;
	}
}

static void put_ipv6(uint8_t **at, const struct frame_recipe *recipe)
{
	put32(at, 0x60212345);
	put16(at, network_bytes(recipe) - 40 + transport_header_bytes(recipe) + recipe->payload_bytes);
	put8(at, recipe->extensions ? recipe->extension_type[0] : recipe->protocol);
	put8(at, 64);
	put(at, ipv6_addresses, 32);
	for (unsigned i = 0; i < recipe->extensions; i++)
		put_extension(at, recipe, i);
}

static void put_tcp(uint8_t **at, const struct frame_recipe *recipe)
{
	put16(at, 49152);
	put16(at, 5001);
	put32(at, recipe->sequence);
	put32(at, 0x89abcdef);
	put8(at, (transport_header_bytes(recipe) / 4) << 4);
	put8(at, recipe->tcp_flags);
	put16(at, 1024);
	put32(at, 0); /* checksum, urgent pointer */
	for (unsigned i = 0; i < recipe->tcp_option_bytes; i++)
		put8(at, 1); /* no operation */
}

static void put_udp(uint8_t **at, const struct frame_recipe *recipe)
{
	put16(at, 49153);
	put16(at, 5001);
	put16(at, 8 + recipe->payload_bytes);
	put16(at, 0);
}

static void put_checksum(const struct frame_recipe *recipe, uint8_t *transport)
{
	uint32_t bytes = transport_header_bytes(recipe) + recipe->payload_bytes;
	uint8_t *field = transport + (recipe->protocol == TCP ? 16 : 6);
	uint32_t sum = pseudo_sum(recipe, bytes);

	if (recipe->checksum == RECIPE_FULL) {
		sum = ~add(sum, transport, bytes) & 0xffff;
		if (sum == 0 && recipe->protocol == UDP)
			sum = 0xffff;
	}
	put16(&field, sum);
}

uint32_t frame_recipe_write(const struct frame_recipe *recipe, uint8_t *frame)
{
	uint8_t *at = frame, *transport;

	put(&at, ethernet_addresses, 12);
	for (unsigned i = 0; i < recipe->tags; i++) {
		put16(&at, 0x8100);
		put16(&at, recipe->tag[i]);
	}
	put16(&at, recipe->ipv6 ? 0x86dd : 0x0800);
	if (recipe->ipv6)
		put_ipv6(&at, recipe);
	else
		put_ipv4(&at, recipe);
	transport = at;
	if (recipe->protocol == TCP)
		put_tcp(&at, recipe);
	else if (recipe->protocol == UDP)
		put_udp(&at, recipe);
	put(&at, recipe->payload, recipe->payload_bytes);
	if (recipe->protocol == TCP || recipe->protocol == UDP)
		put_checksum(recipe, transport);
	return (uint32_t)(at - frame);
}

/* ---- offloads ---- */

struct frame_offload frame_recipe_offload(const struct frame_recipe *recipe, uint16_t gso_bytes, bool ecn)
{
	uint8_t tcp = recipe->ipv6 ? FRAME_GSO_TCP6 : FRAME_GSO_TCP4;
	struct frame_offload offload = {
		.flags = FRAME_CSUM_NEEDED,
		.csum_start = (uint16_t)frame_recipe_transport(recipe),
		.csum_offset = recipe->protocol == TCP ? 16 : 6,
	};

	if (gso_bytes == 0)
		return offload;
	offload.gso_type =
		recipe->protocol == UDP ? FRAME_GSO_UDP : (uint8_t)(tcp | (ecn ? FRAME_GSO_ECN : 0));
	offload.gso_bytes = gso_bytes;
	offload.header_bytes = (uint16_t)frame_recipe_payload(recipe);
	return offload;
}

unsigned frame_recipe_segments(const struct frame_recipe *recipe, uint16_t gso_bytes)
{
	return recipe->payload_bytes == 0 ? 1 : (recipe->payload_bytes + gso_bytes - 1) / gso_bytes;
}

struct frame_recipe frame_recipe_segment(const struct frame_recipe *recipe, uint16_t gso_bytes,
					 unsigned index)
{
	struct frame_recipe segment = *recipe;
	unsigned last = frame_recipe_segments(recipe, gso_bytes) - 1;
	uint32_t offset = index * gso_bytes;

	assert(index <= last);
	segment.payload = recipe->payload + offset;
	segment.payload_bytes = index == last ? recipe->payload_bytes - offset : gso_bytes;
	segment.sequence += offset;
	segment.identification = (uint16_t)(segment.identification + index);
	if (index != last)
		segment.tcp_flags &= 0xf6; /* neither PSH nor FIN */
	if (index != 0)
		segment.tcp_flags &= 0x7f; /* no CWR */
	return segment;
}

/* ---- pieces ---- */

static uint32_t below(uint64_t *random, uint32_t limit)
{
	*random = *random * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*random >> 33) % limit;
}

void frame_pieces_init(struct frame_pieces *pieces, const uint8_t *bytes, uint32_t count, unsigned pieces_max,
		       uint64_t *random)
{
	assert(pieces_max > 0 && pieces_max <= FRAME_IOV_MAX);
	pieces->count = 0;
	while (count > 0) {
		uint32_t part = below(random, 2) ? below(random, count + 1) : below(random, 80);
		struct iovec *piece = &pieces->iov[pieces->count++];

		if (part > count || pieces->count == pieces_max)
			part = count;
		*piece = (struct iovec){ part > 0 ? malloc(part) : NULL, part };
		assert(part == 0 || piece->iov_base);
		if (part > 0)
			memcpy(piece->iov_base, bytes, part);
		bytes += part;
		count -= part;
	}
}

void frame_pieces_finish(struct frame_pieces *pieces)
{
	for (unsigned i = 0; i < pieces->count; i++)
		free(pieces->iov[i].iov_base);
	pieces->count = 0;
}
