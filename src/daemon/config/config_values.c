/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/config/config_values.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/checked.h"

/* Reads digits in `base`; *ret_end is behind the last. */
static int parse_digits(const char *text, unsigned base, uint64_t *ret_number, const char **ret_end)
{
	uint64_t number = 0;
	const char *c = text;

	for (; *c >= '0' && *c < (char)('0' + base); c++) {
		if (!checked_mul(number, base, &number) ||
		    !checked_add(number, (uint64_t)(*c - '0'), &number))
			return -ERANGE;
	}
	if (c == text)
		return -EINVAL;
	*ret_number = number;
	*ret_end = c;
	return 0;
}

int value_parse_number(const char *text, uint64_t *ret_number)
{
	uint64_t number;
	const char *end;
	int error = parse_digits(text, 10, &number, &end);

	if (error)
		return error;
	if (*end)
		return -EINVAL;
	*ret_number = number;
	return 0;
}

int value_parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char units[] = "kmgt";
	uint64_t bytes;
	const char *end;
	int error = parse_digits(text, 10, &bytes, &end);

	if (error)
		return error;
	while (*end == ' ')
		end++;
	for (unsigned i = 0; units[i] && *end; i++) {
		if ((*end | 0x20) != units[i])
			continue;
		if (!checked_mul(bytes, 1ull << (10 * (i + 1)), &bytes))
			return -ERANGE;
		end++;
		if (*end == 'i' && end[1] == 'B')
			end++;
		break;
	}
	if (*end == 'B')
		end++;
	if (*end)
		return -EINVAL;
	*ret_bytes = bytes;
	return 0;
}

int value_parse_boolean(const char *text, bool *ret_value)
{
	static const char *const yes[] = { "yes", "true", "on", "1" };
	static const char *const no[] = { "no", "false", "off", "0" };

	for (unsigned i = 0; i < 4; i++) {
		if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
			*ret_value = strcasecmp(text, yes[i]) == 0;
			return 0;
		}
	}
	return -EINVAL;
}

int value_parse_mode(const char *text, unsigned *ret_mode)
{
	uint64_t mode;
	const char *end;
	int error = parse_digits(text, 8, &mode, &end);

	if (error)
		return error;
	if (*end)
		return -EINVAL;
	if (mode > 0777)
		return -ERANGE;
	*ret_mode = (unsigned)mode;
	return 0;
}

const char *value_format_size(uint64_t bytes, char buffer[VALUE_SIZE_TEXT])
{
	static const char units[] = { 0, 'K', 'M', 'G', 'T' };
	unsigned unit = 0;

	while (bytes > 0 && unit < 4 && bytes % 1024 == 0) {
		bytes /= 1024;
		unit++;
	}
	if (unit == 0)
		snprintf(buffer, VALUE_SIZE_TEXT, "%llu", (unsigned long long)bytes);
	else
		snprintf(buffer, VALUE_SIZE_TEXT, "%llu%c", (unsigned long long)bytes, units[unit]);
	return buffer;
}

bool value_is_name(const char *text, size_t length, size_t max)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

	if (length == 0 || length > max || text[0] == '.' || text[0] == '-')
		return false;
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '\0' || !strchr(letters, text[i]))
			return false;
	}
	return true;
}

/* Longer names are not compared: a mistyped key is short. */
#define NEAREST_MAX 40

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned least = a < b ? a : b;

	return least < c ? least : c;
}

/* Edits from a to b, where two letters in the wrong order are one edit (optimal string alignment). */
static unsigned distance(const char *a, const char *b)
{
	unsigned rows[3][NEAREST_MAX + 1];
	unsigned *before = rows[0], *previous = rows[1], *row = rows[2];
	size_t a_length = strlen(a), b_length = strlen(b);

	if (a_length > NEAREST_MAX || b_length > NEAREST_MAX)
		return NEAREST_MAX;
	for (unsigned j = 0; j <= b_length; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a_length; i++) {
		unsigned *oldest = before;

		before = previous;
		previous = row;
		row = oldest;
		row[0] = i;
		for (unsigned j = 1; j <= b_length; j++) {
			unsigned cost = (a[i - 1] | 0x20) != (b[j - 1] | 0x20);

			row[j] = min3(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
	}
	return row[b_length];
}

void value_nearest_init(struct value_nearest *nearest, const char *text)
{
	*nearest = (struct value_nearest){ .text = text, .best_distance = NEAREST_MAX };
}

void value_nearest_offer(struct value_nearest *nearest, const char *candidate)
{
	unsigned edits = distance(nearest->text, candidate);
	size_t length = strlen(candidate);

	/* More than a third of the letters wrong: another word. */
	if (edits > 1 && edits > length / 3)
		return;
	if (edits >= length || edits >= nearest->best_distance)
		return;
	nearest->best = candidate;
	nearest->best_distance = edits;
}

bool value_same_text(const char *one, const char *other)
{
	return one && other ? strcmp(one, other) == 0 : one == other;
}
