/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's objects: workers, pools, disks and their endpoints. Everything here runs on the control
 * thread. For the files of src/daemon; nobody else includes it.
 *
 *   daemon.c          the whole: start, stop
 *   daemon_pools.c    physical disks
 *   daemon_disks.c    virtual disks: serving, and taking back
 *   daemon_changes.c  create, grow, rename, delete on request or as configured
 *   reload.c          what a new configuration changes
 *   shares.c, share_gate.c  who gets how much of a physical disk's time
 *   takeover.c        handing everything to a successor
 *
 * Operations on a pool are synchronous and may wait for the physical disk. A disk that hangs therefore
 * holds up the control thread (handshakes, API) during such an operation, never the workers; reading the
 * status touches no disk.
 */
#ifndef VIADUCT_DAEMON_DAEMON_H
#define VIADUCT_DAEMON_DAEMON_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "arbiter/disk/disk.h"
#include "arbiter/pool/pool.h"
#include "core/loop.h"
#include "daemon/config/config.h"
#include "daemon/base/notify.h"
#include "daemon/base/worker.h"
#include "host/host_disk.h"

struct handover;
struct endpoint;
struct virtio_blk;
struct api;
struct takeover;
struct takeover_offer;
struct setting;
struct share_gate;
struct share_node;

/* A sun_path with its final NUL. */
#define SOCKET_PATH_SIZE 108

/* A predecessor that was killed a moment ago still holds its disks until the kernel has ended its I/O. */
#define DAEMON_LOCK_WAIT_MS 5000

/* What went wrong, for the user: one sentence. `code` is what the caller acts on (negative errno). */
struct daemon_error {
	int code;
	char text[POOL_ERROR_MAX + 128];
};

