/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The NAT for plain users: connections of a guest to the host. */
#include "user_sockets.h"

#include "host/nic_user_private.h"

static void test_tcp_to_the_loopback(void **state)
{
	struct nic_user_options options = { .name = "lan", .loopback = true };
	struct peer_frame frame;
	uint32_t next;
	struct peer peer;
	uint16_t port;
	int server = host_listen(&port), connection = -1;

	peer_start(&peer, &options);
	peer_send_tcp(&peer, GATEWAY, PEER_PORT, port, PEER_ISN, 0, PEER_SYN, "");
	frame = peer_wait(&peer, is_syn_ack);
	assert_int_equal(frame.packet.ipv4.ip.saddr, htonl(GATEWAY));
	assert_int_equal(ntohl(frame.packet.ipv4.tcp.ack_seq), PEER_ISN + 1);
	next = ntohl(frame.packet.ipv4.tcp.seq) + 1;
	peer_send_tcp(&peer, GATEWAY, PEER_PORT, port, PEER_ISN + 1, next, PEER_ACK, "hello");
	AWAIT((connection = accept4(server, NULL, NULL, SOCK_NONBLOCK)) >= 0, peer_turn(&peer));
	peer_expect(&peer, connection, "hello");
	assert_int_equal(send(connection, "world", 5, 0), 5);
	frame = peer_wait(&peer, is_tcp_data);
	assert_memory_equal(tcp_data(&frame), "world", 5);
	peer_send_tcp(&peer, GATEWAY, PEER_PORT, port, PEER_ISN + 6, next + 5, PEER_ACK, "");
	/* The host ends its direction, the guest the other. */
	assert_int_equal(shutdown(connection, SHUT_WR), 0);
	peer_wait(&peer, is_fin);
	peer_send_tcp(&peer, GATEWAY, PEER_PORT, port, PEER_ISN + 6, next + 6, PEER_ACK | PEER_FIN, "");
	peer_expect(&peer, connection, "");
	peer_finish(&peer);
	close(connection);
	close(server);
}

#define UNCUT_BYTES 20000u
#define HEAD_BYTES  54u

/* A segment of many MTUs, whose checksum is that of the pseudo header. */
static void send_uncut(struct peer *peer, uint16_t port, uint32_t next)
{
	static uint8_t bytes[HEAD_BYTES + UNCUT_BYTES];
	static const uint8_t gateway_mac[6] = { 0x52, 0x55, 10, 0, 2, 2 };
	const struct frame_offload offload = { .flags = FRAME_CSUM_NEEDED,
					       .gso_type = FRAME_GSO_TCP4,
					       .header_bytes = HEAD_BYTES,
					       .gso_bytes = 1446,
					       .csum_start = 34,
					       .csum_offset = 16 };
	struct iphdr ip = { .version = 4,
			    .ihl = 5,
			    .tot_len = htons(40 + UNCUT_BYTES),
			    .ttl = 64,
			    .protocol = IPPROTO_TCP,
			    .saddr = htonl(PEER),
			    .daddr = htonl(GATEWAY) };
	struct tcphdr tcp = { .source = htons(PEER_PORT),
			      .dest = htons(port),
			      .seq = htonl(PEER_ISN + 1),
			      .ack_seq = htonl(next),
			      .doff = 5,
			      .ack = 1,
			      .window = htons(60000) };
	uint32_t pseudo = peer_sum(0, &ip.saddr, 8) + IPPROTO_TCP + 20 + UNCUT_BYTES;

	memcpy(bytes, gateway_mac, 6);
	memcpy(bytes + 6, peer_mac, 6);
	bytes[12] = 8;
	ip.check = peer_checksum(peer_sum(0, &ip, sizeof(ip)));
	tcp.check = (uint16_t)~peer_checksum(pseudo);
	memcpy(bytes + 14, &ip, sizeof(ip));
	memcpy(bytes + 34, &tcp, sizeof(tcp));
	for (uint32_t i = 0; i < UNCUT_BYTES; i++)
		bytes[HEAD_BYTES + i] = (uint8_t)(i * 7);
	assert_int_equal(peer_send_uncut(peer, bytes, sizeof(bytes), &offload), 1);
}

