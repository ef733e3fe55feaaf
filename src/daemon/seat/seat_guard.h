/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What viewers from other machines are let in by: a certificate, its key, and the hash of a password. All
 * three are read once, before the daemon gives up its privileges. The key and the hash stay here: the process
 * of a viewer gets the certificate and the salt, has this sign one handshake, and asks whether what it made
 * of a password is the hash.
 */
#ifndef VIADUCT_DAEMON_SEAT_SEAT_GUARD_H
#define VIADUCT_DAEMON_SEAT_SEAT_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct config_seat;
struct error;
struct seat_guard;
struct viewer_message;

/*
 * Returns 0, or -errno with *error: a file that cannot be read, is not what it should be, or is open to
 * others. The guard stays as it is: any thread may use it.
 */
int seat_guard_load(const struct config_seat *settings, struct seat_guard **ret_guard, struct error *error);
/* NULL is allowed. */
void seat_guard_destroy(struct seat_guard *guard);

/* The message for a process, and its file, which stays the guard's. */
void seat_guard_terms(const struct seat_guard *guard, struct viewer_message *ret_message, int *ret_file);
/* A VIEWER_SIGN. Returns the bytes of the signature, which are at most `room`; 0: refused. */
size_t seat_guard_sign(const struct seat_guard *guard, const struct viewer_message *message,
		       uint8_t *signature, size_t room);
/* A VIEWER_PASSWORD: was it the password? The time it takes tells nothing of where they differ. */
bool seat_guard_judge(const struct seat_guard *guard, const struct viewer_message *message);

#endif
