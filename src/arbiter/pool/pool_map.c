/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What workers see of a pool: where a disk's bytes lie and which grains are written.
 *
 * A worker that sees a written bit, writes into the grain and then commits relies on that commit to make the
 * bit durable, even if another worker set it a moment ago. So a commit must not miss a bit that was visible
 * before it began. A mark therefore counts itself in marking[parity] from before the bit is visible until its
 * extent is in the dirty bitmap; a commit flips the parity, waits for the old count to reach zero (the few
 * nanoseconds of a mark under way), and only then takes the dirty bitmap and reads the bits. For the same
 * reason disk->uncovered is counted up before the bit is visible.
 */
#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <sys/mman.h>

#include "arbiter/pool/pool_private.h"
#include "core/checked.h"
#include "core/shared.h"

int pool_live_init(struct pool *pool)
{
	uint64_t capacity =
		align_up(pool->journal.layout.capacity_extents, (uint64_t)POOL_DIRTY_BITS * POOL_DIRTY_BITS);
	uint64_t leaf_words = capacity / POOL_DIRTY_BITS, summary_words = leaf_words / POOL_DIRTY_BITS;
	size_t bytes = (leaf_words + summary_words) * sizeof(uint64_t) + capacity * sizeof(uint16_t);
	void *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert(!pool->dirty_summary);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	pool->dirty_summary = memory;
	pool->dirty = pool->dirty_summary + summary_words;
	pool->live = (uint16_t *)(pool->dirty + leaf_words);
	pool->live_bytes = bytes;
	return 0;
}

void pool_live_finish(struct pool *pool)
{
	assert(pool->marking[0] == 0 && pool->marking[1] == 0);
	if (pool->dirty_summary)
		munmap(pool->dirty_summary, pool->live_bytes);
	pool->dirty_summary = NULL;
}

void pool_live_set(struct pool *pool, uint32_t extent, uint16_t bits)
{
	assert(extent < pool->journal.layout.capacity_extents);
	shared_write(&pool->live[extent], bits);
}

/* ---- lookup ---- */

static unsigned grain_written(uint16_t bits, uint64_t offset_bytes)
{
	return (bits >> (offset_bytes / POOL_GRAIN_BYTES % POOL_GRAINS)) & 1u;
}

bool pool_lookup(const struct pool_disk *disk, uint64_t offset_bytes, uint64_t length_bytes,
		 struct pool_span *ret_span)
{
	/* Pairs with the release in pool_disk_grow(): the map reaches at least as far as the size. */
	uint64_t size = shared_read_acquire(&disk->size_bytes);
	const struct pool_map *map = shared_read_acquire(&disk->map);
	uint64_t position = align_down(offset_bytes, POOL_GRAIN_BYTES), end;
	uint32_t extent;
	unsigned written;
	uint16_t bits;

	if (length_bytes == 0 || !checked_range(offset_bytes, length_bytes, size))
		return false;
	end = offset_bytes + length_bytes;
	assert((end - 1) / POOL_EXTENT_BYTES < map->count);
	extent = map->extents[offset_bytes / POOL_EXTENT_BYTES];
	assert(extent < disk->pool->journal.layout.capacity_extents);
	/* Pairs with the store in mark_extent(): a thread that sees a bit sees what was counted before it. */
	bits = shared_read_acquire(&disk->pool->live[extent]);
	written = grain_written(bits, position);
	ret_span->offset_bytes = disk->pool->journal.layout.data_offset +
				 (uint64_t)extent * POOL_EXTENT_BYTES + offset_bytes % POOL_EXTENT_BYTES;
	ret_span->state = written ? POOL_WRITTEN : POOL_BLANK;

	while ((position += POOL_GRAIN_BYTES) < end) {
		if (is_aligned(position, POOL_EXTENT_BYTES)) {
			if (map->extents[position / POOL_EXTENT_BYTES] != extent + 1)
				break;
			bits = shared_read_acquire(&disk->pool->live[++extent]);
		}
		if (grain_written(bits, position) != written)
			break;
	}
	ret_span->length_bytes = (position < end ? position : end) - offset_bytes;
	return true;
}

/* ---- marks ---- */

/* Enters the section that a commit waits for; returns the parity to leave it with. */
static unsigned marking_begin(struct pool *pool)
{
	for (;;) {
		unsigned parity = __atomic_load_n(&pool->mark_parity, __ATOMIC_SEQ_CST) & 1;

		__atomic_fetch_add(&pool->marking[parity], 1, __ATOMIC_SEQ_CST);
		if ((__atomic_load_n(&pool->mark_parity, __ATOMIC_SEQ_CST) & 1) == parity)
			return parity;
		/* A commit began in between and may not wait for us. */
		__atomic_fetch_sub(&pool->marking[parity], 1, __ATOMIC_SEQ_CST);
	}
}

static void marking_end(struct pool *pool, unsigned parity)
{
	unsigned before = __atomic_fetch_sub(&pool->marking[parity], 1, __ATOMIC_SEQ_CST);

	assert(before > 0);
}

void pool_marks_wait(struct pool *pool)
{
	unsigned old = __atomic_fetch_xor(&pool->mark_parity, 1, __ATOMIC_SEQ_CST) & 1;

	while (__atomic_load_n(&pool->marking[old], __ATOMIC_SEQ_CST) != 0)
		sched_yield();
}

