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
	"# `viaduct nic set`, `viaduct guest set` and `viaduct group set`; `KEY=default` takes a line out.\n";

const char *share_kind_text(enum share_kind kind)
{
	static const char *const texts[SHARE_KINDS] = { "group", "guest", "disk", "nic" };

	return texts[kind];
}

const struct config_section *share_section(enum share_kind kind)
{
	return config_section_find(share_kind_text(kind));
}

struct setting *settings_find(struct setting *list, enum share_kind kind, const char *name)
{
	while (list && (list->kind != kind || strcmp(list->name, name) != 0))
		list = list->next;
	return list;
}

bool setting_has_part(const struct setting *setting, enum share_resource resource)
{
	bool any = false;

	for (unsigned i = 0; setting && i < SHARE_KEYS; i++)
		any = any || setting->part[resource].given[i];
	return any;
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

static bool has_shares(const struct config_section *section)
{
	bool any = false;

	for (unsigned resource = 0; resource < SHARE_RESOURCES; resource++)
		any = any || config_has_share(section, resource);
	return any;
}

/* Other keys and other sections have no business here. */
static void complain_foreign(const struct config_object *object, struct config_messages *messages)
{
	for (unsigned i = 0; i < object->section->key_count; i++) {
		const struct config_key *key = &object->section->keys[i];

		if (object->key_line[i] > 0 && !key->is_share)
			config_message(messages, object->key_file[i], object->key_line[i],
				       "%s cannot be set at run time; set it in the configuration",
				       key->name);
	}
}

/* [daemon] is always there. */
static void complain_sections(const struct config *config, struct config_messages *messages)
{
	complain_foreign(config_list(config, &config_section_daemon), messages);
	for (unsigned i = 1; config_sections[i]; i++) {
		const struct config_object *object = has_shares(config_sections[i]) ? NULL : config->lists[i];

		for (; object; object = object->next)
			config_message(messages, object->file, object->line,
				       "a %s cannot be set at run time", config_sections[i]->name);
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
	for (unsigned resource = 0; resource < SHARE_RESOURCES; resource++) {
		struct setting_part *part = &setting->part[resource];

		part->share = config_share_of(object->section, resource, object);
		for (unsigned i = 0; i < SHARE_KEYS; i++)
			part->given[i] = config_share_line(object, resource, i, &file) > 0;
	}
	return setting;
}

static struct setting *from_config(const struct config *config, struct config_messages *messages)
{
	struct setting *list = NULL, **end = &list;

	complain_sections(config, messages);
	for (unsigned kind = 0; kind < SHARE_KINDS; kind++) {
		const struct config_section *section = share_section(kind);
		const struct config_object *object = section ? config_list(config, section) : NULL;

		for (; object; object = object->next) {
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

static void print_part(const struct setting *setting, enum share_resource resource, FILE *out)
{
	const struct setting_part *part = &setting->part[resource];

	for (unsigned i = 0; i < SHARE_KEYS; i++) {
		const struct config_key *key = config_share_key(share_section(setting->kind), resource, i);
		char size[VALUE_SIZE_TEXT];

		if (!part->given[i])
			continue;
		if (key->type == CONFIG_SIZE)
			fprintf(out, "%s = %s\n", key->name, value_format_size(part->share.value[i], size));
		else
			fprintf(out, "%s = %llu\n", key->name, (unsigned long long)part->share.value[i]);
	}
}

void settings_print(const struct setting *list, FILE *out)
{
	fputs(head, out);
	for (; list; list = list->next) {
		fprintf(out, "\n[%s %s]\n", share_kind_text(list->kind), list->name);
		for (unsigned resource = 0; resource < SHARE_RESOURCES; resource++)
			print_part(list, resource, out);
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
