/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `viaduct disk export`: reads a virtual disk through its socket into a sparse file, or onto a block device.
 * The file is written under a temporary name beside the target and renamed when it is complete and durable. A
 * device is written in place; what is neither is left alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"
#include "cli/commands.h"
#include "cli/disk/disk_names.h"
#include "cli/disk/disk_stream.h"
#include "cli/disk/image_file.h"
#include "cli/progress.h"
#include "cli/text.h"
#include "core/clock.h"
#include "core/path.h"

#define WAIT_MS	    200		/* how long an interrupt can stay unnoticed */
#define BLOCK_BYTES 65536u	/* zeroes are left out in pieces of this size */

struct copy {
	struct disk_stream *stream;
	struct progress progress;
	int fd;
	bool device;	/* it has contents already, and its own size */
	uint64_t next_bytes, done_bytes, skipped_bytes;
};

static int write_all(int fd, const char *data, size_t bytes, uint64_t offset)
{
	while (bytes > 0) {
		ssize_t n = pwrite(fd, data, bytes, (off_t)offset);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			bytes -= (size_t)n;
			offset += (uint64_t)n;
		}
	}
	return 0;
}

/* Zeroes over what a device holds: by its own means, or written. */
static int clear(int fd, const char *zeroes, uint32_t bytes, uint64_t offset)
{
	if (fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, (off_t)offset, bytes) == 0)
		return 0;
	return write_all(fd, zeroes, bytes, offset);
}

/* Writes what is not zero; the rest stays a hole of a file. */
static int write_slot(void *context, struct stream_slot *slot)
{
	struct copy *copy = context;

	for (uint32_t at = 0; at < slot->bytes; at += BLOCK_BYTES) {
		uint32_t bytes = slot->bytes - at < BLOCK_BYTES ? slot->bytes - at : BLOCK_BYTES;
		const char *data = (const char *)slot->data + at;
		int error = 0;

		if (!stream_is_zero(data, bytes))
			error = write_all(copy->fd, data, bytes, slot->offset_bytes + at);
		else if (copy->device)
			error = clear(copy->fd, data, bytes, slot->offset_bytes + at);
		else
			copy->skipped_bytes += bytes;
		if (error)
			return error;
	}
	copy->done_bytes += slot->bytes;
	return 0;
}

static void ask_next(struct copy *copy, struct stream_slot *slot)
{
	uint64_t left = disk_stream_size_bytes(copy->stream) - copy->next_bytes;
	uint32_t chunk = disk_stream_chunk_bytes(copy->stream);

	slot->offset_bytes = copy->next_bytes;
	slot->bytes = left < chunk ? (uint32_t)left : chunk;
	copy->next_bytes += slot->bytes;
	disk_stream_submit(copy->stream, slot, STREAM_READ);
}

static int copy_run(struct copy *copy)
{
	uint64_t end = disk_stream_size_bytes(copy->stream);
	struct stream_slot *slot;
	int error;

	if (!copy->device && ftruncate(copy->fd, (off_t)end) < 0)
		return -errno;
	while (copy->done_bytes < end) {
		if (stream_interrupted())
			return -EINTR;
		while (copy->next_bytes < end && (slot = disk_stream_slot(copy->stream)))
			ask_next(copy, slot);
		error = disk_stream_reap(copy->stream, WAIT_MS, write_slot, copy);
		if (error)
			return error;
		progress_update(&copy->progress, copy->done_bytes, 0, clock_now_ns());
	}
	return fsync(copy->fd) < 0 ? -errno : 0;
}

/* Has the device room for the disk? CLI_OK or a complaint. */
static int check_room(const struct cli_command *command, int fd, const char *path, uint64_t size_bytes)
{
	char has[TEXT_NUMBER_MAX], wants[TEXT_NUMBER_MAX];
	uint64_t room_bytes = 0;

	if (ioctl(fd, BLKGETSIZE64, &room_bytes) < 0)
		return cli_fail(command, "%s: %s", path, strerror(errno));
	if (room_bytes < size_bytes)
		return cli_fail(command, "%s has %s, the disk %s", path, text_size(has, room_bytes),
				text_size(wants, size_bytes));
	return CLI_OK;
}

/* Is the file as large as the disk, as far as the file system knows? */
static int verify_size(int fd, uint64_t size_bytes)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	return (uint64_t)status.st_size == size_bytes ? 0 : -EIO;
}

static const char *copy_error(int error)
{
	switch (error) {
	case -EINTR:
		return "interrupted";
	case -EPIPE:
	case -ECONNRESET:
		return "the daemon is gone";
	default:
		return strerror(-error);
	}
}