/* What the guest leaves uncut, libslirp takes whole. */
static void test_tcp_uncut(void **state)
{
	struct nic_user_options options = { .name = "lan", .loopback = true };
	uint8_t buffer[UNCUT_BYTES];
	struct peer_frame frame;
	uint32_t next, got = 0;
	struct peer peer;
	uint16_t port;
	int server = host_listen(&port), connection = -1;

	peer_start(&peer, &options);
	peer_send_tcp(&peer, GATEWAY, PEER_PORT, port, PEER_ISN, 0, PEER_SYN, "");
	frame = peer_wait(&peer, is_syn_ack);
	next = ntohl(frame.packet.ipv4.tcp.seq) + 1;
	peer_send_tcp(&peer, GATEWAY, PEER_PORT, port, PEER_ISN + 1, next, PEER_ACK, "");
	AWAIT((connection = accept4(server, NULL, NULL, SOCK_NONBLOCK)) >= 0, peer_turn(&peer));
	send_uncut(&peer, port, next);
	while (got < UNCUT_BYTES) {
		ssize_t bytes = -1;

		AWAIT((bytes = recv(connection, buffer + got, UNCUT_BYTES - got, MSG_DONTWAIT)) > 0,
		      peer_turn(&peer));
		got += (uint32_t)bytes;
	}
	for (uint32_t i = 0; i < UNCUT_BYTES; i++)
		assert_int_equal(buffer[i], (uint8_t)(i * 7));
	assert_int_equal(counter_read(&peer.nic->counters.refused), 0);
	peer_finish(&peer);
	close(connection);
	close(server);
}

#define STREAM_BYTES 40000u

/* What a peer gets of its connection. */
struct stream {
	struct peer peer;
	uint32_t first, got;
	unsigned pieces_max; /* of a frame */
};

static uint8_t stream_byte(uint32_t position)
{
	return (uint8_t)(position * 11 >> 3);
}

/* In order; what was not acknowledged in time comes again. */
static void stream_take(struct stream *stream, const struct frame *frame, uint32_t position)
{
	for (uint32_t at = HEAD_BYTES; at < frame->bytes; at++, position++) {
		uint8_t byte;

		iov_copy_out(frame->iov, frame->iov_count, at, &byte, 1);
		assert_int_equal(byte, stream_byte(position));
		assert_in_range(position, 0, stream->got);
		stream->got += position == stream->got;
	}
	if (stream->pieces_max < frame->iov_count)
		stream->pieces_max = frame->iov_count;
}

static void stream_input(struct host_nic_receiver *receiver, const struct frame *frames, unsigned count)
{
	struct stream *stream = container_of(receiver, struct stream, peer.receiver);

	for (unsigned i = 0; i < count; i++) {
		struct peer_frame head;

		iov_copy_out(frames[i].iov, frames[i].iov_count, 0, (uint8_t *)&head + 2, HEAD_BYTES);
		if (!peer_is_ipv4(&head, IPPROTO_TCP))
			continue;
		assert_int_equal(ntohs(head.packet.ipv4.ip.tot_len), frames[i].bytes - FRAME_HEADER_BYTES);
		assert_int_equal(head.packet.ipv4.tcp.doff, 5);
		stream_take(stream, &frames[i], ntohl(head.packet.ipv4.tcp.seq) - stream->first);
	}
	peer_input(receiver, frames, count);
}

/*
 * libslirp sends more segments at a time as they are acknowledged. While the worker does not look, all of
 * them come, and then it has them as one frame.
 */
static void test_tcp_joined(void **state)
{
	struct nic_user_options options = { .name = "lan", .loopback = true };
	static uint8_t bytes[STREAM_BYTES];
	struct frame_ring *ring;
	struct stream stream = { .got = 0 };
	struct peer_frame frame;
	uint16_t port;
	int server = host_listen(&port), connection = -1;

	for (uint32_t i = 0; i < STREAM_BYTES; i++)
		bytes[i] = stream_byte(i);
	peer_start(&stream.peer, &options);
	ring = &nic_user_of(stream.peer.nic)->to_guests;
	peer_send_tcp(&stream.peer, GATEWAY, PEER_PORT, port, PEER_ISN, 0, PEER_SYN, "");
	frame = peer_wait(&stream.peer, is_syn_ack);
	stream.first = ntohl(frame.packet.ipv4.tcp.seq) + 1;
	stream.peer.receiver.input = stream_input;
	peer_send_tcp(&stream.peer, GATEWAY, PEER_PORT, port, PEER_ISN + 1, stream.first, PEER_ACK, "");
	AWAIT((connection = accept4(server, NULL, NULL, SOCK_NONBLOCK)) >= 0, peer_turn(&stream.peer));
	assert_int_equal(send(connection, bytes, sizeof(bytes), 0), sizeof(bytes));
	while (stream.got < STREAM_BYTES) {
		AWAIT(frame_ring_used_bytes(ring) > 0, usleep(1000));
		/* A turn of the thread ends with all that there is to send. */
		user_slirp_lock();
		user_slirp_unlock();
		while (frame_ring_used_bytes(ring) > 0)
			peer_turn(&stream.peer);
		peer_send_tcp(&stream.peer, GATEWAY, PEER_PORT, port, PEER_ISN + 1, stream.first + stream.got,
			      PEER_ACK, "");
	}
	assert_in_range(stream.pieces_max, 2, FRAME_IOV_MAX);
	assert_true(stream.peer.joined > 0);
	peer_finish(&stream.peer);
	close(connection);
	close(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp_to_the_loopback),
		cmocka_unit_test(test_tcp_uncut),
		cmocka_unit_test(test_tcp_joined),
	};

	return cmocka_run_group_tests_name("nic_user tcp", tests, NULL, NULL);
}
