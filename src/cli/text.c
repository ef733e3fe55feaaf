/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/clock.h"

char *text_size(char buffer[TEXT_NUMBER_MAX], uint64_t bytes)
{
	static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	unsigned power = 0;
	uint64_t scale = 1;

	while (power < 6 && bytes / scale >= 1024) {
		scale *= 1024;
		power++;
	}
	if (bytes == 0)
		snprintf(buffer, TEXT_NUMBER_MAX, "0");
	else if (bytes % scale == 0)
		snprintf(buffer, TEXT_NUMBER_MAX, "%llu %s", (unsigned long long)(bytes / scale),
			 unit[power]);
	else
		snprintf(buffer, TEXT_NUMBER_MAX, "%.1f %s", (double)bytes / (double)scale, unit[power]);
	return buffer;
}

char *text_duration(char buffer[TEXT_NUMBER_MAX], uint64_t ns)
{
	if (ns < 1000)
		snprintf(buffer, TEXT_NUMBER_MAX, "%u ns", (unsigned)ns);
	else if (ns < NS_PER_MS)
		snprintf(buffer, TEXT_NUMBER_MAX, "%.1f us", (double)ns / (double)NS_PER_US);
	else if (ns < NS_PER_S)
		snprintf(buffer, TEXT_NUMBER_MAX, "%.1f ms", (double)ns / (double)NS_PER_MS);
	else if (ns < 100 * NS_PER_S)
		snprintf(buffer, TEXT_NUMBER_MAX, "%.1f s", (double)ns / (double)NS_PER_S);
	else
		snprintf(buffer, TEXT_NUMBER_MAX, "%llu min %llu s", (unsigned long long)(ns / NS_PER_S / 60),
			 (unsigned long long)(ns / NS_PER_S % 60));
	return buffer;
}

char *text_count(char buffer[TEXT_NUMBER_MAX], uint64_t count)
{
	char digits[TEXT_NUMBER_MAX];
	int length = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)count);
	char *out = buffer;

	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			*out++ = ' ';
		*out++ = digits[i];
	}
	*out = '\0';
	return buffer;
}

/* The scale that a suffix stands for; 0 when it is none. */
static uint64_t suffix_scale(const char *suffix)
{
	static const char letter[] = "kmgtp";
	const char *found;

	if (suffix[0] == '\0' || strcasecmp(suffix, "b") == 0)
		return 1;
	found = strchr(letter, tolower((unsigned char)suffix[0]));
	if (!found ||
	    (suffix[1] != '\0' && strcasecmp(suffix + 1, "b") != 0 && strcasecmp(suffix + 1, "ib") != 0))
		return 0;
	return 1ull << (10 * (found - letter + 1));
}

/* ".5" of a scale of 1024: 512. Digits beyond nanounits are ignored. */
static uint64_t fraction_bytes(const char *digits, size_t count, uint64_t scale)
{
	double value = 0, weight = 0.1;

	for (size_t i = 0; i < count && i < 12; i++) {
		value += weight * (digits[i] - '0');
		weight /= 10;
	}
	return (uint64_t)(value * (double)scale + 0.5);
}

int text_size_parse(const char *text, uint64_t *ret_bytes)
{
	const char *digits, *fraction = NULL;
	size_t fraction_digits = 0;
	uint64_t whole = 0, scale, bytes;

	while (*text == ' ')
		text++;
	for (digits = text; isdigit((unsigned char)*text); text++) {
		if (!checked_mul(whole, 10, &whole) || !checked_add(whole, (uint64_t)(*text - '0'), &whole))
			return -ERANGE;
	}
	if (text == digits)
		return -EINVAL;
	if (*text == '.') {
		fraction = ++text;
		fraction_digits = strspn(text, "0123456789");
		text += fraction_digits;
		if (fraction_digits == 0)
			return -EINVAL;
	}
	while (*text == ' ')
		text++;
	scale = suffix_scale(text);
	if (scale == 0 || (fraction && scale == 1))
		return -EINVAL;
	if (!checked_mul(whole, scale, &bytes) ||
	    !checked_add(bytes, fraction ? fraction_bytes(fraction, fraction_digits, scale) : 0, &bytes) ||
	    bytes > INT64_MAX)
		return -ERANGE;
	*ret_bytes = bytes;
	return 0;
}

#define DISTANCE_MAX 48	/* longer words are not typos of each other */

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

unsigned text_distance(const char *a, const char *b)
{
	unsigned cost[DISTANCE_MAX + 1][DISTANCE_MAX + 1];
	size_t a_length = strlen(a), b_length = strlen(b);

	if (a_length > DISTANCE_MAX || b_length > DISTANCE_MAX)
		return (unsigned)(a_length + b_length);
	for (unsigned i = 0; i <= a_length; i++)
		cost[i][0] = i;
	for (unsigned j = 0; j <= b_length; j++)
		cost[0][j] = j;
	for (size_t i = 1; i <= a_length; i++) {
		for (size_t j = 1; j <= b_length; j++) {
			unsigned change = cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

			cost[i][j] = least(change, least(cost[i - 1][j], cost[i][j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				cost[i][j] = least(cost[i][j], cost[i - 2][j - 2] + 1);
		}
	}
	return cost[a_length][b_length];
}

static bool continues_character(char byte)
{
	return ((unsigned char)byte & 0xc0) == 0x80;
}

size_t text_columns(const char *text)
{
	size_t columns = 0;

	for (; *text; text++)
		columns += !continues_character(*text);
	return columns;
}

size_t text_cut(const char *text, size_t columns)
{
	size_t bytes = 0;

	while (text[bytes] && (columns > 0 || continues_character(text[bytes]))) {
		if (!continues_character(text[bytes]))
			columns--;
		bytes++;
	}
	return bytes;
}
