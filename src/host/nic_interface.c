/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/nic_interface.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/fd.h"

/*
 * Hardly any message: none is looked at. One that is lost for want of room is reported as an error of the
 * socket, which wakes its watch as well.
 */
#define EVENTS_BUFFER_BYTES 4096

/* A socket that hears of changes of interfaces. */
static int events_open(int *ret_fd)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	int buffer_bytes = EVENTS_BUFFER_BYTES;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	int error;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof(buffer_bytes));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		error = -errno;
		close(fd);
		return error;
	}
	*ret_fd = fd;
	return 0;
}

int nic_interface_init(struct nic_interface *nic, const struct host_nic_ops *ops,
		       const struct nic_interface_kind *kind, unsigned channels)
{
	int error = channels > NIC_CHANNELS_MAX ? -EINVAL : 0;

	pthread_mutex_init(&nic->lock, NULL);
	nic->base.ops = ops;
	nic->base.channels = channels ? channels : 1;
	nic->kind = kind;
	for (unsigned i = 0; i < NIC_CHANNELS_MAX; i++)
		nic->slots[i].fd = nic->slots[i].events_fd = -1;
	for (unsigned i = 0; i < nic->base.channels && !error; i++)
		error = events_open(&nic->slots[i].events_fd);
	return error;
}

void nic_interface_finish(struct nic_interface *nic)
{
	for (unsigned i = 0; i < NIC_CHANNELS_MAX; i++) {
		assert(!nic->slots[i].open);
		fd_close(&nic->slots[i].fd);
		fd_close(&nic->slots[i].events_fd);
	}
	pthread_mutex_destroy(&nic->lock);
}

int nic_interface_set_name(struct nic_interface *nic, const char *name)
{
	size_t length = strlen(name);

	if (length >= sizeof(nic->name))
		return -EINVAL;
	memcpy(nic->name, name, length + 1);
	return 0;
}

/* ---- questions to the kernel ---- */

static int ask(const struct nic_interface *nic, unsigned long request, struct ifreq *ifreq)
{
	static_assert(sizeof(ifreq->ifr_name) == sizeof(nic->name), "a name is a name");
	memcpy(ifreq->ifr_name, nic->name, sizeof(nic->name));
	return ioctl(nic->slots[0].events_fd, request, ifreq) < 0 ? -errno : 0;
}

int nic_interface_index(const struct nic_interface *nic)
{
	struct ifreq ifreq = { 0 };
	int error = ask(nic, SIOCGIFINDEX, &ifreq);

	return error ? error : ifreq.ifr_ifindex;
}

int nic_interface_link(const struct nic_interface *nic)
{
	struct ifreq ifreq = { 0 };
	int error = ask(nic, SIOCGIFFLAGS, &ifreq);

	return error ? error : (ifreq.ifr_flags & IFF_UP) && (ifreq.ifr_flags & IFF_RUNNING);
}

int nic_interface_mtu(const struct nic_interface *nic)
{
	struct ifreq ifreq = { 0 };
	int error = ask(nic, SIOCGIFMTU, &ifreq);

	if (error)
		return error;
	return ifreq.ifr_mtu < UINT16_MAX ? ifreq.ifr_mtu : UINT16_MAX;
}

uint64_t nic_interface_bandwidth(const struct nic_interface *nic)
{
	/* The settings that every driver tells; those that came later say no more of the speed. */
	struct ethtool_cmd settings = { .cmd = ETHTOOL_GSET };
	struct ifreq ifreq = { .ifr_data = (void *)&settings };
	uint32_t megabits = ask(nic, SIOCETHTOOL, &ifreq) == 0 ? ethtool_cmd_speed(&settings) : 0;

	return megabits == (uint32_t)SPEED_UNKNOWN ? 0 : megabits * 125000ull;
}

int nic_interface_address(const struct nic_interface *nic, uint8_t address[FRAME_ADDRESS_BYTES])
{
	struct ifreq ifreq = { 0 };
	int error = ask(nic, SIOCGIFHWADDR, &ifreq);

	if (error)
		return error;
	if (ifreq.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		return -EINVAL;
	memcpy(address, ifreq.ifr_hwaddr.sa_data, FRAME_ADDRESS_BYTES);
	return 0;
}

int nic_interface_set_mtu(const struct nic_interface *nic, unsigned mtu)
{
	struct ifreq ifreq = { .ifr_mtu = (int)mtu };

	return ask(nic, SIOCSIFMTU, &ifreq);
}

int nic_interface_set_address(const struct nic_interface *nic, const uint8_t address[FRAME_ADDRESS_BYTES])
{
	struct ifreq ifreq = { .ifr_hwaddr.sa_family = ARPHRD_ETHER };

	memcpy(ifreq.ifr_hwaddr.sa_data, address, FRAME_ADDRESS_BYTES);
	return ask(nic, SIOCSIFHWADDR, &ifreq);
}

int nic_interface_set_up(const struct nic_interface *nic)
{
	struct ifreq ifreq = { 0 };
	int error = ask(nic, SIOCGIFFLAGS, &ifreq);

	if (error)
		return error;
	ifreq.ifr_flags |= IFF_UP;
	return ask(nic, SIOCSIFFLAGS, &ifreq);
}
