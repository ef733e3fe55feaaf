/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of a virtual disk through its own socket, many requests at a time: what `disk import` and
 * `disk export` have in common. Going the guest's way keeps the copy bounded, scheduled and accounted.
 */
#ifndef VIADUCT_CLI_DISK_DISK_STREAM_H
#define VIADUCT_CLI_DISK_DISK_STREAM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_DEPTH	   16u
#define STREAM_CHUNK_BYTES ((size_t)1 << 20)

struct disk_stream;

/*
 * One request: a buffer of disk_stream_chunk_bytes() that belongs to the device between submit and
 * completion.
 */
struct stream_slot {
	void *data;
	uint64_t offset_bytes;
	uint32_t bytes;
	struct stream_slot *next;	/* private */
};

enum stream_op { STREAM_READ, STREAM_WRITE, STREAM_WRITE_ZEROES };

/*
 * Where a disk is served, and what it is there: an NVMe controller, or a virtio device. One that is made of
 * registers is not for streams.
 */
struct stream_target {
	const char *socket;
	bool nvme, by_registers;
};

/* As the API tells of a disk, which outlives it. */
struct stream_target stream_target_of(const json_t *disk);

/* Returns 0, or -errno with *ret_error saying why (static text). */
int disk_stream_open(const struct stream_target *target, struct disk_stream **ret_stream,
		     const char **ret_error);
/* NULL is allowed; requests in flight are given up. */
void disk_stream_close(struct disk_stream *stream);

uint64_t disk_stream_size_bytes(const struct disk_stream *stream);
uint32_t disk_stream_chunk_bytes(const struct disk_stream *stream);
/* The longest STREAM_WRITE_ZEROES; 0: the disk does not offer it. */
uint64_t disk_stream_zeroes_bytes(const struct disk_stream *stream);

/* A slot to fill; NULL while all are in flight. One that is not submitted goes back with _release. */
struct stream_slot *disk_stream_slot(struct disk_stream *stream);
void disk_stream_release(struct disk_stream *stream, struct stream_slot *slot);

/* offset_bytes and bytes are set: multiples of 512, inside the disk. Takes the slot. */
void disk_stream_submit(struct disk_stream *stream, struct stream_slot *slot, enum stream_op op);

/*
 * Waits (up to timeout_ms) for completions; `done` (may be NULL) sees each slot before it is free again and
 * may stop everything by a negative errno. Returns 0 (also on time-out), or -EIO (the disk answered with an
 * error), -EPIPE (the daemon is gone), or what `done` returned.
 */
int disk_stream_reap(struct disk_stream *stream, int timeout_ms,
		     int (*done)(void *context, struct stream_slot *slot), void *context);

unsigned disk_stream_in_flight(const struct disk_stream *stream);

/* Makes everything written durable; nothing is in flight. Returns 0 or -EIO, -EPIPE. */
int disk_stream_flush(struct disk_stream *stream);

/* ---- small helpers of both directions ---- */

bool stream_is_zero(const void *data, size_t bytes);

/* SIGINT and SIGTERM set a flag from now on instead of ending the program. */
void stream_catch_signals(void);
bool stream_interrupted(void);
/* The flag is clear again: the signal was what was waited for. */
void stream_forget_signals(void);

#endif
