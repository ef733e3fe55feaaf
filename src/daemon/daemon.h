/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's life as a whole: how its rooms (base/daemon.h) are opened in order, and closed. Control
 * thread.
 */
#ifndef VIADUCT_DAEMON_DAEMON_H
#define VIADUCT_DAEMON_DAEMON_H

#include "daemon/base/daemon.h"

struct daemon_options {
	struct config *config;		/* taken on success */
	const char *config_path;	/* copied */
	const char *runtime_dir;	/* --runtime-dir or NULL; outlives the daemon */
	const char *force_format;	/* outlives the daemon */
};

/*
 * Makes the daemon and its runtime and state directories, and gives up other files (base/reach.h), if the
 * configuration does not switch that off. There must be no thread but the caller's.
 */
int daemon_create(const struct daemon_options *options, struct daemon **ret_daemon, struct error *error);

struct daemon_parts {
	struct loop *control;
	struct loop_rescue *rescue;	/* for the workers */
	int porter;			/* porter_fork()'s, like those below; taken on success */
	int display_porter, viewer_porter;	/* -1: there are no seats */
	int web_porter;			/* -1: no seat has a console in the browser */
};

/* Starts the workers. Nothing is served yet. */
int daemon_start(struct daemon *daemon, const struct daemon_parts *parts, struct error *error);

/*
 * Open what each kind of device needs on the host, then serve the devices. What fails is logged and shown by
 * the status; the rest goes on.
 */
void daemon_open_resources(struct daemon *daemon);
void daemon_open_devices(struct daemon *daemon);

/*
 * Begins an orderly end: takes back all devices, closes what they need on the host, then stops the control
 * loop. A disk that hangs cannot hold it up for more than DAEMON_STOP_S seconds.
 */
#define DAEMON_STOP_S 10
void daemon_stop(struct daemon *daemon);

/* Frees everything. After daemon_stop() has stopped the control loop, or before daemon_open_resources(). */
void daemon_destroy(struct daemon *daemon);

#endif
