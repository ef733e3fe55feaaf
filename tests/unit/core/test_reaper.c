/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/container.h"
#include "core/guest_memory.h"
#include "core/memory_guard.h"
#include "core/reaper.h"

#define JOBS	     1000u
#define DESCRIPTORS  300u /* more than may wait */
#define MEMORY_BYTES (1u << 20)

struct noted {
	struct reaper_job job;
	unsigned number;
	pthread_t by;
};

static unsigned order[JOBS], done; /* `done` is atomic */

static void note(struct reaper_job *job)
{
	struct noted *noted = container_of(job, struct noted, job);

	noted->by = pthread_self();
	order[done] = noted->number;
	__atomic_add_fetch(&done, 1, __ATOMIC_RELEASE);
}

/* Holds the thread until its other end is closed. */
struct gate {
	struct reaper_job job;
	int fds[2];
};

static void wait_at_gate(struct reaper_job *job)
{
	struct gate *gate = container_of(job, struct gate, job);
	char byte;

	assert_int_equal(read(gate->fds[0], &byte, 1), 0);
	close(gate->fds[0]);
}

static void shut(struct gate *gate)
{
	gate->job.run = wait_at_gate;
	assert_return_code(pipe2(gate->fds, O_CLOEXEC), errno);
	reaper_give(&gate->job);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void test_all_in_order(void **state)
{
	static struct noted noted[JOBS];
	struct gate gate;

	done = 0;
	assert_return_code(reaper_start(), 0);
	shut(&gate);
	for (unsigned i = 0; i < JOBS; i++) {
		noted[i] = (struct noted){ .job.run = note, .number = i };
		reaper_give(&noted[i].job);
	}
	assert_int_equal(__atomic_load_n(&done, __ATOMIC_ACQUIRE), 0);
	close(gate.fds[1]);
	/* Stopping waits for all of them. */
	reaper_stop();
	assert_int_equal(done, JOBS);
	for (unsigned i = 0; i < JOBS; i++) {
		assert_int_equal(order[i], i);
		assert_false(pthread_equal(noted[i].by, pthread_self()));
	}
}

static void test_at_once_without_the_thread(void **state)
{
	struct noted noted = { .job.run = note };
	int fd = eventfd(0, EFD_CLOEXEC), before = fd, none = -1;

	done = 0;
	reaper_give(&noted.job);
	assert_int_equal(done, 1);
	assert_true(pthread_equal(noted.by, pthread_self()));
	errno = ERANGE;
	reaper_close(&fd);
	reaper_close(&none);
	assert_int_equal(errno, ERANGE);
	assert_int_equal(fd, -1);
	assert_false(is_open(before));
	reaper_stop();
}

/* Those that wait count among the process's own: there are not many of them. */
static void test_descriptors(void **state)
{
	int fds[DESCRIPTORS];
	unsigned open = 0;
	struct gate gate;

	assert_return_code(reaper_start(), 0);
	shut(&gate);
	for (unsigned i = 0; i < DESCRIPTORS; i++)
		assert_return_code(fds[i] = eventfd(0, EFD_CLOEXEC), errno);
	for (unsigned i = 0; i < DESCRIPTORS; i++) {
		int fd = fds[i];

		reaper_close(&fd);
		assert_int_equal(fd, -1);
		open += is_open(fds[i]);
	}
	assert_int_equal(open, 32);
	close(gate.fds[1]);
	reaper_stop();
	for (unsigned i = 0; i < DESCRIPTORS; i++)
		assert_false(is_open(fds[i]));
}

/* Until it is unmapped, the mapping is among those that count. */
static void test_guest_memory(void **state)
{
	struct guest_region_description description = { .guest_address = 4096, .size = MEMORY_BYTES };
	struct guest_memory *empty = guest_memory_create(), *memory;
	int fd = memfd_create("guest", MFD_CLOEXEC);
	unsigned char there;
	struct gate gate;
	uint8_t *host;

	assert_non_null(empty);
	assert_return_code(ftruncate(fd, MEMORY_BYTES), errno);
	assert_return_code(reaper_start(), 0);
	assert_int_equal(guest_memory_add(empty, &description, fd, &memory), 0);
	host = guest_memory_at(memory, 4096, 1);
	shut(&gate);
	guest_memory_put(memory);
	guest_memory_put(empty);
	assert_int_equal(mincore(host, 1, &there), 0);
	close(gate.fds[1]);
	reaper_stop();
	assert_int_equal(mincore(host, 1, &there), -1);
	assert_int_equal(errno, ENOMEM);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_in_order),
		cmocka_unit_test(test_at_once_without_the_thread),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_guest_memory),
	};

	return cmocka_run_group_tests_name("reaper", tests, NULL, NULL);
}
