/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Handing a running daemon to its successor (viaductd --takeover), so that guests keep their disks while
 * the program is replaced. Over RUNTIME/takeover.sock:
 *
 *     successor                               predecessor
 *     reads its configuration, connects  -->  suspends all endpoints, commits and closes the pools
 *                                        <--  handover: descriptors and state of everything
 *     opens the pools              PREPARED -->
 *                                        <-- GO: from here on the predecessor touches nothing any more
 *     restores the endpoints        RESUMED -->  exits with 0, leaves the sockets where they are
 *
 * Until GO the predecessor can go on by itself, and does when the successor says nothing for
 * TAKEOVER_TIMEOUT_S seconds or goes away; the successor then ends without having served anything. After GO
 * a failure of the successor is a crash of the daemon: guests reconnect.
 *
 * The pause runs from the first suspend to the last endpoint restored (one clock: CLOCK_MONOTONIC).
 */
#ifndef VIADUCT_DAEMON_TAKEOVER_H
#define VIADUCT_DAEMON_TAKEOVER_H

#include <stdbool.h>

struct daemon;
struct daemon_error;
struct handover;
struct loop;
struct takeover;
struct takeover_offer;

#define TAKEOVER_TIMEOUT_S 10

/* ---- the running daemon ---- */

/* Listens for a successor. Returns 0 or -errno with *error. */
int takeover_create(struct daemon *daemon, struct takeover **ret_takeover, struct daemon_error *error);
/* Ends a takeover that is under way and can still be ended: the daemon is to stop. NULL is allowed. */
void takeover_abort(struct takeover *takeover);
/* NULL is allowed. */
void takeover_destroy(struct takeover *takeover);

/* ---- the successor ---- */

/*
 * Connects to the daemon of this runtime directory and receives its offer; blocks. -ECONNREFUSED or -ENOENT:
 * none runs there.
 */
int takeover_offer_receive(const char *runtime_dir, struct takeover_offer **ret_offer,
			   struct daemon_error *error);

/* A descriptor of the offer ("pool" main, "disk" alice/root, "api"), -1: not in it. The caller owns it. */
int takeover_offer_take(struct takeover_offer *offer, const char *kind, const char *name);

/* The state of an endpoint ("alice/disk-root"), or NULL; it stays the offer's. */
struct handover *takeover_offer_endpoint(struct takeover_offer *offer, const char *name);

/*
 * After the pools are open: commits the takeover (PREPARED, GO). Returns 0, or -errno: the predecessor goes
 * on, and we must end without touching anything.
 */
int takeover_offer_commit(struct takeover_offer *offer, struct daemon_error *error);

/*
 * Everything is restored: tells the predecessor, logs the pause, and frees the offer with what was not taken.
 */
void takeover_offer_done(struct takeover_offer *offer, struct daemon *daemon);

/* Frees an offer without an answer. NULL is allowed. */
void takeover_offer_destroy(struct takeover_offer *offer);

#endif
