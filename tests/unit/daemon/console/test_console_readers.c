/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest that speaks on a thread of its own, and readers on another one that are fast, slow, or gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

#include "core/container.h"
#include "core/loop.h"
#include "daemon/console/console_memory.h"
#include "daemon/console/console_readers.h"
#include "patience.h"

/* The byte at a position. */
#define SAID(position) ((uint8_t)((position)*7 + ((position) >> 8)))
#define THREAD_BYTES   (8u << 20)
#define PIECE	       997u

struct test_reader {
	struct console_reader reader;
	unsigned told;
	uint64_t read, missed;
	bool over;
};

static struct bench {
	struct loop *loop;
	struct console_readers *readers;
	uint64_t said;
} bench;

static void told(struct console_reader *reader)
{
	container_of(reader, struct test_reader, reader)->told++;
}

static int setup(void **state)
{
	const struct loop_options options = { .name = "test" };
	struct console_memory *memory;

	bench = (struct bench){ .said = 0 };
	assert_int_equal(loop_create(&options, &bench.loop), 0);
	assert_int_equal(console_memory_create(CONSOLE_MEMORY_MIN, &memory), 0);
	assert_int_equal(console_readers_create(bench.loop, memory, &bench.readers), 0);
	return 0;
}

static int teardown(void **state)
{
	console_readers_destroy(bench.readers);
	loop_turn(bench.loop, 0);
	loop_destroy(bench.loop);
	return 0;
}

static void say(size_t count)
{
	uint8_t bytes[PIECE];

	while (count > 0) {
		size_t part = count < PIECE ? count : PIECE;

		for (size_t i = 0; i < part; i++)
			bytes[i] = SAID(bench.said + i);
		console_readers_write(bench.readers, bytes, part);
		bench.said += part;
		count -= part;
	}
}

static void attach(struct test_reader *reader, uint64_t position)
{
	*reader = (struct test_reader){ .reader.ready = told };
	reader->read = console_reader_open(&reader->reader, bench.readers, position);
}

/* One look. Returns whether there was something. */
static bool look(struct test_reader *reader)
{
	uint8_t bytes[1000];
	ssize_t got = console_reader_read(&reader->reader, bytes, sizeof(bytes));

	if (got == -EPIPE) {
		assert_true(reader->reader.position > reader->read);
		reader->missed += reader->reader.position - reader->read;
		reader->read = reader->reader.position;
		return true;
	}
	reader->over = got == -ENODEV;
	for (ssize_t i = 0; i < got; i++)
		assert_int_equal(bytes[i], SAID(reader->read + (uint64_t)i));
	reader->read += got > 0 ? (uint64_t)got : 0;
	return got > 0;
}

static void read_all(struct test_reader *reader)
{
	while (look(reader))
		;
}

static void readers_hear_of_it(void **state)
{
	struct test_reader first, second;

	say(10);
	attach(&first, 0);
	read_all(&first);
	assert_int_equal(first.read, 10);
	attach(&second, CONSOLE_READER_AT_END);
	assert_int_equal(second.read, 10);
	assert_int_equal(console_readers_count(bench.readers), 2);
	loop_turn(bench.loop, 0);
	assert_int_equal(first.told + second.told, 0);
	say(5);
	say(5);
	AWAIT(first.told && second.told, loop_turn(bench.loop, NS_PER_MS));
	read_all(&first);
	read_all(&second);
	assert_int_equal(first.read, 20);
	assert_int_equal(second.read, 20);
	console_reader_close(&first.reader);
	assert_int_equal(console_readers_count(bench.readers), 1);
	first.told = second.told = 0;
	say(1);
	AWAIT(second.told, loop_turn(bench.loop, NS_PER_MS));
	assert_int_equal(first.told, 0);
	console_reader_close(&second.reader);
	console_reader_close(&second.reader);
}

/* Where one may begin: at what is remembered. */
static void positions(void **state)
{
	struct test_reader reader;

	say(CONSOLE_MEMORY_MIN + 100);
	attach(&reader, 0);
	assert_int_equal(reader.read, 100);
	console_reader_close(&reader.reader);
	attach(&reader, 500);
	assert_int_equal(reader.read, 500);
	console_reader_close(&reader.reader);
	attach(&reader, bench.said);
	assert_int_equal(reader.read, bench.said);
	console_reader_close(&reader.reader);
	/* Of another life of the console's. */
	attach(&reader, bench.said + 1);
	assert_int_equal(reader.read, 100);
	console_reader_close(&reader.reader);
}

static void a_slow_one_misses_what_others_get(void **state)
{
	struct test_reader fast, slow;

	attach(&fast, 0);
	attach(&slow, 0);
	for (unsigned i = 0; i < 20; i++) {
		say(1000);
		read_all(&fast);
	}
	read_all(&slow);
	assert_int_equal(fast.read, 20000);
	assert_int_equal(fast.missed, 0);
	assert_int_equal(slow.read, 20000);
	assert_int_equal(slow.missed, 20000 - CONSOLE_MEMORY_MIN);
	assert_int_equal(console_readers_missed(bench.readers), slow.missed);
	console_reader_close(&fast.reader);
	console_reader_close(&slow.reader);
}

static void it_is_over(void **state)
{
	struct test_reader reader;

	attach(&reader, 0);
	say(10);
	/* With a message on its way. */
	console_readers_destroy(bench.readers);
	assert_int_equal(reader.told, 1);
	assert_false(look(&reader));
	assert_true(reader.over);
	console_reader_close(&reader.reader);
	loop_turn(bench.loop, 0);
	bench.readers = NULL;
}

static void *speak(void *unused)
{
	say(THREAD_BYTES);
	return NULL;
}

/* Nothing is lost on the way: what was not read was missed, and told. */
static void two_threads(void **state)
{
	struct test_reader readers[2];
	pthread_t guest;

	for (unsigned i = 0; i < 2; i++)
		attach(&readers[i], 0);
	assert_int_equal(pthread_create(&guest, NULL, speak, NULL), 0);
	for (unsigned i = 0; i < 2; i++) {
		AWAIT(readers[i].read == THREAD_BYTES, {
			if (!look(&readers[i]))
				loop_turn(bench.loop, NS_PER_MS);
		});
		console_reader_close(&readers[i].reader);
	}
	pthread_join(guest, NULL);
	assert_int_equal(console_readers_missed(bench.readers), readers[0].missed + readers[1].missed);
}

#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(readers_hear_of_it),
		BENCH_TEST(positions),
		BENCH_TEST(a_slow_one_misses_what_others_get),
		BENCH_TEST(it_is_over),
		BENCH_TEST(two_threads),
	};

	return cmocka_run_group_tests_name("console_readers", tests, NULL, NULL);
}
