/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `viaduct screenshot`: what is on a seat's screen or in a guest's window, as a PNG file. */
#include <errno.h>
#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"
#include "cli/commands.h"
#include "cli/seat/seat_names.h"

#define HEADER_MAX 64
#define SIDE_MAX   8192u

/* The daemon's answer is Netpbm's PPM: "P6", width, height, 255, then three bytes a pixel. */
struct shot {
	char header[HEADER_MAX];
	size_t header_bytes;
	unsigned width, height;
	uint8_t *pixels; /* NULL: the header is not there yet */
	size_t bytes, room;
	bool damaged;
};

static bool read_side(const char **at, unsigned *ret_side)
{
	char *end;
	unsigned long side = strtoul(*at, &end, 10);

	if (end == *at || side == 0 || side > SIDE_MAX)
		return false;
	*at = end;
	*ret_side = (unsigned)side;
	return true;
}

static void read_header(struct shot *shot)
{
	const char *at = shot->header + 2;
	unsigned newlines = 0;

	for (size_t i = 0; i < shot->header_bytes; i++)
		newlines += shot->header[i] == '\n';
	if (newlines < 3)
		return;
	if (strncmp(shot->header, "P6", 2) != 0 || !read_side(&at, &shot->width) ||
	    !read_side(&at, &shot->height)) {
		shot->damaged = true;
		return;
	}
	shot->room = (size_t)shot->width * shot->height * 3;
	shot->pixels = malloc(shot->room);
	shot->damaged = !shot->pixels;
}

static bool take(void *context, const uint8_t *bytes, size_t count)
{
	struct shot *shot = context;

	while (count > 0 && !shot->pixels && !shot->damaged) {
		if (shot->header_bytes == HEADER_MAX - 1) {
			shot->damaged = true;
			break;
		}
		shot->header[shot->header_bytes++] = (char)*bytes++;
		count--;
		read_header(shot);
	}
	if (count > shot->room - shot->bytes)
		shot->damaged = true;
	if (shot->damaged || count == 0)
		return !shot->damaged;
	memcpy(shot->pixels + shot->bytes, bytes, count);
	shot->bytes += count;
	return true;
}

/* "-": standard output. */
static int write_png(const struct cli_command *command, const struct shot *shot, const char *file)
{
	png_image image = { .version = PNG_IMAGE_VERSION,
			    .width = shot->width,
			    .height = shot->height,
			    .format = PNG_FORMAT_RGB };
	bool to_stdout = strcmp(file, "-") == 0;
	FILE *out = to_stdout ? stdout : fopen(file, "wb");
	bool written, is_file;
	struct stat info;

	if (!out)
		return cli_fail(command, "%s: %s", file, strerror(errno));
	written = png_image_write_to_stdio(&image, out, 0, shot->pixels, 0, NULL) && fflush(out) == 0;
	is_file = !to_stdout && fstat(fileno(out), &info) == 0 && S_ISREG(info.st_mode);
	if (!to_stdout && fclose(out) != 0)
		written = false;
	if (!written) {
		if (is_file)
			unlink(file);
		return cli_fail(command, "%s: %s", file, image.message[0] ? image.message : strerror(errno));
	}
	if (!to_stdout)
		printf("%s: %u x %u pixels\n", file, shot->width, shot->height);
	return CLI_OK;
}

static int fetch(struct cli *cli, const struct cli_command *command, const char *path, struct shot *shot)
{
	struct api_client *client = NULL;
	json_t *body = json_object();
	int result = CLI_OK;

	if (api_client_create(cli->runtime_dir, &client)) {
		json_decref(body);
		return cli_fail(command, "%s: this path is too long for a socket", cli->runtime_dir);
	}
	if (api_stream(client, path, body, -1, take, shot))
		result = cli_fail(command, "%s", api_client_error(client));
	else if (shot->damaged || !shot->pixels || shot->bytes < shot->room)
		result = cli_fail(command, "the daemon's answer is no picture");
	api_client_destroy(client);
	json_decref(body);
	return result;
}

/* "alice/0" becomes "alice-0.png". */
static char *default_file(const char *word)
{
	char *file = NULL;

	if (asprintf(&file, "%s.png", word) < 0)
		abort();
	for (char *at = file; *at; at++)
		*at = *at == '/' ? '-' : *at;
	return file;
}

int command_screenshot(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	const char *output = NULL;
	const struct cli_option options[] = { { "o", &output, NULL }, { "output", &output, NULL }, { 0 } };
	struct cli_arguments arguments;
	struct shot shot = { .pixels = NULL };
	int result = cli_parse(cli, command, argc, argv, options, 1, 1, &arguments);
	char *path = NULL, *picture = NULL, *file = NULL;
	bool shown = true;

	if (result != CLI_OK)
		return result;
	if (cli->json)
		return cli_usage(command, "there is no JSON of a picture");
	if (output && strcmp(output, "-") == 0 && isatty(STDOUT_FILENO))
		return cli_usage(command, "-o -: this would fill the terminal with binary");
	result = seat_picture_path(cli, command, arguments.words[0], &path, &shown);
	if (result == CLI_OK && !shown)
		fprintf(stderr,
			"viaduct screenshot: %s shows nothing now; this is what it showed last, if ever\n",
			arguments.words[0]);
	if (result == CLI_OK && asprintf(&picture, "%s/picture", path) < 0)
		abort();
	if (result == CLI_OK)
		result = fetch(cli, command, picture, &shot);
	if (result == CLI_OK && !output)
		file = default_file(arguments.words[0]);
	if (result == CLI_OK)
		result = write_png(command, &shot, output ? output : file);
	free(shot.pixels);
	free(file);
	free(picture);
	free(path);
	return result;
}
