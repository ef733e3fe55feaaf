/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a guest hears of keys and of the pointer through the xHCI model, against naive models. */
#include "test_disk.h"
#include "xhci_guest.h"

#define STROKES 4000u

/* Keys of the main block, and all modifiers, with their usages (HID Usage Tables, 10). */
static const struct {
	uint16_t code;
	uint8_t usage;
} keys[] = {
	{ KEY_A, 4 },	     { KEY_Z, 29 },	    { KEY_1, 30 },	   { KEY_0, 39 },
	{ KEY_ENTER, 40 },   { KEY_SPACE, 44 },	    { KEY_F1, 58 },	   { KEY_F12, 69 },
	{ KEY_RIGHT, 79 },   { KEY_UP, 82 },	    { KEY_KP1, 89 },	   { KEY_102ND, 100 },
	{ KEY_LEFTCTRL, 0xe0 }, { KEY_LEFTSHIFT, 0xe1 }, { KEY_LEFTALT, 0xe2 }, { KEY_LEFTMETA, 0xe3 },
	{ KEY_RIGHTCTRL, 0xe4 }, { KEY_RIGHTSHIFT, 0xe5 }, { KEY_RIGHTALT, 0xe6 }, { KEY_RIGHTMETA, 0xe7 },
};
#define KEYS (sizeof(keys) / sizeof(keys[0]))

static bool contains(const uint8_t *report, uint8_t usage)
{
	return memchr(report + 2, usage, 6);
}

/* Does the report say that these keys are down, and no others? */
static void assert_keyboard(const uint8_t report[8], const bool down[KEYS])
{
	unsigned others = 0, modifiers = 0;

	for (size_t i = 0; i < KEYS; i++) {
		if (keys[i].usage >= 0xe0)
			modifiers |= (unsigned)down[i] << (keys[i].usage - 0xe0);
		else
			others += down[i];
	}
	assert_int_equal(report[0], modifiers);
	assert_int_equal(report[1], 0);
	for (size_t i = 0; i < KEYS; i++)
		if (keys[i].usage < 0xe0)
			assert_int_equal(contains(report, keys[i].usage), others <= 6 && down[i]);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(report[2 + i] == 0, others <= 6 && i >= others);
	if (others > 6)
		assert_memory_equal(report + 2, "\1\1\1\1\1\1", 6);
}

/* Every stroke is a report; the ring wraps many times. */
static void random_strokes(void **state)
{
	bool down[KEYS] = { false };
	uint8_t report[8];
	uint64_t seed = 1;

	begin_ready(USB_INPUT_KEYBOARD);
	for (unsigned i = 0; i < STROKES; i++) {
		size_t key = test_random(&seed) % KEYS;

		down[key] = !down[key];
		usb_input_key(driver.device, keys[key].code, down[key]);
		assert_int_equal(usb_input_waiting(driver.device), 2);
		assert_int_equal(hear(report), 8);
		assert_keyboard(report, down);
	}
	assert_int_equal(usb_input_dropped(driver.device), 0);
	assert_int_equal(violations(), 0);
	end();
}

/* Strokes while no buffer waits are heard in order. */
static void strokes_wait(void **state)
{
	uint8_t report[8];

	begin_ready(USB_INPUT_KEYBOARD);
	for (unsigned i = 0; i < 50; i++) {
		usb_input_key(driver.device, KEY_1 + i % 9, true);
		usb_input_key(driver.device, KEY_1 + i % 9, false);
	}
	for (unsigned i = 0; i < 50; i++) {
		assert_int_equal(hear(report), 8);
		assert_int_equal(report[2], 30 + i % 9);
		assert_int_equal(hear(report), 8);
		assert_int_equal(report[2], 0);
	}
	assert_int_equal(hear(report), 0);
	/* The buffer that was offered waits: a key answers it, without a doorbell. */
	usb_input_key(driver.device, KEY_Z, true);
	assert_int_equal((int)(await(TRANSFER_EVENT).status >> 24), SUCCESS);
	assert_int_equal(driver.ram[DATA_AT + 0x1002], 29);
	end();
}

