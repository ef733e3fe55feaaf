/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/disk/disk_stream.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/api_client.h"
#include "cli/disk/disk_stream_private.h"
#include "core/checked.h"

struct stream_target stream_target_of(const json_t *disk)
{
	return (struct stream_target){
		.socket = api_text(disk, "socket"),
		.nvme = strcmp(api_text(disk, "model"), "nvme") == 0,
		.by_registers = strcmp(api_text(disk, "interface"), "vfio-user") == 0,
	};
}

int disk_stream_open(const struct stream_target *target, struct disk_stream **ret_stream,
		     const char **ret_error)
{
	struct disk_stream *stream = calloc(1, sizeof(*stream));
	char *memory;
	int error;

	if (!stream)
		return -ENOMEM;
	if (target->by_registers && !target->nvme) {
		free(stream);
		*ret_error = "its interface is vfio-user; take that out of its section meanwhile";
		return -EOPNOTSUPP;
	}
	stream->transport = target->nvme ? &disk_stream_nvme : &disk_stream_virtio;
	stream->chunk_bytes = (uint32_t)STREAM_CHUNK_BYTES;
	error = stream->transport->open(stream, target->socket, &memory, ret_error);
	if (error) {
		disk_stream_close(stream);
		return error;
	}
	for (unsigned i = 0; i < STREAM_DEPTH; i++) {
		stream->slots[i].data = memory + i * STREAM_CHUNK_BYTES;
		disk_stream_release(stream, &stream->slots[i]);
	}
	*ret_stream = stream;
	return 0;
}

void disk_stream_close(struct disk_stream *stream)
{
	if (!stream)
		return;
	stream->transport->close(stream);
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
	assert(slot->bytes > 0 && checked_range(slot->offset_bytes, slot->bytes, stream->size_bytes));
	stream->transport->submit(stream, slot, op);
	stream->in_flight++;
}

int disk_stream_reap(struct disk_stream *stream, int timeout_ms,
		     int (*done)(void *context, struct stream_slot *slot), void *context)
{
	int error = stream->transport->wait(stream, timeout_ms);
	struct stream_slot *slot;
	bool ok;

	if (error < 0)
		return error == -EINTR ? 0 : error;
	error = 0;
	while (stream->transport->take(stream, &slot, &ok)) {
		stream->in_flight--;
		if (!ok)
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
	return stream->transport->flush(stream);
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
