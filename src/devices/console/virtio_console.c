/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "devices/console/virtio_console.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/container.h"
#include "core/iov.h"
#include "devices/console/virtio_console_format.h"
#include "devices/virtio_bell.h"

/* Said at a time. */
#define PIECE_BYTES 4096u
/* Buffers filled in one turn: the driver may post such of one byte. */
#define TURN_BUFFERS 64u

struct console_queue {
	struct virtio_console *device;
	struct virtio_queue *ring;
	unsigned index;
	/* A chain of the driver's that is heard over several turns, and how much of it was heard. */
	struct virtio_chain *chain;
	size_t heard;
};

struct virtio_console {
	struct virtio_console_options options;
	uint16_t columns, rows; /* atomic: of the control thread, and told by a worker */
	/* The control thread types, the receiver's worker hands it on: what follows is under the bell's lock.
	 */
	struct virtio_bell bell;
	uint8_t input[VIRTIO_CONSOLE_INPUT_MAX];
	size_t input_bytes;
};

/* ---- what the driver says ---- */

static void end_chain(struct console_queue *queue)
{
	struct virtio_chain *chain = queue->chain;

	queue->chain = NULL;
	queue->heard = 0;
	chain->written_bytes = 0;
	queue->ring->ops->complete(queue->ring, &chain, 1);
}

/* At most `budget` bytes; returns how many. */
static size_t hear_some(struct console_queue *queue, size_t budget)
{
	const struct virtio_console_options *options = &queue->device->options;
	const struct virtio_chain *chain = queue->chain;
	uint8_t bytes[PIECE_BYTES];
	size_t count;

	count = iov_copy_out(chain->iov, chain->readable_count, queue->heard, bytes,
			     budget < sizeof(bytes) ? budget : sizeof(bytes));
	if (count > 0)
		options->output(options->context, bytes, count);
	queue->heard += count;
	return count;
}

static void hear(struct console_queue *queue)
{
	const struct virtio_queue_ops *ops = queue->ring->ops;
	size_t budget = VIRTIO_CONSOLE_TURN_BYTES;

	while (budget > 0) {
		if (!queue->chain && ops->take(queue->ring, &queue->chain, 1) == 0)
			return;
		/* A chain that lies nowhere says nothing. */
		if (!queue->chain->unmapped)
			budget -= hear_some(queue, budget);
		if (queue->chain->unmapped || queue->heard == queue->chain->readable_bytes)
			end_chain(queue);
	}
	ops->busy(queue->ring);
}

/* ---- what is typed ---- */

/* Puts what is typed into a buffer. False: the buffer is none, and the ring has stopped. */
static bool fill(struct console_queue *queue, struct virtio_chain *chain)
{
	struct virtio_console *device = queue->device;
	size_t count;

	if (chain->unmapped || chain->writable_bytes == 0) {
		queue->ring->ops->reject(queue->ring, chain);
		return false;
	}
	virtio_bell_lock(&device->bell);
	count = iov_copy_in(chain->iov + chain->readable_count, chain->writable_count, 0, device->input,
			    device->input_bytes);
	device->input_bytes -= count;
	memmove(device->input, device->input + count, device->input_bytes);
	virtio_bell_unlock(&device->bell);
	chain->written_bytes = (uint32_t)count;
	queue->ring->ops->complete(queue->ring, &chain, 1);
	return true;
}

static bool is_typed(struct virtio_console *device)
{
	bool typed;

	virtio_bell_lock(&device->bell);
	typed = device->input_bytes > 0;
	virtio_bell_unlock(&device->bell);
	return typed;
}

/* Of what is typed behind the last look, the message tells. */
static void hand_on(struct console_queue *queue)
{
	const struct virtio_queue_ops *ops = queue->ring->ops;
	struct virtio_chain *chain;

	for (unsigned i = 0; i < TURN_BUFFERS; i++) {
		if (!is_typed(queue->device)) {
			ops->listen(queue->ring, false);
			return;
		}
		if (ops->take(queue->ring, &chain, 1) == 0 || !fill(queue, chain))
			return;
	}
	ops->busy(queue->ring);
}

ssize_t virtio_console_type(struct virtio_console *device, const uint8_t *bytes, size_t count)
{
	ssize_t result = -ENOTCONN;

	virtio_bell_lock(&device->bell);
	if (virtio_bell_is_heard(&device->bell)) {
		size_t room = sizeof(device->input) - device->input_bytes;

		if (count > room)
			count = room;
		memcpy(device->input + device->input_bytes, bytes, count);
		device->input_bytes += count;
		virtio_bell_ring(&device->bell);
		result = (ssize_t)count;
	}
	virtio_bell_unlock(&device->bell);
	return result;
}