/* More than waits is dropped; no key sticks. */
static void no_key_sticks(void **state)
{
	bool down[KEYS] = { false };
	uint8_t report[8] = { 0 };
	uint64_t seed = 2;

	begin_ready(USB_INPUT_KEYBOARD);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 400; i++) {
			size_t key = test_random(&seed) % KEYS;

			down[key] = !down[key];
			usb_input_key(driver.device, keys[key].code, down[key]);
		}
		for (size_t i = 0; i < KEYS; i++)
			usb_input_key(driver.device, keys[i].code, false);
		memset(down, 0, sizeof(down));
		assert_true(usb_input_dropped(driver.device) > round);
		while (usb_input_waiting(driver.device) > 0)
			assert_int_equal(hear(report), 8);
		/* What was owed may have come only after the rest. */
		while (hear(report) > 0)
			continue;
		/* The last buffer waits: a stroke takes it. */
		usb_input_key(driver.device, KEY_A, true);
		await(TRANSFER_EVENT);
		usb_input_key(driver.device, KEY_A, false);
		assert_int_equal(hear(report), 8);
		assert_keyboard(report, down);
	}
	end();
}

/* Before the driver has configured it, and after a reset: what is down then is not told. */
static void heard_from_when_it_is_configured(void **state)
{
	uint8_t report[8];

	begin(USB_INPUT_KEYBOARD);
	usb_input_key(driver.device, KEY_A, true);
	assert_int_equal(usb_input_waiting(driver.device), 0);
	enumerate();
	assert_int_equal(hear(report), 0);
	usb_input_key(driver.device, KEY_A, false);
	usb_input_key(driver.device, KEY_1, true);
	await(TRANSFER_EVENT);
	assert_memory_equal(driver.ram + DATA_AT + 0x1000, ((const uint8_t[]){ 0, 0, 30, 0, 0, 0, 0, 0 }), 8);
	assert_int_equal(request(SET_CONFIGURATION(0)), 0);
	usb_input_key(driver.device, KEY_Z, true);
	assert_int_equal(hear(report), 0);
	assert_int_equal(usb_input_waiting(driver.device), 0);
	assert_int_equal(request(SET_CONFIGURATION(1)), 0);
	usb_input_key(driver.device, KEY_SPACE, true);
	await(TRANSFER_EVENT);
	assert_memory_equal(driver.ram + DATA_AT + 0x1000, ((const uint8_t[]){ 0, 0, 44, 0, 0, 0, 0, 0 }), 8);
	/* All of it begins anew. */
	usb_input_key(driver.device, KEY_SPACE, false);
	enumerate();
	assert_int_equal(hear(report), 0);
	end();
}

static void what_a_device_has_not(void **state)
{
	begin_ready(USB_INPUT_KEYBOARD);
	usb_input_key(driver.device, BTN_LEFT, true);
	usb_input_key(driver.device, KEY_CNT, true);
	usb_input_key(driver.device, KEY_RESERVED, true);
	usb_input_key(driver.device, UINT32_MAX, true);
	usb_input_move(driver.device, 1, 1);
	usb_input_turn_wheel(driver.device, 1);
	assert_int_equal(usb_input_waiting(driver.device), 0);
	end();
	begin_ready(USB_INPUT_TABLET);
	usb_input_key(driver.device, KEY_A, true);
	usb_input_key(driver.device, BTN_SIDE, true);
	usb_input_turn_wheel(driver.device, 0);
	assert_int_equal(usb_input_waiting(driver.device), 0);
	end();
}

/* ---- the tablet ---- */

static void assert_tablet(const uint8_t report[8], unsigned buttons, unsigned x, unsigned y, int wheel)
{
	assert_int_equal(report[0], buttons);
	assert_int_equal(report[1] | report[2] << 8, x);
	assert_int_equal(report[3] | report[4] << 8, y);
	assert_int_equal((int8_t)report[5], wheel);
}

static unsigned axis(unsigned value)
{
	return value < 32767 ? value : 32767;
}

