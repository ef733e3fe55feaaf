/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long a peer has kept a thread from others, in pieces that are too short to be held against it each: a
 * write to an eventfd that hundreds of thousands wait for, or a page that is just being taken away. One piece
 * may be the host's fault, which took the CPU away meanwhile.
 */
#ifndef VIADUCT_CORE_SLOWNESS_H
#define VIADUCT_CORE_SLOWNESS_H

#include <stdbool.h>
#include <stdint.h>

/* So long together, less the 50th part of the time that has passed since. */
#define SLOWNESS_NS   100000000u
#define SLOWNESS_PART 50u
/* CPU time from which on a write to a descriptor is such a piece. */
#define SLOW_WRITE_NS 4000000u

/* Zeroed at first. */
struct slowness {
	uint64_t ns, at_ns;
};

/* One piece more, of `ns`, at now_ns. True: it is one too many. */
static inline bool slowness_add(struct slowness *slowness, uint64_t ns, uint64_t now_ns)
{
	uint64_t forgiven_ns = (now_ns - slowness->at_ns) / SLOWNESS_PART;

	slowness->ns = (slowness->ns > forgiven_ns ? slowness->ns - forgiven_ns : 0) + ns;
	slowness->at_ns = now_ns;
	return slowness->ns > SLOWNESS_NS;
}

#endif
