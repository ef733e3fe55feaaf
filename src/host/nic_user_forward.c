/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Forwards. The list is the control thread's own; libslirp hears of changes on the NIC's thread. */
#include <errno.h>
#include <string.h>

#include "host/nic_user_private.h"

static bool same_host(const struct nic_user_forward *a, const struct nic_user_forward *b)
{
	if (a->udp != b->udp || a->host.any.sa_family != b->host.any.sa_family)
		return false;
	if (a->host.any.sa_family == AF_INET)
		return a->host.ipv4.sin_port == b->host.ipv4.sin_port &&
		       a->host.ipv4.sin_addr.s_addr == b->host.ipv4.sin_addr.s_addr;
	return a->host.ipv6.sin6_port == b->host.ipv6.sin6_port &&
	       IN6_ARE_ADDR_EQUAL(&a->host.ipv6.sin6_addr, &b->host.ipv6.sin6_addr);
}

static int forward_index(const struct nic_user *nic, const struct nic_user_forward *forward)
{
	for (unsigned i = 0; i < nic->forward_count; i++)
		if (same_host(&nic->forwards[i], forward))
			return (int)i;
	return -ENOENT;
}

/* A guest's: in the network, and neither the gateway, nor the name server, nor all of it. */
static bool is_guest4(const struct nic_user *nic, struct in_addr address)
{
	uint32_t host = ntohl(address.s_addr & ~nic->netmask.s_addr);

	if ((address.s_addr & nic->netmask.s_addr) != nic->network.s_addr)
		return false;
	return host > 3 && host != ntohl(~nic->netmask.s_addr);
}

static bool is_guest6(const struct nic_user *nic, const struct in6_addr *address)
{
	if (!nic->ipv6 || memcmp(address, &nic->network6, 8) != 0)
		return false;
	return address->s6_addr32[2] != 0 || ntohl(address->s6_addr32[3]) > 3;
}

/* libslirp asserts on families it does not know, and learns a guest's address where it is told none. */
static bool makes_sense(const struct nic_user *nic, const struct nic_user_forward *forward)
{
	const union nic_user_address *host = &forward->host, *guest = &forward->guest;

	if (host->any.sa_family != guest->any.sa_family)
		return false;
	switch (host->any.sa_family) {
	case AF_INET:
		return host->ipv4.sin_port != 0 && guest->ipv4.sin_port != 0 &&
		       is_guest4(nic, guest->ipv4.sin_addr);
	case AF_INET6:
		return host->ipv6.sin6_port != 0 && guest->ipv6.sin6_port != 0 &&
		       is_guest6(nic, &guest->ipv6.sin6_addr);
	default:
		return false;
	}
}

int nic_user_forward_add(struct host_nic *base, const struct nic_user_forward *forward)
{
	struct nic_user *nic = nic_user_of(base);
	int error;

	if (!makes_sense(nic, forward))
		return -EINVAL;
	if (forward_index(nic, forward) >= 0)
		return -EEXIST;
	if (nic->forward_count == NIC_USER_FORWARDS_MAX)
		return -ENOSPC;
	error = user_thread_call(nic, user_slirp_forward_add, forward);
	if (error)
		return error;
	nic->forwards[nic->forward_count++] = *forward;
	return 0;
}

int nic_user_forward_remove(struct host_nic *base, const struct nic_user_forward *forward)
{
	struct nic_user *nic = nic_user_of(base);
	int index = forward_index(nic, forward), error;

	if (index < 0)
		return -ENOENT;
	error = user_thread_call(nic, user_slirp_forward_remove, &nic->forwards[index]);
	if (error)
		return error;
	nic->forward_count--;
	memmove(&nic->forwards[index], &nic->forwards[index + 1],
		(nic->forward_count - (unsigned)index) * sizeof(nic->forwards[0]));
	return 0;
}

const struct nic_user_forward *nic_user_forward_list(const struct host_nic *base, unsigned *ret_count)
{
	const struct nic_user *nic = nic_user_of(base);

	*ret_count = nic->forward_count;
	return nic->forwards;
}
