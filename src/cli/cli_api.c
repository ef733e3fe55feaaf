/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cli_api.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api_client.h"

int cli_call(struct cli *cli, const struct cli_command *command, const char *method, const char *path,
	     json_t *body, json_t **ret_answer, int *ret_errno)
{
	struct api_client *client = NULL;
	int error = api_client_create(cli->runtime_dir, &client);

	if (error) {
		cli_fail(command, "%s: %s", cli->runtime_dir,
			 error == -ENAMETOOLONG ? "this path is too long for a socket" : strerror(-error));
	} else {
		error = api_call(client, method, path, body, ret_answer);
		if (error)
			cli_fail(command, "%s", api_client_error(client));
	}
	api_client_destroy(client);
	json_decref(body);
	if (ret_errno)
		*ret_errno = error;
	return error ? CLI_FAILED : CLI_OK;
}

int cli_get(struct cli *cli, const struct cli_command *command, const char *path, json_t **ret_answer)
{
	return cli_call(cli, command, "GET", path, NULL, ret_answer, NULL);
}

char *cli_api_path(const char *prefix, const char *name)
{
	size_t length = strlen(prefix);
	char *path = malloc(length + 2 + 3 * strlen(name));

	if (!path)
		abort();
	length = (size_t)sprintf(path, "%s/", prefix);
	for (; *name; name++) {
		bool plain = isalnum((unsigned char)*name) || strchr("._-/", *name);

		length += (size_t)sprintf(path + length, plain ? "%c" : "%%%02X", (unsigned char)*name);
	}
	return path;
}

int cli_print_json(const json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY);
	putchar('\n');
	return CLI_OK;
}

const json_t *cli_list(const json_t *answer, const char *key)
{
	return json_is_array(answer) ? answer : json_object_get(answer, key);
}
