/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which consoles there are. */
#ifndef VIADUCT_CLI_CONSOLE_CONSOLE_NAMES_H
#define VIADUCT_CLI_CONSOLE_CONSOLE_NAMES_H

#include "cli/cli.h"

#define CONSOLE_NAME_SIZE 256

/* "alice/0" of "alice", which has one, or of "alice/0". Says what is wrong. Returns CLI_OK or CLI_FAILED. */
int console_name_find(struct cli *cli, const struct cli_command *command, const char *word,
		      char ret_name[CONSOLE_NAME_SIZE]);
/* The table of all. */
int console_list(struct cli *cli, const struct cli_command *command, int argc, char **argv);

#endif
