/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Space for metadata. fallocate(2) reserves it and leaves what is there alone. File systems without it get
 * zeroes: over the whole range where nothing is in it yet, else where lseek(2) finds holes. A block device
 * has all of its space.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "core/checked.h"
#include "host/disk_uring_private.h"

static const uint8_t zeroes[64 << 10] __attribute__((aligned(4096)));

static int write_zeroes(struct host_disk *base, uint64_t offset, uint64_t end)
{
	int error = 0;

	while (offset < end && !error) {
		size_t part = end - offset < sizeof(zeroes) ? (size_t)(end - offset) : sizeof(zeroes);

		error = uring_write_sync(base, offset, zeroes, part);
		offset += part;
	}
	return error;
}

/* The next place from `offset` on that SEEK_HOLE or SEEK_DATA finds, at most `end`. 0 or -errno. */
static int seek(int fd, int what, uint64_t offset, uint64_t end, uint64_t *ret_found)
{
	off_t found = lseek(fd, (off_t)offset, what);

	/* ENXIO: no data behind. */
	if (found < 0 && errno != ENXIO)
		return -errno;
	*ret_found = found >= 0 && (uint64_t)found < end ? (uint64_t)found : end;
	return 0;
}

static int fill_holes(struct host_disk *base, uint64_t offset, uint64_t end)
{
	int fd = uring_disk(base)->fd, error = 0;

	while (offset < end && !error) {
		uint64_t hole = end, data = end;

		error = seek(fd, SEEK_HOLE, offset, end, &hole);
		if (!error)
			error = seek(fd, SEEK_DATA, hole, end, &data);
		if (!error)
			error = write_zeroes(base, hole, data);
		offset = data;
	}
	return error;
}

static int allocate(int fd, uint64_t offset, uint64_t bytes)
{
	while (fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

int uring_reserve_sync(struct host_disk *base, uint64_t offset, uint64_t bytes, bool blank)
{
	struct disk_uring *disk = uring_disk(base);
	int error;

	if (!checked_range(offset, bytes, __atomic_load_n(&base->geometry.size_bytes, __ATOMIC_RELAXED)))
		return -ERANGE;
	if (base->geometry.read_only)
		return -EROFS;
	if (disk->block_device || bytes == 0)
		return 0;
	error = allocate(disk->fd, offset, bytes);
	if (error != -EOPNOTSUPP && error != -ENOSYS)
		return error;
	return blank ? write_zeroes(base, offset, offset + bytes) : fill_holes(base, offset, offset + bytes);
}
