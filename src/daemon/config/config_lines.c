/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/config/config_lines.h"

#include <string.h>

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

void config_lines_init(struct config_lines *lines, const char *bytes, size_t length)
{
	*lines = (struct config_lines){ .bytes = bytes, .length = length };
	if (length >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
		lines->position = 3;	/* an editor's byte order mark */
}

/* Cuts white space from both ends, in place. */
static char *trim(char *text)
{
	size_t length;

	while (is_space(*text))
		text++;
	length = strlen(text);
	while (length > 0 && is_space(text[length - 1]))
		text[--length] = '\0';
	return text;
}

static void cut_comment(char *text)
{
	for (char *c = text; *c; c++) {
		if ((*c == '#' || *c == ';') && (c == text || is_space(c[-1]))) {
			*c = '\0';
			return;
		}
	}
}

static void bad(struct config_line *line, const char *problem)
{
	line->kind = CONFIG_LINE_BAD;
	line->problem = problem;
}

static void parse_section(struct config_line *line, char *text)
{
	char *close = strchr(text, ']');
	char *name;

	if (!close) {
		bad(line, "']' is missing at the end of the section's name");
		return;
	}
	if (close[1] != '\0') {
		bad(line, "there is text after the ']' of the section's name");
		return;
	}
	*close = '\0';
	line->kind = CONFIG_LINE_SECTION;
	name = trim(text + 1);
	line->name = name;
	while (*name && !is_space(*name))
		name++;
	if (*name)
		*name++ = '\0';
	line->value = trim(name);
}

static void parse_key(struct config_line *line, char *text)
{
	char *equals = strchr(text, '=');

	if (!equals) {
		bad(line, "expected '[section name]' or 'key = value'");
		return;
	}
	*equals = '\0';
	line->kind = CONFIG_LINE_KEY;
	line->name = trim(text);
	line->value = trim(equals + 1);
	if (line->name[0] == '\0')
		bad(line, "there is no key before the '='");
}

/* Copies the next raw line to line->text; returns false when it does not fit or holds a NUL byte. */
static bool copy_raw(struct config_lines *lines, struct config_line *line)
{
	const char *start = lines->bytes + lines->position;
	const char *end = memchr(start, '\n', lines->length - lines->position);
	size_t length = end ? (size_t)(end - start) : lines->length - lines->position;

	lines->position += length + (end ? 1 : 0);
	lines->number++;
	line->number = lines->number;
	if (length >= sizeof(line->text)) {
		bad(line, "the line is too long (more than 4351 bytes)");
		return false;
	}
	if (memchr(start, '\0', length)) {
		bad(line, "the line holds a NUL byte: this is not a text file");
		return false;
	}
	memcpy(line->text, start, length);
	line->text[length] = '\0';
	return true;
}

bool config_lines_next(struct config_lines *lines, struct config_line *ret_line)
{
	while (lines->position < lines->length) {
		char *text;

		ret_line->name = ret_line->value = ret_line->problem = "";
		if (!copy_raw(lines, ret_line))
			return true;
		cut_comment(ret_line->text);
		text = trim(ret_line->text);
		if (*text == '\0')
			continue;
		if (*text == '[')
			parse_section(ret_line, text);
		else
			parse_key(ret_line, text);
		return true;
	}
	return false;
}
