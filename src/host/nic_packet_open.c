/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a packet socket gets the frames of an interface.
 *
 * Theory of operation. A socket is made with the NIC, which needs CAP_NET_RAW, and is of no protocol, so that
 * it gets nothing. When its channel opens, it is bound to the interface that has the name then. A socket
 * whose interface is gone can be bound to another, without rights; one whose channel is closed is kept for
 * the next channel, and a filter refuses all frames meanwhile.
 *
 * The sockets of several channels form a group, over which the kernel spreads frames by their flow. A socket
 * that is in a group can neither be bound again nor leave it: it is closed, and a new one is made, which
 * needs CAP_NET_RAW again. Between being bound and being in the group a socket would get all frames, those of
 * the others as well: a filter refuses them so long.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/fd.h"
#include "host/nic_packet_private.h"

/* Newer than the headers we build with: Linux 6.5, and 6.6. */
#ifndef PACKET_VNET_HDR_SZ
#define PACKET_VNET_HDR_SZ 24
#endif
#ifndef PACKET_FANOUT_FLAG_IGNORE_OUTGOING
#define PACKET_FANOUT_FLAG_IGNORE_OUTGOING 0x4000
#endif

/* Some milliseconds of 10 Gbit/s, in the kernel's accounting, which counts twice as much for small frames. */
#define RECEIVE_BUFFER_BYTES (4 * 1024 * 1024)
/*
 * The kernel doubles it. Ten frames of 64 KiB; but fewer small ones than a queue of 1000 has room for, so
 * that the socket says that there is no room (and when there is again) before the queue drops frames.
 */
#define SEND_BUFFER_BYTES (320 * 1024)

static int set_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* As large as we may. */
static void set_buffers(int fd)
{
	if (set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES))
		set_option(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES);
	if (set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER_BYTES))
		set_option(fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_BYTES);
}

/* A kernel that knows the newer option knows UDP segments (since Linux 6.2), too. */
static int set_offload_header(struct nic_packet *packet, int fd)
{
	packet->segments_udp =
		set_option(fd, SOL_PACKET, PACKET_VNET_HDR_SZ, (int)FRAME_OFFLOAD_WIRE_BYTES) == 0;
	return packet->segments_udp ? 0 : set_option(fd, SOL_PACKET, PACKET_VNET_HDR, 1);
}

int nic_packet_socket(void)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	set_buffers(fd);
	return fd;
}

