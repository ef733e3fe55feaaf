/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ports of the host that lead to a guest. */
#include "user_peer.h"

#include <errno.h>
#include <unistd.h>

#include "user_sockets.h"

static const struct nic_user_options lan = { .name = "lan" };

static int connect_to(const struct nic_user_forward *forward)
{
	socklen_t bytes = forward->host.any.sa_family == AF_INET ? sizeof(struct sockaddr_in)
								 : sizeof(struct sockaddr_in6);
	int fd = socket(forward->host.any.sa_family, (forward->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC,
			0);

	assert_true(fd >= 0);
	/* The listening socket's queue takes it: this does not wait for the guest. */
	if (connect(fd, &forward->host.any, bytes) == 0)
		return fd;
	close(fd);
	return -errno;
}

static unsigned listed(const struct peer *peer)
{
	unsigned count;

	assert_non_null(nic_user_forward_list(peer->nic, &count));
	return count;
}

static void test_what_makes_no_sense_is_refused(void **state)
{
	static const uint32_t no_guests[] = { 0, 0x0a000200, 0x0a000202, 0x0a000203, 0x0a0002ff, 0x0a000110 };
	struct nic_user_forward forward = forward_on(SOCK_STREAM, 80), wrong;
	struct peer peer;

	peer_start(&peer, &lan);
	for (size_t i = 0; i < sizeof(no_guests) / sizeof(no_guests[0]); i++) {
		wrong = forward;
		wrong.guest.ipv4.sin_addr.s_addr = htonl(no_guests[i]);
		assert_int_equal(nic_user_forward_add(peer.nic, &wrong), -EINVAL);
	}
	wrong = forward;
	wrong.host.ipv4.sin_port = 0;
	assert_int_equal(nic_user_forward_add(peer.nic, &wrong), -EINVAL);
	wrong = forward;
	wrong.guest.ipv4.sin_port = 0;
	assert_int_equal(nic_user_forward_add(peer.nic, &wrong), -EINVAL);
	wrong = forward;
	wrong.host.any.sa_family = AF_UNIX;
	assert_int_equal(nic_user_forward_add(peer.nic, &wrong), -EINVAL);
	wrong.guest.any.sa_family = AF_UNIX;
	assert_int_equal(nic_user_forward_add(peer.nic, &wrong), -EINVAL);
	wrong = forward;
	wrong.guest.ipv6 =
		(struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(80), .sin6_addr = peer6 };
	assert_int_equal(nic_user_forward_add(peer.nic, &wrong), -EINVAL);
	wrong.host.ipv6 = wrong.guest.ipv6;
	wrong.guest.ipv6.sin6_addr = gateway6;
	assert_int_equal(nic_user_forward_add(peer.nic, &wrong), -EINVAL);
	wrong.guest.ipv6.sin6_addr = in6addr_any;
	assert_int_equal(nic_user_forward_add(peer.nic, &wrong), -EINVAL);
	/* An address that no host has. */
	wrong = forward;
	wrong.host.ipv4.sin_addr.s_addr = htonl(0xc0000201);
	assert_int_equal(nic_user_forward_add(peer.nic, &wrong), -EADDRNOTAVAIL);
	assert_int_equal(listed(&peer), 0);
	peer_finish(&peer);
}

static void test_added_listed_removed(void **state)
{
	struct nic_user_forward forwards[3], other;
	const struct nic_user_forward *list;
	unsigned count;
	struct peer peer;

	peer_start(&peer, &lan);
	assert_int_equal(listed(&peer), 0);
	for (unsigned i = 0; i < 3; i++) {
		forwards[i] = forward_on(i == 1 ? SOCK_DGRAM : SOCK_STREAM, (uint16_t)(80 + i));
		assert_int_equal(nic_user_forward_add(peer.nic, &forwards[i]), 0);
		assert_int_equal(nic_user_forward_add(peer.nic, &forwards[i]), -EEXIST);
	}
	list = nic_user_forward_list(peer.nic, &count);
	assert_int_equal(count, 3);
	assert_memory_equal(list, forwards, sizeof(forwards));
	/* The same port of the other protocol is another forward. */
	other = forwards[1];
	other.udp = false;
	assert_int_equal(nic_user_forward_remove(peer.nic, &other), -ENOENT);
	assert_int_equal(nic_user_forward_remove(peer.nic, &forwards[1]), 0);
	assert_int_equal(nic_user_forward_remove(peer.nic, &forwards[1]), -ENOENT);
	list = nic_user_forward_list(peer.nic, &count);
	assert_int_equal(count, 2);
	assert_memory_equal(&list[0], &forwards[0], sizeof(forwards[0]));
	assert_memory_equal(&list[1], &forwards[2], sizeof(forwards[2]));
	assert_int_equal(connect_to(&list[1]) >= 0, true);
	assert_int_equal(nic_user_forward_remove(peer.nic, &forwards[2]), 0);
	assert_int_equal(connect_to(&forwards[2]), -ECONNREFUSED);
	peer_finish(&peer);
	/* The NIC's end is the forwards'. */
	assert_int_equal(connect_to(&forwards[0]), -ECONNREFUSED);
}

static void test_a_port_in_use(void **state)
{
	struct nic_user_forward forward = forward_on(SOCK_STREAM, 80);
	struct peer peer;
	uint16_t port;
	int server = host_listen(&port);

	peer_start(&peer, &lan);
	forward.host.ipv4.sin_port = htons(port);
	assert_int_equal(nic_user_forward_add(peer.nic, &forward), -EADDRINUSE);
	assert_int_equal(listed(&peer), 0);
	close(server);
	server = host_socket(SOCK_DGRAM, &port);
	forward.udp = true;
	forward.host.ipv4.sin_port = htons(port);
	assert_int_equal(nic_user_forward_add(peer.nic, &forward), -EADDRINUSE);
	close(server);
	assert_int_equal(nic_user_forward_add(peer.nic, &forward), 0);
	peer_finish(&peer);
}

static void test_no_more_than_so_many(void **state)
{
	struct nic_user_forward forward = { .host.any.sa_family = AF_UNSPEC };
	unsigned added = 0;
	struct peer peer;

	peer_start(&peer, &lan);
	for (unsigned i = 0; added < NIC_USER_FORWARDS_MAX && i < 4 * NIC_USER_FORWARDS_MAX; i++) {
		forward = forward_on(SOCK_DGRAM, 80);
		/* Another program may have been given the port. */
		if (nic_user_forward_add(peer.nic, &forward) == 0)
			added++;
	}
	assert_int_equal(added, NIC_USER_FORWARDS_MAX);
	forward = forward_on(SOCK_DGRAM, 80);
	assert_int_equal(nic_user_forward_add(peer.nic, &forward), -ENOSPC);
	assert_int_equal(listed(&peer), NIC_USER_FORWARDS_MAX);
	peer_finish(&peer);
}

static void test_tcp_to_the_guest(void **state)
{
	struct nic_user_forward forward = forward_on(SOCK_STREAM, 80);
	struct peer_frame frame;
	uint32_t next;
	uint16_t port;
	struct peer peer;
	int client;

	peer_start(&peer, &lan);
	assert_int_equal(nic_user_forward_add(peer.nic, &forward), 0);
	client = connect_to(&forward);
	assert_true(client >= 0);
	frame = peer_wait(&peer, is_syn);
	assert_int_equal(frame.packet.ipv4.ip.daddr, htonl(PEER));
	assert_int_equal(frame.packet.ipv4.ip.saddr, htonl(GATEWAY));
	assert_int_equal(frame.packet.ipv4.tcp.dest, htons(80));
	port = ntohs(frame.packet.ipv4.tcp.source);
	next = ntohl(frame.packet.ipv4.tcp.seq) + 1;
	peer_send_tcp(&peer, GATEWAY, 80, port, PEER_ISN, next, PEER_SYN | PEER_ACK, "");
	assert_int_equal(send(client, "get", 3, MSG_NOSIGNAL), 3);
	frame = peer_wait(&peer, is_tcp_data);
	assert_memory_equal(tcp_data(&frame), "get", 3);
	peer_send_tcp(&peer, GATEWAY, 80, port, PEER_ISN + 1, next + 3, PEER_ACK, "page");
	peer_expect(&peer, client, "page");
	/* It outlives the forward. */
	assert_int_equal(nic_user_forward_remove(peer.nic, &forward), 0);
	peer_send_tcp(&peer, GATEWAY, 80, port, PEER_ISN + 5, next + 3, PEER_ACK, "end");
	peer_expect(&peer, client, "end");
	peer_finish(&peer);
	close(client);
}

static bool is_udp_to_80(const struct peer_frame *frame)
{
	return peer_is_ipv4(frame, IPPROTO_UDP) && frame->packet.ipv4.udp.dest == htons(80);
}

static void test_udp_to_the_guest(void **state)
{
	struct nic_user_options options = { .name = "lan", .loopback = true };
	struct nic_user_forward forward = forward_on(SOCK_DGRAM, 80);
	struct peer_frame frame;
	struct peer peer;
	int client;

	peer_start(&peer, &options);
	assert_int_equal(nic_user_forward_add(peer.nic, &forward), 0);
	client = connect_to(&forward);
	assert_true(client >= 0);
	assert_int_equal(send(client, "question", 8, 0), 8);
	frame = peer_wait(&peer, is_udp_to_80);
	assert_int_equal(frame.packet.ipv4.ip.daddr, htonl(PEER));
	assert_memory_equal(&frame.packet.ipv4.udp + 1, "question", 8);
	peer_send_udp(&peer, ntohl(frame.packet.ipv4.ip.saddr), 80, ntohs(frame.packet.ipv4.udp.source),
		      "answer", 6);
	peer_expect(&peer, client, "answer");
	peer_finish(&peer);
	close(client);
}

/* ---- IPv6 ---- */

static bool is_syn6(const struct peer_frame *frame)
{
	return frame->ethernet.ether_type == htons(ETHERTYPE_IPV6) &&
	       frame->packet.ipv6.ip.ip6_nxt == IPPROTO_TCP && frame->packet.ipv6.tcp.syn;
}

/* Like forward_on(); false: the host has no IPv6. */
static bool forward6_on(uint16_t guest_port, struct nic_user_forward *ret_forward)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	socklen_t bytes = sizeof(address);
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	bool works = fd >= 0 && bind(fd, (struct sockaddr *)&address, bytes) == 0 &&
		     getsockname(fd, (struct sockaddr *)&address, &bytes) == 0;

	if (fd >= 0)
		close(fd);
	*ret_forward = (struct nic_user_forward){ .host.ipv6 = address };
	ret_forward->guest.ipv6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
							 .sin6_port = htons(guest_port),
							 .sin6_addr = peer6 };
	return works;
}

