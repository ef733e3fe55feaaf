/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `viaduct disk import`: makes the disk (or takes one with --overwrite) and fills it through its socket.
 * Whatever ends it early, a disk that was made here is deleted again.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"
#include "cli/commands.h"
#include "cli/disk/disk_names.h"
#include "cli/disk/disk_stream.h"
#include "cli/disk/image_file.h"
#include "cli/progress.h"
#include "cli/text.h"
#include "core/checked.h"
#include "core/clock.h"

#define WAIT_MS	       200	/* how long an interrupt can stay unnoticed */
#define SECTOR_BYTES   512u
#define TIMEOUT_MAX_S  86400u
#define DELETE_TRIES   20	/* the daemon may need a moment to notice that we hung up */
#define DELETE_WAIT_US 100000u

#define GUESTS_MAX     256 /* of which one may have been meant */
#define DISK_GUEST_MAX 128

struct import_options {
	const char *pool, *size, *timeout;
	bool overwrite;
	struct image_options image;
};

/* ---- copying ---- */

struct copy {
	struct disk_stream *stream;
	const struct image_source *source;
	struct progress progress;
	bool zero_all;			/* the disk had data: holes and the rest of the disk are zeroed */
	uint64_t next_bytes;		/* everything before it was submitted or skipped */
	uint64_t data_begin, data_end;	/* the current stretch of data in the image */
	uint64_t written_bytes, skipped_bytes;
};

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Reads a whole chunk, zeroes behind the image's end. 0, -ENODATA (it has become shorter) or -errno. */
static int read_chunk(const struct copy *copy, struct stream_slot *slot)
{
	size_t done = 0;

	while (done < slot->bytes) {
		ssize_t n = pread(copy->source->fd, (char *)slot->data + done, slot->bytes - done,
				  (off_t)(slot->offset_bytes + done));

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0 && slot->offset_bytes + done < copy->source->size_bytes)
			return -ENODATA;
		if (n == 0)
			break;
		done += n > 0 ? (size_t)n : 0;
	}
	memset((char *)slot->data + done, 0, slot->bytes - done);
	return 0;
}

/* A stretch without data: nothing to do on a new disk; else zeroes. Submits at most one slot. */
static int copy_hole(struct copy *copy, struct stream_slot *slot, uint64_t end)
{
	uint64_t length = end - copy->next_bytes, zeroes = disk_stream_zeroes_bytes(copy->stream);

	slot->offset_bytes = copy->next_bytes;
	if (!copy->zero_all) {
		disk_stream_release(copy->stream, slot);
		copy->skipped_bytes += length;
		copy->next_bytes = end;
		return 0;
	}
	slot->bytes = (uint32_t)least(
		length, least(zeroes ? zeroes : disk_stream_chunk_bytes(copy->stream), 1u << 30));
	if (zeroes == 0)
		memset(slot->data, 0, slot->bytes);
	copy->next_bytes += slot->bytes;
	disk_stream_submit(copy->stream, slot, zeroes ? STREAM_WRITE_ZEROES : STREAM_WRITE);
	return 0;
}

static int copy_data(struct copy *copy, struct stream_slot *slot)
{
	uint64_t end = least(align_up(copy->data_end, SECTOR_BYTES), disk_stream_size_bytes(copy->stream));
	int error;

	slot->offset_bytes = copy->next_bytes;
	slot->bytes = (uint32_t)least(end - copy->next_bytes, disk_stream_chunk_bytes(copy->stream));
	error = read_chunk(copy, slot);
	if (error) {
		disk_stream_release(copy->stream, slot);
		return error;
	}
	if (stream_is_zero(slot->data, slot->bytes))
		return copy_hole(copy, slot, copy->next_bytes + slot->bytes);
	copy->next_bytes += slot->bytes;
	disk_stream_submit(copy->stream, slot, STREAM_WRITE);
	return 0;
}

/* Takes one step forward with a free slot. */
static int copy_step(struct copy *copy, struct stream_slot *slot)
{
	int error;

	if (copy->next_bytes >= copy->data_end && copy->next_bytes < copy->source->size_bytes) {
		error = image_next_data(copy->source, copy->next_bytes, &copy->data_begin, &copy->data_end);
		if (error) {
			disk_stream_release(copy->stream, slot);
			return error;
		}
		copy->data_begin = align_down(copy->data_begin, SECTOR_BYTES);
	}
	if (copy->next_bytes >= copy->source->size_bytes)
		return copy_hole(copy, slot, disk_stream_size_bytes(copy->stream));
	if (copy->next_bytes < copy->data_begin)
		return copy_hole(copy, slot, least(align_up(copy->data_begin, SECTOR_BYTES),
						   disk_stream_size_bytes(copy->stream)));
	return copy_data(copy, slot);
}

