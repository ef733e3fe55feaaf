/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state directory: small files of what outlives the daemon, and unlike those of the runtime directory
 * also the host's restart. One daemon has it at a time. A file is replaced as a whole: after a crash it is
 * the old or the new.
 */
#ifndef VIADUCT_DAEMON_BASE_STATE_H
#define VIADUCT_DAEMON_BASE_STATE_H

#include <stdbool.h>
#include <stddef.h>

struct config;

/*
 * From the configuration, the service manager ($STATE_DIRECTORY), or the default. A string to free, or NULL.
 */
char *state_directory(const struct config *config);

/* Makes it, with its parents, and gives it to the user of the configuration. 0 or -errno. */
int state_directory_make(const struct config *config, const char *directory);

/* Returns 0 and bytes to free; -ENOENT: there is no such file (or directory is NULL), or another -errno. */
int state_read(const char *directory, const char *name, char **ret_bytes, size_t *ret_length);

/* `durable`: waits until it survives the host's crash too. 0 or -errno, and the old file is as it was. */
int state_write(const char *directory, const char *name, const char *bytes, size_t length, bool durable);

#endif