static void test_tcp_over_ipv6_to_the_guest(void **state)
{
	struct nic_user_forward forward;
	struct peer_frame frame;
	struct peer peer;
	int client;

	if (!forward6_on(80, &forward))
		skip();
	peer_start(&peer, &lan);
	assert_int_equal(nic_user_forward_add(peer.nic, &forward), 0);
	client = connect_to(&forward);
	assert_true(client >= 0);
	frame = peer_wait(&peer, is_syn6);
	assert_memory_equal(&frame.packet.ipv6.ip.ip6_dst, &peer6, 16);
	assert_memory_equal(&frame.packet.ipv6.ip.ip6_src, &gateway6, 16);
	assert_int_equal(frame.packet.ipv6.tcp.dest, htons(80));
	assert_int_equal(nic_user_forward_remove(peer.nic, &forward), 0);
	assert_int_equal(connect_to(&forward), -ECONNREFUSED);
	peer_finish(&peer);
	close(client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_makes_no_sense_is_refused),
		cmocka_unit_test(test_added_listed_removed),
		cmocka_unit_test(test_a_port_in_use),
		cmocka_unit_test(test_no_more_than_so_many),
		cmocka_unit_test(test_tcp_to_the_guest),
		cmocka_unit_test(test_udp_to_the_guest),
		cmocka_unit_test(test_tcp_over_ipv6_to_the_guest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
