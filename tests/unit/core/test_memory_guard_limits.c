/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What one guest can do to the guard that all share: fault again and again, and take all the room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/guest_memory.h"
#include "core/memory_guard.h"

#define PAGE	     4096u
/* Every second page: none joins its neighbour, so each would cost the process two mappings of its 65530. */
#define FAULTS	     70000u
#define GIB	     (1ull << 30)

/* A file that nobody can seal, and that shrinks under us. */
static int shrinking_file(size_t bytes)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

static void test_faults_do_not_use_up_mappings(void **state)
{
	struct guest_region_description description = { .size = 2ull * FAULTS * PAGE };
	struct guest_memory *none = guest_memory_create(), *memory;
	int fd = shrinking_file(description.size);
	volatile uint8_t *host;

	/* cmocka has handlers of its own while a test runs. */
	assert_int_equal(memory_guard_install(), 0);
	assert_int_equal(guest_memory_add(none, &description, fd, &memory), 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	host = memory->region[0].host;
	for (size_t i = 0; i < FAULTS; i++)
		assert_int_equal(host[2 * i * PAGE], 0);
	assert_true(guest_memory_lost(memory));
	guest_memory_put(memory);
	guest_memory_put(none);
	close(fd);
}

/* Guards addresses that are never touched: `count` of them, `bytes` each. */
static unsigned take(unsigned count, size_t bytes, bool *lost)
{
	unsigned taken = 0;

	for (unsigned i = 0; i < count; i++)
		if (memory_guard_admits(taken, taken * (unsigned long long)bytes, bytes) &&
		    memory_guard_add((void *)((uintptr_t)(i + 1) << 47 | PAGE), bytes, PAGE, lost) == 0)
			taken++;
	return taken;
}

static void give_back(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		memory_guard_remove((void *)((uintptr_t)(i + 1) << 47 | PAGE));
}

static void test_one_owner_leaves_mappings_for_others(void **state)
{
	bool lost = false;
	unsigned taken = take(20000, PAGE, &lost);

	assert_in_range(taken, 4096, 19999);
	assert_true(memory_guard_admits(0, 0, 4 * GIB));
	assert_true(memory_guard_admits(32, 64 * GIB, GIB));
	assert_false(memory_guard_admits(509, 64 * GIB, GIB));
	give_back(20000);
	assert_true(memory_guard_admits(509, 64 * GIB, GIB));
}

static void test_one_owner_leaves_addresses_for_others(void **state)
{
	bool lost = false;
	unsigned taken = take(100, 1024 * GIB, &lost);

	assert_in_range(taken, 16, 64);
	assert_true(memory_guard_admits(1, GIB, 64 * GIB));
	assert_false(memory_guard_admits(1, 300 * GIB, 1024 * GIB));
	assert_false(memory_guard_admits(0, 0, UINT64_MAX));
	give_back(100);
	assert_false(memory_guard_admits(0, 0, 100ull << 40));
	assert_true(memory_guard_admits(1, 300 * GIB, 1024 * GIB));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_faults_do_not_use_up_mappings),
		cmocka_unit_test(test_one_owner_leaves_mappings_for_others),
		cmocka_unit_test(test_one_owner_leaves_addresses_for_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
