/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gate of a physical disk, and what is believed of its speed: what the configuration says, what an
 * earlier run saw, or what any disk does; and from the first second on in which it was busy, what it does.
 * Control thread.
 */
#ifndef VIADUCT_DAEMON_DISK_DISK_GATE_H
#define VIADUCT_DAEMON_DISK_DISK_GATE_H

#include "daemon/share/shares.h"

struct daemon;
struct host_disk;

/* What its costs began with. */
enum disk_cost_origin {
	DISK_COST_SUPPOSED, /* an ordinary disk */
	DISK_COST_KEPT,	    /* seen in an earlier run */
	DISK_COST_SAID,	    /* in the configuration */
};

struct disk_gate {
	struct share_gate base;		/* its gate is the meter's */
	struct disk_meter *meter;
	unsigned cache;			/* enum host_disk_cache */
	struct host_disk *host;
	enum disk_cost_origin origin;
	/* 4 KiB requests a second: lately, and when reservations were granted last */
	double lately_iops, granted_iops;
	bool granted;			/* … by what was seen of it */
	uint64_t watched_ns;		/* when what was seen last was seen */
};

/*
 * A gate for a physical disk that was just opened and that nothing uses yet. NULL only when out of memory.
 */
struct disk_gate *disk_gate_open(struct daemon *daemon, const char *path, unsigned cache,
				 struct host_disk *host, const struct config_capacity *capacity);
/* Writes down what was learnt of the disk and frees the gate; no shares are left. NULL is allowed. */
void disk_gate_close(struct daemon *daemon, struct disk_gate *gate);
/* The configuration has another capacity. */
void disk_gate_set_capacity(struct disk_gate *gate, const struct config_capacity *capacity);

#endif
