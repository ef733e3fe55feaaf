/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one function that proves a guest's range and says where it lies. Nothing else makes a placed_range for
 * a guest's request, so the promise "Space" can be read, tested and broken in one place.
 */
#ifndef VIADUCT_ARBITER_DISK_PLACE_H
#define VIADUCT_ARBITER_DISK_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "arbiter/pool.h"
#include "host/placed_range.h"

struct disk;

/*
 * Places the longest first part of [offset, offset + length) of the virtual disk that is contiguous on the
 * physical disk and of one state. Returns false, and touches nothing, when the whole range does not lie
 * inside the disk or is empty. Any worker; no locks.
 */
bool disk_place(const struct disk *disk, uint64_t offset_bytes, uint64_t length_bytes, struct placed_range *ret_range,
		enum pool_state *ret_state);

#endif
