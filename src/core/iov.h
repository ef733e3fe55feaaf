/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Arithmetic on struct iovec arrays. Nothing here allocates. */
#ifndef VIADUCT_CORE_IOV_H
#define VIADUCT_CORE_IOV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Sum of the lengths; the caller knows that it fits (a chain is bounded to 4 GiB). */
static inline uint64_t iov_bytes(const struct iovec *iov, unsigned count)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < count; i++)
		bytes += iov[i].iov_len;
	return bytes;
}

/* Copies up to `bytes` bytes out of / into the iovecs from `offset` on; returns the bytes copied. */
size_t iov_copy_out(const struct iovec *iov, unsigned count, size_t offset, void *buffer, size_t bytes);
size_t iov_copy_in(const struct iovec *iov, unsigned count, size_t offset, const void *buffer, size_t bytes);

/* Fills the iovecs with zeroes from `offset` on, `bytes` at most; returns the bytes filled. */
size_t iov_zero(const struct iovec *iov, unsigned count, size_t offset, size_t bytes);

/*
 * A window on an array of iovecs, cut to a byte range in place: the first and last element are shortened
 * and restored by iov_window_close(). Lets one request be carried out in pieces without a copy.
 */
struct iov_window {
	struct iovec *iov;	/* first element of the window */
	unsigned count;
	struct iovec saved_first, saved_last;
};

/* [offset, offset + bytes) must lie inside the array and bytes > 0. One window at a time per array. */
void iov_window_open(struct iov_window *window, struct iovec *iov, unsigned count, size_t offset,
		     size_t bytes);
void iov_window_close(struct iov_window *window);

#endif
