/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ring_driver.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/shared.h"

#define AVAILABLE_OFFSET 0x20000u
#define USED_OFFSET	 0x30000u
#define TABLES_OFFSET	 0x40000u
#define TABLE_BYTES	 512u

struct guest_memory *ring_driver_map(const struct ring_driver *driver)
{
	struct guest_memory *memory = guest_memory_create();

	for (unsigned i = 0; i < 2; i++) {
		struct guest_region_description description = {
			.guest_address = DRIVER_GUEST_BASE + i * DRIVER_REGION_BYTES,
			.size = DRIVER_REGION_BYTES,
			.user_address = DRIVER_USER_BASE + i * DRIVER_USER_GAP,
			.file_offset = 2ull * i * DRIVER_REGION_BYTES,
		};
		struct guest_memory *more = NULL;
		int error = guest_memory_add(memory, &description, driver->memory_fd, &more);

		assert(!error);
		guest_memory_put(memory);
		memory = more;
	}
	return memory;
}

void ring_driver_init(struct ring_driver *driver, bool packed, unsigned size, uint64_t features)
{
	memset(driver, 0, sizeof(*driver));
	driver->packed = packed;
	driver->size = size;
	driver->features =
		features | 1ull << VIRTIO_F_VERSION_1 | (packed ? 1ull << VIRTIO_F_RING_PACKED : 0);
	driver->event_idx = features >> VIRTIO_RING_F_EVENT_IDX & 1;
	driver->memory_fd = memfd_create("driver", MFD_CLOEXEC);
	assert(driver->memory_fd >= 0 && ftruncate(driver->memory_fd, 3 * DRIVER_REGION_BYTES) == 0);
	driver->file =
		mmap(NULL, 3 * DRIVER_REGION_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, driver->memory_fd, 0);
	assert(driver->file != MAP_FAILED);
	driver->memory = ring_driver_map(driver);
	driver->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	driver->call_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	driver->id_used = calloc(size, sizeof(bool));
	driver->id_descriptors = calloc(size, sizeof(unsigned));
	driver->descriptor_used = calloc(size, sizeof(bool));
	driver->free_descriptors = size;
	driver->available_wrap = driver->used_wrap = true;
}

void ring_driver_finish(struct ring_driver *driver)
{
	guest_memory_put(driver->memory);
	munmap(driver->file, 3 * DRIVER_REGION_BYTES);
	close(driver->memory_fd);
	close(driver->kick_fd);
	close(driver->call_fd);
	free(driver->id_used);
	free(driver->id_descriptors);
	free(driver->descriptor_used);
}

struct virtqueue_setup ring_driver_setup(struct ring_driver *driver)
{
	return (struct virtqueue_setup){
		.size = driver->size,
		.features = driver->features,
		.memory = driver->memory,
		.descriptor_user = DRIVER_USER_BASE,
		.driver_user = DRIVER_USER_BASE + AVAILABLE_OFFSET,
		.device_user = DRIVER_USER_BASE + USED_OFFSET,
		.position = { .available_wrap = true, .used_wrap = true },
		.kick_fd = driver->kick_fd,
		.call_fd = driver->call_fd,
		.enabled = true,
		.log_used_guest = DRIVER_GUEST_BASE + USED_OFFSET,
	};
}

uint8_t *ring_driver_at(struct ring_driver *driver, uint64_t guest_address)
{
	uint64_t offset = guest_address - DRIVER_GUEST_BASE;

	assert(offset < 2 * DRIVER_REGION_BYTES);
	return driver->file + offset + (offset >= DRIVER_REGION_BYTES ? DRIVER_REGION_BYTES : 0);
}

struct split_descriptor *ring_driver_split_descriptors(struct ring_driver *driver)
{
	return (struct split_descriptor *)driver->file;
}

struct packed_descriptor *ring_driver_packed_descriptors(struct ring_driver *driver)
{
	return (struct packed_descriptor *)driver->file;
}

struct split_available *ring_driver_available(struct ring_driver *driver)
{
	return (struct split_available *)(driver->file + AVAILABLE_OFFSET);
}

struct split_used *ring_driver_used(struct ring_driver *driver)
{
	return (struct split_used *)(driver->file + USED_OFFSET);
}

static uint16_t flags_of(const struct driver_element *element, bool next)
{
	return (uint16_t)((element->device_writes ? DESCRIPTOR_WRITE : 0) | (next ? DESCRIPTOR_NEXT : 0));
}

/* The indirect table of an id has a place of its own. */
static uint64_t write_table(struct ring_driver *driver, unsigned id, const struct driver_element *elements,
			    unsigned count)
{
	uint64_t guest = DRIVER_GUEST_BASE + TABLES_OFFSET + (uint64_t)id * TABLE_BYTES;

	assert(count * 16 <= TABLE_BYTES && TABLES_OFFSET + (id + 1) * TABLE_BYTES <= DRIVER_DATA_OFFSET);
	for (unsigned i = 0; i < count; i++) {
		if (driver->packed) {
			struct packed_descriptor d = { elements[i].guest_address, elements[i].length, 0,
						       flags_of(&elements[i], false) };

			memcpy(ring_driver_at(driver, guest) + 16 * i, &d, 16);
		} else {
			struct split_descriptor d = { elements[i].guest_address, elements[i].length,
						      flags_of(&elements[i], i + 1 < count),
						      (uint16_t)(i + 1) };

			memcpy(ring_driver_at(driver, guest) + 16 * i, &d, 16);
		}
	}
	return guest;
}

