/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A VXLAN NIC at 127.0.0.1 with a channel open, and sockets that are its peers, at 127.0.0.2 and so on. */
#ifndef VIADUCT_TESTS_NIC_VXLAN_FIXTURE_H
#define VIADUCT_TESTS_NIC_VXLAN_FIXTURE_H

#include "nic_namespace.h"
#include "nic_vxlan_address.h"

#include "host/nic_vxlan.h"

#define PEERS	  3u
#define VNI	  0x123456u
#define SPACE	  65536u
#define HEADER	  8u
#define PEER_PORT 4789u

static const uint8_t vxlan_header[HEADER] = { 0x08, 0, 0, 0, 0x12, 0x34, 0x56, 0 };

struct fixture {
	struct loop *loop;
	struct host_nic *nic;
	const struct nic_vxlan_counters *counters;
	struct port port;
	int peers[PEERS];
	unsigned peer_count;
};

/* ---- the other end: sockets ---- */

static inline int raw_open(const char *text, uint16_t port)
{
	union nic_vxlan_address address = address_of(text);
	int fd = socket(address.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), room = 16 << 20;

	/* Both families have the port at the same place. */
	address.ipv4.sin_port = htons(port);
	assert_true(fd >= 0);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	assert_int_equal(bind(fd, &address.any, address_bytes(&address)), 0);
	return fd;
}

/* Any bytes, to where the NIC listens. */
static inline void raw_send(int fd, const char *to, const void *bytes, size_t byte_count)
{
	union nic_vxlan_address address = address_of(to);

	address.ipv4.sin_port = htons(PEER_PORT);
	assert_int_equal(sendto(fd, bytes, byte_count, 0, &address.any, address_bytes(&address)), byte_count);
}

/* The next datagram, waited for; returns its length. */
static inline size_t raw_take(int fd, struct loop *loop, uint8_t bytes[SPACE], char from[INET6_ADDRSTRLEN])
{
	union nic_vxlan_address address = { 0 };
	socklen_t length = sizeof(address);
	ssize_t got;

	AWAIT((got = recvfrom(fd, bytes, SPACE, 0, &address.any, &length)) >= 0 || errno != EAGAIN,
	      loop_turn(loop, NS_PER_MS));
	assert_true(got >= 0);
	address_text(&address, from);
	return (size_t)got;
}

static inline bool raw_has_none(int fd)
{
	uint8_t byte;

	return recv(fd, &byte, sizeof(byte), MSG_PEEK) < 0 && errno == EAGAIN;
}

/* The next datagram is this frame in its wrapping, sent from there. */
static inline void raw_expect_from(int fd, struct loop *loop, const uint8_t *frame, size_t bytes,
				   const char *from)
{
	static uint8_t seen[SPACE];
	char source[INET6_ADDRSTRLEN];

	assert_int_equal(raw_take(fd, loop, seen, source), HEADER + bytes);
	assert_memory_equal(seen, vxlan_header, HEADER);
	assert_memory_equal(seen + HEADER, frame, bytes);
	assert_string_equal(source, from);
}

/* ---- frames ---- */

/* A frame that tells its number, between these addresses; their last bytes are given, 0 is the broadcast
 * address. */
static inline void frame_between(uint8_t *frame, size_t bytes, unsigned number, unsigned to, unsigned from)
{
	frame_fill(frame, bytes, number);
	if (to != 0)
		memcpy(frame, (const uint8_t[]){ 2, 0, 0, 0, (uint8_t)(to >> 8), (uint8_t)to }, 6);
	memcpy(frame + 6, (const uint8_t[]){ 2, 0, 0, 0, (uint8_t)(from >> 8), (uint8_t)from }, 6);
}

static inline void datagram_send(int fd, const char *to, const uint8_t *frame, size_t bytes)
{
	static uint8_t datagram[SPACE];

	memcpy(datagram, vxlan_header, HEADER);
	memcpy(datagram + HEADER, frame, bytes);
	raw_send(fd, to, datagram, HEADER + bytes);
}

