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
#ifndef VIADUCT_DAEMON_DEVICE_TAKEOVER_H
#define VIADUCT_DAEMON_DEVICE_TAKEOVER_H

struct daemon;
struct error;
struct takeover;

/* The running daemon's side; the successor's is base/takeover_offer.h. */

/* Listens for a successor. Returns 0 or -errno with *error. */
int takeover_create(struct daemon *daemon, struct takeover **ret_takeover, struct error *error);
/* Ends a takeover that is under way and can still be ended: the daemon is to stop. NULL is allowed. */
void takeover_abort(struct takeover *takeover);
/* NULL is allowed. */
void takeover_destroy(struct takeover *takeover);

#endif
