/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands that list what the control API has: a table with a row each, or with --json the answer itself. */
#ifndef VIADUCT_CLI_LISTING_H
#define VIADUCT_CLI_LISTING_H

#include <jansson.h>

#include "cli/cli.h"
#include "cli/table.h"

struct listing {
	const char *path; /* of the API */
	const char *key;  /* the array in the answer */
	const struct table_column *columns;
	size_t column_count;
	void (*row)(struct table *table, const json_t *object);
	const char *kind; /* only devices of it; NULL: all */
};

/* Takes no words. Returns what the command does. */
int listing_run(struct cli *cli, const struct cli_command *command, int argc, char **argv,
		const struct listing *listing);

#endif
