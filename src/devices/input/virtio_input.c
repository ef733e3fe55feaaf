/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happened waits here until the driver has buffers for it; each buffer takes one event. It is reported
 * on one thread, and handed to the driver on the worker of the queue.
 */
#include "devices/input/virtio_input.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/container.h"
#include "core/iov.h"
#include "devices/input/virtio_input_private.h"

#define QUEUES	     2u /* events, and what the driver sets */
#define EVENTS	     0u
#define STATUS_BATCH 16u

struct input_queue {
	struct virtio_input *device;
	struct virtio_queue *ring;
	bool is_events;
};

/* What the driver was told, and what it was to be told, goes; what is down stays. */
static void forget_events(struct virtio_input *device)
{
	virtio_bell_lock(&device->bell);
	input_reports_forget(&device->reports);
	virtio_bell_unlock(&device->bell);
}

static void put_lights_out(const struct virtio_input *device)
{
	for (unsigned led = LED_NUML; led <= LED_SCROLLL && device->options.led; led++)
		device->options.led(device->options.context, led, false);
}

/* ---- events to the driver ---- */

static bool is_waiting(struct virtio_input *device)
{
	bool waiting;

	virtio_bell_lock(&device->bell);
	waiting = input_reports_wait(&device->reports);
	virtio_bell_unlock(&device->bell);
	return waiting;
}

/* Only here does what waits become less. */
static bool put_event(const struct input_queue *queue, struct virtio_chain *chain)
{
	struct virtio_input *device = queue->device;
	struct input_report_event oldest;
	struct virtio_input_event event;

	if (chain->unmapped || chain->writable_bytes < sizeof(event)) {
		queue->ring->ops->reject(queue->ring, chain);
		return false;
	}
	virtio_bell_lock(&device->bell);
	oldest = input_reports_take(&device->reports);
	virtio_bell_unlock(&device->bell);
	event = (struct virtio_input_event){ htole16(oldest.type), htole16(oldest.code),
					     htole32(oldest.value) };
	iov_copy_in(chain->iov + chain->readable_count, chain->writable_count, 0, &event, sizeof(event));
	chain->written_bytes = sizeof(event);
	queue->ring->ops->complete(queue->ring, &chain, 1);
	return true;
}

/* Of what is reported behind the last look, the bell tells. */
static void deliver(const struct input_queue *queue)
{
	const struct virtio_queue_ops *ops = queue->ring->ops;
	struct virtio_chain *chain;

	while (is_waiting(queue->device)) {
		if (ops->take(queue->ring, &chain, 1) == 0) {
			ops->listen(queue->ring, true);
			return;
		}
		if (!put_event(queue, chain))
			return;
	}
	ops->listen(queue->ring, false);
}

/* ---- reports of the host ---- */

void virtio_input_key(struct virtio_input *device, unsigned code, bool down)
{
	if (!input_has_key(device, code))
		return;
	virtio_bell_lock(&device->bell);
	if (input_reports_key(&device->reports, code, down, virtio_bell_is_heard(&device->bell)))
		virtio_bell_ring(&device->bell);
	virtio_bell_unlock(&device->bell);
}

static uint32_t on_axis(unsigned value)
{
	return value < INPUT_AXIS_MAX ? value : INPUT_AXIS_MAX;
}

void virtio_input_move(struct virtio_input *device, unsigned x, unsigned y)
{
	if (device->options.kind != VIRTIO_INPUT_TABLET)
		return;
	virtio_bell_lock(&device->bell);
	if (virtio_bell_is_heard(&device->bell))
		input_reports_move(&device->reports, on_axis(x), on_axis(y));
	virtio_bell_ring(&device->bell);
	virtio_bell_unlock(&device->bell);
}

void virtio_input_turn_wheel(struct virtio_input *device, int notches)
{
	if (device->options.kind != VIRTIO_INPUT_TABLET || notches == 0)
		return;
	virtio_bell_lock(&device->bell);
	if (virtio_bell_is_heard(&device->bell))
		input_reports_turn_wheel(&device->reports, notches);
	virtio_bell_ring(&device->bell);
	virtio_bell_unlock(&device->bell);
}

unsigned virtio_input_waiting(struct virtio_input *device)
{
	unsigned count;

	virtio_bell_lock(&device->bell);
	count = virtio_bell_is_heard(&device->bell) ? device->reports.count : 0;
	virtio_bell_unlock(&device->bell);
	return count;
}

uint64_t virtio_input_dropped(struct virtio_input *device)
{
	uint64_t dropped;

	virtio_bell_lock(&device->bell);
	dropped = device->reports.dropped;
	virtio_bell_unlock(&device->bell);
	return dropped;
}

/* ---- what the driver sets ---- */

static void take_status(const struct virtio_input *device, const struct virtio_chain *chain)
{
	struct virtio_input_event event;

	iov_copy_out(chain->iov, chain->readable_count, 0, &event, sizeof(event));
	if (le16toh(event.type) == EV_LED && le16toh(event.code) <= LED_MAX && device->options.led)
		device->options.led(device->options.context, le16toh(event.code), event.value != 0);
}

