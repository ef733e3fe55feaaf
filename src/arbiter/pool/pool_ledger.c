/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arbiter/pool/pool_ledger.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/checked.h"

int pool_ledger_init(struct pool_ledger *ledger, const struct pool_layout *layout, uint32_t extent_count)
{
	void *extents;

	assert(extent_count <= layout->capacity_extents);
	*ledger = (struct pool_ledger){
		.capacity_extents = layout->capacity_extents,
		.disks_max = layout->disks_max,
		.extent_count = extent_count,
		.free_count = extent_count,
		.next_disk_id = 1,
	};
	ledger->disks = calloc(layout->disks_max, sizeof(*ledger->disks));
	if (!ledger->disks)
		return -ENOMEM;
	/* Mapped, so that room for growth costs nothing until it is used. */
	extents = mmap(NULL, layout->capacity_extents * sizeof(*ledger->extents), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (extents == MAP_FAILED) {
		free(ledger->disks);
		ledger->disks = NULL;
		return -ENOMEM;
	}
	ledger->extents = extents;
	return 0;
}

void pool_ledger_finish(struct pool_ledger *ledger)
{
	if (ledger->extents)
		munmap(ledger->extents, ledger->capacity_extents * sizeof(*ledger->extents));
	free(ledger->disks);
	*ledger = (struct pool_ledger){0};
}

struct pool_entry *pool_ledger_find_id(const struct pool_ledger *ledger, uint32_t id)
{
	uint32_t low = 0, high = ledger->disk_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (ledger->disks[middle].id == id)
			return &ledger->disks[middle];
		if (ledger->disks[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

struct pool_entry *pool_ledger_find_name(const struct pool_ledger *ledger, const char *name)
{
	for (uint32_t i = 0; i < ledger->disk_count; i++)
		if (strcmp(ledger->disks[i].name, name) == 0)
			return &ledger->disks[i];
	return NULL;
}

/* Gives the runs to the end of a disk. */
static const char *take_runs(struct pool_ledger *ledger, struct pool_entry *entry,
			     const struct pool_change *change)
{
	for (uint32_t r = 0; r < change->run_count; r++) {
		const struct pool_run_wire *run = &change->runs[r];

		if (run->count == 0 || !checked_range(run->first, run->count, ledger->extent_count))
			return "extents outside the pool";
		for (uint32_t e = run->first; e < run->first + run->count; e++) {
			struct pool_extent *extent = &ledger->extents[e];

			if (extent->disk_id != 0)
				return "an extent that has an owner";
			extent->disk_id = entry->id;
			extent->index = entry->extent_count++;
			extent->written = change->written ? UINT16_MAX : 0;
		}
		assert(ledger->free_count >= run->count);
		ledger->free_count -= run->count;
	}
	assert(entry->extent_count <= ledger->extent_count);
	if (entry->extent_count != pool_extents_for(change->size_bytes))
		return "size and number of extents differ";
	return NULL;
}

static bool size_valid(uint64_t size_bytes)
{
	return size_bytes > 0 && is_aligned(size_bytes, POOL_BLOCK_BYTES);
}

static const char *apply_create(struct pool_ledger *ledger, const struct pool_change *change)
{
	struct pool_entry *entry = &ledger->disks[ledger->disk_count];

	if (ledger->disk_count == ledger->disks_max)
		return "too many disks";
	if (change->disk_id != ledger->next_disk_id || change->disk_id == UINT32_MAX)
		return "disk id";
	if (pool_ledger_find_name(ledger, change->name))
		return "the name is taken";
	if (!size_valid(change->size_bytes))
		return "size";
	*entry = (struct pool_entry){.id = change->disk_id, .size_bytes = change->size_bytes};
	memcpy(entry->name, change->name, sizeof(entry->name));
	assert(entry == ledger->disks || entry[-1].id < entry->id);
	ledger->disk_count++;
	ledger->next_disk_id++;
	return take_runs(ledger, entry, change);
}

static const char *apply_grow(struct pool_ledger *ledger, struct pool_entry *entry,
			      const struct pool_change *change)
{
	if (!size_valid(change->size_bytes) || change->size_bytes < entry->size_bytes)
		return "size";
	entry->size_bytes = change->size_bytes;
	return take_runs(ledger, entry, change);
}

static const char *apply_rename(struct pool_ledger *ledger, struct pool_entry *entry,
				const struct pool_change *change)
{
	const struct pool_entry *holder = pool_ledger_find_name(ledger, change->name);

	if (holder && holder != entry)
		return "the name is taken";
	memcpy(entry->name, change->name, sizeof(entry->name));
	return NULL;
}

static const char *apply_delete(struct pool_ledger *ledger, struct pool_entry *entry)
{
	uint32_t position = (uint32_t)(entry - ledger->disks), left = entry->extent_count, id = entry->id;

	for (uint32_t e = 0; e < ledger->extent_count && left > 0; e++) {
		if (ledger->extents[e].disk_id != id)
			continue;
		ledger->extents[e] = (struct pool_extent){0};
		ledger->free_count++;
		left--;
	}
	assert(left == 0 && ledger->free_count <= ledger->extent_count && position < ledger->disk_count);
	ledger->disk_count--;
	memmove(entry, entry + 1, (ledger->disk_count - position) * sizeof(*entry));
	return NULL;
}

static const char *apply_written(struct pool_ledger *ledger, const struct pool_change *change)
{
	for (uint32_t i = 0; i < change->list_count; i++) {
		const struct pool_written_wire *item = &change->list[i];

		if (i > 0 && item->extent <= change->list[i - 1].extent)
			return "extents are not in order";
		if (item->extent >= ledger->extent_count)
			return "extents outside the pool";
		if (ledger->extents[item->extent].disk_id == 0)
			return "written bits of a free extent";
		ledger->extents[item->extent].written = item->written;
	}
	return NULL;
}

static const char *apply_resize(struct pool_ledger *ledger, const struct pool_change *change)
{
	if (change->extent_count < ledger->extent_count || change->extent_count > ledger->capacity_extents)
		return "number of extents";
	ledger->free_count += change->extent_count - ledger->extent_count;
	ledger->extent_count = change->extent_count;
	assert(ledger->free_count <= ledger->extent_count);
	return NULL;
}

const char *pool_ledger_apply(struct pool_ledger *ledger, const struct pool_change *change)
{
	struct pool_entry *entry;

	assert(ledger->disk_count <= ledger->disks_max);
	assert(ledger->free_count <= ledger->extent_count);
	assert(ledger->extent_count <= ledger->capacity_extents);
	if (change->kind == POOL_CHANGE_WRITTEN)
		return apply_written(ledger, change);
	if (change->kind == POOL_CHANGE_RESIZE)
		return apply_resize(ledger, change);
	if (change->kind == POOL_CHANGE_CREATE)
		return apply_create(ledger, change);
	entry = pool_ledger_find_id(ledger, change->disk_id);
	if (!entry)
		return "no such disk";
	switch (change->kind) {
	case POOL_CHANGE_GROW:
		return apply_grow(ledger, entry, change);
	case POOL_CHANGE_RENAME:
		return apply_rename(ledger, entry, change);
	default:
		assert(change->kind == POOL_CHANGE_DELETE);
		return apply_delete(ledger, entry);
	}
}

static const char *verify_entries(const struct pool_ledger *ledger, const char **ret_name)
{
	uint64_t extents = 0;

	for (uint32_t i = 0; i < ledger->disk_count; i++) {
		const struct pool_entry *entry = &ledger->disks[i];

		if (!pool_name_wire_valid(entry->name))
			return "name";
		*ret_name = entry->name;
		if (entry->id == 0 || entry->id >= ledger->next_disk_id ||
		    (i > 0 && entry->id <= entry[-1].id))
			return "disk id";
		if (pool_ledger_find_name(ledger, entry->name) != entry)
			return "the name is used twice";
		if (!size_valid(entry->size_bytes) ||
		    entry->extent_count != pool_extents_for(entry->size_bytes))
			return "size";
		extents += entry->extent_count;
	}
	*ret_name = NULL;
	return extents <= ledger->extent_count ? NULL : "the disks have more extents than the pool";
}

/* Each extent's place in its disk: seen[base of the disk + index] may be hit once; the counts do the rest. */
static const char *verify_extents(struct pool_ledger *ledger, const uint32_t *base, uint8_t *seen,
				  const char **ret_name)
{
	uint32_t used = 0, owned = 0;

	for (uint32_t i = 0; i < ledger->disk_count; i++)
		owned += ledger->disks[i].extent_count;
	assert(owned <= ledger->extent_count);
	for (uint32_t e = 0; e < ledger->extent_count; e++) {
		const struct pool_extent *extent = &ledger->extents[e];
		const struct pool_entry *entry;

		if (extent->disk_id == 0) {
			if (extent->index != 0 || extent->written != 0)
				return "a free extent with an index or written bits";
			continue;
		}
		entry = pool_ledger_find_id(ledger, extent->disk_id);
		if (!entry)
			return "an extent of a disk that does not exist";
		*ret_name = entry->name;
		if (extent->index >= entry->extent_count ||
		    seen[base[entry - ledger->disks] + extent->index]++)
			return "an extent beyond the end or twice in the disk";
		used++;
	}
	*ret_name = NULL;
	assert(used <= owned);
	ledger->free_count = ledger->extent_count - used;
	return used == owned ? NULL : "extents of a disk are missing";
}

const char *pool_ledger_verify(struct pool_ledger *ledger, const char **ret_name)
{
	const char *problem;
	uint32_t *base, sum = 0;
	uint8_t *seen;

	assert(ledger->disk_count <= ledger->disks_max);
	*ret_name = NULL;
	problem = verify_entries(ledger, ret_name);
	if (problem)
		return problem;
	base = calloc((size_t)ledger->disk_count + 1, sizeof(*base));
	seen = calloc((size_t)ledger->extent_count + 1, sizeof(*seen));
	for (uint32_t i = 0; base && i < ledger->disk_count; i++) {
		base[i] = sum;
		sum += ledger->disks[i].extent_count;
	}
	problem = base && seen ? verify_extents(ledger, base, seen, ret_name)
			       : "not enough memory to verify it";
	free(base);
	free(seen);
	return problem;
}
