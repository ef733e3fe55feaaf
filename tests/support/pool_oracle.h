/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a pool owes its guests, kept naively: for each sector of each disk, which version an acknowledged
 * commit covers and which versions were written since. Every sector written says whose it is, where it
 * belongs and when it was written, so that a wrong one is recognised wherever it turns up.
 *
 * A broken promise is printed and aborts: the checks run on any thread.
 */
#ifndef VIADUCT_TESTS_SUPPORT_POOL_ORACLE_H
#define VIADUCT_TESTS_SUPPORT_POOL_ORACLE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "arbiter/pool/pool.h"

#define ORACLE_SECTOR	    512u
#define ORACLE_DISKS_MAX    6u
#define ORACLE_SECTORS_MAX  (8u * POOL_EXTENT_BYTES / ORACLE_SECTOR)	/* of a disk */

struct oracle_sector {
	uint32_t committed;	/* version that an acknowledged commit covers */
	uint32_t committing;	/* … that the commit under way will cover */
	uint32_t data, zero;	/* last version written, last version discarded */
};

struct oracle_disk {
	uint32_t serial;
	uint64_t size_bytes;
	char name[POOL_NAME_MAX + 1];
	struct pool_disk *disk;
	struct oracle_sector *sectors;
};

struct oracle {
	struct oracle_disk disks[ORACLE_DISKS_MAX + 1];	/* in order of creation */
	unsigned count;
};

#define require(condition)                                                                  \
	do {                                                                                \
		if (!(condition)) {                                                         \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);     \
			abort();                                                            \
		}                                                                           \
	} while (0)

/* A disk "guest/diskSERIAL"; oracle_disk_finish() frees its sectors. */
void oracle_disk_init(struct oracle_disk *disk, uint32_t serial, uint64_t size_bytes);
void oracle_disk_finish(struct oracle_disk *disk);

/* Fills in the bytes of one sector, written now as `version`, and remembers it. */
void oracle_write(struct oracle_disk *disk, uint32_t sector, uint32_t version, uint8_t *bytes);
/* The sectors [first, end) were discarded as `version`. */
void oracle_discard(struct oracle_disk *disk, uint32_t first, uint32_t end, uint32_t version);

/* A commit begins, with what was written until now; and: it was acknowledged. */
void oracle_commit_begins(struct oracle *oracle);
void oracle_commit_done(struct oracle *oracle);

/* Is the pool's list of disks the oracle's? */
bool oracle_lists_equal(const struct oracle *oracle, struct pool *pool);

/* Requires that every sector of `disk` is one that `model` allows; `bytes` are those of the physical disk. */
void oracle_check_disk(const struct oracle_disk *model, const struct pool_disk *disk, const uint8_t *bytes);

#endif
