/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which format a disk image has, by its bytes. Pure: what was read in, an answer out. Images come from
 * strangers: nothing here believes more of them than what it says.
 */
#ifndef VIADUCT_CLI_DISK_IMAGE_FORMAT_H
#define VIADUCT_CLI_DISK_IMAGE_FORMAT_H

#include <stddef.h>
#include <stdint.h>

/* Those that qemu-img reads; IMAGE_RAW is what no signature speaks against. */
enum image_format {
	IMAGE_RAW,
	IMAGE_QCOW2,
	IMAGE_QCOW,
	IMAGE_QED,
	IMAGE_VMDK,
	IMAGE_VDI,
	IMAGE_VPC,
	IMAGE_VHDX,
	IMAGE_PARALLELS,
	IMAGE_DMG,
	IMAGE_BOCHS,
	IMAGE_CLOOP,
	IMAGE_LUKS,
	IMAGE_FORMATS,
};

#define IMAGE_HEAD_BYTES 1024u /* of the file's beginning; every signature lies in them */
#define IMAGE_TAIL_BYTES 512u  /* of its end, where VHD and DMG have theirs */

/* The first and the last bytes of a file. A file that is shorter than a part leaves the rest of it zero. */
struct image_ends {
	uint8_t head[IMAGE_HEAD_BYTES];
	uint8_t tail[IMAGE_TAIL_BYTES];
};

/* As qemu-img and --format name it. */
const char *image_format_name(enum image_format format);
/* 0, or -EINVAL: there is no such name. */
int image_format_parse(const char *name, enum image_format *ret_format);

enum image_format image_format_of(const struct image_ends *ends);

/*
 * The name of a packed file or an archive that the bytes are of ("gzip"): no guest reads such a disk. NULL:
 * they are not.
 */
const char *image_format_packed(const struct image_ends *ends);

/*
 * What in the header makes a reader open other files for the image's data, in a few words: "has an external
 * data file". NULL: nothing, as far as the header tells. Overlays are not looked for: qemu-img names them.
 */
const char *image_format_other_files(enum image_format format, const struct image_ends *ends);

#endif