/* Fills *error and returns code. */
int daemon_fail(struct daemon_error *error, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

struct daemon_pool {
	struct daemon_pool *next;
	char name[CONFIG_NAME_SIZE];
	char *path;
	unsigned cache;			/* enum host_disk_cache */
	struct host_disk *host;
	struct share_gate *gate;	/* NULL: not available */
	struct pool *pool;		/* NULL: not available, error says why */
	struct daemon_error error;
};

/* What becomes of a disk once its endpoint is gone. */
enum disk_farewell {
	DISK_STAYS,
	DISK_FORGET,		/* the object goes, the bytes stay */
	DISK_DELETE,		/* its part of the pool is given back */
	DISK_RENAME,		/* to new_name, then served again */
	DISK_REOPEN,		/* served again, with the attributes of the configuration */
};

struct daemon_disk {
	struct daemon *daemon;
	struct daemon_disk *next;
	char name[CONFIG_NAME_SIZE];		/* "alice/root" */
	char guest[CONFIG_GUEST_MAX + 1];	/* "alice" */
	const char *short_name;			/* "root": into name */
	struct log_subject subject;		/* "alice/disk-root" */

	struct daemon_pool *pool;		/* of a disk in a pool */
	struct pool_disk *part;
	char *path;				/* of a disk of its own */
	struct host_disk *host;
	struct share_gate *gate;		/* of a disk of its own */
	struct share_node *share;		/* while served */
	struct loop_guest *time;		/* the guest's, on the workers; all its disks hold the same */

	bool read_only, packed, client;
	unsigned queues, cache;
	char serial[21];
	char socket[SOCKET_PATH_SIZE];
	unsigned first_worker;

	struct disk *disk;
	struct virtio_blk *model;
	struct endpoint *endpoint;
	struct daemon_error error;		/* text[0] != 0: not served, and why */
	bool suspending, suspended;		/* for a takeover: asked to stand still; stands still */

	enum disk_farewell farewell;
	char new_name[CONFIG_NAME_SIZE];
	struct daemon_error *outcome;		/* while daemon_disk_leave() waits for it, else NULL */
};

struct daemon {
	struct config *config;			/* owned */
	char *config_path;
	char *runtime_dir;
	char *state_dir;			/* NULL (in tests): nothing is kept */
	const char *runtime_dir_option;		/* --runtime-dir, or NULL */
	const char *force_format;		/* --force-format: a pool's name, or NULL */
	struct loop *control;
	struct worker *workers;
	unsigned worker_count, next_worker;
	struct daemon_pool *pools;
	struct daemon_disk *disks;
	struct share_gate *gates;
	struct setting *settings;		/* made at run time */
	struct notify_fds fds;			/* passed by the service manager */
	struct takeover_offer *offer;		/* while starting as a successor, else NULL */
	/* RUNTIME/daemon.lock: held while we live, handed to a successor */
	int lock_fd;
	bool serving;				/* the start is over */
	uint64_t started_ns;
	unsigned reloads;
	char takeover_text[128];		/* "took over 3 endpoints, pause 12.3 ms", or "" */

	bool stopping;
	bool suspended;			/* a takeover is under way: pools may be closed */
	struct loop_timer stop_timer;

	struct api *api;
	struct takeover *takeover;
};

struct daemon_options {
	struct config *config;		/* taken on success */
	const char *config_path;	/* copied */
	const char *runtime_dir;	/* --runtime-dir or NULL; outlives the daemon */
	const char *force_format;	/* outlives the daemon */
	struct loop *control;
};

/* ---- daemon.c ---- */

/* The directory of the sockets: option, configuration, default. Returns a string to free, or NULL. */
char *daemon_runtime_dir(const char *option, const struct config *config);

/* Makes the daemon and its runtime and state directories, and starts the workers. Nothing is served yet. */
int daemon_create(const struct daemon_options *options, struct daemon **ret_daemon,
		  struct daemon_error *error);

/* ---- daemon_lock.c ---- */

/* Makes this the only daemon of its runtime directory, or takes the predecessor's place in it. */
int daemon_lock(struct daemon *daemon, struct daemon_error *error);
/* At a clean end; not when a successor has the lock. */
void daemon_unlock(struct daemon *daemon);
/*
 * Removes a socket file in the runtime directory before a new one is made: with the lock held, nobody needs
 * it.
 */
void daemon_remove_leftover(const struct daemon *daemon, const char *socket_path);
/* ---- daemon.c, continued ---- */

/* Open the pools, then serve the disks. What fails is logged and shown by the status; the rest goes on. */
void daemon_open_pools(struct daemon *daemon);
void daemon_open_disks(struct daemon *daemon);

/*
 * Begins an orderly end: takes back all disks, closes the pools, then stops the control loop. A disk
 * that hangs cannot hold it up for more than DAEMON_STOP_S seconds.
 */
#define DAEMON_STOP_S 10
void daemon_stop(struct daemon *daemon);

/* daemon_disks.c tells that a disk's object is gone; during an orderly end, the last one ends it. */
void daemon_disk_gone(struct daemon *daemon);

/* Frees everything. After daemon_stop() has stopped the control loop, or before daemon_open_pools(). */
void daemon_destroy(struct daemon *daemon);

/*
 * Makes the runtime directory or one for sockets below it, owned by the user of the configuration. 0 or
 * -errno.
 */
int daemon_make_directory(const struct config *config, const char *path);

/* ---- daemon_pools.c ---- */

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
int daemon_pool_grow(struct daemon_pool *pool, uint64_t size_bytes, struct daemon_error *error);

/* Commits and closes the pool; the host disk stays open. */
void daemon_pool_suspend(struct daemon_pool *pool);
/* Opens it again after a suspend. Returns 0 or -errno with pool->error. */
int daemon_pool_resume(struct daemon_pool *pool);

/* Frees all; no disk is on any of them. */
void daemon_pools_close(struct daemon *daemon);

/* ---- daemon_disks.c ---- */

struct daemon_disk *daemon_disk_find(struct daemon *daemon, const char *name);
/* Settings of the configuration for a disk or guest, or NULL when it is not declared. */
const struct config_disk *daemon_disk_settings(const struct daemon *daemon, const char *name);
const struct config_guest *daemon_guest_settings(const struct daemon *daemon, const char *name);

/*
 * Adds a disk on a part of a pool, or (pool NULL) on the path of its settings, and serves it. NULL: out of
 * memory.
 */
struct daemon_disk *daemon_disk_add(struct daemon *daemon, const char *name, struct daemon_pool *pool,
				    struct pool_disk *part);

/* Serves every disk of a pool's catalogue that is not served yet. Returns how many were added. */
unsigned daemon_pool_serve(struct daemon *daemon, struct daemon_pool *pool);

/* Is a front end connected, or are its queues still running? */
bool daemon_disk_connected(const struct daemon_disk *disk);

/*
 * Takes the endpoint away; then `farewell` follows, before the return or later. Returns true, with
 * *ret_outcome (may be NULL) filled in, when it was done before the return; the disk may be gone then.
 * False: under way, and what fails is logged.
 */
bool daemon_disk_leave(struct daemon_disk *disk, enum disk_farewell farewell,
		       struct daemon_error *ret_outcome);

/* ---- daemon_changes.c: on request of the API. Return 0, -errno with *error, or 1: under way. ---- */

int daemon_disk_create(struct daemon *daemon, const char *name, const char *pool, uint64_t size_bytes,
		       struct daemon_error *error);
int daemon_disk_grow(struct daemon_disk *disk, uint64_t size_bytes, struct daemon_error *error);
int daemon_disk_rename(struct daemon_disk *disk, const char *name, struct daemon_error *error);
int daemon_disk_delete(struct daemon_disk *disk, struct daemon_error *error);

/* Makes or grows a configured disk of a pool. Returns 1: made or grown, 0: nothing to do, -errno. */
int daemon_disk_settle(struct daemon *daemon, const struct config_disk *settings, struct daemon_error *error);

/* ---- reload.c ---- */

/* What a reload did: sentences. */
struct reload_report {
	unsigned applied_count, refused_count;
	char **applied, **refused;	/* refused: needs a restart, or failed */
	struct config_messages mistakes;/* any: nothing was applied */
};
void reload_run(struct daemon *daemon, struct reload_report *ret_report);
void reload_report_finish(struct reload_report *report);
/* The same, with the report in the log and the service manager told. */
void reload_on_signal(struct daemon *daemon);

#endif
