/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disk images in files: raw ones are read and written here, qcow2 goes through qemu-img and a temporary file.
 */
#ifndef VIADUCT_CLI_DISK_IMAGE_FILE_H
#define VIADUCT_CLI_DISK_IMAGE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/cli.h"

enum image_format { IMAGE_RAW, IMAGE_QCOW2 };

/*
 * The format to use: `given` (NULL: decide by the file's first bytes when it exists, else by its name).
 * Returns CLI_OK or CLI_USAGE after a complaint.
 */
int image_choose_format(const struct cli_command *command, const char *given, const char *path,
			enum image_format *ret_format);

struct image_source {
	int fd;
	uint64_t size_bytes;
};

/*
 * Opens an image for reading; a qcow2 image is unpacked into an unlinked temporary file first. The caller
 * closes the fd. Returns CLI_OK or CLI_FAILED after a complaint.
 */
int image_open(const struct cli_command *command, const char *path, enum image_format format,
	       struct image_source *ret_source);

/* The next stretch of data at or after `offset`; *ret_begin == size when there is no more. 0 or -errno. */
int image_next_data(const struct image_source *source, uint64_t offset, uint64_t *ret_begin,
		    uint64_t *ret_end);

/* `qemu-img convert` from a raw file to qcow2. Returns CLI_OK or CLI_FAILED after a complaint. */
int image_pack_qcow2(const struct cli_command *command, const char *raw_path, const char *path);

#endif
