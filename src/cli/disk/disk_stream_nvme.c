/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <assert.h>
#include <errno.h>

#include "cli/disk/disk_stream_private.h"
#include "frontend/nvme_driver.h"

/* Blocks of one Write Zeroes command (NVMe 1.4, 6.16: a 16-bit number, less one). */
#define ZEROES_BLOCKS_MAX 65536u
#define FLUSH_MS	  30000

static int nvme_open(struct disk_stream *stream, const char *socket, char **ret_memory,
		     const char **ret_error)
{
	const struct nvme_driver_identity *identity;
	int error = nvme_driver_connect(socket, STREAM_DEPTH * STREAM_CHUNK_BYTES, &stream->nvme, ret_error);

	if (error)
		return error;
	identity = nvme_driver_identity(stream->nvme);
	stream->size_bytes = identity->size_bytes;
	if (identity->data_bytes_max < stream->chunk_bytes)
		stream->chunk_bytes = identity->data_bytes_max;
	if (identity->writes_zeroes)
		stream->zeroes_bytes = (uint64_t)ZEROES_BLOCKS_MAX * identity->block_bytes;
	*ret_memory = nvme_driver_memory(stream->nvme);
	return 0;
}

static void nvme_close(struct disk_stream *stream)
{
	nvme_driver_close(stream->nvme);
}

static void nvme_submit(struct disk_stream *stream, struct stream_slot *slot, enum stream_op op)
{
	static const enum nvme_driver_op ops[] = {
		[STREAM_READ] = NVME_DRIVER_READ,
		[STREAM_WRITE] = NVME_DRIVER_WRITE,
		[STREAM_WRITE_ZEROES] = NVME_DRIVER_WRITE_ZEROES,
	};
	const struct nvme_driver_request request = {
		.op = ops[op],
		.offset_bytes = slot->offset_bytes,
		.bytes = slot->bytes,
		.data = slot->data,
		.token = slot,
	};
	int error = nvme_driver_add(stream->nvme, &request);

	/* The disk's blocks are larger than the sectors that images are made of. */
	if (error == -EINVAL) {
		slot->next = stream->refused;
		stream->refused = slot;
		return;
	}
	assert(error == 0); /* the queue has room for every slot */
	/* A back end that has gone is found by whoever waits for it. */
	nvme_driver_kick(stream->nvme);
}

static int nvme_wait(struct disk_stream *stream, int timeout_ms)
{
	return stream->refused ? 1 : nvme_driver_wait(stream->nvme, timeout_ms);
}

static bool nvme_take(struct disk_stream *stream, struct stream_slot **ret_slot, bool *ret_ok)
{
	uint16_t status;
	void *token;

	if (stream->refused) {
		*ret_slot = stream->refused;
		stream->refused = stream->refused->next;
		*ret_ok = false;
		return true;
	}
	if (!nvme_driver_take(stream->nvme, &token, &status))
		return false;
	*ret_slot = token;
	*ret_ok = status == 0;
	return true;
}

static int nvme_flush(struct disk_stream *stream)
{
	const struct nvme_driver_request request = { .op = NVME_DRIVER_FLUSH };
	uint16_t status;
	void *token;
	int error = nvme_driver_add(stream->nvme, &request);

	if (!error)
		error = nvme_driver_kick(stream->nvme);
	if (!error)
		error = nvme_driver_wait(stream->nvme, FLUSH_MS);
	if (error < 0)
		return error;
	return error == 1 && nvme_driver_take(stream->nvme, &token, &status) && status == 0 ? 0 : -EIO;
}

const struct stream_transport disk_stream_nvme = {
	.open = nvme_open,
	.close = nvme_close,
	.submit = nvme_submit,
	.wait = nvme_wait,
	.take = nvme_take,
	.flush = nvme_flush,
};
