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

static void change_part(struct setting_part *part, const struct share_change *change)
{
	for (unsigned i = 0; i < SHARE_KEYS; i++) {
		if (!change->changed[i])
			continue;
		part->given[i] = change->given[i];
		part->share.value[i] = change->share.value[i];
	}
}

/* A copy of `old` (may be NULL) with the changes in it. */
static struct setting *changed_setting(enum share_kind kind, const char *name, const struct setting *old,
				       const struct share_change changes[SHARE_RESOURCES])
{
	struct setting *new = calloc(1, sizeof(*new));

	if (!new)
		return NULL;
	if (old)
		*new = *old;
	new->next = NULL;
	new->kind = kind;
	snprintf(new->name, sizeof(new->name), "%s", name);
	for (unsigned resource = 0; resource < SHARE_RESOURCES; resource++)
		change_part(&new->part[resource], &changes[resource]);
	return new;
}

static bool says_something(const struct setting *setting)
{
	bool any = false;

	for (unsigned resource = 0; resource < SHARE_RESOURCES; resource++)
		any = any || setting_has_part(setting, resource);
	return any;
}

static bool changes_anything(const struct share_change *change)
{
	bool any = false;

	for (unsigned i = 0; i < SHARE_KEYS; i++)
		any = any || change->changed[i];
	return any;
}

/* A reservation is granted on every physical device, or refused. */
static int reserve(struct daemon *daemon, struct share_id id, struct error *error)
{
	const struct share_settings settings = share_wanted(daemon, id);

	for (struct share_gate *gate = daemon->gates; gate; gate = gate->next) {
		struct share_node *node = share_node_find(gate, id);
		struct error why = { .text = "" };
		int code = node ? gate_node_set(node->node, &settings, &why) : 0;

		if (code)
			return error_set(error, code == -EINVAL ? -EINVAL : -EBUSY, "%s %s on %s: %s",
					 share_kind_text(id.kind), id.name, gate->path, why.text);
	}
	return 0;
}

static int check_wanted(const struct daemon *daemon, struct share_id id, struct error *error)
{
	const struct config_section *section = share_section(id.kind);
	const struct share_settings wanted = share_wanted(daemon, id);
	enum share_key limit, reservation;

	if (!config_share_contradicts(&wanted, &limit, &reservation))
		return 0;
	return error_set(
		error, -EINVAL,
		"%s of %s would be below its %s (%llu and %llu); set both, or raise the limit first",
		config_share_key(section, id.resource, limit)->name, id.name,
		config_share_key(section, id.resource, reservation)->name,
		(unsigned long long)wanted.value[limit], (unsigned long long)wanted.value[reservation]);
}

static bool changes_reservation(const struct share_change *change)
{
	return change->changed[SHARE_MIN_IOPS] || change->changed[SHARE_MIN_BANDWIDTH];
}

static void settle_all(struct daemon *daemon, enum share_kind kind, const char *name)
{
	for (unsigned resource = 0; resource < SHARE_RESOURCES; resource++)
		share_settle(daemon, (struct share_id){ kind, resource, name });
}

/* With the changes in the list of settings: makes them true and keeps them. */
static int carry_out(struct daemon *daemon, enum share_kind kind, const char *name,
		     const struct share_change changes[SHARE_RESOURCES], struct error *error)
{
	struct share_id id = { .kind = kind, .name = name };
	int code = 0;

	for (id.resource = 0; id.resource < SHARE_RESOURCES && !code; id.resource++) {
		if (changes_anything(&changes[id.resource]))
			code = check_wanted(daemon, id, error);
	}
	for (id.resource = 0; id.resource < SHARE_RESOURCES && !code; id.resource++) {
		if (changes_reservation(&changes[id.resource]))
			code = reserve(daemon, id, error);
	}
	if (code)
		return code;
	settle_all(daemon, kind, name);	/* at once; the disk with the settings may be slow */
	code = settings_save(daemon->state_dir, daemon->settings);
	if (code)
		return error_set(error, -EIO, "the settings cannot be kept in %s/%s: %s; nothing was changed",
				 daemon->state_dir, SETTINGS_FILE, strerror(-code));
	return 0;
}

int shares_set(struct daemon *daemon, enum share_kind kind, const char *name,
	       const struct share_change changes[SHARE_RESOURCES], struct error *error)
{
	struct setting *old = take_setting(daemon, kind, name);
	struct setting *new = changed_setting(kind, name, old, changes);
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
	code = carry_out(daemon, kind, name, changes, error);
	if (code) {
		free(take_setting(daemon, kind, name));
		put_setting(daemon, old);
		/* Back to what it was, before another share gets what this one gave up for a moment. */
		settle_all(daemon, kind, name);
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
