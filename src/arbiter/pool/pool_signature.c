/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libblkid reads from a file descriptor, and a host_disk may not have one. So the parts that signatures lie
 * in are copied to a sparse memory file of the disk's size, and that is probed.
 */
#include "arbiter/pool/pool_signature.h"

#include <assert.h>
#include <blkid/blkid.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arbiter/pool/pool_load.h"
#include "core/checked.h"
#include "core/fd.h"
#include "host/host_disk.h"

#define CHUNK_BYTES (256u << 10)

static const struct {
	const char *magic;
	size_t bytes;
	const char *name;
} images[] = {
	{"QFI\xfb", 4, "qcow2 disk image"},
	{"KDMV", 4, "VMDK disk image"},
	{"vhdxfile", 8, "VHDX disk image"},
	{"conectix", 8, "VHD disk image"},
	{"<<< Oracle VM VirtualBox Disk Image >>>", 39, "VDI disk image"},
};

/* Copies [from, to) into the file; both are multiples of POOL_BLOCK_BYTES. */
static int copy_part(struct host_disk *host, int fd, uint64_t from, uint64_t to)
{
	uint8_t *buffer = pool_buffer(CHUNK_BYTES);
	int error = buffer ? 0 : -ENOMEM;

	assert(from <= to);
	assert(is_aligned(from | to, POOL_BLOCK_BYTES));
	for (; from < to && !error; from += CHUNK_BYTES) {
		size_t bytes = to - from < CHUNK_BYTES ? (size_t)(to - from) : CHUNK_BYTES;

		error = host->ops->read_sync(host, from, buffer, bytes);
		if (!error && pwrite(fd, buffer, bytes, (off_t)from) != (ssize_t)bytes)
			error = -EIO;
	}
	free(buffer);
	return error;
}

static int copy_parts(struct host_disk *host, bool whole, int fd)
{
	uint64_t size = host->geometry.size_bytes, end = align_down(size, POOL_BLOCK_BYTES);
	uint64_t head = end < POOL_HEAD_BYTES ? end : POOL_HEAD_BYTES;
	uint64_t tail = end - head < POOL_TAIL_BYTES ? head : end - POOL_TAIL_BYTES;
	int error;

	if (ftruncate(fd, (off_t)size) != 0)
		return -errno;
	error = copy_part(host, fd, 0, head);
	return error || !whole ? error : copy_part(host, fd, tail, end);
}

static bool find_image(int fd, char ret_name[POOL_SIGNATURE_MAX])
{
	char head[128] = {0};

	if (pread(fd, head, sizeof(head), 0) < 0)
		return false;
	for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++) {
		if (memcmp(head, images[i].magic, images[i].bytes) != 0)
			continue;
		snprintf(ret_name, POOL_SIGNATURE_MAX, "%s", images[i].name);
		return true;
	}
	return false;
}

/* What the probe found, in words. */
static void describe(blkid_probe probe, char ret_name[POOL_SIGNATURE_MAX])
{
	const char *type = NULL, *usage = NULL;

	if (blkid_probe_lookup_value(probe, "TYPE", &type, NULL) == 0) {
		blkid_probe_lookup_value(probe, "USAGE", &usage, NULL);
		snprintf(ret_name, POOL_SIGNATURE_MAX, "%.40s %s", type,
			 usage && strcmp(usage, "filesystem") == 0 ? "file system" : "signature");
	} else if (blkid_probe_lookup_value(probe, "PTTYPE", &type, NULL) == 0) {
		snprintf(ret_name, POOL_SIGNATURE_MAX, "%.40s partition table", type);
	} else {
		snprintf(ret_name, POOL_SIGNATURE_MAX, "unknown signature");
	}
}

/* Returns 1 (found), 0 or -errno. */
static int probe_file(int fd, char ret_name[POOL_SIGNATURE_MAX])
{
	blkid_probe probe = blkid_new_probe();
	int result;

	if (!probe)
		return -ENOMEM;
	if (blkid_probe_set_device(probe, fd, 0, 0) != 0) {
		blkid_free_probe(probe);
		return -EIO;
	}
	blkid_probe_enable_superblocks(probe, 1);
	/* A damaged signature is a signature. */
	blkid_probe_set_superblocks_flags(probe,
					  BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE | BLKID_SUBLKS_BADCSUM);
	blkid_probe_enable_partitions(probe, 1);
	/* The first signature is enough: 0 found, 1 nothing, negative an error. */
	result = blkid_do_probe(probe);
	if (result == 0)
		describe(probe, ret_name);
	blkid_free_probe(probe);
	return result < 0 ? -EIO : result == 0;
}

int pool_signature_find(struct host_disk *host, bool whole, char ret_name[POOL_SIGNATURE_MAX])
{
	int fd = memfd_create("signatures", MFD_CLOEXEC), result;

	if (fd < 0)
		return -errno;
	result = copy_parts(host, whole, fd);
	if (!result)
		result = find_image(fd, ret_name) ? 1 : probe_file(fd, ret_name);
	fd_close(&fd);
	return result;
}
