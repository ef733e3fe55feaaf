/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arbiter/pool/pool_contents.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/pool/pool_format.h"
#include "arbiter/pool/pool_load.h"
#include "arbiter/pool/pool_signature.h"
#include "core/checked.h"
#include "host/host_disk.h"

#define CHUNK_BYTES (256u << 10)

/* Where the table of extents of a new pool on this disk lies, bytes. Empty: the disk is too small for one. */
struct table {
	uint64_t from, to;
};

static struct table new_table(const struct host_disk *host)
{
	struct pool_layout layout;
	struct table table = {0};
	uint32_t extent_count;

	if (pool_layout_choose(host->geometry.size_bytes, &layout, &extent_count) == 0) {
		table.from = layout.area_offset[0] + layout.table_offset;
		table.to = table.from + (uint64_t)layout.table_blocks * POOL_BLOCK_BYTES;
	}
	return table;
}

static bool all_zero(const void *bytes, size_t count)
{
	const uint8_t *first = bytes;

	assert(count > 0);
	return first[0] == 0 && memcmp(first, first + 1, count - 1) == 0;
}

/*
 * A block of a new pool's table, or part of one. The table is written before the superblock, and no extent is
 * in use yet: a crash leaves headers and checksums in blocks of zeroes, maybe one without the other.
 */
static bool is_new_table_block(const struct pool_block_wire *block)
{
	const struct pool_block_header_wire *header = &block->header;

	if (!all_zero(block->payload, sizeof(block->payload)))
		return false;
	return all_zero(header, sizeof(*header)) ||
	       (header->magic == POOL_SNAPSHOT_MAGIC && header->kind == POOL_BLOCK_TABLE &&
		header->generation == 1);
}

/* Looks for data in [from, to), both multiples of POOL_BLOCK_BYTES. Returns 1: there is some, 0 or -errno. */
static int find_in_part(struct host_disk *host, const struct table *table, uint64_t from, uint64_t to)
{
	uint8_t *buffer = pool_buffer(CHUNK_BYTES);
	int result = buffer ? 0 : -ENOMEM;

	assert(from <= to);
	assert(is_aligned(from | to, POOL_BLOCK_BYTES));
	for (; from < to && !result; from += CHUNK_BYTES) {
		size_t bytes = to - from < CHUNK_BYTES ? (size_t)(to - from) : CHUNK_BYTES;

		result = host->ops->read_sync(host, from, buffer, bytes);
		for (size_t at = 0; at < bytes && !result; at += POOL_BLOCK_BYTES) {
			bool in_table = from + at >= table->from && from + at < table->to;

			result = !all_zero(buffer + at, POOL_BLOCK_BYTES) &&
				 !(in_table && is_new_table_block((const void *)(buffer + at)));
		}
	}
	free(buffer);
	return result;
}

static int find_data(struct host_disk *host)
{
	uint64_t end = align_down(host->geometry.size_bytes, POOL_BLOCK_BYTES);
	uint64_t head = end < POOL_HEAD_BYTES ? end : POOL_HEAD_BYTES;
	uint64_t tail = end - head < POOL_TAIL_BYTES ? head : end - POOL_TAIL_BYTES;
	struct table table = new_table(host);
	int found = find_in_part(host, &table, 0, head);

	return found ? found : find_in_part(host, &table, tail, end);
}

static const char *article(const char *name)
{
	return strchr("aeioAEIO", name[0]) ? "an" : "a";
}

int pool_contents_find(struct host_disk *host, char ret_name[POOL_CONTENTS_MAX])
{
	char signature[POOL_SIGNATURE_MAX];
	int found;

	if (pool_probe(host)) {
		snprintf(ret_name, POOL_CONTENTS_MAX, "a pool");
		return 1;
	}
	found = pool_signature_find(host, true, signature);
	if (found > 0)
		snprintf(ret_name, POOL_CONTENTS_MAX, "%s %s", article(signature), signature);
	if (found)
		return found;
	found = find_data(host);
	if (found > 0)
		snprintf(ret_name, POOL_CONTENTS_MAX, "data that is no known format");
	return found;
}
