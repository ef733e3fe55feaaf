/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much of the file system the daemon reaches. What it opens, and when, is known from the configuration at
 * the start, so it gives up all other files then (core/file_rules.h): before it makes a thread, because the
 * rules bind what is made later, and before it opens a device, so that they bind root's part of the start,
 * too.
 *
 *   read and write   the directories of all paths of the configuration, of the sockets and of the state; /dev
 *   read             the directories of the configuration, and of files that it names and that are only read
 *                    (config_key.reads); /etc, /usr, /lib, /proc, /sys; where accounts and
 *                    name servers are kept below /run and /var/lib
 *
 * A path that a reload brings is reached if it lies in one of the first.
 */
#ifndef VIADUCT_DAEMON_BASE_REACH_H
#define VIADUCT_DAEMON_BASE_REACH_H

#include <stdbool.h>

struct config;
struct error;
struct reach;

struct reach_options {
	const struct config *config;
	const char *runtime_dir, *state_dir;
};

/*
 * Binds the calling thread, and all that it makes, for good. Returns 0 and *ret_reach, to be destroyed, or
 * NULL for it: the kernel has no Landlock, which is logged. Otherwise -errno with *error.
 */
int reach_restrict(const struct reach_options *options, struct reach **ret_reach, struct error *error);

/*
 * May the file be opened, or made, if its permissions allow it? What is refused is answered with EACCES.
 * `reach` may be NULL: then every file may.
 */
bool reach_has(const struct reach *reach, const char *path);
/* What to tell of one that is refused, behind its path. */
#define REACH_REFUSAL                                                                                        \
	"is in a directory that the sandbox of this start does not reach; restart, or take over with "       \
	"viaductd --takeover"

void reach_destroy(struct reach *reach);

#endif
