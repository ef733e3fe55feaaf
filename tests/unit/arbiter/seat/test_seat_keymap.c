/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Layouts: what is spelled reads as it was meant, at a reader that knows nothing of the seat's keymap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/input-event-codes.h>
#include <stdio.h>
#include <uchar.h>
#include <xkbcommon/xkbcommon-keysyms.h>

#include "arbiter/seat/seat_keymap.h"
#include "key_reader.h"

/* All characters that layouts of Europe have are below. */
#define CODEPOINTS 0x3000u
/* Codes that evdev's keyboards of XKB have, and those among them that are no keys. */
#define CODES		248u
#define IS_NO_KEY(code) ((code) == 84 || ((code) >= 195 && (code) <= 199))

static const struct layout {
	const char *name, *variant;
	const char32_t *letters; /* of the language; with all of ASCII, each must be spelled */
	const char32_t *dead;	 /* those of them that need a dead key; "": none need one */
	bool is_foreign;	 /* has no Latin letters */
} layouts[] = {
	{ "us", "", U"", U"" },
	{ "de", "", U"äöüÄÖÜßẞ€µ²³°§éèêáàâÉ^`", U"éèêáàâÉ^`" },
	{ "de", "nodeadkeys", U"äöüÄÖÜß€µ²³°§", U"" },
	{ "fr", "", U"éèàçùâêîôûäëïöü€£µ§²°", U"âêîôûäëïöü" },
	{ "ch", "", U"äöüéèàçÄÖÜâêîôûñ€£§°^~`", U"ÄÖÜâêîôûñ^~`" },
	{ "gb", "", U"£€áéíóúÁÉÍÓÚ", U"" },
	{ "es", "", U"ñÑáéíóúÁÉÍÓÚüÜçÇ¡¿ºª€", U"áéíóúÁÉÍÓÚüÜ" },
	{ "us", "intl", U"éñüçß€'\"", U"" },
	{ "pl", "", U"ąćęłńóśźżĄĆĘŁŃÓŚŹŻ€", U"" },
	{ "cz", "", U"ěščřžýáíéúůďťňĎŤŇ", U"ďťňĎŤŇ" },
	{ "ro", "", U"ăâîșțĂÂÎȘȚ", U"" },
	{ "hu", "", U"áéíóöőúüűÁÉÍÓÖŐÚÜŰ", U"" },
	{ "gr", "", U"αβγδεζηθικλμνξοπρστυφχψωςάέήίόύώϊϋΆΈ", U"άέήίόύώϊϋΆΈ", true },
	{ "ru", "", U"абвгдеёжзийклмнопрстуфхцчшщъыьэюя№", U"", true },
};
#define LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))

struct bench {
	struct seat_keymap *keymap;
	struct key_reader *reader;
};

static void open_bench(struct bench *bench, const struct layout *layout)
{
	char text[64];

	snprintf(text, sizeof(text), "%s%s%s", layout->name, *layout->variant ? ":" : "", layout->variant);
	assert_int_equal(seat_keymap_create(text, &bench->keymap), 0);
	bench->reader = key_reader_create(layout->name, layout->variant);
}

static void close_bench(struct bench *bench)
{
	seat_keymap_destroy(bench->keymap);
	key_reader_destroy(bench->reader);
}

static void hold(struct key_reader *reader, const struct seat_stroke *stroke, bool down)
{
	if (stroke->shift)
		key_reader_key(reader, KEY_LEFTSHIFT, down);
	if (stroke->altgr)
		key_reader_key(reader, KEY_RIGHTALT, down);
}

static void press(struct key_reader *reader, unsigned code)
{
	key_reader_key(reader, code, true);
	key_reader_key(reader, code, false);
}

static void type(struct key_reader *reader, const struct seat_stroke *stroke)
{
	hold(reader, stroke, true);
	press(reader, stroke->code);
	hold(reader, stroke, false);
}

/* Spells a character and reads it. Returns the strokes. */
static unsigned spell(struct bench *bench, uint32_t codepoint)
{
	struct seat_stroke strokes[SEAT_STROKES_MAX];
	unsigned count = seat_keymap_spell(bench->keymap, codepoint, strokes);
	char wanted[8];

	if (count == 0)
		return 0;
	key_reader_clear(bench->reader);
	for (unsigned i = 0; i < count; i++)
		type(bench->reader, &strokes[i]);
	if (codepoint == '\n' || codepoint == '\t')
		snprintf(wanted, sizeof(wanted), "%c", (char)codepoint);
	else
		key_reader_utf8(codepoint, wanted);
	assert_string_equal(key_reader_text(bench->reader), wanted);
	return count;
}

