/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio-blk on the wire (virtio 1.2, 5.2.3–5.2.6), little-endian. */
#ifndef VIADUCT_DEVICES_DISK_VIRTIO_BLK_FORMAT_H
#define VIADUCT_DEVICES_DISK_VIRTIO_BLK_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define VIRTIO_BLK_SECTOR_BYTES 512u

#define VIRTIO_BLK_F_SIZE_MAX	  1
#define VIRTIO_BLK_F_SEG_MAX	  2
#define VIRTIO_BLK_F_RO		  5
#define VIRTIO_BLK_F_BLK_SIZE	  6
#define VIRTIO_BLK_F_FLUSH	  9
#define VIRTIO_BLK_F_TOPOLOGY	  10
#define VIRTIO_BLK_F_CONFIG_WCE	  11
#define VIRTIO_BLK_F_MQ		  12
#define VIRTIO_BLK_F_DISCARD	  13
#define VIRTIO_BLK_F_WRITE_ZEROES 14

struct virtio_blk_config {
	uint64_t capacity_sectors;
	uint32_t size_max;
	uint32_t seg_max;
	uint16_t cylinders;
	uint8_t heads;
	uint8_t sectors;
	uint32_t block_bytes;
	uint8_t physical_block_exponent;
	uint8_t alignment_offset;
	uint16_t min_io_blocks;
	uint32_t optimal_io_blocks;
	uint8_t writeback;
	uint8_t unused0;
	uint16_t queues;
	uint32_t max_discard_sectors;
	uint32_t max_discard_segments;
	uint32_t discard_alignment_sectors;
	uint32_t max_write_zeroes_sectors;
	uint32_t max_write_zeroes_segments;
	uint8_t write_zeroes_may_unmap;
	uint8_t unused1[3];
};
static_assert(sizeof(struct virtio_blk_config) == 64, "60 bytes of virtio 1.2, 5.2.4, padded to 8");
static_assert(offsetof(struct virtio_blk_config, block_bytes) == 20, "virtio 1.2, 5.2.4");
static_assert(offsetof(struct virtio_blk_config, writeback) == 32, "virtio 1.2, 5.2.4");
static_assert(offsetof(struct virtio_blk_config, write_zeroes_may_unmap) == 56, "virtio 1.2, 5.2.4");
#define VIRTIO_BLK_CONFIG_BYTES 60u

enum virtio_blk_type {
	VIRTIO_BLK_IN = 0,
	VIRTIO_BLK_OUT = 1,
	VIRTIO_BLK_FLUSH = 4,
	VIRTIO_BLK_GET_ID = 8,
	VIRTIO_BLK_DISCARD = 11,
	VIRTIO_BLK_WRITE_ZEROES = 13,
};

struct virtio_blk_header {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
};
static_assert(sizeof(struct virtio_blk_header) == 16, "virtio 1.2, 5.2.6");

/* Body of DISCARD and WRITE_ZEROES: one or more of these. */
struct virtio_blk_segment {
	uint64_t sector;
	uint32_t sectors;
	uint32_t flags;
};
static_assert(sizeof(struct virtio_blk_segment) == 16, "virtio 1.2, 5.2.6");
#define VIRTIO_BLK_SEGMENT_UNMAP 1u

#define VIRTIO_BLK_STATUS_OK	      0u
#define VIRTIO_BLK_STATUS_ERROR	      1u
#define VIRTIO_BLK_STATUS_UNSUPPORTED 2u

#endif
