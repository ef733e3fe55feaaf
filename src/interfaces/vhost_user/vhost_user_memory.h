/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's memory as a front end describes it: a set of regions, each with the file it lies in. A change
 * makes a new set; rings change over to it, and the last request that uses the old one lets go of it.
 */
#ifndef VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_MEMORY_H
#define VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_MEMORY_H

#include <stdbool.h>

#include "interfaces/vhost_user/vhost_user_messages.h"

struct guest_memory;
struct vhost_user_connection;

/* KVM's 509 slots. Descriptors and guarded mappings are scarce: an endpoint's connections share a bound. */
#define VHOST_USER_MEMORY_SLOTS	  509
#define VHOST_USER_ENDPOINT_SLOTS 1024

struct vhost_user_memory_file {
	struct vhost_user_memory_region region;
	int fd;					/* kept for a takeover */
	/*
	 * How often it was added: QEMU before 8.0 adds, and removes, each region once for each pair of a
	 * network card's queues.
	 */
	unsigned added;
	bool fresh;				/* of the next set: not in the set in use */
	bool absent;				/* in a file on a disk: no address of it is the guest's */
};

struct vhost_user_memory_set {
	struct guest_memory *guest;
	struct vhost_user_memory_file *files;
	unsigned file_count;
};

/* Of a connection; embedded there. */
struct vhost_user_memory {
	struct vhost_user_memory_set set;	/* in use */
	struct vhost_user_memory_set next;	/* of the job under way */
	bool replaces;				/* the next set keeps nothing of this one */
	int removed_fd;				/* what the next set leaves out */
};

/* Returns 0 or -ENOMEM. */
int vhost_user_memory_init(struct vhost_user_memory *memory);
/* No change is under way. Idempotent. */
void vhost_user_memory_finish(struct vhost_user_memory *memory);

/* At most VHOST_USER_MEMORY_SLOTS. */
unsigned vhost_user_memory_times_added(const struct vhost_user_memory_set *set);

/*
 * Appends one region at once, while no ring runs (a takeover); one that is there is there once more. Returns
 * 0 or -errno: guest_memory_add()'s errors, or -ENOSPC. Takes `fd` on success.
 */
int vhost_user_memory_append(struct vhost_user_connection *connection,
			     const struct vhost_user_memory_region *region, int fd);

#endif
