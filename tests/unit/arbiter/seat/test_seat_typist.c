/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text that is typed: which, how, and for the window alone that had the focus when it was added. */
#include <errno.h>

#include "typist_bench.h"

/* ---- typing ---- */

static void text_is_typed(void **state)
{
	static const char text[] = "Grüße, Welt!\n\t\"^\" kostet 5 € {[]}\\ @ É ê";
	struct bench *bench = *state;

	assert_int_equal(add(bench, text), 0);
	finish(bench);
	assert_string_equal(key_reader_text(bench->guests[0].reader), text);
	assert_nothing_down(bench);
	assert_heard(&bench->guests[1], "");
	assert_heard(&bench->guests[2], "");
}

static void modifiers_stay_down_between_strokes_that_want_them(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(add(bench, "aABb@{c"), 0);
	assert_int_equal(seat_typist_left(bench->typist), 7);
	finish(bench);
	assert_heard(&bench->guests[0], "+30 -30 +42 +30 -30 +48 -48 -42 +48 -48 "
					"+100 +16 -16 +8 -8 -100 +46 -46 ");
	assert_int_equal(bench->typist->typed, 7);
	assert_int_equal(bench->typist->dropped, 0);
}

static void one_step_is_one_key(void **state)
{
	struct bench *bench = *state;
	struct guest *guest = &bench->guests[0];

	assert_int_equal(add(bench, "A"), 0);
	assert_heard(guest, "");
	step(bench, 1);
	assert_heard(guest, "+42 ");
	step(bench, 1);
	assert_heard(guest, "+30 ");
	assert_int_equal(seat_typist_left(bench->typist), 0);
	step(bench, 1);
	assert_heard(guest, "-30 ");
	assert_false(seat_typist_step(bench->typist));
	assert_heard(guest, "-42 ");
	assert_false(seat_typist_step(bench->typist));
	assert_heard(guest, "");
}

static enum seat_pace pace;

static enum seat_pace on_pace(void *context)
{
	return pace;
}

static void a_guest_that_is_behind_is_waited_for(void **state)
{
	static const struct seat_window_ops ops = { .key = on_key, .pointer = on_pointer, .pace = on_pace };
	struct bench *bench = *state;
	struct guest *guest = &bench->guests[0];

	seat_window_listen(guest->window, &ops, guest);
	assert_int_equal(add(bench, "ab"), 0);
	pace = SEAT_PACE_GO;
	assert_int_equal(seat_typist_step_ns(bench->typist), SEAT_TYPE_PACED_STEP_NS);
	step(bench, 1);
	assert_heard(guest, "+30 ");
	pace = SEAT_PACE_WAIT;
	step(bench, 1000);
	assert_heard(guest, "");
	assert_int_equal(seat_typist_left(bench->typist), 1);
	pace = SEAT_PACE_UNKNOWN;
	assert_int_equal(seat_typist_step_ns(bench->typist), SEAT_TYPE_STEP_NS);
	finish(bench);
	assert_heard(guest, "-30 +48 -48 ");
	/* What waits for it is dropped with the focus, as any. */
	assert_int_equal(add(bench, "ab"), 0);
	pace = SEAT_PACE_WAIT;
	step(bench, 10);
	seat_set_focus(bench->seat, bench->guests[1].window);
	assert_false(seat_typist_step(bench->typist));
	assert_int_equal(bench->typist->dropped, 2);
}

/* While it reads now and then, nearly as soon as it does; when it reads nothing, seldom. */
static void a_guest_that_reads_nothing_is_looked_at_seldom(void **state)
{
	static const struct seat_window_ops ops = { .key = on_key, .pointer = on_pointer, .pace = on_pace };
	struct bench *bench = *state;
	uint64_t waited_ns = 0;
	unsigned looks = 0;

	seat_window_listen(bench->guests[0].window, &ops, &bench->guests[0]);
	assert_int_equal(add(bench, "ab"), 0);
	pace = SEAT_PACE_WAIT;
	for (; waited_ns < 60000000000ull; looks++) {
		uint64_t step_ns = seat_typist_step_ns(bench->typist);

		assert_in_range(step_ns, SEAT_TYPE_PACED_STEP_NS, SEAT_TYPE_WAIT_NS);
		assert_true(step_ns == SEAT_TYPE_PACED_STEP_NS || step_ns <= waited_ns / 8);
		assert_true(seat_typist_step(bench->typist));
		waited_ns += step_ns;
	}
	assert_int_equal(seat_typist_step_ns(bench->typist), SEAT_TYPE_WAIT_NS);
	assert_in_range(looks, 1200, 1250);
	/* It reads again. */
	pace = SEAT_PACE_GO;
	assert_true(seat_typist_step(bench->typist));
	assert_heard(&bench->guests[0], "+30 ");
	pace = SEAT_PACE_WAIT;
	assert_int_equal(seat_typist_step_ns(bench->typist), SEAT_TYPE_PACED_STEP_NS);
	pace = SEAT_PACE_GO;
	finish(bench);
	assert_heard(&bench->guests[0], "-30 +48 -48 ");
}