/* As the frames are to look. */
static int packet_configure(struct nic_packet *packet, int fd)
{
	int error;

	error = set_offload_header(packet, fd);
	if (!error)
		error = set_option(fd, SOL_PACKET, PACKET_AUXDATA, 1);
	if (!error)
		error = set_option(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
	if (!error)
		error = set_option(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
	return error;
}

/* A socket that gets nothing yet: `given`, or a new one when that is -1. Takes it on success. */
static int packet_socket(struct nic_packet *packet, struct nic_slot *slot, int given)
{
	int fd = given < 0 ? nic_packet_socket() : given, error;

	if (fd < 0)
		return fd;
	error = packet_configure(packet, fd);
	if (error) {
		if (given < 0)
			close(fd);
		return error;
	}
	slot->fd = fd;
	slot->group_index = 0;
	return 0;
}

/* ---- tying a socket to an interface ---- */

static bool packet_is_grouped(const struct nic_interface *interface)
{
	return interface->base.channels > 1;
}

/* The interface that the socket is bound to, negative when that is gone; 0: to none. */
static int bound_index(int fd)
{
	struct sockaddr_ll address = { 0 };
	socklen_t bytes = sizeof(address);

	return getsockname(fd, (struct sockaddr *)&address, &bytes) < 0 ? 0 : address.sll_ifindex;
}

static int refuse_frames(int fd)
{
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = { .len = 1, .filter = &none };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

static int packet_bind(struct nic_slot *slot, int index, bool refuse)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = index,
	};
	/* Frames for all guests' addresses, not for the interface's alone. Ends with the socket. */
	struct packet_mreq membership = { .mr_ifindex = index, .mr_type = PACKET_MR_PROMISC };
	int error = refuse ? refuse_frames(slot->fd) : 0;

	if (error)
		return error;
	if (setsockopt(slot->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof(membership)) < 0 ||
	    bind(slot->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	slot->attached++;
	return 0;
}

/* Is there a group of our sockets on this interface? */
static bool group_exists(const struct nic_interface *interface, int index)
{
	bool exists = false;

	for (unsigned i = 0; i < interface->base.channels; i++)
		exists = exists || (interface->slots[i].fd >= 0 && interface->slots[i].group_index == index);
	return exists;
}

static int join(int fd, uint16_t id, int flags)
{
	int error = set_option(fd, SOL_PACKET, PACKET_FANOUT,
			       id | (PACKET_FANOUT_HASH | flags | PACKET_FANOUT_FLAG_IGNORE_OUTGOING) << 16);

	if (error == -EINVAL)
		error = set_option(fd, SOL_PACKET, PACKET_FANOUT, id | (PACKET_FANOUT_HASH | flags) << 16);
	return error;
}

/* Puts a socket that is bound into the group; the first one makes the group. The interface is up. */
static int packet_join(struct nic_packet *packet, struct nic_slot *slot, int index)
{
	bool exists = group_exists(&packet->interface, index);
	int value, error;
	socklen_t bytes = sizeof(value);

	if (exists)
		error = join(slot->fd, packet->group_id, 0);
	else
		error = join(slot->fd, 0, PACKET_FANOUT_FLAG_UNIQUEID);
	if (error)
		return error;
	if (!exists) {
		if (getsockopt(slot->fd, SOL_PACKET, PACKET_FANOUT, &value, &bytes) < 0)
			return -errno;
		packet->group_id = (uint16_t)value;
	}
	slot->group_index = index;
	return set_option(slot->fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
}

/* Ties the socket to the interface as far as its state allows: there are no groups while it is down. */
static int packet_tie(struct nic_packet *packet, struct nic_slot *slot, int index, bool up)
{
	bool grouped = packet_is_grouped(&packet->interface);
	int error = 0;

	/* A socket of a group stays as it is. */
	if (slot->fd >= 0 && slot->group_index != 0 && slot->group_index != index)
		fd_close(&slot->fd);
	if (slot->fd < 0)
		error = packet_socket(packet, slot, -1);
	if (!error && bound_index(slot->fd) != index)
		error = packet_bind(slot, index, grouped);
	if (!error && grouped && up && slot->group_index != index)
		error = packet_join(packet, slot, index);
	/* The filter of a channel that was closed; mostly there is none. */
	if (!error && !grouped)
		set_option(slot->fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
	/* What is half in a group is not kept. */
	if (error && grouped)
		fd_close(&slot->fd);
	return error;
}

int nic_packet_attach(struct nic_interface *interface, struct nic_slot *slot)
{
	int index = nic_interface_index(interface), link = nic_interface_link(interface), error, pending;
	socklen_t bytes = sizeof(pending);

	if (index < 0 || link < 0)
		return index < 0 ? index : link;
	error = packet_tie(nic_packet(interface), slot, index, link > 0);
	if (error)
		return error;
	/* That the interface was down is known; the next frame is not to be refused for it. */
	getsockopt(slot->fd, SOL_SOCKET, SO_ERROR, &pending, &bytes);
	return link;
}

/* Refuses what comes, and drops what came. */
static int packet_silence(int fd)
{
	int error = refuse_frames(fd);
	uint8_t byte;

	while (!error && (recv(fd, &byte, sizeof(byte), MSG_DONTWAIT) >= 0 || errno == EINTR))
		;
	return error;
}

void nic_packet_detach(struct nic_interface *interface, struct nic_slot *slot)
{
	/* The next channel may open after rights were given up. */
	if (slot->fd >= 0 && !packet_is_grouped(interface) && packet_silence(slot->fd) == 0)
		return;
	fd_close(&slot->fd);
	slot->group_index = 0;
	/* If that fails, the channel cannot be opened again, and says why. */
	packet_socket(nic_packet(interface), slot, -1);
}

/* ---- opening ---- */

/* What the NIC says of itself. */
static int packet_describe(struct nic_packet *packet)
{
	struct nic_interface *interface = &packet->interface;
	struct host_nic *nic = &interface->base;
	int error = nic_interface_address(interface, nic->address);
	int mtu = nic_interface_mtu(interface);

	if (error || mtu < 0)
		return error ? error : mtu;
	nic->sends = (struct frame_abilities){
		.csum = 1,
		.tso4 = 1,
		.tso6 = 1,
		.ecn = 1,
		.uso = packet->segments_udp,
		.mtu = (uint16_t)mtu,
	};
	nic->bandwidth = nic_interface_bandwidth(interface);
	nic->up = nic_interface_link(interface) > 0;
	log_subject_name(&interface->subject, "packet %s", interface->name);
	return 0;
}

void nic_packet_close(struct host_nic *nic)
{
	struct nic_packet *packet = container_of(nic, struct nic_packet, interface.base);

	nic_interface_finish(&packet->interface);
	free(packet);
}

int nic_packet_open(const struct nic_packet_options *options, struct host_nic **ret_nic)
{
	struct nic_packet *packet = calloc(1, sizeof(*packet));
	struct nic_interface *interface;
	int error;

	if (!packet)
		return -ENOMEM;
	interface = &packet->interface;
	error = nic_interface_init(interface, &nic_packet_ops, &nic_packet_kind, options->channels);
	if (!error)
		error = nic_interface_set_name(interface, options->name);
	for (unsigned i = 0; i < interface->base.channels && !error; i++)
		error = packet_socket(packet, &interface->slots[i], i == 0 ? options->fd : -1);
	if (!error)
		error = packet_describe(packet);
	if (error) {
		if (options->fd >= 0)
			interface->slots[0].fd = -1;
		nic_packet_close(&interface->base);
		return error;
	}
	*ret_nic = &interface->base;
	return 0;
}