/* ---- queues ---- */

static void console_ready(void *opaque)
{
	struct console_queue *queue = opaque;

	if (queue->index == VIRTIO_CONSOLE_RECEIVE)
		hand_on(queue);
	else
		hear(queue);
}

static int console_queue_start(void *opaque, const struct virtio_queue_setup *setup, void **ret_queue)
{
	struct virtio_console *device = opaque;
	struct console_queue *queue = calloc(1, sizeof(*queue));

	if (!queue)
		return -ENOMEM;
	assert(setup->index < VIRTIO_CONSOLE_QUEUES);
	*queue = (struct console_queue){
		.device = device,
		.ring = setup->queue,
		.index = setup->index,
	};
	if (queue->index == VIRTIO_CONSOLE_RECEIVE)
		virtio_bell_set_queue(&device->bell, setup);
	*ret_queue = queue;
	return 0;
}

/* What was typed stays for the queue that comes next: a migration, or other memory. */
static void console_queue_stop(void *opaque)
{
	struct console_queue *queue = opaque;

	assert(!queue->chain);
	if (queue->index == VIRTIO_CONSOLE_RECEIVE)
		virtio_bell_set_queue(&queue->device->bell, NULL);
	free(queue);
}

/* The rest of a long chain is not heard. */
static void console_queue_drain(void *opaque, bool drain)
{
	struct console_queue *queue = opaque;

	if (drain && queue->chain)
		end_chain(queue);
}

static void console_queue_abandon(void *opaque)
{
	console_queue_drain(opaque, true);
}

/* ---- configuration ---- */

static uint64_t console_features(void *opaque)
{
	return 1ull << VIRTIO_CONSOLE_F_SIZE | 1ull << VIRTIO_CONSOLE_F_EMERG_WRITE;
}

static unsigned console_queue_count(void *opaque)
{
	return VIRTIO_CONSOLE_QUEUES;
}

static size_t console_config_size(void *opaque)
{
	return sizeof(struct virtio_console_config);
}

static void console_config_read(void *opaque, size_t offset, void *buffer, size_t bytes)
{
	const struct virtio_console *device = opaque;
	const struct virtio_console_config config = {
		.cols = htole16(__atomic_load_n(&device->columns, __ATOMIC_RELAXED)),
		.rows = htole16(__atomic_load_n(&device->rows, __ATOMIC_RELAXED)),
		.max_nr_ports = htole32(1),
	};

	assert(offset <= sizeof(config) && bytes <= sizeof(config) - offset);
	memcpy(buffer, (const uint8_t *)&config + offset, bytes);
}

/* Some front ends write all of it, whatever the driver wrote: what is not the driver's to set is ignored. */
static int console_config_write(void *opaque, uint64_t features, size_t offset, const void *buffer,
				size_t bytes)
{
	const struct virtio_console *device = opaque;

	if (offset == offsetof(struct virtio_console_config, emerg_wr) && bytes > 0)
		device->options.output(device->options.context, buffer, 1);
	return 0;
}

static void console_reset(void *opaque)
{
	struct virtio_console *device = opaque;

	virtio_bell_lock(&device->bell);
	device->input_bytes = 0;
	virtio_bell_unlock(&device->bell);
}

bool virtio_console_set_size(struct virtio_console *device, uint16_t columns, uint16_t rows)
{
	bool changed = device->columns != columns || device->rows != rows;

	__atomic_store_n(&device->columns, columns, __ATOMIC_RELAXED);
	__atomic_store_n(&device->rows, rows, __ATOMIC_RELAXED);
	return changed;
}

const struct virtio_model_ops virtio_console_model = {
	.name = "virtio-console",
	.virtio_id = 3,
	.features = console_features,
	.queue_count = console_queue_count,
	.config_size = console_config_size,
	.config_read = console_config_read,
	.config_write = console_config_write,
	.reset = console_reset,
	.queue_start = console_queue_start,
	.queue_stop = console_queue_stop,
	.queue_drain = console_queue_drain,
	.queue_abandon = console_queue_abandon,
	.ready = console_ready,
};

/* ---- life ---- */

static void free_console(struct virtio_bell *bell)
{
	free(container_of(bell, struct virtio_console, bell));
}

int virtio_console_create(const struct virtio_console_options *options, struct virtio_console **ret_device)
{
	struct virtio_console *device = calloc(1, sizeof(*device));

	if (!device)
		return -ENOMEM;
	device->options = *options;
	virtio_bell_init(&device->bell, free_console);
	*ret_device = device;
	return 0;
}

void virtio_console_destroy(struct virtio_console *device)
{
	if (device)
		virtio_bell_destroy(&device->bell);
}
