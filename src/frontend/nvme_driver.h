/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A front end of our own for disks that are NVMe controllers: a vfio-user client with a driver of one I/O
 * queue, for programs that use a disk as a guest would. It shares no code with the back end, so that each
 * checks the other. One thread uses it.
 *
 * The back end is not trusted with our memory safety: an answer that cannot be makes an error of -EPROTO.
 */
#ifndef VIADUCT_FRONTEND_NVME_DRIVER_H
#define VIADUCT_FRONTEND_NVME_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nvme_driver;

/* Commands that may be in flight at a time. */
#define NVME_DRIVER_DEPTH 64u

enum nvme_driver_op {
	NVME_DRIVER_FLUSH = 0x00,
	NVME_DRIVER_WRITE = 0x01,
	NVME_DRIVER_READ = 0x02,
	NVME_DRIVER_WRITE_ZEROES = 0x08,
};

/* What the controller says of itself and its namespace. */
struct nvme_driver_identity {
	char model[41], serial[21];
	uint64_t size_bytes;
	uint32_t block_bytes;
	uint32_t data_bytes_max;	/* of one command; a multiple of 4096 */
	bool write_cache, writes_zeroes, shadow_doorbells;
};

/*
 * Connects, maps memory_bytes of shared memory for the caller, and brings the controller and one queue up.
 * Returns 0, or -errno and *ret_error (static): -ETIMEDOUT (no answer), -EPIPE (the back end closed the
 * connection), -EPROTO (nonsense or a refusal), -ENOMEM, else as connect(2).
 */
int nvme_driver_connect(const char *path, size_t memory_bytes, struct nvme_driver **ret_driver,
			const char **ret_error);
/* The same; `flags` is 0 or NVME_DRIVER_RINGS. */
int nvme_driver_connect_as(const char *path, size_t memory_bytes, unsigned flags,
			   struct nvme_driver **ret_driver, const char **ret_error);
/* Every doorbell is rung, as by drivers that know of none in memory. */
#define NVME_DRIVER_RINGS 1u
/* Disconnects; what is in flight is given up. NULL is allowed. */
void nvme_driver_close(struct nvme_driver *driver);

const struct nvme_driver_identity *nvme_driver_identity(const struct nvme_driver *driver);
/* The caller's memory, page-aligned. */
void *nvme_driver_memory(struct nvme_driver *driver);

struct nvme_driver_request {
	enum nvme_driver_op op;
	uint64_t offset_bytes;
	uint64_t bytes;			/* whole blocks */
	void *data;			/* READ and WRITE: page-aligned, in the caller's memory */
	void *token;
};
/* Puts a command on the queue. Returns 0, -EAGAIN (so many are in flight) or -EINVAL (no whole blocks). */
int nvme_driver_add(struct nvme_driver *driver, const struct nvme_driver_request *request);
/* Tells the controller of what was added. Returns 0 or -EPIPE. */
int nvme_driver_kick(struct nvme_driver *driver);
/* Takes one completion: true, its token and its status (0: done; status type << 8 | code). */
bool nvme_driver_take(struct nvme_driver *driver, void **ret_token, uint16_t *ret_status);
/*
 * Sleeps until there is a completion, or timeout_ms have passed since the last interrupt. Returns 1, 0
 * (time-out), -EPIPE, -EPROTO, or poll(2)'s errors.
 */
int nvme_driver_wait(struct nvme_driver *driver, int timeout_ms);

/* Loads and stores of registers, for programs that measure or show them. Return 0 or -errno as connect. */
int nvme_driver_load(struct nvme_driver *driver, uint32_t offset, unsigned bytes, uint64_t *ret_value);
int nvme_driver_store(struct nvme_driver *driver, uint32_t offset, unsigned bytes, uint64_t value);
/* Without waiting: what follows is carried out behind it. */
int nvme_driver_post(struct nvme_driver *driver, uint32_t offset, unsigned bytes, uint64_t value);
/* Accesses so far: answered ones, and posted ones; and interrupts taken. */
struct nvme_driver_counts {
	uint64_t loads, stores, posted, interrupts;
};
struct nvme_driver_counts nvme_driver_counts(const struct nvme_driver *driver);

#endif
