/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/text.h"

static void complain(const struct cli_command *command, const char *format, va_list arguments)
{
	fflush(stdout);
	fprintf(stderr, "viaduct%s%s: ", command ? " " : "", command ? command->name : "");
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
}

int cli_fail(const struct cli_command *command, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain(command, format, arguments);
	va_end(arguments);
	return CLI_FAILED;
}

int cli_usage(const struct cli_command *command, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	complain(command, format, arguments);
	va_end(arguments);
	if (command)
		fprintf(stderr, "usage: viaduct %s %s\n", command->name, command->usage);
	else
		fputs("`viaduct help` lists the commands\n", stderr);
	return CLI_USAGE;
}

const char *cli_nearest(const char *word, const char *const *names)
{
	const char *nearest = NULL;
	unsigned best = (unsigned)strlen(word) / 3 + 1;

	for (; *names; names++) {
		unsigned distance = text_distance(word, *names);

		if (distance <= best && (!nearest || distance < best)) {
			best = distance;
			nearest = *names;
		}
	}
	return nearest;
}

size_t cli_terminal_width(int fd)
{
	struct winsize size;

	if (!isatty(fd))
		return 0;
	return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* ---- arguments ---- */

/* Options that every command has. Values go to these until cli_parse() hands them on. */
struct global_values {
	const char *runtime_dir;
	bool json, no_color;
};

#define OPTIONS_MAX 24

static const struct cli_option *find_option(const struct cli_option *options, const char *name, size_t length)
{
	for (; options->name; options++) {
		if (strlen(options->name) == length && strncmp(options->name, name, length) == 0)
			return options;
	}
	return NULL;
}

static const char *dashes(const char *name)
{
	return name[1] ? "--" : "-";
}

static int unknown_option(const struct cli_command *command, const struct cli_option *options,
			  const char *name)
{
	const char *names[OPTIONS_MAX + 1], *nearest;
	size_t count = 0;

	for (; options->name && count < OPTIONS_MAX; options++)
		names[count++] = options->name;
	names[count] = NULL;
	nearest = cli_nearest(name + strspn(name, "-"), names);
	if (nearest)
		return cli_usage(command, "unknown option %s; did you mean %s%s?", name, dashes(nearest),
				 nearest);
	return cli_usage(command, "unknown option %s", name);
}

/* Takes argv[*index] as an option, and its value from it or from the next argument. */
static int parse_option(const struct cli_command *command, const struct cli_option *options, int argc,
			char **argv, int *index)
{
	const char *argument = argv[*index], *equals = strchr(argument, '=');
	size_t length = equals ? (size_t)(equals - argument) : strlen(argument);
	const struct cli_option *option = NULL;

	if (length > 2 && argument[1] == '-')
		option = find_option(options, argument + 2, length - 2);
	else if (length == 2)
		option = find_option(options, argument + 1, 1);
	if (!option)
		return unknown_option(command, options, argument);
	if (option->flag) {
		if (equals)
			return cli_usage(command, "%s%s takes no value", dashes(option->name), option->name);
		*option->flag = true;
		return CLI_OK;
	}
	if (!equals && *index + 1 >= argc)
		return cli_usage(command, "%s%s needs a value", dashes(option->name), option->name);
	*option->value = equals ? equals + 1 : argv[++*index];
	return CLI_OK;
}

/* Joins the command's options and the global ones. */
static void all_options(struct cli_option *all, const struct cli_option *options,
			struct global_values *values)
{
	const struct cli_option global[] = {
		{ "runtime-dir", &values->runtime_dir, NULL },
		{ "json", NULL, &values->json },
		{ "no-color", NULL, &values->no_color },
	};
	size_t count = 0;

	for (; options && options->name && count < OPTIONS_MAX - 4; options++)
		all[count++] = *options;
	for (size_t i = 0; i < sizeof(global) / sizeof(global[0]); i++)
		all[count++] = global[i];
	all[count] = (struct cli_option){ 0 };
}

static int apply_global(struct cli *cli, const struct cli_command *command,
			const struct global_values *values)
{
	if (values->runtime_dir) {
		if (snprintf(cli->runtime_dir, sizeof(cli->runtime_dir), "%s", values->runtime_dir) >=
		    (int)sizeof(cli->runtime_dir))
			return cli_usage(command, "--runtime-dir: this path is too long");
		cli->runtime_dir_given = true;
	}
	cli->json |= values->json;
	cli->colour &= !values->no_color;
	return CLI_OK;
}

static int check_word_count(const struct cli_command *command, const struct cli_arguments *arguments,
			    int words_min, int words_max)
{
	if (arguments->count < words_min)
		return cli_usage(command, arguments->count == 0 ? "an argument is missing" :
								  "something is missing after \"%s\"",
				 arguments->count == 0 ? "" : arguments->words[arguments->count - 1]);
	if (arguments->count > words_max)
		return cli_usage(command, "\"%s\" is one argument too many", arguments->words[words_max]);
	return CLI_OK;
}

int cli_parse(struct cli *cli, const struct cli_command *command, int argc, char **argv,
	      const struct cli_option *options, int words_min, int words_max,
	      struct cli_arguments *ret_arguments)
{
	struct global_values values = { 0 };
	struct cli_arguments arguments = { 0 };
	struct cli_option all[OPTIONS_MAX];
	int result;

	all_options(all, options, &values);
	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0) {
			arguments.rest = argv + i + 1;
			arguments.rest_count = argc - i - 1;
			break;
		}
		if (argv[i][0] == '-' && argv[i][1] != '\0') {
			result = parse_option(command, all, argc, argv, &i);
			if (result != CLI_OK)
				return result;
		} else if (arguments.count < CLI_WORDS_MAX) {
			arguments.words[arguments.count++] = argv[i];
		}
	}
	result = check_word_count(command, &arguments, words_min, words_max);
	if (result == CLI_OK)
		result = apply_global(cli, command, &values);
	if (result == CLI_OK)
		*ret_arguments = arguments;
	return result;
}

