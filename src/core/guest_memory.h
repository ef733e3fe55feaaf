/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's memory, mapped from the files that its VMM sent.
 *
 * A region is one mapping; a guest_memory is an immutable, reference-counted set of regions (a
 * generation). A change makes a new set that shares the unchanged regions. A region is unmapped (by the
 * reaper, reaper.h) after the last set that holds it was released, so a request that holds a set keeps its
 * buffers mapped.
 *
 * Only regular files of memfd, tmpfs or hugetlbfs are accepted, large enough for the region and, where the
 * kernel allows it, sealed against shrinking. A file that shrinks all the same (tmpfs, hugetlbfs) does
 * not kill us: memory_guard.h puts zeroes under the access and marks the region as lost
 * (guest_memory_lost()); what the kernel touches for us returns EFAULT.
 *
 * A region may be remote: its VMM shares no file of it, and reads and writes it for us when it is asked. It
 * is mapped like the others, on a private copy that is empty until somebody fills it, so that pointers and
 * iovecs mean the same; who uses the region sees to it that the copy is what the guest has, or the other way
 * round.
 */
#ifndef VIADUCT_CORE_GUEST_MEMORY_H
#define VIADUCT_CORE_GUEST_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* QEMU has at most 509 memory slots (KVM's limit); a few more cost nothing. */
#define GUEST_MEMORY_REGIONS_MAX 512

struct guest_region {
	uint64_t guest_address;	/* guest physical, bytes */
	uint64_t size;		/* bytes, > 0 */
	uint64_t user_address;	/* in the VMM's address space: ring addresses are given in it */
	uint8_t *host;		/* where guest_address is mapped here */
	bool remote;		/* there is a private copy */
	struct guest_mapping *mapping;	/* private: shared by the sets that hold the region */
};

/* Sorted by guest_address, no two overlap. */
struct guest_memory {
	unsigned references;	/* private, atomic */
	unsigned count;
	unsigned remotes;	/* how many of them are remote */
	struct guest_region region[];
};

/* What the VMM says of one region. */
struct guest_region_description {
	uint64_t guest_address;
	uint64_t size;
	uint64_t user_address;
	uint64_t file_offset;	/* bytes into the file where the region starts */
};

/* An empty set with one reference; NULL when out of memory. */
struct guest_memory *guest_memory_create(void);

/*
 * A new set = `old` plus one region mapped from `fd`. `fd` stays the caller's. `old` is untouched.
 * Returns 0 and *ret_new (one reference), or:
 *   -EINVAL  zero size, addresses that wrap, overlap (guest or user addresses)
 *   -EBADF   not a regular memory file (memfd, tmpfs, hugetlbfs)
 *   -ERANGE  the file is smaller than file_offset + size
 *   -EACCES  not writable;  -ENOSPC  too many regions;  -ENOMEM
 */
int guest_memory_add(const struct guest_memory *old, const struct guest_region_description *description,
		     int fd, struct guest_memory **ret_new);

/*
 * The same with a remote region, for which there is no file (file_offset is 0). Returns 0, -EINVAL, -ENOSPC
 * or -ENOMEM.
 */
int guest_memory_add_remote(const struct guest_memory *old,
			    const struct guest_region_description *description,
			    struct guest_memory **ret_new);

/* A new set without the region that matches all three numbers; -ENOENT when there is none. */
int guest_memory_remove(const struct guest_memory *old, uint64_t guest_address, uint64_t size,
			uint64_t user_address, struct guest_memory **ret_new);

/*
 * A new set without the regions that have a byte in [guest_address, +size), which does not wrap; NULL when
 * out of memory.
 */
struct guest_memory *guest_memory_without(const struct guest_memory *old, uint64_t guest_address,
					  uint64_t size);

/* References are atomic: any thread. guest_memory_put(NULL) is allowed. */
struct guest_memory *guest_memory_get(struct guest_memory *memory);
void guest_memory_put(struct guest_memory *memory);

/* Did a region of this set lose its file's pages (the VMM truncated the file)? */
bool guest_memory_lost(const struct guest_memory *memory);

/* The region that holds `guest_address`, or NULL. */
const struct guest_region *guest_memory_find(const struct guest_memory *memory, uint64_t guest_address);

/*
 * Host address of [guest_address, +length) when it lies in one region, NULL otherwise (also when it
 * straddles two adjacent regions: see guest_memory_iov).
 */
void *guest_memory_at(const struct guest_memory *memory, uint64_t guest_address, uint64_t length);

/* The same for an address of the VMM's own space, as ring addresses are given (vhost-user). */
void *guest_memory_at_user(const struct guest_memory *memory, uint64_t user_address, uint64_t length);
/* Does [user_address, +length) lie in one region? For callers that need no pointer. */
bool guest_memory_holds_user(const struct guest_memory *memory, uint64_t user_address, uint64_t length);
/* Translates a VMM address to a guest physical one; returns false when it lies in no region. */
bool guest_memory_user_to_guest(const struct guest_memory *memory, uint64_t user_address,
				uint64_t *ret_guest);
/* Guest physical address of a host pointer into this set; false when it points elsewhere. */
bool guest_memory_host_to_guest(const struct guest_memory *memory, const void *host, uint64_t *ret_guest);

/* The region into which a host pointer of this set points, or NULL. */
const struct guest_region *guest_memory_find_host(const struct guest_memory *memory, const void *host);

/* Has one of these pieces of the set, as guest_memory_iov() gives them, a byte in a remote region? */
bool guest_memory_is_remote(const struct guest_memory *memory, const struct iovec *iov, unsigned count);

/* Gives the memory of all private copies back: they are empty again, and nobody uses what was there. */
void guest_memory_empty_copies(const struct guest_memory *memory);

/*
 * Appends the host ranges of [guest_address, +length) to iov; a range across adjacent regions takes
 * several elements. Returns the elements written (0 when length is 0), -EFAULT when a byte lies in no
 * region, -E2BIG when more than `max` elements are needed.
 */
int guest_memory_iov(const struct guest_memory *memory, uint64_t guest_address, uint64_t length,
		     struct iovec *iov, unsigned max);

/* Copies out of guest memory, across regions. Returns 0 or -EFAULT. */
int guest_memory_read(const struct guest_memory *memory, uint64_t guest_address, void *buffer, size_t bytes);

#endif
