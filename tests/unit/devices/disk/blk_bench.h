/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio-blk model alone, to be included by one program: chains made by hand, on a disk whose I/Os are
 * seen.
 */
#ifndef VIADUCT_TESTS_UNIT_BLK_BENCH_H
#define VIADUCT_TESTS_UNIT_BLK_BENCH_H

#include "arbiter/disk/disk.h"
#include "core/loop.h"
#include "devices/disk/virtio_blk.h"
#include "devices/disk/virtio_blk_format.h"
#include "held_disk.h"

#define SECTORS	   2048u
#define MEMORY	   (1u << 20)
#define STATUS_AT  (MEMORY - 1)
#define DATA_AT	   4096u
#define UNTOUCHED  0xa5u
#define BIT(n)	   (1ull << (n))
#define EVERYTHING (~0ull)

struct test_chain {
	struct virtio_chain chain;	/* first */
	struct iovec iov[300], given[300];	/* as they are now, and as the model got them */
	unsigned completed, rejected;
	uint32_t first, last;		/* where the model says that it wrote */
};

static struct loop *loop;
static struct held_disk *held;
static struct disk *disk;
static struct virtio_blk *device;
static void *queue;
static uint8_t memory[MEMORY];
static struct test_chain chain;

/* ---- the ring: one chain at a time ---- */

static struct test_chain *offered;	/* not yet taken; NULL: none */

static unsigned take(struct virtio_queue *ring, struct virtio_chain **ret_chains, unsigned count)
{
	assert_true(count > 0);
	if (!offered)
		return 0;
	ret_chains[0] = &offered->chain;
	offered = NULL;
	return 1;
}

static void complete(struct virtio_queue *ring, struct virtio_chain *const *chains, unsigned count)
{
	struct test_chain *self = (struct test_chain *)chains[0];

	assert_int_equal(count, 1);
	/* A migration that began meanwhile reads there what was written. */
	assert_memory_equal(self->iov + self->chain.readable_count, self->given + self->chain.readable_count,
			    self->chain.writable_count * sizeof(struct iovec));
	virtio_blk_model.written(&self->chain, &self->first, &self->last);
	self->completed++;
}

static void reject(struct virtio_queue *ring, struct virtio_chain *base)
{
	((struct test_chain *)base)->rejected++;
}

static const struct virtio_queue_ops ring_ops = { .take = take, .complete = complete, .reject = reject };
static struct virtio_queue ring = { &ring_ops };

static inline void begin_on(struct held_disk *host, bool read_only, uint64_t features)
{
	struct loop_options options = { .name = "blk" };
	struct disk_options disk_options = { .guest = "alice", .name = "root", .read_only = read_only };
	struct virtio_blk_options blk_options = { .queues = 3, .serial = "0123456789abcdefghijklm" };
	struct virtio_queue_setup setup = { .queue = &ring, .features = features, .size = 8 };

	held = host;
	held->at_once = true;
	assert_int_equal(loop_create(&options, &loop), 0);
	assert_int_equal(disk_create_on_host(&disk_options, &held->host, &disk), 0);
	blk_options.disk = disk;
	assert_int_equal(virtio_blk_create(&blk_options, &device), 0);
	setup.loop = loop;
	assert_int_equal(virtio_blk_model.queue_start(device, &setup, &queue), 0);
}

static inline void begin(uint64_t features)
{
	begin_on(held_disk_create(SECTORS * 512, 512), false, features);
}

static inline void end(void)
{
	free(chain.chain.request);
	chain.chain.request = NULL;
	virtio_blk_model.queue_stop(queue);
	virtio_blk_destroy(device);
	disk_destroy(disk);
	held->host.ops->close(&held->host);
	loop_destroy(loop);
}

/* ---- chains ---- */

static inline void chain_new(uint32_t type, uint64_t sector)
{
	struct virtio_blk_header header = { type, 0x12345678, sector };

	free(chain.chain.request);
	memset(&chain, 0, sizeof(chain));
	chain.chain.iov = chain.iov;
	chain.chain.busy = true;
	chain.chain.request = calloc(1, virtio_blk_model.request_bytes);
	memcpy(memory, &header, sizeof(header));
	memory[STATUS_AT] = UNTOUCHED;
}

static inline void readable(size_t at, uint32_t bytes)
{
	assert_int_equal(chain.chain.writable_count, 0);
	chain.chain.descriptors++;
	chain.iov[chain.chain.readable_count++] = (struct iovec){ memory + at, bytes };
	chain.chain.readable_bytes += bytes;
}

static inline void writable(size_t at, uint32_t bytes)
{
	chain.chain.descriptors++;
	chain.iov[chain.chain.readable_count + chain.chain.writable_count++] =
		(struct iovec){ memory + at, bytes };
	chain.chain.writable_bytes += bytes;
}

/* As the ring code marks a range outside guest memory. */
static inline void unmap(unsigned index)
{
	chain.iov[index].iov_base = NULL;
	chain.chain.unmapped = true;
}

static inline void handle(void)
{
	memcpy(chain.given, chain.iov, sizeof(chain.iov));
	offered = &chain;
	virtio_blk_model.ready(queue);
	assert_null(offered);
}

static inline uint8_t status(void)
{
	assert_int_equal(chain.completed, 1);
	assert_int_equal(chain.rejected, 0);
	assert_int_equal(chain.chain.written_bytes, chain.chain.writable_bytes);
	return memory[STATUS_AT];
}

static inline void assert_rejected(void)
{
	assert_int_equal(chain.rejected, 1);
	assert_int_equal(chain.completed, 0);
	assert_int_equal(memory[STATUS_AT], UNTOUCHED);
	assert_int_equal(held->logged, 0);
}

/* A whole request in the usual form; data at DATA_AT. Its status. */
static inline uint8_t request(uint32_t type, uint64_t sector, uint32_t out, uint32_t in)
{
	chain_new(type, sector);
	readable(0, 16);
	if (out > 0)
		readable(DATA_AT, out);
	if (in > 0)
		writable(DATA_AT, in);
	writable(STATUS_AT, 1);
	handle();
	return status();
}

/* One of DISCARD's and WRITE_ZEROES's ranges. */
static inline void segment(unsigned index, uint64_t sector, uint32_t sectors, uint32_t flags)
{
	struct virtio_blk_segment body = { sector, sectors, flags };

	memcpy(memory + DATA_AT + 16 * index, &body, sizeof(body));
}

#endif