static inline void nic_expect(struct fixture *fixture, const uint8_t *frame, size_t bytes)
{
	static const struct frame_offload none;
	struct received *received = port_take(&fixture->port);

	assert_int_equal(received->bytes, bytes);
	assert_memory_equal(received->data, frame, bytes);
	assert_memory_equal(&received->offload, &none, sizeof(none));
	received_free(received);
}

/* ---- with peers 127.0.0.2 and so on ---- */

static inline void peer_to_nic(struct fixture *fixture, unsigned peer, const uint8_t *frame, size_t bytes)
{
	datagram_send(fixture->peers[peer], "127.0.0.1", frame, bytes);
	nic_expect(fixture, frame, bytes);
}

/* The next datagram to the peer is this frame. */
static inline void peer_expect(struct fixture *fixture, unsigned peer, const uint8_t *frame, size_t bytes)
{
	raw_expect_from(fixture->peers[peer], fixture->loop, frame, bytes, "127.0.0.1");
}

/* An address is behind this peer from now on. */
static inline void teach(struct fixture *fixture, unsigned peer, unsigned from)
{
	uint8_t frame[60];

	frame_between(frame, sizeof(frame), 1, 0, from);
	peer_to_nic(fixture, peer, frame, sizeof(frame));
}

static inline void nic_send(struct fixture *fixture, const uint8_t *frame, size_t bytes)
{
	assert_true(port_send(&fixture->port, frame, bytes, NULL));
}

/*
 * A frame to this address goes to one peer and no other: what all get next is the broadcast behind it.
 * TO_EACH: to each of them.
 */
#define TO_EACH PEERS

static inline void expect_way(struct fixture *fixture, unsigned to, unsigned peer)
{
	static unsigned number = 1000;
	uint8_t frame[60], marker[60];

	frame_between(frame, sizeof(frame), number++, to, 1);
	frame_between(marker, sizeof(marker), number++, 0, 1);
	nic_send(fixture, frame, sizeof(frame));
	nic_send(fixture, marker, sizeof(marker));
	for (unsigned i = 0; i < fixture->peer_count; i++) {
		if (peer == TO_EACH || peer == i)
			peer_expect(fixture, i, frame, sizeof(frame));
		peer_expect(fixture, i, marker, sizeof(marker));
	}
}

static inline void start_by(struct fixture *fixture, unsigned peers, const struct loop_clocks *clocks)
{
	const union nic_vxlan_address list[PEERS] = { address_of("127.0.0.2"), address_of("127.0.0.3"),
						      address_of("127.0.0.4") };
	const struct nic_vxlan_options options = {
		.vni = VNI, .local = address_of("127.0.0.1"), .peers = list, .peer_count = peers, .fd = -1
	};
	char text[INET6_ADDRSTRLEN];

	need_namespace();
	*fixture = (struct fixture){ .peer_count = peers };
	fixture->loop = nic_loop_by(clocks);
	assert_int_equal(nic_vxlan_open(&options, &fixture->nic), 0);
	fixture->counters = nic_vxlan_get_counters(fixture->nic);
	port_open(&fixture->port, fixture->loop, fixture->nic);
	for (unsigned i = 0; i < peers; i++) {
		address_text(&list[i], text);
		fixture->peers[i] = raw_open(text, PEER_PORT);
	}
}

static inline void start(struct fixture *fixture)
{
	start_by(fixture, PEERS, NULL);
}

/* At all addresses of either family. */
static inline bool port_is_free(void)
{
	union nic_vxlan_address any = { .ipv6 = { .sin6_family = AF_INET6, .sin6_port = htons(PEER_PORT) } };
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is_free = bind(fd, &any.any, sizeof(any.ipv6)) == 0;

	close(fd);
	return is_free;
}

static inline void finish(struct fixture *fixture)
{
	port_finish(&fixture->port);
	fixture->nic->ops->close(fixture->nic);
	for (unsigned i = 0; i < fixture->peer_count; i++)
		close(fixture->peers[i]);
	/* The ring lets go of the socket in one of its next turns. */
	AWAIT(port_is_free(), loop_turn(fixture->loop, NS_PER_MS));
	loop_destroy(fixture->loop);
}

#endif
