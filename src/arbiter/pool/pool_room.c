/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arbiter/pool/pool_room.h"

#include <assert.h>

#include "host/host_disk.h"

/* The superblocks, and of each area its list with the table behind it, and the mirrors of its log. */
#define RANGES (1 + POOL_AREAS * (1 + POOL_MIRRORS))

struct range {
	uint64_t offset_bytes, length_bytes;
};

static void find_ranges(const struct pool_layout *layout, uint32_t extent_count, struct range ranges[RANGES])
{
	uint64_t table = (uint64_t)pool_layout_table_blocks(extent_count) * POOL_BLOCK_BYTES;
	uint64_t log = (uint64_t)pool_layout_log_limit(layout, extent_count) * POOL_BLOCK_BYTES;
	unsigned count = 0;

	assert(extent_count <= layout->capacity_extents);
	ranges[count++] = (struct range){ 0, POOL_AREAS_OFFSET };
	for (unsigned a = 0; a < POOL_AREAS; a++) {
		uint64_t area = layout->area_offset[a];

		ranges[count++] = (struct range){ area, layout->table_offset + table };
		for (unsigned m = 0; m < POOL_MIRRORS; m++)
			ranges[count++] = (struct range){ area + layout->log_offset[m], log };
	}
	assert(count == RANGES);
}

uint64_t pool_room_bytes(const struct pool_layout *layout, uint32_t extent_count)
{
	struct range ranges[RANGES];
	uint64_t bytes = 0;

	find_ranges(layout, extent_count, ranges);
	for (unsigned i = 0; i < RANGES; i++)
		bytes += ranges[i].length_bytes;
	return bytes;
}

int pool_room_reserve(struct host_disk *host, const struct pool_layout *layout, uint32_t extent_count,
		      bool blank)
{
	struct range ranges[RANGES];
	int error = 0;

	if (!host->ops->reserve_sync)
		return 0;
	find_ranges(layout, extent_count, ranges);
	for (unsigned i = 0; i < RANGES && !error; i++) {
		assert(ranges[i].offset_bytes + ranges[i].length_bytes <= layout->data_offset);
		error = host->ops->reserve_sync(host, ranges[i].offset_bytes, ranges[i].length_bytes, blank);
	}
	return error;
}
