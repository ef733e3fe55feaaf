/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a disk says of itself: features and the configuration space (virtio 1.2, 5.2.3 and 5.2.4). */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "arbiter/disk/disk.h"
#include "core/checked.h"
#include "devices/disk/virtio_blk.h"
#include "devices/disk/virtio_blk_private.h"

static_assert(VIRTIO_BLK_FEATURE_CONFIG_WCE == VIRTIO_BLK_F_CONFIG_WCE, "virtio 1.2, 5.2.3");

uint64_t blk_features(void *opaque)
{
	const struct virtio_blk *device = opaque;
	uint64_t features = 1ull << VIRTIO_BLK_F_SIZE_MAX | 1ull << VIRTIO_BLK_F_SEG_MAX |
			    1ull << VIRTIO_BLK_F_BLK_SIZE | 1ull << VIRTIO_BLK_F_FLUSH |
			    1ull << VIRTIO_BLK_F_TOPOLOGY | 1ull << VIRTIO_BLK_F_CONFIG_WCE |
			    1ull << VIRTIO_BLK_F_MQ;

	if (disk_read_only(device->disk))
		return features | 1ull << VIRTIO_BLK_F_RO;
	if (disk_discard_bytes(device->disk) > 0)
		features |= 1ull << VIRTIO_BLK_F_DISCARD;
	return features | 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
}

unsigned blk_queue_count(void *opaque)
{
	return ((const struct virtio_blk *)opaque)->queues;
}

size_t blk_config_size(void *opaque)
{
	return VIRTIO_BLK_CONFIG_BYTES;
}

void blk_config_read(void *opaque, size_t offset, void *buffer, size_t bytes)
{
	const struct virtio_blk *device = opaque;
	const struct disk_geometry *geometry = disk_geometry(device->disk);
	uint32_t block = disk_block_bytes(device->disk);
	uint32_t ratio = geometry->physical_block_bytes > block ? geometry->physical_block_bytes / block : 1;
	struct virtio_blk_config config = {
		.capacity_sectors = disk_size_bytes(device->disk) / VIRTIO_BLK_SECTOR_BYTES,
		.size_max = SEGMENT_BYTES_MAX,
		.seg_max = SEGMENTS_MAX,
		.block_bytes = block,
		.physical_block_exponent = (uint8_t)__builtin_ctz(ratio),
		.min_io_blocks = (uint16_t)ratio,
		.optimal_io_blocks = geometry->optimal_io_bytes / block,
		.writeback = __atomic_load_n(&device->writeback, __ATOMIC_RELAXED),
		.queues = (uint16_t)device->queues,
		.max_write_zeroes_sectors = WRITE_ZEROES_SECTORS_MAX,
		.max_write_zeroes_segments = ZERO_SEGMENTS_MAX,
		.write_zeroes_may_unmap = 1,
	};
	uint32_t discard = disk_discard_bytes(device->disk);

	if (discard > 0) {
		config.max_discard_sectors = DISCARD_SECTORS_MAX;
		config.max_discard_segments = ZERO_SEGMENTS_MAX;
		config.discard_alignment_sectors = discard / VIRTIO_BLK_SECTOR_BYTES;
	}
	assert(checked_range(offset, bytes, VIRTIO_BLK_CONFIG_BYTES));
	memcpy(buffer, (const uint8_t *)&config + offset, bytes);
}

/* Only the write cache's mode is writable, and only when CONFIG_WCE was negotiated (5.2.5). */
int blk_config_write(void *opaque, uint64_t features, size_t offset, const void *buffer, size_t bytes)
{
	struct virtio_blk *device = opaque;
	uint8_t value;

	if (offset != offsetof(struct virtio_blk_config, writeback) || bytes != 1 ||
	    !blk_has(features, VIRTIO_BLK_F_CONFIG_WCE))
		return -EINVAL;
	memcpy(&value, buffer, 1);
	if (value > 1)
		return -EINVAL;
	__atomic_store_n(&device->writeback, value == 1, __ATOMIC_RELAXED);
	if (device->writeback_changed)
		device->writeback_changed(device->context, value == 1);
	return 0;
}
