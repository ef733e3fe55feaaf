/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file of a UNIX socket: made with the right owner and mode, found stale, removed when it is still ours.
 */
#ifndef VIADUCT_INTERFACES_ENDPOINT_SOCKET_FILE_H
#define VIADUCT_INTERFACES_ENDPOINT_SOCKET_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A file that this process made. Zeroed: none. */
struct endpoint_socket_file {
	bool created;
	uint64_t device, inode;
};

/*
 * Makes a socket at `path` that listens, and returns its descriptor (non-blocking; the caller's) or -errno.
 * owner and group: -1 leaves them; mode 0 means 0600. A stale file (nothing listens, or who began to has
 * ended) is replaced; one that a process listens on, or that is no socket, gives -EADDRINUSE. A failure may
 * leave *file to remove.
 */
int endpoint_socket_file_listen(struct endpoint_socket_file *file, const char *path, uid_t owner, gid_t group,
				mode_t mode);

/* This process listens from now on: others find that it lives (SO_PEERCRED), not who made the socket. */
void endpoint_socket_file_take_over(int listen_fd);

/* Connects to the socket at `path`, at once or not at all; returns a non-blocking descriptor or -errno. */
int endpoint_socket_file_connect(const char *path);

/* Removes the file if this process made it and no other has taken its place. */
void endpoint_socket_file_remove(struct endpoint_socket_file *file, const char *path);

#endif
