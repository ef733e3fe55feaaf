/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owned file descriptors. An fd has one owner; a function that takes one says so. -1 is "none".
 */
#ifndef VIADUCT_CORE_FD_H
#define VIADUCT_CORE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Linux passes at most this many fds in one message (SCM_MAX_FD). */
#define FD_MESSAGE_MAX 253

/* Closes *fd unless it is -1 and sets it to -1; errno is kept. */
void fd_close(int *fd);

/* Returns *fd and sets it to -1: ownership moves to the caller. */
int fd_take(int *fd);

/* Returns 0 or -errno. */
int fd_set_nonblocking(int fd, bool nonblocking);

/*
 * Receives up to `bytes` bytes and up to `fds_max` descriptors (close-on-exec) from a UNIX socket.
 * Returns the bytes received, 0 at end of stream, or -errno (-EAGAIN: nothing there;
 * -EMSGSIZE: the peer sent more fds than fds_max, or than we have room for; those beyond are closed).
 * On success and after -EMSGSIZE the caller owns fds[0 .. *ret_fd_count).
 */
ssize_t fd_receive(int socket, void *buffer, size_t bytes, int *fds, size_t fds_max, size_t *ret_fd_count);

/*
 * Sends bytes and descriptors in one message, without SIGPIPE. The caller keeps the fds.
 * Returns the bytes sent or -errno.
 */
ssize_t fd_send(int socket, const void *buffer, size_t bytes, const int *fds, size_t fd_count);
/* The same, and -EAGAIN instead of a wait: for sockets whose O_NONBLOCK another process can clear. */
ssize_t fd_send_now(int socket, const void *buffer, size_t bytes, const int *fds, size_t fd_count);

/*
 * Creates an anonymous memory file of `bytes` zero bytes, sealed against shrinking and growing.
 * Returns the fd (owned by the caller) or -errno.
 */
int fd_memfd(const char *name, size_t bytes);

#endif
