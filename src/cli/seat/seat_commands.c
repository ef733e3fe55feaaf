/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `viaduct seat`: what is on a shared screen, and which guest has its keyboard. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"
#include "cli/commands.h"
#include "cli/listing.h"
#include "cli/seat/seat_names.h"

/* ---- list ---- */

static const char *display_with(const json_t *seat, const char *flag)
{
	const json_t *display;
	size_t index;

	json_array_foreach(json_object_get(seat, "displays"), index, display)
	{
		if (api_flag(display, flag))
			return api_text(display, "display");
	}
	return "-";
}

static unsigned shown_displays(const json_t *seat)
{
	const json_t *display;
	unsigned count = 0;
	size_t index;

	json_array_foreach(json_object_get(seat, "displays"), index, display) count +=
		api_flag(display, "shown");
	return count;
}

static void seat_row(struct table *table, const json_t *seat)
{
	table_row(table);
	table_cell(table, TABLE_BOLD, "%s", api_text(seat, "name"));
	table_cell(table, TABLE_PLAIN, "%ux%u", (unsigned)api_number(seat, "width"),
		   (unsigned)api_number(seat, "height"));
	table_cell(table, TABLE_PLAIN, "%u", shown_displays(seat));
	table_cell(table, TABLE_PLAIN, "%u", (unsigned)api_number(seat, "viewers"));
	table_cell(table, TABLE_PLAIN, "%s", display_with(seat, "focus"));
}

int command_seat_list(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	static const struct table_column columns[] = {
		{ "SEAT", false, false },   { "SIZE", true, false },  { "WINDOWS", true, false },
		{ "VIEWERS", true, false }, { "FOCUS", false, true },
	};
	static const struct listing listing = {
		"/v1/seats", "seats", columns, sizeof(columns) / sizeof(columns[0]), seat_row, NULL,
	};

	return listing_run(cli, command, argc, argv, &listing);
}

/* ---- show ---- */

/* In the overview and on all of the screen, a picture is as large as there is room. */
static const char *scale_text(const json_t *seat, const json_t *display)
{
	if (api_flag(seat, "overview"))
		return "overview";
	return api_flag(display, "full_screen") ? "full screen" : api_text(display, "scale");
}

static void display_row(struct table *table, const json_t *seat, const json_t *display)
{
	const json_t *frame = json_object_get(display, "frame"),
		     *picture = json_object_get(display, "picture");
	bool shown = api_flag(display, "shown");

	table_row(table);
	table_cell(table, TABLE_BOLD, "%s", api_text(display, "display"));
	table_cell(table, TABLE_PLAIN, "%s",
		   api_text(display, json_object_get(display, "colour_name") ? "colour_name" : "colour"));
	table_cell(table, shown ? TABLE_GOOD : TABLE_DIM, "%s", shown ? "yes" : "no");
	table_cell(table, TABLE_PLAIN, "%s", api_flag(display, "focus") ? "yes" : "");
	table_cell(table, TABLE_PLAIN, "%ux%u", (unsigned)api_number(picture, "width"),
		   (unsigned)api_number(picture, "height"));
	table_cell(table, TABLE_PLAIN, "%s", scale_text(seat, display));
	table_cell(table, TABLE_PLAIN, "%d,%d", (int)json_integer_value(json_object_get(frame, "x")),
		   (int)json_integer_value(json_object_get(frame, "y")));
}

/* The host's own screen and devices, where the seat has them. */
static void print_hardware(const json_t *seat)
{
	const json_t *screen = json_object_get(seat, "screen"), *input = json_object_get(seat, "input"),
		     *device;
	size_t index;

	if (json_object_get(screen, "connector"))
		printf("screen: %s on %s, %ux%u at %u Hz\n", api_text(screen, "connector"),
		       api_text(screen, "card"), (unsigned)api_number(screen, "width"),
		       (unsigned)api_number(screen, "height"), (unsigned)api_number(screen, "refresh_hz"));
	else if (screen)
		printf("screen: %s, %s\n", api_text(screen, "card"),
		       strcmp(api_text(screen, "state"), "off") == 0	? "without a monitor"
		       : strcmp(api_text(screen, "state"), "lost") == 0 ? "which another program has"
									: "which cannot be opened");
	json_array_foreach(json_object_get(input, "devices"), index, device) printf(
		"%s: %s, %s\n", api_text(device, "kind"), api_text(device, "path"), api_text(device, "name"));
	if (input && index == 0)
		puts("input: no device");
	if (screen || input)
		puts("");
}

/* Where viewers cannot arrive, with the reason. */
static void print_failures(const json_t *seat)
{
	const json_t *text;
	size_t index;

	json_array_foreach(json_object_get(seat, "not_served"), index, text)
		printf("%snot served: %s\n\n",
		       strncmp(json_string_value(text), "web = ", 6) == 0 ? "console: " : "",
		       json_string_value(text));
}

/* Viewers that see one guest alone, and where others can. */
static void print_alone(const json_t *seat)
{
	const json_t *display;
	bool printed = false;
	size_t index;

	json_array_foreach(json_object_get(seat, "displays"), index, display)
	{
		unsigned viewers = (unsigned)api_number(display, "viewers");
		const json_t *socket = json_object_get(display, "vnc");

		if (!socket && viewers == 0)
			continue;
		printf("%s alone: %s%s%u viewers\n", api_text(display, "display"),
		       socket ? json_string_value(socket) : "", socket ? ", " : "", viewers);
		printed = true;
	}
	if (printed)
		puts("");
}

