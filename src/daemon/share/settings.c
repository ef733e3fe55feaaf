/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/share/settings.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config/config_values.h"
#include "daemon/base/state.h"

static const char head[] =
	"# Made at run time by viaductd; overrides its configuration. Change it with `viaduct disk set`,\n"
	"# `viaduct guest set` and `viaduct group set`; `KEY=default` takes a line out.\n";

const char *share_kind_text(enum share_kind kind)
{
	static const char *const texts[SHARE_KINDS] = { "group", "guest", "disk" };

	return texts[kind];
}

struct setting *settings_find(struct setting *list, enum share_kind kind, const char *name)
{
	while (list && (list->kind != kind || strcmp(list->name, name) != 0))
		list = list->next;
	return list;
}

void settings_free(struct setting *list)
{
	while (list) {
		struct setting *next = list->next;

		free(list);
		list = next;
	}
}

/* ---- reading ---- */

static bool is_share_key(const struct config_section *section, const struct config_key *key)
{
	for (unsigned i = 0; i < SHARE_KEYS; i++) {
		if (config_share_key(section, i) == key)
			return true;
	}
	return false;
}

/* Other keys and other sections have no business here. */
static void complain_foreign(const struct config_object *object, struct config_messages *messages)
{
	for (unsigned i = 0; i < object->section->key_count; i++) {
		const struct config_key *key = &object->section->keys[i];

		if (object->key_line[i] > 0 && !is_share_key(object->section, key))
			config_message(messages, object->key_file[i], object->key_line[i],
				       "%s cannot be set at run time; set it in the configuration",
				       key->name);
	}
}

static struct setting *setting_from(const struct config_object *object, enum share_kind kind)
{
	struct setting *setting = calloc(1, sizeof(*setting));
	const char *file;

	if (!setting)
		return NULL;
	setting->kind = kind;
	snprintf(setting->name, sizeof(setting->name), "%s", object->name);
	setting->share = config_share_of(object->section, object);
	for (unsigned i = 0; i < SHARE_KEYS; i++)
		setting->given[i] = config_share_line(object, i, &file) > 0;
	return setting;
}

static struct setting *from_config(const struct config *config, struct config_messages *messages)
{
	const struct config_object *lists[SHARE_KINDS] = { config_groups(config), config_guests(config),
							   config_disks(config) };
	struct setting *list = NULL, **end = &list;

	complain_foreign(config_list(config, &config_section_daemon), messages);
	for (const struct config_object *pool = config_pools(config); pool; pool = pool->next)
		config_message(messages, pool->file, pool->line, "a pool cannot be set at run time");
	for (unsigned kind = 0; kind < SHARE_KINDS; kind++) {
		for (const struct config_object *object = lists[kind]; object; object = object->next) {
			complain_foreign(object, messages);
			*end = setting_from(object, kind);
			if (*end)
				end = &(*end)->next;
			else
				config_message(messages, NULL, 0, "out of memory");
		}
	}
	return list;
}

struct setting *settings_parse(const char *file, const char *bytes, size_t length,
			       struct config_messages *messages)
{
	struct config *config = config_create();
	struct setting *list;

	if (!config) {
		config_message(messages, NULL, 0, "out of memory");
		return NULL;
	}
	config_parse(config, file, bytes, length, messages);
	list = from_config(config, messages);
	config_destroy(config);
	if (messages->count > 0) {
		settings_free(list);
		return NULL;
	}
	return list;
}

struct setting *settings_load(const char *state_dir, struct config_messages *messages)
{
	char path[PATH_MAX], bad[PATH_MAX];
	struct setting *list;
	size_t length;
	char *bytes;
	int error = state_read(state_dir, SETTINGS_FILE, &bytes, &length);

	if (error == -ENOENT)
		return NULL;
	snprintf(path, sizeof(path), "%s/" SETTINGS_FILE, state_dir);
	snprintf(bad, sizeof(bad), "%s/" SETTINGS_FILE ".bad", state_dir);
	if (error) {
		config_message(messages, path, 0, "cannot be read: %s", strerror(-error));
		return NULL;
	}
	list = settings_parse(path, bytes, length, messages);
	free(bytes);
	if (messages->count > 0 && rename(path, bad) == 0)
		config_message(messages, path, 0, "is not used, and kept as %s", bad);
	return list;
}

/* ---- writing ---- */

void settings_print(const struct setting *list, FILE *out)
{
	fputs(head, out);
	for (; list; list = list->next) {
		const struct config_section *section = config_section_find(share_kind_text(list->kind));

		fprintf(out, "\n[%s %s]\n", section->name, list->name);
		for (unsigned i = 0; i < SHARE_KEYS; i++) {
			char size[VALUE_SIZE_TEXT];

			if (!list->given[i])
				continue;
			if (config_share_key(section, i)->type == CONFIG_SIZE)
				fprintf(out, "%s = %s\n", config_share_key(section, i)->name,
					value_format_size(list->share.value[i], size));
			else
				fprintf(out, "%s = %llu\n", config_share_key(section, i)->name,
					(unsigned long long)list->share.value[i]);
		}
	}
}

int settings_save(const char *state_dir, const struct setting *list)
{
	char *bytes = NULL;
	size_t length = 0;
	FILE *out;
	int error;

	if (!state_dir)
		return 0;
	out = open_memstream(&bytes, &length);
	if (!out)
		return -ENOMEM;
	settings_print(list, out);
	error = fclose(out) == 0 ? state_write(state_dir, SETTINGS_FILE, bytes, length, true) : -ENOMEM;
	free(bytes);
	return error;
}
