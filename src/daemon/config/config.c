/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sections and keys become objects, guided by the table in config_keys.c. */
#include "daemon/config/config.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/config/config_lines.h"
#include "daemon/config/config_values.h"

/* virtio 1.2, 5.2.6: the ID string has at most 20 bytes. */
#define SERIAL_MAX 20

/* ---- messages ---- */

/* The line in a message about the same file, whose name begins `text`; 0: it is of another, or of none. */
static unsigned line_of(const char *message, const char *text, size_t file_bytes)
{
	bool same = file_bytes > 0 && strncmp(message, text, file_bytes) == 0 && message[file_bytes] == ':';

	return same ? (unsigned)strtoul(message + file_bytes + 1, NULL, 10) : 0;
}

/* Behind those about earlier lines of its file. Takes the text. */
static void insert_message(struct config_messages *messages, char *text, size_t file_bytes, unsigned line)
{
	unsigned at = messages->kept++;

	for (; line > 0 && at > 0 && line_of(messages->text[at - 1], text, file_bytes) > line; at--)
		messages->text[at] = messages->text[at - 1];
	messages->text[at] = text;
}

void config_message(struct config_messages *messages, const char *file, unsigned line, const char *format,
		    ...)
{
	char text[CONFIG_MESSAGE_MAX];
	size_t used = 0;
	va_list arguments;
	char *copy;

	messages->count++;
	if (messages->kept == CONFIG_MESSAGES_MAX)
		return;
	if (file && line > 0)
		used = (size_t)snprintf(text, sizeof(text), "%s:%u: ", file, line);
	else if (file)
		used = (size_t)snprintf(text, sizeof(text), "%s: ", file);
	if (used >= sizeof(text))
		used = sizeof(text) - 1;
	va_start(arguments, format);
	vsnprintf(text + used, sizeof(text) - used, format, arguments);
	va_end(arguments);
	copy = strdup(text);
	if (copy)
		insert_message(messages, copy, file ? strlen(file) : 0, line);
}

void config_messages_finish(struct config_messages *messages)
{
	for (unsigned i = 0; i < messages->kept; i++)
		free(messages->text[i]);
	*messages = (struct config_messages){ .count = 0 };
}

/* ---- objects ---- */

static void *value_at(struct config_object *object, const struct config_key *key)
{
	return (char *)object + key->offset;
}

static void destroy_object(struct config_object *object)
{
	for (unsigned i = 0; i < object->section->key_count; i++) {
		if (config_key_is_text(&object->section->keys[i]))
			free(*(char **)value_at(object, &object->section->keys[i]));
	}
	free(object);
}

void config_destroy(struct config *config)
{
	if (!config)
		return;
	for (unsigned i = 0; i < CONFIG_SECTIONS_MAX; i++) {
		while (config->lists[i]) {
			struct config_object *object = config->lists[i];

			config->lists[i] = object->next;
			destroy_object(object);
		}
	}
	config_messages_finish(&config->warnings);
	for (unsigned i = 0; i < config->file_count; i++)
		free(config->files[i]);
	free(config->files);
	free(config);
}

/* ---- values ---- */

/* Where a message belongs. */
struct where {
	struct config_messages *messages, *warnings;
	const char *file;
	unsigned line;
};

static int parse_choice(const struct config_key *key, const char *text, unsigned *ret_choice)
{
	for (unsigned i = 0; key->choices[i]; i++) {
		if (strcmp(key->choices[i], text) == 0) {
			*ret_choice = i;
			return 0;
		}
	}
	return -EINVAL;
}

static bool is_serial(const char *text)
{
	size_t length = strlen(text);

	for (const char *c = text; *c; c++) {
		if (*c < ' ' || *c > '~')
			return false;
	}
	return length >= 1 && length <= SERIAL_MAX;
}

/* Parses and stores; 0, -EINVAL (not such a value) or -ERANGE. */
static int store_value(struct config_object *object, const struct config_key *key, const char *text)
{
	void *value = value_at(object, key);
	uint64_t number = 0;
	int error = 0;

	switch (key->type) {
	case CONFIG_SIZE:
	case CONFIG_NUMBER:
		error = key->type == CONFIG_SIZE ? value_parse_size(text, &number)
						 : value_parse_number(text, &number);
		if (!error && (number < key->minimum || (key->maximum && number > key->maximum)))
			error = -ERANGE;
		if (!error)
			*(uint64_t *)value = number;
		return error;
	case CONFIG_BOOLEAN:
		return value_parse_boolean(text, value);
	case CONFIG_CHOICE:
		return parse_choice(key, text, value);
	case CONFIG_MODE:
		return value_parse_mode(text, value);
	case CONFIG_PATH:
		error = text[0] == '/' ? 0 : -EINVAL;
		break;
	case CONFIG_SERIAL:
		error = is_serial(text) ? 0 : -EINVAL;
		break;
	case CONFIG_TEXT:
		error = text[0] ? 0 : -EINVAL;
		break;
	}
	if (error)
		return error;
	free(*(char **)value);
	*(char **)value = strdup(text);
	return *(char **)value ? 0 : -ENOMEM;
}

