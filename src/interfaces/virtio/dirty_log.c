/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/virtio/dirty_log.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/checked.h"
#include "core/container.h"
#include "core/memory_guard.h"
#include "core/reaper.h"

/* 4 GiB of bitmap cover 128 TiB of guest memory, more than an x86 guest can address. */
#define DIRTY_LOG_BYTES_MAX (4ull << 30)
#define PAGES_PER_BYTE	    8u

struct dirty_log {
	struct reaper_job job;
	unsigned references;	/* atomic */
	bool lost;		/* the VMM truncated the file: marks go nowhere, and so does its migration */
	uint8_t *bitmap;
	uint64_t bytes;
	void *mapping;		/* page-aligned; bitmap lies inside */
	size_t mapping_bytes;
};

static int map_log(struct dirty_log *log, int fd, uint64_t offset, uint64_t bytes, size_t page_bytes)
{
	uint64_t start = align_down(offset, page_bytes);
	int error;

	log->mapping_bytes = align_up(offset - start + bytes, page_bytes);
	log->mapping = mmap(NULL, log->mapping_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)start);
	if (log->mapping == MAP_FAILED)
		return errno == EACCES ? -EBADF : -ENOMEM;
	error = memory_guard_add(log->mapping, log->mapping_bytes, page_bytes, &log->lost);
	if (error) {
		munmap(log->mapping, log->mapping_bytes);
		return -ENOMEM;
	}
	log->bitmap = (uint8_t *)log->mapping + (offset - start);
	log->bytes = bytes;
	return 0;
}

int dirty_log_open(int fd, uint64_t offset, uint64_t bytes, struct dirty_log **ret_log)
{
	struct dirty_log *log;
	uint64_t end;
	long page_bytes;
	int error;

	if (bytes == 0 || bytes > DIRTY_LOG_BYTES_MAX || !checked_add(offset, bytes, &end) || end > INT64_MAX)
		return -EINVAL;
	page_bytes = memory_file_accept(fd, end);
	if (page_bytes < 0)
		return (int)page_bytes;
	log = calloc(1, sizeof(*log));
	if (!log)
		return -ENOMEM;
	log->references = 1;
	error = map_log(log, fd, offset, bytes, (size_t)page_bytes);
	if (error) {
		free(log);
		return error;
	}
	*ret_log = log;
	return 0;
}

struct dirty_log *dirty_log_get(struct dirty_log *log)
{
	__atomic_fetch_add(&log->references, 1, __ATOMIC_RELAXED);
	return log;
}

static void destroy(struct reaper_job *job)
{
	struct dirty_log *log = container_of(job, struct dirty_log, job);

	memory_guard_remove(log->mapping);
	munmap(log->mapping, log->mapping_bytes);
	free(log);
}

void dirty_log_put(struct dirty_log *log)
{
	if (!log || __atomic_sub_fetch(&log->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	log->job.run = destroy;
	reaper_give(&log->job);
}

/* Bits first … last of one byte; pairs with the VMM's atomic exchange, which then copies the pages. */
static void mark_byte(struct dirty_log *log, uint64_t byte, unsigned first, unsigned last)
{
	uint8_t mask = (uint8_t)((0xffu << first) & (0xffu >> (PAGES_PER_BYTE - 1 - last)));

	__atomic_fetch_or(&log->bitmap[byte], mask, __ATOMIC_SEQ_CST);
}

void dirty_log_mark(struct dirty_log *log, uint64_t guest_address, uint64_t length)
{
	uint64_t page = guest_address / DIRTY_LOG_PAGE_BYTES, last_page, pages = log->bytes * PAGES_PER_BYTE;

	if (length == 0 || page >= pages)
		return;
	if (!checked_add(guest_address, length - 1, &last_page))
		last_page = UINT64_MAX;
	last_page /= DIRTY_LOG_PAGE_BYTES;
	if (last_page >= pages)
		last_page = pages - 1;
	while (page <= last_page) {
		uint64_t byte_end = page | (PAGES_PER_BYTE - 1);
		uint64_t end = byte_end < last_page ? byte_end : last_page;

		mark_byte(log, page / PAGES_PER_BYTE, page % PAGES_PER_BYTE, end % PAGES_PER_BYTE);
		page = end + 1;
	}
}
