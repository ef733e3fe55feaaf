/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What guests have of the uplink: addresses, pings, connections to the host, and their end. */
#include "user_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "user_sockets.h"

/* ---- opening ---- */

static void test_open_refuses_what_makes_no_sense(void **state)
{
	static const struct nic_user_options wrong[] = {
		{ .mtu = 1279 },
		{ .mtu = 65522 },
		{ .sockets_max = 65537 },
		{ .hostname = "a-name-that-is-longer-than-it-may-" },
		{ .network = { 0x0a }, .network_bits = 28 },
		{ .network = { 0x0a }, .network_bits = 7 },
		{ .network = { 0x0a }, .network_bits = 0 },
		{ .network = { 0x0100000a }, .network_bits = 24 }, /* 10.0.0.1 */
		{ .network = { 0x7f }, .network_bits = 24 },
		{ .network = { 0xe0 }, .network_bits = 24 },
		{ .network6 = { { { 0xfd, [15] = 1 } } } },
		{ .network6 = { { { 0xfe, 0x80 } } } },
		{ .network6 = { { { 0xff, 0x02 } } } },
		{ .network6 = { { { [3] = 1 } } } },
	};
	struct host_nic *nic = NULL;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(nic_user_open(&wrong[i], &nic), -EINVAL);
	assert_null(nic);
}

static void test_one_channel_at_a_time(void **state)
{
	struct nic_user_options options = { .name = "lan", .mtu = 9000 };
	struct host_nic_channel *second = NULL;
	struct peer peer;

	peer_start(&peer, &options);
	assert_string_equal(peer.nic->ops->name, "user");
	assert_int_equal(peer.nic->channels, 1);
	assert_int_equal(peer.nic->sends.mtu, 9000);
	assert_true(peer.nic->sends.csum && peer.nic->sends.tso4 && peer.nic->sends.tso6);
	assert_false(peer.nic->sends.uso);
	assert_true(peer.nic->up);
	assert_int_equal(peer.nic->ops->channel_fd(peer.nic, 0), -1);
	assert_int_equal(peer.nic->ops->channel_open(peer.nic, peer.loop, &peer.receiver, &second), -EMFILE);
	assert_null(second);
	peer.channel->ops->channel_close(peer.channel);
	peer_open(&peer);
	peer_send_ping(&peer, GATEWAY, 1, 10);
	peer_wait(&peer, is_ping_reply);
	peer_finish(&peer);
}

/* What came while no channel was open is old when one is. */
static void test_a_new_channel_begins_empty(void **state)
{
	struct nic_user_options options = { .mtu = 1500 };
	struct nic_user_forward forward;
	struct peer_frame reply;
	struct peer peer;

	peer_start(&peer, &options);
	peer_send_ping(&peer, GATEWAY, 1, 10);
	peer_wait(&peer, is_ping_reply);
	for (uint16_t i = 0; i < 5; i++)
		peer_send_ping(&peer, GATEWAY, i, 10);
	peer.channel->ops->channel_close(peer.channel);
	/* The thread does it behind the pings. */
	forward = forward_on(SOCK_DGRAM, 80);
	assert_int_equal(nic_user_forward_add(peer.nic, &forward), 0);
	peer.count = 0;
	peer_open(&peer);
	peer_send_ping(&peer, GATEWAY, 77, 10);
	reply = peer_wait(&peer, is_ping_reply);
	assert_true(is_ping_reply_77(&reply));
	peer_finish(&peer);
}

/* ---- addresses ---- */

static bool is_arp_reply(const struct peer_frame *frame)
{
	return frame->ethernet.ether_type == htons(ETHERTYPE_ARP) &&
	       frame->packet.arp.ea_hdr.ar_op == htons(ARPOP_REPLY);
}

static void test_gateway_and_dns_answer_arp(void **state)
{
	static const uint8_t none[6] = { 0 };
	struct nic_user_options options = { .name = "lan" };
	struct peer peer;

	peer_start(&peer, &options);
	for (uint32_t host = 2; host < 4; host++) {
		struct peer_frame reply;
		uint32_t address = htonl(0x0a000200 + host);

		peer_send_arp(&peer, ARPOP_REQUEST, 0x0a000200 + host, none);
		reply = peer_wait(&peer, is_arp_reply);
		assert_memory_equal(reply.packet.arp.arp_spa, &address, 4);
		assert_memory_equal(reply.ethernet.ether_dhost, peer_mac, 6);
	}
	peer_finish(&peer);
}

