/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blocking access for metadata. Same open file as the data path, so both see one state, whether that is
 * the page cache or the device. Under O_DIRECT the bytes go through an aligned copy: reads of any range are
 * widened to blocks; writes must be whole blocks, because half of one could not be written atomically.
 */
#include <linux/falloc.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/checked.h"
#include "host/disk_uring_private.h"

#define SYNC_BUFFER_ALIGNMENT 4096

static int check_range(const struct host_disk *disk, uint64_t offset, uint64_t bytes)
{
	uint64_t size = __atomic_load_n(&disk->geometry.size_bytes, __ATOMIC_RELAXED);

	return checked_range(offset, bytes, size) ? 0 : -ERANGE;
}

static int read_all(int fd, uint64_t offset, uint8_t *buffer, size_t bytes)
{
	while (bytes > 0) {
		ssize_t part = pread(fd, buffer, bytes, (off_t)offset);

		if (part < 0 && errno == EINTR)
			continue;
		if (part <= 0)
			return part < 0 ? -errno : -EIO;
		buffer += part;
		offset += (uint64_t)part;
		bytes -= (size_t)part;
	}
	return 0;
}

static int write_all(int fd, uint64_t offset, const uint8_t *buffer, size_t bytes)
{
	while (bytes > 0) {
		ssize_t part = pwrite(fd, buffer, bytes, (off_t)offset);

		if (part < 0 && errno == EINTR)
			continue;
		if (part <= 0)
			return part < 0 ? -errno : -EIO;
		buffer += part;
		offset += (uint64_t)part;
		bytes -= (size_t)part;
	}
	return 0;
}

int uring_read_sync(struct host_disk *base, uint64_t offset, void *buffer, size_t bytes)
{
	struct disk_uring *disk = uring_disk(base);
	uint64_t first, end;
	uint8_t *copy;
	int error = check_range(base, offset, bytes);

	if (error || bytes == 0)
		return error;
	if (!disk->direct)
		return read_all(disk->fd, offset, buffer, bytes);
	first = align_down(offset, base->geometry.block_bytes);
	end = align_up(offset + bytes, base->geometry.block_bytes);
	copy = aligned_alloc(SYNC_BUFFER_ALIGNMENT, align_up(end - first, SYNC_BUFFER_ALIGNMENT));
	if (!copy)
		return -ENOMEM;
	error = read_all(disk->fd, first, copy, end - first);
	if (!error)
		memcpy(buffer, copy + (offset - first), bytes);
	free(copy);
	return error;
}

int uring_write_sync(struct host_disk *base, uint64_t offset, const void *buffer, size_t bytes)
{
	struct disk_uring *disk = uring_disk(base);
	uint8_t *copy;
	int error = check_range(base, offset, bytes);

	if (!error && base->geometry.read_only)
		error = -EROFS;
	if (error || bytes == 0)
		return error;
	if (!disk->direct)
		return write_all(disk->fd, offset, buffer, bytes);
	if (!is_aligned(offset | bytes, base->geometry.block_bytes))
		return -EINVAL;
	copy = aligned_alloc(SYNC_BUFFER_ALIGNMENT, align_up(bytes, SYNC_BUFFER_ALIGNMENT));
	if (!copy)
		return -ENOMEM;
	memcpy(copy, buffer, bytes);
	error = write_all(disk->fd, offset, copy, bytes);
	free(copy);
	return error;
}

int uring_punch_sync(struct host_disk *base, uint64_t offset, uint64_t bytes)
{
	int error = check_range(base, offset, bytes);

	if (!error && base->geometry.read_only)
		error = -EROFS;
	if (!error && !base->geometry.can_punch)
		error = -EOPNOTSUPP;
	if (error || bytes == 0)
		return error;
	while (fallocate(uring_disk(base)->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
			 (off_t)bytes) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}
