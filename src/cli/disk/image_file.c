/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/disk/image_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char qcow2_magic[4] = { 'Q', 'F', 'I', (char)0xfb };

int image_choose_format(const struct cli_command *command, const char *given, const char *path,
			enum image_format *ret_format)
{
	const char *dot = strrchr(path, '.');
	char begin[4];
	int fd;

	if (given) {
		if (strcmp(given, "raw") != 0 && strcmp(given, "qcow2") != 0)
			return cli_usage(command, "--format: \"%s\" is neither raw nor qcow2", given);
		*ret_format = given[0] == 'r' ? IMAGE_RAW : IMAGE_QCOW2;
		return CLI_OK;
	}
	*ret_format = dot && strcmp(dot, ".qcow2") == 0 ? IMAGE_QCOW2 : IMAGE_RAW;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (read(fd, begin, sizeof(begin)) == sizeof(begin))
			*ret_format =
				memcmp(begin, qcow2_magic, sizeof(begin)) == 0 ? IMAGE_QCOW2 : IMAGE_RAW;
		close(fd);
	}
	return CLI_OK;
}

/* Runs qemu-img and waits. It gets the terminal's SIGINT itself. */
static int run_qemu_img(const struct cli_command *command, const char *from_format, const char *from,
			const char *to_format, const char *to)
{
	char qemu_img[CLI_PATH_MAX];
	int status = -1;
	pid_t pid;

	if (cli_find_program("qemu-img", qemu_img) < 0)
		return cli_fail(
			command,
			"qcow2 needs qemu-img, which is not installed; `apt install qemu-utils` brings it");
	pid = fork();
	if (pid == 0) {
		execl(qemu_img, "qemu-img", "convert", "-f", from_format, "-O", to_format, from, to,
		      (char *)NULL);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid < 0 || status != 0)
		return cli_fail(command, "qemu-img could not convert %s", from);
	return CLI_OK;
}

static int unpack_qcow2(const struct cli_command *command, const char *path, int *ret_fd)
{
	const char *directory = getenv("TMPDIR");
	char temporary[CLI_PATH_MAX];
	int fd, result;

	snprintf(temporary, sizeof(temporary), "%s/viaduct-import-XXXXXX",
		 directory ? directory : "/var/tmp");
	fd = mkstemp(temporary);
	if (fd < 0)
		return cli_fail(command, "%s: %s", temporary, strerror(errno));
	result = run_qemu_img(command, "qcow2", path, "raw", temporary);
	unlink(temporary);
	if (result == CLI_OK)
		*ret_fd = fd;
	else
		close(fd);
	return result;
}

int image_open(const struct cli_command *command, const char *path, enum image_format format,
	       struct image_source *ret_source)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), result;
	struct stat status;
	off_t size;

	if (fd < 0)
		return cli_fail(command, "%s: %s", path, strerror(errno));
	if (fstat(fd, &status) < 0 || !(S_ISREG(status.st_mode) || S_ISBLK(status.st_mode))) {
		close(fd);
		return cli_fail(command, "%s is neither a file nor a block device", path);
	}
	if (format == IMAGE_QCOW2) {
		close(fd);
		result = unpack_qcow2(command, path, &fd);
		if (result != CLI_OK)
			return result;
	}
	size = lseek(fd, 0, SEEK_END);
	if (size <= 0) {
		close(fd);
		return cli_fail(command, "%s is empty", path);
	}
	*ret_source = (struct image_source){ .fd = fd, .size_bytes = (uint64_t)size };
	return CLI_OK;
}

int image_next_data(const struct image_source *source, uint64_t offset, uint64_t *ret_begin,
		    uint64_t *ret_end)
{
	off_t begin = lseek(source->fd, (off_t)offset, SEEK_DATA), end;

	if (begin < 0 && errno == ENXIO) {
		*ret_begin = *ret_end = source->size_bytes;
		return 0;
	}
	if (begin < 0 && errno == EINVAL) {	/* block devices and some file systems do not tell */
		*ret_begin = offset;
		*ret_end = source->size_bytes;
		return 0;
	}
	if (begin < 0)
		return -errno;
	end = lseek(source->fd, begin, SEEK_HOLE);
	if (end < 0)
		return -errno;
	*ret_begin = (uint64_t)begin;
	*ret_end = (uint64_t)end < source->size_bytes ? (uint64_t)end : source->size_bytes;
	return 0;
}

int image_pack_qcow2(const struct cli_command *command, const char *raw_path, const char *path)
{
	return run_qemu_img(command, "raw", raw_path, "qcow2", path);
}
