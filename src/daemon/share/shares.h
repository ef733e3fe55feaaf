/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the physical devices' time is shared among guests. Each physical device has a gate
 * (arbiter/share/gate.h) with a tree of shares of its own: groups, their guests, and the guests' virtual
 * devices, as far as they are on that physical one. A gate is of one resource, and so are its shares. The
 * configuration says what a share is to be; what was set at run time (settings.h) replaces it key by key.
 *
 * A reservation that the physical device cannot grant is refused when it is asked for at run time. One from
 * the configuration or from an earlier run does not keep a device from being served: the share does without
 * it, says so in the log and the status, and gets it as soon as there is room. Control thread.
 */
#ifndef VIADUCT_DAEMON_SHARE_SHARES_H
#define VIADUCT_DAEMON_SHARE_SHARES_H

#include <stdbool.h>
#include <stdint.h>

#include "arbiter/share/gate.h"
#include "daemon/config/config.h"
#include "daemon/share/settings.h"

struct daemon;
struct error;

/* One place in the tree of one physical device. */
struct share_node {
	struct share_node *next;	/* in share_gate.nodes */
	struct share_gate *gate;
	struct share_node *parent;	/* NULL: below the root */
	enum share_kind kind;
	char name[CONFIG_NAME_SIZE];
	unsigned children;
	struct gate_node *node;
	struct error refused; /* text[0] != 0: why it is not as it should be */
};

/* A physical device in time; embedded in what its owner knows of it. */
struct share_gate {
	struct share_gate *next;	/* in daemon.gates */
	enum share_resource resource;	/* its shares are of this */
	struct gate *gate;
	struct share_node *nodes;
	char *path;			/* of the device, for sentences */
	/* Writes down what was learnt of the device, or NULL */
	void (*keep)(struct share_gate *gate, const struct daemon *daemon);
	/* Each second, or NULL */
	void (*watch)(struct share_gate *gate, struct daemon *daemon);
	/* Weights are others now, or NULL */
	void (*changed)(struct share_gate *gate);
};

/* What a share of one resource changes to at run time. */
struct share_change {
	bool changed[SHARE_KEYS];
	bool given[SHARE_KEYS];		/* false: back to what the configuration says */
	struct share_settings share;
};

/* The gate is its owner's, with all set but `next` and `nodes`; when it is taken out it has no shares. */
void share_gate_add(struct daemon *daemon, struct share_gate *gate);
void share_gate_remove(struct daemon *daemon, struct share_gate *gate);
/* The device carries more or less than before: reservations are granted anew, as far as it goes. */
void share_gate_reserve_anew(struct daemon *daemon, struct share_gate *gate);
/*
 * Guests are waited for: no limit holds anything back until `drain` is false. What was learnt of the devices
 * is written down first, as a successor starts from it.
 */
void shares_drain(struct daemon *daemon, bool drain);

/*
 * The share of a virtual device, "GUEST/NAME", with those of its guest and group above it. The device is a
 * disk or a card, as the gate's resource says. NULL: out of memory.
 */
struct share_node *share_open(struct daemon *daemon, struct share_gate *gate, const char *name);
/* Of a virtual device; NULL is allowed. */
void share_close(struct share_node *device);

/*
 * The weight of a virtual device's guest among all guests: where groups divide by weight first, its part of
 * its group's.
 */
uint32_t share_guest_weight(const struct share_node *device);

/* What a share is to be. */
struct share_settings share_wanted(const struct daemon *daemon, struct share_id id);
/* The same as the gates have it; *ret_refused (may be NULL): why that is another, or NULL. */
struct share_settings share_effective(const struct daemon *daemon, struct share_id id,
				      const char **ret_refused);

/*
 * Changes the shares of an object at run time, one of each resource, and keeps that. Returns 0, or with
 * *error and nothing changed: -EINVAL (a setting contradicts another), -EBUSY (the reservation is refused),
 * -EIO (it cannot be kept), -ENOMEM.
 */
int shares_set(struct daemon *daemon, enum share_kind kind, const char *name,
	       const struct share_change changes[SHARE_RESOURCES], struct error *error);

/* After another configuration: makes all shares what they are to be, as far as it goes. */
void shares_update(struct daemon *daemon);

/* A disk has another name, or (new_name NULL) is gone: what was set at run time goes with it. */
void share_settings_move(struct daemon *daemon, const char *disk, const char *new_name);

/* Reads what was set at run time. Mistakes are logged. */
void share_settings_load(struct daemon *daemon);

#endif
