/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A view in the making: between top_rates.c and top_due.c. */
#ifndef VIADUCT_CLI_TOP_TOP_RATES_PRIVATE_H
#define VIADUCT_CLI_TOP_TOP_RATES_PRIVATE_H

#include "cli/top/top_rates.h"
#include "cli/top/top_resource.h"

/* What one row gathers from its leaves before it becomes rates. */
struct usage {
	struct top_counters delta;
	struct top_waits waits;
	double due_ns, devices_ns;
	size_t device;	       /* the first one: on it the marks are */
	size_t counted_device; /* the last one that devices_ns has */
};

struct rates {
	enum top_resource resource;
	enum top_level level;
	const struct top_resource_ops *ops;
	const struct top_sample *now;
	const struct top_listing *listing; /* of now */
	const struct top_listing *before;  /* NULL when nothing is measured */
	struct top_view *view;
	struct usage *usages;	     /* a row each */
	double *device_ns;	     /* device time of all leaves, a device each */
	struct top_counters *deltas; /* a leaf each */
};

/* calloc() that never fails, also of nothing. */
void *rates_need(size_t count, size_t entry_bytes);
/* The row that a leaf counts in; TOP_NONE: none. */
size_t rates_row_of(const struct rates *rates, size_t leaf);

/* Adds to the usages what the weights of the active leaves on the device entitle to. */
void rates_add_due(struct rates *rates, size_t device);

#endif
