/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The endpoint of a virtio device, by the interface that its section names. Control thread. */
#ifndef VIADUCT_DAEMON_DEVICE_VIRTIO_ENDPOINT_H
#define VIADUCT_DAEMON_DEVICE_VIRTIO_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

struct endpoint;
struct endpoint_options;
struct handover;
struct virtio_model_ops;
struct virtio_pci;

struct virtio_offer {
	const struct virtio_model_ops *model;
	void *device;
	unsigned interface; /* enum config_interface */
	uint64_t features_off;
	/* By vfio-user: what PCI is told of its class, features that are off there alone, descriptors a queue
	 */
	uint32_t class_code;
	uint64_t registers_off;
	unsigned queue_size_max;
};

/*
 * Makes the endpoint, or takes it over from a predecessor (`handed` not NULL). *pci is made if it is needed
 * and NULL; it outlives the endpoint, and is to be freed before the device. Errors are those of the
 * interfaces.
 */
int virtio_endpoint_create(const struct virtio_offer *offer, const struct endpoint_options *endpoint,
			   struct handover *handed, struct virtio_pci **pci, struct endpoint **ret_endpoint);
/* What of a device's interface is told: that of one that is no virtio device is vfio-user. */
const char *device_interface_text(bool is_virtio, unsigned interface);
/* Frees *pci, which becomes NULL. */
void virtio_endpoint_free_pci(struct virtio_pci **pci);

#endif
