/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's memory as a VMM maps it, beside a naive model, to be included by one program: for each page,
 * whether it is known and which page of which file is reached there. Each page of a file begins with a word
 * that says which it is.
 */
#ifndef VIADUCT_TESTS_VFIO_USER_DMA_BENCH_H
#define VIADUCT_TESTS_VFIO_USER_DMA_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/fd.h"
#include "core/guest_memory.h"
#include "core/handover.h"
#include "core/memory_guard.h"
#include "interfaces/vfio_user/vfio_user_dma.h"
#include "patience.h"
#include "test_disk.h"

#define PAGE	   4096ull
#define PAGES	   48u /* of the guest that the model knows */
#define FILES	   3u
#define FILE_PAGES 64u
#define BASE	   0x100000000ull
#define READ_WRITE (VFIO_USER_DMA_READABLE | VFIO_USER_DMA_WRITABLE)
/* What the model says of a page besides a word of a file. */
#define UNMAPPED 0u
#define KNOWN	 1u /* without being reached */

static struct vfio_user_dma dma;
static int files[FILES];
static uint64_t expected[PAGES];
static unsigned fds_before;

static inline uint64_t word_of(unsigned file, uint64_t page)
{
	return 0xf11e000000000000 + ((uint64_t)file << 32) + page;
}

static inline unsigned count_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static inline int setup(void **state)
{
	memory_guard_install();
	for (unsigned i = 0; i < FILES; i++) {
		files[i] = fd_memfd("ram", FILE_PAGES * PAGE);
		for (uint64_t page = 0; page < FILE_PAGES; page++) {
			uint64_t word = word_of(i, page);

			assert_int_equal(pwrite(files[i], &word, sizeof(word), (off_t)(page * PAGE)),
					 sizeof(word));
		}
	}
	fds_before = count_fds();
	memset(&dma, 0, sizeof(dma));
	memset(expected, 0, sizeof(expected));
	assert_int_equal(vfio_user_dma_init(&dma), 0);
	return 0;
}

/* Nothing is left: no descriptor, no mapping that is guarded for nobody. */
static inline int teardown(void **state)
{
	vfio_user_dma_finish(&dma);
	vfio_user_dma_finish(&dma);
	assert_int_equal(count_fds(), fds_before);
	for (unsigned i = 0; i < FILES; i++)
		close(files[i]);
	return 0;
}

/* ---- what is there ---- */

static inline uint64_t found_at(const struct guest_memory *memory, uint64_t address)
{
	const void *at = guest_memory_at(memory, address, PAGE);
	uint64_t word = 0;

	if (at)
		memcpy(&word, at, sizeof(word));
	return word;
}

static inline bool is_known(uint64_t address)
{
	for (unsigned i = 0; i < dma.count; i++)
		if (address - dma.range[i].address < dma.range[i].size)
			return true;
	return false;
}

static inline uint64_t state_of(unsigned page)
{
	uint64_t word = found_at(dma.memory, BASE + page * PAGE);

	return word ? word : is_known(BASE + page * PAGE) ? KNOWN : UNMAPPED;
}

/* The ranges are in order and apart, and each page is what the model says. */
static inline void check(void)
{
	bool any = false;

	for (unsigned i = 1; i < dma.count; i++)
		assert_true(dma.range[i - 1].address + dma.range[i - 1].size <= dma.range[i].address);
	for (unsigned page = 0; page < PAGES; page++) {
		assert_true(state_of(page) == expected[page]);
		any |= expected[page] > KNOWN;
	}
	assert_null(guest_memory_find(dma.memory, BASE - 1));
	assert_null(guest_memory_find(dma.memory, BASE + PAGES * PAGE));
	assert_int_equal(vfio_user_dma_is_private(&dma), dma.count > 0 && !any);
}

/* ---- what a VMM does ---- */

static inline int map_bytes(uint64_t address, uint64_t size, uint64_t offset, uint32_t flags, int file)
{
	const struct vfio_user_dma_map map = {
		.argsz = sizeof(map),
		.flags = flags,
		.offset = offset,
		.address = address,
		.size = size,
	};
	int fd = file < 0 ? -1 : fcntl(file, F_DUPFD_CLOEXEC, 0), error = vfio_user_dma_map(&dma, &map, &fd);

	fd_close(&fd);
	return error;
}

static inline int map(unsigned from, unsigned pages, int file, unsigned offset)
{
	int error = map_bytes(BASE + from * PAGE, pages * PAGE, offset * PAGE, READ_WRITE,
			      file < 0 ? -1 : files[file]);

	for (unsigned i = 0; i < pages && !error; i++)
		expected[from + i] = file < 0 ? KNOWN : word_of((unsigned)file, offset + i);
	return error;
}

static inline int unmap(unsigned from, unsigned pages)
{
	int error = vfio_user_dma_unmap(&dma, BASE + from * PAGE, pages * PAGE);

	for (unsigned i = 0; i < pages && !error; i++)
		expected[from + i] = UNMAPPED;
	return error;
}

#endif
