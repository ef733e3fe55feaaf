/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many slow writes to its descriptors a peer has.
 *
 * A write to an eventfd that hundreds of thousands wait for takes milliseconds of CPU time, and nothing
 * interrupts it. One alone may be the host's fault, which took the CPU away meanwhile.
 */
#ifndef VIADUCT_CORE_SLOW_WRITES_H
#define VIADUCT_CORE_SLOW_WRITES_H

#include <stdbool.h>
#include <stdint.h>

/* CPU time from which on a write is slow. */
#define SLOW_WRITE_NS 4000000u
/* Slow writes may take so long together, less the 50th part of the time that has passed since. */
#define SLOW_WRITES_NS	 100000000u
#define SLOW_WRITES_PART 50u

/* Zeroed at first. */
struct slow_writes {
	uint64_t ns, at_ns;
};

/* One more, at now_ns, that took `ns` of CPU time (SLOW_WRITE_NS at least). True: it is one too many. */
static inline bool slow_writes_add(struct slow_writes *writes, uint64_t ns, uint64_t now_ns)
{
	uint64_t forgiven_ns = (now_ns - writes->at_ns) / SLOW_WRITES_PART;

	writes->ns = (writes->ns > forgiven_ns ? writes->ns - forgiven_ns : 0) + ns;
	writes->at_ns = now_ns;
	return writes->ns > SLOW_WRITES_NS;
}

#endif
