/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One request: a header (16 readable bytes), data, a status byte (the last writable one). The header is
 * copied once; what is checked is what is used. The data never passes through us: its iovecs go on to the
 * arbiter as they came.
 */
#include "devices/disk/virtio_blk.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/disk/disk.h"
#include "core/checked.h"
#include "core/container.h"
#include "core/iov.h"
#include "core/shared.h"
#include "devices/disk/virtio_blk_private.h"

struct blk_queue {
	struct virtio_blk *device;
	struct virtio_queue *ring;
	struct disk_channel *channel;
	uint64_t features;
	bool abandoned;		/* guest memory is not touched any more */
};

/* The private area of a chain. */
struct blk_request {
	struct disk_request disk;
	struct virtio_chain *chain;
	struct blk_queue *queue;
	uint8_t *status;		/* in guest memory */
	uint32_t written_bytes;		/* of the data, from the first writable byte on */
	unsigned segment, segments;	/* DISCARD, WRITE_ZEROES: at which of how many */
	struct virtio_blk_segment body[ZERO_SEGMENTS_MAX];
};

/* ---- answers ---- */

/* The one place where an error becomes a virtio-blk status (virtio 1.2, 5.2.6). */
static uint8_t status_of(int error)
{
	return error == -EOPNOTSUPP ? VIRTIO_BLK_STATUS_UNSUPPORTED : VIRTIO_BLK_STATUS_ERROR;
}

/*
 * For the driver all writable bytes count as written: the status is the last of them. take_status() cut it
 * off the last element.
 */
static void blk_done(struct disk_request *disk, int error)
{
	struct blk_request *request = container_of(disk, struct blk_request, disk);
	struct virtio_queue *ring = request->queue->ring;
	struct virtio_chain *chain = request->chain;

	if (request->queue->abandoned) {
		request->written_bytes = 0;
	} else if (error) {
		shared_write(request->status, status_of(error));
		/* After another error part of the data may have arrived. */
		if (disk->refused)
			request->written_bytes = 0;
	} else {
		shared_write(request->status, VIRTIO_BLK_STATUS_OK);
	}
	chain->iov[chain->readable_count + chain->writable_count - 1].iov_len++;
	chain->written_bytes = chain->writable_bytes;
	ring->ops->complete(ring, &chain, 1);
}

/* A request that the disk never sees, and that wrote so much of the data. */
static void answer(struct blk_request *request, int error, uint32_t written_bytes)
{
	request->disk.refused = false;
	request->written_bytes = written_bytes;
	blk_done(&request->disk, error);
}

static void refuse(struct blk_request *request, int error)
{
	answer(request, error, 0);
}

static void blk_written(const struct virtio_chain *chain, uint32_t *ret_first, uint32_t *ret_last)
{
	*ret_first = ((const struct blk_request *)chain->request)->written_bytes;
	*ret_last = sizeof(uint8_t);
}

/* ---- requests ---- */

/* Must writes be durable before they are answered? (virtio 1.2, 5.2.5.2 and 5.2.6.2) */
static bool write_through(const struct blk_queue *queue)
{
	if (blk_has(queue->features, VIRTIO_BLK_F_CONFIG_WCE))
		return !__atomic_load_n(&queue->device->writeback, __ATOMIC_RELAXED);
	return !blk_has(queue->features, VIRTIO_BLK_F_FLUSH);
}

static void prepare(struct blk_request *request, enum disk_op op, uint64_t sector, struct iovec *iov,
		    unsigned count, uint64_t bytes)
{
	struct disk_request *disk = &request->disk;

	/* `sector` that does not fit in bytes is refused by the arbiter like any other sector outside. */
	if (!checked_mul(sector, VIRTIO_BLK_SECTOR_BYTES, &disk->offset_bytes))
		disk->offset_bytes = UINT64_MAX;
	disk->op = op;
	disk->length_bytes = bytes;
	disk->iov = iov;
	disk->iov_count = count;
}

static void segment_done(struct disk_request *disk, int error);

static void submit_segment(struct blk_request *request)
{
	const struct virtio_blk_segment *segment = &request->body[request->segment];

	prepare(request, request->disk.op, segment->sector, NULL, 0,
		(uint64_t)segment->sectors * VIRTIO_BLK_SECTOR_BYTES);
	request->disk.done = segment_done;
	disk_submit(request->queue->channel, &request->disk);
}

static void segment_done(struct disk_request *disk, int error)
{
	struct blk_request *request = container_of(disk, struct blk_request, disk);

	if (!error && ++request->segment < request->segments)
		submit_segment(request);
	else
		blk_done(disk, error);
}