/* Each is heard at once. */
static void random_moves(void **state)
{
	unsigned buttons = 0, x = 0, y = 0;
	uint8_t report[8];
	uint64_t seed = 3;

	begin_ready(USB_INPUT_TABLET);
	for (unsigned i = 0; i < STROKES; i++) {
		unsigned what = (unsigned)(test_random(&seed) % 3), bit = (unsigned)(test_random(&seed) % 3);
		int wheel = 0;

		if (what == 0) {
			buttons ^= 1u << bit;
			usb_input_key(driver.device, BTN_LEFT + bit, buttons >> bit & 1);
		} else if (what == 1) {
			x = (unsigned)(test_random(&seed) % 40000);
			y = (unsigned)(test_random(&seed) % 40000);
			usb_input_move(driver.device, x, y);
		} else {
			wheel = (int)(test_random(&seed) % 255) - 127;
			wheel = wheel == 0 ? 1 : wheel;
			usb_input_turn_wheel(driver.device, wheel);
		}
		assert_int_equal(hear(report), 6);
		assert_tablet(report, buttons, axis(x), axis(y), wheel);
	}
	assert_int_equal(usb_input_dropped(driver.device), 0);
	end();
}

static void the_last_move_remains(void **state)
{
	uint8_t report[8];

	begin_ready(USB_INPUT_TABLET);
	for (unsigned i = 0; i < 1000; i++)
		usb_input_move(driver.device, i, 2 * i);
	usb_input_key(driver.device, BTN_LEFT, true);
	for (unsigned i = 0; i < 1000; i++)
		usb_input_move(driver.device, 3 * i, i);
	usb_input_turn_wheel(driver.device, -1000000);
	usb_input_turn_wheel(driver.device, INT32_MAX);
	assert_int_equal(hear(report), 6);
	assert_tablet(report, 0, 999, 1998, 0);
	assert_int_equal(hear(report), 6);
	assert_tablet(report, 1, 999, 1998, 0);
	assert_int_equal(hear(report), 6);
	assert_tablet(report, 1, 2997, 999, 0);
	assert_int_equal(hear(report), 6);
	assert_tablet(report, 1, 2997, 999, -127);
	assert_int_equal(hear(report), 6);
	assert_tablet(report, 1, 2997, 999, 127);
	assert_int_equal(hear(report), 0);
	assert_int_equal(usb_input_dropped(driver.device), 0);
	end();
}

/* ---- TDs of all shapes ---- */

/* In pieces, the last of which tells; and no more of it than one report. */
static void a_report_in_pieces(void **state)
{
	struct trb event;
	uint64_t last;

	begin_ready(USB_INPUT_KEYBOARD);
	put(&driver.reports, RAM_BASE + DATA_AT, 3, TYPE(NORMAL) | CHAIN);
	put(&driver.reports, RAM_BASE + DATA_AT + 100, 1, TYPE(NORMAL) | CHAIN);
	last = put(&driver.reports, RAM_BASE + DATA_AT + 200, 10, TYPE(NORMAL) | IOC);
	set32(DOORBELL(driver.slot), 3);
	assert_silent();
	usb_input_key(driver.device, KEY_A, true);
	usb_input_key(driver.device, KEY_A, false);
	event = await(TRANSFER_EVENT);
	assert_int_equal(event.parameter, last);
	assert_int_equal(code_of(&event), SHORT_PACKET);
	assert_int_equal(left_of(&event), 6);
	assert_int_equal(driver.ram[DATA_AT + 2], 4);
	assert_silent();
	assert_int_equal(usb_input_waiting(driver.device), 2);
	end();
}

/* A packet that is longer than the buffer: the endpoint halts, and the report is sent again. */
static void a_buffer_that_is_too_short(void **state)
{
	struct trb event;
	uint8_t report[8];

	begin_ready(USB_INPUT_KEYBOARD);
	put(&driver.reports, RAM_BASE + DATA_AT, 7, TYPE(NORMAL) | IOC);
	set32(DOORBELL(driver.slot), 3);
	usb_input_key(driver.device, KEY_A, true);
	event = await(TRANSFER_EVENT);
	assert_int_equal(code_of(&event), BABBLE);
	assert_int_equal(hear(report), 0);
	clear_stall(3, &driver.reports);
	assert_int_equal(hear(report), 8);
	assert_int_equal(report[2], 4);
	end();
}

