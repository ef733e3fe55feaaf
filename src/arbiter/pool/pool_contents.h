/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What would be lost if a pool were made on a disk? Only a blank disk is formatted without the user's
 * insistence, and whatever else it holds is named.
 */
#ifndef VIADUCT_ARBITER_POOL_POOL_CONTENTS_H
#define VIADUCT_ARBITER_POOL_POOL_CONTENTS_H

struct host_disk;

#define POOL_CONTENTS_MAX 80

/*
 * Returns 0 when the disk is blank: its first 4 MiB and its last 1 MiB are zeroes or holes, so that no
 * signature is there either. A pool whose making was cut off before it had a superblock counts as blank. Else
 * returns 1 and what the disk holds, with its article ("an ext4 file system", "data that is no known
 * format"), or -errno with ret_name untouched.
 */
int pool_contents_find(struct host_disk *host, char ret_name[POOL_CONTENTS_MAX]);

#endif
