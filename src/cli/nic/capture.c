/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `viaduct capture`: the daemon streams pcapng, which is written as it comes, or told in lines. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"
#include "cli/commands.h"
#include "cli/nic/capture_line.h"
#include "core/pcapng.h"

struct capture {
	const struct cli_command *command;
	const char *file; /* of -w; NULL: lines on standard output */
	uint64_t limit;	  /* frames; 0: none */
	FILE *out;
	uint64_t frames, lost;
	int error; /* of writing; 0 or -errno */
	bool damaged;
	size_t bytes; /* in the buffer: the beginning of a block */
	uint8_t buffer[2 * PCAPNG_BLOCK_MAX];
};

/* ---- what comes ---- */

/* Returns false after the reason was remembered. */
static bool open_output(struct capture *capture)
{
	int fd;

	if (!capture->file || strcmp(capture->file, "-") == 0) {
		capture->out = stdout;
		return true;
	}
	/* A guest's traffic is nobody else's business. */
	fd = open(capture->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	capture->out = fd >= 0 ? fdopen(fd, "wb") : NULL;
	if (!capture->out)
		capture->error = -errno;
	return capture->out != NULL;
}

static void show(struct capture *capture, const struct pcapng_frame *frame)
{
	if (frame->lost_before > 0)
		fprintf(capture->out, "-- %llu frames lost --\n", (unsigned long long)frame->lost_before);
	capture_line_print(capture->out, frame);
}

static void take_block(struct capture *capture, const struct pcapng_block *block, const uint8_t *bytes,
		       size_t count)
{
	switch (block->kind) {
	case PCAPNG_FRAME:
		capture->frames++;
		capture->lost += block->frame.lost_before;
		if (!capture->file)
			show(capture, &block->frame);
		break;
	case PCAPNG_COUNTS:
		/* Those that were lost behind the last frame are told here first. */
		if (block->counts.lost > capture->lost)
			capture->lost = block->counts.lost;
		return;
	default:
		break;
	}
	if (capture->file)
		fwrite(bytes, 1, count, capture->out);
}

static bool is_over(const struct capture *capture)
{
	return capture->error || capture->damaged || (capture->limit && capture->frames == capture->limit);
}

/* Takes the whole blocks that the buffer holds. */
static void take_blocks(struct capture *capture)
{
	size_t done = 0;
	struct pcapng_block block;
	long length = 1;

	while (length > 0 && !is_over(capture)) {
		length = pcapng_read(capture->buffer + done, capture->bytes - done, &block);
		if (length > 0) {
			take_block(capture, &block, capture->buffer + done, (size_t)length);
			done += (size_t)length;
		}
		capture->damaged = length < 0;
	}
	capture->bytes -= done;
	memmove(capture->buffer, capture->buffer + done, capture->bytes);
}

static bool take(void *context, const uint8_t *bytes, size_t count)
{
	struct capture *capture = context;

	if (!capture->out && !open_output(capture))
		return false;
	while (count > 0 && !is_over(capture)) {
		size_t room = sizeof(capture->buffer) - capture->bytes, part = count < room ? count : room;

		memcpy(capture->buffer + capture->bytes, bytes, part);
		capture->bytes += part;
		bytes += part;
		count -= part;
		take_blocks(capture);
	}
	/* Who looks on sees each frame at once. */
	if (fflush(capture->out) != 0)
		capture->error = -errno;
	return !is_over(capture);
}

/* ---- the end ---- */

/* The counts are the last block of a file. */
static void write_counts(struct capture *capture)
{
	struct pcapng_counts counts = { .frames = capture->frames, .lost = capture->lost };
	struct timespec now;
	uint8_t block[256];

	clock_gettime(CLOCK_REALTIME, &now);
	counts.time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	fwrite(block, 1, pcapng_write_counts(block, sizeof(block), &counts), capture->out);
}

static int close_output(struct capture *capture)
{
	const char *name =
		capture->file && strcmp(capture->file, "-") != 0 ? capture->file : "standard output";

	if (capture->out && capture->file && !capture->error)
		write_counts(capture);
	if (capture->out && fflush(capture->out) != 0 && !capture->error)
		capture->error = -errno;
	if (capture->out && capture->out != stdout)
		fclose(capture->out);
	/* A reader that has seen enough, as head(1), is no failure. */
	if (capture->error && capture->error != -EPIPE)
		return cli_fail(capture->command, "%s: %s", name, strerror(-capture->error));
	if (capture->damaged)
		return cli_fail(capture->command, "the daemon's answer is no pcapng");
	return CLI_OK;
}

static int finish(struct capture *capture, const char *failure, const char *gone)
{
	bool begun = capture->out != NULL;
	int result = close_output(capture);

	if (gone)
		fprintf(stderr, "%s does not exist any more\n", gone);
	if (begun)
		fprintf(stderr, "%llu frames captured, %llu lost because the reader was too slow\n",
			(unsigned long long)capture->frames, (unsigned long long)capture->lost);
	return failure ? cli_fail(capture->command, "%s", failure) : result;
}

/* Readable when the user or the system ends the program. */
static int watch_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static bool signal_came(int signals)
{
	struct signalfd_siginfo info;

	return read(signals, &info, sizeof(info)) == sizeof(info);
}

static int run(struct cli *cli, struct capture *capture, const char *name, uint64_t snap_bytes)
{
	char *prefix = cli_api_path(strchr(name, '/') ? "/v1/nics" : "/v1/switches", name);
	json_t *body = json_pack("{s:I}", "snap_bytes", (json_int_t)snap_bytes);
	struct api_client *client = NULL;
	int signals = watch_signals(), error = api_client_create(cli->runtime_dir, &client), result;
	char *path = NULL;

	if (error || signals < 0 || !body || asprintf(&path, "%s/capture", prefix) < 0) {
		result = cli_fail(capture->command, "%s: %s", cli->runtime_dir,
				  error == -ENAMETOOLONG ? "this path is too long for a socket"
							 : "out of memory");
	} else {
		error = api_stream(client, path, body, signals, take, capture);
		result = finish(capture, error ? api_client_error(client) : NULL,
				error || is_over(capture) || signal_came(signals) ? NULL : name);
	}
	api_client_destroy(client);
	json_decref(body);
	if (signals >= 0)
		close(signals);
	free(path);
	free(prefix);
	return result;
}

/* A whole number from 1 to `most`. Returns CLI_OK or CLI_USAGE. */
static int parse_number(const struct cli_command *command, const char *option, const char *text,
			unsigned long long most, uint64_t *ret_number)
{
	char *end;
	unsigned long long number;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno || *end || end == text || text[0] == '-' || number == 0 || number > most)
		return cli_usage(command, "%s: \"%s\" is no whole number from 1 to %llu", option, text, most);
	*ret_number = number;
	return CLI_OK;
}

