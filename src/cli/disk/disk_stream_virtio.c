/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "cli/disk/disk_stream_private.h"
#include "core/checked.h"
#include "frontend/frontend.h"

/* virtio 1.2, 5.2.3 and 5.2.4 */
#define BLK_F_SIZE_MAX	   (1ull << 1)
#define BLK_F_FLUSH	   (1ull << 9)
#define BLK_F_WRITE_ZEROES (1ull << 14)

#define CONFIG_CAPACITY	      0
#define CONFIG_SIZE_MAX	      8
#define CONFIG_ZEROES_SECTORS 48

#define QUEUE_SIZE 64u
/* Room for the rings and request headers besides the data. */
#define RING_BYTES ((size_t)1 << 20)

static int read_config(struct disk_stream *stream)
{
	uint64_t features = frontend_features(stream->frontend), capacity;
	uint32_t size_max, zeroes_sectors;
	int error = frontend_config(stream->frontend, CONFIG_CAPACITY, &capacity, sizeof(capacity));

	if (!error)
		error = frontend_config(stream->frontend, CONFIG_SIZE_MAX, &size_max, sizeof(size_max));
	if (!error)
		error = frontend_config(stream->frontend, CONFIG_ZEROES_SECTORS, &zeroes_sectors,
					sizeof(zeroes_sectors));
	if (error)
		return error;
	if (!checked_mul(le64toh(capacity), STREAM_SECTOR_BYTES, &stream->size_bytes))
		return -EPROTO;
	size_max = le32toh(size_max);
	if ((features & BLK_F_SIZE_MAX) && size_max >= 4096 && size_max < stream->chunk_bytes)
		stream->chunk_bytes = size_max & ~4095u;
	if (features & BLK_F_WRITE_ZEROES)
		stream->zeroes_bytes = (uint64_t)le32toh(zeroes_sectors) * STREAM_SECTOR_BYTES;
	return 0;
}

static int virtio_open(struct disk_stream *stream, const char *socket, char **ret_memory,
		       const char **ret_error)
{
	const struct frontend_options options = {
		.path = socket,
		.queues = 1,
		.queue_size = QUEUE_SIZE,
		.features = BLK_F_SIZE_MAX | BLK_F_FLUSH | BLK_F_WRITE_ZEROES,
		.memory_bytes = STREAM_DEPTH * STREAM_CHUNK_BYTES + RING_BYTES,
	};
	size_t bytes;
	int error = frontend_connect(&options, &stream->frontend, ret_error);

	if (error)
		return error;
	*ret_error = "the disk's configuration cannot be read";
	error = read_config(stream);
	if (error)
		return error;
	*ret_error = "not enough shared memory";
	stream->queue = frontend_queue(stream->frontend, 0);
	*ret_memory = frontend_memory(stream->frontend, &bytes);
	return bytes < STREAM_DEPTH * STREAM_CHUNK_BYTES ? -ENOMEM : 0;
}

static void virtio_close(struct disk_stream *stream)
{
	if (stream->frontend)
		frontend_close(stream->frontend);
}

static void virtio_submit(struct disk_stream *stream, struct stream_slot *slot, enum stream_op op)
{
	static const uint32_t type[] = {
		[STREAM_READ] = FRONTEND_BLOCK_IN,
		[STREAM_WRITE] = FRONTEND_BLOCK_OUT,
		[STREAM_WRITE_ZEROES] = FRONTEND_BLOCK_WRITE_ZEROES,
	};
	struct frontend_block_request request = {
		.type = type[op],
		.sector = slot->offset_bytes / STREAM_SECTOR_BYTES,
		.data = slot->data,
		.data_bytes = slot->bytes,
		.token = slot,
	};
	int error;

	if (op == STREAM_WRITE_ZEROES) {
		const struct frontend_block_range range = {
			.sector = htole64(request.sector),
			.sectors = htole32(slot->bytes / STREAM_SECTOR_BYTES),
		};

		memcpy(slot->data, &range, sizeof(range));
		request.sector = 0;
		request.data_bytes = sizeof(range);
	}
	error = frontend_block_add(stream->queue, &request);
	assert(error == 0); /* the ring has room for every slot */
	frontend_kick(stream->queue);
}

static int virtio_wait(struct disk_stream *stream, int timeout_ms)
{
	return frontend_wait(stream->queue, timeout_ms);
}

static bool virtio_take(struct disk_stream *stream, struct stream_slot **ret_slot, bool *ret_ok)
{
	uint8_t status;
	void *token;

	if (!frontend_block_take(stream->queue, &token, &status))
		return false;
	*ret_slot = token;
	*ret_ok = status == 0;
	return true;
}

static int virtio_flush(struct disk_stream *stream)
{
	const struct frontend_block_request request = { .type = FRONTEND_BLOCK_FLUSH };
	int status;

	if (!(frontend_features(stream->frontend) & BLK_F_FLUSH))
		return 0; /* the disk writes through */
	status = frontend_block_do(stream->queue, &request);
	return status > 0 ? -EIO : status;
}

const struct stream_transport disk_stream_virtio = {
	.open = virtio_open,
	.close = virtio_close,
	.submit = virtio_submit,
	.wait = virtio_wait,
	.take = virtio_take,
	.flush = virtio_flush,
};
