/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A byte range of a physical disk that has been proven to belong to the guest it is used for. The only
 * function that makes one for a guest's request is disk_place() in arbiter/disk/disk_io.c, and host
 * drivers accept nothing else: that is how the promise "Space" is kept in one place.
 */
#ifndef VIADUCT_HOST_PLACED_RANGE_H
#define VIADUCT_HOST_PLACED_RANGE_H

#include <stdint.h>

struct placed_range {
	uint64_t offset_bytes;	/* on the physical disk */
	uint64_t length_bytes;	/* > 0 except for flush */
};

#endif
