/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ring_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/fd.h"
#include "core/guest_memory.h"
#include "core/shared.h"
#include "interfaces/virtio/virtio_ring.h"

#define CHAIN_DESCRIPTORS 3u
#define RING_SIZE	  256u	/* descriptors */
#define GUEST_BASE	  0x40000000ull
#define MEMORY_BYTES	  (1u << 20)
/* Offsets into the memory; a chain's data has two pages. */
#define DRIVER_AT	  0x2000u
#define DEVICE_AT	  0x4000u
#define DATA_AT		  0x10000u
#define DATA_BYTES	  0x2000u

static void fail(const char *what)
{
	fprintf(stderr, "viaduct-bench-ring: %s\n", what);
	exit(1);
}

static struct split_descriptor *split_descriptors(const struct ring_memory *ring)
{
	return (struct split_descriptor *)ring->bytes;
}

static struct packed_descriptor *packed_descriptors(const struct ring_memory *ring)
{
	return (struct packed_descriptor *)ring->bytes;
}

/* Header, data, status of chain `index`. */
static struct split_descriptor part(unsigned index, unsigned number)
{
	static const uint32_t lengths[CHAIN_DESCRIPTORS] = { 16, 4096, 1 };
	static const uint32_t offsets[CHAIN_DESCRIPTORS] = { 0x1000, 0, 0x1010 };

	return (struct split_descriptor){
		.address = GUEST_BASE + DATA_AT + (uint64_t)index * DATA_BYTES + offsets[number],
		.length = lengths[number],
		.flags = (uint16_t)((number > 0 ? DESCRIPTOR_WRITE : 0) |
				    (number + 1 < CHAIN_DESCRIPTORS ? DESCRIPTOR_NEXT : 0)),
		.next = (uint16_t)(CHAIN_DESCRIPTORS * index + number + 1),
	};
}

void ring_memory_init(struct ring_memory *ring, bool packed)
{
	struct guest_region_description description = {
		.guest_address = GUEST_BASE,
		.size = MEMORY_BYTES,
		.user_address = GUEST_BASE,
	};
	struct guest_memory *none = guest_memory_create();
	int fd = fd_memfd("ring", MEMORY_BYTES);

	*ring = (struct ring_memory){ .packed = packed, .next_wrap = true, .used_wrap = true };
	if (fd < 0 || !none || guest_memory_add(none, &description, fd, &ring->memory))
		fail("no memory");
	ring->bytes = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (ring->bytes == MAP_FAILED)
		fail("no memory");
	guest_memory_put(none);
	close(fd);
	for (unsigned i = 0; !packed && i < RING_MEMORY_CHAINS * CHAIN_DESCRIPTORS; i++)
		split_descriptors(ring)[i] = part(i / CHAIN_DESCRIPTORS, i % CHAIN_DESCRIPTORS);
	/* No calls, please. */
	if (packed)
		((struct packed_event *)(ring->bytes + DRIVER_AT))->flags = PACKED_EVENT_DISABLE;
	else
		((struct split_available *)(ring->bytes + DRIVER_AT))->flags = SPLIT_NO_INTERRUPT;
}

struct virtqueue_setup ring_memory_setup(const struct ring_memory *ring)
{
	return (struct virtqueue_setup){
		.size = RING_SIZE,
		.features = 1ull << VIRTIO_F_VERSION_1 | (ring->packed ? 1ull << VIRTIO_F_RING_PACKED : 0),
		.memory = ring->memory,
		.descriptor_user = GUEST_BASE,
		.driver_user = GUEST_BASE + DRIVER_AT,
		.device_user = GUEST_BASE + DEVICE_AT,
		.position = { .available_wrap = true, .used_wrap = true },
		.kick_fd = -1,
		.call_fd = -1,
		.enabled = true,
		.log_used_guest = UINT64_MAX,
	};
}

static void step(uint16_t *at, bool *wrap)
{
	if (++*at < RING_SIZE)
		return;
	*at = 0;
	*wrap = !*wrap;
}

static void post_packed(struct ring_memory *ring, unsigned index)
{
	struct packed_descriptor *first = &packed_descriptors(ring)[ring->next];
	uint16_t first_flags = 0;

	for (unsigned i = 0; i < CHAIN_DESCRIPTORS; i++) {
		struct packed_descriptor *d = &packed_descriptors(ring)[ring->next];
		struct split_descriptor from = part(index, i);
		uint16_t mark = ring->next_wrap ? DESCRIPTOR_AVAILABLE : DESCRIPTOR_USED;
		uint16_t flags = from.flags | mark;

		d->address = from.address;
		d->length = from.length;
		d->id = (uint16_t)index;
		if (d == first)
			first_flags = flags;
		else
			d->flags = flags;
		step(&ring->next, &ring->next_wrap);
	}
	shared_write_release(&first->flags, first_flags);
}

void ring_memory_post(struct ring_memory *ring, unsigned count)
{
	struct split_available *available = (struct split_available *)(ring->bytes + DRIVER_AT);

	for (unsigned i = 0; i < count; i++) {
		if (ring->packed) {
			post_packed(ring, i);
			continue;
		}
		available->ring[ring->next % RING_SIZE] = (uint16_t)(CHAIN_DESCRIPTORS * i);
		ring->next++;
	}
	if (!ring->packed)
		shared_write_release(&available->idx, ring->next);
}

void ring_memory_reap(struct ring_memory *ring, unsigned count)
{
	const struct split_used *used = (const struct split_used *)(ring->bytes + DEVICE_AT);

	if (!ring->packed) {
		ring->used = (uint16_t)(ring->used + count);
		if (shared_read_acquire(&used->idx) != ring->used)
			fail("chains are missing");
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		uint16_t flags = shared_read_acquire(&packed_descriptors(ring)[ring->used].flags);

		if (!!(flags & DESCRIPTOR_AVAILABLE) != ring->used_wrap ||
		    !!(flags & DESCRIPTOR_USED) != ring->used_wrap)
			fail("chains are missing");
		for (unsigned j = 0; j < CHAIN_DESCRIPTORS; j++)
			step(&ring->used, &ring->used_wrap);
	}
}
