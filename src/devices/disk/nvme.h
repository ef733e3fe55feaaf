/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * NVMe (base specification 1.4): a virtual disk as a controller made of registers, with one namespace. Guests
 * and firmware have its driver in their box.
 */
#ifndef VIADUCT_DEVICES_DISK_NVME_H
#define VIADUCT_DEVICES_DISK_NVME_H

#include "devices/register_model.h"

struct disk;
struct nvme_device;

#define NVME_SERIAL_BYTES 20

struct nvme_options {
	struct disk *disk;	/* outlives the device */
	unsigned queues;	/* pairs of I/O queues that a driver may have, 1 … 63; 0: 1; more: 63 */
	const char *serial;	/* copied, cut at NVME_SERIAL_BYTES; NULL: the disk's name */
};

/* Returns 0 and *ret_device (for register_model_ops' `device`), or -ENOMEM. Control thread. */
int nvme_create(const struct nvme_options *options, struct nvme_device **ret_device);
/* No function is powered on. NULL is allowed. */
void nvme_destroy(struct nvme_device *device);

extern const struct register_model_ops nvme_model;

#endif