/* The parts of a DHCP message that are looked at (RFC 2131, 2). */
struct __attribute__((packed)) dhcp {
	uint8_t op, hardware, hardware_bytes, hops;
	uint32_t id;
	uint16_t seconds, flags;
	uint32_t client, yours, server, relay;
	uint8_t mac[16], server_name[64], file[128];
	uint32_t cookie;
	uint8_t options[128];
};

static bool is_dhcp(const struct peer_frame *frame)
{
	return peer_is_ipv4(frame, IPPROTO_UDP) && frame->packet.ipv4.udp.dest == htons(68);
}

static struct dhcp dhcp_ask(struct peer *peer, uint8_t type, uint32_t wanted)
{
	struct dhcp dhcp = { .op = 1, .hardware = 1, .hardware_bytes = 6, .id = 0x1234 };
	struct peer_frame reply;
	uint8_t *option = dhcp.options;

	memcpy(dhcp.mac, peer_mac, 6);
	dhcp.cookie = htonl(0x63825363);
	*option++ = 53;
	*option++ = 1;
	*option++ = type;
	if (wanted) {
		*option++ = 50;
		*option++ = 4;
		memcpy(option, &wanted, 4);
		option += 4;
	}
	*option = 255;
	peer_send_udp(peer, 0xffffffff, 68, 67, &dhcp, sizeof(dhcp));
	reply = peer_wait(peer, is_dhcp);
	memcpy(&dhcp, &reply.packet.ipv4.udp + 1, sizeof(dhcp));
	assert_int_equal(dhcp.op, 2);
	assert_int_equal(dhcp.id, 0x1234);
	return dhcp;
}

static const uint8_t *dhcp_option(const struct dhcp *dhcp, uint8_t wanted)
{
	const uint8_t *option = dhcp->options;

	while (*option != 255 && *option != wanted && option + 2 + option[1] < dhcp->options + 120)
		option += 2 + option[1];
	assert_int_equal(*option, wanted);
	return option + 2;
}

static void check_lease(const struct dhcp *dhcp, uint8_t type, const uint8_t *network)
{
	uint8_t address[4] = { network[0], network[1], network[2], 15 };

	assert_int_equal(dhcp_option(dhcp, 53)[0], type);
	assert_memory_equal(&dhcp->yours, address, 4);
	assert_memory_equal(dhcp_option(dhcp, 1), "\xff\xff\xff\x00", 4);
	assert_memory_equal(dhcp_option(dhcp, 12), "vm1", 3);
	address[3] = 2;
	assert_memory_equal(dhcp_option(dhcp, 3), address, 4);
	assert_memory_equal(dhcp_option(dhcp, 54), address, 4);
	address[3] = 3;
	assert_memory_equal(dhcp_option(dhcp, 6), address, 4);
}

static void test_dhcp(void **state)
{
	static const uint8_t networks[2][4] = { { 10, 0, 2 }, { 192, 168, 77 } };
	struct nic_user_options options = { .name = "lan", .hostname = "vm1" };

	for (unsigned i = 0; i < 2; i++) {
		struct peer peer;
		struct dhcp dhcp;

		if (i > 0) {
			memcpy(&options.network, networks[i], 4);
			options.network_bits = 24;
		}
		peer_start(&peer, &options);
		dhcp = dhcp_ask(&peer, 1, 0);
		check_lease(&dhcp, 2, networks[i]);
		dhcp = dhcp_ask(&peer, 3, dhcp.yours);
		check_lease(&dhcp, 5, networks[i]);
		peer_finish(&peer);
	}
}

/* Addresses that are told before the guests ask, among them one that is not theirs to have. */
static void test_leases(void **state)
{
	static const uint8_t alice[6] = { 2, 0, 0, 0, 0, 1 }, bob[6] = { 2, 0, 0, 0, 0, 2 };
	struct nic_user_options options = { .name = "lan" };
	struct peer peer;
	struct dhcp dhcp;

	peer_start(&peer, &options);
	assert_int_equal(nic_user_lease(peer.nic, alice, 0), 0);
	assert_int_equal(nic_user_lease(peer.nic, peer_mac, 1), 0);
	assert_int_equal(nic_user_lease(peer.nic, peer_mac, 1), 0);
	assert_int_equal(nic_user_lease(peer.nic, bob, 1), -EADDRINUSE);
	for (unsigned i = 0; i < 2; i++) {
		dhcp = dhcp_ask(&peer, 1, i > 0 ? htonl(0x0a00020f) : 0);
		assert_int_equal(dhcp_option(&dhcp, 53)[0], 2);
		assert_int_equal(ntohl(dhcp.yours), 0x0a000210);
	}
	dhcp = dhcp_ask(&peer, 3, htonl(0x0a00020f));
	assert_int_equal(dhcp_option(&dhcp, 53)[0], 6);
	dhcp = dhcp_ask(&peer, 3, htonl(0x0a000210));
	assert_int_equal(dhcp_option(&dhcp, 53)[0], 5);
	peer_finish(&peer);
}