/* Checks all ranges before the first one is carried out. */
static int segments_check(const struct blk_request *request, bool write_zeroes)
{
	for (unsigned i = 0; i < request->segments; i++) {
		uint32_t limit = write_zeroes ? WRITE_ZEROES_SECTORS_MAX : DISCARD_SECTORS_TAKEN;
		uint32_t flags = write_zeroes ? VIRTIO_BLK_SEGMENT_UNMAP : 0;

		if (request->body[i].flags & ~flags)
			return -EOPNOTSUPP;
		if (request->body[i].sectors == 0 || request->body[i].sectors > limit)
			return -EINVAL;
	}
	return 0;
}

static void handle_zero(struct blk_request *request, struct iovec *data, unsigned count, uint64_t bytes,
			bool write_zeroes)
{
	int error;

	if (!blk_has(request->queue->features,
		     write_zeroes ? VIRTIO_BLK_F_WRITE_ZEROES : VIRTIO_BLK_F_DISCARD)) {
		refuse(request, -EOPNOTSUPP);
		return;
	}
	if (bytes == 0 || bytes % sizeof(request->body[0]) != 0 || bytes > sizeof(request->body)) {
		refuse(request, -EINVAL);
		return;
	}
	iov_copy_out(data, count, 0, request->body, bytes);
	request->segments = (unsigned)(bytes / sizeof(request->body[0]));
	error = segments_check(request, write_zeroes);
	if (error) {
		refuse(request, error);
		return;
	}
	request->segment = 0;
	request->disk.op = write_zeroes ? DISK_WRITE_ZEROES : DISK_DISCARD;
	submit_segment(request);
}

static void handle_get_id(struct blk_request *request, const struct iovec *data, unsigned count)
{
	size_t bytes = iov_copy_in(data, count, 0, request->queue->device->serial, VIRTIO_BLK_SERIAL_BYTES);

	answer(request, 0, (uint32_t)bytes);
}

/* `out`: readable data behind the header; `in`: writable data before the status. */
struct blk_data {
	struct iovec *out, *in;
	unsigned out_count, in_count;
	uint32_t out_bytes, in_bytes;
};

/* What is not a plain READ or WRITE. */
static void handle_other(struct blk_request *request, uint32_t type, const struct blk_data *data)
{
	switch (type) {
	case VIRTIO_BLK_FLUSH:
		prepare(request, DISK_FLUSH, 0, NULL, 0, 0);
		disk_submit(request->queue->channel, &request->disk);
		break;
	case VIRTIO_BLK_GET_ID:
		handle_get_id(request, data->in, data->in_count);
		break;
	case VIRTIO_BLK_DISCARD:
	case VIRTIO_BLK_WRITE_ZEROES:
		handle_zero(request, data->out, data->out_count, data->out_bytes,
			    type == VIRTIO_BLK_WRITE_ZEROES);
		break;
	default:
		refuse(request, -EOPNOTSUPP);
	}
}

/* Takes the header off the readable elements; false when it is not all there. */
static bool take_header(struct virtio_chain *chain, struct virtio_blk_header *ret_header,
			struct blk_data *data)
{
	struct iovec *iov = chain->iov;
	unsigned count = chain->readable_count;
	size_t left = sizeof(*ret_header);

	if (chain->readable_bytes < sizeof(*ret_header))
		return false;
	if (iov->iov_len == sizeof(*ret_header) && iov->iov_base) {
		shared_copy_in(ret_header, iov->iov_base, sizeof(*ret_header));
		iov++;
		count--;
	} else {
		for (size_t i = 0, seen = 0; seen < left; seen += iov[i++].iov_len)
			if (!iov[i].iov_base)
				return false;
		iov_copy_out(iov, count, 0, ret_header, sizeof(*ret_header));
		for (; left > 0 && left >= iov->iov_len; count--)
			left -= iov++->iov_len;
		if (left > 0) {
			iov->iov_base = (uint8_t *)iov->iov_base + left;
			iov->iov_len -= left;
		}
	}
	data->out = iov;
	data->out_count = count;
	data->out_bytes = chain->readable_bytes - (uint32_t)sizeof(*ret_header);
	return true;
}

/* Takes the status byte off the writable elements; NULL when there is none. */
static uint8_t *take_status(struct virtio_chain *chain, struct blk_data *data)
{
	struct iovec *last = &chain->iov[chain->readable_count + chain->writable_count - 1];

	if (chain->writable_bytes < 1 || !last->iov_base)
		return NULL;
	data->in = chain->iov + chain->readable_count;
	data->in_count = chain->writable_count;
	data->in_bytes = chain->writable_bytes - 1;
	last->iov_len--;
	if (last->iov_len == 0)
		data->in_count--;
	return (uint8_t *)last->iov_base + last->iov_len;
}

