/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/vfio_user/vfio_user_dma.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "core/checked.h"
#include "core/guest_memory.h"
#include "core/handover.h"
#include "core/memory_guard.h"
#include "core/reaper.h"
#include "interfaces/endpoint_fd.h"

/* What VERSION says of pgsizes: rings in such memory are aligned. */
#define PAGE_BYTES 4096u

static_assert(VFIO_USER_MAPS_MAX <= GUEST_MEMORY_REGIONS_MAX, "each range may be a region");

int vfio_user_dma_init(struct vfio_user_dma *dma)
{
	dma->empty = guest_memory_create();
	dma->count = 0;
	if (!dma->empty)
		return -ENOMEM;
	dma->memory = guest_memory_get(dma->empty);
	return 0;
}

void vfio_user_dma_finish(struct vfio_user_dma *dma)
{
	if (!dma->empty)
		return;
	vfio_user_dma_unmap_all(dma);
	guest_memory_put(dma->memory);
	guest_memory_put(dma->empty);
	dma->memory = dma->empty = NULL;
}

static void replace(struct vfio_user_dma *dma, struct guest_memory *memory)
{
	guest_memory_put(dma->memory);
	dma->memory = memory;
}

/* ---- one range ---- */

static uint64_t end_of(const struct vfio_user_range *range)
{
	return range->address + range->size;
}

static bool admits(const struct vfio_user_dma *dma, uint64_t bytes)
{
	unsigned mappings = 0;
	uint64_t total = 0;

	for (unsigned i = 0; i < dma->count; i++) {
		if (!dma->range[i].mapped)
			continue;
		mappings++;
		/* Sizes that were accepted do not add up to 2^64. */
		total += dma->range[i].size;
	}
	return memory_guard_admits(mappings, total, bytes);
}

/* Puts the range into the set. */
static int reach(struct vfio_user_dma *dma, struct vfio_user_range *range)
{
	const struct guest_region_description description = {
		.guest_address = range->address,
		.size = range->size,
		.user_address = range->address,
		.file_offset = range->offset,
	};
	struct guest_memory *memory;
	int error;

	if (!admits(dma, range->size))
		return -ENOSPC;
	error = range->remote ? guest_memory_add_remote(dma->memory, &description, &memory)
			      : guest_memory_add(dma->memory, &description, range->fd, &memory);
	if (error)
		return error;
	replace(dma, memory);
	range->mapped = true;
	return 0;
}

static bool can_reach(const struct vfio_user_range *range)
{
	return range->fd >= 0 || range->remote;
}

static struct vfio_user_range *insert(struct vfio_user_dma *dma, const struct vfio_user_range *range)
{
	unsigned at = dma->count;

	assert(dma->count < VFIO_USER_MAPS_MAX);
	while (at > 0 && dma->range[at - 1].address > range->address)
		at--;
	memmove(&dma->range[at + 1], &dma->range[at], (dma->count - at) * sizeof(dma->range[0]));
	dma->count++;
	dma->range[at] = *range;
	return &dma->range[at];
}

static void forget(struct vfio_user_dma *dma, unsigned at)
{
	reaper_close(&dma->range[at].fd);
	dma->count--;
	memmove(&dma->range[at], &dma->range[at + 1], (dma->count - at) * sizeof(dma->range[0]));
}

/* ---- cutting ---- */

/* Ranges that an unmapping of [address, end) leaves more of than there are. */
static unsigned split_count(const struct vfio_user_dma *dma, uint64_t address, uint64_t end)
{
	for (unsigned i = 0; i < dma->count; i++)
		if (dma->range[i].address < address && end_of(&dma->range[i]) > end)
			return 1;
	return 0;
}

/* A part of `whole`, with a descriptor of its own; one that cannot be had makes it out of reach. */
static struct vfio_user_range part_of(const struct vfio_user_range *whole, uint64_t address, uint64_t end)
{
	return (struct vfio_user_range){
		.address = address,
		.size = end - address,
		.offset = whole->remote ? 0 : whole->offset + (address - whole->address),
		.remote = whole->remote,
		.fd = whole->fd < 0 ? -1 : fcntl(whole->fd, F_DUPFD_CLOEXEC, 0),
	};
}

/* Puts back what a range has outside of [address, end). */
static int put_rest(struct vfio_user_dma *dma, const struct vfio_user_range *whole, uint64_t address,
		    uint64_t end)
{
	int error = 0;

	for (unsigned side = 0; side < 2; side++) {
		uint64_t from = side ? end : whole->address, to = side ? end_of(whole) : address;
		struct vfio_user_range rest, *part;

		if (from >= to)
			continue;
		rest = part_of(whole, from, to);
		part = insert(dma, &rest);
		if (whole->mapped && can_reach(part) && !error)
			error = reach(dma, part);
	}
	return error;
}

