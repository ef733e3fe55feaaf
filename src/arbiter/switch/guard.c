/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The IP source guard: a port with allowed addresses sends from them only. In IPv4 and IPv6 that is the
 * source address; in ARP the sender's addresses; in neighbour discovery also the target of an advertisement.
 * What a guest needs before it has an address passes: DHCP from 0.0.0.0, ARP probes, and IPv6 from :: or from
 * a link-local address.
 */
#include <string.h>

#include "arbiter/switch/vswitch_private.h"

#define ARP_BYTES	 28u
#define ARP_SENDER_MAC	 8u
#define ARP_SENDER_IP	 14u
#define ND_ADVERTISEMENT 136u
#define ND_TARGET	 8u
#define ND_TARGET_END	 24u

static const uint8_t zeroes[16];

static void from_ipv4(const uint8_t *address, uint8_t ret_address[16])
{
	memset(ret_address, 0, 10);
	ret_address[10] = ret_address[11] = 0xff;
	memcpy(ret_address + 12, address, 4);
}

static bool inside(const struct ip_prefix *prefix, const uint8_t address[16])
{
	unsigned bytes = prefix->bits / 8, bits = prefix->bits % 8;

	return memcmp(prefix->address, address, bytes) == 0 &&
	       (bits == 0 || (prefix->address[bytes] ^ address[bytes]) >> (8 - bits) == 0);
}

static bool is_allowed(const struct port_settings *settings, const uint8_t address[16])
{
	for (unsigned i = 0; i < settings->allowed_count; i++)
		if (inside(&settings->allowed[i], address))
			return true;
	return false;
}

static bool ipv4_is_allowed(const struct port_settings *settings, const uint8_t address[4])
{
	uint8_t wide[16];

	from_ipv4(address, wide);
	return memcmp(address, zeroes, 4) == 0 || is_allowed(settings, wide);
}

static bool is_link_local(const uint8_t address[16])
{
	return address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
}

static bool ipv6_is_allowed(const struct port_settings *settings, const uint8_t address[16])
{
	return memcmp(address, zeroes, 16) == 0 || is_link_local(address) || is_allowed(settings, address);
}

static bool arp_is_allowed(const struct port_settings *settings, const struct packet *packet)
{
	const uint8_t *arp = packet->head + packet->network;

	return memcmp(arp + ARP_SENDER_MAC, packet_source(packet), FRAME_ADDRESS_BYTES) == 0 &&
	       ipv4_is_allowed(settings, arp + ARP_SENDER_IP);
}

/* Neighbour advertisements are for the sender's own addresses. */
static bool icmpv6_is_allowed(const struct port_settings *settings, const struct packet *packet)
{
	const uint8_t *message = packet->head + packet->transport;

	/* Extension headers without end hide what the packet is (RFC 7113). */
	if (packet->protocol == 0)
		return packet->later;
	if (packet->protocol != PACKET_ICMPV6)
		return true;
	/* A fragment of neighbour discovery hides what it is about (RFC 6980). */
	if (packet->fragment || !packet->transport)
		return false;
	if (message[0] != ND_ADVERTISEMENT)
		return true;
	return packet->head_bytes >= packet->transport + ND_TARGET_END &&
	       ipv6_is_allowed(settings, message + ND_TARGET);
}

bool guard_refuses(const struct port_settings *settings, const struct packet *packet)
{
	switch (packet->type) {
	case PACKET_ARP:
		return !packet->network || packet->head_bytes < packet->network + ARP_BYTES ||
		       !arp_is_allowed(settings, packet);
	case PACKET_IPV4:
		return !packet->network || !ipv4_is_allowed(settings, packet->head + packet->network + 12);
	case PACKET_IPV6:
		return !packet->network || !ipv6_is_allowed(settings, packet->head + packet->network + 8) ||
		       !icmpv6_is_allowed(settings, packet);
	default:
		return true; /* a port that is bound to IP addresses sends IP */
	}
}
