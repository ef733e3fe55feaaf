/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Namespaces of a test program's own, where it may do what it likes, and of which nothing is left behind. */
#ifndef VIADUCT_TESTS_NAMESPACES_H
#define VIADUCT_TESTS_NAMESPACES_H

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static inline int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return written ? 0 : -1;
}

/*
 * Enters new namespaces (CLONE_NEW…). A plain user becomes root of a user namespace, which has rights over
 * the others. Returns 0, or -1 and errno.
 */
static inline int namespaces_enter(int flags)
{
	unsigned user = geteuid(), group = getegid();
	char map[64];

	if (unshare(flags | (user ? CLONE_NEWUSER : 0)) < 0)
		return -1;
	if (user == 0)
		return 0;
	snprintf(map, sizeof(map), "0 %u 1", user);
	if (write_text("/proc/self/uid_map", map) || write_text("/proc/self/setgroups", "deny"))
		return -1;
	snprintf(map, sizeof(map), "0 %u 1", group);
	return write_text("/proc/self/gid_map", map);
}

#endif
