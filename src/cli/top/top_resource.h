/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `viaduct top` knows of one resource: how the daemon's answers are read, what waits and marks mean, and
 * what is shown. A new resource is a file like top_disks.c, an entry of top_resources[] and rows of
 * top_kinds[]. All of it is pure.
 */
#ifndef VIADUCT_CLI_TOP_TOP_RESOURCE_H
#define VIADUCT_CLI_TOP_TOP_RESOURCE_H

#include <jansson.h>

#include "cli/top/top_columns.h"

#define TOP_TEXT_MAX 128

/* Nanoseconds of waiting for a limit and for others, and of what they are a part. */
struct top_waits {
	double throttled_ns, contended_ns, whole_ns;
};

/* A number of a row in JSON. */
struct top_field {
	const char *name;
	size_t member; /* TOP_MEMBER() */
	bool whole;    /* an integer; else a real */
};

/* No slot may be NULL. */
struct top_resource_ops {
	/* Words */
	const char *name;	/* "disk": `kind` of the API */
	const char *one, *many; /* "disk", "disks": on the screen */

	/* Members of the API: see docs/openapi.yaml */
	const char *device_list;   /* "pools" of the status: the physical devices */
	const char *device_member; /* "pool" of a leaf: the name of its physical device */
	const char *share_prefix;  /* "disk_": begins the settings of guests and groups */
	const char *rate_unit;	   /* "iops": ends the settings of operations a second */
	/*
	 * Both get a struct that is zero but for what all resources have alike (names, state, shares, times).
	 * The object may be anything. That of a device is a leaf's when the leaf has a device of its own.
	 */
	void (*parse_device)(struct top_device *device, const json_t *object);
	void (*parse_leaf)(struct top_leaf *leaf, const json_t *object);

	/* true: devices count what they move; false: it is what their leaves moved. */
	bool devices_count;
	/* What a leaf waited between two samples, wall_ns apart. */
	struct top_waits (*waits)(const struct top_counters *delta, double wall_ns);
	/* Of a row whose rates are known: which part of the device is reserved for it, and is its limit. */
	double (*reservation)(const struct top_row *row, const struct top_device *device);
	double (*limit)(const struct top_row *row, const struct top_device *device);

	/* Numbers beside the name */
	const struct top_shown *shown;	/* the columns, the name first */
	const struct top_field *fields; /* in JSON; ended by a zero entry */
	const char *device_rows_list;	/* "devices": physical devices in JSON */
	/* What stands behind a physical device's bar: its figures, and a remark that is less bright. */
	void (*print_device)(const struct top_device_row *row, char figures[TOP_TEXT_MAX],
			     char remark[TOP_TEXT_MAX]);
	/* The caller owns the object. */
	json_t *(*device_json)(const struct top_device_row *row);
};

extern const struct top_resource_ops top_disks, top_nics;
extern const struct top_resource_ops *const top_resources[TOP_RESOURCES];

/* ---- kinds of rows ---- */

extern const struct top_kind_words {
	enum top_resource resource;
	enum top_level level;
	const char *title; /* "DISK": over the names */
	const char *many;  /* "disks": for the key that leads there */
	const char *list;  /* in JSON */
} top_kinds[TOP_KINDS];

/* The kind of that resource and level. */
enum top_kind top_kind_of(enum top_resource resource, enum top_level level);
/* The kind that follows at the next level, around the end. */
enum top_kind top_next_level(enum top_kind kind);
/* The kind of the same level of the next resource, around the end. */
enum top_kind top_next_resource(enum top_kind kind);

/* Whether the columns of the resource include `column`. */
bool top_resource_shows(enum top_resource resource, enum top_column_id column);

#endif
