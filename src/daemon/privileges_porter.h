/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What porters and their processes (interfaces/door/) may still do. */
#ifndef VIADUCT_DAEMON_PRIVILEGES_PORTER_H
#define VIADUCT_DAEMON_PRIVILEGES_PORTER_H

/*
 * For porter_fork(): `config` is the daemon's struct config. Changes to its user, and forbids every system
 * call but those that carry messages and judge descriptors: no file is opened, no memory is mapped, nothing
 * is started but doormen, which inherit this. Without the sandbox, and in builds with a sanitizer, the user
 * alone is changed. Returns 0 or -errno.
 */
int privileges_confine_porter(void *config);

/*
 * The same for the porters of a seat, whose processes understand what VMMs' displays and viewers say, with
 * libraries that do more: memory and memory files, threads, clocks. No file is opened, no socket is made and
 * nothing is started either.
 */
int privileges_confine_seat_porter(void *config);

#endif
