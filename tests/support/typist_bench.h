/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests of the typist: a seat with a German keyboard, and guests that read what they are given. */
#ifndef VIADUCT_TESTS_TYPIST_BENCH_H
#define VIADUCT_TESTS_TYPIST_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/input-event-codes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/seat/seat.h"
#include "arbiter/seat/seat_keymap.h"
#include "arbiter/seat/seat_typist.h"
#include "key_reader.h"

#define GUESTS 3u
#define HEARD  4096
/* More than any short text needs. */
#define STEPS_MAX 1000u

struct guest {
	struct seat_window *window;
	struct key_reader *reader;
	char heard[HEARD]; /* "+30 -30 …" since it was asked last */
	bool down[KEY_CNT];
};

struct bench {
	struct seat *seat;
	struct seat_keymap *keymap;
	struct seat_typist *typist;
	struct guest guests[GUESTS];
};

static inline void on_key(void *context, unsigned code, bool down)
{
	struct guest *guest = context;
	size_t length = strlen(guest->heard);

	assert_true(guest->down[code] != down);
	guest->down[code] = down;
	key_reader_key(guest->reader, code, down);
	if (length + 16 < HEARD)
		snprintf(guest->heard + length, HEARD - length, "%c%u ", down ? '+' : '-', code);
}

static inline void on_pointer(void *context, unsigned x, unsigned y, unsigned buttons,
			      int wheel)
{
}

static const struct seat_window_ops typist_bench_ops = { .key = on_key, .pointer = on_pointer };

static inline void assert_heard(struct guest *guest, const char *what)
{
	assert_string_equal(guest->heard, what);
	guest->heard[0] = '\0';
}

static inline void assert_nothing_down(const struct bench *bench)
{
	for (unsigned i = 0; i < GUESTS; i++) {
		for (unsigned code = 0; code < KEY_CNT; code++)
			assert_false(bench->guests[i].down[code]);
	}
}

static inline void open_window(struct bench *bench, struct guest *guest)
{
	const struct seat_window_options options = { .name = "guest" };

	assert_int_equal(seat_window_open(bench->seat, &options, &guest->window), 0);
	seat_window_listen(guest->window, &typist_bench_ops, guest);
}

/* The first guest has the focus. */
static inline int setup(void **state)
{
	const struct seat_options options = { .width = 800, .height = 600 };
	struct bench *bench = calloc(1, sizeof(*bench));

	assert_non_null(bench);
	assert_int_equal(seat_create(&options, &bench->seat), 0);
	assert_int_equal(seat_keymap_create("de", &bench->keymap), 0);
	bench->typist = malloc(sizeof(*bench->typist));
	assert_non_null(bench->typist);
	seat_typist_init(bench->typist, bench->seat, bench->keymap);
	for (unsigned i = 0; i < GUESTS; i++) {
		bench->guests[i].reader = key_reader_create("de", "");
		open_window(bench, &bench->guests[i]);
	}
	seat_set_focus(bench->seat, bench->guests[0].window);
	*state = bench;
	return 0;
}

static inline int teardown(void **state)
{
	struct bench *bench = *state;

	for (unsigned i = 0; i < GUESTS; i++) {
		seat_window_close(bench->guests[i].window);
		key_reader_destroy(bench->guests[i].reader);
	}
	free(bench->typist);
	seat_keymap_destroy(bench->keymap);
	seat_destroy(bench->seat);
	free(bench);
	return 0;
}

static inline int add(struct bench *bench, const char *text)
{
	size_t bad_offset;

	return seat_typist_add(bench->typist, text, strlen(text), &bad_offset);
}

static inline void step(struct bench *bench, unsigned count)
{
	while (count--)
		assert_true(seat_typist_step(bench->typist));
}

static inline void finish(struct bench *bench)
{
	unsigned steps = 0;

	while (seat_typist_step(bench->typist))
		assert_true(++steps < STEPS_MAX);
	assert_int_equal(seat_typist_left(bench->typist), 0);
	assert_false(seat_typist_step(bench->typist));
}

#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
