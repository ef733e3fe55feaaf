/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory that a front end shares: one memory file, mapped at a 2 MiB boundary. With huge pages, a
 * buffer of 128 KiB is one physical extent for the disk instead of 32.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/checked.h"
#include "core/fd.h"
#include "frontend/frontend_private.h"

#define HUGE_PAGE_BYTES ((size_t)2 << 20)

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* Maps fd at a multiple of 2 MiB, inside a reservation that is cut to size. Returns NULL when it cannot. */
static uint8_t *map_aligned(int fd, size_t bytes)
{
	size_t reserved = bytes + HUGE_PAGE_BYTES, before;
	uint8_t *base = mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return NULL;
	before = align_up((uintptr_t)base, HUGE_PAGE_BYTES) - (uintptr_t)base;
	if (before > 0)
		munmap(base, before);
	munmap(base + before + bytes, reserved - before - bytes);
	if (mmap(base + before, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
		int error = errno;

		munmap(base + before, bytes);
		errno = error;
		return NULL;
	}
	return base + before;
}

/* Pages of the reserved pool; fails when the host has none to give. */
static int create_huge(struct frontend_memory_area *area)
{
	area->fd =
	    memfd_create("viaduct-guest", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_HUGE_2MB);
	if (area->fd < 0)
		return -errno;
	if (ftruncate(area->fd, (off_t)area->bytes) == 0 &&
	    fcntl(area->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0)
		area->base = map_aligned(area->fd, area->bytes);
	if (area->base)
		return 0;
	fd_close(&area->fd);
	return -ENOMEM;
}

int frontend_memory_create(struct frontend_memory_area *area, size_t bytes, bool huge_pages)
{
	*area = (struct frontend_memory_area){.fd = -1, .bytes = align_up(bytes, HUGE_PAGE_BYTES)};
	if (huge_pages && create_huge(area) == 0)
		return 0;
	area->fd = fd_memfd("viaduct-guest", area->bytes);
	if (area->fd < 0)
		return area->fd;
	area->base = map_aligned(area->fd, area->bytes);
	if (!area->base) {
		int error = -errno;

		fd_close(&area->fd);
		return error;
	}
	if (huge_pages) {
		/* Best effort: a kernel without either leaves small pages, which work as well. */
		madvise(area->base, area->bytes, MADV_POPULATE_WRITE);
		madvise(area->base, area->bytes, MADV_COLLAPSE);
	}
	return 0;
}

void frontend_memory_destroy(struct frontend_memory_area *area)
{
	if (area->base)
		munmap(area->base, area->bytes);
	area->base = NULL;
	fd_close(&area->fd);
}