/* ---- text ---- */

static void all_that_is_spelled_reads_so(void **state)
{
	for (size_t i = 0; i < LAYOUTS; i++) {
		struct bench bench;
		unsigned spelled = 0;

		open_bench(&bench, &layouts[i]);
		for (uint32_t codepoint = 0; codepoint < CODEPOINTS; codepoint++)
			spelled += spell(&bench, codepoint) > 0;
		assert_true(spelled > 80);
		close_bench(&bench);
	}
}

static void letters_and_ascii_are_spelled(void **state)
{
	for (size_t i = 0; i < LAYOUTS; i++) {
		struct bench bench;

		open_bench(&bench, &layouts[i]);
		assert_int_equal(spell(&bench, '\n'), 1);
		assert_int_equal(spell(&bench, '\t'), 1);
		for (uint32_t ascii = ' '; ascii <= '~' && !layouts[i].is_foreign; ascii++)
			assert_true(spell(&bench, ascii) > 0);
		for (const char32_t *letter = layouts[i].letters; *letter; letter++)
			assert_true(spell(&bench, *letter) > 0);
		for (const char32_t *letter = layouts[i].dead; *letter; letter++)
			assert_int_equal(spell(&bench, *letter), 2);
		close_bench(&bench);
	}
}

static void no_control_character_is_spelled(void **state)
{
	for (size_t i = 0; i < LAYOUTS; i++) {
		struct bench bench;

		open_bench(&bench, &layouts[i]);
		for (uint32_t codepoint = 0; codepoint < 0xa0; codepoint++) {
			if (codepoint == '\n' || codepoint == '\t' || (codepoint >= ' ' && codepoint <= '~'))
				continue;
			assert_int_equal(spell(&bench, codepoint), 0);
		}
		/* Nor what is none at all. */
		assert_int_equal(spell(&bench, 0xd800), 0);
		assert_int_equal(spell(&bench, 0x110000), 0);
		assert_int_equal(spell(&bench, UINT32_MAX), 0);
		close_bench(&bench);
	}
}

/* Written from keyboards, not from XKB's files. */
static const struct {
	const char *layout;
	uint32_t codepoint;
	struct seat_stroke stroke;
} engraved[] = {
	{ "us", 'a', { KEY_A, false, false } },		 { "us", 'A', { KEY_A, true, false } },
	{ "us", '<', { KEY_COMMA, true, false } },	 { "us", '(', { KEY_9, true, false } },
	{ "us", '\\', { KEY_BACKSLASH, false, false } }, { "us", '\n', { KEY_ENTER, false, false } },
	{ "us", '\t', { KEY_TAB, false, false } },	 { "de", '@', { KEY_Q, false, true } },
	{ "de", 0x20ac, { KEY_E, false, true } },	 { "de", '{', { KEY_7, false, true } },
	{ "de", '}', { KEY_0, false, true } },		 { "de", '\\', { KEY_MINUS, false, true } },
	{ "de", '|', { KEY_102ND, false, true } },	 { "de", '<', { KEY_102ND, false, false } },
	{ "de", 'z', { KEY_Y, false, false } },		 { "fr", '1', { KEY_1, true, false } },
	{ "fr", '0', { KEY_0, true, false } },		 { "fr", '&', { KEY_1, false, false } },
	{ "fr", 'a', { KEY_Q, false, false } },		 { "fr", '@', { KEY_0, false, true } },
	{ "gb", '"', { KEY_2, true, false } },		 { "gb", '\\', { KEY_102ND, false, false } },
	{ "gb", '|', { KEY_102ND, true, false } },	 { "ch", '@', { KEY_2, false, true } },
	{ "es", 0xf1, { KEY_SEMICOLON, false, false } },
};

static void assert_stroke(const struct seat_stroke *stroke, unsigned code, bool shift, bool altgr)
{
	assert_int_equal(stroke->code, code);
	assert_int_equal(stroke->shift, shift);
	assert_int_equal(stroke->altgr, altgr);
}

