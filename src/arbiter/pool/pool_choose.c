/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which extents a disk gets: few runs, and large free runs kept whole for large disks. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "arbiter/pool/pool_ledger.h"

struct run_list {
	struct pool_run_wire *run;
	uint32_t count, capacity;
};

static int add_run(struct run_list *list, uint32_t first, uint32_t count)
{
	if (list->count == list->capacity) {
		uint32_t capacity = list->capacity ? list->capacity * 2 : 16;
		void *grown = realloc(list->run, capacity * sizeof(*list->run));

		if (!grown)
			return -ENOMEM;
		list->run = grown;
		list->capacity = capacity;
	}
	assert(count > 0 && list->count < list->capacity);
	list->run[list->count++] = (struct pool_run_wire){.first = first, .count = count};
	return 0;
}

static uint64_t runs_extents(const struct run_list *list)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < list->count; i++)
		sum += list->run[i].count;
	return sum;
}

/* All free runs, in order. */
static int free_runs(const struct pool_ledger *ledger, struct run_list *list)
{
	uint32_t e = 0;

	while (e < ledger->extent_count) {
		uint32_t first = e;
		int error;

		while (e < ledger->extent_count && ledger->extents[e].disk_id == 0)
			e++;
		error = e > first ? add_run(list, first, e - first) : 0;
		if (error)
			return error;
		while (e < ledger->extent_count && ledger->extents[e].disk_id != 0)
			e++;
	}
	assert(runs_extents(list) == ledger->free_count);
	return 0;
}

static int by_length_descending(const void *a, const void *b)
{
	const struct pool_run_wire *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return x->first < y->first ? -1 : 1;
}

static int by_place(const void *a, const void *b)
{
	const struct pool_run_wire *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* The free run that begins at extent `first`, cut to `wanted`, leaves the list. */
static uint32_t take_following(struct run_list *list, uint32_t first, uint32_t wanted)
{
	for (uint32_t i = 0; i < list->count; i++) {
		struct pool_run_wire *run = &list->run[i];
		uint32_t taken = run->count < wanted ? run->count : wanted;

		if (run->first != first)
			continue;
		run->first += taken;
		run->count -= taken;
		return taken;
	}
	return 0;
}

/* The smallest run that holds `wanted`, alone; else the largest ones: the result is the list's beginning. */
static void keep_best(struct run_list *list, uint32_t wanted)
{
	uint32_t taken = 0, fitting = 0;

	assert(list->count > 0);
	assert(wanted > 0);
	qsort(list->run, list->count, sizeof(*list->run), by_length_descending);
	while (fitting < list->count && list->run[fitting].count >= wanted)
		fitting++;
	if (fitting > 0) {
		list->run[0] = list->run[fitting - 1];
		list->run[0].count = wanted;
		list->count = 1;
		return;
	}
	for (uint32_t i = 0; i < list->count; i++) {
		if (list->run[i].count >= wanted - taken) {
			list->run[i].count = wanted - taken;
			list->count = i + 1;
			break;
		}
		taken += list->run[i].count;
	}
	qsort(list->run, list->count, sizeof(*list->run), by_place);
}

int pool_ledger_choose(const struct pool_ledger *ledger, uint32_t wanted, uint32_t after,
		      struct pool_run_wire **ret_runs, uint32_t *ret_run_count)
{
	struct run_list list = {0}, result = {0};
	uint32_t following = 0;
	int error = 0;

	assert(after == UINT32_MAX || after < ledger->extent_count);
	if (wanted > ledger->free_count)
		return -ENOSPC;
	if (wanted > 0)
		error = free_runs(ledger, &list);
	if (!error && wanted > 0 && after != UINT32_MAX) {
		following = take_following(&list, after + 1, wanted);
		if (following > 0)
			error = add_run(&result, after + 1, following);
	}
	if (!error && following < wanted) {
		keep_best(&list, wanted - following);
		for (uint32_t i = 0; i < list.count && !error; i++)
			error = add_run(&result, list.run[i].first, list.run[i].count);
	}
	free(list.run);
	if (error) {
		free(result.run);
		return error;
	}
	assert(runs_extents(&result) == wanted);
	*ret_runs = result.run;
	*ret_run_count = result.count;
	return 0;
}