static int count_done(void *context, struct stream_slot *slot)
{
	struct copy *copy = context;

	copy->written_bytes += slot->bytes;
	return 0;
}

static void show_progress(struct copy *copy)
{
	progress_update(&copy->progress, copy->written_bytes + copy->skipped_bytes, copy->skipped_bytes,
			clock_now_ns());
}

/* Copies everything and flushes. 0, -EINTR or another -errno. */
static int copy_run(struct copy *copy)
{
	uint64_t end = disk_stream_size_bytes(copy->stream);
	struct stream_slot *slot;
	int error = 0;

	while (copy->next_bytes < end || disk_stream_in_flight(copy->stream) > 0) {
		if (stream_interrupted())
			return -EINTR;
		while (!error && copy->next_bytes < end && (slot = disk_stream_slot(copy->stream)))
			error = copy_step(copy, slot);
		if (!error && disk_stream_in_flight(copy->stream) > 0)
			error = disk_stream_reap(copy->stream, WAIT_MS, count_done, copy);
		if (error)
			return error;
		show_progress(copy);
	}
	return disk_stream_flush(copy->stream);
}

static const char *copy_error(int error)
{
	switch (error) {
	case -EINTR:
		return "interrupted";
	case -EIO:
		return "the disk answered with an I/O error";
	case -ENODATA:
		return "the image became shorter while it was read";
	case -EPIPE:
	case -ECONNRESET:
		return "the daemon is gone";
	default:
		return strerror(-error);
	}
}

static int too_small(const struct cli_command *command, const char *name, uint64_t disk_bytes,
		     const struct image_source *source)
{
	char disk[TEXT_NUMBER_MAX], image[TEXT_NUMBER_MAX];

	return cli_fail(command, "%s has %s, the image %s; `viaduct disk resize` makes room", name,
			text_size(disk, disk_bytes), text_size(image, source->size_bytes));
}

/* Fills the disk. Returns an exit code. */
static int fill(const struct cli_command *command, const char *name, const struct stream_target *target,
		const struct image_source *source, bool zero_all)
{
	struct copy copy = { .source = source, .zero_all = zero_all };
	const char *reason = "";
	size_t width = cli_terminal_width(STDERR_FILENO);
	int error = disk_stream_open(target, &copy.stream, &reason), result;

	if (error)
		return cli_fail(command, "%s: cannot connect to %s: %s (%s)", name, target->socket, reason,
				strerror(-error));
	if (disk_stream_size_bytes(copy.stream) < source->size_bytes) {
		result = too_small(command, name, disk_stream_size_bytes(copy.stream), source);
		disk_stream_close(copy.stream);
		return result;
	}
	progress_start(&copy.progress, stderr, width > 0, width, name, disk_stream_size_bytes(copy.stream),
		       clock_now_ns());
	error = copy_run(&copy);
	disk_stream_close(copy.stream);
	if (!error) {
		assert(copy.written_bytes + copy.skipped_bytes == copy.progress.total_bytes);
		progress_finish(&copy.progress, clock_now_ns());
		return CLI_OK;
	}
	progress_clear(&copy.progress);
	return cli_fail(command, "%s: %s", name, copy_error(error));
}

/* ---- the disk ---- */

/* Without --pool: the only pool there is. Returns its name (to be freed) or NULL after a complaint. */
static char *choose_pool(struct cli *cli, const struct cli_command *command, const char *given)
{
	const json_t *pools;
	json_t *answer = NULL;
	char *name = NULL;

	if (given)
		return strdup(given);
	if (cli_get(cli, command, "/v1/pools", &answer) != CLI_OK)
		return NULL;
	pools = cli_list(answer, "pools");
	if (json_array_size(pools) == 1)
		name = strdup(api_text(json_array_get(pools, 0), "name"));
	else
		cli_usage(command, "there are %zu pools; say which with --pool", json_array_size(pools));
	json_decref(answer);
	return name;
}

