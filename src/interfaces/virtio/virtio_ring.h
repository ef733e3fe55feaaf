/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Layouts in guest memory, little-endian: virtio 1.2, 2.7 (split virtqueues) and 2.8 (packed virtqueues). */
#ifndef VIADUCT_INTERFACES_VIRTIO_VIRTIO_RING_H
#define VIADUCT_INTERFACES_VIRTIO_VIRTIO_RING_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/* Descriptor flags, both formats (2.7.5, 2.8.2). */
#define DESCRIPTOR_NEXT	    0x0001u
#define DESCRIPTOR_WRITE    0x0002u
#define DESCRIPTOR_INDIRECT 0x0004u
/* Packed only (2.8.1). */
#define DESCRIPTOR_AVAILABLE 0x0080u
#define DESCRIPTOR_USED	     0x8000u

struct split_descriptor {
	uint64_t address;	/* guest physical */
	uint32_t length;
	uint16_t flags;
	uint16_t next;
};
static_assert(sizeof(struct split_descriptor) == 16, "virtio 1.2, 2.7.5");

#define SPLIT_NO_INTERRUPT 1u	/* driver: available->flags */
#define SPLIT_NO_NOTIFY	   1u	/* device: used->flags */

struct split_available {
	uint16_t flags;
	uint16_t idx;
	uint16_t ring[];	/* then: uint16_t used_event */
};

struct split_used_element {
	uint32_t id;
	uint32_t length;
};

struct split_used {
	uint16_t flags;
	uint16_t idx;
	struct split_used_element ring[];	/* then: uint16_t available_event */
};
static_assert(offsetof(struct split_used, ring) == 4, "virtio 1.2, 2.7.8");

struct packed_descriptor {
	uint64_t address;
	uint32_t length;
	uint16_t id;
	uint16_t flags;
};
static_assert(sizeof(struct packed_descriptor) == 16, "virtio 1.2, 2.8.13");
static_assert(offsetof(struct packed_descriptor, flags) == 14, "virtio 1.2, 2.8.13");

#define PACKED_EVENT_ENABLE	0u
#define PACKED_EVENT_DISABLE	1u
#define PACKED_EVENT_DESCRIPTOR 2u

struct packed_event {
	uint16_t offset_wrap;	/* bits 0–14: descriptor, bit 15: wrap counter */
	uint16_t flags;
};
static_assert(sizeof(struct packed_event) == 4, "virtio 1.2, 2.8.14");

#endif
