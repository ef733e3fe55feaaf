/* SPDX-License-Identifier: GPL-2.0-or-later */
/* virtio-blk (virtio 1.2, 5.2): a virtual disk as a virtio device. */
#ifndef VIADUCT_DEVICES_DISK_VIRTIO_BLK_H
#define VIADUCT_DEVICES_DISK_VIRTIO_BLK_H

#include "devices/virtio_model.h"

struct disk;
/* The feature by which the driver chooses the mode of the write cache; for a transport that does without. */
#define VIRTIO_BLK_FEATURE_CONFIG_WCE 11

struct virtio_blk;

#define VIRTIO_BLK_SERIAL_BYTES 20

struct virtio_blk_options {
	struct disk *disk;	/* outlives the device */
	unsigned queues;	/* 1 … 256; 0: 1 */
	const char *serial;	/* copied, cut at VIRTIO_BLK_SERIAL_BYTES; NULL: the disk's name */
	bool write_through;	/* how the write cache's mode starts */
	/*
	 * The driver chose another mode, which stays until it chooses again: also over a reset, because
	 * front ends cache it. Control thread; may be NULL.
	 */
	void (*writeback_changed)(void *context, bool writeback);
	void *context;
};

/* Returns 0 and *ret_device (for virtio_model_ops' `device`), -EINVAL or -ENOMEM. */
int virtio_blk_create(const struct virtio_blk_options *options, struct virtio_blk **ret_device);
/* No queue runs any more. NULL is allowed. */
void virtio_blk_destroy(struct virtio_blk *device);

extern const struct virtio_model_ops virtio_blk_model;

#endif