static void more_text_is_typed_after_the_first(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(add(bench, "eins "), 0);
	step(bench, 5);
	assert_int_equal(add(bench, "zwei"), 0);
	assert_int_equal(add(bench, ""), 0);
	finish(bench);
	assert_string_equal(key_reader_text(bench->guests[0].reader), "eins zwei");
}

/* ---- what cannot be typed ---- */

static const struct {
	const char *text;
	int code;
	size_t offset;
} refused[] = {
	{ "ab\xff", -EILSEQ, 2 },
	{ "\x80", -EILSEQ, 0 },
	{ "ab\xc3", -EILSEQ, 2 },		  /* cut off */
	{ "\xe2\x82", -EILSEQ, 0 },		  /* likewise */
	{ "a\xc3\x28", -EILSEQ, 1 },		  /* no continuation */
	{ "a\xc1\xa1", -EILSEQ, 1 },		  /* "a", written longer */
	{ "\xe0\x81\xa1", -EILSEQ, 0 },		  /* likewise */
	{ "\xf0\x80\x81\xa1", -EILSEQ, 0 },	  /* likewise */
	{ "\xed\xa0\x80", -EILSEQ, 0 },		  /* a surrogate */
	{ "\xf4\x90\x80\x80", -EILSEQ, 0 },	  /* above U+10FFFF */
	{ "\xf8\x88\x80\x80\x80", -EILSEQ, 0 },	  /* of five bytes */
	{ "a\xc3\xa4\xe4\xbd\xa0", -ENOTSUP, 3 }, /* Chinese */
	{ "\xf0\x9f\x98\x80", -ENOTSUP, 0 },	  /* a face */
	{ "a\r\n", -ENOTSUP, 1 },
	{ "a\033[A", -ENOTSUP, 1 },
	{ "\x7f", -ENOTSUP, 0 },
	{ "\xc2\x85", -ENOTSUP, 0 },  /* a control character above ASCII */
	{ "e\xcc\x81", -ENOTSUP, 1 }, /* an accent by itself */
	{ "\xc2\xb4", -ENOTSUP, 0 },  /* guests disagree on it */
};

static void what_cannot_be_typed_is_refused_whole(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(add(bench, "x"), 0);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		size_t bad_offset = SIZE_MAX;

		assert_int_equal(
			seat_typist_add(bench->typist, refused[i].text, strlen(refused[i].text), &bad_offset),
			refused[i].code);
		assert_int_equal(bad_offset, refused[i].offset);
		assert_int_equal(seat_typist_left(bench->typist), 1);
	}
	for (unsigned byte = 0; byte < ' '; byte++) {
		const char text[] = { 'a', (char)byte };
		size_t bad_offset = SIZE_MAX;
		bool is_typed = byte == '\n' || byte == '\t';

		assert_int_equal(seat_typist_add(bench->typist, text, 2, &bad_offset),
				 is_typed ? 0 : -ENOTSUP);
		assert_true(bad_offset == (is_typed ? SIZE_MAX : 1));
	}
	finish(bench);
	assert_string_equal(key_reader_text(bench->guests[0].reader), "xa\ta\n");
}

static void without_a_focus_nothing_is_taken(void **state)
{
	struct bench *bench = *state;

	seat_set_focus(bench->seat, NULL);
	assert_int_equal(add(bench, "a"), -ENOENT);
	assert_false(seat_typist_step(bench->typist));
	seat_set_focus(bench->seat, bench->guests[0].window);
	assert_false(seat_typist_step(bench->typist));
	assert_heard(&bench->guests[0], "");
}

static void a_full_queue_takes_no_part_of_a_text(void **state)
{
	struct bench *bench = *state;
	char *text = malloc(SEAT_TYPE_MAX + 1);
	size_t bad_offset = SIZE_MAX;

	assert_non_null(text);
	memset(text, 'a', SEAT_TYPE_MAX + 1);
	assert_int_equal(seat_typist_add(bench->typist, text, SEAT_TYPE_MAX + 1, &bad_offset), -ENOSPC);
	assert_int_equal(seat_typist_left(bench->typist), 0);
	assert_int_equal(seat_typist_add(bench->typist, text, SEAT_TYPE_MAX, &bad_offset), 0);
	assert_int_equal(add(bench, "b"), -ENOSPC);
	step(bench, 2);
	/* One stroke has room, two have not; a text that goes around the ring's end is whole. */
	assert_int_equal(add(bench, "ê"), -ENOSPC);
	assert_int_equal(add(bench, "bb"), -ENOSPC);
	assert_int_equal(add(bench, "b"), 0);
	step(bench, 4);
	assert_int_equal(add(bench, "ê"), 0);
	while (seat_typist_step(bench->typist))
		;
	memset(text, 'a', SEAT_TYPE_MAX);
	assert_memory_equal(key_reader_text(bench->guests[0].reader), text, SEAT_TYPE_MAX);
	assert_string_equal(key_reader_text(bench->guests[0].reader) + SEAT_TYPE_MAX, "bê");
	assert_true(bad_offset == SIZE_MAX);
	free(text);
}

