/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A ring against the whole of what was said, of which it has the end. */
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

#include "daemon/console/console_memory.h"
#include "test_disk.h"

#define SAID_MAX (1u << 20)

static struct bench {
	struct console_memory *memory;
	uint8_t said[SAID_MAX];
	size_t count; /* said so far */
	uint64_t seed;
} bench;

static void say(size_t count)
{
	assert_true(count <= SAID_MAX - bench.count);
	for (size_t i = 0; i < count; i++)
		bench.said[bench.count + i] = (uint8_t)test_below(&bench.seed, 256);
	console_memory_write(bench.memory, bench.said + bench.count, count);
	bench.count += count;
}

/* Reads from a position to the end, in pieces of any size. Returns where that began. */
static uint64_t read_all(uint64_t from)
{
	static uint8_t bytes[2 * CONSOLE_MEMORY_PIECE];
	uint64_t position = from, first = UINT64_MAX;
	size_t got;

	while ((got = console_memory_read(bench.memory, &position, bytes,
					  1 + test_below(&bench.seed, sizeof(bytes)))) > 0) {
		assert_true(got <= CONSOLE_MEMORY_PIECE);
		if (first == UINT64_MAX)
			first = position - got;
		assert_memory_equal(bytes, bench.said + (position - got), got);
	}
	assert_int_equal(position, bench.count);
	return first;
}

static void check(void)
{
	size_t size = console_memory_size(bench.memory);
	uint64_t begin, end, oldest = bench.count > size ? bench.count - size : 0;

	console_memory_span(bench.memory, &begin, &end);
	assert_int_equal(end, bench.count);
	assert_true(begin >= oldest);
	if (end > begin)
		assert_int_equal(read_all(0), begin);
}

static void begin(size_t bytes)
{
	bench = (struct bench){ .seed = test_seed("console_memory") };
	assert_int_equal(console_memory_create(bytes, &bench.memory), 0);
	check();
}

static void end(void)
{
	console_memory_destroy(bench.memory);
}

static void the_end_is_remembered(void **state)
{
	static const size_t sizes[] = { CONSOLE_MEMORY_MIN, 65536, 100000 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t oldest, position;

		begin(sizes[i]);
		while (bench.count < SAID_MAX - 200000) {
			say(test_below(&bench.seed, 8) ? test_below(&bench.seed, 3000)
						       : test_below(&bench.seed, 200000));
			check();
		}
		console_memory_span(bench.memory, &oldest, &position);
		assert_int_equal(position - oldest, sizes[i]);
		end();
	}
}

static void positions_are_kept(void **state)
{
	uint64_t position;
	uint8_t bytes[10];

	begin(CONSOLE_MEMORY_MIN);
	say(100);
	assert_int_equal(read_all(40), 40);
	position = 100;
	assert_int_equal(console_memory_read(bench.memory, &position, bytes, 10), 0);
	assert_int_equal(position, 100);
	position = 101;
	assert_int_equal(console_memory_read(bench.memory, &position, bytes, 10), 0);
	assert_int_equal(position, 101);
	say(CONSOLE_MEMORY_MIN);
	position = 99;
	assert_int_equal(console_memory_read(bench.memory, &position, bytes, 10), 10);
	assert_int_equal(position, 110);
	assert_int_equal(console_memory_read(bench.memory, &position, bytes, 0), 0);
	end();
}

static void the_size_changes(void **state)
{
	uint64_t first, position;

	begin(CONSOLE_MEMORY_MIN);
	for (unsigned i = 0; i < 200; i++) {
		say(test_below(&bench.seed, 4000));
		assert_int_equal(console_memory_resize(bench.memory,
						       CONSOLE_MEMORY_MIN + test_below(&bench.seed, 20000)),
				 0);
		check();
	}
	assert_int_equal(console_memory_resize(bench.memory, CONSOLE_MEMORY_MAX), 0);
	say(10);
	check();
	/* A smaller one keeps the end of it, all that there is room for. */
	assert_int_equal(console_memory_resize(bench.memory, CONSOLE_MEMORY_MIN), 0);
	console_memory_span(bench.memory, &first, &position);
	assert_int_equal(position - first, CONSOLE_MEMORY_MIN);
	check();
	end();
}

/* A successor has the same bytes at the same positions, and goes on. */
static void it_is_taken_over(void **state)
{
	struct console_memory *predecessor;

	begin(CONSOLE_MEMORY_MIN);
	say(5000);
	predecessor = bench.memory;
	assert_int_equal(console_memory_adopt(dup(console_memory_fd(predecessor)), &bench.memory), 0);
	console_memory_destroy(predecessor);
	assert_int_equal(console_memory_size(bench.memory), CONSOLE_MEMORY_MIN);
	check();
	say(3000);
	check();
	end();
}

static int file_with(struct console_memory_header header, size_t bytes)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	assert_int_equal(pwrite(fd, &header, sizeof(header), 0), sizeof(header));
	return fd;
}

static void other_files_are_refused(void **state)
{
	const size_t ring = CONSOLE_MEMORY_MIN, whole = CONSOLE_MEMORY_RING_AT + ring;
	const struct {
		struct console_memory_header header;
		size_t bytes;
	} bad[] = {
		{ { CONSOLE_MEMORY_MAGIC + 1, ring, 0, 0 }, whole },
		{ { CONSOLE_MEMORY_MAGIC, ring + 1, 0, 0 }, whole },
		{ { CONSOLE_MEMORY_MAGIC, ring, 1, 0 }, whole },
		{ { CONSOLE_MEMORY_MAGIC, ring, 0, ring + 1 }, whole },
		{ { CONSOLE_MEMORY_MAGIC, ring, 0, UINT64_MAX }, whole },
		{ { CONSOLE_MEMORY_MAGIC, ring - 1, 0, 0 }, whole - 1 },
		{ { CONSOLE_MEMORY_MAGIC, CONSOLE_MEMORY_MAX + 1, 0, 0 },
		  CONSOLE_MEMORY_RING_AT + CONSOLE_MEMORY_MAX + 1 },
		{ { CONSOLE_MEMORY_MAGIC, ring, 0, 0 }, sizeof(struct console_memory_header) },
	};
	const struct console_memory_header good = { CONSOLE_MEMORY_MAGIC, ring, 7, 7 };
	int fd;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fd = file_with(bad[i].header, bad[i].bytes);
		assert_int_equal(console_memory_adopt(fd, &bench.memory), -EBADMSG);
		assert_int_equal(fcntl(fd, F_GETFD), -1);
	}
	assert_int_equal(console_memory_adopt(open("/dev/null", O_RDWR | O_CLOEXEC), &bench.memory),
			 -EBADMSG);
	assert_int_equal(console_memory_adopt(file_with(good, whole), &bench.memory), 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_end_is_remembered),   cmocka_unit_test(positions_are_kept),
		cmocka_unit_test(the_size_changes),	   cmocka_unit_test(it_is_taken_over),
		cmocka_unit_test(other_files_are_refused),
	};

	return cmocka_run_group_tests_name("console_memory", tests, NULL, NULL);
}