static void list_choices(const struct config_key *key, char *buffer, size_t size)
{
	size_t used = 0;

	buffer[0] = '\0';
	for (unsigned i = 0; key->choices[i] && used < size; i++)
		used += (size_t)snprintf(buffer + used, size - used, "%s%s", i ? ", " : "", key->choices[i]);
}

static void complain_range(const struct where *where, const struct config_key *key, const char *text)
{
	char least[VALUE_SIZE_TEXT], most[VALUE_SIZE_TEXT];

	if (key->type == CONFIG_SIZE)
		config_message(where->messages, where->file, where->line,
			       "%s = %s is out of range: give %s to %s", key->name, text,
			       value_format_size(key->minimum, least), value_format_size(key->maximum, most));
	else if (key->type == CONFIG_MODE)
		config_message(where->messages, where->file, where->line,
			       "%s = %s is out of range: give an octal mode up to 0777", key->name, text);
	else
		config_message(where->messages, where->file, where->line,
			       "%s = %s is out of range: give a number from %llu to %llu", key->name, text,
			       (unsigned long long)key->minimum, (unsigned long long)key->maximum);
}

static void complain_value(const struct where *where, const struct config_key *key, const char *text)
{
	char choices[128] = "";
	const char *right = "";

	switch (key->type) {
	case CONFIG_SIZE:
		right = "is not a size: give a number of bytes, or with K, M, G or T, for example 8G";
		break;
	case CONFIG_NUMBER:
		right = "is not a whole number";
		break;
	case CONFIG_BOOLEAN:
		right = "is neither yes nor no";
		break;
	case CONFIG_MODE:
		right = "is not an octal mode, for example 0660";
		break;
	case CONFIG_PATH:
		right = "is not an absolute path: it must start with '/'";
		break;
	case CONFIG_SERIAL:
		right = "is not a serial number: give 1 to 20 printable ASCII characters";
		break;
	case CONFIG_TEXT:
		right = "is empty: give a name, or leave the line out";
		break;
	case CONFIG_CHOICE:
		list_choices(key, choices, sizeof(choices));
		right = "is none of: ";
		break;
	}
	config_message(where->messages, where->file, where->line, "%s = %s %s%s", key->name, text, right,
		       choices);
}

static void list_keys(const struct config_section *section, char *buffer, size_t size)
{
	size_t used = 0;

	for (unsigned i = 0; i < section->key_count && used < size; i++)
		used += (size_t)snprintf(buffer + used, size - used, "%s%s", i ? ", " : "",
					 section->keys[i].name);
}

static void complain_key(const struct where *where, const struct config_object *object, const char *name)
{
	struct value_nearest nearest;
	char title[CONFIG_TITLE_SIZE], keys[384];

	value_nearest_init(&nearest, name);
	for (unsigned i = 0; i < object->section->key_count; i++)
		value_nearest_offer(&nearest, object->section->keys[i].name);
	config_title(object, title);
	if (nearest.best) {
		config_message(where->messages, where->file, where->line,
			       "unknown key '%s' in %s; did you mean '%s'?", name, title, nearest.best);
		return;
	}
	list_keys(object->section, keys, sizeof(keys));
	config_message(where->messages, where->file, where->line, "unknown key '%s' in %s; known keys: %s",
		       name, title, keys);
}

static void set_key(struct config_object *object, const char *name, const char *text,
		    const struct where *where)
{
	const struct config_section *section = object->section;
	char title[CONFIG_TITLE_SIZE];
	unsigned index = 0;
	int error;

	while (index < section->key_count && !config_key_is(&section->keys[index], name))
		index++;
	if (index == section->key_count) {
		complain_key(where, object, name);
		return;
	}
	if (object->key_line[index] != 0) {
		config_message(where->messages, where->file, where->line, "%s is already given at %s:%u",
			       name, object->key_file[index], object->key_line[index]);
		return;
	}
	if (strcmp(section->keys[index].name, name) != 0)
		config_message(where->warnings, where->file, where->line,
			       "%s in %s is called %s now; the old name is read until version 1.0", name,
			       config_title(object, title), section->keys[index].name);
	object->key_line[index] = where->line;
	object->key_file[index] = where->file;
	error = store_value(object, &section->keys[index], text);
	if (error == -ERANGE)
		complain_range(where, &section->keys[index], text);
	else if (error)
		complain_value(where, &section->keys[index], text);
}

/* ---- sections ---- */

static struct config_object *create_object(struct config *config, const struct config_section *section,
					   const char *name, const char *file, unsigned line)
{
	struct config_object *object = calloc(1, section->object_bytes);
	struct config_object **link = &config->lists[config_section_index(section)];

	if (!object)
		return NULL;
	object->section = section;
	object->file = file;
	object->line = line;
	snprintf(object->name, sizeof(object->name), "%s", name);
	for (unsigned i = 0; i < section->key_count; i++) {
		if (section->keys[i].initial &&
		    store_value(object, &section->keys[i], section->keys[i].initial) < 0)
			/* Out of memory; else the table is wrong */
			assert(config_key_is_text(&section->keys[i]));
	}
	while (*link)
		link = &(*link)->next;
	*link = object;
	return object;
}

