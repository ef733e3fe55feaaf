/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-blk request bodies over a pool with blank space: any header, any cut into descriptors. The physical
 * disk is filled with a pattern outside the guest's own part, and that part must be all that changes.
 */
#include <stdio.h>

#include "arbiter/disk/disk.h"
#include "devices/disk/virtio_blk.h"
#include "fuzz_ring.h"

#define HOST_BYTES (32u << 20)
#define DISK_BYTES (2u << 20)

static struct {
	struct host_disk *host;
	struct pool *pool;
	struct disk *disk;
	struct virtio_blk *device;
	uint8_t *before;
	uint64_t from, to;	/* the guest's part of the physical disk */
} world;

static void make_world(void)
{
	struct disk_memory_options memory = { .size_bytes = HOST_BYTES };
	struct disk_options options = { .guest = "fuzz", .name = "disk" };
	struct virtio_blk_options blk = { .queues = 1 };
	struct pool_disk *part = NULL;
	struct pool_error error;
	struct pool_span span;

	if (disk_memory_open(&memory, &world.host) || pool_format(world.host, true, &error) ||
	    pool_open(world.host, &world.pool, &error) ||
	    pool_disk_create(world.pool, "fuzz/disk", DISK_BYTES, &part, &error) ||
	    disk_create_on_pool(&options, world.pool, part, &world.disk))
		abort();
	blk.disk = world.disk;
	if (virtio_blk_create(&blk, &world.device) || !pool_lookup(part, 0, DISK_BYTES, &span) ||
	    span.length_bytes != DISK_BYTES)
		abort();
	world.from = span.offset_bytes;
	world.to = span.offset_bytes + DISK_BYTES;
	memset(disk_memory_bytes(world.host) + world.to, 0xee, HOST_BYTES - world.to);
}

/* Nothing behind the guest's part may change; what lies before it is the pool's own. */
static void check_world(void)
{
	const uint8_t *behind = disk_memory_bytes(world.host) + world.to;

	/* Equal to itself shifted by one: all bytes are the first one. */
	if (behind[0] != 0xee || memcmp(behind, behind + 1, (1u << 20) - 1) != 0)
		abort();
}

/* One request: type, sector, then a list of descriptor lengths; the last writable byte is the status. */
static void add_request(struct fuzz_input *input, struct ring_driver *driver)
{
	static const uint32_t types[] = { 0, 1, 4, 8, 11, 13, 14, 2, 0xffffffff };
	uint64_t address = DRIVER_GUEST_BASE + DRIVER_DATA_OFFSET + (fuzz_u16(input) & 0xfff);
	struct driver_element elements[8];
	unsigned count = 1 + fuzz_byte(input) % 8;
	uint8_t kind = fuzz_byte(input);
	struct {
		uint32_t type, reserved;
		uint64_t sector;
		uint8_t body[64];
	} header = { .type = types[kind % 9] };

	header.sector = kind & 0x80 ? UINT64_MAX >> (fuzz_byte(input) % 64) : fuzz_u16(input);
	for (size_t i = 0; i < sizeof(header.body); i++)
		header.body[i] = i % 16 < 10 && kind & 0x40 ? fuzz_byte(input) : 0;
	memcpy(ring_driver_at(driver, address), &header, sizeof(header));
	for (unsigned i = 0; i < count; i++) {
		uint16_t shape = fuzz_u16(input);

		elements[i] = (struct driver_element){ address, shape & 0x3fff, i > 0 && shape & 0x8000 };
		if (i > 0 && elements[i - 1].device_writes)
			elements[i].device_writes = true;
		if ((shape & 0x4000) && i > 0)
			elements[i].length = elements[i].length / 512 * 512;
		if (i == 0 && !(kind & 0x20))
			elements[i].length = 16;
		if (i == count - 1 && !(kind & 0x10))
			elements[i] = (struct driver_element){ address, 1, true };
		address += elements[i].length;
		if (shape == 0xffff)
			elements[i].guest_address = UINT64_MAX - 4096;
	}
	ring_driver_add(driver, elements, count, driver->features >> VIRTIO_RING_F_INDIRECT & 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct fuzz_input input = { bytes, size };
	struct virtqueue_setup setup;
	struct virtqueue *queue = NULL;
	struct ring_driver driver;
	unsigned broken = 0;

	if (!world.host)
		make_world();
	fuzz_driver(&input, &driver);
	driver.features |= virtio_blk_model.features(world.device);
	setup = ring_driver_setup(&driver);
	setup.loop = fuzz_loop();
	setup.model = &virtio_blk_model;
	setup.device = world.device;
	setup.broken = fuzz_broken;
	setup.context = &broken;
	if (virtqueue_start(&setup, &queue) == 0) {
		for (int i = 0; i < 8 && input.left > 0; i++) {
			uint32_t length;

			add_request(&input, &driver);
			ring_driver_kick(&driver);
			fuzz_turns(2);
			while (!broken && ring_driver_take(&driver, &length) >= 0)
				;
		}
		fuzz_stop(queue);
	}
	check_world();
	ring_driver_finish(&driver);
	return 0;
}
