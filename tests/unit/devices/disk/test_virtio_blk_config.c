/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a driver finds in the configuration space and the feature bits, on disks of several kinds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>

#include "arbiter/disk/disk.h"
#include "devices/disk/virtio_blk.h"
#include "devices/disk/virtio_blk_format.h"
#include "held_disk.h"

#define SECTORS	   2048u
#define BIT(n)	   (1ull << (n))
#define EVERYTHING (~0ull)

static struct held_disk *held;
static struct disk *disk;
static struct virtio_blk *device;

static void begin_on(struct held_disk *host, bool read_only, unsigned queues)
{
	struct disk_options disk_options = { .guest = "alice", .name = "root", .read_only = read_only };
	struct virtio_blk_options options = { .queues = queues };

	held = host;
	assert_int_equal(disk_create_on_host(&disk_options, &held->host, &disk), 0);
	options.disk = disk;
	assert_int_equal(virtio_blk_create(&options, &device), 0);
}

static void end(void)
{
	virtio_blk_destroy(device);
	disk_destroy(disk);
	held->host.ops->close(&held->host);
}

/* A field of the configuration, by its offset in virtio 1.2, 5.2.4. */
static uint64_t field(size_t offset, size_t bytes)
{
	uint64_t value = 0;

	virtio_blk_model.config_read(device, offset, &value, bytes);
	return value;
}

struct geometry {
	uint64_t size;
	uint32_t block, physical, optimal;
	uint64_t capacity;		/* sectors */
	uint64_t exponent, min_io, optimal_blocks;
};

static void fields_of_geometries(void **state)
{
	static const struct geometry geometries[] = {
		{ 1 << 20, 512, 512, 0, 2048, 0, 1, 0 },
		{ 1 << 20, 512, 4096, 65536, 2048, 3, 8, 128 },
		{ 1 << 20, 4096, 4096, 65536, 2048, 0, 1, 16 },
		{ 1 << 20, 4096, 16384, 0, 2048, 2, 4, 0 },
		{ 4096 + 511, 512, 4096, 0, 8, 3, 8, 0 },
		{ 8192 + 4095, 4096, 512, 0, 16, 0, 1, 0 },
	};

	for (size_t i = 0; i < sizeof(geometries) / sizeof(geometries[0]); i++) {
		const struct geometry *g = &geometries[i];
		struct held_disk *host = held_disk_create(g->size, g->block);

		host->host.geometry.physical_block_bytes = g->physical;
		host->host.geometry.optimal_io_bytes = g->optimal;
		begin_on(host, false, 5);
		assert_int_equal(field(0, 8), g->capacity);
		assert_int_equal(field(20, 4), g->block);
		assert_int_equal(field(24, 1), g->exponent);
		assert_int_equal(field(25, 1), 0);
		assert_int_equal(field(26, 2), g->min_io);
		assert_int_equal(field(28, 4), g->optimal_blocks);
		assert_int_equal(field(34, 2), 5);
		end();
	}
}

/* A limit for every feature that is offered, and none that is 0. */
static void limits(void **state)
{
	struct held_disk *host = held_disk_create(SECTORS * 512, 512);
	uint64_t features;

	host->host.geometry.can_punch = true;
	begin_on(host, false, 0);
	features = virtio_blk_model.features(device);
	assert_int_equal(features & BIT(VIRTIO_BLK_F_RO), 0);
	assert_true(features & BIT(VIRTIO_BLK_F_SIZE_MAX) && field(8, 4) == 1u << 20);
	assert_true(features & BIT(VIRTIO_BLK_F_SEG_MAX));
	assert_int_equal(field(12, 4), 254);
	assert_true(features & BIT(VIRTIO_BLK_F_CONFIG_WCE));
	assert_int_equal(field(32, 1), 1);
	assert_true(features & BIT(VIRTIO_BLK_F_MQ));
	assert_int_equal(field(34, 2), 1);
	assert_true(features & BIT(VIRTIO_BLK_F_DISCARD));
	assert_int_equal(field(36, 4), 1u << 16);
	assert_int_equal(field(40, 4), 16);
	assert_int_equal(field(44, 4), 8);
	assert_true(features & BIT(VIRTIO_BLK_F_WRITE_ZEROES));
	assert_int_equal(field(48, 4), 1u << 16);
	assert_int_equal(field(52, 4), 16);
	assert_int_equal(field(56, 1), 1);
	assert_int_equal(virtio_blk_model.config_size(device), 60);
	assert_int_equal(virtio_blk_model.queue_count(device), 1);
	end();
}

static void a_disk_that_cannot_discard(void **state)
{
	begin_on(held_disk_create(SECTORS * 512, 512), false, 1);
	assert_int_equal(virtio_blk_model.features(device) & BIT(VIRTIO_BLK_F_DISCARD), 0);
	assert_int_equal(field(36, 8), 0);
	assert_int_equal(field(44, 4), 0);
	assert_true(virtio_blk_model.features(device) & BIT(VIRTIO_BLK_F_WRITE_ZEROES));
	end();
}

/* Read-only by configuration, or because the host disk is. */
static void read_only_disks(void **state)
{
	for (int by_host = 0; by_host < 2; by_host++) {
		struct held_disk *host = held_disk_create(SECTORS * 512, 512);
		uint64_t features;

		host->host.geometry.can_punch = true;
		host->host.geometry.read_only = by_host;
		begin_on(host, !by_host, 1);
		features = virtio_blk_model.features(device);
		assert_true(features & BIT(VIRTIO_BLK_F_RO));
		assert_int_equal(features & (BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES)), 0);
		end();
	}
}

