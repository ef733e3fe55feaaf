/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Seats and displays as users name them. */
#ifndef VIADUCT_CLI_SEAT_SEAT_NAMES_H
#define VIADUCT_CLI_SEAT_SEAT_NAMES_H

#include <jansson.h>

#include "cli/cli.h"

/*
 * The display of a seat that `word` names: "alice/0", "alice" when that guest has one, or "none", which is
 * null. Returns CLI_OK with *ret_display (to be freed), or CLI_FAILED after the reason was printed.
 */
int seat_display_find(struct cli *cli, const struct cli_command *command, const char *seat, const char *word,
		      json_t **ret_display);

/*
 * What has a picture and is called so: a seat, or a guest's display. Returns CLI_OK with the path of its
 * picture in the API (to be freed), and whether it is shown at present, or CLI_FAILED.
 */
int seat_picture_path(struct cli *cli, const struct cli_command *command, const char *word, char **ret_path,
		      bool *ret_shown);

#endif
