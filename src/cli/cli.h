/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every command of `viaduct` gets: the global options, and the means to parse its own arguments, to say
 * what went wrong and to end with the right exit code.
 */
#ifndef VIADUCT_CLI_CLI_H
#define VIADUCT_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cli_exit { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

#define CLI_PATH_MAX 4096

struct cli {
	char runtime_dir[CLI_PATH_MAX];
	bool json;		/* print the API's JSON instead of a table */
	bool colour;		/* standard output is a terminal, and --no-color was not given */
	bool runtime_dir_given;
};

struct cli_command {
	const char *name;	/* "disk create" */
	const char *usage;	/* "GUEST/NAME --pool POOL --size SIZE" */
	const char *help;	/* one line */
	const char *details;	/* more lines for `viaduct help`, or NULL */
	/* argv without the command's words. Returns an exit code. */
	int (*run)(struct cli *cli, const struct cli_command *command, int argc, char **argv);
};

/* The commands, ended by a zero entry. */
extern const struct cli_command cli_commands[];

/* ---- arguments ---- */

/* Exactly one of value and flag is set. */
struct cli_option {
	const char *name;	/* without its dashes: "size", or one letter */
	const char **value;
	bool *flag;
};

/* A guest, and each setting of its shares. */
#define CLI_WORDS_MAX 16

struct cli_arguments {
	const char *words[CLI_WORDS_MAX];	/* those that are not options */
	int count;
	char **rest;		/* after "--" */
	int rest_count;
};

/*
 * Parses options (before, between and after words), the global ones included, until "--". `options` is ended
 * by a zero entry. Returns CLI_OK, or CLI_USAGE after it said on stderr what is wrong and what would be
 * right.
 */
int cli_parse(struct cli *cli, const struct cli_command *command, int argc, char **argv,
	      const struct cli_option *options, int words_min, int words_max,
	      struct cli_arguments *ret_arguments);

/* A size option's value in bytes; says what is wrong. Returns CLI_OK or CLI_USAGE. */
int cli_parse_size(const struct cli_command *command, const char *option, const char *text,
		   uint64_t *ret_bytes);

/* ---- words ---- */

/* "viaduct COMMAND: …" on stderr. Returns CLI_FAILED. `command` may be NULL. */
int cli_fail(const struct cli_command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The same with the command's usage line below. Returns CLI_USAGE. */
int cli_usage(const struct cli_command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Of `names` (ended by NULL), the nearest to `word` when it is near enough to be a typo; else NULL. */
const char *cli_nearest(const char *word, const char *const *names);

/* Columns of the terminal on `fd`; 0 when it is none. */
size_t cli_terminal_width(int fd);

/* ---- the daemon ---- */

/* The runtime directory when none is given: see viaduct(1). */
void cli_default_runtime_dir(char path[CLI_PATH_MAX]);

/*
 * Where a program of ours is: beside the running one, in the build tree, else in PATH. Returns 0 or -ENOENT.
 */
int cli_find_program(const char *name, char path[CLI_PATH_MAX]);

#endif
