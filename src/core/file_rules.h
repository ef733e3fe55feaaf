/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a process may still do to the file system, by Landlock (landlock(7)): a list of directories and files,
 * each with rights, and nothing else. It binds the calling thread and the threads and processes that it makes
 * later; it stays for good. Files that are open are as usable as before, and so are looking at a file's owner
 * and size, changing its owner and mode, and connecting to sockets, which no rule can refuse.
 */
#ifndef VIADUCT_CORE_FILE_RULES_H
#define VIADUCT_CORE_FILE_RULES_H

#include <stdint.h>

/* Rights, to be combined. */
#define FILE_MAY_READ	 (1u << 0) /* open for reading, list */
#define FILE_MAY_EXECUTE (1u << 1)
#define FILE_MAY_WRITE	 (1u << 2) /* open for writing, truncate */
#define FILE_MAY_CONTROL (1u << 3) /* the ioctl commands of devices that it opens */
#define FILE_MAY_NAME	 (1u << 4) /* make and remove files, directories and sockets, rename, link */

struct file_rules {
	int fd;
	uint64_t known; /* the rights that this kernel can refuse */
};

/*
 * An empty list. Returns 0; -EOPNOTSUPP: the kernel has no Landlock, or it is switched off, or the caller is
 * confined without it; or -errno.
 */
int file_rules_init(struct file_rules *rules);

/* Allows what the descriptor is (O_PATH will do), and what is below it. 0 or -errno. */
int file_rules_allow_fd(struct file_rules *rules, int fd, unsigned rights);
/* The same by a path whose links are followed. 0, also when the caller finds nothing there; or -errno. */
int file_rules_allow_path(struct file_rules *rules, const char *path, unsigned rights);

/* From now on, for good. Needs PR_SET_NO_NEW_PRIVS. 0 or -errno. */
int file_rules_enforce(const struct file_rules *rules);

void file_rules_finish(struct file_rules *rules);

#endif
