/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening a disk: creating the file when it is missing, locking it, and closing. The lock belongs to the
 * open file: it vanishes with the last process that has it, however that ends, and a successor that
 * gets the fd has it already.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/fd.h"
#include "core/path.h"
#include "host/disk_uring_private.h"

#define LOCK_RETRY_US 5000u

/* Makes a new name durable. `directory`: O_PATH */
static int sync_directory(int directory)
{
	int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error;

	if (fd < 0)
		return -errno;
	error = fsync(fd) < 0 && errno != EINVAL ? -errno : 0;
	close(fd);
	return error;
}

/* Without unnamed files: a crash between the two steps leaves an empty file behind. */
static int create_named(int directory, const char *name, uint64_t bytes, int *ret_fd)
{
	int fd = openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)bytes) < 0) {
		int error = -errno;

		unlinkat(directory, name, 0);
		close(fd);
		return error;
	}
	*ret_fd = fd;
	return 0;
}

/* The file gets its name when it is complete, so that no program ever finds half of it. */
static int create_unnamed(int directory, const char *name, uint64_t bytes, int *ret_fd)
{
	char link_path[32];
	int error = 0;
	int fd = openat(directory, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	snprintf(link_path, sizeof(link_path), "/proc/self/fd/%d", fd);
	if (ftruncate(fd, (off_t)bytes) < 0 || fsync(fd) < 0 ||
	    linkat(AT_FDCWD, link_path, directory, name, AT_SYMLINK_FOLLOW) < 0) {
		error = -errno;
		close(fd);
		return error;
	}
	*ret_fd = fd;
	return 0;
}

/* Returns 0 and the fd of a new sparse file, -EEXIST when there is one already, or -errno. */
static int create_file(const char *path, uint64_t bytes, int *ret_fd)
{
	const char *name = "";
	int directory = path_open_parent(path, &name), error;

	if (directory < 0)
		return directory;
	error = create_unnamed(directory, name, bytes, ret_fd);
	if (error == -EOPNOTSUPP || error == -EISDIR || error == -ENOENT || error == -EINVAL)
		error = create_named(directory, name, bytes, ret_fd);
	if (!error) {
		error = sync_directory(directory);
		if (error)
			fd_close(ret_fd);
	}
	close(directory);
	return error;
}

static int open_existing(const struct disk_uring_options *options, int *ret_fd)
{
	int flags = (options->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
	struct stat status;
	int fd = path_open(options->path, O_PATH, 0), error;

	if (fd < 0)
		return fd;
	error = fstat(fd, &status) < 0 ? -errno : 0;
	close(fd);
	if (error)
		return error;
	if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
		return -ENOTBLK;
	/* On a block device, O_EXCL without O_CREAT claims it: refused when it is mounted or claimed. */
	if (S_ISBLK(status.st_mode) && options->lock)
		flags |= O_EXCL;
	/* O_NONBLOCK: should the path have become something else meanwhile, we do not hang on it. */
	fd = path_open(options->path, flags | O_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	error = fd_set_nonblocking(fd, false);
	if (error) {
		close(fd);
		return error;
	}
	*ret_fd = fd;
	return 0;
}

static int lock_file(int fd)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return 0;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return 0;
}

int disk_uring_open_fd(int fd, const struct disk_uring_options *options, struct host_disk **ret_disk)
{
	struct disk_uring *disk;
	int flags = fcntl(fd, F_GETFL);
	int error;

	if (flags < 0)
		return -errno;
	if ((flags & O_ACCMODE) == O_WRONLY || ((flags & O_ACCMODE) == O_RDONLY && !options->read_only))
		return -EACCES;
	disk = calloc(1, sizeof(*disk));
	if (!disk)
		return -ENOMEM;
	disk->base.ops = &disk_uring_ops;
	disk->fd = fd;
	log_subject_name(&disk->subject, "%s", options->path ? options->path : "disk");
	disk->base.name = disk->subject.name;
	error = options->lock ? lock_file(fd) : 0;
	if (!error)
		error = disk_uring_probe(disk, options->cache, options->read_only);
	if (error) {
		free(disk);
		return error;
	}
	flush_gate_init(&disk->flushes);
	*ret_disk = &disk->base;
	return 0;
}

static int open_once(const struct disk_uring_options *options, struct host_disk **ret_disk)
{
	int fd = -1, error;

	error = open_existing(options, &fd);
	if (error == -ENOENT && options->create_bytes > 0 && !options->read_only) {
		error = create_file(options->path, options->create_bytes, &fd);
		if (error == -EEXIST)
			error = open_existing(options, &fd);
	}
	if (error)
		return error;
	error = disk_uring_open_fd(fd, options, ret_disk);
	if (error)
		close(fd);
	return error;
}

int disk_uring_open(const struct disk_uring_options *options, struct host_disk **ret_disk)
{
	uint64_t deadline_ns = clock_now_ns() + options->lock_wait_ms * NS_PER_MS;
	int error = open_once(options, ret_disk);

	while (error == -EBUSY && options->lock && clock_now_ns() < deadline_ns) {
		usleep(LOCK_RETRY_US);
		error = open_once(options, ret_disk);
	}
	return error;
}

void disk_uring_close(struct host_disk *base)
{
	struct disk_uring *disk = uring_disk(base);

	flush_gate_finish(&disk->flushes);
	close(disk->fd);
	free(disk);
}

int disk_uring_fd(const struct host_disk *host)
{
	return ((const struct disk_uring *)host)->fd;
}
