/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a file or block device is like: size, block sizes, the alignment O_DIRECT wants, whether holes can
 * be punched. Nothing here changes a byte of it.
 */
#include <assert.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/checked.h"
#include "host/disk_uring_private.h"

#define BLOCK_BYTES_MIN 512
#define BLOCK_BYTES_MAX 4096

/* A number from the queue directory of the block device `device`, or of the disk it is a partition of. */
static bool queue_number(dev_t device, const char *name, unsigned long long *ret_number)
{
	static const char *const formats[] = {
		"/sys/dev/block/%u:%u/queue/%s",
		"/sys/dev/block/%u:%u/../queue/%s",
	};
	char path[128];

	for (size_t i = 0; i < 2; i++) {
		char line[32], *end = line;
		unsigned long long number = 0;
		FILE *file;

		snprintf(path, sizeof(path), formats[i], major(device), minor(device), name);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (fgets(line, sizeof(line), file))
			number = strtoull(line, &end, 10);
		fclose(file);
		if (end == line)
			return false;
		*ret_number = number;
		return true;
	}
	return false;
}

static int read_size(int fd, bool block_device, uint64_t *ret_bytes)
{
	struct stat status;
	uint64_t bytes;

	if (block_device) {
		if (ioctl(fd, BLKGETSIZE64, &bytes) < 0)
			return -errno;
		if (bytes == 0)
			return -ENODEV;
		*ret_bytes = bytes;
		return 0;
	}
	if (fstat(fd, &status) < 0)
		return -errno;
	*ret_bytes = (uint64_t)status.st_size;
	return 0;
}

static int probe_block_device(struct disk_uring *disk, const struct stat *status)
{
	struct host_disk_geometry *geometry = &disk->base.geometry;
	unsigned physical = 0, optimal = 0;
	int logical = 0, read_only = 0;
	unsigned long long number;

	if (ioctl(disk->fd, BLKSSZGET, &logical) < 0)
		return -errno;
	if (ioctl(disk->fd, BLKROGET, &read_only) == 0 && read_only && !geometry->read_only)
		return -EROFS;
	ioctl(disk->fd, BLKPBSZGET, &physical);
	ioctl(disk->fd, BLKIOOPT, &optimal);
	geometry->block_bytes = (uint32_t)logical;
	geometry->physical_block_bytes = physical;
	geometry->optimal_io_bytes = optimal;
	geometry->rotational = queue_number(status->st_rdev, "rotational", &number) && number;
	geometry->can_punch = !geometry->read_only &&
			      queue_number(status->st_rdev, "write_zeroes_max_bytes", &number) && number > 0;
	return 0;
}

/* Punches behind the end of the file, where nothing is: file systems without holes refuse all the same. */
static bool file_can_punch(int fd, uint64_t size_bytes)
{
	uint64_t behind = align_up(size_bytes, 1 << 20);

	return behind < INT64_MAX / 2 &&
	       fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)behind, 4096) == 0;
}

/*
 * FUSE waits for its server inside io_uring_enter(), although the kernel asks it not to wait (Linux 6.18).
 */
static bool file_on_fuse(int fd)
{
	struct statfs system;

	return fstatfs(fd, &system) == 0 && (unsigned long)system.f_type == FUSE_SUPER_MAGIC;
}

static void probe_file(struct disk_uring *disk, const struct stat *status)
{
	struct host_disk_geometry *geometry = &disk->base.geometry;
	unsigned long long number;

	geometry->block_bytes = BLOCK_BYTES_MIN;
	geometry->physical_block_bytes = (uint32_t)status->st_blksize;
	geometry->rotational = queue_number(status->st_dev, "rotational", &number) && number;
	geometry->can_punch = !geometry->read_only && file_can_punch(disk->fd, (uint64_t)status->st_size);
	disk->on_fuse = file_on_fuse(disk->fd);
}

/* Does a read of `alignment` bytes into a buffer that is aligned to no more than that succeed? */
static int try_alignment(int fd, uint8_t *buffer, uint32_t alignment)
{
	ssize_t bytes = pread(fd, buffer + alignment, alignment, 0);

	return bytes < 0 ? -errno : 0;
}

static int try_alignments(struct disk_uring *disk)
{
	uint8_t *buffer = aligned_alloc(BLOCK_BYTES_MAX * 2ul, BLOCK_BYTES_MAX * 2ul);
	uint32_t alignment = BLOCK_BYTES_MIN;
	int error = -EINVAL;

	if (!buffer)
		return -ENOMEM;
	for (; alignment <= BLOCK_BYTES_MAX; alignment *= 2) {
		error = try_alignment(disk->fd, buffer, alignment);
		if (error != -EINVAL)
			break;
	}
	free(buffer);
	if (!error)
		disk->address_mask = disk->length_mask = alignment - 1;
	return error;
}

