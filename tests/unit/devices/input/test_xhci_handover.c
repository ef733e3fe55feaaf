/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The xHCI model while the world around it changes: its memory, and the process. */
#include <errno.h>

#include "test_disk.h"
#include "xhci_guest.h"

static enum usb_input_kind kind;
static unsigned takeovers;

static void save(struct handover *handover)
{
	memset(handover, 0, sizeof(*handover));
	quiesce();
	usb_input_model.save(driver.function, handover);
	assert_int_equal(handover->error, 0);
	assert_int_equal(handover->fd_count, 0);
}

/* Another process: another device, and another function. */
static void power_anew(void)
{
	usb_input_model.power_off(driver.function);
	usb_input_destroy(driver.device);
	settle();
	create_device(kind);
	power_on();
}

static void take_over(void)
{
	struct handover handover;

	save(&handover);
	power_anew();
	usb_input_model.restore(driver.function, &handover);
	assert_int_equal(handover.error, 0);
	assert_int_equal(handover.position, handover.length);
	handover_finish(&handover);
	go();
	takeovers++;
}

/* Before each turn of each step on the way to a configuration, and of each request. */
static void at_each_step(void **state)
{
	begin(kind = USB_INPUT_KEYBOARD);
	takeovers = 0;
	driver.before_turn = take_over;
	enumerate();
	assert_int_equal(request(GET_DESCRIPTOR(2, 0, 255)), 34);
	assert_int_equal(request(GET_DESCRIPTOR(15, 0, 255)), -1);
	driver.ram[DATA_AT] = 5;
	assert_int_equal(request(REQUEST(0x21, 9, 0x200, 0, 1)), 1);
	assert_int_equal(driver.leds, 5);
	assert_int_equal(request(REQUEST(0xa1, 1, 0x200, 0, 1)), 1);
	assert_int_equal(driver.ram[DATA_AT], 5);
	assert_in_range(takeovers, 10, 1000);
	assert_int_equal(violations(), 0);
	end();
}

static void ring_control(void)
{
	set32(DOORBELL(driver.slot), 1);
	settle();
}

/* One stage of a request in each process, and its data in several pieces. */
static void in_the_middle_of_a_request(void **state)
{
	struct trb event;

	begin_ready(kind = USB_INPUT_KEYBOARD);
	driver.before_turn = take_over;
	memset(driver.ram + DATA_AT, 0xee, 64);
	put(&driver.control, GET_DESCRIPTOR(2, 0, 34), 8, TYPE(SETUP) | IDT | 3u << 16);
	ring_control();
	put(&driver.control, RAM_BASE + DATA_AT, 10, TYPE(DATA) | DIR_IN | CHAIN);
	ring_control();
	put(&driver.control, RAM_BASE + DATA_AT + 10, 10, TYPE(NORMAL) | CHAIN);
	ring_control();
	put(&driver.control, RAM_BASE + DATA_AT + 20, 14, TYPE(NORMAL) | CHAIN);
	ring_control();
	put(&driver.control, 0x1234, 0, TYPE(EVENT_DATA) | IOC);
	ring_control();
	event = await(TRANSFER_EVENT);
	assert_int_equal(left_of(&event), 34);
	put(&driver.control, 0, 0, TYPE(STATUS) | IOC);
	ring_control();
	assert_int_equal((int)(await(TRANSFER_EVENT).status >> 24), SUCCESS);
	assert_memory_equal(driver.ram + DATA_AT + 27, "\x07\x05\x81\x03\x08\x00\x07\xee", 8);
	end();
}

