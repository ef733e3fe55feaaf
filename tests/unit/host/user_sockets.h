/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's side of what the guest in user_peer.h talks to, and frames that both sides wait for. */
#ifndef VIADUCT_TESTS_USER_SOCKETS_H
#define VIADUCT_TESTS_USER_SOCKETS_H

#include "user_peer.h"

#include <errno.h>
#include <unistd.h>

/* ---- frames ---- */

static inline bool is_syn(const struct peer_frame *frame)
{
	return peer_is_ipv4(frame, IPPROTO_TCP) && frame->packet.ipv4.tcp.syn && !frame->packet.ipv4.tcp.ack;
}

static inline bool is_syn_ack(const struct peer_frame *frame)
{
	return peer_is_ipv4(frame, IPPROTO_TCP) && frame->packet.ipv4.tcp.syn && frame->packet.ipv4.tcp.ack;
}

static inline bool is_fin(const struct peer_frame *frame)
{
	return peer_is_ipv4(frame, IPPROTO_TCP) && frame->packet.ipv4.tcp.fin;
}

static inline const char *tcp_data(const struct peer_frame *frame)
{
	return (const char *)&frame->packet.ipv4.tcp + frame->packet.ipv4.tcp.doff * 4u;
}

static inline bool is_tcp_data(const struct peer_frame *frame)
{
	return peer_is_ipv4(frame, IPPROTO_TCP) &&
	       ntohs(frame->packet.ipv4.ip.tot_len) > sizeof(struct iphdr) + frame->packet.ipv4.tcp.doff * 4u;
}

/* ---- sockets ---- */

/* Bound to the loopback, at a port that the kernel chooses. */
static inline int host_socket(int type, uint16_t *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t bytes = sizeof(address);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static inline int host_listen(uint16_t *ret_port)
{
	int fd = host_socket(SOCK_STREAM | SOCK_NONBLOCK, ret_port);

	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

/* From a port of the loopback that was free a moment ago to this port of the guest. */
static inline struct nic_user_forward forward_on(int type, uint16_t guest_port)
{
	struct nic_user_forward forward = { .udp = type == SOCK_DGRAM };
	uint16_t port;

	close(host_socket(type, &port));
	forward.host.ipv4 = (struct sockaddr_in){ .sin_family = AF_INET,
						  .sin_port = htons(port),
						  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	forward.guest.ipv4 = (struct sockaddr_in){ .sin_family = AF_INET,
						   .sin_port = htons(guest_port),
						   .sin_addr = { htonl(PEER) } };
	return forward;
}

/* What comes next on a socket; "": its end. */
static inline void peer_expect(struct peer *peer, int fd, const char *text)
{
	char buffer[64];
	ssize_t bytes = -1;

	AWAIT((bytes = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT)) >= 0, peer_turn(peer));
	assert_int_equal(bytes, strlen(text));
	assert_memory_equal(buffer, text, strlen(text));
}

#endif
