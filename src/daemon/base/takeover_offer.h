/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The successor's side of a takeover (device/takeover.h): what the predecessor handed over, by name, until
 * each thing is taken by the room that it belongs to.
 */
#ifndef VIADUCT_DAEMON_BASE_TAKEOVER_OFFER_H
#define VIADUCT_DAEMON_BASE_TAKEOVER_OFFER_H

#include <stdbool.h>

struct daemon;
struct error;
struct handover;
struct takeover_offer;

/*
 * Connects to the daemon of this runtime directory and receives its offer; blocks. -ECONNREFUSED or -ENOENT:
 * none runs there.
 */
int takeover_offer_receive(const char *runtime_dir, struct takeover_offer **ret_offer, struct error *error);

/* Is it in the offer, be it without a descriptor? */
bool takeover_offer_has(const struct takeover_offer *offer, const char *kind, const char *name);

/* A descriptor of the offer ("pool" main, "disk" alice/root, "api"), -1: not in it. The caller owns it. */
int takeover_offer_take(struct takeover_offer *offer, const char *kind, const char *name);

/* The state of an endpoint ("alice/disk-root"), or NULL; it stays the offer's. */
struct handover *takeover_offer_endpoint(struct takeover_offer *offer, const char *name);

/*
 * After the resources are open: commits the takeover (PREPARED, GO). Returns 0, or -errno: the predecessor
 * goes on, and we must end without touching anything.
 */
int takeover_offer_commit(struct takeover_offer *offer, struct error *error);

/*
 * Everything is restored: tells the predecessor, logs the pause, and frees the offer with what was not taken.
 */
void takeover_offer_done(struct takeover_offer *offer, struct daemon *daemon);

/* Frees an offer without an answer. NULL is allowed. */
void takeover_offer_destroy(struct takeover_offer *offer);

#endif
