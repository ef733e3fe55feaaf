/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The service manager's side of a daemon's life, without libsystemd: state messages to $NOTIFY_SOCKET
 * (sd_notify(3)) and descriptors that it hands us (sd_listen_fds(3)).
 */
#ifndef VIADUCT_DAEMON_BASE_NOTIFY_H
#define VIADUCT_DAEMON_BASE_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* First descriptor that a service manager passes. */
#define NOTIFY_FDS_START 3
#define NOTIFY_FDS_MAX	 1024

/*
 * Sends one message ("READY=1\nSTATUS=…") to $NOTIFY_SOCKET. Returns 1 when sent, 0 when there is no
 * service manager, -errno. Never blocks: a message that does not go through is lost.
 */
int notify_send(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "RELOADING=1" with the time stamp that Type=notify-reload wants. */
int notify_reloading(void);

/* Half of the service manager's watchdog period in ns, or 0: no watchdog for this process. */
uint64_t notify_watchdog_interval_ns(void);

/* ---- descriptors passed by the service manager ---- */

struct notify_fds {
	unsigned count;
	struct notify_fd {
		int fd;		/* -1 once taken */
		char name[256];	/* as in FileDescriptorName=; "" when unnamed */
	} *fds;
};

/*
 * Reads $LISTEN_PID, $LISTEN_FDS, $LISTEN_FDNAMES, sets close-on-exec and clears the variables.
 * Returns 0, also when there are none; -EINVAL when the variables make no sense; -ENOMEM.
 */
int notify_fds_receive(struct notify_fds *ret_fds);

/* The pure part: `count` and the colon-separated names, for this pid. */
int notify_fds_parse(const char *pid, const char *count, const char *names, pid_t self,
		     struct notify_fds *ret_fds);

/* The first descriptor of this name, or -1; ownership moves to the caller. */
int notify_fds_take(struct notify_fds *fds, const char *name);

/* Closes what was not taken. */
void notify_fds_finish(struct notify_fds *fds);

#endif