static void take_statuses(struct input_queue *queue)
{
	const struct virtio_queue_ops *ops = queue->ring->ops;
	struct virtio_chain *chains[STATUS_BATCH];
	unsigned count;

	while ((count = ops->take(queue->ring, chains, STATUS_BATCH)) > 0) {
		for (unsigned i = 0; i < count; i++) {
			if (chains[i]->unmapped ||
			    chains[i]->readable_bytes < sizeof(struct virtio_input_event)) {
				ops->reject(queue->ring, chains[i]);
				continue;
			}
			take_status(queue->device, chains[i]);
			chains[i]->written_bytes = 0;
			ops->complete(queue->ring, &chains[i], 1);
		}
	}
}

static void input_ready(void *opaque)
{
	struct input_queue *queue = opaque;

	if (queue->is_events)
		deliver(queue);
	else
		take_statuses(queue);
}

/* ---- life ---- */

static int input_queue_start(void *opaque, const struct virtio_queue_setup *setup, void **ret_queue)
{
	struct virtio_input *device = opaque;
	struct input_queue *queue = calloc(1, sizeof(*queue));

	if (!queue)
		return -ENOMEM;
	*queue = (struct input_queue){ device, setup->queue, setup->index == EVENTS };
	/* Each queue tells of what went through it: one may be untouched, when the other is not. */
	if (setup->anew && queue->is_events)
		forget_events(device);
	else if (setup->anew)
		put_lights_out(device);
	if (queue->is_events)
		virtio_bell_set_queue(&device->bell, setup);
	*ret_queue = queue;
	return 0;
}

/* The guest may go on with another queue: what it has heard, it has heard. */
static void input_queue_stop(void *opaque)
{
	struct input_queue *queue = opaque;

	if (queue->is_events)
		virtio_bell_set_queue(&queue->device->bell, NULL);
	free(queue);
}

static void input_reset(void *opaque)
{
	struct virtio_input *device = opaque;

	device->select = device->subsel = 0;
	forget_events(device);
	put_lights_out(device);
}

static uint64_t input_features(void *opaque)
{
	return 0;
}

static unsigned input_queue_count(void *opaque)
{
	return QUEUES;
}

static size_t input_config_size(void *opaque)
{
	return VIRTIO_INPUT_CONFIG_BYTES;
}

static void input_config_read(void *opaque, size_t offset, void *buffer, size_t bytes)
{
	struct virtio_input_config config;

	input_describe(opaque, &config);
	assert(offset <= sizeof(config) && bytes <= sizeof(config) - offset);
	memcpy(buffer, (const uint8_t *)&config + offset, bytes);
}

/* Some front ends write all of it, whatever the driver wrote: what is not the driver's to set is ignored. */
static int input_config_write(void *opaque, uint64_t features, size_t offset, const void *buffer,
			      size_t bytes)
{
	struct virtio_input *device = opaque;
	const uint8_t *from = buffer;

	if (offset == 0 && bytes > 0)
		device->select = from[0];
	if (offset <= 1 && bytes > 1 - offset)
		device->subsel = from[1 - offset];
	return 0;
}

const struct virtio_model_ops virtio_input_model = {
	.name = "virtio-input",
	.virtio_id = 18,
	.outlives_status = true,
	.features = input_features,
	.queue_count = input_queue_count,
	.config_size = input_config_size,
	.config_read = input_config_read,
	.config_write = input_config_write,
	.reset = input_reset,
	.queue_start = input_queue_start,
	.queue_stop = input_queue_stop,
	.ready = input_ready,
};

static void free_input(struct virtio_bell *bell)
{
	free(container_of(bell, struct virtio_input, bell));
}

int virtio_input_create(const struct virtio_input_options *options, struct virtio_input **ret_device)
{
	struct virtio_input *device = calloc(1, sizeof(*device));

	if (!device)
		return -ENOMEM;
	device->options = *options;
	virtio_bell_init(&device->bell, free_input);
	*ret_device = device;
	return 0;
}

void virtio_input_destroy(struct virtio_input *device)
{
	if (device)
		virtio_bell_destroy(&device->bell);
}

/* ---- the same, whatever the model ---- */

static void report_key(void *device, unsigned code, bool down)
{
	virtio_input_key(device, code, down);
}

static void report_move(void *device, unsigned x, unsigned y)
{
	virtio_input_move(device, x, y);
}

static void report_wheel(void *device, int notches)
{
	virtio_input_turn_wheel(device, notches);
}

static unsigned count_waiting(void *device)
{
	return virtio_input_waiting(device);
}

static uint64_t count_dropped(void *device)
{
	return virtio_input_dropped(device);
}

static void destroy(void *device)
{
	virtio_input_destroy(device);
}

const struct input_model_ops virtio_input_reports = {
	.key = report_key,
	.move = report_move,
	.turn_wheel = report_wheel,
	.waiting = count_waiting,
	.dropped = count_dropped,
	.destroy = destroy,
};
