/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-blk on a pool, and a migration that begins while reads are in flight: whatever the arbiter and the
 * host driver have cut by then, every page that the device wrote is marked when the read completes, and no
 * other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arbiter/disk/disk.h"
#include "arbiter/pool/pool.h"
#include "core/fd.h"
#include "devices/disk/virtio_blk.h"
#include "devices/disk/virtio_blk_format.h"
#include "held_disk.h"
#include "queue_bench.h"

#define POOL_BYTES (32u << 20)
#define DISK_BYTES (4u << 20)
#define GRAIN	   POOL_GRAIN_BYTES
#define SECTOR	   VIRTIO_BLK_SECTOR_BYTES
#define LOG_BYTES  (512u << 10)
#define USED_AT	   (DRIVER_GUEST_BASE + 0x30000)
#define PAGES	   (2 * DRIVER_REGION_BYTES / 4096)
#define HEADER_AT  DATA
/* So that the status byte behind whole pages has a page of its own */
#define BUFFER_AT  (DATA + 4096)

static struct queue_bench bench;
static struct held_disk *held;
static struct pool *pool;
static struct disk *disk;
static struct virtio_blk *device;
static struct dirty_log *dirty;
static uint8_t *bitmap;
static int log_fd;

static void begin(bool packed)
{
	struct disk_options disk_options = { .guest = "g", .name = "d" };
	struct virtio_blk_options blk_options = { .queues = 1 };
	struct pool_disk *part;
	struct error error;

	held = held_disk_create(POOL_BYTES, 512);
	held->at_once = true;
	assert_int_equal(pool_format(&held->host, true, &error), 0);
	assert_int_equal(pool_open(&held->host, &pool, &error), 0);
	assert_int_equal(pool_disk_create(pool, "g/d", DISK_BYTES, &part, &error), 0);
	assert_int_equal(disk_create_on_pool(&disk_options, pool, part, &disk), 0);
	blk_options.disk = disk;
	assert_int_equal(virtio_blk_create(&blk_options, &device), 0);
	bench_begin(&bench, packed, BENCH_SIZE, 0);
	bench.setup.model = &virtio_blk_model;
	bench.setup.device = device;
	bench_start(&bench);
	log_fd = fd_memfd("log", LOG_BYTES);
	bitmap = mmap(NULL, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, log_fd, 0);
	assert_ptr_not_equal(bitmap, MAP_FAILED);
	assert_int_equal(dirty_log_open(log_fd, 0, LOG_BYTES, &dirty), 0);
}

static void end(void)
{
	bench_stop(&bench);
	virtio_blk_destroy(device);
	disk_destroy(disk);
	/* Before the loop goes: the pool's journal has a thread that posts to it. */
	pool_close(pool);
	bench_end(&bench);
	held->host.ops->close(&held->host);
	dirty_log_put(dirty);
	munmap(bitmap, LOG_BYTES);
	fd_close(&log_fd);
}

/* One descriptor for data and status, or two pieces of data and a status. Kicks. */
static void post(uint32_t type, uint64_t offset, uint32_t bytes, bool one)
{
	struct virtio_blk_header header = { .type = type, .sector = offset / SECTOR };
	bool in = type == VIRTIO_BLK_IN;
	struct driver_element elements[4] = { { HEADER_AT, sizeof(header), false },
					      { BUFFER_AT, 512, in },
					      { BUFFER_AT + 512, bytes - 512, in },
					      { BUFFER_AT + bytes, 1, true } };

	bench_write(&bench, HEADER_AT, &header, sizeof(header));
	if (one)
		elements[1].length = bytes + 1;
	assert_true(ring_driver_add(&bench.driver, elements, one ? 2 : 4, false) >= 0);
	ring_driver_kick(&bench.driver);
}

static bool answered(uint32_t bytes)
{
	uint32_t length = 0;

	if (ring_driver_take(&bench.driver, &length) < 0)
		return false;
	assert_int_equal(length, bytes + 1);
	return true;
}