static void characters_are_where_keyboards_have_them(void **state)
{
	for (size_t i = 0; i < sizeof(engraved) / sizeof(engraved[0]); i++) {
		const struct seat_stroke *wanted = &engraved[i].stroke;
		struct seat_stroke strokes[SEAT_STROKES_MAX];
		struct seat_keymap *keymap;

		assert_int_equal(seat_keymap_create(engraved[i].layout, &keymap), 0);
		assert_int_equal(seat_keymap_spell(keymap, engraved[i].codepoint, strokes), 1);
		assert_stroke(&strokes[0], wanted->code, wanted->shift, wanted->altgr);
		seat_keymap_destroy(keymap);
	}
}

/* The layout has them on keys of the keypad that hardly any keyboard has, and few guests know. */
static void a_key_that_few_guests_know_types_nothing(void **state)
{
	struct seat_stroke strokes[SEAT_STROKES_MAX], stroke;
	struct seat_keymap *keymap;

	assert_int_equal(seat_keymap_create("us", &keymap), 0);
	assert_true(seat_keymap_find(keymap, XKB_KEY_plusminus, &stroke));
	assert_int_equal(stroke.code, KEY_KPPLUSMINUS);
	assert_int_equal(seat_keymap_spell(keymap, 0xb1, strokes), 0);
	assert_int_equal(seat_keymap_spell(keymap, '(', strokes), 1);
	assert_stroke(&strokes[0], KEY_9, true, false);
	seat_keymap_destroy(keymap);
}

static void dead_keys_come_before_what_they_change(void **state)
{
	struct seat_stroke strokes[SEAT_STROKES_MAX];
	struct seat_keymap *keymap;

	assert_int_equal(seat_keymap_create("de", &keymap), 0);
	assert_int_equal(seat_keymap_spell(keymap, '^', strokes), 2);
	assert_stroke(&strokes[0], KEY_GRAVE, false, false);
	assert_stroke(&strokes[1], KEY_SPACE, false, false);
	assert_int_equal(seat_keymap_spell(keymap, 0xc8, strokes), 2); /* È */
	assert_stroke(&strokes[0], KEY_EQUAL, true, false);
	assert_stroke(&strokes[1], KEY_E, true, false);
	seat_keymap_destroy(keymap);
}

/* ---- keysyms ---- */

static bool is_keypad(uint32_t keysym)
{
	return keysym >= XKB_KEY_KP_Space && keysym <= XKB_KEY_KP_Equal;
}

static uint32_t keysym_with(struct key_reader *reader, const struct seat_stroke *stroke)
{
	uint32_t keysym;

	hold(reader, stroke, true);
	keysym = key_reader_keysym(reader, stroke->code);
	hold(reader, stroke, false);
	return keysym;
}

static uint32_t keysym_with_num_lock(struct key_reader *reader, unsigned code)
{
	uint32_t keysym;

	press(reader, KEY_NUMLOCK);
	keysym = key_reader_keysym(reader, code);
	press(reader, KEY_NUMLOCK);
	return keysym;
}

/* What the key gives with these modifiers is found, and the key that is found gives it. */
static unsigned find_back(struct bench *bench, unsigned code, bool shift, bool altgr)
{
	const struct seat_stroke held = { .code = (uint16_t)code, .shift = shift, .altgr = altgr };
	uint32_t keysym = keysym_with(bench->reader, &held);
	struct seat_stroke found;

	/* A modifier alone is one; with others it may be called differently. */
	if (!keysym || ((shift || altgr) && keysym >= XKB_KEY_Shift_L && keysym <= XKB_KEY_Hyper_R))
		return 0;
	assert_true(seat_keymap_find(bench->keymap, keysym, &found));
	if (keysym_with(bench->reader, &found) != keysym) {
		assert_true(is_keypad(keysym));
		assert_int_equal(keysym_with_num_lock(bench->reader, found.code), keysym);
	}
	/* Not with more modifiers than this way, unless few keyboards have this key. */
	assert_true(found.code == code || code > KEY_SPACE || found.shift + found.altgr <= shift + altgr);
	return 1;
}

static void all_keysyms_are_found(void **state)
{
	for (size_t i = 0; i < LAYOUTS; i++) {
		struct bench bench;
		unsigned found = 0;
		bool has_altgr;

		open_bench(&bench, &layouts[i]);
		has_altgr = key_reader_keysym(bench.reader, KEY_RIGHTALT) == XKB_KEY_ISO_Level3_Shift;
		for (unsigned code = 1; code < CODES; code++) {
			for (unsigned level = 0; level < (has_altgr ? 4 : 2) && !IS_NO_KEY(code); level++)
				found += find_back(&bench, code, level & 1, level & 2);
		}
		assert_true(found > 300);
		close_bench(&bench);
	}
}