static bool is_router_advert(const struct peer_frame *frame)
{
	return peer_is_icmp6(frame, ND_ROUTER_ADVERT);
}

static bool is_neighbor_advert(const struct peer_frame *frame)
{
	return peer_is_icmp6(frame, ND_NEIGHBOR_ADVERT);
}

static void test_ipv6_router_and_neighbour(void **state)
{
	static const struct in6_addr routers = { { { 0xff, 2, [15] = 2 } } };
	static const struct in6_addr gateway_group = { { { 0xff, 2, [11] = 1, 0xff, 0, 0, 2 } } };
	struct nic_user_options options = { .name = "lan" };
	struct peer_frame frame = { 0 };
	const struct nd_opt_prefix_info *prefix;
	const uint8_t *option;
	struct peer peer;

	peer_start(&peer, &options);
	frame.packet.ipv6.icmp.icmp6_type = ND_ROUTER_SOLICIT;
	peer_send_icmp6(&peer, &frame, routers, sizeof(struct nd_router_solicit));
	frame = peer_wait(&peer, is_router_advert);
	/* The prefix is behind the link-layer address. */
	option = (const uint8_t *)(&frame.packet.ipv6.router + 1);
	assert_int_equal(option[0], ND_OPT_SOURCE_LINKADDR);
	prefix = (const struct nd_opt_prefix_info *)(const void *)(option + 8);
	assert_int_equal(prefix->nd_opt_pi_type, ND_OPT_PREFIX_INFORMATION);
	assert_int_equal(prefix->nd_opt_pi_prefix_len, 64);
	assert_memory_equal(&prefix->nd_opt_pi_prefix, &gateway6, 8);

	memset(&frame, 0, sizeof(frame));
	frame.packet.ipv6.solicit.nd_ns_type = ND_NEIGHBOR_SOLICIT;
	frame.packet.ipv6.solicit.nd_ns_target = gateway6;
	peer_send_icmp6(&peer, &frame, gateway_group, sizeof(frame.packet.ipv6.solicit));
	frame = peer_wait(&peer, is_neighbor_advert);
	assert_memory_equal(&frame.packet.ipv6.advert.nd_na_target, &gateway6, 16);
	peer_finish(&peer);
}

static void test_ipv4_only(void **state)
{
	static const struct in6_addr routers = { { { 0xff, 2, [15] = 2 } } };
	struct nic_user_options options = { .name = "lan", .ipv4_only = true };
	struct peer_frame frame = { 0 };
	struct peer peer;

	peer_start(&peer, &options);
	frame.packet.ipv6.icmp.icmp6_type = ND_ROUTER_SOLICIT;
	peer_send_icmp6(&peer, &frame, routers, sizeof(struct nd_router_solicit));
	peer_send_ping(&peer, GATEWAY, 1, 10);
	peer_wait(&peer, is_ping_reply);
	/* An answer would have come before this one and the question for our address. */
	assert_int_equal(peer.received, 2);
	peer_finish(&peer);
}

static void test_ping_of_the_gateway(void **state)
{
	struct nic_user_options options = { .name = "lan" };
	struct peer_frame reply;
	struct peer peer;

	peer_start(&peer, &options);
	peer_send_ping(&peer, GATEWAY, 77, 1000);
	reply = peer_wait(&peer, is_ping_reply_77);
	assert_int_equal(reply.packet.ipv4.ip.saddr, htonl(GATEWAY));
	assert_int_equal(ntohs(reply.packet.ipv4.ip.tot_len), 28 + 1000);
	assert_int_equal(counter_read(&peer.nic->counters.received), peer.received);
	assert_true(counter_read(&peer.nic->counters.received_bytes) > 14 + 28 + 1000);
	assert_true(counter_read(&peer.nic->counters.sent_bytes) > 14 + 28 + 1000);
	peer_finish(&peer);
}

/* ---- connections of the guest ---- */

static bool is_udp_reply(const struct peer_frame *frame)
{
	return peer_is_ipv4(frame, IPPROTO_UDP) && frame->packet.ipv4.udp.dest == htons(PEER_PORT);
}

/* The NAT's socket at that port: it must not hold up the thread, whatever does not answer. */
static void assert_nonblocking(const struct sockaddr_in *from)
{
	unsigned found = 0;

	for (int fd = 0; fd < 1024; fd++) {
		struct sockaddr_in name = { 0 };
		socklen_t bytes = sizeof(name);

		if (getsockname(fd, (struct sockaddr *)&name, &bytes) < 0 || name.sin_family != AF_INET ||
		    name.sin_port != from->sin_port)
			continue;
		assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
		found++;
	}
	assert_int_equal(found, 1);
}

