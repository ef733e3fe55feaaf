/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Paths through directories that others may write to. Root opens, makes and gives away files in directories
 * of the account that the daemon changes to later, and of VMMs. Whoever may write to such a directory could
 * put a link there, and have root do the same to any file of the host. So these functions go from directory
 * to directory by descriptor, and as root follow only links that are root's. Anybody else follows every link:
 * nothing can be had by one that could not be had without.
 *
 * A path is absolute, or relative to the current directory. Results: a descriptor, which is closed on exec
 * and the caller's, or 0; else -errno, as the system calls say, and -ELOOP: a link that is not root's.
 */
#ifndef VIADUCT_CORE_PATH_H
#define VIADUCT_CORE_PATH_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

/* open(2) */
int path_open(const char *path, int flags, mode_t mode);

/* The directory (O_PATH) that has, or would have, the path's last part, to which *ret_name then points. */
int path_open_parent(const char *path, const char **ret_name);

/* mkdir(2); 0 also when there is something of that name. */
int path_make_directory(const char *path, mode_t mode);

/* Removes a file, if it is (still) a socket; 0 also when there is none. -EEXIST: something else is there. */
int path_remove_socket(const char *path);

/*
 * bind(2) of a UNIX socket. Root does it as the account that could change where the path leads, and so makes
 * no file that this account could not make. Returns a descriptor (O_PATH) of the new file, which belongs to
 * the caller as if it had been made by itself.
 */
int path_bind(int socket_fd, const char *path);

/* Changes the owner and group (-1: no change) of what an O_PATH descriptor is, no more. 0 or -errno. */
int path_give(int fd, uid_t owner, gid_t group);
/* The same for the permissions. */
int path_set_mode(int fd, mode_t mode);

#endif
