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
enum share_kind { SHARE_OF_GROUP, SHARE_OF_GUEST, SHARE_OF_DISK, SHARE_OF_NIC, SHARE_KINDS };

/* One share. A disk has one of SHARE_DISKS and a card one of SHARE_NICS, a group or guest one of each. */
struct share_id {
	enum share_kind kind;
	enum share_resource resource;
	const char *name;
};

/* "group", "guest", "disk", "nic": as in the configuration. */
const char *share_kind_text(enum share_kind kind);
/* The section of that name; NULL: there is none. */
const struct config_section *share_section(enum share_kind kind);

/* What was set of one object, of its share of each resource. */
struct setting {
	struct setting *next;
	enum share_kind kind;
	char name[CONFIG_NAME_SIZE];
	struct setting_part {
		bool given[SHARE_KEYS];
		struct share_settings share; /* where given */
	} part[SHARE_RESOURCES];
};

/* NULL: nothing was set. */
struct setting *settings_find(struct setting *list, enum share_kind kind, const char *name);

/* Was anything set of its share of the resource? `setting` may be NULL. */
bool setting_has_part(const struct setting *setting, enum share_resource resource);

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
