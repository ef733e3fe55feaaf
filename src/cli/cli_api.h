/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control API as the commands use it: one call, and the sentence on stderr when it fails. */
#ifndef VIADUCT_CLI_CLI_API_H
#define VIADUCT_CLI_CLI_API_H

#include <jansson.h>

#include "cli/cli.h"

/*
 * Calls the daemon of cli->runtime_dir. `body` is taken (NULL: none). Returns CLI_OK and *ret_answer (owned
 * by the caller; may be NULL), or CLI_FAILED after the reason was printed; *ret_errno (may be NULL) tells
 * which.
 */
int cli_call(struct cli *cli, const struct cli_command *command, const char *method, const char *path,
	     json_t *body, json_t **ret_answer, int *ret_errno);

/* GET. */
int cli_get(struct cli *cli, const struct cli_command *command, const char *path, json_t **ret_answer);

/* "PREFIX/NAME" with NAME's odd characters escaped ('/' stays). Returns the path, to be freed. */
char *cli_api_path(const char *prefix, const char *name);

/* Prints an answer as it came, indented. Returns CLI_OK. */
int cli_print_json(const json_t *json);

/* The array `key` of an answer, or the answer itself when that is the array. */
const json_t *cli_list(const json_t *answer, const char *key);

#endif
