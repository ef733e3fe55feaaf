/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The user's hands on the keyboard while text is typed: neither gets what is the other's. */
#include <errno.h>

#include "test_disk.h"
#include "typist_bench.h"

#define CHARACTERS 10000u
#define TEXT_MAX   24u

/* ---- one key at a time ---- */

static void typing_waits_while_the_user_holds_a_key(void **state)
{
	struct bench *bench = *state;
	struct guest *guest = &bench->guests[0];

	seat_key(bench->seat, KEY_LEFTCTRL, true);
	assert_int_equal(add(bench, "cD"), 0);
	step(bench, 10);
	assert_heard(guest, "+29 ");
	seat_key(bench->seat, KEY_LEFTCTRL, false);
	step(bench, 3);
	assert_heard(guest, "-29 +46 -46 +42 ");
	/* In the middle: the modifier goes, so that the user's key is what it is. */
	seat_key(bench->seat, KEY_RIGHTCTRL, true);
	step(bench, 10);
	assert_heard(guest, "+97 -42 ");
	seat_key(bench->seat, KEY_RIGHTCTRL, false);
	finish(bench);
	assert_heard(guest, "-97 +42 +32 -32 -42 ");
}

static void a_key_that_both_hold_is_the_users(void **state)
{
	struct bench *bench = *state;
	struct guest *guest = &bench->guests[0];

	assert_int_equal(add(bench, "Aa"), 0);
	step(bench, 2);
	assert_heard(guest, "+42 +30 ");
	/* The user takes both keys over and keeps Shift. */
	seat_key(bench->seat, KEY_LEFTSHIFT, true);
	seat_key(bench->seat, KEY_A, true);
	step(bench, 10);
	assert_heard(guest, "");
	seat_key(bench->seat, KEY_A, false);
	step(bench, 10);
	assert_heard(guest, "-30 ");
	seat_key(bench->seat, KEY_LEFTSHIFT, false);
	finish(bench);
	assert_heard(guest, "-42 +30 -30 ");
}

static void a_key_that_the_user_taps_stays_the_typists(void **state)
{
	struct bench *bench = *state;
	struct guest *guest = &bench->guests[0];

	assert_int_equal(add(bench, "AB"), 0);
	step(bench, 1);
	seat_key(bench->seat, KEY_LEFTSHIFT, true);
	seat_key(bench->seat, KEY_LEFTSHIFT, false);
	step(bench, 1);
	seat_key(bench->seat, KEY_A, true);
	seat_key(bench->seat, KEY_A, false);
	finish(bench);
	assert_heard(guest, "+42 +30 -30 +48 -48 -42 ");
	assert_string_equal(key_reader_text(guest->reader), "AB");
}

static void a_keyboard_that_goes_away_does_not_change_the_text(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(add(bench, "ABCabc"), 0);
	for (unsigned i = 0; i < 7; i++) {
		step(bench, 2);
		seat_key(bench->seat, KEY_RIGHTCTRL, true);
		seat_keys_up(bench->seat);
	}
	finish(bench);
	assert_string_equal(key_reader_text(bench->guests[0].reader), "ABCabc");
	assert_nothing_down(bench);
}

