/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disk images in files: raw ones are read and written here, all others go through qemu-img and a temporary
 * file. An image to be imported is a stranger's: unless the user says otherwise, nothing but its own bytes
 * gets into the disk.
 */
#ifndef VIADUCT_CLI_DISK_IMAGE_FILE_H
#define VIADUCT_CLI_DISK_IMAGE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/cli.h"
#include "cli/disk/image_format.h"

struct image_options {
	const char *format;  /* NULL: decided by the image's bytes */
	bool backing_chain;  /* files that the image names belong to it */
	unsigned patience_s; /* 0: QEMU_IMG_PATIENCE_S */
};

struct image_source {
	const char *path; /* not copied */
	int fd;		  /* of the image; after image_unpack() of its contents */
	enum image_format format;
	uint64_t size_bytes; /* of the contents, as the image claims it until it is unpacked */
	struct image_options options;
};

/*
 * Opens an image and looks how large its contents are. Refuses one that consists of more than the one file,
 * unless options.backing_chain. The caller closes the fd. Returns CLI_OK, or CLI_USAGE or CLI_FAILED after a
 * complaint.
 */
int image_open(const struct cli_command *command, const char *path, const struct image_options *options,
	       struct image_source *ret_source);

/*
 * Before the contents are read, and when it is settled that size_bytes are welcome: unpacks what is not raw
 * into an unlinked temporary file. Returns CLI_OK or CLI_FAILED after a complaint; the fd stays open.
 */
int image_unpack(const struct cli_command *command, struct image_source *source);

/* The next stretch of data at or after `offset`; *ret_begin == size when there is no more. 0 or -errno. */
int image_next_data(const struct image_source *source, uint64_t offset, uint64_t *ret_begin,
		    uint64_t *ret_end);

/* From a raw file to an empty one, as qcow2. Returns CLI_OK or CLI_FAILED after a complaint. */
int image_pack_qcow2(const struct cli_command *command, const char *name, int raw_fd, int fd);

#endif
