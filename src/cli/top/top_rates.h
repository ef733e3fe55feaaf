/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happened between two looks at the daemon (top_sample.h), a row for each disk, guest or group, and for
 * each physical disk. Pure.
 *
 * Device time is the scheduler's currency: what the cost model says a request takes of a device that is fully
 * busy. Parts of a device are parts of what it carries out now, so they add up to 1 also when it is slower
 * than that.
 */
#ifndef VIADUCT_CLI_TOP_TOP_RATES_H
#define VIADUCT_CLI_TOP_TOP_RATES_H

#include "cli/top/top_sample.h"

enum top_kind { TOP_DISKS, TOP_GUESTS, TOP_GROUPS, TOP_KINDS };

struct top_row {
	char name[TOP_NAME_MAX];
	enum top_state state;	/* of guests and groups: of their disks, the most remarkable */
	struct top_share share;
	/*
	 * Marks: which part of the device is reserved for it, and is its limit, for requests as it makes now.
	 * 0: none.
	 */
	double reservation, limit;
	double iops, read_bytes, written_bytes;	/* a second */
	double device;		/* part of the device's time, 0..1 (more for a guest on several devices) */
	double got;		/* part of what the device did for all */
	double due;		/* … and what its weight entitles it to among those that want something now */
	double cpu;		/* of one processor */
	double throttled, contended;	/* part of its requests' time spent waiting for a limit, for others */
	uint64_t waiting, p99_ns, errors, refused;
};

struct top_device_row {
	const struct top_device *device;	/* of the newer sample */
	double busy, iops, bytes;
};

struct top_view {
	enum top_kind kind;
	bool measured;		/* false: there was no second sample; rates are 0 */
	double seconds;		/* between the samples */
	struct top_row *rows;
	struct top_device_row *devices;
	size_t row_count, device_count;
	size_t disk_count, connected_count;	/* whatever the kind */
	double cpu;
};

/*
 * `before` may be NULL, or of a daemon that has been restarted since: then nothing is measured. `now` must
 * outlive the view. Rows are in the daemon's order, devices the busiest first. Aborts when memory is
 * exhausted.
 */
struct top_view *top_view_create(const struct top_sample *before, const struct top_sample *now,
				 enum top_kind kind);
/* NULL is allowed. */
void top_view_destroy(struct top_view *view);

#endif
