/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A served device of any kind: its name and guest, its socket and endpoint, and its life. It is served in
 * three steps (the kind's open(), then the endpoint that a VMM connects to) and taken back in the opposite
 * order. A step that fails leaves the object in the list with its error, so that the status shows it.
 * Control thread.
 */
#ifndef VIADUCT_DAEMON_DEVICE_DEVICE_H
#define VIADUCT_DAEMON_DEVICE_DEVICE_H

#include <stdbool.h>

#include "core/log.h"
#include "daemon/base/daemon.h"
#include "daemon/device/device_kind.h"
#include "daemon/device/guest.h"
#include "interfaces/endpoint.h"

/* What becomes of a device once its endpoint is gone. */
enum device_farewell {
	DEVICE_STAYS,
	DEVICE_FORGET,		/* the object goes; what it was made of stays on the host */
	DEVICE_REOPEN,		/* served again, with the attributes of the configuration */
	DEVICE_CHANGES,		/* kind->change() says */
};

/* First member of every kind's struct. */
struct device {
	struct device *next;			/* in daemon.devices, in the order in which they came */
	struct daemon *daemon;
	const struct device_kind *kind;
	struct guest *guest;			/* never NULL */
	char name[CONFIG_NAME_SIZE];		/* "alice/root" */
	const char *short_name;			/* "root": into name */
	struct log_subject subject;		/* "alice/disk-root" */
	bool client;				/* connects to the VMM's socket instead of listening */
	char socket[SOCKET_PATH_SIZE];
	unsigned first_worker;

	struct endpoint *endpoint;		/* NULL: not served */
	struct error error;			/* text[0] != 0: not served, and why */
	bool suspending, suspended;		/* for a takeover: asked to stand still; stands still */
	enum device_farewell farewell;
	struct error *outcome; /* while device_leave() waits for it, else NULL */
};

/* NULL: there is none. Two kinds may have devices of one name. */
struct device *device_find(const struct daemon *daemon, const struct device_kind *kind, const char *name);
/* The next device of a kind, from `device` on (itself included; NULL: none). */
struct device *device_of_kind(struct device *device, const struct device_kind *kind);
#define device_for_each(daemon, kind_wanted, variable)                                                       \
	for (struct device *variable = device_of_kind((daemon)->devices, kind_wanted); variable;            \
	     variable = device_of_kind(variable->next, kind_wanted))

/* Its section of the configuration, or NULL when it is not declared. */
const struct config_object *device_settings(const struct device *device);

/* Adds a device that is not served yet. NULL: out of memory, or `name` is not GUEST/NAME. */
struct device *device_add(struct daemon *daemon, const struct device_kind *kind, const char *name);
/* Serves it, or leaves it in the list with its error. */
void device_serve(struct device *device);
/* Takes an unserved device out of the list and frees it. */
void device_forget(struct device *device);
/* Another name for an unserved device. False, and nothing changed: out of memory, or no such name. */
bool device_rename(struct device *device, const char *name);

/* Is a front end connected, or are its queues still running? */
bool device_connected(const struct device *device);
/* All zero when it is not served. */
struct endpoint_status device_status(const struct device *device);
/* Tells the guest that the device's configuration (its size, say) changed. `context` is the device. */
void device_config_changed(void *context);

/*
 * Takes the endpoint away; then `farewell` follows, before the return or later. Returns true, with
 * *ret_outcome (may be NULL) filled in, when it was done before the return; the device may be gone then.
 * False: under way, and what fails is logged.
 */
bool device_leave(struct device *device, enum device_farewell farewell, struct error *ret_outcome);

/* ---- device_check.c ---- */

/*
 * Do the devices of a configuration fit this host, as far as can be told without opening anything for good?
 */
void devices_check_host(const struct config *config, const char *runtime_dir,
			struct config_messages *messages);
/* And what the daemon has open? */
void devices_check_open(const struct daemon *daemon, const struct config *config,
			struct config_messages *messages);
/* The same at a start, with the messages in the log. Returns 0 or -EINVAL with *error. */
int devices_check_start(const struct daemon *daemon, struct error *error);
/* How many are served; returns how many of them, or of the configuration's, are not. */
unsigned devices_count(const struct daemon *daemon, unsigned *ret_served);

/* ---- device.c, continued ---- */

/*
 * A reload of devices that exist because their section does: those without one go, those with other
 * attributes are served anew while no front end is connected, those that are new are added.
 */
void devices_reload(struct daemon *daemon, const struct device_kind *kind, const struct config *old,
		    struct change_report *report);
/* Parts of it, for kinds that add rules of their own. */
void device_reload_removed(struct device *device, struct change_report *report);
void device_reload_changed(struct device *device, const struct config *old, struct change_report *report);

#endif
