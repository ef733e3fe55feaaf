/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the disk model share; no other file includes this. */
#ifndef VIADUCT_DEVICES_DISK_VIRTIO_BLK_PRIVATE_H
#define VIADUCT_DEVICES_DISK_VIRTIO_BLK_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/disk/virtio_blk.h"
#include "devices/disk/virtio_blk_format.h"

/* With header and status a chain of this many segments has 256 descriptors: 1 MiB in pages of 4 KiB. */
#define SEGMENTS_MAX 254u
/*
 * Drivers send more than they were offered: Windows' up to 513 (its driver of 2020 to 2022). The disk takes
 * what is in them in steps, as of any other request.
 */
#define SEGMENTS_TAKEN 1024u
/* As much of a request as enters the disk at once (disk_internal.h). */
#define SEGMENT_BYTES_MAX (1u << 20)
/* Ranges in one DISCARD or WRITE_ZEROES; they are carried out one after the other. */
#define ZERO_SEGMENTS_MAX 16u
/* 32 MiB: the disk takes it in steps, each of which is charged. */
#define DISCARD_SECTORS_MAX (1u << 16)
/* 1 GiB was offered once, and drivers that run since then send it. */
#define DISCARD_SECTORS_TAKEN (1u << 21)
#define WRITE_ZEROES_SECTORS_MAX (1u << 16)	/* 32 MiB: may really be written */
#define QUEUES_MAX 256u

struct virtio_blk {
	struct disk *disk;
	unsigned queues;
	char serial[VIRTIO_BLK_SERIAL_BYTES];
	bool writeback;		/* atomic: the configuration field; control thread writes, workers read */
	void (*writeback_changed)(void *context, bool writeback);
	void *context;
};

static inline bool blk_has(uint64_t features, unsigned bit)
{
	return features >> bit & 1;
}

/* ---- virtio_blk_config.c: as struct virtio_model_ops has them ---- */

uint64_t blk_features(void *opaque);
unsigned blk_queue_count(void *opaque);
size_t blk_config_size(void *opaque);
void blk_config_read(void *opaque, size_t offset, void *buffer, size_t bytes);
int blk_config_write(void *opaque, uint64_t features, size_t offset, const void *buffer, size_t bytes);

#endif
