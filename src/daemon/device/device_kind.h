/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A kind of device, for implementers: what the daemon must know to serve disks, network cards, … alike. A
 * kind is one folder of src/daemon and one row of device_kinds[]; nothing outside its folder asks which kind
 * a device is. Every function is called on the control thread.
 */
#ifndef VIADUCT_DAEMON_DEVICE_DEVICE_KIND_H
#define VIADUCT_DAEMON_DEVICE_DEVICE_KIND_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <stdio.h>

struct change_report;
struct config;
struct config_messages;
struct config_object;
struct config_section;
struct daemon;
struct error;
struct device;
struct endpoint;
struct endpoint_options;
struct handover;

struct device_kind {
	const char *name;	/* "disk": its section, part of its sockets' names, the value of labels */
	const struct config_section *section;
	size_t device_bytes;	/* of the kind's struct, which begins with a struct device */
	unsigned queues_together;	/* neighbouring queues that are served by one worker; 0: 1 */

	/* ---- the kind as a whole; each may be NULL: nothing to do ---- */

	/* Start: opens what its devices share on the host (pools, uplinks). May block. */
	void (*open_resources)(struct daemon *daemon);
	/* Start: adds and serves the devices that are declared, or known otherwise. Never NULL. May block. */
	void (*open_devices)(struct daemon *daemon);
	/* End: no device of the kind is left. */
	void (*close_resources)(struct daemon *daemon);
	/*
	 * Takeover: endpoints are about to stand still, one after the other. What passes from one guest to
	 * another, or comes from the world, waits from now on, until `still` is false or a successor serves.
	 */
	void (*stand_still)(struct daemon *daemon, bool still);
	/* Takeover: all endpoints stand still. Lets go of what a successor opens; reclaim: takes it back. */
	void (*release)(struct daemon *daemon);
	void (*reclaim)(struct daemon *daemon);
	/* Takeover: puts its descriptors (takeover_put_fd()), which stay the kind's. */
	void (*hand_over)(struct daemon *daemon, struct handover *header);
	/*
	 * Another configuration (daemon->config; `old` before it): applies what can be, and says so. Never
	 * NULL.
	 */
	void (*reload)(struct daemon *daemon, const struct config *old, struct change_report *report);
	/* Does it open UDP and TCP sockets after the start, for what the configuration says? NULL: never. */
	bool (*needs_internet)(const struct config *config);
	/* The same for what asks the kernel about interfaces. */
	bool (*needs_interfaces)(const struct config *config);
	/* Metrics of its own, in Prometheus' text format; those of endpoints are told for all kinds. */
	void (*print_metrics)(struct daemon *daemon, FILE *out);

	/*
	 * viaductd --check: prints what a start would do with what the kind's objects are made of, a line a
	 * step; what would fail becomes a message. force_format: the pool named with that option, or NULL.
	 * May be NULL.
	 */
	void (*plan)(const struct config *config, const char *force_format, FILE *out,
		     struct config_messages *messages);
	/*
	 * Before a start or a reload: do the kind's objects fit this host? Reads files and devices, changes
	 * nothing; one message each. NULL: nothing to look at.
	 */
	void (*check_host)(const struct config *config, struct config_messages *messages);
	/* The same against what the daemon has open; at a start after open_resources(). NULL: nothing. */
	void (*check_open)(const struct daemon *daemon, const struct config *config,
			   struct config_messages *messages);

	/* ---- one device ---- */

	/* Takes the attributes from its section (NULL: not declared, defaults). Before each open(). */
	void (*configure)(struct device *device, const struct config_object *settings);
	/*
	 * Builds what lies below the endpoint. Returns 0, or -errno with device->error; then close() follows.
	 */
	int (*open)(struct device *device);
	/*
	 * Makes the endpoint, or restores it from what a predecessor handed over (NULL: nothing). 0 or
	 * -errno.
	 */
	int (*endpoint_create)(struct device *device, const struct endpoint_options *options,
			       struct handover *handed, struct endpoint **ret_endpoint);
	/* The endpoint is gone: undoes open(), as far as it came. */
	void (*close)(struct device *device);
	/* Are queues of a guest still running, although no front end is connected? NULL: never. */
	bool (*in_use)(const struct device *device);
	/*
	 * DEVICE_CHANGES: what was to happen to the device while it is not served (another name, its end).
	 * Calls device_serve() or device_forget(). NULL: the kind never asks for it.
	 */
	void (*change)(struct device *device, struct error *error);
	/* Frees what the kind's struct owns, not the struct. NULL: nothing. */
	void (*finish)(struct device *device);
	/* Adds what a VMM needs to know; and what its status tells besides. `object` is never NULL. */
	void (*describe)(const struct device *device, json_t *object);
	void (*status)(const struct device *device, json_t *object);
	/* CPU time that it has taken elsewhere than at its endpoint. NULL: none. */
	uint64_t (*cpu_ns)(const struct device *device);
};

/* All kinds, ended by NULL; in daemon/device_kinds.c. */
extern const struct device_kind *const device_kinds[];

#endif
