/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest on a user-mode NIC: 10.0.2.15 and fd00::15, one frame at a time. It keeps what comes and answers
 * questions for its hardware address by itself.
 */
#ifndef VIADUCT_TESTS_USER_PEER_H
#define VIADUCT_TESTS_USER_PEER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <string.h>

#include "core/container.h"
#include "core/iov.h"
#include "core/loop.h"
#include "host/host_nic.h"
#include "host/nic_user.h"
#include "patience.h"

#define PEER_BYTES_MAX	2048u
#define PEER_FRAMES_MAX 64u

#define PEER	  0x0a00020fu
#define GATEWAY	  0x0a000202u
#define PEER_PORT 4000u
#define PEER_ISN  1000u
#define PEER_FIN  0x01u
#define PEER_SYN  0x02u
#define PEER_RST  0x04u
#define PEER_ACK  0x10u

static const uint8_t peer_mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
static const struct in6_addr peer6 = { { { 0xfd, [15] = 0x15 } } };
static const struct in6_addr gateway6 = { { { 0xfd, [15] = 2 } } };

/* What is behind the Ethernet header. */
union peer_packet {
	uint8_t bytes[PEER_BYTES_MAX - sizeof(struct ether_header)];
	struct ether_arp arp;
	struct {
		struct iphdr ip;
		union {
			struct udphdr udp;
			struct tcphdr tcp;
			struct icmphdr icmp;
		};
	} ipv4;
	struct {
		struct ip6_hdr ip;
		union {
			struct tcphdr tcp;
			struct icmp6_hdr icmp;
			struct nd_neighbor_solicit solicit;
			struct nd_neighbor_advert advert;
			struct nd_router_advert router;
		};
	} ipv6;
};

/* The frame begins 2 bytes later than the struct, which aligns the packet. */
struct peer_frame {
	uint16_t unused;
	struct ether_header ethernet;
	union peer_packet packet;
};

static_assert(offsetof(struct peer_frame, packet) == 2 + sizeof(struct ether_header), "in one piece");

struct peer {
	struct loop *loop;
	struct host_nic *nic;
	struct host_nic_channel *channel;
	struct host_nic_receiver receiver;
	struct {
		struct peer_frame frame;
		uint32_t bytes;
	} frames[PEER_FRAMES_MAX]; /* the newest */
	unsigned first, count;
	uint64_t received;
	unsigned replies_77; /* to pings of this number */
	unsigned writable;
	unsigned joined; /* frames of several segments, of which only the beginning is kept */
};

/* ---- frames that go ---- */

static inline unsigned peer_send_bytes(struct peer *peer, const void *bytes, uint32_t length)
{
	struct iovec iov[2] = { { (void *)bytes, length < 20 ? length : 20 }, { NULL, 0 } };
	struct frame frame = { .iov = iov, .iov_count = 2, .bytes = length };

	/* In two parts, as guests have them. */
	iov[1] = (struct iovec){ (uint8_t *)(uintptr_t)bytes + iov[0].iov_len, length - iov[0].iov_len };
	return peer->channel->ops->send(peer->channel, &frame, 1);
}

/* As a guest does that leaves cutting and the checksum to the device. */
static inline unsigned peer_send_uncut(struct peer *peer, const void *bytes, uint32_t length,
				       const struct frame_offload *offload)
{
	struct iovec iov = { (void *)bytes, length };
	struct frame frame = { .iov = &iov, .iov_count = 1, .bytes = length, .offload = *offload };

	return peer->channel->ops->send(peer->channel, &frame, 1);
}

static inline void peer_send(struct peer *peer, struct peer_frame *frame, uint16_t type, size_t packet_bytes)
{
	static const uint8_t gateway_mac[6] = { 0x52, 0x55, 10, 0, 2, 2 };

	memcpy(frame->ethernet.ether_shost, peer_mac, 6);
	memcpy(frame->ethernet.ether_dhost, gateway_mac, 6);
	frame->ethernet.ether_type = htons(type);
	assert_int_equal(peer_send_bytes(peer, (uint8_t *)frame + 2,
					 (uint32_t)(sizeof(frame->ethernet) + packet_bytes)),
			 1);
}