/* Every way to read it in pieces gives the same bytes, the last one included. */
static void read_in_pieces(void **state)
{
	uint8_t whole[60], piece[61];

	begin_on(held_disk_create(SECTORS * 512, 512), false, 7);
	virtio_blk_model.config_read(device, 0, whole, 60);
	for (size_t offset = 0; offset <= 60; offset++) {
		for (size_t bytes = 0; bytes <= 60 - offset; bytes++) {
			memset(piece, 0xa5, sizeof(piece));
			virtio_blk_model.config_read(device, offset, piece, bytes);
			assert_memory_equal(piece, whole + offset, bytes);
			assert_int_equal(piece[bytes], 0xa5);
		}
	}
	end();
}

static void the_capacity_grows(void **state)
{
	begin_on(held_disk_create(SECTORS * 512, 512), false, 1);
	held->host.geometry.size_bytes = SECTORS * 256;
	assert_int_equal(field(0, 8), SECTORS);
	disk_resized(disk);
	assert_int_equal(field(0, 8), SECTORS / 2);
	end();
}

static void queues(void **state)
{
	struct virtio_blk_options options = { .queues = 257 };
	struct virtio_blk *other = NULL;

	begin_on(held_disk_create(SECTORS * 512, 512), false, 256);
	assert_int_equal(virtio_blk_model.queue_count(device), 256);
	options.disk = disk;
	assert_int_equal(virtio_blk_create(&options, &other), -EINVAL);
	assert_null(other);
	virtio_blk_destroy(NULL);
	end();
}

static void config_write_rules(void **state)
{
	uint8_t bytes[2] = { 0, 0 }, value;

	begin_on(held_disk_create(SECTORS * 512, 512), false, 1);
	for (size_t offset = 0; offset < 60; offset++)
		if (offset != 32)
			assert_int_equal(virtio_blk_model.config_write(device, EVERYTHING, offset, bytes, 1),
					 -EINVAL);
	assert_int_equal(virtio_blk_model.config_write(device, EVERYTHING, 32, bytes, 2), -EINVAL);
	assert_int_equal(virtio_blk_model.config_write(device, EVERYTHING, 32, bytes, 0), -EINVAL);
	for (unsigned i = 2; i < 256; i++) {
		bytes[0] = (uint8_t)i;
		assert_int_equal(virtio_blk_model.config_write(device, EVERYTHING, 32, bytes, 1), -EINVAL);
	}
	virtio_blk_model.config_read(device, 32, &value, 1);
	assert_int_equal(value, 1);
	bytes[0] = 0;
	assert_int_equal(virtio_blk_model.config_write(device, EVERYTHING, 32, bytes, 1), 0);
	virtio_blk_model.config_read(device, 32, &value, 1);
	assert_int_equal(value, 0);
	bytes[0] = 1;
	assert_int_equal(virtio_blk_model.config_write(device, ~BIT(VIRTIO_BLK_F_CONFIG_WCE), 32, bytes, 1),
			 -EINVAL);
	virtio_blk_model.config_read(device, 32, &value, 1);
	assert_int_equal(value, 0);
	/* Front ends cache the mode, so no reset may change it behind their backs. */
	assert_null(virtio_blk_model.reset);
	end();
}

struct choices {
	unsigned count;
	bool last;
};

static void note_choice(void *context, bool writeback)
{
	struct choices *choices = context;

	choices->count++;
	choices->last = writeback;
}

/* Who keeps the choice over a restart is told of each, and starts the next device with it. */
static void the_choice_is_kept(void **state)
{
	struct choices choices = { 0 };
	struct virtio_blk_options options = { .writeback_changed = note_choice,
					      .context = &choices,
					      .write_through = true };
	uint8_t value = 1;

	begin_on(held_disk_create(SECTORS * 512, 512), false, 1);
	virtio_blk_destroy(device);
	options.disk = disk;
	assert_int_equal(virtio_blk_create(&options, &device), 0);
	assert_int_equal(field(32, 1), 0);
	assert_int_equal(virtio_blk_model.config_write(device, EVERYTHING, 32, &value, 1), 0);
	assert_int_equal(choices.count, 1);
	assert_true(choices.last);
	value = 0;
	assert_int_equal(virtio_blk_model.config_write(device, EVERYTHING, 32, &value, 1), 0);
	assert_int_equal(choices.count, 2);
	assert_false(choices.last);
	/* What was refused is no choice. */
	assert_int_equal(virtio_blk_model.config_write(device, 0, 32, &value, 1), -EINVAL);
	assert_int_equal(choices.count, 2);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_of_geometries),
		cmocka_unit_test(limits),
		cmocka_unit_test(a_disk_that_cannot_discard),
		cmocka_unit_test(read_only_disks),
		cmocka_unit_test(read_in_pieces),
		cmocka_unit_test(the_capacity_grows),
		cmocka_unit_test(queues),
		cmocka_unit_test(config_write_rules),
		cmocka_unit_test(the_choice_is_kept),
	};

	return cmocka_run_group_tests_name("virtio_blk_config", tests, NULL, NULL);
}
