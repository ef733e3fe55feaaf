/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets of a VXLAN NIC: which options make sense, and how the kernel is to treat the datagrams.
 *
 * The socket that receives has the port for itself, so that no other program of the host gets at the frames.
 * The daemon's successor cannot open another one before the predecessor has gone; it takes this one over.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/fd.h"
#include "host/nic_vxlan_private.h"

/* Some milliseconds of 10 Gbit/s, in the kernel's accounting, which counts twice as much for small frames. */
#define RECEIVE_BUFFER_BYTES (4 * 1024 * 1024)
/*
 * The kernel doubles it. More than it keeps for a neighbour whose address it looks for (208 KiB), so that a
 * peer that is gone does not fill its socket; but fewer small frames than a queue of 1000 has room for, so
 * that the socket says that there is no room (and when there is again) before the queue drops frames.
 */
#define SEND_BUFFER_BYTES (320 * 1024)
/* A millisecond each */
#define BIND_TRIES 100u

/* ---- addresses ---- */

static uint16_t port_of(const union nic_vxlan_address *address)
{
	return ntohs(address->any.sa_family == AF_INET ? address->ipv4.sin_port : address->ipv6.sin6_port);
}

/* Nothing but address, scope and port. */
static union nic_vxlan_address with_port(const union nic_vxlan_address *address, uint16_t port)
{
	union nic_vxlan_address made = { 0 };

	if (address->any.sa_family == AF_INET) {
		made.ipv4.sin_family = AF_INET;
		made.ipv4.sin_addr = address->ipv4.sin_addr;
		made.ipv4.sin_port = htons(port);
		return made;
	}
	made.ipv6.sin6_family = AF_INET6;
	made.ipv6.sin6_addr = address->ipv6.sin6_addr;
	made.ipv6.sin6_port = htons(port);
	/* The kernel tells no scope of others when a datagram comes. */
	if (IN6_IS_ADDR_LINKLOCAL(&made.ipv6.sin6_addr))
		made.ipv6.sin6_scope_id = address->ipv6.sin6_scope_id;
	return made;
}

/* May it be the address of one host? */
static bool is_host(const union nic_vxlan_address *address)
{
	const struct in6_addr *ipv6 = &address->ipv6.sin6_addr;

	if (address->any.sa_family == AF_INET) {
		uint32_t ipv4 = ntohl(address->ipv4.sin_addr.s_addr);

		return ipv4 >> 24 != 0 && !IN_MULTICAST(ipv4) && !IN_BADCLASS(ipv4);
	}
	return address->any.sa_family == AF_INET6 && !IN6_IS_ADDR_UNSPECIFIED(ipv6) &&
	       !IN6_IS_ADDR_MULTICAST(ipv6) && !IN6_IS_ADDR_V4MAPPED(ipv6) &&
	       (!IN6_IS_ADDR_LINKLOCAL(ipv6) || address->ipv6.sin6_scope_id != 0);
}

static bool is_any(const union nic_vxlan_address *address)
{
	switch (address->any.sa_family) {
	case AF_UNSPEC:
		return true;
	case AF_INET:
		return address->ipv4.sin_addr.s_addr == INADDR_ANY;
	default:
		return IN6_IS_ADDR_UNSPECIFIED(&address->ipv6.sin6_addr);
	}
}

static sa_family_t family_of(const struct nic_vxlan_options *options)
{
	if (options->local.any.sa_family != AF_UNSPEC)
		return options->local.any.sa_family;
	return options->peer_count > 0 ? options->peers[0].any.sa_family : AF_INET;
}

static int add_peer(struct nic_vxlan *nic, const union nic_vxlan_address *address,
		    const union nic_vxlan_address *local)
{
	struct vxlan_peer *peer = &nic->peers[nic->peer_count];

	if (!is_host(address) || address->any.sa_family != local->any.sa_family)
		return -EINVAL;
	peer->address = with_port(address, port_of(local));
	if (vxlan_is_same_host(&peer->address, local))
		return 0;
	for (unsigned i = 0; i < nic->peer_count; i++)
		if (vxlan_is_same_host(&nic->peers[i].address, &peer->address))
			return -EINVAL;
	nic->peer_count++;
	return 0;
}

/* Fills in all that is no socket. Returns 0 or -EINVAL. */
static int set_options(struct nic_vxlan *nic, const struct nic_vxlan_options *options,
		       union nic_vxlan_address *ret_local)
{
	const sa_family_t family = family_of(options);
	const bool ipv4 = family == AF_INET;
	const unsigned mtu = options->mtu ? options->mtu : ipv4 ? NIC_VXLAN_MTU_IPV4 : NIC_VXLAN_MTU_IPV6;
	const union nic_vxlan_address any = { .any.sa_family = family };
	const bool bound = !is_any(&options->local);
	int error = 0;

	if (options->vni > NIC_VXLAN_VNI_MAX || mtu < NIC_VXLAN_MTU_MIN || mtu > NIC_VXLAN_MTU_MAX ||
	    options->peer_count > NIC_VXLAN_PEERS_MAX || (!ipv4 && family != AF_INET6) ||
	    (bound && !is_host(&options->local)))
		return -EINVAL;
	*ret_local =
		with_port(bound ? &options->local : &any, options->port ? options->port : NIC_VXLAN_PORT);
	nic->address_bytes = ipv4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	for (unsigned i = 0; i < options->peer_count && !error; i++)
		error = add_peer(nic, &options->peers[i], ret_local);
	nic->vni = options->vni;
	vxlan_header_put(nic->header, options->vni);
	nic->base.ops = &nic_vxlan_ops;
	nic->base.channels = 1;
	nic->base.sends.mtu = (uint16_t)mtu;
	nic->base.up = nic->peer_count > 0;
	return error;
}