static inline uint32_t peer_sum(uint32_t sum, const void *bytes, size_t length)
{
	const uint8_t *byte = bytes;

	for (size_t i = 0; i < length; i += 2) {
		uint16_t word = 0;

		memcpy(&word, byte + i, length - i < 2 ? 1 : 2);
		sum += ntohs(word);
	}
	return sum;
}

static inline uint16_t peer_checksum(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* `bytes` of payload are behind the IP header. Fills in the header. */
static inline void peer_send_ipv4(struct peer *peer, struct peer_frame *frame, uint8_t protocol, uint32_t to,
				  size_t bytes)
{
	struct iphdr ip = { .version = 4,
			    .ihl = 5,
			    .tot_len = htons((uint16_t)(sizeof(ip) + bytes)),
			    .frag_off = frame->packet.ipv4.ip.frag_off,
			    .ttl = 64,
			    .protocol = protocol,
			    .saddr = htonl(PEER),
			    .daddr = htonl(to) };

	ip.check = peer_checksum(peer_sum(0, &ip, sizeof(ip)));
	frame->packet.ipv4.ip = ip;
	peer_send(peer, frame, ETHERTYPE_IP, sizeof(ip) + bytes);
}

static inline void peer_send_udp(struct peer *peer, uint32_t to, uint16_t from_port, uint16_t to_port,
				 const void *data, size_t bytes)
{
	struct peer_frame frame = { 0 };
	struct udphdr *udp = &frame.packet.ipv4.udp;

	/* No checksum, which IPv4 allows. */
	*udp = (struct udphdr){ .source = htons(from_port),
				.dest = htons(to_port),
				.len = htons((uint16_t)(sizeof(*udp) + bytes)) };
	memcpy(udp + 1, data, bytes);
	peer_send_ipv4(peer, &frame, IPPROTO_UDP, to, sizeof(*udp) + bytes);
}

static inline void peer_send_tcp(struct peer *peer, uint32_t to, uint16_t from_port, uint16_t to_port,
				 uint32_t seq, uint32_t ack, uint8_t flags, const char *data)
{
	struct peer_frame frame = { 0 };
	struct tcphdr *tcp = &frame.packet.ipv4.tcp;
	size_t bytes = sizeof(*tcp) + strlen(data);
	uint32_t sum =
		(uint32_t)(IPPROTO_TCP + bytes) + (PEER >> 16) + (PEER & 0xffff) + (to >> 16) + (to & 0xffff);

	*tcp = (struct tcphdr){ .source = htons(from_port),
				.dest = htons(to_port),
				.seq = htonl(seq),
				.ack_seq = htonl(ack),
				.doff = 5,
				.window = htons(60000) };
	tcp->th_flags = flags;
	memcpy(tcp + 1, data, strlen(data));
	tcp->check = peer_checksum(peer_sum(sum, tcp, bytes));
	peer_send_ipv4(peer, &frame, IPPROTO_TCP, to, bytes);
}

static inline void peer_send_ping(struct peer *peer, uint32_t to, uint16_t sequence, size_t data_bytes)
{
	struct peer_frame frame = { 0 };
	struct icmphdr *icmp = &frame.packet.ipv4.icmp;

	*icmp = (struct icmphdr){ .type = ICMP_ECHO };
	icmp->un.echo.sequence = htons(sequence);
	memset(icmp + 1, 0x5a, data_bytes);
	icmp->checksum = peer_checksum(peer_sum(0, icmp, sizeof(*icmp) + data_bytes));
	peer_send_ipv4(peer, &frame, IPPROTO_ICMP, to, sizeof(*icmp) + data_bytes);
}

/* An ICMPv6 message; its type and body are behind the IPv6 header. */
static inline void peer_send_icmp6(struct peer *peer, struct peer_frame *frame, struct in6_addr to,
				   size_t bytes)
{
	struct ip6_hdr *ip = &frame->packet.ipv6.ip;
	struct icmp6_hdr *icmp = &frame->packet.ipv6.icmp;
	uint32_t sum;

	*ip = (struct ip6_hdr){ .ip6_src = peer6, .ip6_dst = to };
	ip->ip6_vfc = 0x60;
	ip->ip6_plen = htons((uint16_t)bytes);
	ip->ip6_nxt = IPPROTO_ICMPV6;
	ip->ip6_hlim = 255;
	icmp->icmp6_cksum = 0;
	sum = peer_sum((uint32_t)(IPPROTO_ICMPV6 + bytes), &ip->ip6_src, 2 * sizeof(ip->ip6_src));
	icmp->icmp6_cksum = peer_checksum(peer_sum(sum, icmp, bytes));
	peer_send(peer, frame, ETHERTYPE_IPV6, sizeof(*ip) + bytes);
}

static inline void peer_send_arp(struct peer *peer, uint16_t operation, uint32_t to, const uint8_t *to_mac)
{
	struct peer_frame frame = { 0 };
	struct ether_arp *arp = &frame.packet.arp;
	uint32_t from = htonl(PEER);

	to = htonl(to);
	arp->ea_hdr = (struct arphdr){ htons(ARPHRD_ETHER), htons(ETHERTYPE_IP), 6, 4, htons(operation) };
	memcpy(arp->arp_sha, peer_mac, 6);
	memcpy(arp->arp_spa, &from, 4);
	memcpy(arp->arp_tha, to_mac, 6);
	memcpy(arp->arp_tpa, &to, 4);
	peer_send(peer, &frame, ETHERTYPE_ARP, sizeof(*arp));
}

/* ---- frames that come ---- */

static inline bool peer_is_ipv4(const struct peer_frame *frame, uint8_t protocol)
{
	return frame->ethernet.ether_type == htons(ETHERTYPE_IP) &&
	       frame->packet.ipv4.ip.protocol == protocol;
}

static inline bool is_ping_reply(const struct peer_frame *frame)
{
	return peer_is_ipv4(frame, IPPROTO_ICMP) && frame->packet.ipv4.icmp.type == ICMP_ECHOREPLY;
}

static inline bool is_ping_reply_77(const struct peer_frame *frame)
{
	return is_ping_reply(frame) && frame->packet.ipv4.icmp.un.echo.sequence == htons(77);
}

static inline bool peer_is_icmp6(const struct peer_frame *frame, uint8_t type)
{
	return frame->ethernet.ether_type == htons(ETHERTYPE_IPV6) &&
	       frame->packet.ipv6.ip.ip6_nxt == IPPROTO_ICMPV6 && frame->packet.ipv6.icmp.icmp6_type == type;
}

static inline void peer_advertise(struct peer *peer, const struct peer_frame *question)
{
	struct peer_frame frame = { 0 };
	struct nd_neighbor_advert *advert = &frame.packet.ipv6.advert;
	uint8_t *option = (uint8_t *)(advert + 1);

	advert->nd_na_type = ND_NEIGHBOR_ADVERT;
	advert->nd_na_flags_reserved = ND_NA_FLAG_SOLICITED | ND_NA_FLAG_OVERRIDE;
	advert->nd_na_target = peer6;
	option[0] = ND_OPT_TARGET_LINKADDR;
	option[1] = 1;
	memcpy(option + 2, peer_mac, 6);
	peer_send_icmp6(peer, &frame, question->packet.ipv6.ip.ip6_src, sizeof(*advert) + 8);
}

static inline void peer_answer(struct peer *peer, const struct peer_frame *frame)
{
	const struct ether_arp *arp = &frame->packet.arp;
	uint32_t me = htonl(PEER), from;

	if (frame->ethernet.ether_type == htons(ETHERTYPE_ARP) && arp->ea_hdr.ar_op == htons(ARPOP_REQUEST) &&
	    memcmp(arp->arp_tpa, &me, 4) == 0) {
		memcpy(&from, arp->arp_spa, 4);
		peer_send_arp(peer, ARPOP_REPLY, ntohl(from), arp->arp_sha);
	}
	if (peer_is_icmp6(frame, ND_NEIGHBOR_SOLICIT) &&
	    memcmp(&frame->packet.ipv6.solicit.nd_ns_target, &peer6, sizeof(peer6)) == 0)
		peer_advertise(peer, frame);
}

static inline void peer_check_offload(struct peer *peer, const struct frame *frame)
{
	bool joined = frame->offload.gso_type != FRAME_GSO_NONE;

	assert_in_range(frame->bytes, FRAME_HEADER_BYTES, joined ? FRAME_BYTES_MAX : PEER_BYTES_MAX);
	assert_int_equal(frame->offload.flags, joined ? FRAME_CSUM_NEEDED : FRAME_CSUM_VALID);
	peer->joined += joined;
}

static inline void peer_input(struct host_nic_receiver *receiver, const struct frame *frames, unsigned count)
{
	struct peer *peer = container_of(receiver, struct peer, receiver);

	assert_in_range(count, 1, 64);
	for (unsigned i = 0; i < count; i++) {
		unsigned slot = (peer->first + peer->count) % PEER_FRAMES_MAX;

		assert_int_equal(iov_bytes(frames[i].iov, frames[i].iov_count), frames[i].bytes);
		peer_check_offload(peer, &frames[i]);
		memset(&peer->frames[slot], 0, sizeof(peer->frames[slot]));
		iov_copy_out(frames[i].iov, frames[i].iov_count, 0, (uint8_t *)&peer->frames[slot].frame + 2,
			     frames[i].bytes < PEER_BYTES_MAX ? frames[i].bytes : PEER_BYTES_MAX);
		peer->frames[slot].bytes = frames[i].bytes;
		if (peer->count < PEER_FRAMES_MAX)
			peer->count++;
		else
			peer->first = (peer->first + 1) % PEER_FRAMES_MAX;
		peer->received++;
		peer->replies_77 += is_ping_reply_77(&peer->frames[slot].frame);
		peer_answer(peer, &peer->frames[slot].frame);
	}
}

static inline void peer_writable(struct host_nic_receiver *receiver)
{
	container_of(receiver, struct peer, receiver)->writable++;
}

static inline void peer_link(struct host_nic_receiver *receiver)
{
	fail();
}

static inline void peer_turn(struct peer *peer)
{
	assert_int_equal(loop_turn(peer->loop, 10 * NS_PER_MS), 0);
}

/* The oldest frame that matches; older ones are forgotten, like it. */
static inline bool peer_find(struct peer *peer, bool (*matches)(const struct peer_frame *frame),
			     struct peer_frame *ret_frame)
{
	while (peer->count > 0) {
		const struct peer_frame *frame = &peer->frames[peer->first].frame;

		peer->first = (peer->first + 1) % PEER_FRAMES_MAX;
		peer->count--;
		if (matches(frame)) {
			*ret_frame = *frame;
			return true;
		}
	}
	return false;
}

static inline struct peer_frame peer_wait(struct peer *peer, bool (*matches)(const struct peer_frame *frame))
{
	struct peer_frame frame;

	AWAIT(peer_find(peer, matches, &frame), peer_turn(peer));
	return frame;
}

/* ---- start and end ---- */

static inline void peer_open(struct peer *peer)
{
	peer->receiver = (struct host_nic_receiver){ peer_input, peer_writable, peer_link };
	assert_int_equal(peer->nic->ops->channel_open(peer->nic, peer->loop, &peer->receiver, &peer->channel),
			 0);
	assert_ptr_equal(peer->channel->nic, peer->nic);
}

static inline void peer_start(struct peer *peer, const struct nic_user_options *options)
{
	struct loop_options loop_options = { .name = "test" };

	memset(peer, 0, sizeof(*peer));
	assert_int_equal(nic_user_open(options, &peer->nic), 0);
	assert_int_equal(loop_create(&loop_options, &peer->loop), 0);
	peer_open(peer);
}

static inline void peer_finish(struct peer *peer)
{
	peer->channel->ops->channel_close(peer->channel);
	peer->nic->ops->close(peer->nic);
	loop_destroy(peer->loop);
}

#endif