/* The pool's own thread commits the mark before the write is answered. */
static void write_grain(unsigned grain)
{
	uint64_t deadline_ns = clock_now_ns() + 60 * NS_PER_S;
	uint32_t length = 0;

	post(VIRTIO_BLK_OUT, (uint64_t)grain * GRAIN, GRAIN, false);
	while (ring_driver_take(&bench.driver, &length) < 0) {
		assert_true(clock_now_ns() < deadline_ns);
		bench_turn(&bench);
	}
	assert_int_equal(*ring_driver_at(&bench.driver, BUFFER_AT + GRAIN), 0);
}

static bool is_marked(uint64_t guest)
{
	return bitmap[guest / 4096 / 8] >> guest / 4096 % 8 & 1;
}

/* The pages of [BUFFER_AT, +bytes] are marked, and else only those of the ring. */
static void assert_marked(uint32_t bytes)
{
	for (unsigned i = 0; i < PAGES; i++) {
		uint64_t page = DRIVER_GUEST_BASE + 4096ull * i;
		bool buffer = page + 4096 > BUFFER_AT && page <= BUFFER_AT + bytes;
		bool ring = page == DRIVER_GUEST_BASE || page == USED_AT;

		if (!ring && is_marked(page) != buffer)
			fail_msg("page %u: marked %d, written %d", i, is_marked(page), buffer);
	}
}

static void start_log(void)
{
	virtqueue_set_log(bench.queue, dirty, USED_AT);
}

/* The whole range is written, and the device has it. */
static void a_read_in_one_piece(void **state)
{
	for (int kind = 0; kind < 4; kind++) {
		begin(kind & 1);
		write_grain(0);
		held->at_once = false;
		post(VIRTIO_BLK_IN, 512, 8192, kind & 2);
		bench_turn(&bench);
		assert_int_equal(held->held_count, 1);
		start_log();
		held_end(held, 0, 0);
		bench_turn(&bench);
		assert_true(answered(8192));
		assert_marked(8192);
		end();
	}
}

/* The device fails: what it wrote before is not known, and all of the buffer is marked. */
static void a_read_that_fails(void **state)
{
	for (int kind = 0; kind < 4; kind++) {
		begin(kind & 1);
		write_grain(0);
		held->at_once = false;
		post(VIRTIO_BLK_IN, 0, 4096, kind & 2);
		bench_turn(&bench);
		start_log();
		held_end(held, 0, -EIO);
		bench_turn(&bench);
		assert_true(answered(4096));
		assert_marked(4096);
		end();
	}
}

/* Blank, written, blank: the written piece is cut out of the elements while the migration begins. */
static void a_read_in_pieces(void **state)
{
	for (int kind = 0; kind < 4; kind++) {
		uint32_t bytes = 2 * GRAIN;

		begin(kind & 1);
		write_grain(1);
		held->at_once = false;
		post(VIRTIO_BLK_IN, GRAIN / 2, bytes, kind & 2);
		bench_turn(&bench);
		assert_int_equal(held->held_count, 1);
		start_log();
		held_end(held, 0, 0);
		bench_turn(&bench);
		assert_true(answered(bytes));
		assert_marked(bytes);
		end();
	}
}

/* A large blank read is zeroed in several turns, and the migration begins between two of them. */
static void a_blank_read(void **state)
{
	for (int kind = 0; kind < 4; kind++) {
		uint32_t bytes = 1u << 20;
		unsigned turns = 0;

		begin(kind & 1);
		post(VIRTIO_BLK_IN, 0, bytes, kind & 2);
		while (!answered(bytes)) {
			assert_int_equal(loop_turn(bench.loop, 0), 0);
			if (++turns == 2)
				start_log();
		}
		assert_true(turns > 2);
		assert_marked(bytes);
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_read_in_one_piece),
		cmocka_unit_test(a_read_that_fails),
		cmocka_unit_test(a_read_in_pieces),
		cmocka_unit_test(a_blank_read),
	};

	return cmocka_run_group_tests_name("virtqueue_migration", tests, NULL, NULL);
}
