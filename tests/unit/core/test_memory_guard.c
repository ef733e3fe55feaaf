/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each test installs the handler, because cmocka puts its own in its place before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/memory_guard.h"
#include "patience.h"

#define PAGE  4096u
#define PAGES 8u

struct fixture {
	int fd;
	uint8_t *bytes;
	bool lost;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	assert_non_null(fixture);
	fixture->fd = memfd_create("guarded", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fixture->fd, PAGES * PAGE), 0);
	fixture->bytes = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fixture->fd, 0);
	assert_ptr_not_equal(fixture->bytes, MAP_FAILED);
	assert_int_equal(memory_guard_add(fixture->bytes, PAGES * PAGE, PAGE, &fixture->lost), 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	memory_guard_remove(fixture->bytes);
	munmap(fixture->bytes, PAGES * PAGE);
	close(fixture->fd);
	free(fixture);
	return 0;
}

static volatile uint8_t *at(struct fixture *fixture, unsigned page)
{
	return fixture->bytes + page * PAGE + 17;
}

static void a_lost_page_reads_as_zeroes(void **state)
{
	struct fixture *fixture = *state;
	unsigned faults = memory_guard_faults();

	assert_int_equal(memory_guard_install(), 0);
	for (unsigned page = 0; page < PAGES; page++)
		*at(fixture, page) = (uint8_t)(page + 1);
	assert_int_equal(ftruncate(fixture->fd, 3 * PAGE), 0);
	assert_int_equal(*at(fixture, 2), 3);
	assert_false(fixture->lost);
	assert_int_equal(memory_guard_faults(), faults);

	assert_int_equal(*at(fixture, 5), 0);
	assert_true(fixture->lost);
	assert_int_equal(memory_guard_faults(), faults + 1);
	/* The page is private now: it can be written, and costs no second fault. */
	*at(fixture, 5) = 9;
	assert_int_equal(*at(fixture, 5), 9);
	assert_int_equal(memory_guard_faults(), faults + 1);
	/* What the file still has is the file's. */
	assert_int_equal(*at(fixture, 2), 3);
}

static void a_write_is_served_too(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(memory_guard_install(), 0);
	assert_int_equal(ftruncate(fixture->fd, 0), 0);
	*at(fixture, 0) = 5;
	assert_true(fixture->lost);
	assert_int_equal(*at(fixture, 0), 5);
}

static void only_the_owner_is_told(void **state)
{
	struct fixture *fixture = *state;
	struct fixture *other;
	void *second;

	assert_int_equal(memory_guard_install(), 0);
	assert_int_equal(setup(&second), 0);
	other = second;
	assert_int_equal(ftruncate(other->fd, 0), 0);
	assert_int_equal(*at(other, 1), 0);
	assert_true(other->lost);
	assert_false(fixture->lost);
	teardown(&second);
}

/* In a child: SIGBUS has its default action again once the guard is gone. */
static void an_unguarded_mapping_is_nobodys_business(void **state)
{
	struct fixture *fixture = *state;
	int status;
	pid_t child = fork();

	assert_int_equal(memory_guard_install(), 0);
	if (child == 0) {
		struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		alarm(HANG_NS / NS_PER_S);
		memory_guard_remove(fixture->bytes);
		if (ftruncate(fixture->fd, 0) == 0)
			*at(fixture, 0) = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
}

/* The sanitizer takes the guard's mmap for a write to what is read here; the race is the test. */
__attribute__((no_sanitize("thread"))) static void *touch(void *argument)
{
	struct fixture *fixture = argument;

	for (unsigned page = 0; page < PAGES; page++)
		(void)*at(fixture, page);
	return NULL;
}

static void threads_fault_together(void **state)
{
	struct fixture *fixture = *state;
	pthread_t threads[4];

	assert_int_equal(memory_guard_install(), 0);
	assert_int_equal(ftruncate(fixture->fd, 0), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, touch, fixture), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_true(__atomic_load_n(&fixture->lost, __ATOMIC_ACQUIRE));
	for (unsigned page = 0; page < PAGES; page++)
		assert_int_equal(*at(fixture, page), 0);
}

static void guards_run_out(void **state)
{
	static uint8_t places[20000];
	unsigned added = 0;
	bool lost;

	while (added < sizeof(places) && memory_guard_add(&places[added], 1, 1, &lost) == 0)
		added++;
	assert_true(added > 512 && added < sizeof(places));
	assert_int_equal(memory_guard_add(&places[added], 1, 1, &lost), -ENOSPC);
	/* A place given back can be taken again. */
	memory_guard_remove(&places[added / 2]);
	assert_int_equal(memory_guard_add(&places[added / 2], 1, 1, &lost), 0);
	for (unsigned i = 0; i < added; i++)
		memory_guard_remove(&places[i]);
}

static void files_that_are_memory(void **state)
{
	int fd = memfd_create("sealable", MFD_CLOEXEC | MFD_ALLOW_SEALING), pipes[2];

	assert_int_equal(ftruncate(fd, 2 * PAGE), 0);
	assert_int_equal(memory_file_accept(fd, 2 * PAGE + 1), -ERANGE);
	assert_int_equal(fcntl(fd, F_GET_SEALS), 0);
	assert_int_equal(memory_file_accept(fd, 2 * PAGE), PAGE);
	assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK);
	close(fd);

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(memory_file_accept(pipes[0], 0), -EBADF);
	close(pipes[0]);
	close(pipes[1]);
	fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	assert_int_equal(memory_file_accept(fd, 0), -EBADF);
	close(fd);
	assert_int_equal(memory_file_accept(-1, 0), -EBADF);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_lost_page_reads_as_zeroes),
		TEST(a_write_is_served_too),
		TEST(only_the_owner_is_told),
		TEST(an_unguarded_mapping_is_nobodys_business),
		TEST(threads_fault_together),
		cmocka_unit_test(guards_run_out),
		cmocka_unit_test(files_that_are_memory),
	};

	return cmocka_run_group_tests_name("memory_guard", tests, NULL, NULL);
}