static bool data_mapped(const struct blk_data *data)
{
	for (unsigned i = 0; i < data->out_count; i++)
		if (!data->out[i].iov_base)
			return false;
	for (unsigned i = 0; i < data->in_count; i++)
		if (!data->in[i].iov_base)
			return false;
	return true;
}

static void blk_start(struct blk_queue *queue, struct virtio_chain *chain)
{
	struct blk_request *request = chain->request;
	struct virtio_blk_header header;
	struct blk_data data;
	uint8_t *status;

	status = take_header(chain, &header, &data) ? take_status(chain, &data) : NULL;
	if (!status) {
		queue->ring->ops->reject(queue->ring, chain);
		return;
	}
	request->chain = chain;
	request->queue = queue;
	request->status = status;
	request->written_bytes = 0;
	request->disk.done = blk_done;
	request->disk.through = write_through(queue);
	if (chain->unmapped && !data_mapped(&data)) {
		refuse(request, -EINVAL);
		return;
	}
	if (header.type == VIRTIO_BLK_IN) {
		prepare(request, DISK_READ, header.sector, data.in, data.in_count, data.in_bytes);
		request->written_bytes = data.in_bytes;
	} else if (header.type == VIRTIO_BLK_OUT) {
		prepare(request, DISK_WRITE, header.sector, data.out, data.out_count, data.out_bytes);
	} else {
		handle_other(request, header.type, &data);
		return;
	}
	disk_submit(queue->channel, &request->disk);
}

/*
 * Whatever the disk takes can be started: nothing is given back. One at a time, because it is answered sooner
 * (docs/performance.md).
 */
static void blk_ready(void *opaque)
{
	struct blk_queue *queue = opaque;
	struct virtio_chain *chain;

	while (queue->ring->ops->take(queue->ring, &chain, 1) > 0)
		blk_start(queue, chain);
}

/* ---- queues ---- */

static int blk_queue_start(void *opaque, const struct virtio_queue_setup *setup, void **ret_queue)
{
	struct virtio_blk *device = opaque;
	struct blk_queue *queue = calloc(1, sizeof(*queue));
	int error;

	if (!queue)
		return -ENOMEM;
	queue->device = device;
	queue->ring = setup->queue;
	queue->features = setup->features;
	error = disk_channel_open(device->disk, setup->loop, &queue->channel);
	if (error) {
		free(queue);
		return error;
	}
	*ret_queue = queue;
	return 0;
}

static void blk_queue_stop(void *opaque)
{
	struct blk_queue *queue = opaque;

	disk_channel_close(queue->channel);
	free(queue);
}

static void blk_queue_drain(void *opaque, bool drain)
{
	disk_channel_drain(((struct blk_queue *)opaque)->channel, drain);
}

static void blk_queue_abandon(void *opaque)
{
	struct blk_queue *queue = opaque;

	queue->abandoned = true;
	disk_channel_abandon(queue->channel);
}

const struct virtio_model_ops virtio_blk_model = {
	.name = "virtio-blk",
	.virtio_id = 2,
	.request_bytes = sizeof(struct blk_request),
	.repeatable = true,
	.stateless = true,
	.chain_descriptors = SEGMENTS_TAKEN + 2,
	.features = blk_features,
	.queue_count = blk_queue_count,
	.config_size = blk_config_size,
	.config_read = blk_config_read,
	.config_write = blk_config_write,
	.queue_start = blk_queue_start,
	.queue_stop = blk_queue_stop,
	.queue_drain = blk_queue_drain,
	.queue_abandon = blk_queue_abandon,
	.ready = blk_ready,
	.written = blk_written,
};

int virtio_blk_create(const struct virtio_blk_options *options, struct virtio_blk **ret_device)
{
	struct virtio_blk *device;
	const char *serial = options->serial ? options->serial : disk_name(options->disk);

	if (options->queues > QUEUES_MAX)
		return -EINVAL;
	device = calloc(1, sizeof(*device));
	if (!device)
		return -ENOMEM;
	device->disk = options->disk;
	device->queues = options->queues ? options->queues : 1;
	device->writeback = !options->write_through;
	device->writeback_changed = options->writeback_changed;
	device->context = options->context;
	/* Not a C string: all 20 bytes may be used (5.2.6). */
	memcpy(device->serial, serial, strnlen(serial, sizeof(device->serial)));
	*ret_device = device;
	return 0;
}

void virtio_blk_destroy(struct virtio_blk *device)
{
	free(device);
}