/* The guest whose name is likest to that of the disk's, which is not declared. A string to free, or NULL. */
static char *nearest_guest(struct cli *cli, const struct cli_command *command, const char *guest,
			   bool *ret_declared)
{
	const char *names[GUESTS_MAX + 1], *nearest = NULL;
	const json_t *list, *one;
	json_t *answer = NULL;
	size_t index, count = 0;
	char *found = NULL;

	*ret_declared = cli_get(cli, command, "/v1/guests", &answer) != CLI_OK;
	list = answer ? cli_list(answer, "guests") : NULL;
	json_array_foreach(list, index, one)
	{
		bool declared = api_flag(one, "declared");

		if (declared && strcmp(api_text(one, "name"), guest) == 0)
			*ret_declared = true;
		else if (declared && count < GUESTS_MAX)
			names[count++] = api_text(one, "name");
	}
	names[count] = NULL;
	nearest = cli_nearest(guest, names);
	if (nearest && !*ret_declared)
		found = strdup(nearest);
	json_decref(answer);
	return found;
}

/* A name that was mistyped makes a disk, too: so it is said that there is a new one. */
static void tell_made(struct cli *cli, const struct cli_command *command, const char *name, const char *pool,
		      uint64_t size_bytes)
{
	char size[TEXT_NUMBER_MAX], guest[DISK_GUEST_MAX];
	bool declared;
	char *nearest;

	snprintf(guest, sizeof(guest), "%.*s", (int)strcspn(name, "/"), name);
	nearest = nearest_guest(cli, command, guest, &declared);
	fprintf(stderr, "viaduct disk import: made disk %s (%s) in pool %s", name,
		text_size(size, size_bytes), pool);
	if (!declared)
		fprintf(stderr, "; guest %s is not declared%s%s%s", guest, nearest ? "; did you mean " : "",
			nearest ? nearest : "", nearest ? "?" : "");
	fputc('\n', stderr);
	free(nearest);
}

/* The disk when it is there. CLI_OK and *ret_disk NULL when it is not. */
static int find_disk(struct cli *cli, const struct cli_command *command, const char *name, json_t **ret_disk)
{
	struct api_client *client;
	char *path = cli_api_path("/v1/disks", name);
	int result = CLI_OK, error = api_client_create(cli->runtime_dir, &client);

	if (error) {
		result = cli_fail(command, "%s: %s", cli->runtime_dir, strerror(-error));
	} else {
		error = api_call(client, "GET", path, NULL, ret_disk);
		if (error && error != -ENOENT)
			result = cli_fail(command, "%s", api_client_error(client));
		api_client_destroy(client);
	}
	free(path);
	if (result == CLI_OK && *ret_disk && api_flag(*ret_disk, "connected")) {
		json_decref(*ret_disk);
		*ret_disk = NULL;
		return cli_fail(command, "%s is in use; stop its guest first", name);
	}
	return result;
}

static int create_disk(struct cli *cli, const struct cli_command *command, const char *name, const char *pool,
		       uint64_t size_bytes, json_t **ret_disk)
{
	json_t *there = NULL;
	char *chosen = choose_pool(cli, command, pool);
	int error, result = CLI_FAILED;

	if (chosen)
		result = cli_call(cli, command, "POST", "/v1/disks",
				  json_pack("{s:s, s:s, s:I}", "name", name, "pool", chosen, "size_bytes",
					    (json_int_t)size_bytes),
				  ret_disk, &error);
	if (result == CLI_OK)
		tell_made(cli, command, name, chosen, size_bytes);
	else if (chosen && error == -EBUSY && find_disk(cli, command, name, &there) == CLI_OK && there)
		fprintf(stderr, "viaduct disk import: --overwrite fills the disk that is there\n");
	json_decref(there);
	free(chosen);
	return result;
}

static void delete_again(struct cli *cli, const struct cli_command *command, const char *name)
{
	struct api_client *client = NULL;
	char *path = cli_api_path("/v1/disks", name);
	int error = api_client_create(cli->runtime_dir, &client);

	for (int i = 0; client && i < DELETE_TRIES; i++) {
		error = api_call(client, "DELETE", path, NULL, NULL);
		if (error != -EBUSY)
			break;
		usleep(DELETE_WAIT_US);
	}
	if (error)
		cli_fail(command, "%s is incomplete and could not be deleted: %s", name,
			 client ? api_client_error(client) : strerror(-error));
	else
		cli_fail(command, "%s was deleted again", name);
	api_client_destroy(client);
	free(path);
}

