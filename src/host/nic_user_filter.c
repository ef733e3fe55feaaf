/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/nic_user_filter.h"

#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>

/* All DHCPv6 agents on the link. */
static const struct in6_addr dhcpv6_agents = { { { 0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2 } } };

/* Of the transport headers only this is read: does a TCP segment open a connection? */
static unsigned verdict_of_transport(uint8_t protocol, const uint8_t *header, size_t bytes)
{
	struct tcphdr tcp;

	if (protocol != IPPROTO_TCP || bytes < sizeof(tcp))
		return USER_FRAME_PASS | USER_FRAME_OPENS;
	memcpy(&tcp, header, sizeof(tcp));
	return tcp.syn && !tcp.ack ? USER_FRAME_PASS | USER_FRAME_OPENS : USER_FRAME_PASS;
}

static unsigned verdict_of_ipv4(const uint8_t *packet, size_t bytes)
{
	struct iphdr ip;
	size_t header_bytes;
	uint8_t first;

	if (bytes < sizeof(ip))
		return 0;
	memcpy(&ip, packet, sizeof(ip));
	header_bytes = (size_t)ip.ihl * 4;
	first = (uint8_t)(ntohl(ip.daddr) >> 24);
	if (ip.version != 4 || header_bytes < sizeof(ip) || header_bytes > bytes)
		return 0;
	if (first == 0 || first == IN_LOOPBACKNET || (first & 0xf0) == 0xe0)
		return 0;
	/* As libslirp sees it, which takes the reserved bit for one of the offset. */
	if (ip.frag_off & ~htons(IP_DF))
		return USER_FRAME_PASS | USER_FRAME_OPENS | USER_FRAME_FRAGMENT;
	return verdict_of_transport(ip.protocol, packet + header_bytes, bytes - header_bytes);
}

static unsigned verdict_of_ipv6(const uint8_t *packet, size_t bytes)
{
	struct ip6_hdr ip;

	if (bytes < sizeof(ip))
		return 0;
	memcpy(&ip, packet, sizeof(ip));
	if (ip.ip6_vfc >> 4 != 6)
		return 0;
	if (ip.ip6_dst.s6_addr16[0] == 0)
		return 0;
	if (IN6_IS_ADDR_MULTICAST(&ip.ip6_dst) && ip.ip6_nxt != IPPROTO_ICMPV6 &&
	    !IN6_ARE_ADDR_EQUAL(&ip.ip6_dst, &dhcpv6_agents))
		return 0;
	return verdict_of_transport(ip.ip6_nxt, packet + sizeof(ip), bytes - sizeof(ip));
}

unsigned nic_user_frame_verdict(const uint8_t *frame, size_t bytes)
{
	struct ether_header header;

	if (bytes < sizeof(header))
		return 0;
	memcpy(&header, frame, sizeof(header));
	switch (ntohs(header.ether_type)) {
	case ETHERTYPE_ARP:
		return USER_FRAME_PASS;
	case ETHERTYPE_IP:
		return verdict_of_ipv4(frame + sizeof(header), bytes - sizeof(header));
	case ETHERTYPE_IPV6:
		return verdict_of_ipv6(frame + sizeof(header), bytes - sizeof(header));
	default:
		return 0;
	}
}

bool nic_user_is_ping6_abroad(const uint8_t *frame, size_t bytes, const struct in6_addr *network6)
{
	static const uint8_t link_local[8] = { 0xfe, 0x80 };
	struct ether_header header;
	struct ip6_hdr ip;
	const uint8_t *to = ip.ip6_dst.s6_addr;
	uint8_t host;

	if (bytes <= sizeof(header) + sizeof(ip))
		return false;
	memcpy(&header, frame, sizeof(header));
	memcpy(&ip, frame + sizeof(header), sizeof(ip));
	if (header.ether_type != htons(ETHERTYPE_IPV6) || ip.ip6_nxt != IPPROTO_ICMPV6 ||
	    frame[sizeof(header) + sizeof(ip)] != ICMP6_ECHO_REQUEST)
		return false;
	host = to[15];
	if (ip.ip6_dst.s6_addr32[2] != 0 || ntohl(ip.ip6_dst.s6_addr32[3]) != host || host < 2 || host > 3)
		return true;
	return memcmp(to, network6, 8) != 0 && memcmp(to, link_local, 8) != 0;
}