int command_capture(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	const char *file = NULL, *count = NULL, *snap = NULL;
	const struct cli_option options[] = { { "w", &file, NULL },
					      { "write", &file, NULL },
					      { "c", &count, NULL },
					      { "count", &count, NULL },
					      { "s", &snap, NULL },
					      { "snap", &snap, NULL },
					      { 0 } };
	struct cli_arguments arguments;
	struct capture *capture;
	uint64_t limit = 0, snap_bytes = 0;
	int result = cli_parse(cli, command, argc, argv, options, 1, 1, &arguments);

	if (result == CLI_OK && count)
		result = parse_number(command, "-c", count, UINT64_MAX, &limit);
	if (result == CLI_OK && snap)
		result = parse_number(command, "-s", snap, PCAPNG_SNAP_ALL, &snap_bytes);
	if (result != CLI_OK)
		return result;
	if (cli->json)
		return cli_usage(
			command,
			"there is no JSON of frames; -w - writes pcapng, which tshark -T json reads");
	if (file && strcmp(file, "-") == 0 && isatty(STDOUT_FILENO))
		return cli_usage(command,
				 "-w -: this would fill the terminal with binary; try | tshark -r -");
	capture = calloc(1, sizeof(*capture));
	if (!capture)
		return cli_fail(command, "out of memory");
	capture->command = command;
	capture->file = file;
	capture->limit = limit;
	result = run(cli, capture, arguments.words[0], snap_bytes);
	free(capture);
	return result;
}
