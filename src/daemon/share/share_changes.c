/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shares that are changed at run time: what was set is kept, and comes before the configuration. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "daemon/base/daemon.h"
#include "daemon/share/shares_private.h"

/* Takes the setting of (kind, name) out of the list. */
static struct setting *take_setting(struct daemon *daemon, enum share_kind kind, const char *name)
{
	struct setting **link = &daemon->settings, *taken;

	while (*link && ((*link)->kind != kind || strcmp((*link)->name, name) != 0))
		link = &(*link)->next;
	taken = *link;
	if (taken) {
		*link = taken->next;
		taken->next = NULL;
	}
	return taken;
}

static void put_setting(struct daemon *daemon, struct setting *setting)
{
	struct setting **link = &daemon->settings;

	if (!setting)
		return;
	while (*link)
		link = &(*link)->next;
	*link = setting;
}

/* A copy of `old` (may be NULL) with the change in it. */
static struct setting *changed_setting(enum share_kind kind, const char *name, const struct setting *old,
				       const struct share_change *change)
{
	struct setting *new = calloc(1, sizeof(*new));

	if (!new)
		return NULL;
	if (old)
		*new = *old;
	new->next = NULL;
	new->kind = kind;
	snprintf(new->name, sizeof(new->name), "%s", name);
	for (unsigned i = 0; i < SHARE_KEYS; i++) {
		if (!change->changed[i])
			continue;
		new->given[i] = change->given[i];
		new->share.value[i] = change->share.value[i];
	}
	return new;
}

static bool says_something(const struct setting *setting)
{
	bool any = false;

	for (unsigned i = 0; i < SHARE_KEYS; i++)
		any = any || setting->given[i];
	return any;
}

/* A reservation is granted on every physical disk, or refused. */
static int reserve(struct daemon *daemon, enum share_kind kind, const char *name, struct error *error)
{
	const struct share_settings settings = share_wanted(daemon, kind, name);

	for (struct share_gate *gate = daemon->gates; gate; gate = gate->next) {
		struct share_node *node = share_node_find(gate, kind, name);
		struct error why = { .text = "" };
		int code = node ? gate_node_set(node->node, &settings, &why) : 0;

		if (code)
			return error_set(error, code == -EINVAL ? -EINVAL : -EBUSY, "%s %s on %s: %s",
					 share_kind_text(kind), name, gate->path, why.text);
	}
	return 0;
}

static int check_wanted(const struct daemon *daemon, enum share_kind kind, const char *name,
			struct error *error)
{
	const struct config_section *section = config_section_find(share_kind_text(kind));
	const struct share_settings wanted = share_wanted(daemon, kind, name);
	enum share_key limit, reservation;

	if (!config_share_contradicts(&wanted, &limit, &reservation))
		return 0;
	return error_set(
		error, -EINVAL,
		"%s of %s would be below its %s (%llu and %llu); set both, or raise the limit first",
		config_share_key(section, limit)->name, name, config_share_key(section, reservation)->name,
		(unsigned long long)wanted.value[limit], (unsigned long long)wanted.value[reservation]);
}

/* With the change in the list of settings: makes it true and keeps it. */
static int carry_out(struct daemon *daemon, enum share_kind kind, const char *name,
		     const struct share_change *change, struct error *error)
{
	int code = check_wanted(daemon, kind, name, error);

	if (!code && (change->changed[SHARE_MIN_IOPS] || change->changed[SHARE_MIN_BANDWIDTH]))
		code = reserve(daemon, kind, name, error);
	if (code)
		return code;
	share_settle(daemon, kind, name);	/* at once; the disk with the settings may be slow */
	code = settings_save(daemon->state_dir, daemon->settings);
	if (code)
		return error_set(error, -EIO, "the settings cannot be kept in %s/%s: %s; nothing was changed",
				 daemon->state_dir, SETTINGS_FILE, strerror(-code));
	return 0;
}

int share_set(struct daemon *daemon, enum share_kind kind, const char *name,
	      const struct share_change *change, struct error *error)
{
	struct setting *old = take_setting(daemon, kind, name);
	struct setting *new = changed_setting(kind, name, old, change);
	int code;

	if (!new) {
		put_setting(daemon, old);
		return error_set(error, -ENOMEM, "out of memory");
	}
	if (says_something(new)) {
		put_setting(daemon, new);
	} else {
		free(new);
		new = NULL;
	}
	code = carry_out(daemon, kind, name, change, error);
	if (code) {
		free(take_setting(daemon, kind, name));
		put_setting(daemon, old);
		shares_update(daemon);	/* back to what it was */
	} else {
		free(old);
		log_info(NULL, "%s %s: its share was changed at run time", share_kind_text(kind), name);
		shares_settle_refused(daemon);
	}
	return code;
}

void share_settings_move(struct daemon *daemon, const char *disk, const char *new_name)
{
	struct setting *setting = take_setting(daemon, SHARE_OF_DISK, disk);
	int error;

	if (!setting)
		return;
	if (new_name) {
		snprintf(setting->name, sizeof(setting->name), "%s", new_name);
		put_setting(daemon, setting);
	} else {
		free(setting);
	}
	error = settings_save(daemon->state_dir, daemon->settings);
	if (error)
		log_error(NULL, "%s/%s: cannot be written: %s", daemon->state_dir, SETTINGS_FILE,
			  strerror(-error));
}

void share_settings_load(struct daemon *daemon)
{
	struct config_messages messages = { .count = 0 };

	daemon->settings = settings_load(daemon->state_dir, &messages);
	for (unsigned i = 0; i < messages.kept; i++)
		log_error(NULL, "%s", messages.text[i]);
	config_messages_finish(&messages);
}