/* The alignment that O_DIRECT wants: from the kernel when it tells (6.1), else by trying. */
static int probe_alignment(struct disk_uring *disk)
{
#ifdef STATX_DIOALIGN
	struct statx status;

	if (statx(disk->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) == 0 &&
	    status.stx_mask & STATX_DIOALIGN) {
		if (!is_power_of_two(status.stx_dio_offset_align) ||
		    !is_power_of_two(status.stx_dio_mem_align))
			return -EINVAL;
		disk->address_mask = status.stx_dio_mem_align - 1;
		disk->length_mask = status.stx_dio_offset_align - 1;
		return 0;
	}
#endif
	if (disk->block_device) {
		disk->address_mask = disk->length_mask = disk->base.geometry.block_bytes - 1;
		return 0;
	}
	return try_alignments(disk);
}

/* The flag belongs to the open file, not to the driver: a handed-over fd may have it from before. */
static int set_direct(int fd, bool direct)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if (!(flags & O_DIRECT) == !direct)
		return 0;
	return fcntl(fd, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) < 0 ? -errno : 0;
}

static int probe_cache(struct disk_uring *disk, enum host_disk_cache cache)
{
	bool direct =
		cache == HOST_DISK_CACHE_DIRECT || (cache == HOST_DISK_CACHE_AUTO && disk->block_device);
	int error = set_direct(disk->fd, direct);

	if (!error && direct)
		error = probe_alignment(disk);
	if (error && direct && cache == HOST_DISK_CACHE_AUTO) {
		disk->address_mask = disk->length_mask = 0;
		return set_direct(disk->fd, false);
	}
	disk->direct = direct;
	return error;
}

static int check_geometry(struct disk_uring *disk)
{
	struct host_disk_geometry *geometry = &disk->base.geometry;

	if (disk->direct && geometry->block_bytes < disk->length_mask + 1)
		geometry->block_bytes = disk->length_mask + 1;
	if (!is_power_of_two(geometry->block_bytes) || geometry->block_bytes < BLOCK_BYTES_MIN ||
	    geometry->block_bytes > BLOCK_BYTES_MAX) {
		log_error(&disk->subject, "blocks of %u bytes; 512 to 4096 would work",
			  geometry->block_bytes);
		return -EINVAL;
	}
	if (!is_power_of_two(geometry->physical_block_bytes) ||
	    geometry->physical_block_bytes < geometry->block_bytes)
		geometry->physical_block_bytes = geometry->block_bytes;
	/* What a file system or an array would like best is no sector: guests lay out partitions by it. */
	if (geometry->physical_block_bytes > BLOCK_BYTES_MAX)
		geometry->physical_block_bytes = BLOCK_BYTES_MAX;
	geometry->size_bytes = align_down(geometry->size_bytes, geometry->block_bytes);
	if (geometry->size_bytes == 0) {
		log_error(&disk->subject, "empty: a disk has at least one block of %u bytes",
			  geometry->block_bytes);
		return -EINVAL;
	}
	return 0;
}

int disk_uring_probe(struct disk_uring *disk, enum host_disk_cache cache, bool read_only)
{
	struct stat status;
	int error;

	if (fstat(disk->fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
		return -ENOTBLK;
	disk->block_device = S_ISBLK(status.st_mode);
	disk->base.geometry.read_only = read_only;
	error = read_size(disk->fd, disk->block_device, &disk->base.geometry.size_bytes);
	if (error)
		return error;
	if (disk->block_device)
		error = probe_block_device(disk, &status);
	else
		probe_file(disk, &status);
	if (!error)
		error = probe_cache(disk, cache);
	if (!error)
		error = check_geometry(disk);
	disk->base.geometry.copies = !disk->direct;
	disk->zero_method = disk->base.geometry.can_punch ? ZERO_PUNCH : ZERO_RANGE;
	return error;
}

/* Workers read the size at any time; it never becomes smaller, because what was proven stays proven. */
int disk_uring_refresh(struct host_disk *base)
{
	struct disk_uring *disk = uring_disk(base);
	uint64_t bytes = 0, known = base->geometry.size_bytes;
	int error = read_size(disk->fd, disk->block_device, &bytes);

	if (error)
		return error;
	bytes = align_down(bytes, base->geometry.block_bytes);
	if (bytes < known) {
		log_error(&disk->subject, "shrank from %llu to %llu bytes under us",
			  (unsigned long long)known, (unsigned long long)bytes);
		return -EIO;
	}
	__atomic_store_n(&base->geometry.size_bytes, bytes, __ATOMIC_RELAXED);
	return 0;
}