void pool_dirty_put_back(struct pool *pool, uint32_t extent)
{
	uint32_t leaf = extent / POOL_DIRTY_BITS;

	/* The leaf first: pool_dirty_take() clears the summary first, so it misses neither or takes both. */
	__atomic_fetch_or(&pool->dirty[leaf], 1ull << (extent % POOL_DIRTY_BITS), __ATOMIC_SEQ_CST);
	__atomic_fetch_or(&pool->dirty_summary[leaf / POOL_DIRTY_BITS], 1ull << (leaf % POOL_DIRTY_BITS),
			  __ATOMIC_SEQ_CST);
}

static void mark_extent(struct pool *pool, uint32_t extent, uint16_t mask, enum pool_state state)
{
	assert(extent < pool->journal.layout.capacity_extents);
	/* Pairs with the acquire in pool_lookup(). */
	if (state == POOL_WRITTEN)
		__atomic_fetch_or(&pool->live[extent], mask, __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(&pool->live[extent], (uint16_t)~mask, __ATOMIC_SEQ_CST);
	pool_dirty_put_back(pool, extent);
}

void pool_mark(struct pool_disk *disk, uint64_t offset_bytes, uint64_t length_bytes, enum pool_state state)
{
	const struct pool_map *map = shared_read_acquire(&disk->map);
	uint64_t grain = offset_bytes / POOL_GRAIN_BYTES;
	uint64_t end = grain + (length_bytes + POOL_GRAIN_BYTES - 1) / POOL_GRAIN_BYTES;
	unsigned parity;

	assert(is_aligned(offset_bytes, POOL_GRAIN_BYTES));
	assert(end <= (uint64_t)map->count * POOL_GRAINS);
	if (length_bytes == 0)
		return;
	parity = marking_begin(disk->pool);
	__atomic_fetch_add(&disk->uncovered, 1, __ATOMIC_SEQ_CST);
	while (grain < end) {
		unsigned first = grain % POOL_GRAINS;
		unsigned count =
			end - grain < POOL_GRAINS - first ? (unsigned)(end - grain) : POOL_GRAINS - first;
		uint16_t mask = (uint16_t)(((1u << count) - 1) << first);

		mark_extent(disk->pool, map->extents[grain / POOL_GRAINS], mask, state);
		grain += count;
	}
	marking_end(disk->pool, parity);
}

bool pool_disk_dirty(const struct pool_disk *disk)
{
	return shared_read(&disk->uncovered) != 0;
}

static int take_leaf(struct pool *pool, uint32_t leaf,
		     int (*take)(struct pool *pool, uint32_t extent, uint16_t bits))
{
	uint64_t word = __atomic_exchange_n(&pool->dirty[leaf], 0, __ATOMIC_SEQ_CST);
	int error = 0;

	for (; word && !error; word &= word - 1) {
		uint32_t extent = leaf * POOL_DIRTY_BITS + (uint32_t)__builtin_ctzll(word);

		assert(extent < pool->journal.ledger.extent_count);
		error = take(pool, extent, __atomic_load_n(&pool->live[extent], __ATOMIC_SEQ_CST));
	}
	return error;
}

int pool_dirty_take(struct pool *pool, int (*take)(struct pool *pool, uint32_t extent, uint16_t bits))
{
	uint32_t leaves = (pool->journal.ledger.extent_count + POOL_DIRTY_BITS - 1) / POOL_DIRTY_BITS;
	int error = 0;

	for (uint32_t s = 0; s * POOL_DIRTY_BITS < leaves && !error; s++) {
		uint64_t word;

		if (shared_read(&pool->dirty_summary[s]) == 0)
			continue;
		word = __atomic_exchange_n(&pool->dirty_summary[s], 0, __ATOMIC_SEQ_CST);
		for (; word && !error; word &= word - 1)
			error = take_leaf(pool, s * POOL_DIRTY_BITS + (uint32_t)__builtin_ctzll(word), take);
	}
	return error;
}

/* ---- the map for people ---- */

/* Does extent e continue the run that extent e - 1 belongs to? */
static bool continues(const struct pool_ledger *ledger, uint32_t e)
{
	const struct pool_extent *extent = &ledger->extents[e], *before = extent - 1;

	assert(e > 0 && e < ledger->extent_count);
	return extent->disk_id == before->disk_id &&
	       (extent->disk_id == 0 || extent->index == before->index + 1);
}

bool pool_run_next(struct pool *pool, uint64_t offset_bytes, struct pool_run *ret_run)
{
	const struct pool_ledger *ledger = &pool->journal.ledger;
	uint64_t data = pool->journal.layout.data_offset, first, e;
	struct pool_run run = {0};
	unsigned grains = 0;

	first = offset_bytes > data ? (offset_bytes - data) / POOL_EXTENT_BYTES : 0;
	if (first >= ledger->extent_count)
		return false;
	e = first;
	do {
		grains += (unsigned)__builtin_popcount(shared_read(&pool->live[e++]));
	} while (e < ledger->extent_count && continues(ledger, (uint32_t)e));
	run.offset_bytes = data + first * POOL_EXTENT_BYTES;
	run.length_bytes = (e - first) * POOL_EXTENT_BYTES;
	for (const struct pool_disk *disk = pool->first_disk; disk && !run.owner; disk = disk->next)
		if (disk->id == ledger->extents[first].disk_id)
			run.owner = disk;
	assert(run.owner || ledger->extents[first].disk_id == 0);
	if (run.owner) {
		run.disk_offset_bytes = (uint64_t)ledger->extents[first].index * POOL_EXTENT_BYTES;
		run.written_bytes = (uint64_t)grains * POOL_GRAIN_BYTES;
	}
	*ret_run = run;
	return true;
}
