/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio device on the PCI bus (virtio 1.2, 4.1): any virtio model as a device made of registers, for VMMs
 * that have no vhost-user. Outside it is a register model, which a bus serves like any other; inside are the
 * rings that every transport has. It is modern only: drivers from before virtio 1.0 do not find it.
 *
 * The driver's notifications are stores to a register, which come to the worker of the bus. Rings live there,
 * or on the lanes that the bus names for them.
 */
#ifndef VIADUCT_INTERFACES_VIRTIO_PCI_VIRTIO_PCI_H
#define VIADUCT_INTERFACES_VIRTIO_PCI_VIRTIO_PCI_H

#include <stdint.h>

#include "devices/register_model.h"
#include "devices/virtio_model.h"

struct virtio_pci;

struct virtio_pci_options {
	/*
	 * Its functions that serve the control thread elsewhere (features, configuration space, reset) are
	 * called on the worker here, and at no time on two threads.
	 */
	const struct virtio_model_ops *model;
	void *device;		 /* outlives the virtio_pci */
	uint32_t class_code;	 /* PCI: class, subclass, programming interface */
	unsigned queue_size_max; /* a power of two; 0: 256 */
	/* Features not to offer: of rings, or of the model */
	uint64_t features_off;
};

/* Returns 0 or -ENOMEM. */
int virtio_pci_create(const struct virtio_pci_options *options, struct virtio_pci **ret_pci);
/* No function of it is powered on. NULL is allowed. */
void virtio_pci_destroy(struct virtio_pci *pci);

/* The model for the bus, whose `device` is the virtio_pci. Valid as long as that. */
const struct register_model_ops *virtio_pci_model(const struct virtio_pci *pci);

#endif
