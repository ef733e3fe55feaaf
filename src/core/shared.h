/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accessors for memory that another party writes at the same time: rings, descriptor tables, INFLIGHT
 * buffers. A value is read exactly once into a private variable and only that copy is looked at
 * afterwards; a plain load could be repeated by the compiler between the check and the use.
 *
 * Everything in virtio 1.x is little-endian; so is every host this code is built for (asserted below).
 * The accessors tolerate no misalignment: callers prove natural alignment when they map the structure.
 */
#ifndef VIADUCT_CORE_SHARED_H
#define VIADUCT_CORE_SHARED_H

#include <assert.h>
#include <stdint.h>
#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "shared-memory formats are little-endian");

/* One load; no ordering. */
#define shared_read(pointer) __atomic_load_n((pointer), __ATOMIC_RELAXED)
/* One store; no ordering. */
#define shared_write(pointer, value) __atomic_store_n((pointer), (value), __ATOMIC_RELAXED)
/* A load that no later access may pass; each use names the store it pairs with. */
#define shared_read_acquire(pointer) __atomic_load_n((pointer), __ATOMIC_ACQUIRE)
/* A store that no earlier access may pass; each use names the load it pairs with. */
#define shared_write_release(pointer, value) __atomic_store_n((pointer), (value), __ATOMIC_RELEASE)
/* Full barrier: between "I published" and "did the other side ask for a notification?". */
#define shared_fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)

/* Copies bytes out of shared memory. The destination is private: what is checked is what is used. */
static inline void shared_copy_in(void *private_copy, const volatile void *shared_bytes, size_t bytes)
{
	memcpy(private_copy, (const void *)shared_bytes, bytes);
	__asm__ __volatile__("" ::: "memory");
}

#endif
