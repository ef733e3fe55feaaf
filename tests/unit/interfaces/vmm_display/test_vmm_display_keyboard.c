/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys to a QEMU whose keyboard holds 16 bytes, and a guest that reads them now and then. */
#include "display_bench.h"

#define QUEUE_BYTES 16u
#define STROKES	    2000u
/* So many are on their way at once. */
#define AHEAD 100u

static void say_key(struct fake_qemu *qemu, uint32_t code, uint32_t down)
{
	daemon_say(qemu,
		   (struct vmm_display_message){ .kind = VMM_DISPLAY_KEY, .number = code, .down = down });
}

/* ---- a guest, and QEMU's queue before it ---- */

struct keyboard {
	struct fake_qemu *qemu;
	uint64_t seed;
	unsigned calls; /* of the QEMU's that were taken */
	unsigned bytes; /* that the guest has not read */
	unsigned heard; /* presses and releases */
};

static const unsigned codes[] = { KEY_A, KEY_RIGHTCTRL, KEY_1, KEY_HOME, KEY_LEFTSHIFT };
static const char *const names[] = { "30", "157", "2", "199", "42" };
#define CODES (sizeof(codes) / sizeof(codes[0]))

static unsigned below(struct keyboard *keyboard, unsigned limit)
{
	keyboard->seed = keyboard->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(keyboard->seed >> 33) % limit;
}

/* The nth event is this key's. */
static bool is_expected(const char *text, unsigned n)
{
	char wanted[64];

	snprintf(wanted, sizeof(wanted), "Keyboard %s %s", n % 2 == 0 ? "Press" : "Release",
		 names[n / 2 % CODES]);
	return strcmp(text, wanted) == 0;
}

static void take_calls(struct keyboard *keyboard)
{
	struct fake_qemu *qemu = keyboard->qemu;

	for (; keyboard->calls < qemu->call_count; keyboard->calls++, keyboard->heard++) {
		unsigned key = keyboard->heard / 2 % CODES;

		assert_true(is_expected(qemu->calls[keyboard->calls].text, keyboard->heard));
		keyboard->bytes += 1 + keyboard->heard % 2 + (key == 1 || key == 3);
		assert_in_range(keyboard->bytes, 1, QUEUE_BYTES);
	}
	keyboard->calls = qemu->call_count = 0;
}

static void turn(struct keyboard *keyboard)
{
	if (below(keyboard, 3) == 0)
		keyboard->bytes = 0;
	keyboard->qemu->look = keyboard->bytes > 0 ? QEMU_DOUBLE_UNREAD : QEMU_DOUBLE_READ;
	fake_step(keyboard->qemu);
	take_calls(keyboard);
}

/* ---- tests ---- */

static void keeps_the_guests_pace(void **state)
{
	struct keyboard keyboard = { .qemu = *state, .seed = 1, .bytes = SETTLE_BYTES };
	unsigned said = 0;

	while (keyboard.heard < 2 * STROKES) {
		for (; said < 2 * STROKES && said < keyboard.heard + AHEAD; said++)
			say_key(keyboard.qemu, codes[said / 2 % CODES], said % 2 == 0);
		AWAIT(keyboard.heard == said || said < keyboard.heard + AHEAD / 2, turn(&keyboard));
		if (said < 2 * STROKES)
			continue;
		AWAIT(keyboard.heard == said, turn(&keyboard));
	}
	UNTIL(keyboard.qemu, keyboard.qemu->keys.x == SETTLE_KEYS + 2 * STROKES);
	UNTIL(keyboard.qemu, keyboard.qemu->keys.y == 0);
	assert_int_equal(keyboard.qemu->keys.width, 0);
	assert_int_equal(keyboard.qemu->keys.down, 1);
	assert_in_range(keyboard.qemu->looks, 2 * STROKES / 12, UINT32_MAX);
}

/* While its user types slowly, and its queue is empty in between or may be, it is not looked at. */
static void looks_only_when_it_must(void **state)
{
	struct fake_qemu *qemu = *state;

	for (unsigned i = 0; i < 3; i++) {
		say_key(qemu, KEY_A, 1);
		say_key(qemu, KEY_A, 0);
	}
	UNTIL(qemu, qemu->call_count == 6 && qemu->keys.x == SETTLE_KEYS + 6);
	assert_int_equal(qemu->looks, 0);
	say_key(qemu, KEY_A, 1);
	UNTIL(qemu, qemu->call_count == 7);
	assert_int_equal(qemu->looks, 1);
}

/* What it cannot tell is not waited for. */
static void goes_on_blindly(void **state)
{
	static const char *const answers[] = {
		"{\"return\": \"portb[0x0064] = 0xff\\r\\n\"}\r\n",
		"{\"return\": {}}\r\n",
		"{\"return\": \"unknown command: 'i'\\r\\n\"}\r\n",
		"{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no\"}}\r\n",
	};
	struct fake_qemu *qemu = *state;
	static unsigned turn_count;

	qemu->look = answers[turn_count++ % 4];
	for (unsigned i = 0; i < 100; i++) {
		say_key(qemu, KEY_A, 1);
		say_key(qemu, KEY_A, 0);
	}
	UNTIL(qemu, qemu->call_count == 200);
	assert_int_equal(qemu->looks, 1);
	UNTIL(qemu, qemu->keys.x == SETTLE_KEYS + 200);
	assert_int_equal(qemu->keys.down, 0);
}

