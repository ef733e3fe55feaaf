/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/disk/image_file.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/disk/qemu_img.h"
#include "cli/progress.h"
#include "core/clock.h"
#include "core/path.h"

/* Of a qcow2 file beside its data: refcounts and tables of 64 KiB clusters stay below 1/256 and this. */
#define QCOW2_MORE_BYTES ((uint64_t)64 << 20)
#define RAW_MORE_BYTES	 4096u

/* Each names its driver: qemu-img never looks at bytes to guess it. */
static const char raw_output[] = "driver=raw,file.driver=file,file.filename=" QEMU_IMG_OUTPUT;
static const char raw_image[] =
	"json:{\"driver\":\"raw\",\"file\":{\"driver\":\"file\",\"filename\":\"" QEMU_IMG_IMAGE "\"}}";

/* ---- what an image is ---- */

static int read_ends(int fd, struct image_ends *ends)
{
	off_t size = lseek(fd, 0, SEEK_END), tail = size - IMAGE_TAIL_BYTES;

	*ends = (struct image_ends){ 0 };
	if (size < 0 || pread(fd, ends->head, sizeof(ends->head), 0) < 0)
		return -errno;
	if (tail >= 0 && pread(fd, ends->tail, sizeof(ends->tail), tail) < 0)
		return -errno;
	return 0;
}

static int check_format(const struct cli_command *command, const char *given)
{
	enum image_format format;

	if (!given || image_format_parse(given, &format) == 0)
		return CLI_OK;
	return cli_usage(command,
			 "--format: \"%s\" is no image format; raw, qcow2, vmdk, vdi, vhdx and vpc are "
			 "usual ones",
			 given);
}

/* By the bytes: what is packed is no disk, and the user hears what an image was taken for. */
static int guess_format(const struct cli_command *command, struct image_source *source,
			const struct image_ends *ends)
{
	const char *packed;

	source->format = image_format_of(ends);
	packed = source->format == IMAGE_RAW ? image_format_packed(ends) : NULL;
	if (packed)
		return cli_fail(command,
				"%s is packed (%s); unpack it and import what is in it, or copy it as it is "
				"with --format raw",
				source->path, packed);
	if (source->format != IMAGE_LUKS)
		fprintf(stderr, "%s is taken for a %s image (--format says otherwise)\n", source->path,
			image_format_name(source->format));
	return CLI_OK;
}

/* By --format, or by the bytes. Ciphertext is copied only when somebody says so. */
static int choose_format(const struct cli_command *command, struct image_source *source,
			 const struct image_ends *ends)
{
	int result = CLI_OK;

	if (!source->options.format || image_format_parse(source->options.format, &source->format) < 0)
		result = guess_format(command, source, ends);
	if (result != CLI_OK)
		return result;
	if (source->format != IMAGE_LUKS)
		return CLI_OK;
	return cli_fail(command,
			"%s is encrypted (LUKS); --format raw copies it as it is, for a guest that has the "
			"key",
			source->path);
}

static int refuse_other_files(const struct cli_command *command, const struct image_source *source,
			      const char *why)
{
	return cli_fail(command,
			"%s %s; an image must be whole in its one file (with --backing-chain, the files "
			"that it names are read too)",
			source->path, why);
}

/*
 * Whatever the header says: with `backing` null, qemu-img opens no other image under this one. In a chain,
 * names in the image are relative to its own.
 */
static char *source_name(const struct image_source *source)
{
	struct stat status;
	bool block = fstat(source->fd, &status) == 0 && S_ISBLK(status.st_mode);
	json_t *image = json_pack("{s:s, s:{s:s, s:s}}", "driver", image_format_name(source->format), "file",
				  "driver", block ? "host_device" : "file", "filename",
				  source->options.backing_chain ? source->path : QEMU_IMG_IMAGE);
	char *text = NULL, *name = NULL;

	if (image && !source->options.backing_chain)
		json_object_set_new(image, "backing", json_null());
	if (image)
		text = json_dumps(image, JSON_COMPACT);
	if (text && asprintf(&name, "json:%s", text) < 0)
		name = NULL;
	free(text);
	json_decref(image);
	return name;
}