/* Takes [address, end) out of all ranges. Two of them at most have something outside. */
static int clear(struct vfio_user_dma *dma, uint64_t address, uint64_t end)
{
	struct guest_memory *memory = guest_memory_without(dma->memory, address, end - address);
	struct vfio_user_range edge[2];
	unsigned edges = 0, at = 0;
	int error = 0;

	if (!memory)
		return -ENOMEM;
	replace(dma, memory);
	while (at < dma->count) {
		struct vfio_user_range *range = &dma->range[at];

		if (end_of(range) <= address || range->address >= end) {
			at++;
			continue;
		}
		if (range->address < address || end_of(range) > end) {
			edge[edges++] = *range;
			range->fd = -1;
		}
		forget(dma, at);
	}
	for (unsigned i = 0; i < edges; i++) {
		int failed = put_rest(dma, &edge[i], address, end);

		error = error ? error : failed;
		reaper_close(&edge[i].fd);
	}
	return error;
}

/* ---- what the VMM says ---- */

static bool is_same(const struct vfio_user_range *range, const struct vfio_user_dma_map *map)
{
	return range->address == map->address && range->size == map->size && range->offset == map->offset;
}

/* Memory that the device may read and write. Other ranges are known, so that their unmapping is. */
static bool is_memory(const struct vfio_user_dma_map *map)
{
	return map->flags & VFIO_USER_DMA_READABLE && map->flags & VFIO_USER_DMA_WRITABLE;
}

static bool is_reachable(const struct vfio_user_dma_map *map, int fd)
{
	return fd >= 0 && !endpoint_fd_is_file(fd) && is_memory(map);
}

int vfio_user_dma_map(struct vfio_user_dma *dma, const struct vfio_user_dma_map *map, int *fd)
{
	struct vfio_user_range added = {
		.address = map->address,
		.size = map->size,
		.offset = map->offset,
		.fd = -1,
		.remote = *fd < 0 && dma->has_messages && is_memory(map),
	};
	struct vfio_user_range *range;
	uint64_t end;
	int error;

	if (map->size == 0 || !checked_add(map->offset, map->size, &end) ||
	    !checked_add(map->address, map->size, &end) ||
	    (map->address | map->size | map->offset) % PAGE_BYTES != 0)
		return -EINVAL;
	for (unsigned i = 0; i < dma->count && *fd < 0; i++)
		if (is_same(&dma->range[i], map) && dma->range[i].fd < 0 &&
		    dma->range[i].remote == added.remote)
			return 0;
	/* One that is cut in two, and the new one. */
	if (dma->count + split_count(dma, map->address, end) >= VFIO_USER_MAPS_MAX)
		return -ENOSPC;
	error = clear(dma, map->address, end);
	if (error)
		return error;
	if (is_reachable(map, *fd)) {
		added.fd = *fd;
		*fd = -1;
	}
	/* Of a file that there is not: parts of the range are the same at any place. */
	if (added.remote)
		added.offset = 0;
	range = insert(dma, &added);
	error = can_reach(range) ? reach(dma, range) : 0;
	/* Others have ranges without a file that are larger than memory is: another device's, for instance.
	 */
	if (error && added.remote) {
		range->remote = false;
		return 0;
	}
	if (error)
		forget(dma, (unsigned)(range - dma->range));
	return error;
}

int vfio_user_dma_unmap(struct vfio_user_dma *dma, uint64_t address, uint64_t size)
{
	uint64_t end;

	if (size == 0 || !checked_add(address, size, &end) || (address | size) % PAGE_BYTES != 0)
		return -EINVAL;
	if (dma->count + split_count(dma, address, end) > VFIO_USER_MAPS_MAX)
		return -ENOSPC;
	return clear(dma, address, end);
}

void vfio_user_dma_unmap_all(struct vfio_user_dma *dma)
{
	while (dma->count > 0)
		forget(dma, dma->count - 1);
	replace(dma, guest_memory_get(dma->empty));
}

bool vfio_user_dma_is_private(const struct vfio_user_dma *dma)
{
	for (unsigned i = 0; i < dma->count; i++)
		if (dma->range[i].mapped && !dma->range[i].remote)
			return false;
	return dma->count > 0;
}

/* ---- takeover ---- */

void vfio_user_dma_save(const struct vfio_user_dma *dma, struct handover *handover)
{
	handover_put_u64(handover, dma->count);
	for (unsigned i = 0; i < dma->count; i++) {
		const struct vfio_user_range *range = &dma->range[i];

		handover_put_u64(handover, range->address);
		handover_put_u64(handover, range->size);
		handover_put_u64(handover, range->offset);
		handover_put_fd(handover, range->mapped ? range->fd : -1);
		handover_put_u64(handover, range->mapped && range->remote);
	}
}

void vfio_user_dma_restore(struct vfio_user_dma *dma, bool knows_remote, struct handover *handover)
{
	uint64_t count = handover_get_at_most(handover, VFIO_USER_MAPS_MAX);

	for (uint64_t i = 0; i < count && !handover->error; i++) {
		struct vfio_user_dma_map map = { .flags = 0 };
		int fd;

		map.address = handover_get_u64(handover);
		map.size = handover_get_u64(handover);
		map.offset = handover_get_u64(handover);
		fd = handover_get_fd(handover);
		if ((knows_remote && handover_get_flag(handover)) || fd >= 0)
			map.flags = VFIO_USER_DMA_READABLE | VFIO_USER_DMA_WRITABLE;
		if (!handover->error)
			handover_fail_if(handover, vfio_user_dma_map(dma, &map, &fd));
		reaper_close(&fd);
	}
}
