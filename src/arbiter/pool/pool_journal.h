/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The only code that writes a pool's metadata, and the order in which it does so:
 *
 *   append      the record to mirror 0, to mirror 1; flush; only then is it applied to the state
 *   checkpoint  the state to the inactive area; flush; superblock copy 0; flush; copy 1; flush;
 *               from now on that area is the active one and its log is empty
 *
 * So at any moment one area holds a snapshot and a log that together are the last durable state.
 *
 * A write for which the file system has no room (pool_room.h) is refused, and the journal goes on. What such
 * a write may have left behind is settled before anything else is written:
 *
 *   a record            its head in both mirrors is made zeroes; flush; so the refused change is not replayed
 *   a superblock copy   the copies are written again: whether the new one is on the disk is unknown, so
 *                       nothing may be added to the old area's log, and the new area must stay what it is
 *   a snapshot          nothing: no superblock names it
 *
 * Any other write that fails, and any flush, fails the journal for good: what is on the disk is then unknown.
 *
 * Everything here is called with `lock` held, except where it says otherwise.
 */
#ifndef VIADUCT_ARBITER_POOL_POOL_JOURNAL_H
#define VIADUCT_ARBITER_POOL_POOL_JOURNAL_H

#include <pthread.h>

#include "arbiter/pool/pool_load.h"
#include "core/log.h"

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

	/* For lack of room. */
	bool torn;			/* a refused record may be in the log where the next one goes */
	bool switching;			/* `next`, whose area is complete, may be on the disk */
	struct pool_superblock next;
	bool unreserved;		/* the space of the metadata is not the pool's (and that was said) */
	bool refusing;			/* a change was refused last (and that was said) */
	struct log_subject subject;
};

/*
 * Takes over the image's state (image->ledger is empty afterwards). The lock is not needed. Returns 0, or
 * -ENOMEM with the image untouched.
 */
int pool_journal_init(struct pool_journal *journal, struct host_disk *host, struct pool_image *image);
void pool_journal_finish(struct pool_journal *journal);

/*
 * Makes a change durable and applies it. The change fits the state (asserted). Returns 0; -EIO or -EROFS;
 * -ENOMEM, or what pool_room_lacks() knows: nothing was done, and it may be tried again.
 */
int pool_journal_append(struct pool_journal *journal, const struct pool_change *change);

/*
 * Writes a snapshot to the other area and empties the log. Returns 0, or an error as pool_journal_append().
 */
int pool_journal_checkpoint(struct pool_journal *journal);

/*
 * Reserves the space for the metadata of a pool as large as this one is. When that cannot be had, a warning
 * says so, and the next change on request tries again. Not on a read-only disk.
 */
void pool_journal_reserve(struct pool_journal *journal);

/* Flushes the host disk; a failure fails the journal. */
int pool_journal_flush(struct pool_journal *journal);

/* Marks the journal as failed for good, says why in the log, and returns -EIO. */
int pool_journal_fail(struct pool_journal *journal, const char *what, int error);

#endif
