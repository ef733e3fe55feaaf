/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Giving up what the daemon does not need once its devices are open. All threads are covered. */
#ifndef VIADUCT_DAEMON_PRIVILEGES_H
#define VIADUCT_DAEMON_PRIVILEGES_H

#include <stdbool.h>

struct config_daemon;
struct error;

/*
 * Changes to the user and group of the configuration (there may be neither), with no supplementary groups but
 * the user's own. Other processes of that user then can neither trace this one nor look at its memory and
 * descriptors, and the kernel dumps no core of it, unless `core_dumps` is set. No effect, and 0, when not
 * started as root. Returns 0 or -errno with *error; the process must not go on then.
 */
int privileges_drop(const struct config_daemon *settings, struct error *error);

/* What the daemon does after its start, besides what it always does. */
struct privileges_needs {
	bool internet;	 /* opens UDP and TCP sockets */
	bool interfaces; /* asks the kernel about interfaces */
	bool screens;	 /* drives a graphics card */
	bool input;	 /* opens and reads input devices */
};

/*
 * Forbids gaining privileges, and every system call that is not on the list: it answers EPERM. New sockets
 * are of the family AF_UNIX, and those that are needed. Signals reach this process only, no memory becomes
 * code, and no io_uring is made any more: loop_create() fails, so loops are made before. In builds with a
 * sanitizer nothing is forbidden, because their run-time needs more. Returns 0 or -errno with *error.
 */
int privileges_sandbox(const struct privileges_needs *needs, struct error *error);

#endif
