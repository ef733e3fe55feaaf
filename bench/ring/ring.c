/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * viaduct-bench-ring: what the ring code costs for each chain: taking it from the ring, completing it and
 * publishing the answer. No socket, no device, no other process: the ring lies in this program's memory and a
 * model completes at once. Goal: at most 40 ns.
 *
 * One sample is a batch of 32 chains of three descriptors (a virtio-blk read: header, 4 KiB, status): take,
 * complete, and the turn of the loop that publishes. What the same turn costs without chains is measured in
 * the same way and subtracted; the driver's part is outside both. The median of many samples is printed: a
 * sample takes a few µs, so most are not disturbed by what else the machine does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/loop.h"
#include "core/shared.h"
#include "interfaces/virtio/virtqueue.h"
#include "ring_memory.h"

#define BATCH	 32u
#define SAMPLES	 20000u
#define WARM_UPS 2000u

static struct virtio_queue *offered;

static int model_start(void *device, const struct virtio_queue_setup *setup, void **ret_queue)
{
	offered = setup->queue;
	/* This program says when to take. */
	offered->ops->listen(offered, false);
	*ret_queue = device;
	return 0;
}

static void model_stop(void *queue)
{
}

static const struct virtio_model_ops model = {
	.name = "bench",
	.queue_start = model_start,
	.queue_stop = model_stop,
};

static void broken(void *context, enum virtqueue_violation violation, uint64_t value)
{
	fprintf(stderr, "viaduct-bench-ring: the ring broke: %s\n", virtqueue_violation_text(violation));
	exit(1);
}

/* Answers all that there is, and lets the loop publish. Returns how many chains that were. */
static unsigned answer(struct loop *loop)
{
	struct virtio_chain *chains[BATCH];
	unsigned count = offered->ops->take(offered, chains, BATCH);

	for (unsigned i = 0; i < count; i++)
		chains[i]->written_bytes = chains[i]->writable_bytes;
	if (count > 0)
		offered->ops->complete(offered, chains, count);
	loop_turn(loop, 0);
	return count;
}

static int compare(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

static uint64_t median(uint64_t *samples)
{
	qsort(samples, SAMPLES, sizeof(*samples), compare);
	return samples[SAMPLES / 2];
}

static uint64_t timed_ns(struct loop *loop, unsigned expected)
{
	uint64_t start = clock_now_ns();
	unsigned count = answer(loop);
	uint64_t ns = clock_now_ns() - start;

	if (count != expected) {
		fprintf(stderr, "viaduct-bench-ring: %u chains instead of %u\n", count, expected);
		exit(1);
	}
	return ns;
}

static double chain_ns(bool packed)
{
	static uint64_t full[SAMPLES], empty[SAMPLES];
	struct loop_options options = { .name = "bench" };
	struct virtqueue_setup setup;
	struct virtqueue *queue;
	struct ring_memory ring;
	struct loop *loop;

	ring_memory_init(&ring, packed);
	setup = ring_memory_setup(&ring);
	setup.model = &model;
	setup.broken = broken;
	if (loop_create(&options, &loop) || (setup.loop = loop, virtqueue_start(&setup, &queue))) {
		fprintf(stderr, "viaduct-bench-ring: no loop or no ring\n");
		exit(1);
	}
	for (unsigned i = 0; i < WARM_UPS + SAMPLES; i++) {
		uint64_t empty_ns = timed_ns(loop, 0), full_ns;

		ring_memory_post(&ring, BATCH);
		full_ns = timed_ns(loop, BATCH);
		ring_memory_reap(&ring, BATCH);
		if (i >= WARM_UPS) {
			empty[i - WARM_UPS] = empty_ns;
			full[i - WARM_UPS] = full_ns;
		}
	}
	return ((double)median(full) - (double)median(empty)) / BATCH;
}

int main(void)
{
	printf("{\"split_chain_ns\": %.1f, ", chain_ns(false));
	printf("\"packed_chain_ns\": %.1f}\n", chain_ns(true));
	return 0;
}
