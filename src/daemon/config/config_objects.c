/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The objects that a configuration holds: finding, naming and comparing them. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "daemon/config/config.h"
#include "daemon/config/config_values.h"

const char *config_title(const struct config_object *object, char buffer[CONFIG_TITLE_SIZE])
{
	snprintf(buffer, CONFIG_TITLE_SIZE, "[%s%s%s]", object->section->name, object->name[0] ? " " : "",
		 object->name);
	return buffer;
}

bool config_split_name(const char *name, char guest[CONFIG_GUEST_MAX + 1], const char **ret_rest)
{
	const char *slash = strchr(name, '/');

	if (!slash || !value_is_name(name, (size_t)(slash - name), CONFIG_GUEST_MAX) ||
	    !value_is_name(slash + 1, strlen(slash + 1), CONFIG_NAME_SIZE - 1 - CONFIG_GUEST_MAX - 1))
		return false;
	snprintf(guest, CONFIG_GUEST_MAX + 1, "%.*s", (int)(slash - name), name);
	*ret_rest = slash + 1;
	return true;
}

unsigned config_section_index(const struct config_section *section)
{
	unsigned index = 0;

	while (config_sections[index] != section) {
		assert(config_sections[index]);
		index++;
	}
	assert(index < CONFIG_SECTIONS_MAX);
	return index;
}

struct config_object *config_list(const struct config *config, const struct config_section *section)
{
	return config->lists[config_section_index(section)];
}

struct config_object *config_find(struct config_object *list, const char *name)
{
	while (list && strcmp(list->name, name) != 0)
		list = list->next;
	return list;
}

const struct config_daemon *config_daemon(const struct config *config)
{
	return (const struct config_daemon *)config_list(config, &config_section_daemon);
}

bool config_key_is_text(const struct config_key *key)
{
	return key->type == CONFIG_TEXT || key->type == CONFIG_PATH || key->type == CONFIG_SERIAL;
}

bool config_key_is(const struct config_key *key, const char *name)
{
	return strcmp(key->name, name) == 0 || (key->old_name && strcmp(key->old_name, name) == 0);
}

static bool same_value(const struct config_object *a, const struct config_object *b,
		       const struct config_key *key)
{
	const void *one = (const char *)a + key->offset, *other = (const char *)b + key->offset;

	if (config_key_is_text(key)) {
		const char *text = *(char *const *)one, *other_text = *(char *const *)other;

		return text && other_text ? strcmp(text, other_text) == 0 : text == other_text;
	}
	switch (key->type) {
	case CONFIG_BOOLEAN:
		return *(const bool *)one == *(const bool *)other;
	case CONFIG_CHOICE:
	case CONFIG_MODE:
		return *(const unsigned *)one == *(const unsigned *)other;
	default:
		return *(const uint64_t *)one == *(const uint64_t *)other;
	}
}

bool config_differs(const struct config_object *a, const struct config_object *b)
{
	if (!a || !b)
		return a || b;
	assert(a->section == b->section);
	for (unsigned i = 0; i < a->section->key_count; i++) {
		const struct config_key *key = &a->section->keys[i];

		if (!key->live && !same_value(a, b, key))
			return true;
	}
	return false;
}
