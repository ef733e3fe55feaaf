/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a child gives up before it becomes qemu-img, which reads images that strangers made. Afterwards it
 * has no files but the two descriptors it was given and the system's libraries (Landlock), no sockets, no
 * children and no calls that change other processes or files (seccomp), and bounds on memory, time and what
 * it writes.
 */
#ifndef VIADUCT_CLI_DISK_QEMU_IMG_SANDBOX_H
#define VIADUCT_CLI_DISK_QEMU_IMG_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

struct qemu_img_sandbox {
	const char *program;	   /* qemu-img: it and the libraries are all that may be executed */
	int image_fd, output_fd;   /* may be opened again by name; output_fd -1: nothing is written */
	bool read_any_file;	   /* other files of an image may be read, with the caller's rights */
	bool without_landlock;	   /* go on where the kernel has none: the image is not a stranger's */
	uint64_t output_max_bytes; /* no file may become longer; with an output_fd only */
	uint64_t cpu_max_s;
};

/*
 * Confines the calling process for good. Returns 0, or -errno with *ret_what naming the part that failed
 * (static text); -EOPNOTSUPP: the kernel has no Landlock.
 */
int qemu_img_sandbox_enter(const struct qemu_img_sandbox *sandbox, const char **ret_what);

#endif
