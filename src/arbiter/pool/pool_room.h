/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Space of the file system under a pool's metadata. A pool in a sparse file shares its file system with
 * others, which may fill it up; so the space that metadata is written to is the pool's from the start: both
 * superblocks, and of each area the list of disks, the table and the logs as far as a pool of its size uses
 * them.
 */
#ifndef VIADUCT_ARBITER_POOL_POOL_ROOM_H
#define VIADUCT_ARBITER_POOL_POOL_ROOM_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "arbiter/pool/pool_format.h"

struct host_disk;

/*
 * Does the error of a write say that the file system is full, or a quota used up? What was to be written may
 * be there in part; what was there before is as it was, and the same write may succeed later.
 */
static inline bool pool_room_lacks(int error)
{
	return error == -ENOSPC || error == -EDQUOT;
}

/* How much pool_room_reserve() asks for. */
uint64_t pool_room_bytes(const struct pool_layout *layout, uint32_t extent_count);

/*
 * Reserves the space for the metadata of a pool of extent_count extents. `blank`: there is no pool on the
 * disk yet, and zeroes may be written. Returns 0 or -errno: pool_room_lacks(), or the disk's error. Nothing
 * of the pool has changed.
 */
int pool_room_reserve(struct host_disk *host, const struct pool_layout *layout, uint32_t extent_count,
		      bool blank);

#endif