/* ---- the focus ---- */

static void the_rest_is_dropped_with_the_focus(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(add(bench, "ABCD"), 0);
	step(bench, 4);
	seat_set_focus(bench->seat, bench->guests[1].window);
	assert_heard(&bench->guests[0], "+42 +30 -30 +48 -42 -48 ");
	assert_false(seat_typist_step(bench->typist));
	assert_heard(&bench->guests[1], "");
	assert_int_equal(bench->typist->typed, 2);
	assert_int_equal(bench->typist->dropped, 2);
	/* The next text is the other guest's. */
	assert_int_equal(add(bench, "e"), 0);
	finish(bench);
	assert_heard(&bench->guests[0], "");
	assert_heard(&bench->guests[1], "+18 -18 ");
}

/* What was on the way between two steps is not resumed. */
static void a_focus_that_comes_back_is_another(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(add(bench, "AB"), 0);
	step(bench, 2);
	seat_set_focus(bench->seat, bench->guests[1].window);
	seat_set_focus(bench->seat, bench->guests[0].window);
	assert_false(seat_typist_step(bench->typist));
	assert_heard(&bench->guests[0], "+42 +30 -30 -42 ");
	assert_int_equal(bench->typist->dropped, 1);
}

/* Also when there is no step between, and the new window has the old one's place in memory. */
static void a_window_that_opens_in_the_place_of_another_hears_nothing(void **state)
{
	struct bench *bench = *state;

	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(add(bench, "Geheim"), 0);
		step(bench, 1);
		assert_heard(&bench->guests[0], "+42 ");
		seat_window_close(bench->guests[0].window);
		assert_heard(&bench->guests[0], "-42 ");
		open_window(bench, &bench->guests[0]);
		seat_set_focus(bench->seat, bench->guests[0].window);
		if (i % 2)
			assert_false(seat_typist_step(bench->typist));
		assert_int_equal(add(bench, ""), 0);
		assert_int_equal(seat_typist_left(bench->typist), 0);
		assert_heard(&bench->guests[0], "");
	}
}

static void stopping_lets_all_keys_up(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(add(bench, "ABC"), 0);
	step(bench, 2);
	seat_typist_stop(bench->typist);
	assert_heard(&bench->guests[0], "+42 +30 -30 -42 ");
	assert_int_equal(seat_typist_left(bench->typist), 0);
	assert_int_equal(bench->typist->dropped, 2);
	assert_false(seat_typist_step(bench->typist));
	/* Nor has it anything to do with a guest that has the focus now. */
	assert_int_equal(add(bench, "A"), 0);
	step(bench, 1);
	seat_set_focus(bench->seat, bench->guests[1].window);
	seat_key(bench->seat, KEY_LEFTSHIFT, true);
	seat_typist_stop(bench->typist);
	assert_heard(&bench->guests[0], "+42 -42 ");
	assert_heard(&bench->guests[1], "+42 ");
	assert_int_equal(bench->typist->dropped, 3);
	seat_keys_up(bench->seat);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(text_is_typed),
		BENCH_TEST(modifiers_stay_down_between_strokes_that_want_them),
		BENCH_TEST(one_step_is_one_key),
		BENCH_TEST(a_guest_that_is_behind_is_waited_for),
		BENCH_TEST(a_guest_that_reads_nothing_is_looked_at_seldom),
		BENCH_TEST(more_text_is_typed_after_the_first),
		BENCH_TEST(what_cannot_be_typed_is_refused_whole),
		BENCH_TEST(without_a_focus_nothing_is_taken),
		BENCH_TEST(a_full_queue_takes_no_part_of_a_text),
		BENCH_TEST(the_rest_is_dropped_with_the_focus),
		BENCH_TEST(a_focus_that_comes_back_is_another),
		BENCH_TEST(a_window_that_opens_in_the_place_of_another_hears_nothing),
		BENCH_TEST(stopping_lets_all_keys_up),
	};

	return cmocka_run_group_tests_name("seat_typist", tests, NULL, NULL);
}