/* Reads the disk into fd; `device`: the path of a block device, or NULL. An exit code. */
static int drain(const struct cli_command *command, const char *name, const struct stream_target *target,
		 int fd, const char *device)
{
	size_t width = cli_terminal_width(STDERR_FILENO);
	struct copy copy = { .fd = fd, .device = device };
	const char *reason = "";
	int error = disk_stream_open(target, &copy.stream, &reason);

	if (error)
		return cli_fail(command, "%s: cannot connect to %s: %s (%s)", name, target->socket, reason,
				strerror(-error));
	if (device && check_room(command, fd, device, disk_stream_size_bytes(copy.stream)) != CLI_OK) {
		disk_stream_close(copy.stream);
		return CLI_USAGE;
	}
	progress_start(&copy.progress, stderr, width > 0, width, name, disk_stream_size_bytes(copy.stream),
		       clock_now_ns());
	error = copy_run(&copy);
	if (!error && !device)
		error = verify_size(fd, disk_stream_size_bytes(copy.stream));
	disk_stream_close(copy.stream);
	if (!error) {
		copy.progress.done_bytes = copy.done_bytes;
		progress_finish(&copy.progress, clock_now_ns());
		return CLI_OK;
	}
	progress_clear(&copy.progress);
	return cli_fail(command, "%s: %s", name, copy_error(error));
}

/* ---- the file ---- */

/* A file under a name of its own beside the target, for its owner only (0600). -1 after a complaint. */
static int open_beside(const struct cli_command *command, const char *path, char temporary[CLI_PATH_MAX])
{
	int fd;

	if (snprintf(temporary, CLI_PATH_MAX, "%s.XXXXXX", path) < CLI_PATH_MAX) {
		fd = mkostemp(temporary, O_CLOEXEC);
		if (fd >= 0)
			return fd;
	} else {
		errno = ENAMETOOLONG;
	}
	cli_fail(command, "%s: %s", path, strerror(errno));
	return -1;
}

/* A file that is replaced hands its owner and mode on; without its owner, its mode would be wrong. */
static void inherit(int fd, const char *path)
{
	struct stat old;

	if (lstat(path, &old) == 0 && S_ISREG(old.st_mode) && fchown(fd, old.st_uid, old.st_gid) == 0)
		fchmod(fd, old.st_mode & 0777);
}

static int publish(const struct cli_command *command, int fd, const char *temporary, const char *path)
{
	inherit(fd, path);
	if (rename(temporary, path) == 0)
		return CLI_OK;
	return cli_fail(command, "%s: %s", path, strerror(errno));
}

/* From the finished raw file to a qcow2 file under the target's name. */
static int publish_packed(const struct cli_command *command, int raw_fd, const char *path)
{
	char temporary[CLI_PATH_MAX];
	int fd = open_beside(command, path, temporary), result;

	if (fd < 0)
		return CLI_FAILED;
	result = image_pack_qcow2(command, path, raw_fd, fd);
	if (result == CLI_OK && fsync(fd) < 0)
		result = cli_fail(command, "%s: %s", path, strerror(errno));
	if (result == CLI_OK)
		result = publish(command, fd, temporary, path);
	if (result != CLI_OK)
		unlink(temporary);
	close(fd);
	return result;
}

static int export_to_file(const struct cli_command *command, const struct stream_target *target,
			  const char *name, const char *path, enum image_format format)
{
	char temporary[CLI_PATH_MAX];
	int fd = open_beside(command, path, temporary), result = CLI_FAILED;

	if (fd >= 0)
		result = drain(command, name, target, fd, NULL);
	if (result == CLI_OK && format == IMAGE_RAW)
		result = publish(command, fd, temporary, path);
	else if (result == CLI_OK)
		result = publish_packed(command, fd, path);
	if (fd >= 0 && !(result == CLI_OK && format == IMAGE_RAW))
		unlink(temporary);
	if (fd >= 0)
		close(fd);
	if (result != CLI_OK)
		cli_fail(command, "%s was not written", path);
	return result;
}

/* ---- the device ---- */

/* Claims it: one that is mounted, or used otherwise by the host, is refused. */
static int export_to_device(const struct cli_command *command, const struct stream_target *target,
			    const char *name, const char *path)
{
	int fd = path_open(path, O_WRONLY | O_EXCL | O_CLOEXEC, 0), result;

	if (fd == -EBUSY)
		return cli_fail(command, "%s is in use by the host; it was not written", path);
	if (fd < 0)
		return cli_fail(command, "%s: %s", path, strerror(-fd));
	result = drain(command, name, target, fd, path);
	close(fd);
	if (result == CLI_FAILED)
		cli_fail(command, "%s now holds a part of the disk at most", path);
	return result == CLI_OK ? CLI_OK : CLI_FAILED;
}

