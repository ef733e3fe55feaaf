/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys and the pointer of a client, as the daemon hears of them. */
#include <linux/input-event-codes.h>

#include "viewer_bench.h"

static void qemu_key(struct bench *bench, uint32_t keysym, uint32_t scancode, bool down)
{
	uint8_t message[12] = { 255, 0, 0, down };

	big32_put(message + 4, keysym);
	big32_put(message + 8, scancode);
	client_say(bench, message, sizeof(message));
}

static void point(struct bench *bench, uint32_t x, uint32_t y, uint8_t mask)
{
	uint8_t message[6] = { 5, mask };

	big16_put(message + 2, (uint16_t)x);
	big16_put(message + 4, (uint16_t)y);
	client_say(bench, message, sizeof(message));
}

static void hear_key(struct bench *bench, enum viewer_message_kind kind, uint32_t number, bool down)
{
	struct viewer_message message = daemon_hear(bench);

	assert_int_equal(message.kind, kind);
	assert_int_equal(message.number, number);
	assert_int_equal(message.down, down);
}

static void hear_pointer(struct bench *bench, uint32_t x, uint32_t y, uint32_t buttons, int32_t wheel)
{
	struct viewer_message message = daemon_hear(bench);

	assert_int_equal(message.kind, VIEWER_POINTER);
	assert_int_equal(message.x, x);
	assert_int_equal(message.y, y);
	assert_int_equal(message.number, buttons);
	assert_int_equal(message.wheel, wheel);
}

static int setup(void **state)
{
	bench_setup(state);
	bench_meet(*state, WIDTH, HEIGHT);
	return 0;
}

static void tells_keysyms(void **state)
{
	struct bench *bench = *state;

	client_key(bench, 'a', true);
	hear_key(bench, VIEWER_KEYSYM, 'a', true);
	client_key(bench, 0xffe1, true);
	hear_key(bench, VIEWER_KEYSYM, 0xffe1, true);
	client_key(bench, 'a', false);
	hear_key(bench, VIEWER_KEYSYM, 'a', false);
}

/* Also in an update of its own, when nothing else was asked for. */
static void says_that_it_knows_scancodes(void **state)
{
	static const int32_t encodings[] = { ENCODING_QEMU_KEYS, ENCODING_RAW };
	struct bench *bench = *state;

	client_set_encodings(bench, encodings, 2);
	assert_int_equal(client_take_update(bench), 0);
	assert_int_equal(bench->acks, 1);
	client_request(bench, false);
	assert_int_equal(client_take_update(bench), WIDTH * HEIGHT);
	assert_int_equal(bench->acks, 1);
}

static void tells_codes_of_keys(void **state)
{
	static const uint32_t keys[][2] = {
		{ 0x01, KEY_ESC },     { 0x1e, KEY_A },		{ 0x45, KEY_NUMLOCK },
		{ 0x53, KEY_KPDOT },   { 0x54, KEY_SYSRQ },	{ 0x56, KEY_102ND },
		{ 0x57, KEY_F11 },     { 0x58, KEY_F12 },	{ 0x7d, KEY_YEN },
		{ 0x9c, KEY_KPENTER }, { 0x9d, KEY_RIGHTCTRL }, { 0xb5, KEY_KPSLASH },
		{ 0xb7, KEY_SYSRQ },   { 0xb8, KEY_RIGHTALT },	{ 0xc6, KEY_PAUSE },
		{ 0xc7, KEY_HOME },    { 0xc8, KEY_UP },	{ 0xcb, KEY_LEFT },
		{ 0xd0, KEY_DOWN },    { 0xd3, KEY_DELETE },	{ 0xdb, KEY_LEFTMETA },
		{ 0xdd, KEY_COMPOSE },
	};
	struct bench *bench = *state;

	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		qemu_key(bench, 'x', keys[i][0], true);
		hear_key(bench, VIEWER_KEY, keys[i][1], true);
		qemu_key(bench, 'x', keys[i][0], false);
		hear_key(bench, VIEWER_KEY, keys[i][1], false);
	}
}

/* Below 0x54 the codes are the same; no scancode becomes something that is not a key. */
static void knows_every_scancode(void **state)
{
	struct bench *bench = *state;

	for (uint32_t scancode = 0; scancode < 300; scancode++) {
		struct viewer_message message;

		qemu_key(bench, 0x1000 + scancode, scancode, true);
		message = daemon_hear(bench);
		if (message.kind == VIEWER_KEYSYM)
			assert_int_equal(message.number, 0x1000 + scancode);
		else
			assert_true(message.number > KEY_RESERVED && message.number < KEY_CNT);
		if (scancode > 0 && scancode < 0x54)
			assert_int_equal(message.number, scancode);
		assert_int_equal(message.kind == VIEWER_KEYSYM, scancode == 0 || message.number >= 0x1000);
		qemu_key(bench, 0x1000 + scancode, scancode, false);
		assert_int_equal(daemon_hear(bench).number, message.number);
	}
}

