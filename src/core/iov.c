/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/iov.h"

#include <assert.h>
#include <string.h>

/* Walks [offset, offset + bytes) of the iovecs and does `copy` with each contiguous part. */
#define IOV_WALK(iov, count, offset, bytes, at, part, statement)                                             \
	size_t walked = 0;                                                                                   \
	for (unsigned i = 0; i < (count) && walked < (bytes); i++) {                                         \
		size_t part;                                                                                 \
		uint8_t *at;                                                                                 \
		if ((offset) >= (iov)[i].iov_len) {                                                          \
			(offset) -= (iov)[i].iov_len;                                                        \
			continue;                                                                            \
		}                                                                                            \
		at = (uint8_t *)(iov)[i].iov_base + (offset);                                                \
		part = (iov)[i].iov_len - (offset);                                                          \
		if (part > (bytes) - walked)                                                                 \
			part = (bytes) - walked;                                                             \
		statement;                                                                                   \
		walked += part;                                                                              \
		(offset) = 0;                                                                                \
	}                                                                                                    \
	return walked

/* The bytes may be another party's: what the caller looks at is this copy, also when it is inlined. */
size_t iov_copy_out(const struct iovec *iov, unsigned count, size_t offset, void *buffer, size_t bytes)
{
	IOV_WALK(iov, count, offset, bytes, at, part, memcpy((uint8_t *)buffer + walked, at, part);
		 __asm__ __volatile__("" ::: "memory"));
}

size_t iov_copy_in(const struct iovec *iov, unsigned count, size_t offset, const void *buffer, size_t bytes)
{
	IOV_WALK(iov, count, offset, bytes, at, part, memcpy(at, (const uint8_t *)buffer + walked, part));
}

size_t iov_zero(const struct iovec *iov, unsigned count, size_t offset, size_t bytes)
{
	IOV_WALK(iov, count, offset, bytes, at, part, memset(at, 0, part));
}

void iov_window_open(struct iov_window *window, struct iovec *iov, unsigned count, size_t offset,
		     size_t bytes)
{
	struct iovec *first = iov, *last;

	assert(bytes > 0);
	assert(count > 0);
	while (offset >= first->iov_len) {
		offset -= first->iov_len;
		first++;
		assert(first < iov + count);
	}
	window->iov = first;
	window->saved_first = *first;
	first->iov_base = (uint8_t *)first->iov_base + offset;
	first->iov_len -= offset;

	last = first;
	while (bytes > last->iov_len) {
		bytes -= last->iov_len;
		last++;
		assert(last < iov + count);
	}
	window->saved_last = *last;
	last->iov_len = bytes;
	window->count = (unsigned)(last - first) + 1;
}

/* The last element is restored first: when the window has one element, saved_first is the whole truth. */
void iov_window_close(struct iov_window *window)
{
	assert(window->count > 0);
	window->iov[window->count - 1] = window->saved_last;
	window->iov[0] = window->saved_first;
	window->count = 0;
}
