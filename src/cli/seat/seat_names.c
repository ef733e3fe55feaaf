/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/seat/seat_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"

/* Is it the display's name, or its guest's? */
static bool is_called(const char *display, const char *word)
{
	size_t length = strlen(word);

	return strcmp(display, word) == 0 ||
	       (!strchr(word, '/') && strncmp(display, word, length) == 0 && display[length] == '/');
}

/* The first display of the seat that is called so; NULL: none. *ret_count: how many are. */
static const char *display_of(const json_t *seat, const char *word, unsigned *ret_count)
{
	const char *found = NULL;
	const json_t *display;
	size_t index;

	*ret_count = 0;
	json_array_foreach(json_object_get(seat, "displays"), index, display)
	{
		const char *name = api_text(display, "display");

		if (!is_called(name, word))
			continue;
		++*ret_count;
		if (!found)
			found = name;
	}
	return found;
}

int seat_display_find(struct cli *cli, const struct cli_command *command, const char *seat, const char *word,
		      json_t **ret_display)
{
	char *path = cli_api_path("/v1/seats", seat);
	json_t *answer;
	const char *found;
	unsigned count;
	int result = cli_get(cli, command, path, &answer);

	free(path);
	if (result != CLI_OK)
		return result;
	found = display_of(answer, word, &count);
	if (count > 1)
		result = cli_fail(command, "%s has %u displays on %s; name one of them, as %s", word, count,
				  seat, found);
	else if (!found && strcmp(word, "none") != 0)
		result = cli_fail(command, "%s has no display of %s; `viaduct seat show %s` lists them", seat,
				  word, seat);
	else
		*ret_display = found ? json_string(found) : json_null();
	json_decref(answer);
	return result;
}

static bool is_shown(const json_t *seat, const char *name)
{
	const json_t *display;
	size_t index;

	json_array_foreach(json_object_get(seat, "displays"), index, display)
	{
		if (strcmp(api_text(display, "display"), name) == 0)
			return api_flag(display, "shown");
	}
	return false;
}

int seat_picture_path(struct cli *cli, const struct cli_command *command, const char *word, char **ret_path,
		      bool *ret_shown)
{
	const json_t *list, *seat;
	json_t *answer;
	size_t index;
	int result = cli_get(cli, command, "/v1/seats", &answer);

	if (result != CLI_OK)
		return result;
	*ret_path = NULL;
	*ret_shown = true;
	list = cli_list(answer, "seats");
	json_array_foreach(list, index, seat)
	{
		unsigned count;
		const char *display = display_of(seat, word, &count);

		if (strcmp(api_text(seat, "name"), word) == 0) {
			*ret_path = cli_api_path("/v1/seats", word);
			*ret_shown = true;
		} else if (display && !*ret_path) {
			*ret_path = cli_api_path("/v1/displays", display);
			*ret_shown = is_shown(seat, display);
		}
	}
	if (!*ret_path)
		result = cli_fail(command,
				  "there is no seat %s, and no guest of that name with a display; `viaduct "
				  "seat list` lists seats",
				  word);
	json_decref(answer);
	return result;
}
