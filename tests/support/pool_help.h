/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small helpers for tests of the pool. */
#ifndef VIADUCT_TESTS_SUPPORT_POOL_HELP_H
#define VIADUCT_TESTS_SUPPORT_POOL_HELP_H

#include <string.h>

#include "arbiter/pool/pool.h"
#include "core/crc32c.h"
#include "core/loop.h"

struct pool_waiter {
	struct pool_commit commit;
	bool finished;
	int error;
};

static inline void pool_waiter_done(struct pool_commit *commit, int error)
{
	struct pool_waiter *waiter = (void *)commit;

	waiter->finished = true;
	waiter->error = error;
}

/* Commits and waits; returns what done() was told. */
static inline int pool_commit_wait(struct loop *loop, struct pool_disk *disk)
{
	struct pool_waiter waiter = {.commit = {.loop = loop, .done = pool_waiter_done}};

	pool_commit(disk, &waiter.commit);
	while (!waiter.finished)
		loop_turn(loop, 1000000000);
	return waiter.error;
}

/*
 * A number that stands for everything a pool says: its disks, where they lie, what is written, what is free.
 */
static inline uint32_t pool_digest(struct pool *pool)
{
	struct pool_space space;
	struct pool_run run;
	uint32_t crc;

	pool_space(pool, &space);
	crc = crc32c(0, &space, sizeof(space));
	for (struct pool_disk *disk = NULL; (disk = pool_disk_next(pool, disk));) {
		uint64_t size = pool_disk_size_bytes(disk), offset = 0;

		crc = crc32c(crc, pool_disk_name(disk), strlen(pool_disk_name(disk)) + 1);
		crc = crc32c(crc, &size, sizeof(size));
		while (offset < size) {
			struct pool_span span;

			memset(&span, 0, sizeof(span));
			if (!pool_lookup(disk, offset, size - offset, &span))
				return 0;
			crc = crc32c(crc, &span, sizeof(span));
			offset += span.length_bytes;
		}
	}
	for (uint64_t offset = 0; pool_run_next(pool, offset, &run);
	     offset = run.offset_bytes + run.length_bytes) {
		const char *owner = run.owner ? pool_disk_name(run.owner) : "";

		run.owner = NULL;
		crc = crc32c(crc, &run, sizeof(run));
		crc = crc32c(crc, owner, strlen(owner) + 1);
	}
	return crc;
}

#endif
