/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For tests of NICs that are interfaces of the kernel: a network namespace of the program's own, and packet
 * sockets that look at its interfaces.
 */
#ifndef VIADUCT_TESTS_NIC_NAMESPACE_H
#define VIADUCT_TESTS_NIC_NAMESPACE_H

#include "nic_fixture.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include "core/fd.h"
#include "network_namespace.h"

/* ---- the other side of an interface ---- */

/* Sees what comes in by the interface, and sends out of it, with offload headers. */
static inline int peer_open(const char *interface)
{
	int one = 1, room = 16 * 1024 * 1024;
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)if_nametoindex(interface),
	};

	assert_true(fd >= 0 && address.sll_ifindex > 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)), 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)), 0);
	/* The latter, where the former is not allowed. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static inline void peer_send(int fd, const void *bytes, size_t byte_count,
			     const struct frame_offload *offload)
{
	struct frame_offload none = { 0 };
	socklen_t error_bytes = sizeof(int);
	int error;
	struct iovec iov[2] = {
		{ (void *)(offload ? offload : &none), sizeof(none) },
		{ (void *)bytes, byte_count },
	};

	/* That the interface was down meanwhile is an error of the next call, whichever. */
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_bytes);
	assert_int_equal(writev(fd, iov, 2), sizeof(none) + byte_count);
}

/* The next frame, waited for; returns its length. */
static inline size_t peer_take(int fd, struct loop *loop, uint8_t bytes[FRAME_BYTES_MAX],
			       struct frame_offload *ret_offload)
{
	struct iovec iov[2] = { { ret_offload, sizeof(*ret_offload) }, { bytes, FRAME_BYTES_MAX } };
	ssize_t got;

	AWAIT((got = readv(fd, iov, 2)) >= 0 || errno != EAGAIN, loop_turn(loop, NS_PER_MS));
	assert_true(got >= (ssize_t)sizeof(*ret_offload));
	return (size_t)got - sizeof(*ret_offload);
}

/* ---- TCP over IPv4 ---- */

#define TCP_HEADERS 54u /* Ethernet, IPv4, TCP */

static inline uint16_t sum16(const uint8_t *bytes, size_t byte_count, uint32_t sum)
{
	for (size_t i = 0; i < byte_count; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Of a TCP frame: 0xffff when its checksum is right. */
static inline uint16_t tcp_sum(const uint8_t *frame, size_t byte_count)
{
	return sum16(frame + 34, byte_count - 34, sum16(frame + 26, 8, (uint32_t)(6 + byte_count - 34)));
}

/* A TCP frame with the pseudo header's sum for a checksum, and the offload header that says so. */
static inline void tcp_fill(uint8_t *frame, size_t byte_count, uint16_t segment_bytes,
			    struct frame_offload *ret_offload)
{
	static const uint8_t head[TCP_HEADERS] = {
		255,  255, 255, 255, 255, 255, 2,    0, 0,  0, 0, 1, 8,	   0, /* Ethernet */
		0x45, 0,   0,	0,   0,	  1,   0x40, 0, 64, 6, 0, 0, 10,   0,
		0,    1,   10,	0,   0,	  2, /* IPv4 */
		4,    0,   4,	1,   0,	  0,   0,    1, 0,  0, 0, 1, 0x50, 0x10,
		255,  255, 0,	0,   0,	  0, /* TCP */
	};
	uint16_t sum;

	frame_fill(frame, byte_count, 77);
	memcpy(frame, head, sizeof(head));
	frame[16] = (uint8_t)((byte_count - 14) >> 8);
	frame[17] = (uint8_t)(byte_count - 14);
	sum = (uint16_t)~sum16(frame + 14, 20, 0);
	frame[24] = (uint8_t)(sum >> 8);
	frame[25] = (uint8_t)sum;
	sum = sum16(frame + 26, 8, (uint32_t)(6 + byte_count - 34));
	frame[50] = (uint8_t)(sum >> 8);
	frame[51] = (uint8_t)sum;
	*ret_offload = (struct frame_offload){
		.flags = FRAME_CSUM_NEEDED,
		.gso_type = segment_bytes ? FRAME_GSO_TCP4 : FRAME_GSO_NONE,
		.header_bytes = segment_bytes ? TCP_HEADERS : 0,
		.gso_bytes = segment_bytes,
		.csum_start = 34,
		.csum_offset = 16,
	};
}

#endif
