/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/disk/image_format.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* qcow2: version at byte 4; from version 3 on, the features that a reader must know at byte 72. */
#define QCOW_VERSION_AT	    4
#define QCOW2_FEATURES_AT   72
#define QCOW2_EXTERNAL_DATA (1ull << 2)
/* VMDK, a sparse extent: its capacity in sectors; 0 means that the text inside names the extents. */
#define VMDK_SPARSE	 "KDMV"
#define VMDK_CAPACITY_AT 12
#define VMDK_DESCRIPTOR	 "# Disk DescriptorFile"

static const char *const names[IMAGE_FORMATS] = {
	[IMAGE_RAW] = "raw",   [IMAGE_QCOW2] = "qcow2", [IMAGE_QCOW] = "qcow",
	[IMAGE_QED] = "qed",   [IMAGE_VMDK] = "vmdk",	[IMAGE_VDI] = "vdi",
	[IMAGE_VPC] = "vpc",   [IMAGE_VHDX] = "vhdx",	[IMAGE_PARALLELS] = "parallels",
	[IMAGE_DMG] = "dmg",   [IMAGE_BOCHS] = "bochs", [IMAGE_CLOOP] = "cloop",
	[IMAGE_LUKS] = "luks",
};

struct signature {
	enum image_format format;
	const char *bytes;
	uint16_t length, at;
};

static const struct signature of_head[] = {
	{ IMAGE_QED, "QED", 4, 0 },
	{ IMAGE_VMDK, VMDK_SPARSE, 4, 0 },
	{ IMAGE_VMDK, "COWD", 4, 0 },
	{ IMAGE_VDI, "\x7f\x10\xda\xbe", 4, 0x40 },
	{ IMAGE_VPC, "conectix", 8, 0 },
	{ IMAGE_VHDX, "vhdxfile", 8, 0 },
	{ IMAGE_PARALLELS, "WithoutFreeSpace", 16, 0 },
	{ IMAGE_PARALLELS, "WithouFreSpacExt", 16, 0 },
	{ IMAGE_BOCHS, "Bochs Virtual HD Image", 23, 0 },
	{ IMAGE_CLOOP, "#!/bin/sh\n#V2.0 Format\nmodprobe cloop", 37, 0 },
	{ IMAGE_LUKS, "LUKS\xba\xbe", 6, 0 },
};

/* A VHD of fixed size and a DMG are data from the first byte on, and have their header behind it. */
static const struct signature of_tail[] = {
	{ IMAGE_VPC, "conectix", 8, 0 },
	{ IMAGE_DMG, "koly\0\0\0\4", 8, 0 },
};

/* What images come packed in. */
static const struct {
	const char *name, *bytes;
	uint16_t length, at;
} packings[] = {
	{ "gzip", "\x1f\x8b\x08", 3, 0 },
	{ "xz", "\xfd" "7zXZ\0", 6, 0 },
	{ "zstd", "\x28\xb5\x2f\xfd", 4, 0 },
	{ "lz4", "\x04\x22\x4d\x18", 4, 0 },
	{ "bzip2", "1AY&SY", 6, 4 }, /* behind "BZh" and a digit; another mark begins an empty one */
	{ "lzip", "LZIP\1", 5, 0 },
	{ "lzop", "\x89LZO\0\r\n\x1a\n", 9, 0 },
	{ "7z", "7z\xbc\xaf\x27\x1c", 6, 0 },
	{ "zip", "PK\3\4", 4, 0 },
	{ "rar", "Rar!\x1a\7", 6, 0 },
	{ "tar", "ustar", 5, 257 },
};

const char *image_format_name(enum image_format format)
{
	return names[format];
}

int image_format_parse(const char *name, enum image_format *ret_format)
{
	for (unsigned i = 0; i < IMAGE_FORMATS; i++)
		if (strcmp(name, names[i]) == 0) {
			*ret_format = (enum image_format)i;
			return 0;
		}
	return -EINVAL;
}

static uint32_t read_be32(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return be32toh(value);
}

static enum image_format find(const struct signature *table, size_t count, const uint8_t *bytes)
{
	for (size_t i = 0; i < count; i++)
		if (memcmp(bytes + table[i].at, table[i].bytes, table[i].length) == 0)
			return table[i].format;
	return IMAGE_RAW;
}

/* A VMDK's text: comments, one of which says so, or only "version=" after them. */
static bool is_vmdk_text(const uint8_t *bytes)
{
	char text[IMAGE_HEAD_BYTES + 1], *rest = text, *line;

	memcpy(text, bytes, IMAGE_HEAD_BYTES);
	text[IMAGE_HEAD_BYTES] = '\0';
	while ((line = strsep(&rest, "\n"))) {
		line += strspn(line, " \r");
		if (strncasecmp(line, VMDK_DESCRIPTOR, sizeof(VMDK_DESCRIPTOR) - 1) == 0)
			return true;
		if (*line != '#' && *line != '\0')
			return strncmp(line, "version=", 8) == 0;
	}
	return false;
}

enum image_format image_format_of(const struct image_ends *ends)
{
	enum image_format format;

	if (memcmp(ends->head, "QFI\xfb", 4) == 0)
		return read_be32(ends->head + QCOW_VERSION_AT) == 1 ? IMAGE_QCOW : IMAGE_QCOW2;
	format = find(of_head, sizeof(of_head) / sizeof(of_head[0]), ends->head);
	if (format == IMAGE_RAW && is_vmdk_text(ends->head))
		format = IMAGE_VMDK;
	if (format == IMAGE_RAW)
		format = find(of_tail, sizeof(of_tail) / sizeof(of_tail[0]), ends->tail);
	return format;
}

const char *image_format_packed(const struct image_ends *ends)
{
	for (size_t i = 0; i < sizeof(packings) / sizeof(packings[0]); i++)
		if (memcmp(ends->head + packings[i].at, packings[i].bytes, packings[i].length) == 0)
			return packings[i].name;
	return NULL;
}

static const char *qcow2_other_files(const uint8_t *head)
{
	uint64_t features;

	memcpy(&features, head + QCOW2_FEATURES_AT, sizeof(features));
	if (read_be32(head + QCOW_VERSION_AT) >= 3 && (be64toh(features) & QCOW2_EXTERNAL_DATA))
		return "has its data in an external data file";
	return NULL;
}

static const char *vmdk_other_files(const uint8_t *head)
{
	static const uint8_t no_capacity[8];

	if (memcmp(head, "COWD", 4) == 0)
		return NULL;
	if (memcmp(head, VMDK_SPARSE, 4) != 0)
		return "is a description that names other files as its extents";
	if (memcmp(head + VMDK_CAPACITY_AT, no_capacity, sizeof(no_capacity)) == 0)
		return "has a description inside that names its extents";
	return NULL;
}

const char *image_format_other_files(enum image_format format, const struct image_ends *ends)
{
	if (format == IMAGE_QCOW2)
		return qcow2_other_files(ends->head);
	if (format == IMAGE_VMDK)
		return vmdk_other_files(ends->head);
	return NULL;
}
