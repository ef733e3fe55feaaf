/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file or pipe that a mirror writes to. Only a regular file of pcapng, a new one, or a named pipe will
 * do, and no symbolic link: whoever may write to its folder must not turn the daemon on another file.
 */
#ifndef VIADUCT_DAEMON_NIC_NIC_MIRROR_FILE_H
#define VIADUCT_DAEMON_NIC_NIC_MIRROR_FILE_H

#include <stdbool.h>
#include <stdint.h>

struct mirror_file {
	int fd; /* writes append */
	bool pipe;
	uint64_t bytes; /* of a file */
};

/*
 * A file is made if missing (mode 0600) and appended to, unless it has `limit_bytes` already or ends in the
 * middle of a block: then it is kept as PATH.1, and a new one is made. Returns 0 and *ret_file, or -errno:
 * -ENXIO: nothing reads the pipe; -EEXIST: the file holds something else; -EMEDIUMTYPE: it is neither file
 * nor pipe; -ELOOP: a symbolic link.
 */
int mirror_file_open(const char *path, uint64_t limit_bytes, struct mirror_file *ret_file);

/* Renames PATH to PATH.1, which is replaced. Returns 0 or -errno. */
int mirror_file_keep(const char *path);

/* What is wrong, for "mirror PATH …". */
const char *mirror_file_trouble(int code);

#endif
