/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two network namespaces with a cable between them:
 *
 *   here                                      there
 *   near0, 10.9.0.1 and fd00:9::1 =========== far0, 10.9.0.2 and fd00:9::2
 */
#ifndef VIADUCT_TESTS_NIC_VXLAN_CABLE_H
#define VIADUCT_TESTS_NIC_VXLAN_CABLE_H

#include "network_namespace.h"

#include "patience.h"

static int here = -1, there = -1;

static inline void go(int namespace)
{
	assert_int_equal(setns(namespace, CLONE_NEWNET), 0);
}

__attribute__((format(printf, 1, 2))) static inline void command_there(const char *format, ...)
{
	char line[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	go(there);
	command("%s", line);
	go(here);
}

/* Group setup. */
static inline int two_namespaces_setup(void **state)
{
	int error = namespace_setup(state);

	if (error || namespace_error[0])
		return error;
	here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	there = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	write_text("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	return setns(here, CLONE_NEWNET);
}

/* The interface is to have IPv6, with the addresses that it is given. */
static inline void allow_ipv6(const char *interface)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", interface);
	assert_int_equal(write_text(path, "0"), 0);
}

static inline void cable_make(void)
{
	command("ip link add near0 type veth peer name far0");
	command("ip link set far0 netns /proc/%d/fd/%d", (int)getpid(), there);
	allow_ipv6("near0");
	command("ip addr add 10.9.0.1/24 dev near0 && ip addr add fd00:9::1/64 dev near0 nodad");
	command("ip link set near0 up");
	go(there);
	allow_ipv6("far0");
	go(here);
	command_there("ip addr add 10.9.0.2/24 dev far0 && ip addr add fd00:9::2/64 dev far0 nodad");
	command_there("ip link set far0 up");
	/* NOLINTNEXTLINE(cert-env33-c): as in network_namespace.h */
	AWAIT(system("ip link show near0 | grep -q 'LOWER_UP.*state UP'") == 0, (void)0);
}

static inline void cable_remove(void)
{
	command("ip link del near0");
}

#endif