/* The driver gives a TD up in its middle: the next one has all of the report. */
static void a_buffer_that_is_given_up(void **state)
{
	uint64_t next;
	struct trb event;
	uint8_t report[8];

	begin_ready(USB_INPUT_KEYBOARD);
	put(&driver.reports, RAM_BASE + DATA_AT, 3, TYPE(NORMAL) | CHAIN);
	set32(DOORBELL(driver.slot), 3);
	usb_input_key(driver.device, KEY_LEFTSHIFT, true);
	assert_silent();
	assert_int_equal(driver.ram[DATA_AT], 2);
	assert_int_equal(run_command(STOP_ENDPOINT, 0, 3u << 16), SUCCESS);
	next = RAM_BASE + REPORTS_AT + driver.reports.enqueue * sizeof(struct trb);
	assert_int_equal(run_command(SET_DEQUEUE, next | 1, 3u << 16), SUCCESS);
	assert_int_equal(hear(report), 8);
	assert_memory_equal(report, ((const uint8_t[8]){ 2 }), 8);
	/* Nothing is left of it: there is no other report. */
	assert_false(reap(&event));
	assert_int_equal(hear(report), 0);
	end();
}

/* Without IOC nothing is told of, but what was short, of who asks for that. */
static void quiet_buffers(void **state)
{
	begin_ready(USB_INPUT_KEYBOARD);
	put(&driver.reports, RAM_BASE + DATA_AT, 8, TYPE(NORMAL) | ISP);
	put(&driver.reports, RAM_BASE + DATA_AT, 64, TYPE(NORMAL));
	put(&driver.reports, RAM_BASE + DATA_AT, 64, TYPE(NORMAL) | ISP);
	put(&driver.reports, 0, 0, TYPE(NO_OP) | IOC);
	set32(DOORBELL(driver.slot), 3);
	for (unsigned i = 0; i < 4; i++)
		usb_input_key(driver.device, KEY_A + i, true);
	assert_int_equal((int)(await(TRANSFER_EVENT).status >> 24), SHORT_PACKET);
	assert_int_equal((int)(await(TRANSFER_EVENT).status >> 24), SUCCESS);
	assert_silent();
	end();
}

/* The driver halts the endpoint, and clears that (USB 2.0, 9.4.5). */
static void a_halted_endpoint(void **state)
{
	uint8_t report[8];
	struct trb event;

	begin_ready(USB_INPUT_KEYBOARD);
	assert_int_equal(request(REQUEST(0x02, 3, 0, 0x81, 0)), 0);
	put_buffer();
	set32(DOORBELL(driver.slot), 3);
	event = await(TRANSFER_EVENT);
	assert_int_equal(code_of(&event), STALL);
	assert_int_equal(request(REQUEST(0x02, 1, 0, 0x81, 0)), 0);
	clear_stall(3, &driver.reports);
	usb_input_key(driver.device, KEY_A, true);
	assert_int_equal(hear(report), 8);
	end();
}

/* A key wakes a host that sleeps, if it may. */
static void a_key_wakes_the_host(void **state)
{
	uint8_t report[8];

	begin_ready(USB_INPUT_KEYBOARD);
	for (unsigned may = 0; may < 2; may++) {
		assert_int_equal(request(REQUEST(0x00, may ? 3 : 1, 1, 0, 0)), 0);
		set32(PORTSC(1), 0x200 | 1u << 16 | 3u << 5);
		usb_input_key(driver.device, KEY_A, !may);
		if (may) {
			await(PORT_EVENT);
			assert_int_equal(get32(PORTSC(1)), 0x400fe3);
			write_port(1, 1u << 22);
		} else {
			assert_silent();
		}
		/* Resumed; the link's change is told of. */
		set32(PORTSC(1), 0x200 | 1u << 16);
		await(PORT_EVENT);
		write_port(1, 1u << 22);
		assert_int_equal(hear(report), 8);
		assert_int_equal(report[2], may ? 0 : 4);
	}
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_strokes),
		cmocka_unit_test(strokes_wait),
		cmocka_unit_test(no_key_sticks),
		cmocka_unit_test(heard_from_when_it_is_configured),
		cmocka_unit_test(what_a_device_has_not),
		cmocka_unit_test(random_moves),
		cmocka_unit_test(the_last_move_remains),
		cmocka_unit_test(a_report_in_pieces),
		cmocka_unit_test(a_buffer_that_is_too_short),
		cmocka_unit_test(a_buffer_that_is_given_up),
		cmocka_unit_test(quiet_buffers),
		cmocka_unit_test(a_halted_endpoint),
		cmocka_unit_test(a_key_wakes_the_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
