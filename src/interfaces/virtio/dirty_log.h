/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bitmap of pages that we wrote into a guest's memory, shared with the VMM while it migrates the guest
 * (vhost-user, "Migration"): one bit for each 4 KiB of guest physical address, set with an atomic OR.
 */
#ifndef VIADUCT_INTERFACES_VIRTIO_DIRTY_LOG_H
#define VIADUCT_INTERFACES_VIRTIO_DIRTY_LOG_H

#include <stddef.h>
#include <stdint.h>

#define DIRTY_LOG_PAGE_BYTES 4096u

struct dirty_log;

/*
 * Maps `bytes` bytes of the file from `offset`. `fd` stays the caller's. Returns 0 (one reference), or
 * -EINVAL (size 0, sum wraps), -EBADF (not a memory file), -ERANGE (file too small), -ENOMEM.
 */
int dirty_log_open(int fd, uint64_t offset, uint64_t bytes, struct dirty_log **ret_log);

/* Atomic reference count; put(NULL) is allowed. */
struct dirty_log *dirty_log_get(struct dirty_log *log);
void dirty_log_put(struct dirty_log *log);

/* Marks [guest_address, +length). Pages beyond the bitmap are ignored. Any thread. */
void dirty_log_mark(struct dirty_log *log, uint64_t guest_address, uint64_t length);

#endif
