/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Full rings, limits, and frames that no honest guest sends. */
#include "user_peer.h"

#include <errno.h>
#include <unistd.h>

#include "host/nic_user_private.h"
#include "user_sockets.h"

static const struct nic_user_options lan = { .name = "lan", .loopback = true };

/* The answer may have more frames behind it than the peer keeps. */
static void ping_once(struct peer *peer)
{
	unsigned before = peer->replies_77;

	peer_send_ping(peer, GATEWAY, 77, 10);
	AWAIT(peer->replies_77 > before, peer_turn(peer));
}

/* Packets to a gateway that libslirp does not answer. */
static unsigned send_many(struct peer *peer, unsigned count)
{
	static uint8_t bytes[1400] = { [12] = 0x08, [14] = 0x45, [30] = 10, [32] = 2, [33] = 9 };
	struct iovec iov = { bytes, sizeof(bytes) };
	struct frame frames[100];
	unsigned sent = 0;

	for (unsigned i = 0; i < 100; i++)
		frames[i] = (struct frame){ .iov = &iov, .iov_count = 1, .bytes = sizeof(bytes) };
	while (sent < count) {
		unsigned taken = peer->channel->ops->send(peer->channel, frames, 100);

		assert_in_range(taken, 0, 100);
		sent += taken;
		if (taken < 100)
			break;
	}
	return sent;
}

static void test_a_full_ring_becomes_writable(void **state)
{
	struct peer peer;

	peer_start(&peer, &lan);
	for (unsigned round = 1; round <= 3; round++) {
		/* The thread cannot take what is sent. */
		user_slirp_lock();
		assert_in_range(send_many(&peer, 10000), 1, 10000 - 1);
		assert_int_equal(send_many(&peer, 1), 0);
		peer_turn(&peer);
		assert_int_equal(peer.writable, round - 1);
		user_slirp_unlock();
		AWAIT(peer.writable == round, peer_turn(&peer));
		assert_true(send_many(&peer, 100) >= 100);
		ping_once(&peer);
		assert_int_equal(peer.writable, round);
	}
	assert_int_equal(counter_read(&peer.nic->counters.refused), 0);
	peer_finish(&peer);
}

static void ping_if_there_is_room(struct peer *peer)
{
	if (frame_ring_used_bytes(&nic_user_of(peer->nic)->to_slirp) < 256u << 10)
		peer_send_ping(peer, GATEWAY, 1, 1400);
}

/* Frames for a worker that does not turn are lost, and the rest comes. */
static void test_a_worker_that_is_slow(void **state)
{
	struct peer peer;

	peer_start(&peer, &lan);
	ping_once(&peer);
	AWAIT(counter_read(&peer.nic->counters.overrun) > 0, ping_if_there_is_room(&peer));
	ping_once(&peer);
	assert_true(peer.received > 600);
	peer_finish(&peer);
}

/* Sockets wait in the kernel while the worker is slow, and nothing is lost. */
static void test_datagrams_wait_for_the_worker(void **state)
{
	enum { DATAGRAMS = 1200 };
	char data[1400] = { 0 }, text[16];
	struct nic_user_forward nowhere = forward_on(SOCK_STREAM, 80);
	struct sockaddr_in from;
	socklen_t from_bytes = sizeof(from);
	uint64_t before;
	struct peer peer;
	uint16_t port;
	int server = host_socket(SOCK_DGRAM, &port);

	peer_start(&peer, &lan);
	ping_once(&peer);
	peer_send_udp(&peer, GATEWAY, PEER_PORT, port, "x", 1);
	AWAIT(recvfrom(server, text, sizeof(text), MSG_DONTWAIT, (struct sockaddr *)&from, &from_bytes) >= 0,
	      peer_turn(&peer));
	before = peer.received;
	nowhere.host.ipv4.sin_addr.s_addr = htonl(0xc0000201);
	for (unsigned i = 0; i < DATAGRAMS; i++) {
		assert_int_equal(sendto(server, data, sizeof(data), 0, (struct sockaddr *)&from, from_bytes),
				 sizeof(data));
		/* A turn of the thread, in which it reads a datagram if it wants to. */
		assert_int_equal(nic_user_forward_add(peer.nic, &nowhere), -EADDRNOTAVAIL);
	}
	assert_int_equal(counter_read(&peer.nic->counters.overrun), 0);
	/* Half of the ring is full, and what is in the socket follows. */
	AWAIT(peer.received > before + 360, peer_turn(&peer));
	ping_once(&peer);
	assert_int_equal(counter_read(&peer.nic->counters.overrun), 0);
	peer_finish(&peer);
	close(server);
}

static void test_sockets_are_limited(void **state)
{
	struct nic_user_options options = { .name = "lan", .loopback = true, .sockets_max = 2 };
	struct nic_user_forward forward = forward_on(SOCK_STREAM, 80);
	const struct nic_user_counters *counters;
	char text[4];
	struct peer peer;
	uint16_t port;
	int server = host_socket(SOCK_DGRAM, &port), client;

	peer_start(&peer, &options);
	counters = nic_user_get_counters(peer.nic);
	assert_int_equal(nic_user_forward_add(peer.nic, &forward), 0);
	for (uint16_t i = 0; i < 2; i++) {
		peer_send_udp(&peer, GATEWAY, (uint16_t)(PEER_PORT + i), port, "x", 1);
		AWAIT(recv(server, text, sizeof(text), MSG_DONTWAIT) == 1, peer_turn(&peer));
	}
	assert_int_equal(counter_read(&counters->no_socket), 0);
	peer_send_udp(&peer, GATEWAY, PEER_PORT + 2, port, "x", 1);
	AWAIT(counter_read(&counters->no_socket) == 1, peer_turn(&peer));
	/* Nor are connections to the guest accepted, in two turns of the thread. ARP goes through. */
	client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(client, &forward.host.any, sizeof(forward.host.ipv4)), 0);
	for (unsigned i = 0; i < 2; i++) {
		uint64_t before = peer.received;

		peer_send_arp(&peer, ARPOP_REQUEST, GATEWAY, peer_mac);
		AWAIT(peer.received > before, peer_turn(&peer));
	}
	assert_false(peer_find(&peer, is_syn, &(struct peer_frame){ 0 }));
	assert_int_equal(recv(server, text, sizeof(text), MSG_DONTWAIT), -1);
	peer_finish(&peer);
	close(client);
	close(server);
}

