/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does a disk hold something that somebody may miss: a file system, partition table, volume manager, RAID
 * member, encrypted volume, swap or disk image? libblkid knows the first kinds (it is what the host's own
 * tools ask); a few image formats, which it does not look for, are told by their magic numbers.
 */
#ifndef VIADUCT_ARBITER_POOL_POOL_SIGNATURE_H
#define VIADUCT_ARBITER_POOL_POOL_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>

struct host_disk;

#define POOL_SIGNATURE_MAX 64

/* libblkid's farthest offsets: VMFS at 2 MiB + 64 KiB from the start; all tails lie in the last MiB. */
#define POOL_HEAD_BYTES (4u << 20)
#define POOL_TAIL_BYTES (1u << 20)

/*
 * Looks at the beginning and, with `whole`, also at the end of a disk. Returns 1 and a name ("ext4 file
 * system"), 0 when nothing was found (ret_name untouched), or -errno. A pool's own signature is not looked
 * for.
 */
int pool_signature_find(struct host_disk *host, bool whole, char ret_name[POOL_SIGNATURE_MAX]);

#endif