static void tells_no_key_twice(void **state)
{
	struct bench *bench = *state;

	for (unsigned i = 0; i < 3; i++)
		qemu_key(bench, 'a', 0x1e, true);
	for (unsigned i = 0; i < 3; i++)
		client_key(bench, 'b', true);
	for (unsigned i = 0; i < 2; i++)
		qemu_key(bench, 'a', 0x1e, false);
	client_key(bench, 'c', false);
	client_key(bench, 'b', false);
	hear_key(bench, VIEWER_KEY, KEY_A, true);
	hear_key(bench, VIEWER_KEYSYM, 'b', true);
	hear_key(bench, VIEWER_KEY, KEY_A, false);
	hear_key(bench, VIEWER_KEYSYM, 'b', false);
}

/* Sixteen keysyms are held at most; another is not told, neither down nor up. */
static void holds_a_limited_number_of_keysyms(void **state)
{
	struct bench *bench = *state;

	for (unsigned i = 0; i < 16; i++) {
		client_key(bench, 'a' + i, true);
		hear_key(bench, VIEWER_KEYSYM, 'a' + i, true);
	}
	client_key(bench, 'z', true);
	client_key(bench, 'z', false);
	client_key(bench, 'a', false);
	hear_key(bench, VIEWER_KEYSYM, 'a', false);
	client_key(bench, 'z', true);
	hear_key(bench, VIEWER_KEYSYM, 'z', true);
}

static void tells_where_the_pointer_is(void **state)
{
	struct bench *bench = *state;

	point(bench, 3, 4, 0);
	hear_pointer(bench, 3, 4, 0, 0);
	point(bench, 3, 4, 0x5);
	hear_pointer(bench, 3, 4, 0x5, 0);
	point(bench, 65535, 65535, 0x2);
	hear_pointer(bench, WIDTH - 1, HEIGHT - 1, 0x2, 0);
	/* Nothing new. */
	point(bench, 65535, 65535, 0x2);
	point(bench, 1, 1, 0);
	hear_pointer(bench, 1, 1, 0, 0);
}

/* A press is a notch, a release is none; other buttons of the protocol are not passed on. */
static void turns_the_wheel(void **state)
{
	struct bench *bench = *state;

	point(bench, 5, 5, 0);
	hear_pointer(bench, 5, 5, 0, 0);
	for (unsigned i = 0; i < 2; i++) {
		point(bench, 5, 5, 0x08);
		hear_pointer(bench, 5, 5, 0, 1);
		point(bench, 5, 5, 0);
	}
	point(bench, 5, 5, 0x11);
	hear_pointer(bench, 5, 5, 0x1, -1);
	point(bench, 5, 6, 0x11);
	hear_pointer(bench, 5, 6, 0x1, 0);
	point(bench, 5, 6, 0xe1);
	point(bench, 5, 7, 0xe0);
	hear_pointer(bench, 5, 7, 0, 0);
}

static void lets_all_go_when_the_client_does(void **state)
{
	struct bench *bench = *state;

	qemu_key(bench, 'a', 0x1e, true);
	qemu_key(bench, 0, 0x9d, true);
	client_key(bench, 'b', true);
	point(bench, 8, 9, 0x4);
	hear_key(bench, VIEWER_KEY, KEY_A, true);
	hear_key(bench, VIEWER_KEY, KEY_RIGHTCTRL, true);
	hear_key(bench, VIEWER_KEYSYM, 'b', true);
	hear_pointer(bench, 8, 9, 0x4, 0);
	fd_close(&bench->client);
	hear_key(bench, VIEWER_KEY, KEY_A, false);
	hear_key(bench, VIEWER_KEY, KEY_RIGHTCTRL, false);
	hear_key(bench, VIEWER_KEYSYM, 'b', false);
	hear_pointer(bench, 8, 9, 0, 0);
	daemon_hear_end(bench);
}

/* A daemon that does not read holds up the client, and loses nothing. */
static void loses_no_key(void **state)
{
	enum { STROKES = 1000 };
	static uint8_t strokes[STROKES][2][12];
	struct bench *bench = *state;

	for (unsigned i = 0; i < STROKES; i++) {
		memcpy(strokes[i][0], "\xff\0\0\1\0\0\0\0\0\0\0\x1e", 12);
		memcpy(strokes[i][1], "\xff\0\0\0\0\0\0\0\0\0\0\x1e", 12);
	}
	/* All at once: the sockets hold them. */
	client_say(bench, strokes, sizeof(strokes));
	AWAIT(bench_state(bench) == 'S', (void)0);
	for (unsigned i = 0; i < STROKES; i++) {
		hear_key(bench, VIEWER_KEY, KEY_A, true);
		hear_key(bench, VIEWER_KEY, KEY_A, false);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(tells_keysyms, setup, bench_teardown),
		cmocka_unit_test_setup_teardown(says_that_it_knows_scancodes, setup, bench_teardown),
		cmocka_unit_test_setup_teardown(tells_codes_of_keys, setup, bench_teardown),
		cmocka_unit_test_setup_teardown(knows_every_scancode, setup, bench_teardown),
		cmocka_unit_test_setup_teardown(tells_no_key_twice, setup, bench_teardown),
		cmocka_unit_test_setup_teardown(holds_a_limited_number_of_keysyms, setup, bench_teardown),
		cmocka_unit_test_setup_teardown(tells_where_the_pointer_is, setup, bench_teardown),
		cmocka_unit_test_setup_teardown(turns_the_wheel, setup, bench_teardown),
		cmocka_unit_test_setup_teardown(lets_all_go_when_the_client_does, setup, bench_teardown),
		cmocka_unit_test_setup_teardown(loses_no_key, setup, bench_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
