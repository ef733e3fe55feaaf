/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver's side of one virtqueue, as naive as possible: for tests of the ring code without a socket.
 * Memory is a memfd of two regions that are adjacent in guest addresses but apart in the file and in
 * the "VMM's" addresses, so that ranges across them are exercised.
 */
#ifndef VIADUCT_TESTS_SUPPORT_RING_DRIVER_H
#define VIADUCT_TESTS_SUPPORT_RING_DRIVER_H

#include "core/guest_memory.h"
#include "interfaces/virtio/virtio_ring.h"
#include "interfaces/virtio/virtqueue.h"

#define DRIVER_REGION_BYTES (1u << 20)
#define DRIVER_GUEST_BASE   0x40000000ull
#define DRIVER_USER_BASE    0x7f0000000000ull
#define DRIVER_USER_GAP	    0x10000000ull
/* Rings lie at the start of the first region, indirect tables behind them; the rest is for data. */
#define DRIVER_DATA_OFFSET (512u << 10)

struct driver_element {
	uint64_t guest_address;
	uint32_t length;
	bool device_writes;
};

struct ring_driver {
	bool packed, event_idx;
	unsigned size;
	uint64_t features;
	int memory_fd, kick_fd, call_fd;
	uint8_t *file;			/* 3 * DRIVER_REGION_BYTES; the middle third is in no region */
	struct guest_memory *memory;
	bool *id_used;			/* by head (split) or buffer id (packed) */
	unsigned *id_descriptors;	/* ring descriptors an id occupies */
	unsigned free_descriptors;
	uint16_t next_available, last_used;
	bool available_wrap, used_wrap;
	bool *descriptor_used;		/* split */
};

void ring_driver_init(struct ring_driver *driver, bool packed, unsigned size, uint64_t features);
void ring_driver_finish(struct ring_driver *driver);
/* The same regions mapped once more, as a VMM's new table gives them. The caller puts them. */
struct guest_memory *ring_driver_map(const struct ring_driver *driver);
/* A set-up for a ring at its start; the caller adds loop, model, callbacks. */
struct virtqueue_setup ring_driver_setup(struct ring_driver *driver);

/* Pointer to guest memory, within one region. */
uint8_t *ring_driver_at(struct ring_driver *driver, uint64_t guest_address);
struct split_descriptor *ring_driver_split_descriptors(struct ring_driver *driver);
struct split_available *ring_driver_available(struct ring_driver *driver);
struct split_used *ring_driver_used(struct ring_driver *driver);
struct packed_descriptor *ring_driver_packed_descriptors(struct ring_driver *driver);

/* Adds and publishes a chain; returns its id or -1 when the ring has no room. */
int ring_driver_add(struct ring_driver *driver, const struct driver_element *elements, unsigned count,
		    bool indirect);
/* Takes one used chain: its id, or -1. */
int ring_driver_take(struct ring_driver *driver, uint32_t *ret_length);
void ring_driver_kick(struct ring_driver *driver);
/* Was the call eventfd signalled since the last look? */
bool ring_driver_called(struct ring_driver *driver);

#endif
