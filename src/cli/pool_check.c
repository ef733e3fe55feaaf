/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `viaduct pool check`: opens the pool's file or device itself, read-only, while the daemon does not hold it. */
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arbiter/pool.h"
#include "cli/commands.h"
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

static int find_path(const struct cli_command *command, const char *pool, const char *config, struct lookup *lookup)
{
	*lookup = (struct lookup){ 0 };
	if (strchr(pool, '/') || access(pool, F_OK) == 0) {
		snprintf(lookup->path, sizeof(lookup->path), "%s", pool);
		return CLI_OK;
	}
	snprintf(lookup->section, sizeof(lookup->section), "pool %s", pool);
	if (ini_parse(config, look_at_line, lookup) < 0)
		return cli_fail(command, "%s: %s; name the pool's file or device instead, or --config FILE", config,
				strerror(errno));
	if (lookup->path[0] == '\0')
		return cli_fail(command, "%s has no [pool %s] with a path; name the file or device itself", config, pool);
	return CLI_OK;
}

/* ---- the check ---- */

struct report {
	bool colour;
	unsigned findings;
};

static void print_finding(void *context, const struct pool_finding *finding)
{
	static const char *const word[] = { "note", "repaired", "DAMAGE" };
	static const enum table_style style[] = { TABLE_DIM, TABLE_WARNING, TABLE_BAD };
	struct report *report = context;
	int severity = finding->severity < 0 ? 0 : finding->severity > 2 ? 2 : finding->severity;

	report->findings++;
	printf("%s%-8s%s at %#llx: %s\n", table_style_begin(style[severity], report->colour), word[severity],
	       table_style_end(report->colour), (unsigned long long)finding->offset_bytes, finding->text);
}

static int open_failed(const struct cli_command *command, const char *path, int error)
{
	if (error == -EBUSY)
		return cli_fail(command,
				"%s is in use: a running daemon holds it (or the host has it mounted). Stop the daemon "
				"first; `viaduct pool show` looks at a pool in use",
				path);
	if (error == -ENOTBLK)
		return cli_fail(command, "%s is neither a file nor a block device", path);
	return cli_fail(command, "%s: %s", path, strerror(-error));
}

int command_pool_check(struct cli *cli, const struct cli_command *command, int argc, char **argv)
{
	const char *config = CONFIG_DEFAULT;
	const struct cli_option options[] = { { "--config", &config, NULL }, { 0 } };
	struct report report = { .colour = cli->colour };
	struct disk_uring_options disk_options = { .cache = HOST_DISK_CACHE_BUFFERED, .read_only = true, .lock = true };
	struct cli_arguments arguments;
	struct host_disk *disk;
	struct lookup lookup;
	int problems, result = cli_parse(cli, command, argc, argv, options, 1, 1, &arguments);

	if (result == CLI_OK)
		result = find_path(command, arguments.words[0], config, &lookup);
	if (result != CLI_OK)
		return result;
	disk_options.path = lookup.path;
	problems = disk_uring_open(&disk_options, &disk);
	if (problems < 0)
		return open_failed(command, lookup.path, problems);
	report.colour = cli->colour;
	problems = pool_check(disk, print_finding, &report);
	disk->ops->close(disk);
	if (problems < 0)
		return cli_fail(command, "%s cannot be read: %s", lookup.path, strerror(-problems));
	printf("%s: %d problem%s\n", lookup.path, problems, problems == 1 ? "" : "s");
	return problems == 0 ? CLI_OK : CLI_FAILED;
}
