/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pools, and their lists of disks, against the configuration. */
#ifndef VIADUCT_DAEMON_DISK_CATALOGUE_H
#define VIADUCT_DAEMON_DISK_CATALOGUE_H

struct config;
struct config_messages;
struct daemon;
struct pool;

/* A disk with a path of its own may not have the name of a disk in the pool: one message each. */
void catalogue_check(const struct config *config, const char *pool_name, struct pool *pool,
		     struct config_messages *messages);

/* The same for all pools that the daemon has open. */
void catalogue_check_open(const struct daemon *daemon, const struct config *config,
			  struct config_messages *messages);

/*
 * Before a start or a reload: a disk may not be larger than its pool, as far as the pool can be read. One
 * message each.
 */
void catalogue_check_sizes(const struct config *config, struct config_messages *messages);

#endif
