/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A network namespace of the program's own, in which it makes and deletes interfaces. A test that is not
 * allowed to do this says so and is skipped.
 */
#ifndef VIADUCT_TESTS_NETWORK_NAMESPACE_H
#define VIADUCT_TESTS_NETWORK_NAMESPACE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "namespaces.h"

/* Why there are no interfaces to be had here; "" when there are. */
static char namespace_error[128];

/* Group setup. */
static inline int namespace_setup(void **state)
{
	if (namespaces_enter(CLONE_NEWNET) < 0) {
		snprintf(namespace_error, sizeof(namespace_error), "no network namespace: %s",
			 strerror(errno));
		return 0;
	}
	/* Frames of IPv6's own making would come between those of the tests. Without IPv6 there is no such
	 * file. */
	write_text("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	/* NOLINTNEXTLINE(cert-env33-c): the programs are those that an administrator uses */
	if (system("ip link set lo up") != 0)
		snprintf(namespace_error, sizeof(namespace_error), "`ip link set lo up` does not work");
	return 0;
}

static inline void need_namespace(void)
{
	if (namespace_error[0]) {
		print_message("skipped: %s\n", namespace_error);
		skip();
	}
}

/* Runs a command that succeeds. */
__attribute__((format(printf, 1, 2))) static inline void command(const char *format, ...)
{
	char line[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	/* NOLINTNEXTLINE(cert-env33-c): as above */
	assert_int_equal(system(line), 0);
}

#endif