static void assert_found(const struct seat_keymap *keymap, uint32_t keysym, unsigned code)
{
	struct seat_stroke stroke;

	assert_true(seat_keymap_find(keymap, keysym, &stroke));
	assert_stroke(&stroke, code, false, false);
}

static void keys_without_characters_are_found(void **state)
{
	struct seat_stroke stroke;
	struct seat_keymap *keymap;

	assert_int_equal(seat_keymap_create("de", &keymap), 0);
	assert_found(keymap, XKB_KEY_F1, KEY_F1);
	assert_found(keymap, XKB_KEY_F12, KEY_F12);
	assert_found(keymap, XKB_KEY_Escape, KEY_ESC);
	assert_found(keymap, XKB_KEY_BackSpace, KEY_BACKSPACE);
	assert_found(keymap, XKB_KEY_Delete, KEY_DELETE);
	assert_found(keymap, XKB_KEY_Up, KEY_UP);
	assert_found(keymap, XKB_KEY_Shift_L, KEY_LEFTSHIFT);
	assert_found(keymap, XKB_KEY_Shift_R, KEY_RIGHTSHIFT);
	assert_found(keymap, XKB_KEY_Control_R, KEY_RIGHTCTRL);
	assert_found(keymap, XKB_KEY_Alt_L, KEY_LEFTALT);
	assert_found(keymap, XKB_KEY_ISO_Level3_Shift, KEY_RIGHTALT);
	assert_found(keymap, XKB_KEY_Super_L, KEY_LEFTMETA);
	assert_found(keymap, XKB_KEY_Num_Lock, KEY_NUMLOCK);
	assert_found(keymap, XKB_KEY_KP_7, KEY_KP7);
	assert_found(keymap, XKB_KEY_KP_Home, KEY_KP7);
	assert_found(keymap, XKB_KEY_KP_Enter, KEY_KPENTER);
	assert_found(keymap, XKB_KEY_KP_Add, KEY_KPPLUS);
	assert_true(seat_keymap_find(keymap, XKB_KEY_ISO_Left_Tab, &stroke));
	assert_stroke(&stroke, KEY_TAB, true, false);
	seat_keymap_destroy(keymap);
}

static void a_character_has_several_keysyms(void **state)
{
	struct seat_stroke stroke;
	struct seat_keymap *keymap;

	assert_int_equal(seat_keymap_create("pl", &keymap), 0);
	assert_true(seat_keymap_find(keymap, XKB_KEY_aogonek, &stroke));
	assert_stroke(&stroke, KEY_A, false, true);
	assert_true(seat_keymap_find(keymap, 0x1000105, &stroke));
	assert_stroke(&stroke, KEY_A, false, true);
	assert_int_equal(seat_keysym_codepoint(XKB_KEY_aogonek), 0x105);
	assert_int_equal(seat_keysym_codepoint(0x1000105), 0x105);
	assert_int_equal(seat_keysym_codepoint(XKB_KEY_Return), 0);
	assert_int_equal(seat_keysym_codepoint(XKB_KEY_KP_7), 0);
	assert_int_equal(seat_keysym_codepoint(0x1000009), 0);
	seat_keymap_destroy(keymap);
	/* By a dead key and a letter: no key has it. */
	assert_int_equal(seat_keymap_create("de", &keymap), 0);
	assert_false(seat_keymap_find(keymap, XKB_KEY_eacute, &stroke));
	assert_false(seat_keymap_find(keymap, 0, &stroke));
	assert_false(seat_keymap_find(keymap, 0x110ffff, &stroke));
	assert_false(seat_keymap_find(keymap, UINT32_MAX, &stroke));
	seat_keymap_destroy(keymap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_is_spelled_reads_so),
		cmocka_unit_test(letters_and_ascii_are_spelled),
		cmocka_unit_test(no_control_character_is_spelled),
		cmocka_unit_test(characters_are_where_keyboards_have_them),
		cmocka_unit_test(a_key_that_few_guests_know_types_nothing),
		cmocka_unit_test(dead_keys_come_before_what_they_change),
		cmocka_unit_test(all_keysyms_are_found),
		cmocka_unit_test(keys_without_characters_are_found),
		cmocka_unit_test(a_character_has_several_keysyms),
	};

	return cmocka_run_group_tests_name("seat_keymap", tests, NULL, NULL);
}
