/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A cost model as text:
 *
 *   viaduct-disk-cost 2
 *   window 250000			window_ns
 *   read-random 8000 1900		base_ns, ns_per_kib; a line for each kind, in order of enum cost_kind
 *   …
 *
 * One way to write each model, so that reading is comparing. A file that is not exactly so was not ours.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "arbiter/disk/disk_cost.h"

#define HEAD "viaduct-disk-cost 2\nwindow "

static const char *const kind_names[COST_KINDS] = {
	[COST_READ_RANDOM] = "read-random",
	[COST_READ_SEQUENTIAL] = "read-sequential",
	[COST_WRITE_RANDOM] = "write-random",
	[COST_WRITE_SEQUENTIAL] = "write-sequential",
	[COST_FLUSH] = "flush",
	[COST_DISCARD] = "discard",
};

int disk_cost_print(const struct disk_cost *cost, char *buffer, size_t bytes)
{
	int used = snprintf(buffer, bytes, HEAD "%" PRIu32 "\n", cost->window_ns);

	assert(cost->window_ns >= 1 && cost->window_ns <= COST_WINDOW_MAX_NS);
	for (unsigned kind = 0; kind < COST_KINDS && (size_t)used < bytes; kind++)
		used += snprintf(buffer + used, bytes - (size_t)used, "%s %" PRIu32 " %" PRIu32 "\n",
				 kind_names[kind], cost->line[kind].base_ns, cost->line[kind].ns_per_kib);
	return (size_t)used < bytes ? used : -ENOSPC;
}

/* What is left to read. */
struct rest {
	const char *at, *end;
};

static bool take_word(struct rest *rest, const char *word)
{
	size_t bytes = strlen(word);

	if ((size_t)(rest->end - rest->at) < bytes || memcmp(rest->at, word, bytes) != 0)
		return false;
	rest->at += bytes;
	return true;
}

/* Decimal digits, without zeroes in front. */
static bool take_number(struct rest *rest, uint32_t *ret_number)
{
	const char *first = rest->at;
	uint64_t number = 0;

	while (rest->at < rest->end && *rest->at >= '0' && *rest->at <= '9' && number <= UINT32_MAX)
		number = number * 10 + (uint64_t)(*rest->at++ - '0');
	if (rest->at == first || number > UINT32_MAX || (*first == '0' && rest->at - first > 1))
		return false;
	*ret_number = (uint32_t)number;
	return true;
}

static bool take_line(struct rest *rest, const char *name, struct cost_line *line)
{
	return take_word(rest, name) && take_word(rest, " ") && take_number(rest, &line->base_ns) &&
	       take_word(rest, " ") && take_number(rest, &line->ns_per_kib) && take_word(rest, "\n");
}

int disk_cost_parse(const char *text, size_t bytes, struct disk_cost *ret_cost)
{
	struct rest rest = { text, text + bytes };
	struct disk_cost cost;
	bool right = take_word(&rest, HEAD) && take_number(&rest, &cost.window_ns) &&
		     take_word(&rest, "\n") && cost.window_ns >= 1 && cost.window_ns <= COST_WINDOW_MAX_NS;

	for (unsigned kind = 0; kind < COST_KINDS && right; kind++)
		right = take_line(&rest, kind_names[kind], &cost.line[kind]);
	if (!right || rest.at != rest.end)
		return -EINVAL;
	*ret_cost = cost;
	return 0;
}
