/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupts of a vfio-user function on a loop, to be included by one program. */
#ifndef VIADUCT_TESTS_VFIO_USER_INTERRUPTS_BENCH_H
#define VIADUCT_TESTS_VFIO_USER_INTERRUPTS_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/fd.h"
#include "core/handover.h"
#include "core/loop.h"
#include "interfaces/vfio_user/vfio_user_interrupts.h"
#include "patience.h"
#include "stopped_clock.h"

#define VECTORS 64u
#define PIN	VFIO_USER_INTX
#define MSIX	VFIO_USER_MSIX
#define FDS	VFIO_USER_IRQ_FDS
#define BOOL	VFIO_USER_IRQ_BOOL
#define NONE	VFIO_USER_IRQ_NONE
#define MASK	VFIO_USER_IRQ_MASK
#define UNMASK	VFIO_USER_IRQ_UNMASK
#define TRIGGER VFIO_USER_IRQ_TRIGGER

static struct loop *loop;
static struct vfio_user_interrupts interrupts;
static unsigned held, written;

static inline void on_held(void *context)
{
	held++;
}

static inline void on_written(void *context)
{
	assert_ptr_equal(context, &loop);
	assert_int_equal(interrupts.writing, 0);
	written++;
}

static inline void init(void)
{
	vfio_user_interrupts_init(&interrupts, loop, VECTORS);
	interrupts.held = on_held;
	interrupts.written = on_written;
	interrupts.context = &loop;
}

static inline int setup(void **state)
{
	const struct loop_options options = { .name = "test", .clocks = &stopped_clocks };

	assert_int_equal(loop_create(&options, &loop), 0);
	held = written = 0;
	init();
	return 0;
}

static inline void settle(void)
{
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(loop_turn(loop, 0), 0);
	AWAIT(interrupts.writing == 0, loop_turn(loop, NS_PER_MS));
}

static inline int teardown(void **state)
{
	settle();
	assert_int_equal(held, 0);
	vfio_user_interrupts_finish(&interrupts);
	vfio_user_interrupts_finish(&interrupts);
	settle();
	loop_destroy(loop);
	return 0;
}

static inline int new_event(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* How often was it written to since it was asked last? */
static inline uint64_t told(int fd)
{
	uint64_t count;

	settle();
	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static inline int set_as(uint32_t flags, uint32_t index, uint32_t start, uint32_t count, const uint8_t *data,
			 int *fds, unsigned fd_count)
{
	const struct vfio_user_irq_set set = {
		.argsz = sizeof(set),
		.flags = flags,
		.index = index,
		.start = start,
		.count = count,
	};

	return vfio_user_interrupts_set(&interrupts, &set, data, fds, fd_count);
}

static inline int set(uint32_t flags, uint32_t index, uint32_t start, uint32_t count)
{
	return set_as(flags, index, start, count, NULL, NULL, 0);
}

/* Gives an eventfd, of which the test keeps a descriptor. */
static inline int give(uint32_t index, uint32_t start)
{
	int fd = new_event(), given = dup(fd);

	assert_int_equal(set_as(FDS | TRIGGER, index, start, 1, NULL, &given, 1), 0);
	assert_int_equal(given, -1);
	return fd;
}

#endif