/* Reports that wait are heard; of keys that are down the successor's seat knows nothing: they come up. */
static void reports_go_on(void **state)
{
	uint8_t report[8];
	uint64_t buffer;

	begin_ready(kind = USB_INPUT_KEYBOARD);
	usb_input_key(driver.device, KEY_A, true);
	assert_int_equal(hear(report), 8);
	usb_input_key(driver.device, KEY_LEFTSHIFT, true);
	usb_input_key(driver.device, KEY_Z, true);
	usb_input_key(driver.device, KEY_Z, false);
	take_over();
	assert_int_equal(hear(report), 8);
	assert_memory_equal(report, ((const uint8_t[]){ 2, 0, 4, 0, 0, 0, 0, 0 }), 8);
	assert_int_equal(hear(report), 8);
	assert_memory_equal(report, ((const uint8_t[]){ 2, 0, 4, 29, 0, 0, 0, 0 }), 8);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(hear(report), 8);
	assert_memory_equal(report, ((const uint8_t[8]){ 0 }), 8);
	/* A buffer that waits in the ring is found there. */
	assert_int_equal(hear(report), 0);
	buffer = RAM_BASE + REPORTS_AT + (driver.reports.enqueue - 1) * sizeof(struct trb);
	take_over();
	usb_input_key(driver.device, KEY_1, true);
	assert_int_equal(await(TRANSFER_EVENT).parameter, buffer);
	assert_int_equal(driver.ram[DATA_AT + 0x1002], 30);
	assert_int_equal(violations(), 0);
	end();
}

static void a_tablet_goes_on(void **state)
{
	uint8_t report[8];

	begin_ready(kind = USB_INPUT_TABLET);
	usb_input_move(driver.device, 1000, 2000);
	usb_input_key(driver.device, BTN_RIGHT, true);
	assert_int_equal(hear(report), 6);
	take_over();
	usb_input_key(driver.device, BTN_RIGHT, true);
	assert_int_equal(hear(report), 6);
	assert_memory_equal(report, ((const uint8_t[]){ 2, 0xe8, 3, 0xd0, 7, 0 }), 6);
	usb_input_turn_wheel(driver.device, -1);
	take_over();
	/* The button comes up, because nobody holds it there. */
	assert_int_equal(hear(report), 6);
	assert_memory_equal(report, ((const uint8_t[]){ 2, 0xe8, 3, 0xd0, 7, 0xff }), 6);
	assert_int_equal(hear(report), 6);
	assert_memory_equal(report, ((const uint8_t[]){ 0, 0xe8, 3, 0xd0, 7, 0 }), 6);
	end();
}

/* An event ring that was full is so in the next process. */
static void a_full_ring_is_taken_over(void **state)
{
	unsigned count = 0;
	struct trb event;

	begin(kind = USB_INPUT_KEYBOARD);
	start_with(16);
	for (unsigned i = 0; i < 14; i++)
		put(&driver.commands, 0, 0, TYPE(NO_OP_COMMAND));
	set32(DOORBELL(0), 0);
	settle();
	take_over();
	settle();
	while (look(&event))
		count += type_of(&event) == COMMAND_EVENT;
	take_over();
	consume();
	settle();
	while (look(&event))
		count += type_of(&event) == COMMAND_EVENT;
	assert_int_equal(count, 14);
	end();
}

/* A worker that the guest's memory has made wait: nothing is touched until it goes on, maybe elsewhere. */
static void frozen(void **state)
{
	uint8_t report[8] = { 0 };
	struct trb event;

	begin_ready(kind = USB_INPUT_KEYBOARD);
	usb_input_model.freeze(driver.function);
	put_buffer();
	set32(DOORBELL(driver.slot), 3);
	usb_input_key(driver.device, KEY_A, true);
	put(&driver.commands, 0, 0, TYPE(NO_OP_COMMAND));
	set32(DOORBELL(0), 0);
	write_port(1, 0x10);
	assert_silent();
	quiesce();
	usb_input_model.leave(driver.function);
	go();
	settle();
	while (look(&event))
		report[type_of(&event) - TRANSFER_EVENT]++;
	assert_int_equal(report[PORT_EVENT - TRANSFER_EVENT], 1);
	assert_int_equal(report[COMMAND_EVENT - TRANSFER_EVENT], 1);
	end();
}

/* ---- memory ---- */