/* ---- sockets ---- */

static int set_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* As large as we may. */
static void set_buffer(int fd, int option_force, int option, int bytes)
{
	if (set_option(fd, SOL_SOCKET, option_force, bytes))
		set_option(fd, SOL_SOCKET, option, bytes);
}

/*
 * A NIC that was closed has its port until the ring of its worker has let go of the socket, in one of its
 * next turns. Waits for that for a moment.
 */
static int bind_socket(int fd, const union nic_vxlan_address *local, socklen_t address_bytes)
{
	const struct timespec moment = { .tv_nsec = NS_PER_MS };

	for (unsigned tries = 0; bind(fd, &local->any, address_bytes) < 0; tries++) {
		if (errno != EADDRINUSE || tries == BIND_TRIES)
			return -errno;
		nanosleep(&moment, NULL);
	}
	return 0;
}

/* Returns the socket, bound, or -errno. */
static int udp_socket(const struct nic_vxlan *nic, const union nic_vxlan_address *local)
{
	int fd = socket(local->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);
	int error = 0;

	if (fd < 0)
		return -errno;
	if (local->any.sa_family == AF_INET6)
		error = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (!error)
		error = bind_socket(fd, local, nic->address_bytes);
	if (error)
		close(fd);
	return error ? error : fd;
}

/* Is it the socket that a predecessor would have? */
static bool is_ours(int fd, const union nic_vxlan_address *local)
{
	union nic_vxlan_address name = { 0 };
	socklen_t name_bytes = sizeof(name), bytes = sizeof(int);
	int protocol = 0;

	return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &bytes) == 0 && protocol == IPPROTO_UDP &&
	       getsockname(fd, &name.any, &name_bytes) == 0 && vxlan_is_same_host(&name, local) &&
	       port_of(&name) == port_of(local);
}

/* How many datagrams the socket has lost until now, as it will tell with the next ones. */
static uint32_t lost_until_now(int fd)
{
	uint32_t memory[SK_MEMINFO_VARS] = { 0 };
	socklen_t bytes = sizeof(memory);

	return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &bytes) < 0 ? 0 : memory[SK_MEMINFO_DROPS];
}

/* The socket that receives: the one that was handed over, if it fits. */
static int open_receiver(struct nic_vxlan *nic, const union nic_vxlan_address *local, int handed_over)
{
	bool fits = handed_over >= 0 && is_ours(handed_over, local);
	int fd = fits ? handed_over : udp_socket(nic, local), error;

	if (fd < 0)
		return fd;
	error = fd_set_nonblocking(fd, true);
	if (!error)
		error = set_option(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
	if (error) {
		if (!fits)
			close(fd);
		return error;
	}
	set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
	nic->lost = lost_until_now(fd);
	nic->fd = fd;
	if (handed_over >= 0 && !fits)
		close(handed_over);
	return 0;
}

/* What comes to the port that the kernel chose for sending is of no use to us. */
static int refuse_datagrams(int fd)
{
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = { .len = 1, .filter = &none };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

/*
 * No fragments on this host, no DF flag, and no belief in what the network says of the path's MTU: any host
 * could say it. Errors from the network wait in an error queue.
 */
static int set_sending(int fd, bool ipv4)
{
	int error;

	if (ipv4) {
		error = set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_INTERFACE);
		return error ? error : set_option(fd, IPPROTO_IP, IP_RECVERR, 1);
	}
	error = set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_INTERFACE);
	return error ? error : set_option(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
}

static int open_sender(const struct nic_vxlan *nic, const union nic_vxlan_address *local,
		       struct vxlan_peer *peer)
{
	const union nic_vxlan_address source = with_port(local, 0);
	int fd = udp_socket(nic, &source), error;

	if (fd < 0)
		return fd;
	error = refuse_datagrams(fd);
	if (!error)
		error = set_sending(fd, local->any.sa_family == AF_INET);
	if (error) {
		close(fd);
		return error;
	}
	set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, SEND_BUFFER_BYTES);
	peer->fd = fd;
	return 0;
}

/* ---- opening ---- */

/* Any part of it may be missing. */
static void vxlan_free(struct nic_vxlan *nic)
{
	fd_close(&nic->fd);
	for (unsigned i = 0; i < NIC_VXLAN_PEERS_MAX; i++)
		fd_close(&nic->peers[i].fd);
	vxlan_table_finish(&nic->table);
	free(nic);
}

void nic_vxlan_close(struct host_nic *nic)
{
	assert(!nic_vxlan_of(nic)->open);
	vxlan_free(nic_vxlan_of(nic));
}

int nic_vxlan_open(const struct nic_vxlan_options *options, struct host_nic **ret_nic)
{
	struct nic_vxlan *nic = calloc(1, sizeof(*nic));
	union nic_vxlan_address local;
	int error;

	if (!nic)
		return -ENOMEM;
	nic->fd = -1;
	for (unsigned i = 0; i < NIC_VXLAN_PEERS_MAX; i++)
		nic->peers[i].fd = -1;
	error = set_options(nic, options, &local);
	if (!error)
		error = vxlan_table_init(&nic->table, nic->peer_count);
	for (unsigned i = 0; i < nic->peer_count && !error; i++)
		error = open_sender(nic, &local, &nic->peers[i]);
	if (!error)
		error = open_receiver(nic, &local, options->fd);
	if (error) {
		vxlan_free(nic);
		return error;
	}
	*ret_nic = &nic->base;
	return 0;
}