/* Bytes of something else lie there, as of a keyboard that the guest does not read. */
static void waits_only_so_long_for_what_was_never_read(void **state)
{
	struct fake_qemu *qemu = *state;

	qemu->look = QEMU_DOUBLE_UNREAD;
	for (unsigned i = 0; i < 50; i++) {
		say_key(qemu, KEY_A, 1);
		say_key(qemu, KEY_A, 0);
	}
	UNTIL(qemu, qemu->call_count == 100);
	/* In two seconds: often at first, and then more and more seldom. */
	assert_in_range(qemu->looks, 10, 200);
	UNTIL(qemu, qemu->keys.x == SETTLE_KEYS + 100 && qemu->keys.y == 0);
	assert_int_equal(qemu->keys.width, 0);
	assert_int_equal(qemu->keys.down, 0);
}

/* Lines that answer nothing, and one that is longer than any that is waited for. */
static void what_else_qmp_says_is_ignored(void **state)
{
	static char line[20000];
	struct fake_qemu *qemu = *state;

	memset(line, 'x', sizeof(line) - 3);
	line[sizeof(line) - 3] = '\r';
	line[sizeof(line) - 2] = '\n';
	fake_write(qemu, "what\r\n{\"return\": \"portb[0x0064] = 0x1d\\r\\n\"}\r\n");
	fake_write(qemu, line);
	for (unsigned i = 0; i < 8; i++) {
		say_key(qemu, KEY_A, 1);
		say_key(qemu, KEY_A, 0);
	}
	UNTIL(qemu, qemu->call_count == 16);
	assert_in_range(qemu->looks, 1, 2);
}

/* What waits goes to the guest before the keys come up, and the next daemon's are counted from 0. */
static void a_successor_counts_anew(void **state)
{
	struct fake_qemu *qemu = *state;

	qemu->withholds_looks = true;
	for (unsigned i = 0; i < 20; i++) {
		say_key(qemu, KEY_A, 1);
		say_key(qemu, KEY_A, 0);
	}
	say_key(qemu, KEY_LEFTSHIFT, 1);
	UNTIL(qemu, qemu->keys.x == SETTLE_KEYS + 41 && qemu->looks == 1);
	daemon_say(qemu, (struct vmm_display_message){ .kind = VMM_DISPLAY_AGAIN, .number = 77 });
	UNTIL(qemu, qemu->keys.number == 77);
	assert_int_equal(qemu->keys.x, 0);
	assert_int_equal(qemu->keys.y + qemu->call_count, 42);
	qemu->withholds_looks = false;
	fake_write(qemu, QEMU_DOUBLE_READ);
	UNTIL(qemu, qemu->call_count == 42 && qemu->keys.y == 0);
	assert_string_equal(qemu->calls[41].text, "Keyboard Release 42");
	assert_int_equal(qemu->keys.x, 0);
}

/* QEMU's bits are in another order than Linux', and others than three mean nothing. */
static void tells_the_lights(void **state)
{
	static const struct {
		uint32_t qemu, told;
	} rows[] = { { 1, 1u << LED_SCROLLL },
		     { 2, 1u << LED_NUML },
		     { 4, 1u << LED_CAPSL },
		     { UINT32_MAX, 7 },
		     { 0xfffffff8, 0 } };
	struct fake_qemu *qemu = *state;

	assert_int_equal(qemu->keys.height, 0);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		qemu->lights = rows[i].qemu;
		assert_true(sd_bus_emit_signal(qemu->control, qemu->graphic,
					       "org.freedesktop.DBus.Properties", "PropertiesChanged",
					       "sa{sv}as", "org.qemu.Display1.Keyboard", 0, 0) >= 0);
		UNTIL(qemu, qemu->keys.height == rows[i].told);
	}
	/* A successor hears of those that are on. */
	qemu->lights = 4;
	assert_true(sd_bus_emit_signal(qemu->control, qemu->graphic, "org.freedesktop.DBus.Properties",
				       "PropertiesChanged", "sa{sv}as", "org.qemu.Display1.Keyboard", 0,
				       0) >= 0);
	UNTIL(qemu, qemu->keys.height == 1u << LED_CAPSL);
	daemon_say(qemu, (struct vmm_display_message){ .kind = VMM_DISPLAY_AGAIN, .number = 77 });
	UNTIL(qemu, qemu->keys.number == 77);
	assert_int_equal(qemu->keys.height, 1u << LED_CAPSL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DISPLAY_TEST(keeps_the_guests_pace),
		DISPLAY_TEST(looks_only_when_it_must),
		DISPLAY_TEST(goes_on_blindly),
		DISPLAY_TEST(goes_on_blindly),
		DISPLAY_TEST(goes_on_blindly),
		DISPLAY_TEST(goes_on_blindly),
		DISPLAY_TEST(waits_only_so_long_for_what_was_never_read),
		DISPLAY_TEST(what_else_qmp_says_is_ignored),
		DISPLAY_TEST(a_successor_counts_anew),
		DISPLAY_TEST(tells_the_lights),
	};

	return cmocka_run_group_tests_name("vmm_display_keyboard", tests, NULL, NULL);
}
