/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/nic/nic_mirror_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fd.h"
#include "core/pcapng.h"

const char *mirror_file_trouble(int code)
{
	switch (-code) {
	case ENXIO:
		return "has no reader";
	case EPIPE:
		return "has lost its reader";
	case EEXIST:
		return "is there already and is no capture; move it away";
	case EMEDIUMTYPE:
		return "is neither a file nor a named pipe";
	case ELOOP:
		return "is a symbolic link; name the file itself";
	default:
		return strerror(-code);
	}
}

int mirror_file_keep(const char *path)
{
	char *kept;
	int error;

	if (asprintf(&kept, "%s.1", path) < 0)
		return -ENOMEM;
	error = rename(path, kept) < 0 ? -errno : 0;
	free(kept);
	return error;
}

/* Does the file end with a whole block? Its last four bytes are the length that its beginning tells, too. */
static bool ends_with_block(int fd, uint64_t bytes)
{
	uint32_t length, again;

	if (bytes % 4 != 0 ||
	    pread(fd, &length, sizeof(length), (off_t)(bytes - sizeof(length))) != sizeof(length))
		return false;
	if (length % 4 != 0 || length < 12 || length > bytes)
		return false;
	return pread(fd, &again, sizeof(again), (off_t)(bytes - length + sizeof(length))) == sizeof(again) &&
	       again == length;
}

/* Looks at a file that was opened. Returns 0, -errno as above, or -ESTALE: it is to be kept, and a new one
 * made. */
static int judge(int fd, uint64_t limit_bytes, struct mirror_file *ret_file)
{
	struct stat status;
	uint32_t magic;

	if (fstat(fd, &status) < 0)
		return -errno;
	*ret_file = (struct mirror_file){ .fd = fd, .pipe = S_ISFIFO(status.st_mode) };
	if (ret_file->pipe)
		return 0;
	if (!S_ISREG(status.st_mode))
		return -EMEDIUMTYPE;
	ret_file->bytes = (uint64_t)status.st_size;
	if (status.st_size == 0)
		return 0;
	if (pread(fd, &magic, sizeof(magic), 0) != sizeof(magic) || magic != PCAPNG_MAGIC)
		return -EEXIST;
	return ret_file->bytes >= limit_bytes || !ends_with_block(fd, ret_file->bytes) ? -ESTALE : 0;
}

static int open_once(const char *path, uint64_t limit_bytes, struct mirror_file *ret_file)
{
	int flags = O_RDWR | O_CREAT | O_APPEND, fd, error;
	struct stat status;

	/* Looked at before, too: opening a device does something already. */
	if (lstat(path, &status) == 0) {
		if (S_ISLNK(status.st_mode))
			return -ELOOP;
		if (!S_ISREG(status.st_mode) && !S_ISFIFO(status.st_mode))
			return -EMEDIUMTYPE;
		if (S_ISFIFO(status.st_mode))
			flags = O_WRONLY;
	}
	fd = open(path, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	error = judge(fd, limit_bytes, ret_file);
	if (!error)
		error = fd_set_nonblocking(fd, false);
	if (error)
		fd_close(&fd);
	return error;
}

int mirror_file_open(const char *path, uint64_t limit_bytes, struct mirror_file *ret_file)
{
	int error = open_once(path, limit_bytes, ret_file);

	if (error == -ESTALE)
		error = mirror_file_keep(path);
	else
		return error;
	return error ? error : open_once(path, limit_bytes, ret_file);
}
