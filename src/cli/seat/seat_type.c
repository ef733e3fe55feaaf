/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `viaduct seat type` and `paste`: text as if it were typed at the seat's keyboard. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"
#include "cli/commands.h"
#include "cli/seat/seat_names.h"

/* What the API takes in one body, with room for what JSON escapes. */
#define TEXT_MAX      30000u
#define LOOK_AGAIN_NS 50000000L

/* Standard input, to its end. A string to free, or NULL after the reason was printed. */
static char *read_text(const struct cli_command *command)
{
	char *text = malloc(TEXT_MAX + 1);
	size_t length = text ? fread(text, 1, TEXT_MAX + 1, stdin) : 0;

	if (!text)
		abort();
	if (length > TEXT_MAX || memchr(text, '\0', length)) {
		cli_fail(command,
			 length > TEXT_MAX ? "standard input: more than %u bytes"
					   : "standard input: not a text",
			 TEXT_MAX);
		free(text);
		return NULL;
	}
	text[length] = '\0';
	return text;
}

/* Until nothing waits to be typed; an answer of the seat is taken, and the last is given back. */
static int wait_for_end(struct cli *cli, const struct cli_command *command, const char *path, json_t **answer)
{
	const struct timespec look_again = { .tv_nsec = LOOK_AGAIN_NS };
	int result = CLI_OK;

	while (result == CLI_OK && api_number(*answer, "typing") > 0) {
		json_decref(*answer);
		*answer = NULL;
		nanosleep(&look_again, NULL);
		result = cli_get(cli, command, path, answer);
	}
	return result;
}

/* verb: of the API, which begins to type. Takes the body. */
static int type(struct cli *cli, const struct cli_command *command, const char *seat, const char *verb,
		json_t *body)
{
	char *path = cli_api_path("/v1/seats", seat), *typing = NULL;
	json_t *answer = NULL;
	uint64_t dropped = 0;
	int result;

	if (asprintf(&typing, "%s/%s", path, verb) < 0)
		abort();
	result = cli_call(cli, command, "POST", typing, body, &answer, NULL);
	if (result == CLI_OK) {
		dropped = api_number(answer, "dropped");
		result = wait_for_end(cli, command, path, &answer);
	}
	if (result == CLI_OK && api_number(answer, "dropped") > dropped)
		result = cli_fail(command, "the keyboard went to another: %llu strokes were not typed",
				  (unsigned long long)(api_number(answer, "dropped") - dropped));
	json_decref(answer);
	free(typing);
	free(path);
	return result;
}

int command_seat_type(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	const char *display = NULL;
	bool enter = false;
	const struct cli_option options[] = { { "to", &display, NULL }, { "enter", NULL, &enter }, { 0 } };
	struct cli_arguments arguments;
	json_t *body, *to = NULL;
	char *text = NULL, *whole = NULL;
	int result = cli_parse(cli, command, argc, argv, options, 2, 2, &arguments);

	if (result == CLI_OK && display)
		result = seat_display_find(cli, command, arguments.words[0], display, &to);
	if (result == CLI_OK && strcmp(arguments.words[1], "-") == 0) {
		text = read_text(command);
		result = text ? CLI_OK : CLI_FAILED;
	}
	if (result != CLI_OK) {
		json_decref(to);
		return result;
	}
	if (asprintf(&whole, "%s%s", text ? text : arguments.words[1], enter ? "\n" : "") < 0)
		abort();
	body = json_pack("{s:s}", "text", whole);
	if (body && to)
		json_object_set(body, "display", to);
	if (body)
		result = type(cli, command, arguments.words[0], "type", body);
	else
		result = cli_fail(command, "the text is not UTF-8");
	json_decref(to);
	free(whole);
	free(text);
	return result;
}

int command_seat_paste(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	const char *display = NULL;
	const struct cli_option options[] = { { "to", &display, NULL }, { 0 } };
	struct cli_arguments arguments;
	json_t *body, *to = NULL;
	int result = cli_parse(cli, command, argc, argv, options, 1, 1, &arguments);

	if (result == CLI_OK && display)
		result = seat_display_find(cli, command, arguments.words[0], display, &to);
	if (result != CLI_OK)
		return result;
	body = json_object();
	if (to)
		json_object_set_new(body, "display", to);
	return type(cli, command, arguments.words[0], "paste", body);
}
