/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses of VXLAN peers as text. */
#ifndef VIADUCT_TESTS_NIC_VXLAN_ADDRESS_H
#define VIADUCT_TESTS_NIC_VXLAN_ADDRESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "host/nic_vxlan.h"

static inline union nic_vxlan_address address_of(const char *text)
{
	union nic_vxlan_address address = { 0 };

	if (inet_pton(AF_INET, text, &address.ipv4.sin_addr) == 1) {
		address.ipv4.sin_family = AF_INET;
		return address;
	}
	assert_int_equal(inet_pton(AF_INET6, text, &address.ipv6.sin6_addr), 1);
	address.ipv6.sin6_family = AF_INET6;
	return address;
}

static inline socklen_t address_bytes(const union nic_vxlan_address *address)
{
	return address->any.sa_family == AF_INET ? sizeof(address->ipv4) : sizeof(address->ipv6);
}

static inline void address_text(const union nic_vxlan_address *address, char text[INET6_ADDRSTRLEN])
{
	const void *bytes = address->any.sa_family == AF_INET ? (const void *)&address->ipv4.sin_addr
							      : (const void *)&address->ipv6.sin6_addr;

	assert_non_null(inet_ntop(address->any.sa_family, bytes, text, INET6_ADDRSTRLEN));
}

#endif