/* ---- the target ---- */

/* What is there (mode 0: nothing), links followed as far as they are trusted. CLI_OK or a complaint. */
static int look_at(const struct cli_command *command, const char *path, mode_t *ret_mode)
{
	struct stat status;
	int fd = path_open(path, O_PATH | O_CLOEXEC, 0), error;

	*ret_mode = 0;
	if (fd == -ELOOP && geteuid() == 0)
		return cli_fail(command,
				"%s: a link on the way is not root's, so it is not followed; name the file "
				"that is meant",
				path);
	if (fd < 0 && lstat(path, &status) == 0)
		return cli_fail(command, "%s is a link that leads to no file and no block device", path);
	if (fd == -ENOENT)
		return CLI_OK;
	if (fd < 0)
		return cli_fail(command, "%s: %s", path, strerror(-fd));
	error = fstat(fd, &status) < 0 ? errno : 0;
	close(fd);
	if (error)
		return cli_fail(command, "%s: %s", path, strerror(error));
	*ret_mode = status.st_mode;
	return CLI_OK;
}

/* Files are replaced and devices written onto, both when the user says so. CLI_OK or a complaint. */
static int check_target(const struct cli_command *command, const char *path, bool overwrite,
			enum image_format format, bool *ret_device)
{
	struct stat status;
	mode_t mode;
	int result = look_at(command, path, &mode);

	*ret_device = S_ISBLK(mode);
	if (result != CLI_OK || mode == 0)
		return result;
	if (!S_ISREG(mode) && !S_ISBLK(mode))
		return cli_fail(command, "%s is neither a file nor a block device", path);
	if (!overwrite)
		return cli_fail(command, "%s exists; --overwrite %s", path,
				S_ISBLK(mode) ? "writes over what it holds" : "replaces it");
	if (S_ISBLK(mode) && format != IMAGE_RAW)
		return cli_fail(command, "%s is a block device: a disk is exported onto it as raw only",
				path);
	if (S_ISREG(mode) && lstat(path, &status) == 0 && S_ISLNK(status.st_mode))
		return cli_fail(command, "%s is a link; name the file that it leads to", path);
	return CLI_OK;
}

/* --format, or what the target's name says; a file that is replaced decides nothing. */
static int choose_format(const struct cli_command *command, const char *given, const char *path,
			 enum image_format *ret_format)
{
	const char *dot = strrchr(path, '.');

	*ret_format = dot && strcmp(dot, ".qcow2") == 0 ? IMAGE_QCOW2 : IMAGE_RAW;
	if (!given)
		return CLI_OK;
	if (strcmp(given, "raw") != 0 && strcmp(given, "qcow2") != 0)
		return cli_usage(command, "--format: \"%s\" is neither raw nor qcow2", given);
	*ret_format = given[0] == 'r' ? IMAGE_RAW : IMAGE_QCOW2;
	return CLI_OK;
}

int command_disk_export(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	const char *format_name = NULL;
	bool overwrite = false, device = false;
	const struct cli_option options[] = {
		{ "format", &format_name, NULL },
		{ "overwrite", NULL, &overwrite },
		{ 0 },
	};
	struct cli_arguments arguments;
	struct stream_target target;
	enum image_format format;
	json_t *disk = NULL;
	char *path;
	int result = cli_parse(cli, command, argc, argv, options, 2, 2, &arguments);

	if (result == CLI_OK)
		result = disk_name_check(command, arguments.words[0]);
	if (result == CLI_OK)
		result = choose_format(command, format_name, arguments.words[1], &format);
	if (result == CLI_OK)
		result = check_target(command, arguments.words[1], overwrite, format, &device);
	if (result != CLI_OK)
		return result;
	path = cli_api_path("/v1/disks", arguments.words[0]);
	result = cli_get(cli, command, path, &disk);
	free(path);
	if (result == CLI_OK && api_flag(disk, "connected"))
		result = cli_fail(command, "%s is in use; stop its guest first", arguments.words[0]);
	stream_catch_signals();
	if (result == CLI_OK)
		target = stream_target_of(disk);
	if (result == CLI_OK && device)
		result = export_to_device(command, &target, arguments.words[0], arguments.words[1]);
	else if (result == CLI_OK)
		result = export_to_file(command, &target, arguments.words[0], arguments.words[1], format);
	json_decref(disk);
	return result;
}