/* While it is gone for a moment, nothing is done, and nothing is lost. */
static void memory_goes_for_a_while(void **state)
{
	struct guest_memory *half;
	uint8_t report[8];

	begin_ready(kind = USB_INPUT_KEYBOARD);
	for (unsigned i = 0; i < 100; i++) {
		memory_becomes(driver.empty);
		usb_input_key(driver.device, KEY_A, i % 2 == 0);
		assert_int_equal(hear(report), 0);
		memory_becomes(driver.memory);
		assert_int_equal((int)(await(TRANSFER_EVENT).status >> 24), SUCCESS);
		assert_int_equal(driver.ram[DATA_AT + 0x1002], i % 2 ? 0 : 4);
	}
	assert_int_equal(violations(), 0);
	/* The rings are there, and the buffer is not. */
	half = memory_of(0, DATA_AT);
	memory_becomes(half);
	usb_input_key(driver.device, KEY_A, true);
	assert_int_equal(hear(report), 0);
	take_over();
	assert_silent();
	memory_becomes(driver.memory);
	await(TRANSFER_EVENT);
	assert_int_equal(driver.ram[DATA_AT + 0x1002], 4);
	guest_memory_put(half);
	/* The event ring alone is not. */
	half = memory_of(COMMANDS_AT, RAM_BYTES - COMMANDS_AT);
	memory_becomes(half);
	usb_input_key(driver.device, KEY_1, true);
	assert_int_equal(hear(report), 0);
	memory_becomes(driver.memory);
	await(TRANSFER_EVENT);
	guest_memory_put(half);
	end();
}

/* ---- streams ---- */

static int restore_anew(struct handover *handover)
{
	handover->position = 0;
	handover->error = 0;
	power_anew();
	usb_input_model.restore(driver.function, handover);
	return handover->error;
}

static void prepare(struct handover *handover)
{
	begin_ready(kind = USB_INPUT_KEYBOARD);
	usb_input_key(driver.device, KEY_A, true);
	put(&driver.control, GET_DESCRIPTOR(2, 0, 34), 8, TYPE(SETUP) | IDT | 3u << 16);
	ring_control();
	save(handover);
}

static void done(struct handover *handover)
{
	handover_finish(handover);
	power_anew();
	go();
	end();
}

static void truncated_streams(void **state)
{
	struct handover handover;
	size_t length;

	prepare(&handover);
	length = handover.length;
	for (handover.length = 0; handover.length < length; handover.length++)
		assert_int_equal(restore_anew(&handover), -EBADMSG);
	assert_int_equal(restore_anew(&handover), 0);
	done(&handover);
}

/* What a driver, and a seat, may do to a controller that makes no sense, perhaps. */
static void poke(uint64_t *seed)
{
	for (unsigned i = 0; i < 20; i++) {
		usb_input_model.write(driver.function, 0, (uint32_t)(test_random(seed) % 0x1060) & ~3u, 4,
				      test_random(seed));
		set32(DOORBELL((unsigned)(test_random(seed) % 10)), (uint32_t)(test_random(seed) % 5));
		usb_input_key(driver.device, KEY_1 + (unsigned)(test_random(seed) % 10), i % 2);
		settle();
	}
}

static void spoilt_streams(void **state)
{
	unsigned refused = 0, taken = 0;
	struct handover handover;
	uint64_t seed = 1;

	prepare(&handover);
	for (unsigned i = 0; i < 4000; i++) {
		size_t at = (size_t)(test_random(&seed) % handover.length);
		uint8_t before = handover.bytes[at];

		handover.bytes[at] ^= (uint8_t)(1u << test_random(&seed) % 8);
		if (restore_anew(&handover)) {
			refused++;
		} else {
			taken++;
			go();
			poke(&seed);
			quiesce();
		}
		handover.bytes[at] = before;
	}
	assert_true(refused > 100 && taken > 100);
	done(&handover);
}

/* A keyboard's state is none of a tablet. */
static void another_kind(void **state)
{
	struct handover handover;

	prepare(&handover);
	kind = USB_INPUT_TABLET;
	assert_int_equal(restore_anew(&handover), -EBADMSG);
	done(&handover);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_each_step),
		cmocka_unit_test(in_the_middle_of_a_request),
		cmocka_unit_test(reports_go_on),
		cmocka_unit_test(a_tablet_goes_on),
		cmocka_unit_test(a_full_ring_is_taken_over),
		cmocka_unit_test(frozen),
		cmocka_unit_test(memory_goes_for_a_while),
		cmocka_unit_test(truncated_streams),
		cmocka_unit_test(spoilt_streams),
		cmocka_unit_test(another_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
