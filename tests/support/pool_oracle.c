/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pool_oracle.h"

#include <string.h>

struct tag {
	uint32_t magic, serial, sector, version;
};
#define TAG_MAGIC 0x7a67a6e5u

void oracle_disk_init(struct oracle_disk *disk, uint32_t serial, uint64_t size_bytes)
{
	*disk = (struct oracle_disk){.serial = serial, .size_bytes = size_bytes};
	snprintf(disk->name, sizeof(disk->name), "guest/disk%u", serial);
	/* One block more: tests look at what a disk would show if it grew. */
	disk->sectors = calloc(ORACLE_SECTORS_MAX + 4096 / ORACLE_SECTOR, sizeof(*disk->sectors));
	require(disk->sectors);
}

void oracle_disk_finish(struct oracle_disk *disk)
{
	free(disk->sectors);
	disk->sectors = NULL;
}

void oracle_write(struct oracle_disk *disk, uint32_t sector, uint32_t version, uint8_t *bytes)
{
	struct tag tag = {TAG_MAGIC, disk->serial, sector, version};

	memset(bytes, 0, ORACLE_SECTOR);
	memcpy(bytes, &tag, sizeof(tag));
	memcpy(bytes + ORACLE_SECTOR - sizeof(tag), &tag, sizeof(tag));
	disk->sectors[sector].data = version;
}

void oracle_discard(struct oracle_disk *disk, uint32_t first, uint32_t end, uint32_t version)
{
	for (uint32_t sector = first; sector < end; sector++)
		disk->sectors[sector].zero = version;
}

void oracle_commit_begins(struct oracle *oracle)
{
	for (unsigned i = 0; i < oracle->count; i++)
		for (uint32_t s = 0; s < oracle->disks[i].size_bytes / ORACLE_SECTOR; s++) {
			struct oracle_sector *sector = &oracle->disks[i].sectors[s];

			sector->committing = sector->data > sector->zero ? sector->data : sector->zero;
		}
}

void oracle_commit_done(struct oracle *oracle)
{
	for (unsigned i = 0; i < oracle->count; i++)
		for (uint32_t s = 0; s < oracle->disks[i].size_bytes / ORACLE_SECTOR; s++)
			oracle->disks[i].sectors[s].committed = oracle->disks[i].sectors[s].committing;
}

bool oracle_lists_equal(const struct oracle *oracle, struct pool *pool)
{
	struct pool_disk *disk = NULL;

	for (unsigned i = 0; i < oracle->count; i++) {
		disk = pool_disk_next(pool, disk);
		if (!disk || strcmp(pool_disk_name(disk), oracle->disks[i].name) != 0 ||
		    pool_disk_size_bytes(disk) != oracle->disks[i].size_bytes)
			return false;
	}
	return (oracle->count == 0 ? pool_disk_next(pool, NULL) : pool_disk_next(pool, disk)) == NULL;
}

/* bytes NULL: the pool says that the sector is blank. */
static void check_sector(const struct oracle_disk *model, uint32_t number, const uint8_t *bytes)
{
	static const uint8_t zeroes[ORACLE_SECTOR];
	const struct oracle_sector *sector = &model->sectors[number];
	struct tag first, last;

	if (!bytes || memcmp(bytes, zeroes, sizeof(first)) == 0) {
		require(!bytes || memcmp(bytes, zeroes, ORACLE_SECTOR) == 0);
		require(sector->zero >= sector->committed);
		return;
	}
	memcpy(&first, bytes, sizeof(first));
	memcpy(&last, bytes + ORACLE_SECTOR - sizeof(last), sizeof(last));
	require(memcmp(&first, &last, sizeof(first)) == 0);
	require(first.magic == TAG_MAGIC);
	require(first.serial == model->serial);
	require(first.sector == number);
	require(first.version >= sector->committed && first.version <= sector->data);
}

void oracle_check_disk(const struct oracle_disk *model, const struct pool_disk *disk, const uint8_t *bytes)
{
	uint64_t size = pool_disk_size_bytes(disk), offset = 0;
	struct pool_span span;

	while (offset < size) {
		require(pool_lookup(disk, offset, size - offset, &span));
		for (uint64_t done = 0; done < span.length_bytes; done += ORACLE_SECTOR)
			check_sector(model, (uint32_t)((offset + done) / ORACLE_SECTOR),
				     span.state == POOL_WRITTEN ? bytes + span.offset_bytes + done : NULL);
		offset += span.length_bytes;
	}
}
