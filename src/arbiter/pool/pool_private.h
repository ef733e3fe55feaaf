/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The running pool, for the files pool*.c only.
 *
 * Beside the durable state (pool_ledger.h, under the journal's lock) there is what workers see: each disk's
 * list of extents, and one 16-bit word of live written bits an extent. Workers change the live bits, and
 * say so in the dirty bitmap; a group commit carries them into the durable state (pool_commit.c).
 */
#ifndef VIADUCT_ARBITER_POOL_POOL_PRIVATE_H
#define VIADUCT_ARBITER_POOL_POOL_PRIVATE_H

#include <pthread.h>
#include <semaphore.h>

#include "arbiter/pool/pool.h"
#include "arbiter/pool/pool_journal.h"

/* The extents of a disk, in order. Never changed once published: growth publishes a new one. */
struct pool_map {
	struct pool_map *retired_next;
	uint32_t count;
	uint32_t extents[];
};

struct pool_disk {
	struct pool *pool;
	struct pool_disk *next;		/* in order of creation */
	struct pool_map *map;		/* atomic: published with release before the size that needs it */
	uint64_t size_bytes;		/* atomic */
	uint64_t uncovered;		/* atomic: marks that no finished commit covers */
	uint64_t covering;		/* journal's: how many of them the running commit covers */
	uint32_t id;
	char name[POOL_NAME_BYTES];
};

struct pool_commit_private;

/* pool_answer.c */
struct pool_answer {
	pthread_mutex_t lock;
	pthread_cond_t came;
	uint64_t asked_ns;		/* atomic, changed with the lock held; 0: nothing is asked */
	uint64_t patience_ns;		/* control thread; 0: nothing is asked */
	uint64_t good_until_ns;		/* until when a change may use an answer that has come; 0: none */
	bool told;			/* a change was refused, and that was said */
};

/* Bits of one leaf word of the dirty bitmap: extents; of one summary word: leaf words. */
#define POOL_DIRTY_BITS 64u

struct pool {
	struct pool_journal journal;
	struct pool_disk *first_disk;	/* changed by the control thread with the journal's lock held */
	struct pool_map *retired;	/* maps that workers may still look at; freed when the pool closes */

	/* Indexed by extent, room for the capacity, all accesses atomic; one mapping of live_bytes. */
	uint16_t *live;
	uint64_t *dirty, *dirty_summary;
	size_t live_bytes;
	/* Marks under way, by parity: how a commit knows that a mark it must see is complete. */
	unsigned mark_parity;
	unsigned marking[2];

	/* Group commit. */
	struct pool_commit_private *queue;	/* atomic stack */
	sem_t wake;
	pthread_t thread;
	bool thread_running;
	bool stop;				/* atomic */
	uint64_t working_since_ns;		/* atomic: of the commits that are carried out; 0: none are */
	struct pool_answer answer;
	struct pool_written_wire *marks;	/* journal's: what the running commit found */
	uint32_t mark_count, mark_room;
};

/* ---- pool_map.c ---- */

int pool_live_init(struct pool *pool);
void pool_live_finish(struct pool *pool);
/* Live bits of an extent that no worker can reach; not marked as dirty. */
void pool_live_set(struct pool *pool, uint32_t extent, uint16_t bits);
/* Waits until every mark that began before is complete. Journal's lock held. */
void pool_marks_wait(struct pool *pool);
/*
 * Takes the dirty extents: calls take() in ascending order for each, with its live bits. Stops at, and
 * returns, the first error. Journal's lock held.
 */
int pool_dirty_take(struct pool *pool, int (*take)(struct pool *pool, uint32_t extent, uint16_t bits));
/* The extent is dirty again: it was taken for a record that was not written. */
void pool_dirty_put_back(struct pool *pool, uint32_t extent);

/* ---- pool_commit.c ---- */

/* Starts and stops the journal's thread. Start returns 0 or -errno. */
int pool_commit_start(struct pool *pool);
void pool_commit_stop(struct pool *pool);
/* Carries out the commits that wait, if any: the journal's thread, or a test in its place. */
bool pool_commit_group(struct pool *pool);
/* One group commit: everything marked before the call. Journal's lock held. Returns 0 or -errno. */
int pool_commit_marks(struct pool *pool);

/* ---- pool_answer.c ---- */

int pool_answer_init(struct pool_answer *answer);
void pool_answer_finish(struct pool_answer *answer);
/* The journal's thread: answers when it is asked. */
void pool_answer_give(struct pool *pool);

/* ---- pool_disk.c ---- */

/* The object of a disk that is in the state, at the end of the list. NULL: no memory. */
struct pool_disk *pool_disk_attach(struct pool *pool, const struct pool_entry *entry);
void pool_disks_free(struct pool *pool);

#endif