/* Ctrl that the user holds, and AltGr that the typist holds, are not Ctrl and Alt. */
static void typing_never_makes_the_secure_keys(void **state)
{
	static const unsigned secure[] = { KEY_TAB, KEY_ENTER, KEY_ESC };
	struct bench *bench = *state;
	struct guest *guest = &bench->guests[0];
	struct seat_rect before = seat_window_frame(guest->window), after;

	for (size_t i = 0; i < sizeof(secure) / sizeof(secure[0]); i++) {
		assert_int_equal(add(bench, "@"), 0);
		step(bench, 1);
		assert_heard(guest, "+100 ");
		seat_key(bench->seat, KEY_LEFTCTRL, true);
		seat_key(bench->seat, secure[i], true);
		assert_true(guest->down[secure[i]]);
		assert_ptr_equal(seat_focus(bench->seat), guest->window);
		seat_key(bench->seat, secure[i], false);
		seat_key(bench->seat, KEY_LEFTCTRL, false);
		seat_typist_stop(bench->typist);
		guest->heard[0] = '\0';
	}
	/* And keys that are typed are none of the seat's while the user holds both. */
	assert_int_equal(add(bench, "\t\n"), 0);
	seat_key(bench->seat, KEY_LEFTCTRL, true);
	seat_key(bench->seat, KEY_LEFTALT, true);
	step(bench, 10);
	assert_heard(guest, "+29 +56 ");
	seat_keys_up(bench->seat);
	finish(bench);
	assert_heard(guest, "-29 -56 +15 -15 +28 -28 ");
	assert_ptr_equal(seat_focus(bench->seat), guest->window);
	after = seat_window_frame(guest->window);
	assert_memory_equal(&after, &before, sizeof(after));
}

/* The user's own keys do what they do, also when the typist holds the same. */
static void the_secure_keys_work_while_text_is_typed(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(add(bench, "\tgeheim"), 0);
	step(bench, 1);
	assert_heard(&bench->guests[0], "+15 ");
	seat_key(bench->seat, KEY_LEFTCTRL, true);
	seat_key(bench->seat, KEY_LEFTALT, true);
	seat_key(bench->seat, KEY_ESC, true);
	assert_null(seat_focus(bench->seat));
	assert_heard(&bench->guests[0], "+29 +56 -15 -29 -56 ");
	seat_keys_up(bench->seat);
	assert_false(seat_typist_step(bench->typist));
	assert_int_equal(bench->typist->dropped, 6);
	/* Full screen and back: the keys come up, the text goes on. */
	seat_set_focus(bench->seat, bench->guests[1].window);
	assert_int_equal(add(bench, "\nAb"), 0);
	step(bench, 1);
	seat_key(bench->seat, KEY_LEFTCTRL, true);
	seat_key(bench->seat, KEY_LEFTALT, true);
	seat_key(bench->seat, KEY_ENTER, true);
	assert_heard(&bench->guests[1], "+28 +29 +56 -28 -29 -56 ");
	seat_keys_up(bench->seat);
	finish(bench);
	assert_heard(&bench->guests[1], "+42 +30 -30 -42 +48 -48 ");
}

/* ---- at random ---- */

/* A model: the characters that wait, and what each guest has read so far. */
struct model {
	uint64_t seed;
	uint32_t waiting[SEAT_TYPE_MAX];
	size_t first, count;
	unsigned strokes_of_first; /* typed already */
	uint64_t strokes_added;
	char *wanted[GUESTS];
	unsigned focus; /* GUESTS: none */
	unsigned characters;
};

static unsigned strokes_of(const struct bench *bench, uint32_t codepoint)
{
	struct seat_stroke strokes[SEAT_STROKES_MAX];

	return seat_keymap_spell(bench->keymap, codepoint, strokes);
}

static size_t model_strokes(const struct bench *bench, const struct model *model)
{
	size_t strokes = 0;

	for (size_t i = 0; i < model->count; i++)
		strokes += strokes_of(bench, model->waiting[model->first + i]);
	return strokes - model->strokes_of_first;
}

/* Printable, and up to U+017F: one in some has a dead key. */
static uint32_t random_character(const struct bench *bench, uint64_t *seed)
{
	uint32_t codepoint;

	do {
		codepoint = ' ' + test_below(seed, 0x180 - ' ');
	} while (strokes_of(bench, codepoint) == 0);
	return codepoint;
}

static void model_add(struct bench *bench, struct model *model)
{
	uint32_t codepoints[TEXT_MAX];
	unsigned count = 1 + test_below(&model->seed, TEXT_MAX);
	char text[TEXT_MAX * 8] = "";

	for (unsigned i = 0; i < count; i++) {
		codepoints[i] = random_character(bench, &model->seed);
		key_reader_utf8(codepoints[i], text + strlen(text));
	}
	if (model->focus == GUESTS) {
		assert_int_equal(add(bench, text), -ENOENT);
		return;
	}
	assert_int_equal(add(bench, text), 0);
	for (unsigned i = 0; i < count; i++) {
		model->waiting[model->first + model->count++] = codepoints[i];
		model->strokes_added += strokes_of(bench, codepoints[i]);
	}
}