static struct qemu_img_run run_on(const struct image_source *source, const char *const *arguments)
{
	return (struct qemu_img_run){
		.arguments = arguments,
		.name = source->path,
		.image_fd = source->fd,
		.output_fd = -1,
		.patience_s = source->options.patience_s ? source->options.patience_s : QEMU_IMG_PATIENCE_S,
		.read_any_file = source->options.backing_chain,
		.without_landlock = source->options.backing_chain,
	};
}

/* Do all file names in a VMDK's list of extents mean the image itself? */
static bool extents_are_own(const json_t *data)
{
	const json_t *extents = json_object_get(data, "extents"), *extent;
	size_t i;

	json_array_foreach(extents, i, extent)
	{
		const char *name = json_string_value(json_object_get(extent, "filename"));

		if (!name || strcmp(name, QEMU_IMG_IMAGE) != 0)
			return false;
	}
	return true;
}

/* What qemu-img itself found in an image that is not allowed to have more than one file. */
static int check_found(const struct cli_command *command, const struct image_source *source,
		       const json_t *found)
{
	const char *backing = json_string_value(json_object_get(found, "backing-filename"));
	const json_t *data = json_object_get(json_object_get(found, "format-specific"), "data");
	char why[512], name[256];

	if (backing) {
		snprintf(name, sizeof(name), "%s", backing);
		snprintf(why, sizeof(why), "holds only what differs from \"%s\"", qemu_img_clean(name));
		return refuse_other_files(command, source, why);
	}
	if (json_object_get(data, "data-file") || !extents_are_own(data))
		return refuse_other_files(command, source, "has its data in other files");
	return CLI_OK;
}

/* Asks qemu-img for the size of the contents. */
static int ask_size(const struct cli_command *command, struct image_source *source)
{
	char *name = source_name(source), *answer = NULL;
	const char *const arguments[] = { "info", "--output=json", name, NULL };
	const struct qemu_img_run run = run_on(source, arguments);
	json_t *found = NULL;
	json_int_t size;
	int result;

	result = name ? qemu_img(command, &run, &answer) : cli_fail(command, "out of memory");
	if (result == CLI_OK)
		found = json_loads(answer, 0, NULL);
	free(answer);
	free(name);
	if (result != CLI_OK)
		return result;
	size = json_integer_value(json_object_get(found, "virtual-size"));
	if (size < 0 || !json_is_object(found))
		result = cli_fail(command, "%s: qemu-img's answer cannot be understood", source->path);
	else if (!source->options.backing_chain)
		result = check_found(command, source, found);
	source->size_bytes = size > 0 ? (uint64_t)size : 0;
	json_decref(found);
	return result;
}

static int look_inside(const struct cli_command *command, struct image_source *source)
{
	struct image_ends ends;
	const char *why;
	int error = read_ends(source->fd, &ends), result;

	if (error)
		return cli_fail(command, "%s: %s", source->path, strerror(-error));
	result = choose_format(command, source, &ends);
	if (result != CLI_OK)
		return result;
	if (source->format == IMAGE_RAW) {
		source->size_bytes = (uint64_t)lseek(source->fd, 0, SEEK_END);
	} else {
		why = image_format_other_files(source->format, &ends);
		if (why && !source->options.backing_chain)
			return refuse_other_files(command, source, why);
		result = ask_size(command, source);
	}
	if (result == CLI_OK && source->size_bytes == 0)
		return cli_fail(command, "%s is empty", source->path);
	return result;
}

int image_open(const struct cli_command *command, const char *path, const struct image_options *options,
	       struct image_source *ret_source)
{
	struct image_source source = { .path = path, .options = *options, .fd = -1 };
	struct stat status;
	int result = check_format(command, options->format);

	if (result != CLI_OK)
		return result;
	/* Without waiting: a FIFO under that name has to be refused, not waited for. */
	source.fd = path_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
	if (source.fd == -ELOOP && geteuid() == 0)
		return cli_fail(command,
				"%s: a link on the way is not root's, so it is not followed; name the file "
				"that is meant",
				path);
	if (source.fd < 0)
		return cli_fail(command, "%s: %s", path, strerror(-source.fd));
	if (fstat(source.fd, &status) < 0 || !(S_ISREG(status.st_mode) || S_ISBLK(status.st_mode)))
		result = cli_fail(command, "%s is neither a file nor a block device", path);
	else
		result = look_inside(command, &source);
	if (result == CLI_OK)
		*ret_source = source;
	else
		close(source.fd);
	return result;
}

