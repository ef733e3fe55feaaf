/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tenant: one virtual machine, with the devices that it owns. It exists while a device of it does, whether
 * the configuration declares it or not (a pool knows disks of guests that are not declared).
 */
#ifndef VIADUCT_DAEMON_DEVICE_GUEST_H
#define VIADUCT_DAEMON_DEVICE_GUEST_H

#include <stdint.h>

#include "daemon/config/config.h"

struct daemon;
struct error;
struct endpoint_options;
struct loop_guest;
struct worker;

struct guest {
	struct guest *next;			/* in daemon.guests */
	unsigned devices;			/* that belong to it */
	char name[CONFIG_GUEST_MAX + 1];
	/*
	 * Pays for its devices on the workers: one account, so that many devices are no more of their time.
	 */
	struct loop_guest *time;
	struct worker *own;			/* serves nobody else; NULL: it is served with others */
	/* quarantine.h; one with a worker of its own never is there */
	struct worker *quarantine;		/* NULL: it is served with the others */
	uint64_t quarantine_until_ns;		/* at least */
	unsigned quarantines;			/* how often it came to that */
};

/* The guest of this name, made if it is not there yet; for one more device. NULL: out of memory. */
struct guest *guest_get(struct daemon *daemon, const char *name);
/* One device less; the last one takes the guest with it. NULL is allowed. */
void guest_put(struct daemon *daemon, struct guest *guest);

/* Its section of the configuration, or NULL when it is not declared. */
const struct config_guest *guest_settings(const struct daemon *daemon, const char *name);

/* Makes the directory of its sockets. Returns 0 or -errno with *error. */
int guest_make_directory(const struct daemon *daemon, const char *name, struct error *error);
/* A directory or socket cannot be made accessible as configured: -EPERM, with the sentence for it. */
int guest_access_failed(const char *path, struct error *error);
/* Removes the directories of declared guests that are empty; files of others in them stay. */
void guests_remove_directories(const struct daemon *daemon);
/* Fills in which user and group may open its sockets. */
void guest_socket_access(const struct daemon *daemon, const char *name, struct endpoint_options *options);

/* CPU time of the workers that its devices took since they exist. */
uint64_t guest_cpu_ns(const struct daemon *daemon, const char *name);

#endif