static int free_descriptor(struct ring_driver *driver)
{
	for (unsigned i = 0; i < driver->size; i++)
		if (!driver->descriptor_used[i])
			return (int)i;
	return -1;
}

static int add_split(struct ring_driver *driver, const struct driver_element *elements, unsigned count,
		     bool indirect)
{
	struct split_descriptor *table = ring_driver_split_descriptors(driver), *previous = NULL;
	struct split_available *available = ring_driver_available(driver);
	unsigned needed = indirect ? 1 : count;
	int head = -1;

	for (unsigned i = 0; i < needed; i++) {
		int at = free_descriptor(driver);

		driver->descriptor_used[at] = true;
		if (i == 0)
			head = at;
		else
			previous->next = (uint16_t)at;
		table[at] = (struct split_descriptor){ elements[i].guest_address, elements[i].length,
						       flags_of(&elements[i], i + 1 < needed), 0 };
		if (indirect)
			table[at] =
				(struct split_descriptor){ write_table(driver, (unsigned)at, elements, count),
							   16 * count, DESCRIPTOR_INDIRECT, 0 };
		previous = &table[at];
	}
	available->ring[driver->next_available % driver->size] = (uint16_t)head;
	driver->next_available++;
	shared_write_release(&available->idx, driver->next_available);
	return head;
}

static int free_id(struct ring_driver *driver)
{
	for (unsigned i = 0; i < driver->size; i++)
		if (!driver->id_used[i])
			return (int)i;
	return -1;
}

static uint16_t packed_flags(const struct ring_driver *driver)
{
	return driver->available_wrap ? DESCRIPTOR_AVAILABLE : DESCRIPTOR_USED;
}

static int add_packed(struct ring_driver *driver, const struct driver_element *elements, unsigned count,
		      bool indirect)
{
	struct packed_descriptor *ring = ring_driver_packed_descriptors(driver);
	unsigned needed = indirect ? 1 : count, first = driver->next_available;
	uint16_t first_flags = 0;
	int id = free_id(driver);

	for (unsigned i = 0; i < needed; i++) {
		struct packed_descriptor *d = &ring[driver->next_available];
		uint16_t flags = (uint16_t)(flags_of(&elements[i], i + 1 < needed) | packed_flags(driver));

		d->address = elements[i].guest_address;
		d->length = elements[i].length;
		d->id = (uint16_t)id;
		if (indirect) {
			d->address = write_table(driver, (unsigned)id, elements, count);
			d->length = 16 * count;
			flags = (uint16_t)(DESCRIPTOR_INDIRECT | packed_flags(driver));
		}
		if (i == 0)
			first_flags = flags;
		else
			d->flags = flags;
		if (++driver->next_available == driver->size) {
			driver->next_available = 0;
			driver->available_wrap = !driver->available_wrap;
		}
	}
	shared_write_release(&ring[first].flags, first_flags);
	return id;
}

int ring_driver_add(struct ring_driver *driver, const struct driver_element *elements, unsigned count,
		    bool indirect)
{
	unsigned needed = indirect ? 1 : count;
	int id;

	if (needed > driver->free_descriptors)
		return -1;
	id = driver->packed ? add_packed(driver, elements, count, indirect)
			    : add_split(driver, elements, count, indirect);
	driver->free_descriptors -= needed;
	driver->id_used[id] = true;
	driver->id_descriptors[id] = needed;
	return id;
}

static void free_split_chain(struct ring_driver *driver, unsigned head)
{
	struct split_descriptor *table = ring_driver_split_descriptors(driver);

	for (;;) {
		driver->descriptor_used[head] = false;
		if (table[head].flags & DESCRIPTOR_INDIRECT || !(table[head].flags & DESCRIPTOR_NEXT))
			return;
		head = table[head].next;
	}
}

int ring_driver_take(struct ring_driver *driver, uint32_t *ret_length)
{
	unsigned id;

	if (driver->packed) {
		struct packed_descriptor *d = &ring_driver_packed_descriptors(driver)[driver->last_used];
		uint16_t flags = shared_read_acquire(&d->flags);

		if (!!(flags & DESCRIPTOR_AVAILABLE) != driver->used_wrap ||
		    !!(flags & DESCRIPTOR_USED) != driver->used_wrap)
			return -1;
		id = d->id;
		*ret_length = d->length;
		assert(id < driver->size && driver->id_used[id]);
		driver->last_used = (uint16_t)(driver->last_used + driver->id_descriptors[id]);
		if (driver->last_used >= driver->size) {
			driver->last_used = (uint16_t)(driver->last_used - driver->size);
			driver->used_wrap = !driver->used_wrap;
		}
	} else {
		struct split_used *used = ring_driver_used(driver);

		if (shared_read_acquire(&used->idx) == driver->last_used)
			return -1;
		id = used->ring[driver->last_used % driver->size].id;
		*ret_length = used->ring[driver->last_used % driver->size].length;
		assert(id < driver->size && driver->id_used[id]);
		driver->last_used++;
		free_split_chain(driver, id);
		if (driver->event_idx)
			shared_write(&ring_driver_available(driver)->ring[driver->size], driver->last_used);
	}
	driver->id_used[id] = false;
	driver->free_descriptors += driver->id_descriptors[id];
	return (int)id;
}

void ring_driver_kick(struct ring_driver *driver)
{
	uint64_t one = 1;
	ssize_t written = write(driver->kick_fd, &one, sizeof(one));

	assert(written == sizeof(one));
}

bool ring_driver_called(struct ring_driver *driver)
{
	uint64_t value;

	return read(driver->call_fd, &value, sizeof(value)) == sizeof(value);
}
