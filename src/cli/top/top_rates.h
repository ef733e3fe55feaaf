/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happened between two looks at the daemon (top_sample.h) to one resource: a row for each leaf,
 * guest or group, and for each physical device. Pure.
 *
 * Device time is the scheduler's currency: what the cost model says a request takes of a device that is fully
 * busy. Parts of a device are parts of what it carries out now, so they add up to 1 also when it is slower
 * than that.
 */
#ifndef VIADUCT_CLI_TOP_TOP_RATES_H
#define VIADUCT_CLI_TOP_TOP_RATES_H

#include "cli/top/top_sample.h"

/* What a row stands for: each is of one resource and one level. Their words are in top_resource.h. */
enum top_kind {
	TOP_DISKS,
	TOP_GUESTS,
	TOP_GROUPS,
	TOP_NICS,
	TOP_NIC_GUESTS,
	TOP_NIC_GROUPS,
	TOP_KINDS
};
enum top_level { TOP_LEVEL_LEAF, TOP_LEVEL_GUEST, TOP_LEVEL_GROUP, TOP_LEVELS };

/* Numbers are double, also counts: columns and JSON are tables of members. */
struct top_row {
	char name[TOP_NAME_MAX];
	enum top_state state;	/* of guests and groups: of their leaves, the most remarkable */
	struct top_share share;
	/*
	 * Marks: which part of the device is reserved for it, and is its limit, for requests and frames as
	 * they are now. 0: none.
	 */
	double reservation, limit;
	/* A second; `bytes` are those of both directions */
	double operations, bytes;
	double in_count, in_bytes, out_count, out_bytes, dropped;
	double device;		/* part of the device's time, 0..1 (more for a guest on several devices) */
	double got;		/* part of what the device did for all */
	double due;		/* … and what its weight entitles it to among those that want something now */
	double cpu;		/* of one processor */
	/* Part of the time spent waiting for a limit, for others: waits() of top_resource.h */
	double throttled, contended;
	double waiting, p99_ns, errors, refused;
	double largest_bytes;	/* of one operation on the device; 0: not known */
	double bad;		/* errors and refused requests */
};

/* A number of a row as a table names it. */
#define TOP_MEMBER(member) offsetof(struct top_row, member)

static inline double top_row_value(const struct top_row *row, size_t member)
{
	return *(const double *)((const char *)row + member);
}

struct top_device_row {
	const struct top_device *device;	/* of the newer sample */
	double busy;
	double operations, in_count, in_bytes, out_count, out_bytes;	/* a second */
};

struct top_view {
	enum top_kind kind;
	bool measured;		/* false: there was no second sample; rates are 0 */
	double seconds;		/* between the samples */
	struct top_row *rows;
	struct top_device_row *devices;
	size_t row_count, device_count;
	size_t leaf_count, connected_count;	/* whatever the kind */
	double cpu;		/* of one processor, for all leaves */
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
