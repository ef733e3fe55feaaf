/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `viaduct pool check`: opens the pool's file or device itself, read-only, while the daemon does not hold it.
 */
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arbiter/pool/pool.h"
#include "cli/commands.h"
#include "cli/pool/pool_check.h"
#include "cli/table.h"
#include "host/host_disk.h"

#define CONFIG_DEFAULT "/etc/viaduct/viaduct.conf"

/* ---- POOL: its path, from the configuration ---- */

struct lookup {
	char section[160];
	char path[CLI_PATH_MAX];
};

static int look_at_line(void *context, const char *section, const char *name, const char *value)
{
	struct lookup *lookup = context;

	if (strcmp(section, lookup->section) == 0 && strcmp(name, "path") == 0)
		snprintf(lookup->path, sizeof(lookup->path), "%s", value);
	return 1;
}

static int find_path(const struct cli_command *command, const char *pool, const char *config,
		     struct lookup *lookup)
{
	*lookup = (struct lookup){ 0 };
	if (strchr(pool, '/') || access(pool, F_OK) == 0) {
		snprintf(lookup->path, sizeof(lookup->path), "%s", pool);
		return CLI_OK;
	}
	snprintf(lookup->section, sizeof(lookup->section), "pool %s", pool);
	if (ini_parse(config, look_at_line, lookup) < 0)
		return cli_fail(command, "%s: %s; name the pool's file or device instead, or --config FILE",
				config, strerror(errno));
	if (lookup->path[0] == '\0')
		return cli_fail(command, "%s has no [pool %s] with a path; name the file or device itself",
				config, pool);
	return CLI_OK;
}

/* ---- the check ---- */

struct relay {
	pool_check_report *report;
	void *context;
};

static void relay_finding(void *context, const struct pool_finding *finding)
{
	struct relay *relay = context;

	relay->report(relay->context, finding->severity, finding->offset_bytes, finding->text);
}

int pool_check_file(const char *path, pool_check_report *report, void *context, bool *ret_opened)
{
	const struct disk_uring_options options = {
		.path = path, .cache = HOST_DISK_CACHE_BUFFERED, .read_only = true, .lock = true,
	};
	struct relay relay = { .report = report, .context = context };
	struct host_disk *disk;
	int problems = disk_uring_open(&options, &disk);

	*ret_opened = problems == 0;
	if (problems < 0)
		return problems;
	problems = pool_check(disk, relay_finding, &relay);
	disk->ops->close(disk);
	return problems;
}

static void print_finding(void *context, int severity, uint64_t offset_bytes, const char *text)
{
	static const char *const word[] = { "note", "repaired", "DAMAGE" };
	static const enum table_style style[] = { TABLE_DIM, TABLE_WARNING, TABLE_BAD };
	const bool *colour = context;
	int kind = severity < 0 ? 0 : severity > 2 ? 2 : severity;

	printf("%s%-8s%s at %#llx: %s\n", table_style_begin(style[kind], *colour), word[kind],
	       table_style_end(*colour), (unsigned long long)offset_bytes, text);
}

static int open_failed(const struct cli_command *command, const char *path, int error)
{
	if (error == -EBUSY)
		return cli_fail(command,
				"%s is in use: a running daemon holds it (or the host has it mounted). Stop "
				"the daemon first; `viaduct pool show` looks at a pool in use",
				path);
	if (error == -ENOTBLK)
		return cli_fail(command, "%s is neither a file nor a block device", path);
	return cli_fail(command, "%s: %s", path, strerror(-error));
}

int command_pool_check(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	const char *config = CONFIG_DEFAULT;
	const struct cli_option options[] = { { "config", &config, NULL }, { 0 } };
	struct cli_arguments arguments;
	struct lookup lookup;
	bool opened;
	int problems, result = cli_parse(cli, command, argc, argv, options, 1, 1, &arguments);

	if (result == CLI_OK)
		result = find_path(command, arguments.words[0], config, &lookup);
	if (result != CLI_OK)
		return result;
	problems = pool_check_file(lookup.path, print_finding, &cli->colour, &opened);
	if (!opened)
		return open_failed(command, lookup.path, problems);
	if (problems < 0)
		return cli_fail(command, "%s cannot be read: %s", lookup.path, strerror(-problems));
	printf("%s: %d problem%s\n", lookup.path, problems, problems == 1 ? "" : "s");
	return problems == 0 ? CLI_OK : CLI_FAILED;
}
