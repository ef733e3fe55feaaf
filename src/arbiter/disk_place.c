/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arbiter/disk_place.h"

#include "arbiter/disk_internal.h"
#include "core/checked.h"

bool disk_place(const struct disk *disk, uint64_t offset_bytes, uint64_t length_bytes, struct placed_range *ret_range,
		enum pool_state *ret_state)
{
	struct pool_span span;

	if (length_bytes == 0 || !checked_range(offset_bytes, length_bytes, disk_size_bytes(disk)))
		return false;
	if (!disk->pool) {
		*ret_range = (struct placed_range){ offset_bytes, length_bytes };
		*ret_state = POOL_WRITTEN;
		return true;
	}
	if (!pool_lookup(disk->part, offset_bytes, length_bytes, &span))
		return false;
	*ret_range = (struct placed_range){ span.offset_bytes, span.length_bytes };
	*ret_state = span.state;
	return true;
}
