/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The record of requests in flight: we make the file, the front end keeps it and gives it back after every
 * (re)connection. One region for each queue, of inflight_region_bytes() each, one after the other.
 */
#ifndef VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_INFLIGHT_H
#define VIADUCT_INTERFACES_VHOST_USER_VHOST_USER_INFLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/reaper.h"
#include "interfaces/vhost_user/vhost_user_messages.h"

/* Mapped. */
struct vhost_user_inflight {
	struct reaper_job job;
	int fd;					/* kept for a takeover */
	struct vhost_user_inflight_description description;
	void *mapping;
	size_t mapping_bytes;
	uint8_t *base;
	bool lost;				/* memory_guard's flag */
};

/*
 * Maps what `description` says of `fd`, which it takes on success. Returns 0, -EINVAL (numbers that no record
 * has), -EBADF (not a memory file), -ERANGE (the file is smaller), -EACCES or -ENOMEM.
 */
int vhost_user_inflight_open(int fd, const struct vhost_user_inflight_description *description,
			     struct vhost_user_inflight **ret_inflight);

/* NULL is allowed. */
void vhost_user_inflight_close(struct vhost_user_inflight *inflight);

/* The queue's region, NULL when there is no record; *ret_fits says if it is large enough. */
void *vhost_user_inflight_region(const struct vhost_user_inflight *inflight, bool packed, unsigned index,
				 unsigned size, bool *ret_fits);

#endif
