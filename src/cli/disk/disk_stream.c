/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/disk/disk_stream.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "frontend/frontend.h"

/* virtio 1.2, 5.2.3 and 5.2.4 */
#define BLK_F_SIZE_MAX	   (1ull << 1)
#define BLK_F_FLUSH	   (1ull << 9)
#define BLK_F_WRITE_ZEROES (1ull << 14)

#define CONFIG_CAPACITY	       0
#define CONFIG_SIZE_MAX	       8
#define CONFIG_ZEROES_SECTORS 48

#define SECTOR_BYTES 512u
#define QUEUE_SIZE   64u
/* Room for the rings and request headers besides the data. */
#define RING_BYTES ((size_t)1 << 20)

struct disk_stream {
	struct frontend *frontend;
	struct frontend_queue *queue;
	uint64_t size_bytes, zeroes_bytes;
	uint32_t chunk_bytes;
	struct stream_slot slots[STREAM_DEPTH], *free;
	unsigned in_flight;
};

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
	if (!checked_mul(le64toh(capacity), SECTOR_BYTES, &stream->size_bytes))
		return -EPROTO;
	stream->chunk_bytes = (uint32_t)STREAM_CHUNK_BYTES;
	size_max = le32toh(size_max);
	if ((features & BLK_F_SIZE_MAX) && size_max >= 4096 && size_max < stream->chunk_bytes)
		stream->chunk_bytes = size_max & ~4095u;
	if (features & BLK_F_WRITE_ZEROES)
		stream->zeroes_bytes = (uint64_t)le32toh(zeroes_sectors) * SECTOR_BYTES;
	return 0;
}

static int place_slots(struct disk_stream *stream)
{
	size_t bytes;
	char *memory = frontend_memory(stream->frontend, &bytes);

	if (bytes < STREAM_DEPTH * STREAM_CHUNK_BYTES)
		return -ENOMEM;
	for (unsigned i = 0; i < STREAM_DEPTH; i++) {
		stream->slots[i].data = memory + i * STREAM_CHUNK_BYTES;
		disk_stream_release(stream, &stream->slots[i]);
	}
	return 0;
}

int disk_stream_open(const char *socket, struct disk_stream **ret_stream, const char **ret_error)
{
	const struct frontend_options options = {
		.path = socket,
		.queues = 1,
		.queue_size = QUEUE_SIZE,
		.features = BLK_F_SIZE_MAX | BLK_F_FLUSH | BLK_F_WRITE_ZEROES,
		.memory_bytes = STREAM_DEPTH * STREAM_CHUNK_BYTES + RING_BYTES,
	};
	struct disk_stream *stream = calloc(1, sizeof(*stream));
	int error;

	if (!stream)
		return -ENOMEM;
	error = frontend_connect(&options, &stream->frontend, ret_error);
	if (!error) {
		*ret_error = "the disk's configuration cannot be read";
		error = read_config(stream);
	}
	if (!error) {
		*ret_error = "not enough shared memory";
		stream->queue = frontend_queue(stream->frontend, 0);
		error = place_slots(stream);
	}
	if (error) {
		disk_stream_close(stream);
		return error;
	}
	*ret_stream = stream;
	return 0;
}

void disk_stream_close(struct disk_stream *stream)
{
	if (!stream)
		return;
	if (stream->frontend)
		frontend_close(stream->frontend);
	free(stream);
}

uint64_t disk_stream_size_bytes(const struct disk_stream *stream)
{
	return stream->size_bytes;
}

uint32_t disk_stream_chunk_bytes(const struct disk_stream *stream)
{
	return stream->chunk_bytes;
}

uint64_t disk_stream_zeroes_bytes(const struct disk_stream *stream)
{
	return stream->zeroes_bytes;
}

struct stream_slot *disk_stream_slot(struct disk_stream *stream)
{
	struct stream_slot *slot = stream->free;

	if (slot)
		stream->free = slot->next;
	return slot;
}

void disk_stream_release(struct disk_stream *stream, struct stream_slot *slot)
{
	slot->next = stream->free;
	stream->free = slot;
}

void disk_stream_submit(struct disk_stream *stream, struct stream_slot *slot, enum stream_op op)
{
	static const uint32_t type[] = {
		[STREAM_READ] = FRONTEND_BLOCK_IN,
		[STREAM_WRITE] = FRONTEND_BLOCK_OUT,
		[STREAM_WRITE_ZEROES] = FRONTEND_BLOCK_WRITE_ZEROES,
	};
	struct frontend_block_request request = {
		.type = type[op],
		.sector = slot->offset_bytes / SECTOR_BYTES,
		.data = slot->data,
		.data_bytes = slot->bytes,
		.token = slot,
	};
	int error;

	assert(slot->bytes > 0 && checked_range(slot->offset_bytes, slot->bytes, stream->size_bytes));
	if (op == STREAM_WRITE_ZEROES) {
		const struct frontend_block_range range = {
			.sector = htole64(request.sector),
			.sectors = htole32(slot->bytes / SECTOR_BYTES),
		};

		memcpy(slot->data, &range, sizeof(range));
		request.sector = 0;
		request.data_bytes = sizeof(range);
	}
	error = frontend_block_add(stream->queue, &request);
	assert(error == 0);	/* the ring has room for every slot */
	frontend_kick(stream->queue);
	stream->in_flight++;
}

int disk_stream_reap(struct disk_stream *stream, int timeout_ms,
		     int (*done)(void *context, struct stream_slot *slot), void *context)
{
	int error = frontend_wait(stream->queue, timeout_ms);
	uint8_t status;
	void *token;

	if (error < 0)
		return error == -EINTR ? 0 : error;
	error = 0;
	while (frontend_block_take(stream->queue, &token, &status)) {
		struct stream_slot *slot = token;

		stream->in_flight--;
		if (status != 0)
			error = -EIO;
		else if (!error && done)
			error = done(context, slot);
		disk_stream_release(stream, slot);
	}
	return error;
}

unsigned disk_stream_in_flight(const struct disk_stream *stream)
{
	return stream->in_flight;
}

int disk_stream_flush(struct disk_stream *stream)
{
	const struct frontend_block_request request = { .type = FRONTEND_BLOCK_FLUSH };
	int status;

	if (!(frontend_features(stream->frontend) & BLK_F_FLUSH))
		return 0;	/* the disk writes through */
	status = frontend_block_do(stream->queue, &request);
	return status > 0 ? -EIO : status;
}

bool stream_is_zero(const void *data, size_t bytes)
{
	const unsigned char *byte = data;

	return bytes == 0 || (byte[0] == 0 && memcmp(byte, byte + 1, bytes - 1) == 0);
}

/* Written by the signal handler: the one thing that cannot be passed as a parameter. */
static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
	interrupted = 1;
}

void stream_catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

bool stream_interrupted(void)
{
	return interrupted != 0;
}

void stream_forget_signals(void)
{
	interrupted = 0;
}