static void model_step(struct bench *bench, struct model *model)
{
	uint64_t before = bench->typist->typed;
	uint32_t codepoint = model->waiting[model->first];
	char *wanted;

	seat_typist_step(bench->typist);
	assert_int_equal(seat_typist_left(bench->typist),
			 model_strokes(bench, model) - (bench->typist->typed - before));
	if (bench->typist->typed == before)
		return;
	assert_true(model->count > 0);
	if (++model->strokes_of_first < strokes_of(bench, codepoint))
		return;
	wanted = model->wanted[model->focus];
	key_reader_utf8(codepoint, wanted + strlen(wanted));
	model->first++;
	model->count--;
	model->strokes_of_first = 0;
	model->characters++;
}

static void model_focus(struct bench *bench, struct model *model)
{
	unsigned focus = test_below(&model->seed, GUESTS + 1);

	if (focus == model->focus)
		return;
	model->focus = focus;
	seat_set_focus(bench->seat, focus < GUESTS ? bench->guests[focus].window : NULL);
	model->first = 0;
	model->count = 0;
	model->strokes_of_first = 0;
	/* The guest may have been given a dead key without its letter. */
	for (unsigned i = 0; i < GUESTS; i++)
		key_reader_forget_dead_key(bench->guests[i].reader);
}

/* Of the user: keys that make no text, among them the typist's own. */
static void model_user(struct bench *bench, struct model *model)
{
	static const unsigned codes[] = { KEY_LEFTSHIFT, KEY_RIGHTALT, KEY_LEFTCTRL, KEY_RIGHTSHIFT };

	seat_key(bench->seat, codes[test_below(&model->seed, 4)], test_below(&model->seed, 4) == 0);
}

static void random_text_arrives_where_it_should(void **state)
{
	struct bench *bench = *state;
	struct model *model = calloc(1, sizeof(*model));

	assert_non_null(model);
	model->seed = test_seed("seat_typist_hands");
	for (unsigned i = 0; i < GUESTS; i++) {
		model->wanted[i] = calloc(CHARACTERS, 8);
		assert_non_null(model->wanted[i]);
	}
	while (model->characters < CHARACTERS) {
		unsigned chance = test_below(&model->seed, 200);

		if (chance < 4 && model->count < 100)
			model_add(bench, model);
		else if (chance == 5)
			model_focus(bench, model);
		else if (chance < 50)
			model_user(bench, model);
		else
			model_step(bench, model);
	}
	seat_keys_up(bench->seat);
	seat_typist_stop(bench->typist);
	assert_nothing_down(bench);
	assert_true(bench->typist->dropped > 0);
	assert_int_equal(bench->typist->typed + bench->typist->dropped, model->strokes_added);
	for (unsigned i = 0; i < GUESTS; i++) {
		assert_true(strlen(model->wanted[i]) > 0);
		assert_string_equal(key_reader_text(bench->guests[i].reader), model->wanted[i]);
		free(model->wanted[i]);
	}
	free(model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(typing_waits_while_the_user_holds_a_key),
		BENCH_TEST(a_key_that_both_hold_is_the_users),
		BENCH_TEST(a_key_that_the_user_taps_stays_the_typists),
		BENCH_TEST(a_keyboard_that_goes_away_does_not_change_the_text),
		BENCH_TEST(typing_never_makes_the_secure_keys),
		BENCH_TEST(the_secure_keys_work_while_text_is_typed),
		BENCH_TEST(random_text_arrives_where_it_should),
	};

	return cmocka_run_group_tests_name("seat_typist_hands", tests, NULL, NULL);
}