static int parse_timeout(const struct cli_command *command, const char *text, unsigned *ret_seconds)
{
	char *end = NULL;
	unsigned long seconds = text ? strtoul(text, &end, 10) : 0;

	if (text && (*text < '0' || *text > '9' || *end != '\0' || seconds == 0 || seconds > TIMEOUT_MAX_S))
		return cli_usage(command, "--timeout: \"%s\" is no number of seconds from 1 to %u", text,
				 TIMEOUT_MAX_S);
	*ret_seconds = (unsigned)seconds;
	return CLI_OK;
}

static int parse(struct cli *cli, const struct cli_command *command, int argc, char **argv,
		 struct import_options *options, struct cli_arguments *arguments)
{
	const struct cli_option table[] = {
		{ "pool", &options->pool, NULL },
		{ "size", &options->size, NULL },
		{ "format", &options->image.format, NULL },
		{ "timeout", &options->timeout, NULL },
		{ "overwrite", NULL, &options->overwrite },
		{ "backing-chain", NULL, &options->image.backing_chain },
		{ 0 },
	};
	int result = cli_parse(cli, command, argc, argv, table, 2, 2, arguments);

	if (result == CLI_OK)
		result = disk_name_check(command, arguments->words[0]);
	if (result == CLI_OK)
		result = parse_timeout(command, options->timeout, &options->image.patience_s);
	return result;
}

/* The disk's size: --size, which may not be less than the image. */
static int choose_size(const struct cli_command *command, const struct import_options *options,
		       uint64_t image_bytes, uint64_t *ret_bytes)
{
	char text[TEXT_NUMBER_MAX];
	int result;

	*ret_bytes = image_bytes;
	if (!options->size)
		return CLI_OK;
	result = cli_parse_size(command, "--size", options->size, ret_bytes);
	if (result == CLI_OK && *ret_bytes < image_bytes)
		return cli_usage(command, "--size %s: the image has %s", options->size,
				 text_size(text, image_bytes));
	return result;
}

/* The disk to fill, with room for what the image claims to hold: nothing is unpacked before that is sure. */
static int prepare_disk(struct cli *cli, const struct cli_command *command, const char *name,
			const struct import_options *options, const struct image_source *source,
			json_t **ret_disk, bool *ret_created)
{
	uint64_t size_bytes;
	int result = choose_size(command, options, source->size_bytes, &size_bytes);

	if (result == CLI_OK && options->overwrite)
		result = find_disk(cli, command, name, ret_disk);
	if (result == CLI_OK && *ret_disk && api_number(*ret_disk, "size_bytes") < source->size_bytes)
		return too_small(command, name, api_number(*ret_disk, "size_bytes"), source);
	if (result == CLI_OK && !*ret_disk) {
		result = create_disk(cli, command, name, options->pool, size_bytes, ret_disk);
		*ret_created = result == CLI_OK;
	}
	return result;
}

static int import(struct cli *cli, const struct cli_command *command, const char *name,
		  const struct import_options *options, struct image_source *source)
{
	json_t *disk = NULL;
	bool created = false, touched = false;
	int result = prepare_disk(cli, command, name, options, source, &disk, &created);

	if (result == CLI_OK)
		result = image_unpack(command, source);
	if (result == CLI_OK) {
		const struct stream_target target = stream_target_of(disk);

		touched = true;
		result = fill(command, name, &target, source, !created);
	}
	if (result != CLI_OK && created)
		delete_again(cli, command, name);
	else if (result != CLI_OK && touched)
		cli_fail(command, "%s now holds a part of the image only", name);
	else if (result == CLI_OK && cli->json)
		cli_print_json(disk);
	json_decref(disk);
	return result;
}

int command_disk_import(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	struct import_options options = { 0 };
	struct cli_arguments arguments;
	struct image_source source;
	int result = parse(cli, command, argc, argv, &options, &arguments);

	if (result != CLI_OK)
		return result;
	stream_catch_signals();
	result = image_open(command, arguments.words[1], &options.image, &source);
	if (result != CLI_OK)
		return result;
	result = import(cli, command, arguments.words[0], &options, &source);
	close(source.fd);
	return result;
}
