/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One look at the daemon for `viaduct top`: its answers (docs/openapi.yaml) as plain structs. Two looks make
 * rates: top_rates.h. Parsing is pure and takes anything: what is absent or of another type reads as 0, "" or
 * false.
 */
#ifndef VIADUCT_CLI_TOP_TOP_SAMPLE_H
#define VIADUCT_CLI_TOP_TOP_SAMPLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/stats.h"

#define TOP_NAME_MAX 128	/* longer names are cut */
#define TOP_NONE     SIZE_MAX	/* no such index */

/* What guests share. What each is like: top_resource.h. */
enum top_resource { TOP_RESOURCE_DISK, TOP_RESOURCE_NIC, TOP_RESOURCES };

/* Effective settings; 0: none. Rates are a second's. */
struct top_share {
	double weight;
	double min_operations, max_operations;
	double min_bandwidth, max_bandwidth;	/* bytes */
};

struct top_traffic {
	uint64_t count, bytes;
};

/* Since the daemon's start. */
struct top_counters {
	uint64_t operations;		/* frames; requests of any sort, not only those in `in` and `out` */
	struct top_traffic in, out;	/* what the guest read or received, and what it wrote or sent */
	uint64_t device_ns, cpu_ns;
	uint64_t throttled_ns, contended_ns, latency_ns;	/* of all requests or frames, added up */
	uint64_t errors, refused;	/* refused: violations of the protocol included */
	uint64_t dropped;		/* frames, for whatever reason */
	struct histogram latency;
};

enum top_state { TOP_IDLE, TOP_CONNECTED, TOP_BROKEN };

struct top_group {
	char name[TOP_NAME_MAX];
	struct top_share share[TOP_RESOURCES];
};

struct top_guest {
	char name[TOP_NAME_MAX];
	struct top_share share[TOP_RESOURCES];
	size_t group;			/* TOP_NONE: none */
};

enum top_link { TOP_LINK_NONE, TOP_LINK_UP, TOP_LINK_DOWN, TOP_LINK_FAILED, TOP_LINKS };

/*
 * A physical disk: a pool, or that of a disk with a path of its own, which then has the disk's name. Or the
 * uplink of a switch, which has the switch's name.
 */
struct top_device {
	char name[TOP_NAME_MAX];
	uint64_t capacity_operations, capacity_bandwidth, reserved_ppb;	/* 0: unknown */
	double rate;			/* cost carried out a second against the model; > 0 */
	bool failed;			/* it carries out nothing now */
	enum top_link link;		/* of an uplink */
	char uplink[TOP_NAME_MAX];	/* "tap:NAME" */
	struct top_traffic in, out;	/* from the uplink and to it, since the daemon's start */
};

/* What a guest has of a physical device, and a leaf of the tree of shares: a virtual disk or network card. */
struct top_leaf {
	char name[TOP_NAME_MAX];
	size_t guest, device;
	enum top_state state;
	struct top_share share;
	struct top_counters counters;
	uint64_t waiting;		/* requests, or queues of a card */
	uint64_t largest_bytes;		/* of one operation on the device; 0: not known */
	uint64_t p99_ns;		/* since the start, for want of a histogram; a card's: of waits */
};

/* What the daemon has of one resource. */
struct top_listing {
	struct top_device *devices;
	struct top_leaf *leaves;
	size_t device_count, leaf_count;
};

struct top_sample {
	uint64_t now_ns;		/* the daemon's clock, or the caller's */
	uint64_t uptime_ns;
	uint64_t pid;
	struct top_group *groups;
	struct top_guest *guests;
	size_t group_count, guest_count;
	struct top_listing listings[TOP_RESOURCES];
};

/*
 * `status` answers GET /v1/status, `guests` GET /v1/guests (NULL: not asked, or status has them). now_ns: the
 * caller's clock, for a daemon that does not tell its own. Aborts when memory is exhausted.
 */
struct top_sample *top_sample_parse(const json_t *status, const json_t *guests, uint64_t now_ns);
/* NULL is allowed. */
void top_sample_destroy(struct top_sample *sample);

/*
 * Terminals obey control characters and draw some others two columns wide: every byte that is no plain ASCII
 * becomes '?'.
 */
void top_copy_name(char name[TOP_NAME_MAX], const char *text);

#endif
