/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/guest_memory.h"
#include "core/memory_guard.h"

#define PAGE 4096u

static int make_file(size_t bytes, unsigned flags)
{
	int fd = memfd_create("test", flags);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

static struct guest_memory *add(struct guest_memory *old, uint64_t guest, uint64_t size, uint64_t user,
				uint64_t offset, int fd)
{
	struct guest_region_description description = { guest, size, user, offset };
	struct guest_memory *memory = NULL;

	assert_int_equal(guest_memory_add(old, &description, fd, &memory), 0);
	guest_memory_put(old);
	return memory;
}

static void test_translation_within_and_across_regions(void **state)
{
	int fd = make_file(8 * PAGE, MFD_CLOEXEC);
	struct guest_memory *memory = guest_memory_create();
	struct iovec iov[4];
	uint64_t guest;
	char text[8];

	/* Two regions adjacent in guest memory, swapped in the file; a third one apart. */
	memory = add(memory, 0x10000, PAGE, 0x7000000, 0, fd);
	memory = add(memory, 0x11000, PAGE, 0x9000000, 4 * PAGE + 512, fd);
	memory = add(memory, 0x8000, PAGE, 0x5000000, 2 * PAGE, fd);
	assert_int_equal(memory->count, 3);

	assert_non_null(guest_memory_at(memory, 0x10000, PAGE));
	assert_null(guest_memory_at(memory, 0x10000, PAGE + 1));
	assert_null(guest_memory_at(memory, 0x9000, 1));
	assert_null(guest_memory_at(memory, UINT64_MAX, 2));
	assert_int_equal(guest_memory_iov(memory, 0x10ff0, 0x20, iov, 4), 2);
	assert_int_equal(iov[0].iov_len, 0x10);
	assert_int_equal(iov[1].iov_len, 0x10);
	assert_int_equal(guest_memory_iov(memory, 0x10ff0, 0x20, iov, 1), -E2BIG);
	assert_int_equal(guest_memory_iov(memory, 0x11ff0, 0x20, iov, 4), -EFAULT);
	assert_int_equal(guest_memory_iov(memory, 0x10000, 0, iov, 4), 0);

	memcpy(iov[0].iov_base, "abcd", 4);
	guest_memory_iov(memory, 0x10ffc, 8, iov, 4);
	memcpy(iov[0].iov_base, "wxyz", 4);
	memcpy(iov[1].iov_base, "1234", 4);
	assert_int_equal(guest_memory_read(memory, 0x10ffc, text, 8), 0);
	assert_memory_equal(text, "wxyz1234", 8);

	assert_ptr_equal(guest_memory_at_user(memory, 0x9000010, 4), guest_memory_at(memory, 0x11010, 4));
	assert_true(guest_memory_user_to_guest(memory, 0x9000010, &guest));
	assert_int_equal(guest, 0x11010);
	assert_true(guest_memory_host_to_guest(memory, guest_memory_at(memory, 0x8123, 1), &guest));
	assert_int_equal(guest, 0x8123);
	guest_memory_put(memory);
	close(fd);
}

static void test_bad_regions_are_refused(void **state)
{
	int fd = make_file(2 * PAGE, MFD_CLOEXEC), zero = open("/dev/zero", O_RDWR), pipes[2];
	struct guest_memory *memory = guest_memory_create(), *none = NULL;
	struct guest_region_description description = { 0, PAGE, 0x1000, 0 };

	memory = add(memory, 0x1000, PAGE, 0x100000, 0, fd);
	assert_int_equal(pipe(pipes), 0);
#define REFUSED(error, file, ...)                                                                            \
	do {                                                                                                 \
		description = (struct guest_region_description){ __VA_ARGS__ };                              \
		assert_int_equal(guest_memory_add(memory, &description, (file), &none), (error));            \
		assert_null(none);                                                                           \
	} while (0)
	REFUSED(-EINVAL, fd, 0x1000, PAGE, 0x200000, 0); /* overlaps in guest addresses */
	REFUSED(-EINVAL, fd, 0x9000, PAGE, 0x100fff, 0); /* overlaps in user addresses */
	REFUSED(-EINVAL, fd, 0x9000, 0, 0x200000, 0);
	REFUSED(-EINVAL, fd, UINT64_MAX - 10, PAGE, 0x200000, 0);
	REFUSED(-EINVAL, fd, 0x9000, PAGE, 0x200000, UINT64_MAX - 5);
	REFUSED(-ERANGE, fd, 0x9000, PAGE, 0x200000, PAGE + 1);
	REFUSED(-ERANGE, fd, 0x9000, 1ull << 62, 0x200000, 0);
	REFUSED(-EBADF, zero, 0x9000, PAGE, 0x200000, 0);
	REFUSED(-EBADF, pipes[0], 0x9000, PAGE, 0x200000, 0);
	guest_memory_put(memory);
	close(fd);
	close(zero);
	close(pipes[0]);
	close(pipes[1]);
}

static void test_generations_share_and_outlive(void **state)
{
	int fd = make_file(4 * PAGE, MFD_CLOEXEC);
	struct guest_memory *first = guest_memory_create(), *second = NULL;
	uint8_t *host;

	first = add(first, 0, PAGE, 0x10000, 0, fd);
	first = add(first, PAGE, PAGE, 0x20000, PAGE, fd);
	host = guest_memory_at(first, PAGE, 1);
	assert_int_equal(guest_memory_remove(first, 0, PAGE, 0x10001, &second), -ENOENT);
	assert_int_equal(guest_memory_remove(first, 0, PAGE, 0x10000, &second), 0);
	assert_ptr_equal(guest_memory_at(second, PAGE, 1), host);
	assert_null(guest_memory_at(second, 0, 1));
	guest_memory_put(first);
	*host = 42;
	assert_int_equal(*host, 42);
	guest_memory_put(second);
	close(fd);
}

static void test_truncated_file_reads_zero_and_is_noticed(void **state)
{
	/* Without MFD_ALLOW_SEALING the file cannot be sealed: only the guard protects us. */
	int fd = make_file(4 * PAGE, MFD_CLOEXEC);
	struct guest_memory *memory = guest_memory_create();
	volatile uint8_t *host;

	assert_int_equal(memory_guard_install(), 0);
	memory = add(memory, 0, 4 * PAGE, 0x10000, 0, fd);
	host = guest_memory_at(memory, 3 * PAGE, 1);
	*host = 7;
	assert_false(guest_memory_lost(memory));
	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_int_equal(*host, 0);
	assert_true(guest_memory_lost(memory));
	*host = 9;
	guest_memory_put(memory);
	close(fd);
}

static void test_sealable_file_is_sealed(void **state)
{
	int fd = make_file(4 * PAGE, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct guest_memory *memory = add(guest_memory_create(), 0, 4 * PAGE, 0x10000, 0, fd);

	assert_int_equal(ftruncate(fd, PAGE), -1);
	guest_memory_put(memory);
	close(fd);
}

static struct guest_memory *add_remote(struct guest_memory *old, uint64_t guest, uint64_t size)
{
	struct guest_region_description description = { guest, size, guest, 0 };
	struct guest_memory *memory = NULL;

	assert_int_equal(guest_memory_add_remote(old, &description, &memory), 0);
	guest_memory_put(old);
	return memory;
}

static void test_remote_regions(void **state)
{
	struct guest_region_description wrong[] = { { 0x10000, 0, 0, 0 },
						    { 0x10000, 2 * PAGE, 0x10000, 0 },
						    { UINT64_MAX, PAGE, 0, 0 } };
	int fd = make_file(4 * PAGE, MFD_CLOEXEC);
	struct guest_memory *memory = add(guest_memory_create(), 0x10000, 4 * PAGE, 0x10000, 0, fd), *rest;
	struct iovec iov[3];
	uint64_t guest;
	uint8_t *at;

	assert_false(guest_memory_is_remote(memory, iov, 0));
	memory = add_remote(memory, 0x14000, 4 * PAGE);
	memory = add_remote(memory, 0x4000000000, 1ull << 40);
	assert_int_equal(memory->remotes, 2);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(guest_memory_add_remote(memory, &wrong[i], &rest), -EINVAL);

	/* A range across the border has both kinds. */
	assert_int_equal(guest_memory_iov(memory, 0x13ff0, 0x20, iov, 3), 2);
	assert_false(guest_memory_is_remote(memory, iov, 1));
	assert_true(guest_memory_is_remote(memory, iov, 2));
	assert_true(guest_memory_find_host(memory, iov[1].iov_base)->remote);
	assert_true(guest_memory_host_to_guest(memory, iov[1].iov_base, &guest));
	assert_int_equal(guest, 0x14000);
	assert_null(guest_memory_find_host(memory, &memory));

	/* Copies are empty, hold what is written, and are empty again. */
	at = guest_memory_at(memory, 0x4000000000 + (1ull << 39), 8);
	assert_int_equal(at[0], 0);
	at[0] = 1;
	*(uint8_t *)iov[0].iov_base = 2;
	guest_memory_empty_copies(memory);
	assert_int_equal(at[0], 0);
	assert_int_equal(*(uint8_t *)iov[0].iov_base, 2);
	assert_false(guest_memory_lost(memory));

	/* Sets without them. */
	rest = guest_memory_without(memory, 0x14000, 1);
	assert_int_equal(rest->remotes, 1);
	guest_memory_put(memory);
	assert_int_equal(guest_memory_remove(rest, 0x4000000000, 1ull << 40, 0x4000000000, &memory), 0);
	assert_int_equal(memory->remotes, 0);
	guest_memory_put(rest);
	guest_memory_put(memory);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_translation_within_and_across_regions),
		cmocka_unit_test(test_bad_regions_are_refused),
		cmocka_unit_test(test_generations_share_and_outlive),
		cmocka_unit_test(test_truncated_file_reads_zero_and_is_noticed),
		cmocka_unit_test(test_sealable_file_is_sealed),
		cmocka_unit_test(test_remote_regions),
	};

	return cmocka_run_group_tests_name("guest_memory", tests, NULL, NULL);
}
