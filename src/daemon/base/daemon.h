/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The context of the daemon, on its control thread: the configuration, the directories, the workers, and the
 * lists that the other rooms keep. Every room gets it passed; it knows none of them.
 *
 *   config/   what the user wrote
 *   base/     this; workers, service manager, state directory, what a predecessor handed over
 *   share/    how much of a physical device's time each share gets
 *   device/   served devices of any kind, their guests, reload, takeover
 *   disk/     the kind "disk": pools, virtual disks
 *   nic/      the kind "nic": switches, network cards
 *   seat/     the kind "display": seats, guests' displays
 *   api/      HTTP and JSON
 *
 * A room includes headers only of rooms above it. The whole (main.c, daemon.c, the tables) includes all.
 *
 * Operations on a pool are synchronous and may wait for the physical disk. A disk that hangs therefore
 * holds up the control thread (handshakes, API) during such an operation, never the workers; reading the
 * status touches no disk.
 */
#ifndef VIADUCT_DAEMON_BASE_DAEMON_H
#define VIADUCT_DAEMON_BASE_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"
#include "core/loop.h"
#include "daemon/base/notify.h"
#include "daemon/base/worker.h"
#include "daemon/config/config.h"

struct api;
struct daemon_pool;
struct daemon_seat;
struct seat_failure;
struct display_looks;
struct daemon_switch;
struct device;
struct guest;
struct nic_mirror;
struct porter;
struct reach;
struct setting;
struct share_gate;
struct takeover;
struct takeover_offer;

/* A sun_path with its final NUL. */
#define SOCKET_PATH_SIZE 108

/* A predecessor that was killed a moment ago still holds its disks until the kernel has ended its I/O. */
#define DAEMON_LOCK_WAIT_MS 5000

struct daemon {
	struct config *config;			/* owned */
	char *config_path;
	char *runtime_dir;
	char *state_dir;			/* NULL (in tests): nothing is kept */
	const char *runtime_dir_option;		/* --runtime-dir, or NULL */
	const char *force_format;		/* --force-format: a pool's name, or NULL */
	struct loop *control;
	struct porter *porter;			/* lets VMMs in */
	/* For seats; NULL: the configuration of the start has none */
	struct porter *display_porter, *viewer_porter, *web_porter;
	struct worker *seat_worker;
	struct worker *workers;
	unsigned worker_count, next_worker;
	struct worker *spare_workers;		/* for guests that make theirs wait: device/quarantine.h */
	unsigned spare_worker_count;
	struct worker *own_workers;		/* of guests with own_worker: device/guest.h */
	char (*own_worker_guests)[CONFIG_GUEST_MAX + 1];
	unsigned own_worker_count;
	struct notify_fds fds;			/* passed by the service manager */
	struct takeover_offer *offer;		/* while starting as a successor, else NULL */
	/* RUNTIME/daemon.lock: held while we live, handed to a successor */
	int lock_fd;
	int api_fd;				/* the API's listening socket; the API owns it. -1: none */
	bool serving;				/* the start is over */
	bool stopping;
	bool no_internet;			/* the sandbox allows no UDP and TCP sockets */
	struct reach *reach;			/* NULL: of all files */
	bool suspended;				/* a takeover is under way: pools may be closed */
	uint64_t started_ns;
	unsigned reloads;
	char takeover_text[128];		/* "took over 3 endpoints, pause 12.3 ms", or "" */

	struct device *devices;			/* device/ */
	struct guest *guests;			/* device/ */
	struct setting *settings;		/* share/: made at run time */
	struct share_gate *gates;		/* share/ */
	struct daemon_pool *pools;		/* disk/ */
	struct daemon_switch *switches;		/* nic/ */
	struct json_t *network_state;		/* nic/: set at run time */
	struct daemon_seat *seats;		/* seat/ */
	struct seat_failure *seat_failures;	/* seat/: those that could not be opened */
	struct display_looks *display_looks;	/* seat/seat_report.c; NULL: not taken */
	struct nic_mirror *closing_mirrors;	/* nic/: with a write under way */
	struct api *api;			/* api/ */
	struct takeover *takeover;		/* device/ */

	struct loop_timer watch_timer;		/* share/: each second, while there is a gate */
	struct loop_timer stop_timer;
	/* The last device is gone, or one of several; set by the whole. May be NULL. */
	void (*device_gone)(struct daemon *daemon);
};

/* ---- directories.c ---- */

/* The directory of the sockets: option, configuration, default. Returns a string to free, or NULL. */
char *daemon_runtime_dir(const char *option, const struct config *config);

/*
 * Gives a file or directory that root has made during the start to the user of the configuration. No effect
 * without a user to change to, or after the start.
 */
void daemon_give(const struct config *config, int fd, const char *path);

/* Makes the runtime or state directory, owned by the user of the configuration. 0 or -errno. */
int daemon_make_directory(const struct config *config, const char *path);

/*
 * Makes the directory of a guest's sockets, or sets the access to one that is there: the accounts that
 * `guest` (NULL: the defaults) lets connect may pass through it. 0 or -errno; -EPERM: only root may give it
 * to that group.
 */
int daemon_make_guest_directory(const struct config *config, const char *path,
				const struct config_guest *guest);

/* ---- daemon_lock.c ---- */

/* Makes this the only daemon of its runtime directory, or takes the predecessor's place in it. */
int daemon_lock(struct daemon *daemon, struct error *error);
/* At a clean end; not when a successor has the lock. */
void daemon_unlock(struct daemon *daemon);
/*
 * Removes a socket file in the runtime directory before a new one is made: with the lock held, it is a
 * leftover.
 */
void daemon_remove_leftover(const struct daemon *daemon, const char *socket_path);

#endif
