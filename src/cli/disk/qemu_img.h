/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs qemu-img on one image, confined (qemu_img_sandbox.h) and watched: it ends when it makes no progress
 * any more. The image is its descriptor 3 and the output its descriptor 4, whatever their names are.
 */
#ifndef VIADUCT_CLI_DISK_QEMU_IMG_H
#define VIADUCT_CLI_DISK_QEMU_IMG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/cli.h"

#define QEMU_IMG_IMAGE	"/dev/fd/3"
#define QEMU_IMG_OUTPUT "/dev/fd/4"

#define QEMU_IMG_PATIENCE_S   60u
#define QEMU_IMG_ANSWER_BYTES ((size_t)1 << 20)

struct qemu_img_run {
	const char *const *arguments; /* behind "qemu-img", ended by NULL */
	const char *name;	      /* of the image, for complaints */
	int image_fd, output_fd;      /* stay the caller's; output_fd -1: none */
	uint64_t size_bytes;	      /* of the image's contents: bounds the CPU time */
	uint64_t output_max_bytes;
	unsigned patience_s;		      /* so long may pass without progress */
	bool read_any_file, without_landlock; /* as in qemu_img_sandbox.h */
	/* Is told how far `convert -p` is; may be NULL. */
	void (*progress)(void *context, uint64_t done_bytes);
	void *context;
};

/*
 * Returns CLI_OK with *ret_answer (to be freed; may be NULL when the caller does not want it) holding what it
 * printed, or CLI_FAILED after a complaint that says what was wrong. An interruption counts as a failure.
 */
int qemu_img(const struct cli_command *command, const struct qemu_img_run *run, char **ret_answer);

/* Replaces what a terminal could take for a command: text out of an image is a stranger's. Returns `text`. */
char *qemu_img_clean(char *text);

#endif