/* Is this a good name for the section? Complains if not. */
static bool check_name(const struct config_section *section, const char *name, const struct where *where)
{
	char guest[CONFIG_GUEST_MAX + 1];
	const char *rest;
	bool good;

	switch (section->naming) {
	case CONFIG_UNNAMED:
		good = name[0] == '\0';
		break;
	case CONFIG_NAMED:
		good = value_is_name(name, strlen(name), CONFIG_GUEST_MAX);
		break;
	default:
		good = config_split_name(name, guest, &rest);
		break;
	}
	if (!good)
		config_message(where->messages, where->file, where->line,
			       "bad name '%s' for a section of kind %s: write it like %s%s", name,
			       section->name, section->example,
			       section->naming == CONFIG_UNNAMED ? ""
								 : ", with letters, digits, '.', '_' and '-' "
								   "(not first), at most 63 characters");
	return good;
}

/* "[daemon], [pool NAME], …" Returns the buffer. */
static const char *known_sections(char *buffer, size_t size)
{
	static const char *const naming[] = {
		[CONFIG_UNNAMED] = "", [CONFIG_NAMED] = " NAME", [CONFIG_NAMED_PAIR] = " GUEST/NAME",
	};
	size_t used = 0;

	for (unsigned i = 0; config_sections[i] && used < size; i++)
		used += (size_t)snprintf(buffer + used, size - used, "%s[%s%s]", i ? ", " : "",
					 config_sections[i]->name, naming[config_sections[i]->naming]);
	return buffer;
}

static void complain_section(const struct where *where, const char *kind, const char *name)
{
	struct value_nearest nearest;
	char known[CONFIG_MESSAGE_MAX / 2];

	value_nearest_init(&nearest, kind);
	for (unsigned i = 0; config_sections[i]; i++)
		value_nearest_offer(&nearest, config_sections[i]->name);
	if (nearest.best)
		config_message(where->messages, where->file, where->line,
			       "unknown section [%s%s%s]; did you mean [%s%s%s]?", kind, *name ? " " : "",
			       name, nearest.best, *name ? " " : "", name);
	else
		config_message(where->messages, where->file, where->line,
			       "unknown section [%s%s%s]; known sections: %s", kind, *name ? " " : "", name,
			       known_sections(known, sizeof(known)));
}

/* Returns the object whose keys follow, or NULL: the keys up to the next section are skipped. */
static struct config_object *open_section(struct config *config, const struct config_line *line,
					  const struct where *where)
{
	const struct config_section *section;
	struct config_object *object;
	char title[CONFIG_TITLE_SIZE];
	unsigned index = 0;

	while (config_sections[index] && strcmp(config_sections[index]->name, line->name) != 0)
		index++;
	section = config_sections[index];
	if (!section) {
		complain_section(where, line->name, line->value);
		return NULL;
	}
	if (!check_name(section, line->value, where))
		return NULL;
	object = config_find(config_list(config, section), line->value);
	if (object && section->naming == CONFIG_UNNAMED)
		return object;	/* [daemon] may be spread over files */
	if (object) {
		config_message(where->messages, where->file, where->line, "%s is already declared at %s:%u",
			       config_title(object, title), object->file, object->line);
		return NULL;
	}
	return create_object(config, section, line->value, where->file, where->line);
}

struct config *config_create(void)
{
	struct config *config = calloc(1, sizeof(*config));

	if (!config)
		return NULL;
	if (!create_object(config, config_sections[0], "", "built-in defaults", 0)) {
		config_destroy(config);
		return NULL;
	}
	return config;
}

static const char *keep_file_name(struct config *config, const char *file)
{
	char **files = reallocarray(config->files, config->file_count + 1, sizeof(*files));

	if (!files)
		return NULL;
	config->files = files;
	files[config->file_count] = strdup(file);
	return files[config->file_count] ? files[config->file_count++] : NULL;
}

void config_parse(struct config *config, const char *file, const char *bytes, size_t length,
		  struct config_messages *messages)
{
	struct where where = { .messages = messages,
			       .warnings = &config->warnings,
			       .file = keep_file_name(config, file) };
	struct config_object *object = NULL;
	struct config_lines lines;
	struct config_line line;
	bool skip = false;

	config_lines_init(&lines, bytes, length);
	while (config_lines_next(&lines, &line)) {
		where.line = line.number;
		if (line.kind == CONFIG_LINE_BAD) {
			config_message(messages, where.file, line.number, "%s", line.problem);
		} else if (line.kind == CONFIG_LINE_SECTION) {
			object = open_section(config, &line, &where);
			skip = !object;
		} else if (object) {
			set_key(object, line.name, line.value, &where);
		} else if (!skip) {
			config_message(
				messages, where.file, line.number,
				"'%s' stands before the first section; start with one, for example [daemon]",
				line.name);
		}
	}
}
