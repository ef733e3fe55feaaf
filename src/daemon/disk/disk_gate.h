/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gate of a physical disk, and what is known of its speed: from the configuration, from an earlier run,
 * or measured. Control thread.
 */
#ifndef VIADUCT_DAEMON_DISK_DISK_GATE_H
#define VIADUCT_DAEMON_DISK_DISK_GATE_H

#include "daemon/share/shares.h"

struct daemon;
struct host_disk;
struct measurement;

struct disk_gate {
	struct share_gate base;		/* its gate is the meter's */
	struct disk_meter *meter;
	unsigned cache;			/* enum host_disk_cache */
	struct host_disk *host;
	bool measured;			/* its cost is measured, and kept in the state directory */
	struct measurement *hung;	/* one that the disk did not answer to, or NULL */
};

/*
 * A gate for a physical disk that was just opened and that nothing uses yet: with the capacity of the
 * configuration, as measured earlier, or measured now. NULL only when out of memory.
 */
struct disk_gate *disk_gate_open(struct daemon *daemon, const char *path, unsigned cache,
				 struct host_disk *host, const struct config_capacity *capacity);
/*
 * Writes down what was learnt of the disk and frees the gate; no shares are left. NULL is allowed. False: the
 * disk has not answered since it was measured. The caller may not close it then: the gate closes it when the
 * disk answers.
 */
bool disk_gate_close(struct daemon *daemon, struct disk_gate *gate);
/* The configuration has another capacity. */
void disk_gate_set_capacity(struct disk_gate *gate, const struct config_capacity *capacity);

#endif
