/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The only code that writes a pool's metadata, and the order in which it does so:
 *
 *   append      the record to mirror 0, to mirror 1; flush; only then is it applied to the state
 *   checkpoint  the state to the inactive area; flush; superblock copy 0; flush; copy 1; flush;
 *               from now on that area is the active one and its log is empty
 *
 * So at any moment one area holds a snapshot and a log that together are the last durable state. A write or
 * flush that fails fails the journal for good: what is on the disk is then unknown.
 *
 * Everything here is called with `lock` held, except where it says otherwise.
 */
#ifndef VIADUCT_ARBITER_POOL_POOL_JOURNAL_H
#define VIADUCT_ARBITER_POOL_POOL_JOURNAL_H

#include <pthread.h>

#include "arbiter/pool/pool_load.h"

struct host_disk;

struct pool_journal {
	pthread_mutex_t lock;		/* serialises control changes with group commits */
	struct host_disk *host;
	struct pool_layout layout;
	struct pool_superblock superblock;	/* as last written; counts in it are of that moment */
	struct pool_ledger ledger;
	uint64_t next_sequence;
	uint32_t position_blocks;	/* where the next record goes */
	uint8_t *buffer;
	uint32_t buffer_blocks;
	int failure;			/* 0, -EIO after a failure, -EROFS on a read-only disk */
};

/*
 * Takes over the image's state (image->ledger is empty afterwards). The lock is not needed. Returns 0, or
 * -ENOMEM with the image untouched.
 */
int pool_journal_init(struct pool_journal *journal, struct host_disk *host, struct pool_image *image);
void pool_journal_finish(struct pool_journal *journal);

/*
 * Makes a change durable and applies it. The change fits the state (asserted). Returns 0; -EIO or -EROFS;
 * -ENOMEM (nothing was done).
 */
int pool_journal_append(struct pool_journal *journal, const struct pool_change *change);

/*
 * Writes a snapshot to the other area and empties the log. Returns 0, -EIO, -EROFS, -ENOMEM (nothing done).
 */
int pool_journal_checkpoint(struct pool_journal *journal);

/* Flushes the host disk; a failure fails the journal. */
int pool_journal_flush(struct pool_journal *journal);

/* Marks the journal as failed for good, says why in the log, and returns -EIO. */
int pool_journal_fail(struct pool_journal *journal, const char *what, int error);

#endif
