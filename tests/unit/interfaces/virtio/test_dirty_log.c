/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fd.h"
#include "core/memory_guard.h"
#include "interfaces/virtio/dirty_log.h"

#define LOG_BYTES 64u
#define OFFSET	  4160u	/* not a whole page */

struct fixture {
	int fd;
	uint8_t *bitmap;
	struct dirty_log *log;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	fixture->fd = fd_memfd("log", 8192);
	fixture->bitmap =
		(uint8_t *)mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fixture->fd, 0) + OFFSET;
	assert_int_equal(dirty_log_open(fixture->fd, OFFSET, LOG_BYTES, &fixture->log), 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	/* Nothing outside the bitmap was ever touched. */
	for (unsigned i = 0; i < 8192; i++)
		if (i < OFFSET || i >= OFFSET + LOG_BYTES)
			assert_int_equal(fixture->bitmap[(int)i - (int)OFFSET], 0);
	dirty_log_put(fixture->log);
	munmap(fixture->bitmap - OFFSET, 8192);
	close(fixture->fd);
	free(fixture);
	return 0;
}

/* The obviously right way: page by page. */
static void mark_naively(uint8_t *bitmap, uint64_t address, uint64_t length)
{
	for (uint64_t page = 0; page < LOG_BYTES * 8; page++) {
		uint64_t first = page * 4096, last = first + 4095;

		if (length > 0 && last >= address && (first <= address || first - address < length))
			bitmap[page / 8] |= (uint8_t)(1 << page % 8);
	}
}

static void known_pages(void **state)
{
	struct fixture *fixture = *state;

	dirty_log_mark(fixture->log, 0, 1);
	assert_int_equal(fixture->bitmap[0], 0x01);
	dirty_log_mark(fixture->log, 4095, 2);
	assert_int_equal(fixture->bitmap[0], 0x03);
	dirty_log_mark(fixture->log, 7 * 4096, 2 * 4096);
	assert_int_equal(fixture->bitmap[0], 0x83);
	assert_int_equal(fixture->bitmap[1], 0x01);
	dirty_log_mark(fixture->log, 5 * 4096, 0);
	assert_int_equal(fixture->bitmap[0], 0x83);
}

static void like_the_naive_way(void **state)
{
	struct fixture *fixture = *state;
	uint8_t expected[LOG_BYTES];
	unsigned seed = 20240811;

	for (unsigned round = 0; round < 20000; round++) {
		uint64_t address = (uint64_t)(rand_r(&seed) % (int)(LOG_BYTES * 8 * 4096 + 8192));
		uint64_t length = (uint64_t)(rand_r(&seed) % (round % 2 ? 9000 : 900000));

		memset(fixture->bitmap, 0, LOG_BYTES);
		memset(expected, 0, sizeof(expected));
		mark_naively(expected, address, length);
		dirty_log_mark(fixture->log, address, length);
		if (memcmp(expected, fixture->bitmap, LOG_BYTES) != 0)
			fail_msg("seed 20240811 round %u: %#lx + %#lx", round, (unsigned long)address,
				 (unsigned long)length);
	}
}

static void beyond_the_end(void **state)
{
	struct fixture *fixture = *state;
	uint64_t end = LOG_BYTES * 8 * 4096ull;

	dirty_log_mark(fixture->log, end, 4096);
	dirty_log_mark(fixture->log, UINT64_MAX, 1);
	dirty_log_mark(fixture->log, UINT64_MAX - 10, UINT64_MAX);
	for (unsigned i = 0; i < LOG_BYTES; i++)
		assert_int_equal(fixture->bitmap[i], 0);
	dirty_log_mark(fixture->log, end - 1, UINT64_MAX);
	assert_int_equal(fixture->bitmap[LOG_BYTES - 1], 0x80);
}

static void opening(void **state)
{
	struct fixture *fixture = *state;
	struct dirty_log *log = NULL;
	int pipes[2];

	assert_int_equal(dirty_log_open(fixture->fd, 0, 0, &log), -EINVAL);
	assert_int_equal(dirty_log_open(fixture->fd, UINT64_MAX, 1, &log), -EINVAL);
	assert_int_equal(dirty_log_open(fixture->fd, 1, UINT64_MAX, &log), -EINVAL);
	assert_int_equal(dirty_log_open(fixture->fd, 8192, 1, &log), -ERANGE);
	assert_int_equal(dirty_log_open(fixture->fd, 0, 8193, &log), -ERANGE);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(dirty_log_open(pipes[0], 0, 4096, &log), -EBADF);
	assert_null(log);
	close(pipes[0]);
	close(pipes[1]);
}

static void references(void **state)
{
	struct fixture *fixture = *state;

	dirty_log_put(dirty_log_get(fixture->log));
	dirty_log_mark(fixture->log, 0, 1);
	assert_int_equal(fixture->bitmap[0], 1);
	dirty_log_put(NULL);
}

/* A file on tmpfs cannot be sealed: truncated, it costs the VMM its log and us nothing. */
static void truncated_file(void **state)
{
	char path[] = "/dev/shm/viaduct-test-XXXXXX";
	int fd = mkstemp(path);
	struct dirty_log *log;

	/* Here, because cmocka puts handlers of its own in place before each test. */
	assert_int_equal(memory_guard_install(), 0);
	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(dirty_log_open(fd, 0, 4096, &log), 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	dirty_log_mark(log, 0, 4096);
	dirty_log_put(log);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(known_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(like_the_naive_way, setup, teardown),
		cmocka_unit_test_setup_teardown(beyond_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(opening, setup, teardown),
		cmocka_unit_test_setup_teardown(references, setup, teardown),
		cmocka_unit_test(truncated_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