static void print_seat(const struct cli *cli, const json_t *seat)
{
	static const struct table_column columns[] = {
		{ "DISPLAY", false, false }, { "COLOUR", false, false }, { "SHOWN", false, false },
		{ "KEYBOARD", false, false }, { "PICTURE", true, false }, { "SCALE", true, false },
		{ "AT", true, false },
	};
	struct table *table = table_create(columns, sizeof(columns) / sizeof(columns[0]));
	const json_t *display;
	size_t index;

	printf("%s: %u x %u pixels, %u viewers\n\n", api_text(seat, "name"),
	       (unsigned)api_number(seat, "width"), (unsigned)api_number(seat, "height"),
	       (unsigned)api_number(seat, "viewers"));
	if (api_flag(seat, "overview"))
		printf("all windows are shown side by side, and no guest has the keyboard\n\n");
	if (json_object_get(seat, "console"))
		printf("console: %s\n\n", api_text(seat, "console"));
	print_failures(seat);
	print_hardware(seat);
	print_alone(seat);
	json_array_foreach(json_object_get(seat, "displays"), index, display)
		display_row(table, seat, display);
	table_print(table, stdout, cli_terminal_width(STDOUT_FILENO), cli->colour);
	table_destroy(table);
}

/* Takes the answer. */
static int show_answer(const struct cli *cli, json_t *seat)
{
	if (cli->json)
		cli_print_json(seat);
	else
		print_seat(cli, seat);
	json_decref(seat);
	return CLI_OK;
}

int command_seat_show(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	struct cli_arguments arguments;
	json_t *answer;
	int result = cli_parse(cli, command, argc, argv, NULL, 1, 1, &arguments);
	char *path;

	if (result != CLI_OK)
		return result;
	path = cli_api_path("/v1/seats", arguments.words[0]);
	result = cli_get(cli, command, path, &answer);
	free(path);
	return result == CLI_OK ? show_answer(cli, answer) : result;
}

/* ---- focus ---- */

/* Changes the seat, and shows it. Takes `body`. */
static int change(struct cli *cli, const struct cli_command *command, const char *seat, json_t *body)
{
	char *path = cli_api_path("/v1/seats", seat);
	json_t *answer;
	int result = cli_call(cli, command, "PATCH", path, body, &answer, NULL);

	free(path);
	return result == CLI_OK ? show_answer(cli, answer) : result;
}

/* What PATCH is told. `display` is taken. */
static json_t *focus_body(json_t *display, bool full_screen, bool window)
{
	json_t *body = json_pack("{s:O}", "focus", display);

	if (full_screen)
		json_object_set(body, "full_screen", display);
	else if (window)
		json_object_set_new(body, "full_screen", json_null());
	json_decref(display);
	return body;
}

int command_seat_focus(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	bool full_screen = false, window = false;
	const struct cli_option options[] = { { "full-screen", NULL, &full_screen },
					      { "window", NULL, &window },
					      { 0 } };
	struct cli_arguments arguments;
	json_t *display;
	int result = cli_parse(cli, command, argc, argv, options, 2, 2, &arguments);

	if (result != CLI_OK)
		return result;
	if (full_screen && window)
		return cli_usage(command, "--full-screen and --window contradict each other");
	result = seat_display_find(cli, command, arguments.words[0], arguments.words[1], &display);
	if (result != CLI_OK)
		return result;
	return change(cli, command, arguments.words[0], focus_body(display, full_screen, window));
}

/* ---- scale, size and overview ---- */

/* SEAT GUEST VALUE: sets `key` of the display. */
static int change_display(struct cli *cli, const struct cli_command *command, int argc, char **argv,
			  const char *key)
{
	struct cli_arguments arguments;
	json_t *display, *body;
	int result = cli_parse(cli, command, argc, argv, NULL, 3, 3, &arguments);

	if (result == CLI_OK)
		result = seat_display_find(cli, command, arguments.words[0], arguments.words[1], &display);
	if (result != CLI_OK)
		return result;
	if (json_is_null(display)) {
		json_decref(display);
		return cli_usage(command, "name a guest");
	}
	body = json_pack("{s:{s:s}}", key, json_string_value(display), arguments.words[2]);
	json_decref(display);
	return change(cli, command, arguments.words[0], body);
}

int command_seat_scale(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	return change_display(cli, command, argc, argv, "scale");
}

int command_seat_resize(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	return change_display(cli, command, argc, argv, "size");
}

int command_seat_overview(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	struct cli_arguments arguments;
	int result = cli_parse(cli, command, argc, argv, NULL, 1, 2, &arguments);
	bool off;

	if (result != CLI_OK)
		return result;
	off = arguments.words[1] && strcmp(arguments.words[1], "off") == 0;
	if (arguments.words[1] && !off && strcmp(arguments.words[1], "on") != 0)
		return cli_usage(command, "say on or off");
	return change(cli, command, arguments.words[0], json_pack("{s:b}", "overview", !off));
}
