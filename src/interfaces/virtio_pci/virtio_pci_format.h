/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registers of virtio over PCI (virtio 1.2, 4.1.4), and where they lie here. Little-endian. */
#ifndef VIADUCT_INTERFACES_VIRTIO_PCI_VIRTIO_PCI_FORMAT_H
#define VIADUCT_INTERFACES_VIRTIO_PCI_VIRTIO_PCI_FORMAT_H

#include <stdint.h>

#define VIRTIO_PCI_VENDOR     0x1af4u
#define VIRTIO_PCI_DEVICE(id) (0x1040u + (id)) /* 4.1.2.1 */
#define VIRTIO_PCI_REVISION   1u
#define VIRTIO_PCI_NO_VECTOR  0xffffu

/* A page for each part of the only BAR. */
#define VIRTIO_PCI_BAR		0u
#define VIRTIO_PCI_BAR_BYTES	0x8000u
#define VIRTIO_PCI_PART_BYTES	0x1000u
#define VIRTIO_PCI_COMMON	0x0000u
#define VIRTIO_PCI_ISR		0x1000u
#define VIRTIO_PCI_DEVICE_SPACE 0x2000u
#define VIRTIO_PCI_NOTIFY	0x3000u
#define VIRTIO_PCI_MSIX_TABLE	0x4000u
#define VIRTIO_PCI_MSIX_PENDING 0x5000u
/* Between the registers to which drivers write to notify queues. */
#define VIRTIO_PCI_NOTIFY_STEP 4u

/* Capabilities (4.1.4), by the kind of what they lead to. */
#define VIRTIO_PCI_CAPABILITY	  0x09u /* vendor specific */
#define VIRTIO_PCI_CAP_COMMON	  1u
#define VIRTIO_PCI_CAP_NOTIFY	  2u
#define VIRTIO_PCI_CAP_ISR	  3u
#define VIRTIO_PCI_CAP_DEVICE	  4u
#define VIRTIO_PCI_CAP_PCI	  5u
#define VIRTIO_PCI_CAP_BYTES	  16u
#define VIRTIO_PCI_CAP_BYTES_MORE 20u /* with the step of notifications, or the window's data */
/* In VIRTIO_PCI_CAP_PCI. */
#define VIRTIO_PCI_WINDOW_BAR	 4u
#define VIRTIO_PCI_WINDOW_OFFSET 8u
#define VIRTIO_PCI_WINDOW_LENGTH 12u
#define VIRTIO_PCI_WINDOW_DATA	 16u

/* The common configuration (4.1.4.3). */
#define COMMON_DEVICE_FEATURE_SELECT 0x00u
#define COMMON_DEVICE_FEATURE	     0x04u
#define COMMON_DRIVER_FEATURE_SELECT 0x08u
#define COMMON_DRIVER_FEATURE	     0x0cu
#define COMMON_CONFIG_VECTOR	     0x10u /* 16 bits */
#define COMMON_QUEUE_COUNT	     0x12u /* 16 bits */
#define COMMON_STATUS		     0x14u /* 8 bits */
#define COMMON_GENERATION	     0x15u /* 8 bits */
#define COMMON_QUEUE_SELECT	     0x16u /* 16 bits, as those up to the addresses */
#define COMMON_QUEUE_SIZE	     0x18u
#define COMMON_QUEUE_VECTOR	     0x1au
#define COMMON_QUEUE_ENABLE	     0x1cu
#define COMMON_QUEUE_NOTIFY	     0x1eu
#define COMMON_QUEUE_DESCRIPTORS     0x20u /* 64 bits, in halves if the driver likes */
#define COMMON_QUEUE_DRIVER	     0x28u
#define COMMON_QUEUE_DEVICE	     0x30u
#define COMMON_BYTES		     0x38u

/* Of the status (2.1). */
#define STATUS_FEATURES_OK 0x08u
#define STATUS_DRIVER_OK   0x04u
#define STATUS_NEEDS_RESET 0x40u

/* Of the interrupt's status (4.1.4.5). */
#define ISR_QUEUE  1u
#define ISR_CONFIG 2u

#endif
