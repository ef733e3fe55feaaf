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

/* ---- what waits: under the lock ---- */

static struct virtio_input_event *waiting_at(struct virtio_input *device, unsigned position)
{
	return &device->waiting[position % WAITING_MAX];
}

/* Puts a report at the end, or drops it. */
static bool report(struct virtio_input *device, const struct virtio_input_event *events, unsigned count)
{
	static const struct virtio_input_event end = { .type = EV_SYN, .code = SYN_REPORT };

	if (WAITING_MAX - device->count < count + 1)
		return false;
	for (unsigned i = 0; i < count; i++)
		*waiting_at(device, device->first + device->count + i) = events[i];
	*waiting_at(device, device->first + device->count + count) = end;
	device->count += count + 1;
	device->has_motion = false;
	return true;
}

static bool report_key(struct virtio_input *device, unsigned code, bool down)
{
	const struct virtio_input_event event = { .type = EV_KEY, .code = (uint16_t)code, .value = down };

	if (!report(device, &event, 1))
		return false;
	device->told[code] = down;
	return true;
}

/* Lets up what the guest takes to be down. */
static void settle(struct virtio_input *device)
{
	if (!device->owes)
		return;
	for (unsigned code = 0; code < KEY_CNT; code++)
		if (device->told[code] && !device->down[code] && !report_key(device, code, false))
			return;
	device->owes = false;
}

/* The oldest event. */
static struct virtio_input_event take_waiting(struct virtio_input *device)
{
	struct virtio_input_event event = *waiting_at(device, device->first);

	if (device->has_motion && device->motion == device->first)
		device->has_motion = false;
	device->first = (device->first + 1) % WAITING_MAX;
	device->count--;
	return event;
}

/* What the driver was told, and what it was to be told, goes; what is down stays. */
static void forget_events(struct virtio_input *device)
{
	virtio_bell_lock(&device->bell);
	device->first = device->count = 0;
	device->has_motion = device->owes = false;
	memset(device->told, 0, sizeof(device->told));
	virtio_bell_unlock(&device->bell);
}

/* ---- events to the driver ---- */

static bool is_waiting(struct virtio_input *device)
{
	bool waiting;

	virtio_bell_lock(&device->bell);
	settle(device);
	waiting = device->count > 0;
	virtio_bell_unlock(&device->bell);
	return waiting;
}

/* Only here does what waits become less. */
static bool put_event(const struct input_queue *queue, struct virtio_chain *chain)
{
	struct virtio_input *device = queue->device;
	struct virtio_input_event event;

	if (chain->unmapped || chain->writable_bytes < sizeof(event)) {
		queue->ring->ops->reject(queue->ring, chain);
		return false;
	}
	virtio_bell_lock(&device->bell);
	event = take_waiting(device);
	virtio_bell_unlock(&device->bell);
	event = (struct virtio_input_event){ htole16(event.type), htole16(event.code), htole32(event.value) };
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

static void note_key(struct virtio_input *device, unsigned code, bool down)
{
	device->down[code] = down;
	if (!virtio_bell_is_heard(&device->bell) || device->told[code] == down) {
		device->owes = device->owes || (device->told[code] && !down);
	} else if (!report_key(device, code, down)) {
		device->dropped++;
		device->owes = device->owes || !down;
	}
}

void virtio_input_key(struct virtio_input *device, unsigned code, bool down)
{
	if (!input_has_key(device, code))
		return;
	virtio_bell_lock(&device->bell);
	if (device->down[code] != down) {
		note_key(device, code, down);
		virtio_bell_ring(&device->bell);
	}
	virtio_bell_unlock(&device->bell);
}

static uint32_t on_axis(unsigned value)
{
	return value < VIRTIO_INPUT_AXIS_MAX ? value : VIRTIO_INPUT_AXIS_MAX;
}

static void note_motion(struct virtio_input *device, const struct virtio_input_event events[2])
{
	if (device->has_motion) {
		*waiting_at(device, device->motion) = events[0];
		*waiting_at(device, device->motion + 1) = events[1];
	} else if (report(device, events, 2)) {
		device->has_motion = true;
		device->motion = (device->first + device->count - 3) % WAITING_MAX;
	} else {
		device->dropped++;
	}
}

void virtio_input_move(struct virtio_input *device, unsigned x, unsigned y)
{
	const struct virtio_input_event events[] = {
		{ .type = EV_ABS, .code = ABS_X, .value = on_axis(x) },
		{ .type = EV_ABS, .code = ABS_Y, .value = on_axis(y) },
	};

	if (device->options.kind != VIRTIO_INPUT_TABLET)
		return;
	virtio_bell_lock(&device->bell);
	if (virtio_bell_is_heard(&device->bell))
		note_motion(device, events);
	virtio_bell_ring(&device->bell);
	virtio_bell_unlock(&device->bell);
}

void virtio_input_turn_wheel(struct virtio_input *device, int notches)
{
	const struct virtio_input_event event = { .type = EV_REL,
						  .code = REL_WHEEL,
						  .value = (uint32_t)notches };

	if (device->options.kind != VIRTIO_INPUT_TABLET || notches == 0)
		return;
	virtio_bell_lock(&device->bell);
	if (virtio_bell_is_heard(&device->bell) && !report(device, &event, 1))
		device->dropped++;
	virtio_bell_ring(&device->bell);
	virtio_bell_unlock(&device->bell);
}

unsigned virtio_input_waiting(struct virtio_input *device)
{
	unsigned count;

	virtio_bell_lock(&device->bell);
	count = virtio_bell_is_heard(&device->bell) ? device->count : 0;
	virtio_bell_unlock(&device->bell);
	return count;
}

uint64_t virtio_input_dropped(struct virtio_input *device)
{
	uint64_t dropped;

	virtio_bell_lock(&device->bell);
	dropped = device->dropped;
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
	if (queue->is_events && setup->anew)
		forget_events(device);
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