static void test_udp_to_the_loopback(void **state)
{
	struct nic_user_options options = { .name = "lan", .loopback = true };
	struct sockaddr_in from;
	socklen_t from_bytes = sizeof(from);
	struct peer_frame reply;
	char text[32];
	ssize_t bytes = -1;
	struct peer peer;
	uint16_t port;
	int server = host_socket(SOCK_DGRAM, &port);

	peer_start(&peer, &options);
	peer_send_udp(&peer, GATEWAY, PEER_PORT, port, "question", 8);
	AWAIT((bytes = recvfrom(server, text, sizeof(text), MSG_DONTWAIT, (struct sockaddr *)&from,
				&from_bytes)) >= 0,
	      peer_turn(&peer));
	assert_int_equal(bytes, 8);
	assert_memory_equal(text, "question", 8);
	assert_nonblocking(&from);
	assert_int_equal(sendto(server, "answer", 6, 0, (struct sockaddr *)&from, from_bytes), 6);
	reply = peer_wait(&peer, is_udp_reply);
	assert_int_equal(reply.packet.ipv4.ip.saddr, htonl(GATEWAY));
	assert_int_equal(reply.packet.ipv4.udp.source, htons(port));
	assert_memory_equal(&reply.packet.ipv4.udp + 1, "answer", 6);
	/* With the connection's socket open. */
	peer_finish(&peer);
	close(server);
}

static bool is_unreachable(const struct peer_frame *frame)
{
	return peer_is_ipv4(frame, IPPROTO_ICMP) && frame->packet.ipv4.icmp.type == ICMP_DEST_UNREACH;
}

static void expect_no_connection(struct peer *peer, int server)
{
	/* All that was sent before has been seen when this has come back. */
	peer_send_ping(peer, GATEWAY, 77, 10);
	peer_wait(peer, is_ping_reply_77);
	assert_int_equal(accept4(server, NULL, NULL, SOCK_NONBLOCK), -1);
	assert_int_equal(errno, EAGAIN);
}

static void test_the_loopback_is_closed_by_default(void **state)
{
	struct nic_user_options options = { .name = "lan" };
	uint64_t refused;
	struct peer peer;
	uint16_t port;
	int server = host_listen(&port);

	peer_start(&peer, &options);
	peer_send_tcp(&peer, GATEWAY, PEER_PORT, port, PEER_ISN, 0, PEER_SYN, "");
	peer_wait(&peer, is_unreachable);
	peer_send_udp(&peer, GATEWAY, PEER_PORT, port, "x", 1);
	peer_wait(&peer, is_unreachable);
	/* By other names of it, libslirp would let the guest in. */
	refused = counter_read(&peer.nic->counters.refused);
	peer_send_tcp(&peer, 0x7f000001, PEER_PORT, port, PEER_ISN, 0, PEER_SYN, "");
	peer_send_tcp(&peer, 0, PEER_PORT, port, PEER_ISN, 0, PEER_SYN, "");
	assert_int_equal(counter_read(&peer.nic->counters.refused), refused + 2);
	expect_no_connection(&peer, server);
	peer_finish(&peer);
	close(server);
}

static bool is_rst(const struct peer_frame *frame)
{
	return peer_is_ipv4(frame, IPPROTO_TCP) && frame->packet.ipv4.tcp.rst;
}

static void test_restricted(void **state)
{
	struct nic_user_options options = { .name = "lan", .loopback = true, .restricted = true };
	struct peer peer;
	uint16_t port;
	int server = host_listen(&port);

	peer_start(&peer, &options);
	peer_send_tcp(&peer, GATEWAY, PEER_PORT, port, PEER_ISN, 0, PEER_SYN, "");
	peer_wait(&peer, is_rst);
	expect_no_connection(&peer, server);
	peer_finish(&peer);
	close(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open_refuses_what_makes_no_sense),
		cmocka_unit_test(test_one_channel_at_a_time),
		cmocka_unit_test(test_a_new_channel_begins_empty),
		cmocka_unit_test(test_gateway_and_dns_answer_arp),
		cmocka_unit_test(test_dhcp),
		cmocka_unit_test(test_leases),
		cmocka_unit_test(test_ipv6_router_and_neighbour),
		cmocka_unit_test(test_ipv4_only),
		cmocka_unit_test(test_ping_of_the_gateway),
		cmocka_unit_test(test_udp_to_the_loopback),
		cmocka_unit_test(test_the_loopback_is_closed_by_default),
		cmocka_unit_test(test_restricted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
