/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arbiter/pool/pool_record.h"

#include <assert.h>
#include <string.h>

#define SEAL_BYTES sizeof(uint32_t)

static size_t payload_bytes(const struct pool_change *change)
{
	switch (change->kind) {
	case POOL_CHANGE_WRITTEN:
		return sizeof(struct pool_change_count_wire) +
		       (size_t)change->list_count * sizeof(struct pool_written_wire);
	case POOL_CHANGE_RESIZE:
		return sizeof(struct pool_change_count_wire);
	case POOL_CHANGE_CREATE:
	case POOL_CHANGE_GROW:
	case POOL_CHANGE_RENAME:
	case POOL_CHANGE_DELETE:
		break;
	}
	return sizeof(struct pool_change_disk_wire) +
	       (size_t)change->run_count * sizeof(struct pool_run_wire);
}

uint32_t pool_record_blocks(const struct pool_change *change)
{
	size_t bytes = sizeof(struct pool_record_header_wire) + payload_bytes(change) + SEAL_BYTES;

	return (uint32_t)((bytes + POOL_BLOCK_BYTES - 1) / POOL_BLOCK_BYTES);
}

static void build_counted(const struct pool_change *change, uint8_t *payload)
{
	struct pool_change_count_wire wire = {
		.count = change->kind == POOL_CHANGE_WRITTEN ? change->list_count : change->extent_count,
	};

	assert(change->list || change->list_count == 0);
	memcpy(payload, &wire, sizeof(wire));
	if (change->list_count)
		memcpy(payload + sizeof(wire), change->list, change->list_count * sizeof(*change->list));
}

static void build_disk(const struct pool_change *change, uint8_t *payload)
{
	struct pool_change_disk_wire wire = {
		.disk_id = change->disk_id,
		.written = change->written,
		.size_bytes = change->size_bytes,
		.run_count = change->run_count,
	};

	assert(change->disk_id != 0);
	assert(change->runs || change->run_count == 0);
	memcpy(wire.name, change->name, sizeof(wire.name));
	memcpy(payload, &wire, sizeof(wire));
	if (change->run_count)
		memcpy(payload + sizeof(wire), change->runs, change->run_count * sizeof(*change->runs));
}

static bool kind_is_counted(uint32_t kind)
{
	return kind == POOL_CHANGE_WRITTEN || kind == POOL_CHANGE_RESIZE;
}

void pool_record_build(const struct pool_change *change, const struct pool_record_place *place, void *record)
{
	uint32_t blocks = pool_record_blocks(change);
	struct pool_record_header_wire header = {
		.magic = POOL_RECORD_MAGIC,
		.kind = change->kind,
		.generation = place->generation,
		.sequence = place->sequence,
		.position_blocks = place->position_blocks,
		.length_blocks = blocks,
		.payload_bytes = (uint32_t)payload_bytes(change),
	};

	assert(change->kind >= POOL_CHANGE_CREATE && change->kind <= POOL_CHANGE_RESIZE);
	memcpy(header.uuid, place->uuid, sizeof(header.uuid));
	memset(record, 0, (size_t)blocks * POOL_BLOCK_BYTES);
	memcpy(record, &header, sizeof(header));
	if (kind_is_counted(change->kind))
		build_counted(change, (uint8_t *)record + sizeof(header));
	else
		build_disk(change, (uint8_t *)record + sizeof(header));
	pool_seal(record, (size_t)blocks * POOL_BLOCK_BYTES);
}

uint32_t pool_record_peek(const void *block, const struct pool_record_place *place, uint32_t blocks_max,
			  struct pool_record_place *ret_place)
{
	struct pool_record_header_wire header;

	memcpy(&header, block, sizeof(header));
	if (header.magic != POOL_RECORD_MAGIC || header.generation < place->generation ||
	    header.position_blocks != place->position_blocks ||
	    memcmp(header.uuid, place->uuid, sizeof(header.uuid)) != 0)
		return 0;
	if (header.length_blocks == 0 || header.length_blocks > blocks_max)
		return 0;
	*ret_place = *place;
	ret_place->generation = header.generation;
	ret_place->sequence = header.sequence;
	return header.length_blocks;
}

bool pool_record_sound(const void *record, uint32_t blocks)
{
	assert(blocks > 0);
	return pool_sealed(record, (size_t)blocks * POOL_BLOCK_BYTES);
}

static const char *parse_disk(const uint8_t *payload, size_t bytes, struct pool_change *change)
{
	struct pool_change_disk_wire wire;

	if (bytes < sizeof(wire))
		return "payload is too short";
	memcpy(&wire, payload, sizeof(wire));
	if (bytes - sizeof(wire) != (uint64_t)wire.run_count * sizeof(struct pool_run_wire))
		return "number of runs";
	if (wire.disk_id == 0)
		return "disk id";
	if (wire.written > 1)
		return "written flag";
	change->disk_id = wire.disk_id;
	change->written = wire.written;
	change->size_bytes = wire.size_bytes;
	memcpy(change->name, wire.name, sizeof(change->name));
	change->runs = (const void *)(payload + sizeof(wire));
	change->run_count = wire.run_count;
	return NULL;
}

static const char *parse_counted(const uint8_t *payload, size_t bytes, struct pool_change *change)
{
	struct pool_change_count_wire wire;

	if (bytes < sizeof(wire))
		return "payload is too short";
	memcpy(&wire, payload, sizeof(wire));
	if (change->kind == POOL_CHANGE_RESIZE) {
		change->extent_count = wire.count;
		return bytes == sizeof(wire) ? NULL : "payload is too long";
	}
	if (bytes - sizeof(wire) != (uint64_t)wire.count * sizeof(struct pool_written_wire))
		return "number of extents";
	change->list = (const void *)(payload + sizeof(wire));
	change->list_count = wire.count;
	return NULL;
}

const char *pool_record_parse(const void *record, struct pool_change *ret_change)
{
	const uint8_t *payload = (const uint8_t *)record + sizeof(struct pool_record_header_wire);
	struct pool_record_header_wire header;
	struct pool_change change = {0};
	const char *problem;
	size_t room;

	memcpy(&header, record, sizeof(header));
	room = (size_t)header.length_blocks * POOL_BLOCK_BYTES - sizeof(header) - SEAL_BYTES;
	if (header.payload_bytes > room)
		return "payload is longer than the record";
	if (header.kind < POOL_CHANGE_CREATE || header.kind > POOL_CHANGE_RESIZE)
		return "unknown kind of change";
	change.kind = header.kind;
	problem = kind_is_counted(header.kind) ? parse_counted(payload, header.payload_bytes, &change) :
						 parse_disk(payload, header.payload_bytes, &change);
	if (problem)
		return problem;
	if ((change.kind == POOL_CHANGE_CREATE || change.kind == POOL_CHANGE_RENAME) &&
	    !pool_name_wire_valid(change.name))
		return "name";
	*ret_change = change;
	return NULL;
}
