/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was set at run time (`viaduct disk set` and its like) and holds over restarts: STATE/settings.conf, in
 * the syntax of the configuration, with the keys of shares only. It overrides the configuration key by key.
 */
#ifndef VIADUCT_DAEMON_SHARE_SETTINGS_H
#define VIADUCT_DAEMON_SHARE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "daemon/config/config.h"

#define SETTINGS_FILE "settings.conf"

/* What a share belongs to. */
enum share_kind { SHARE_OF_GROUP, SHARE_OF_GUEST, SHARE_OF_DISK, SHARE_KINDS };

/* "group", "guest", "disk": as in the configuration. */
const char *share_kind_text(enum share_kind kind);

struct setting {
	struct setting *next;
	enum share_kind kind;
	char name[CONFIG_NAME_SIZE];
	bool given[SHARE_KEYS];
	struct share_settings share; /* where given */
};

/* NULL: nothing was set. */
struct setting *settings_find(struct setting *list, enum share_kind kind, const char *name);

/* Pure. Any mistake: NULL, and at least one message in *messages; `file` is for those. */
struct setting *settings_parse(const char *file, const char *bytes, size_t length,
			       struct config_messages *messages);
void settings_print(const struct setting *list, FILE *out);
void settings_free(struct setting *list);

/*
 * A file that is not there is an empty list. Mistakes: as settings_parse(); the file is kept as
 * settings.conf.bad.
 */
struct setting *settings_load(const char *state_dir, struct config_messages *messages);
/* Returns 0 or -errno. state_dir NULL: keeps nothing. */
int settings_save(const char *state_dir, const struct setting *list);

#endif
