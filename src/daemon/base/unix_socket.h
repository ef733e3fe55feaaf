/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Listening UNIX sockets of the daemon itself (not of guests). */
#ifndef VIADUCT_DAEMON_BASE_UNIX_SOCKET_H
#define VIADUCT_DAEMON_BASE_UNIX_SOCKET_H

#include <sys/types.h>

/*
 * Makes a listening stream socket, non-blocking. A stale file (no process listens) is replaced. The file has
 * `mode` from its first moment on. Returns the fd or -errno (-EADDRINUSE: a process listens; -ENAMETOOLONG).
 */
int unix_socket_listen(const char *path, mode_t mode);

/* Connects, blocking. Returns the fd or -errno. */
int unix_socket_connect(const char *path);

#endif
