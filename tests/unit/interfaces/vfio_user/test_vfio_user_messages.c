/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of messages, without any socket. Sizes are those of the specification, written out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "interfaces/vfio_user/vfio_user_messages.h"

#define HEADER 16u
#define DATA   4096u
/* As many writes as QEMU collects: the longest message of all. */
#define WRITES (8u + 200u * 24u)

struct expectation {
	uint16_t command;
	const char *name;
	uint32_t payload_min, payload_max;
	unsigned fds_max;
};

static const struct expectation expectations[] = {
	{ 1, "version", 4, DATA, 0 },
	{ 2, "dma-map", 32, 32, 1 },
	{ 3, "dma-unmap", 24, 24, 0 },
	{ 4, "get-info", 16, 16, 0 },
	{ 5, "get-region-info", 32, DATA, 0 },
	{ 7, "get-irq-info", 16, 16, 0 },
	{ 8, "set-irqs", 20, DATA, 16 },
	{ 9, "region-read", 16, 16, 0 },
	{ 10, "region-write", 16, 16 + DATA, 0 },
	{ 13, "reset", 0, 0, 0 },
	{ 15, "region-write-multi", 8, WRITES, 0 },
};
#define EXPECTATIONS (sizeof(expectations) / sizeof(expectations[0]))

static int check(uint16_t command, uint32_t payload, unsigned fds, bool versioned)
{
	const struct vfio_user_standing standing = { versioned };
	const struct vfio_user_header header = { .command = command, .size = HEADER + payload };
	const char *reason = NULL;
	int error = vfio_user_message_check(&header, fds, &standing, &reason);

	assert_int_equal(error == 0, reason == NULL);
	return error;
}

static void headers(void **state)
{
	const struct vfio_user_header good = { .id = 0xffff, .command = 1, .size = HEADER };
	struct vfio_user_header header = good;

	assert_null(vfio_user_header_check(&header));
	for (uint32_t size = 0; size < 3 * DATA; size++) {
		header.size = size;
		assert_int_equal(vfio_user_header_check(&header) == NULL,
				 size >= HEADER && size <= HEADER + WRITES);
	}
	header.size = UINT32_MAX;
	assert_non_null(vfio_user_header_check(&header));
	/* Only a command; that its answer is not wanted may be said, and an error is no matter. */
	for (unsigned bit = 0; bit < 32; bit++) {
		header = good;
		header.flags = 1u << bit;
		assert_int_equal(vfio_user_header_check(&header) == NULL, bit >= 4);
	}
	/* What command it is comes later: the stream can be followed. */
	header = good;
	header.command = 0xffff;
	header.error = UINT32_MAX;
	assert_null(vfio_user_header_check(&header));
}

static void every_command(void **state)
{
	for (unsigned i = 0; i < EXPECTATIONS; i++) {
		const struct expectation *e = &expectations[i];
		bool versioned = e->command != VFIO_USER_VERSION;

		assert_string_equal(vfio_user_command_name(e->command), e->name);
		for (uint32_t payload = 0; payload <= WRITES + 1; payload++)
			assert_int_equal(check(e->command, payload, 0, versioned),
					 payload < e->payload_min || payload > e->payload_max ? -EINVAL : 0);
		for (unsigned fds = 0; fds < 300; fds++)
			assert_int_equal(check(e->command, e->payload_max, fds, versioned),
					 fds > e->fds_max ? -EINVAL : 0);
		/* The version comes first, and once. */
		assert_int_equal(check(e->command, e->payload_min, 0, !versioned), -EINVAL);
	}
}

static void commands_that_are_not_known(void **state)
{
	unsigned known = 0;

	for (uint32_t command = 0; command < 0x10000; command++) {
		bool is_known = false;

		for (unsigned i = 0; i < EXPECTATIONS; i++)
			is_known |= expectations[i].command == command;
		known += is_known;
		if (is_known)
			continue;
		assert_int_equal(check((uint16_t)command, 0, 0, true), -ENOTSUP);
		assert_int_equal(check((uint16_t)command, DATA, 16, false), -ENOTSUP);
		assert_string_equal(vfio_user_command_name((uint16_t)command), "?");
	}
	assert_int_equal(known, EXPECTATIONS);
}

/* The longest message of each command is one that may be read at all. */
static void the_longest_fit(void **state)
{
	for (unsigned i = 0; i < EXPECTATIONS; i++) {
		const struct vfio_user_header header = { .command = expectations[i].command,
							 .size = HEADER + expectations[i].payload_max };

		assert_null(vfio_user_header_check(&header));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers),
		cmocka_unit_test(every_command),
		cmocka_unit_test(commands_that_are_not_known),
		cmocka_unit_test(the_longest_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