static void test_fragments_are_limited(void **state)
{
	struct nic_user_options options = { .name = "lan", .mtu = NIC_USER_MTU_MAX };
	struct peer_frame frame = { 0 };
	const struct nic_user_counters *counters;
	struct peer peer;

	peer_start(&peer, &options);
	counters = nic_user_get_counters(peer.nic);
	for (unsigned i = 0; i < 300; i++) {
		frame.packet.ipv4.ip.frag_off = htons(IP_MF);
		peer_send_ipv4(&peer, &frame, IPPROTO_UDP, 0x08080808, 16);
	}
	AWAIT(counter_read(&counters->no_fragment) > 0, peer_turn(&peer));
	ping_once(&peer);
	assert_in_range(counter_read(&counters->no_fragment), 1, 299);
	peer_finish(&peer);
}

static void test_frames_of_wrong_lengths(void **state)
{
	static uint8_t bytes[2000];
	const struct host_nic_counters *counters;
	struct peer peer;

	peer_start(&peer, &lan);
	counters = &peer.nic->counters;
	bytes[12] = 0x08;
	bytes[13] = 0x06;
	assert_int_equal(peer_send_bytes(&peer, bytes, 13), 1);
	assert_int_equal(peer_send_bytes(&peer, bytes, 1500 + 18 + 1), 1);
	assert_int_equal(counter_read(&counters->refused), 2);
	assert_int_equal(counter_read(&counters->sent), 0);
	/* An ARP frame without a message. */
	assert_int_equal(peer_send_bytes(&peer, bytes, 14), 1);
	assert_int_equal(peer_send_bytes(&peer, bytes, 1500 + 18), 1);
	assert_int_equal(counter_read(&counters->refused), 2);
	assert_int_equal(counter_read(&counters->sent), 2);
	ping_once(&peer);
	peer_finish(&peer);
}

/* Valid up to somewhere, then not. The NIC goes on. */
static void test_garbage(void **state)
{
	static const uint8_t protocols[] = { 1, 2, 6, 17, 41, 58, 255 };
	uint32_t random = 1;
	struct peer peer;

	peer_start(&peer, &lan);
	ping_once(&peer);
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t bytes[200];
		uint32_t length = 14 + i % 180;

		for (unsigned j = 0; j < sizeof(bytes); j++) {
			random = random * 1664525u + 1013904223u;
			bytes[j] = (uint8_t)(random >> 24);
		}
		bytes[12] = i % 3 == 0 ? 0x86 : 0x08;
		bytes[13] = i % 3 == 0 ? 0xdd : i % 3 == 1 ? 0x06 : 0x00;
		bytes[14] = i % 3 == 0 ? 0x60 : 0x45;
		bytes[20] = 0;
		bytes[i % 3 == 0 ? 20 : 23] = protocols[i % sizeof(protocols)];
		/* To the gateway: nothing of this is for others. */
		if (i % 3 == 0)
			memcpy(bytes + 38, &gateway6, 16);
		else
			memcpy(bytes + 30, "\x0a\x00\x02\x02", 4);
		if (peer_send_bytes(&peer, bytes, length) == 0)
			AWAIT(peer.writable > 0, peer_turn(&peer));
		peer.writable = 0;
		if (i % 64 == 0)
			peer_turn(&peer);
	}
	ping_once(&peer);
	peer_finish(&peer);
}

/* libslirp has globals: two threads of it must not meet in them. */
static void test_two_nics(void **state)
{
	struct nic_user_options other = { .network = { htonl(0x0a000200) },
					  .network_bits = 24,
					  .loopback = true };
	struct peer peers[2];
	uint16_t port;
	int server = host_listen(&port), connection;

	peer_start(&peers[0], &lan);
	peer_start(&peers[1], &other);
	for (uint16_t i = 0; i < 50; i++) {
		peer_send_tcp(&peers[i % 2], GATEWAY, (uint16_t)(PEER_PORT + i), port, PEER_ISN, 0, PEER_SYN,
			      "");
		peer_wait(&peers[i % 2], is_syn_ack);
		AWAIT((connection = accept4(server, NULL, NULL, SOCK_NONBLOCK)) >= 0,
		      peer_turn(&peers[i % 2]));
		close(connection);
	}
	/* Both end with connections that are not at their end. */
	peer_finish(&peers[1]);
	ping_once(&peers[0]);
	peer_finish(&peers[0]);
	close(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_full_ring_becomes_writable),
		cmocka_unit_test(test_a_worker_that_is_slow),
		cmocka_unit_test(test_datagrams_wait_for_the_worker),
		cmocka_unit_test(test_sockets_are_limited),
		cmocka_unit_test(test_fragments_are_limited),
		cmocka_unit_test(test_frames_of_wrong_lengths),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_two_nics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
