/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads a pool's metadata from its disk, verifies all of it and replays the log, for pool_open() and
 * pool_check(). Writes nothing.
 */
#ifndef VIADUCT_ARBITER_POOL_POOL_LOAD_H
#define VIADUCT_ARBITER_POOL_POOL_LOAD_H

#include "arbiter/pool/pool_ledger.h"

struct host_disk;

/* Where findings go. report() may be NULL. */
struct pool_reporter {
	void (*report)(void *context, const struct pool_finding *finding);
	void *context;
	unsigned repairable;		/* findings of severity 1 so far */
	unsigned damages;		/* of severity 2 */
	struct pool_finding first_damage;
};

void pool_report(struct pool_reporter *reporter, int severity, uint64_t offset_bytes, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The metadata as it was found. */
struct pool_image {
	struct pool_superblock superblock;
	struct pool_layout layout;
	struct pool_ledger ledger;
	uint64_t next_sequence;
	uint32_t log_used_blocks;
	bool superblock_damaged;	/* a copy is damaged (not only older) */
};

/*
 * Returns 0 and *ret_image, whose state the caller finishes; or -ENOENT (no pool here), -EPROTONOSUPPORT,
 * -EBADMSG (reporter->first_damage says what and where), -ENOMEM, or the disk's error. Goes on looking
 * after damage, so that a check reports all of it.
 */
int pool_load(struct host_disk *host, struct pool_reporter *reporter, struct pool_image *ret_image);

/*
 * Memory that direct I/O takes; `bytes` is a multiple of POOL_BLOCK_BYTES. NULL: no memory. Freed by free().
 */
void *pool_buffer(size_t bytes);

#endif
