/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all drivers of NICs say alike: which frames are frames, and how they are counted. */
#ifndef VIADUCT_HOST_NIC_OFFLOAD_H
#define VIADUCT_HOST_NIC_OFFLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "core/checked.h"
#include "core/frame.h"
#include "core/stats.h"

/* input() gets no more frames at a time. */
#define NIC_BATCH_MAX 64u

/* A NIC's counters have a writer for each channel, unlike others; so add once a batch. */
static inline void nic_count(struct counter *counter, uint64_t n)
{
	if (n > 0)
		__atomic_fetch_add(&counter->value, n, __ATOMIC_RELAXED);
}

/*
 * Does this header fit a frame of so many bytes, as far as the kernel would look? Whether it fits the frame's
 * contents is for the arbiter to tell.
 */
static inline bool nic_offload_fits(const struct frame_offload *offload, uint32_t frame_bytes)
{
	unsigned type = offload->gso_type & ~FRAME_GSO_ECN;
	bool ecn = offload->gso_type & FRAME_GSO_ECN;

	if ((offload->flags & FRAME_CSUM_NEEDED) &&
	    !checked_range((uint64_t)offload->csum_start + offload->csum_offset, 2, frame_bytes))
		return false;
	if (type == FRAME_GSO_NONE)
		return !ecn;
	if (type == FRAME_GSO_UDP)
		return !ecn && offload->gso_bytes > 0;
	return (type == FRAME_GSO_TCP4 || type == FRAME_GSO_TCP6) && offload->gso_bytes > 0;
}

#endif
