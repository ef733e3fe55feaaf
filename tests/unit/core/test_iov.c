/* SPDX-License-Identifier: GPL-2.0-or-later */
/* iovec arithmetic against plain byte arrays, for every offset and length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "core/iov.h"

#define PARTS 7
#define GAP   3u

/* Lengths with zeroes at the start, inside and at the end; the parts lie apart in memory. */
static const size_t lengths[PARTS] = { 0, 1, 5, 0, 7, 2, 0 };
#define BYTES 15u

struct fixture {
	uint8_t memory[BYTES + PARTS * GAP];
	struct iovec iov[PARTS];
};

static void prepare(struct fixture *fixture, uint8_t fill)
{
	size_t at = 0;

	memset(fixture->memory, 0xee, sizeof(fixture->memory));
	for (unsigned i = 0, n = 0; i < PARTS; i++) {
		fixture->iov[i] = (struct iovec){ fixture->memory + at, lengths[i] };
		for (size_t j = 0; j < lengths[i]; j++, n++)
			fixture->memory[at + j] = (uint8_t)(fill + n);
		at += lengths[i] + GAP;
	}
}

/* Byte n of the iovecs, found the slow way. */
static uint8_t *byte_at(const struct fixture *fixture, size_t n)
{
	unsigned i = 0;

	while (n >= lengths[i])
		n -= lengths[i++];
	return (uint8_t *)fixture->iov[i].iov_base + n;
}

static void assert_gaps_untouched(const struct fixture *fixture)
{
	size_t at = 0;

	for (unsigned i = 0; i < PARTS; i++) {
		at += lengths[i];
		for (unsigned j = 0; j < GAP; j++)
			assert_int_equal(fixture->memory[at + j], 0xee);
		at += GAP;
	}
}

static size_t expected_bytes(size_t offset, size_t bytes)
{
	size_t rest = offset < BYTES ? BYTES - offset : 0;

	return bytes < rest ? bytes : rest;
}

static void sum(void **state)
{
	struct fixture fixture;

	prepare(&fixture, 0);
	assert_int_equal(iov_bytes(fixture.iov, PARTS), BYTES);
	assert_int_equal(iov_bytes(fixture.iov, 3), 6);
	assert_int_equal(iov_bytes(NULL, 0), 0);
}

static void copy_out(void **state)
{
	struct fixture fixture;
	uint8_t buffer[BYTES + 4];

	prepare(&fixture, 10);
	for (size_t offset = 0; offset <= BYTES + 1; offset++) {
		for (size_t bytes = 0; bytes <= BYTES + 2; bytes++) {
			size_t expected = expected_bytes(offset, bytes);

			memset(buffer, 0xdd, sizeof(buffer));
			assert_int_equal(iov_copy_out(fixture.iov, PARTS, offset, buffer, bytes), expected);
			for (size_t i = 0; i < sizeof(buffer); i++)
				assert_int_equal(buffer[i], i < expected ? 10 + offset + i : 0xdd);
		}
	}
}

static void assert_changed(const struct fixture *fixture, size_t offset, size_t changed, const uint8_t *to)
{
	for (size_t n = 0; n < BYTES; n++) {
		bool inside = n >= offset && n < offset + changed;

		assert_int_equal(*byte_at(fixture, n), inside ? to[n - offset] : 10 + n);
	}
	assert_gaps_untouched(fixture);
}

static void copy_in_and_zero(void **state)
{
	static const uint8_t zeroes[BYTES + 2];
	uint8_t buffer[BYTES + 2];

	for (size_t i = 0; i < sizeof(buffer); i++)
		buffer[i] = (uint8_t)(100 + i);
	for (size_t offset = 0; offset <= BYTES + 1; offset++) {
		for (size_t bytes = 0; bytes <= BYTES + 2; bytes++) {
			size_t expected = expected_bytes(offset, bytes);
			struct fixture fixture;

			prepare(&fixture, 10);
			assert_int_equal(iov_copy_in(fixture.iov, PARTS, offset, buffer, bytes), expected);
			assert_changed(&fixture, offset, expected, buffer);
			prepare(&fixture, 10);
			assert_int_equal(iov_zero(fixture.iov, PARTS, offset, bytes), expected);
			assert_changed(&fixture, offset, expected, zeroes);
		}
	}
}

static void window(void **state)
{
	for (size_t offset = 0; offset < BYTES; offset++) {
		for (size_t bytes = 1; bytes <= BYTES - offset; bytes++) {
			struct iovec before[PARTS];
			struct iov_window window;
			struct fixture fixture;
			uint8_t buffer[BYTES];

			prepare(&fixture, 10);
			memcpy(before, fixture.iov, sizeof(before));
			iov_window_open(&window, fixture.iov, PARTS, offset, bytes);
			assert_int_equal(iov_bytes(window.iov, window.count), bytes);
			assert_int_equal(iov_copy_out(window.iov, window.count, 0, buffer, BYTES), bytes);
			for (size_t i = 0; i < bytes; i++)
				assert_int_equal(buffer[i], 10 + offset + i);
			iov_window_close(&window);
			assert_memory_equal(fixture.iov, before, sizeof(before));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sum),
		cmocka_unit_test(copy_out),
		cmocka_unit_test(copy_in_and_zero),
		cmocka_unit_test(window),
	};

	return cmocka_run_group_tests_name("iov", tests, NULL, NULL);
}
