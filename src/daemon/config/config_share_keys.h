/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The settings of a share as rows of a section's table of keys. What the settings are called stands here and
 * nowhere else. `NAMED` says whose share it is: a device has one share, and a group or guest has one for each
 * resource, whose keys begin with the resource.
 */
#ifndef VIADUCT_DAEMON_CONFIG_CONFIG_SHARE_KEYS_H
#define VIADUCT_DAEMON_CONFIG_CONFIG_SHARE_KEYS_H

#include <assert.h>
#include <stddef.h>

#include "arbiter/share/gate.h"
#include "daemon/config/config.h"

static_assert(SCHEDULER_WEIGHT_DEFAULT == 100 && SHARE_BURST_MS_DEFAULT == 10,
	      "the defaults below and in the tables are the arbiter's");

#define SHARE_BANDWIDTH_MAX (1ull << 40)
#define SHARE_IOPS_MAX	    1000000000ull

#define SHARE_PLACE(object, member, of, index)                                                               \
	.live = true, .is_share = true, .resource = (of), .share_key = (index),                              \
	.offset = offsetof(struct object, member.value[index])

/* A disk's own share; a group's or guest's share of disks, which was called like a disk's at first. */
#define OF_DISK(object, key, index) .name = (key), SHARE_PLACE(object, share, SHARE_DISKS, index)
#define OF_DISKS(object, key, index)                                                                         \
	.name = "disk_" key, .old_name = (key), SHARE_PLACE(object, share[SHARE_DISKS], SHARE_DISKS, index)

/* The same of cards. */
#define OF_NIC(object, key, index) .name = (key), SHARE_PLACE(object, share, SHARE_NICS, index)
#define OF_NICS(object, key, index)                                                                          \
	.name = "nic_" key, SHARE_PLACE(object, share[SHARE_NICS], SHARE_NICS, index)

/* The row's help and default follow, which are not the same everywhere. */
#define WEIGHT_KEY(NAMED, object)                                                                            \
	NAMED(object, "weight", SHARE_WEIGHT), .type = CONFIG_NUMBER, .minimum = 1,                          \
					       .maximum = SCHEDULER_WEIGHT_MAX
#define DISK_WEIGHT_HELP                                                                                     \
	"Share of the physical disk's time against the others' weights while it is contended."
#define NIC_WEIGHT_HELP                                                                                      \
	"Share of the uplink's time, and of the workers' time for its frames, against the others' weights "  \
	"while they are contended."

#define BURST_KEY(NAMED, object)                                                                             \
	{                                                                                                    \
		NAMED(object, "burst", SHARE_BURST),                                                         \
			.type = CONFIG_NUMBER, .maximum = SHARE_BURST_MS_MAX, .initial = "10",               \
			.help = "So many milliseconds' worth of the limits may be saved up while idle."      \
	}

/* The settings of a share of disks besides its weight. */
#define DISK_SHARE_KEYS(NAMED, object)                                                                       \
	{ NAMED(object, "min_iops", SHARE_MIN_IOPS), .type = CONFIG_NUMBER, .maximum = SHARE_IOPS_MAX,       \
	  .help = "Reservation: requests a second (4 KiB, random) that it gets whatever other guests want. " \
		  "Default: none." },                                                                        \
	{ NAMED(object, "max_iops", SHARE_MAX_IOPS), .type = CONFIG_NUMBER, .maximum = SHARE_IOPS_MAX,       \
	  .help = "Limit: requests a second. Default: none." },                                              \
	{ NAMED(object, "min_bandwidth", SHARE_MIN_BANDWIDTH), .type = CONFIG_SIZE,                          \
	  .maximum = SHARE_BANDWIDTH_MAX, .help = "Reservation: bytes a second. Default: none." },           \
	{ NAMED(object, "max_bandwidth", SHARE_MAX_BANDWIDTH), .type = CONFIG_SIZE,                          \
	  .maximum = SHARE_BANDWIDTH_MAX, .help = "Limit: bytes a second. Default: none." },                 \
	BURST_KEY(NAMED, object)

/* The settings of a share of cards besides its weight. A frame is what a request is to a disk. */
#define NIC_SHARE_KEYS(NAMED, object)                                                                        \
	{ NAMED(object, "min_bandwidth", SHARE_MIN_BANDWIDTH), .type = CONFIG_SIZE,                          \
	  .maximum = SHARE_BANDWIDTH_MAX,                                                                    \
	  .help = "Reservation: bytes a second to the uplink that it gets whatever other guests want. "      \
		  "Default: none." },                                                                        \
	{ NAMED(object, "max_bandwidth", SHARE_MAX_BANDWIDTH), .type = CONFIG_SIZE,                          \
	  .maximum = SHARE_BANDWIDTH_MAX,                                                                    \
	  .help = "Limit: bytes a second that it may send, to the uplink or to other guests. "               \
		  "Default: none." },                                                                        \
	{ NAMED(object, "max_pps", SHARE_MAX_IOPS), .type = CONFIG_NUMBER, .maximum = SHARE_IOPS_MAX,        \
	  .help = "Limit: frames a second that it may send; one that is to be segmented counts as its "      \
		  "segments. Default: none." },                                                              \
	BURST_KEY(NAMED, object)

#endif
