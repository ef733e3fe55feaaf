/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-blk request bodies over a pool with blank space: any header, any cut into descriptors. The physical
 * disk is filled with a pattern behind the guest's own part, and that pattern must not change. Disk, pool and
 * device are made anew for each input; the pool's commits are carried out when the input says so, not by the
 * journal's thread.
 */
#include <semaphore.h>
#include <stdio.h>

#include "arbiter/disk/disk.h"
#include "arbiter/pool/pool_private.h"
#include "devices/disk/virtio_blk.h"
#include "host/host_disk.h"
#include "fuzz_ring.h"

#define HOST_BYTES   (8u << 20)
#define DISK_BYTES   (2u << 20)
#define BEHIND_BYTES (1u << 20)
#define BEHIND_VALUE 0xee

static struct {
	struct host_disk *host;
	struct pool *pool;
	struct disk *disk;
	struct virtio_blk *device;
	uint64_t from, to;	/* the guest's part of the physical disk */
} world;

/*
 * A pool with one disk, made once: what an input starts from. Only the blocks that are not zeroes are kept: a
 * new disk in memory is zeroes, and a formatting writes far more of them than of anything else.
 */
static struct {
	uint32_t at[64];
	uint8_t bytes[64][POOL_BLOCK_BYTES];
	unsigned count;
} formatted;

static void keep_blocks(const uint8_t *bytes)
{
	static const uint8_t zeroes[POOL_BLOCK_BYTES];

	for (uint32_t at = 0; at < HOST_BYTES; at += POOL_BLOCK_BYTES) {
		if (memcmp(bytes + at, zeroes, POOL_BLOCK_BYTES) == 0)
			continue;
		assert(formatted.count < 64);
		formatted.at[formatted.count] = at;
		memcpy(formatted.bytes[formatted.count++], bytes + at, POOL_BLOCK_BYTES);
	}
}

static struct host_disk *open_host(void)
{
	struct disk_memory_options memory = { .size_bytes = HOST_BYTES };
	struct host_disk *host;

	if (disk_memory_open(&memory, &host))
		abort();
	for (unsigned i = 0; i < formatted.count; i++)
		memcpy(disk_memory_bytes(host) + formatted.at[i], formatted.bytes[i], POOL_BLOCK_BYTES);
	return host;
}

static void format_once(void)
{
	struct host_disk *host = open_host();
	struct pool_disk *part;
	struct error error;
	struct pool *pool;

	if (pool_format(host, true, &error) || pool_open(host, &pool, &error) ||
	    pool_disk_create(pool, "fuzz/disk", DISK_BYTES, &part, &error))
		abort();
	pool_close(pool);
	keep_blocks(disk_memory_bytes(host));
	host->ops->close(host);
}

static void make_world(void)
{
	struct disk_options options = { .guest = "fuzz", .name = "disk" };
	struct virtio_blk_options blk = { .queues = 1 };
	struct pool_disk *part;
	struct error error;
	struct pool_span span;

	world.host = open_host();
	if (pool_open(world.host, &world.pool, &error))
		abort();
	part = pool_disk_find(world.pool, "fuzz/disk");
	if (!part || disk_create_on_pool(&options, world.pool, part, &world.disk))
		abort();
	blk.disk = world.disk;
	if (virtio_blk_create(&blk, &world.device) || !pool_lookup(part, 0, DISK_BYTES, &span) ||
	    span.length_bytes != DISK_BYTES)
		abort();
	world.from = span.offset_bytes;
	world.to = span.offset_bytes + DISK_BYTES;
	memset(disk_memory_bytes(world.host) + world.to, BEHIND_VALUE, BEHIND_BYTES);
	/* From here on commit() carries out what the journal's thread would. */
	pool_commit_stop(world.pool);
	if (sem_init(&world.pool->wake, 0, 0) != 0)
		abort();
}

static void commit(void)
{
	while (pool_commit_group(world.pool))
		;
}

static void end_world(void)
{
	fuzz_trace(disk_memory_bytes(world.host) + world.from, DISK_BYTES);
	virtio_blk_destroy(world.device);
	disk_destroy(world.disk);
	pool_close(world.pool);
	world.host->ops->close(world.host);
}

/* Nothing behind the guest's part may change; what lies before it is the pool's own. */
static void check_world(void)
{
	const uint8_t *behind = disk_memory_bytes(world.host) + world.to;

	/* Equal to itself shifted by one: all bytes are the first one. */
	if (behind[0] != BEHIND_VALUE || memcmp(behind, behind + 1, BEHIND_BYTES - 1) != 0)
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

/* One request, and what is answered by then. Its writes wait for a commit, which may come later. */
static void ask(struct fuzz_input *input, struct ring_driver *driver, const unsigned *broken)
{
	uint32_t length;

	add_request(input, driver);
	ring_driver_kick(driver);
	fuzz_turns(2);
	if (input->left == 0 || *input->bytes & 1)
		commit();
	fuzz_turns(2);
	while (!*broken && ring_driver_take(driver, &length) >= 0)
		fuzz_trace_number(length);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct fuzz_input input = { bytes, size };
	struct virtqueue_setup setup;
	struct virtqueue *queue = NULL;
	struct ring_driver driver;
	unsigned broken = 0;

	if (formatted.count == 0)
		format_once();
	make_world();
	fuzz_driver(&input, &driver);
	driver.features |= virtio_blk_model.features(world.device);
	setup = ring_driver_setup(&driver);
	setup.loop = fuzz_loop;
	setup.model = &virtio_blk_model;
	setup.device = world.device;
	setup.broken = fuzz_broken;
	setup.context = &broken;
	if (virtqueue_start(&setup, &queue) == 0) {
		for (int i = 0; i < 8 && input.left > 0; i++)
			ask(&input, &driver, &broken);
		fuzz_stop(queue, commit);
	}
	check_world();
	end_world();
	fuzz_driver_finish(&driver);
	return 0;
}
