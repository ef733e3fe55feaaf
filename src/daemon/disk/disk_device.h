/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kind "disk": physical disks (pools, and files or devices of their own) and the virtual disks on them.
 * For the files of src/daemon/disk and the API's handlers of disks and pools. Control thread.
 *
 *   disk_device.c   a virtual disk: serving, and taking back
 *   disk_pools.c    physical disks
 *   disk_changes.c  create, grow, rename, delete on request or as configured
 *   disk_reload.c   what a new configuration changes
 *   disk_report.c   what is told of disks as JSON and as metrics
 *   disk_gate.c     the gate of a physical disk, and what is known of its speed
 */
#ifndef VIADUCT_DAEMON_DISK_DISK_DEVICE_H
#define VIADUCT_DAEMON_DISK_DISK_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "arbiter/disk/disk.h"
#include "arbiter/pool/pool.h"
#include "core/container.h"
#include "daemon/device/device.h"
#include "host/host_disk.h"

struct disk_gate;
struct nvme_device;
struct share_node;
struct virtio_blk;
struct virtio_pci;

extern const struct device_kind disk_device_kind;

/* Behind a path: what -ELOOP of disk_uring_open() means. */
#define DISK_FOREIGN_LINK                                                                                    \
	"is or leads through a link that is not root's, which root does not follow; name the file itself"

struct daemon_pool {
	struct daemon_pool *next;
	char name[CONFIG_NAME_SIZE];
	char *path;
	unsigned cache;			/* enum host_disk_cache */
	struct host_disk *host;
	struct disk_gate *gate;		/* NULL: not available */
	struct pool *pool;		/* NULL: not available, error says why */
	struct error error;
};

/* What DEVICE_CHANGES means for a disk. */
enum disk_change {
	DISK_DELETE,		/* its part of the pool is given back */
	DISK_RENAME,		/* to new_name, then served again */
};

struct disk_device {
	struct device base;
	struct daemon_pool *pool;		/* of a disk in a pool */
	struct pool_disk *part;
	char *path;				/* of a disk of its own */
	struct host_disk *host;
	struct disk_gate *gate;			/* of a disk of its own */
	struct share_node *share;		/* while served */

	bool read_only, packed;
	unsigned queues, cache;
	unsigned model_kind;			/* enum config_disk_model */
	unsigned interface;  /* enum config_interface: of a virtio disk */
	uint32_t sector_bytes;
	char serial[21];

	struct disk *disk;
	/* One of them, while served. */
	struct virtio_blk *virtio;
	struct nvme_device *nvme;
	struct virtio_pci *pci; /* the former, by registers */

	enum disk_change change;
	char new_name[CONFIG_NAME_SIZE];
};

static inline struct disk_device *disk_device_of(const struct device *device)
{
	return container_of((struct device *)device, struct disk_device, base);
}

/* ---- disk_device.c ---- */

/* NULL: there is none. */
struct disk_device *disk_device_find(struct daemon *daemon, const char *name);
/* The section of a disk, or NULL when it is not declared. */
const struct config_disk *disk_settings(const struct daemon *daemon, const char *name);

/*
 * Adds a disk on a part of a pool, or (pool NULL) on the path of its settings, and serves it. NULL: out of
 * memory.
 */
struct disk_device *disk_device_add(struct daemon *daemon, const char *name, struct daemon_pool *pool,
				    struct pool_disk *part);

/*
 * Serves every disk of a pool's catalogue that is not served yet. Returns how many are; those that cannot be
 * are logged, and refused in `report` (may be NULL).
 */
unsigned disk_devices_of_pool(struct daemon *daemon, struct daemon_pool *pool, struct change_report *report);

/* ---- disk_pools.c ---- */

struct daemon_pool *daemon_pool_find(struct daemon *daemon, const char *name);

/*
 * Opens a pool as configured: makes a missing file, formats a blank disk, grows. Always adds it to the
 * list; if it cannot be opened, ->pool is NULL and ->error says why. NULL only when out of memory.
 */
struct daemon_pool *daemon_pool_add(struct daemon *daemon, const struct config_pool *settings);

/* Tries again a pool that is not available. Returns 0 or a negative errno with pool->error. */
int daemon_pool_open(struct daemon *daemon, struct daemon_pool *pool, const struct config_pool *settings);

/*
 * Grows the file to size_bytes (if it is a file and smaller), and the pool over it. Returns 1: grew, 0,
 * -errno.
 */
int daemon_pool_grow(struct daemon_pool *pool, uint64_t size_bytes, struct error *error);

/* Commits and closes the pool; the host disk stays open. */
void daemon_pool_suspend(struct daemon_pool *pool);
/* Opens it again after a suspend. Returns 0 or -errno with pool->error. */
int daemon_pool_resume(struct daemon_pool *pool);

/* Frees all; no disk is on any of them. */
void daemon_pools_close(struct daemon *daemon);

/* ---- disk_changes.c: on request of the API. Return 0, -errno with *error, or 1: under way. ---- */

int disk_create(struct daemon *daemon, const char *name, const char *pool, uint64_t size_bytes,
		struct error *error);
int disk_grow(struct disk_device *disk, uint64_t size_bytes, struct error *error);
int disk_rename(struct disk_device *disk, const char *name, struct error *error);
int disk_delete(struct disk_device *disk, struct error *error);
/* What becomes of a disk that is not served any more: carries out ->change. */
void disk_carry_out_change(struct device *device, struct error *error);

/* Makes or grows a configured disk of a pool. Returns 1: made or grown, 0: nothing to do, -errno. */
int disk_make_as_configured(struct daemon *daemon, const struct config_disk *settings, struct error *error);

/* ---- disk_plan.c ---- */

void disks_plan(const struct config *config, const char *force_format, FILE *out,
		struct config_messages *messages);

/* ---- disk_reload.c ---- */

void disks_reload(struct daemon *daemon, const struct config *old, struct change_report *report);

/* ---- disk_report.c ---- */

void disk_describe(const struct device *device, json_t *object);
void disk_status(const struct device *device, json_t *object);
/* What the gate of a physical disk knows of it. */
json_t *disk_capacity_json(const struct disk_gate *gate);
/* disk_metrics.c */
void disks_print_metrics(struct daemon *daemon, FILE *out);

#endif