int cli_parse_size(const struct cli_command *command, const char *option, const char *text,
		   uint64_t *ret_bytes)
{
	int error = text_size_parse(text, ret_bytes);

	if (error == -ERANGE)
		return cli_usage(command, "%s: \"%s\" is too large", option, text);
	if (error)
		return cli_usage(command, "%s: \"%s\" is not a size; write bytes, or 512K, 64M, 8G, 1.5T",
				 option, text);
	return CLI_OK;
}

/* ---- the daemon ---- */

static bool has_api(const char *directory)
{
	char path[CLI_PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s/api.sock", directory);
	return access(path, F_OK) == 0;
}

void cli_default_runtime_dir(char path[CLI_PATH_MAX])
{
	const char *user_dir = getenv("XDG_RUNTIME_DIR");

	snprintf(path, CLI_PATH_MAX, "/run/viaduct");
	if (geteuid() == 0 || !user_dir || user_dir[0] != '/')
		return;
	/* A plain user's own daemon first; the host's when only that one runs. */
	snprintf(path, CLI_PATH_MAX, "%s/viaduct", user_dir);
	if (!has_api(path) && has_api("/run/viaduct"))
		snprintf(path, CLI_PATH_MAX, "/run/viaduct");
}

static bool is_program(const char *path)
{
	return access(path, X_OK) == 0;
}

static int find_in_path(const char *name, char path[CLI_PATH_MAX])
{
	const char *directories = getenv("PATH");

	while (directories && *directories) {
		size_t length = strcspn(directories, ":");

		if (length > 0 &&
		    snprintf(path, CLI_PATH_MAX, "%.*s/%s", (int)length, directories, name) < CLI_PATH_MAX &&
		    is_program(path))
			return 0;
		directories += length + (directories[length] == ':');
	}
	return -ENOENT;
}

int cli_find_program(const char *name, char path[CLI_PATH_MAX])
{
	/* Installed side by side; then as the build tree has them. */
	static const char *const relative[] = {
		"", "../daemon/", "../../../tools/", "../lib/viaduct/", "../libexec/viaduct/"
	};
	char self[CLI_PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (length > 0) {
		self[length] = '\0';
		*strrchr(self, '/') = '\0';
		for (size_t i = 0; i < sizeof(relative) / sizeof(relative[0]); i++) {
			if (snprintf(path, CLI_PATH_MAX, "%s/%s%s", self, relative[i], name) < CLI_PATH_MAX &&
			    is_program(path))
				return 0;
		}
	}
	return find_in_path(name, path);
}