/* ---- unpacking and packing ---- */

/* A file without a name that ends with its descriptor. */
static int open_temporary(const struct cli_command *command, uint64_t size_bytes, int *ret_fd)
{
	const char *directory = getenv("TMPDIR");
	char path[CLI_PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/viaduct-import-XXXXXX", directory ? directory : "/var/tmp");
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return cli_fail(command, "%s: %s", path, strerror(errno));
	unlink(path);
	if (ftruncate(fd, (off_t)size_bytes) < 0) {
		cli_fail(command, "%s: no file of %llu bytes: %s", path, (unsigned long long)size_bytes,
			 strerror(errno));
		close(fd);
		return CLI_FAILED;
	}
	*ret_fd = fd;
	return CLI_OK;
}

static void show_progress(void *context, uint64_t done_bytes)
{
	progress_update(context, done_bytes, 0, clock_now_ns());
}

static int convert(const struct cli_command *command, const struct image_source *source, int output_fd)
{
	char *name = source_name(source);
	const char *const arguments[] = {
		"convert", "-p", "-n", "--target-is-zero", "--target-image-opts", name, raw_output, NULL
	};
	struct qemu_img_run run = run_on(source, arguments);
	struct progress progress;
	size_t width = cli_terminal_width(STDERR_FILENO);
	int result;

	run.output_fd = output_fd;
	run.size_bytes = source->size_bytes;
	run.output_max_bytes = source->size_bytes + RAW_MORE_BYTES;
	if (width > 0) { /* elsewhere, one list of tenths is enough: that of filling the disk */
		progress_start(&progress, stderr, true, width, "unpacking", source->size_bytes,
			       clock_now_ns());
		run.progress = show_progress;
		run.context = &progress;
	}
	result = name ? qemu_img(command, &run, NULL) : cli_fail(command, "out of memory");
	if (width > 0)
		progress_clear(&progress);
	free(name);
	return result;
}

int image_unpack(const struct cli_command *command, struct image_source *source)
{
	int fd = -1, result;

	if (source->format == IMAGE_RAW)
		return CLI_OK;
	result = open_temporary(command, source->size_bytes, &fd);
	if (result != CLI_OK)
		return result;
	result = convert(command, source, fd);
	if (result != CLI_OK) {
		close(fd);
		return result;
	}
	close(source->fd);
	source->fd = fd;
	source->format = IMAGE_RAW;
	return CLI_OK;
}

int image_pack_qcow2(const struct cli_command *command, const char *name, int raw_fd, int fd)
{
	static const char *const arguments[] = {
		"convert", "-p", "-O", "qcow2", raw_image, QEMU_IMG_OUTPUT, NULL,
	};
	uint64_t size = (uint64_t)lseek(raw_fd, 0, SEEK_END);
	const struct qemu_img_run run = {
		.arguments = arguments,
		.name = name,
		.image_fd = raw_fd,
		.output_fd = fd,
		.size_bytes = size,
		.output_max_bytes = size + size / 256 + QCOW2_MORE_BYTES,
		.patience_s = QEMU_IMG_PATIENCE_S,
		.without_landlock = true, /* a raw file names nothing */
	};

	return qemu_img(command, &run, NULL);
}

/* ---- reading ---- */

int image_next_data(const struct image_source *source, uint64_t offset, uint64_t *ret_begin,
		    uint64_t *ret_end)
{
	off_t begin = lseek(source->fd, (off_t)offset, SEEK_DATA), end;

	if (begin < 0 && errno == ENXIO) {
		if (lseek(source->fd, 0, SEEK_END) < (off_t)source->size_bytes)
			return -ENODATA;
		*ret_begin = *ret_end = source->size_bytes;
		return 0;
	}
	if (begin < 0 && errno == EINVAL) { /* block devices and some file systems do not tell */
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
