/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the stream share; no other file includes this. */
#ifndef VIADUCT_CLI_DISK_DISK_STREAM_PRIVATE_H
#define VIADUCT_CLI_DISK_DISK_STREAM_PRIVATE_H

#include "cli/disk/disk_stream.h"

#define STREAM_SECTOR_BYTES 512u

struct frontend;
struct frontend_queue;
struct nvme_driver;
struct stream_transport;

struct disk_stream {
	const struct stream_transport *transport;
	/* Of one of the transports. */
	struct frontend *frontend;
	struct frontend_queue *queue;
	struct nvme_driver *nvme;
	struct stream_slot *refused; /* not in whole blocks, so that it was not sent */
	/* Set by open(); the chunk is the largest at first. */
	uint64_t size_bytes, zeroes_bytes;
	uint32_t chunk_bytes;
	struct stream_slot slots[STREAM_DEPTH], *free;
	unsigned in_flight;
};

/* How the bytes get to the disk: as the guest's do. */
struct stream_transport {
	/*
	 * Connects. *ret_memory: room for STREAM_DEPTH chunks of STREAM_CHUNK_BYTES, page-aligned. Returns 0,
	 * or -errno with *ret_error; close() follows.
	 */
	int (*open)(struct disk_stream *stream, const char *socket, char **ret_memory,
		    const char **ret_error);
	void (*close)(struct disk_stream *stream);
	/* There is room for every slot. */
	void (*submit)(struct disk_stream *stream, struct stream_slot *slot, enum stream_op op);
	/* 1: there is a completion, 0: time-out, or -errno. */
	int (*wait)(struct disk_stream *stream, int timeout_ms);
	bool (*take)(struct disk_stream *stream, struct stream_slot **ret_slot, bool *ret_ok);
	/* Nothing is in flight. 0, -EIO or -EPIPE. */
	int (*flush)(struct disk_stream *stream);
};

extern const struct stream_transport disk_stream_virtio, disk_stream_nvme;

#endif
