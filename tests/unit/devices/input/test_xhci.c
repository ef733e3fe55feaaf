/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The xHCI model's registers, and its device from the port to a configuration. */
#include "xhci_guest.h"

/* ---- registers ---- */

/* As the specification has them after a reset of the chip (5.3 to 5.6). */
static void registers_after_power_on(void **state)
{
	static const struct {
		uint32_t offset, value;
	} table[] = {
		{ 0x00, 0x01000040 }, { 0x04, 0x02000108 }, { 0x08, 0x0000004f }, { 0x0c, 0 },
		{ 0x10, 0x00080001 }, { 0x14, 0x2000 },	    { 0x18, 0x1000 },	  { 0x1c, 0 },
		{ 0x20, 0x02000402 }, { 0x24, 0x20425355 }, { 0x28, 0x101 },	  { 0x2c, 0 },
		{ 0x30, 0x03000002 }, { 0x34, 0x20425355 }, { 0x38, 0x102 },	  { 0x3c, 0 },
		{ USBCMD, 0 },	      { USBSTS, 0x11 },	    { 0x48, 1 },	  { 0x4c, 0 },
		{ 0x54, 0 },	      { CRCR, 0 },	    { CRCR + 4, 0 },	  { DCBAAP, 0 },
		{ DCBAAP + 4, 0 },    { CONFIG, 0 },	    { 0x440, 0x00020ee1 }, { 0x444, 0 },
		{ 0x448, 0 },	      { 0x44c, 0 },	    { 0x450, 0x2a0 },	  { 0x460, 0 },
		{ MFINDEX, 0 },	      { IMAN, 0 },	    { IMOD, 4000 },	  { ERSTSZ, 0 },
		{ ERSTBA, 0 },	      { ERDP, 0 },	    { 0x1040, 0 },	  { DOORBELL(0), 0 },
		{ DOORBELL(8), 0 },   { 0x3ffc, 0 },
	};

	begin(USB_INPUT_KEYBOARD);
	for (unsigned round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
			if (get32(table[i].offset) != table[i].value)
				fail_msg("%#x reads %#x, not %#x", table[i].offset, get32(table[i].offset),
					 table[i].value);
		/* They are again after a reset of the controller, and of the function. */
		set64(DCBAAP, RAM_BASE);
		set32(CONFIG, 8);
		set32(IMOD, 1);
		set64(ERDP, RAM_BASE);
		if (round == 0)
			set32(USBCMD, HCRST);
		quiesce();
		usb_input_model.reset(driver.function);
	}
	end();
}

static void registers_keep_what_they_hold(void **state)
{
	static const struct {
		uint32_t offset, value;
	} table[] = {
		{ 0x54, 0xffff },	    { DCBAAP, 0xffffffc0 },
		{ DCBAAP + 4, 0xffffffff }, { CONFIG, 0x3ff },
		{ IMAN, 2 },		    { IMOD, 0xffffffff },
		{ ERSTSZ, 0xffff },	    { ERSTBA, 0xffffffc0 },
		{ ERSTBA + 4, 0xffffffff }, { ERDP, 0xfffffff7 },
		{ ERDP + 4, 0xffffffff },   { 0x00, 0x01000040 },
		{ 0x48, 1 },		    { CRCR, 0 },
	};

	begin(USB_INPUT_KEYBOARD);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		set32(table[i].offset, 0xffffffff);
		assert_int_equal(get32(table[i].offset), table[i].value);
		set32(table[i].offset, 0);
	}
	end();
}

static void sizes_of_accesses(void **state)
{
	begin(USB_INPUT_KEYBOARD);
	assert_int_equal(usb_input_model.read(driver.function, 0, 0, 1), 0x40);
	assert_int_equal(usb_input_model.read(driver.function, 0, 2, 2), 0x0100);
	assert_int_equal(usb_input_model.read(driver.function, 0, 7, 1), 2);
	assert_int_equal(usb_input_model.read(driver.function, 0, 0x10, 8), 0x200000080001ull);
	assert_int_equal(usb_input_model.read(driver.function, 0, 1, 2), 0);
	assert_int_equal(usb_input_model.read(driver.function, 0, 2, 4), 0);
	assert_int_equal(usb_input_model.read(driver.function, 1, 0, 4), 0);
	usb_input_model.write(driver.function, 0, DCBAAP, 8, 0x123456789abcdef0);
	assert_int_equal(usb_input_model.read(driver.function, 0, DCBAAP, 8), 0x123456789abcdec0);
	for (unsigned bytes = 1; bytes <= 2; bytes++)
		usb_input_model.write(driver.function, 0, DCBAAP, bytes, 0);
	usb_input_model.write(driver.function, 0, DCBAAP + 1, 4, 0);
	usb_input_model.write(driver.function, 1, DCBAAP, 4, 0);
	assert_int_equal(usb_input_model.read(driver.function, 0, DCBAAP, 8), 0x123456789abcdec0);
	end();
}

static void frames_are_counted_while_it_runs(void **state)
{
	uint32_t before;

	begin(USB_INPUT_KEYBOARD);
	start();
	before = get32(MFINDEX);
	while (get32(MFINDEX) == before)
		settle();
	assert_in_range((get32(MFINDEX) - before) & 0x3fff, 1, 8000);
	set32(USBCMD, 0);
	assert_int_equal(get32(MFINDEX), 0);
	assert_int_equal(get32(USBSTS) & STS_HALTED, STS_HALTED);
	end();
}

/* ---- ports ---- */

static void ports(void **state)
{
	begin(USB_INPUT_KEYBOARD);
	start();
	reset_port();
	/* Enabled ports are disabled by a 1, and enabled by a reset. */
	write_port(1, 2);
	assert_int_equal(get32(PORTSC(1)), 0xee1);
	reset_port();
	/* Suspended and resumed. */
	set32(PORTSC(1), 0x200 | 1u << 16 | 3u << 5);
	assert_int_equal(get32(PORTSC(1)), 0xe63);
	set32(PORTSC(1), 0x200 | 1u << 16 | 15u << 5);
	assert_int_equal(get32(PORTSC(1)), 0xfe3);
	set32(PORTSC(1), 0x200 | 1u << 16);
	assert_int_equal(get32(PORTSC(1)), 0x400e03);
	await(PORT_EVENT);
	/* What is not acknowledged is not told of again. */
	set32(PORTSC(1), 0x200 | 1u << 16 | 3u << 5);
	set32(PORTSC(1), 0x200 | 1u << 16);
	assert_silent();
	/* Nothing is there to be reset, or suspended. */
	write_port(2, 0x10);
	set32(PORTSC(2), 0x200 | 1u << 16 | 3u << 5);
	write_port(2, 1u << 31);
	assert_int_equal(get32(PORTSC(2)), 0x2a0);
	set32(PORTSC(2), 0x0e000000);
	assert_int_equal(get32(PORTSC(2)), 0x0e0002a0);
	assert_silent();
	end();
}

/* ---- enumeration ---- */

static void assert_data(const uint8_t *bytes, size_t length)
{
	assert_memory_equal(driver.ram + DATA_AT, bytes, length);
}

static const uint8_t keyboard_configuration[34] = {
	9, 2, 34, 0, 1, 1, 0, 0xa0, 50, 9, 4, 0, 0, 1, 3, 1, 1, 0, 9, 0x21, 0x11, 1, 0, 1, 0x22, 64, 0,
	7, 5, 0x81, 3, 8, 0, 7,
};

/* The slot is in default state at first, and the port is reset again: Linux's newer scheme. */
static void linux_enumerates(void **state)
{
	static const uint8_t device[18] = { 18, 1, 0, 2, 0, 0, 0, 64, 0x27, 6, 1, 0, 0, 1, 1, 2, 0, 1 };

	begin(USB_INPUT_KEYBOARD);
	start();
	reset_port();
	enable_slot();
	assert_int_equal(address_device(true), SUCCESS);
	assert_int_equal(slot_state(), 1);
	assert_int_equal(word_at(CONTEXT_AT + 12) & 0xff, 0);
	assert_int_equal(request(GET_DESCRIPTOR(1, 0, 64)), 18);
	assert_data(device, sizeof(device));
	reset_port();
	assert_int_equal(run_command(RESET_DEVICE, 0, 0), CONTEXT_STATE_ERROR);
	assert_int_equal(address_device(false), SUCCESS);
	assert_int_equal(slot_state(), 2);
	assert_int_equal(word_at(CONTEXT_AT + 12) & 0xff, driver.slot);
	assert_int_equal(endpoint_state(1), 1);
	prepare_input(0, 2);
	put_endpoint(1, 4, 0, CONTROL_AT);
	assert_int_equal(run_command(EVALUATE_CONTEXT, RAM_BASE + INPUT_AT, 0), SUCCESS);
	assert_int_equal(request(GET_DESCRIPTOR(1, 0, 18)), 18);
	assert_data(device, sizeof(device));
	assert_int_equal(request(GET_DESCRIPTOR(15, 0, 5)), -1);
	assert_int_equal(request(GET_DESCRIPTOR(2, 0, 9)), 9);
	assert_data(keyboard_configuration, 9);
	assert_int_equal(request(GET_DESCRIPTOR(2, 0, 34)), 34);
	assert_data(keyboard_configuration, 34);
	assert_int_equal(request(GET_DESCRIPTOR(3, 0, 255)), 4);
	assert_data((const uint8_t[]){ 4, 3, 9, 4 }, 4);
	assert_int_equal(request(GET_DESCRIPTOR(3, 2, 255)), 26);
	assert_data((const uint8_t[]){ 26, 3, 'U', 0, 'S', 0 }, 6);
	assert_int_equal(request(GET_DESCRIPTOR(3, 3, 255)), -1);
	assert_int_equal(configure_endpoint(), SUCCESS);
	assert_int_equal(slot_state(), 3);
	assert_int_equal(endpoint_state(3), 1);
	assert_int_equal(request(SET_CONFIGURATION(1)), 0);
	assert_int_equal(request(REQUEST(0x21, 10, 0, 0, 0)), 0);
	assert_int_equal(request(REQUEST(0x81, 6, 0x2200, 0, 64)), 64);
	assert_data((const uint8_t[]){ 5, 1, 9, 6, 0xa1, 1 }, 6);
	assert_int_equal(request(REQUEST(0xa1, 1, 0x100, 0, 8)), 8);
	assert_data((const uint8_t[8]){ 0 }, 8);
	assert_int_equal(violations(), 0);
	end();
}

/* Polled, without interrupts; the boot protocol; one buffer at a time. */
static void seabios_enumerates(void **state)
{
	uint8_t report[8];

	begin(USB_INPUT_KEYBOARD);
	start();
	set32(USBCMD, RUN);
	set32(IMAN, 0);
	driver.raised = 0;
	reset_port();
	enable_slot();
	assert_int_equal(address_device(false), SUCCESS);
	assert_int_equal(request(GET_DESCRIPTOR(1, 0, 8)), 8);
	prepare_input(0, 2);
	put_endpoint(1, 4, 0, CONTROL_AT);
	assert_int_equal(run_command(EVALUATE_CONTEXT, RAM_BASE + INPUT_AT, 0), SUCCESS);
	assert_int_equal(request(GET_DESCRIPTOR(2, 0, 9)), 9);
	assert_int_equal(request(GET_DESCRIPTOR(2, 0, 34)), 34);
	assert_data(keyboard_configuration, 34);
	assert_int_equal(request(SET_CONFIGURATION(1)), 0);
	assert_int_equal(request(REQUEST(0x21, 11, 0, 0, 0)), 0);
	assert_int_equal(request(REQUEST(0x21, 10, 0x100, 0, 0)), 0);
	assert_int_equal(configure_endpoint(), SUCCESS);
	usb_input_key(driver.device, KEY_F12, true);
	assert_int_equal(hear(report), 8);
	assert_memory_equal(report, ((const uint8_t[]){ 0, 0, 0x45, 0, 0, 0, 0, 0 }), 8);
	assert_int_equal(driver.raised, 0);
	end();
}

static void tablet_descriptors(void **state)
{
	int report_bytes;

	begin_ready(USB_INPUT_TABLET);
	assert_int_equal(request(GET_DESCRIPTOR(1, 0, 18)), 18);
	assert_int_equal(driver.ram[DATA_AT + 10], 3);
	assert_int_equal(request(GET_DESCRIPTOR(2, 0, 255)), 34);
	assert_data((const uint8_t[]){ 9, 2, 34, 0, 1, 1, 0, 0xa0, 50, 9, 4, 0, 0, 1, 3, 0, 0, 0 }, 18);
	assert_int_equal(driver.ram[DATA_AT + 33], 4);
	report_bytes = driver.ram[DATA_AT + 25];
	assert_int_equal(request(REQUEST(0x81, 6, 0x2200, 0, 255)), report_bytes);
	/* It has no boot protocol, and no LEDs. */
	assert_int_equal(request(REQUEST(0xa1, 3, 0, 0, 1)), -1);
	assert_int_equal(request(REQUEST(0x21, 11, 0, 0, 0)), -1);
	assert_int_equal(request(REQUEST(0x21, 9, 0x200, 0, 1)), -1);
	end();
}

/* ---- requests ---- */

static void requests(void **state)
{
	static const struct {
		uint64_t setup;
		int bytes;	 /* -1: stalls */
		uint8_t answer[2];
	} table[] = {
		{ REQUEST(0x80, 0, 0, 0, 2), 2, { 0, 0 } },	/* status */
		{ REQUEST(0x00, 3, 1, 0, 0), 0, { 0 } },	/* remote wakeup */
		{ REQUEST(0x80, 0, 0, 0, 2), 2, { 2, 0 } },
		{ REQUEST(0x00, 1, 1, 0, 0), 0, { 0 } },
		{ REQUEST(0x80, 0, 0, 0, 2), 2, { 0, 0 } },
		{ REQUEST(0x00, 3, 2, 0, 0), -1, { 0 } },	/* a test mode */
		{ REQUEST(0x81, 0, 0, 0, 2), 2, { 0, 0 } },
		{ REQUEST(0x81, 0, 0, 1, 2), -1, { 0 } },
		{ REQUEST(0x82, 0, 0, 0x81, 2), 2, { 0, 0 } },
		{ REQUEST(0x02, 3, 0, 0x81, 0), 0, { 0 } },	/* halt */
		{ REQUEST(0x82, 0, 0, 0x81, 2), 2, { 1, 0 } },
		{ REQUEST(0x02, 1, 0, 0x81, 0), 0, { 0 } },
		{ REQUEST(0x82, 0, 0, 0x81, 2), 2, { 0, 0 } },
		{ REQUEST(0x02, 3, 0, 0x82, 0), -1, { 0 } },
		{ REQUEST(0x02, 1, 0, 0, 0), 0, { 0 } },
		{ REQUEST(0x80, 8, 0, 0, 1), 1, { 1 } },	/* configuration */
		{ REQUEST(0x00, 9, 2, 0, 0), -1, { 0 } },
		{ REQUEST(0x81, 10, 0, 0, 1), 1, { 0 } },	/* alternate setting */
		{ REQUEST(0x01, 11, 0, 0, 0), 0, { 0 } },
		{ REQUEST(0x01, 11, 1, 0, 0), -1, { 0 } },
		{ REQUEST(0x00, 5, 3, 0, 0), -1, { 0 } },	/* address: the controller's business */
		{ REQUEST(0x21, 10, 0x7d00, 0, 0), 0, { 0 } },	/* idle */
		{ REQUEST(0xa1, 2, 0, 0, 1), 1, { 0x7d } },
		{ REQUEST(0xa1, 3, 0, 0, 1), 1, { 1 } },	/* protocol */
		{ REQUEST(0x21, 11, 0, 0, 0), 0, { 0 } },
		{ REQUEST(0xa1, 3, 0, 0, 1), 1, { 0 } },
		{ REQUEST(0x21, 11, 2, 0, 0), -1, { 0 } },
		{ REQUEST(0x81, 6, 0x2100, 0, 9), 9, { 9, 0x21 } },
		{ REQUEST(0x81, 6, 0x2300, 0, 9), -1, { 0 } },
		{ REQUEST(0xa1, 1, 0x300, 0, 8), -1, { 0 } },	/* a feature report */
		{ REQUEST(0x21, 9, 0x300, 0, 1), -1, { 0 } },
		{ REQUEST(0xc0, 0x42, 0, 0, 8), -1, { 0 } },	/* a vendor's */
		{ REQUEST(0x40, 0x42, 0, 0, 8), -1, { 0 } },
	};

	begin_ready(USB_INPUT_KEYBOARD);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int bytes = request(table[i].setup);

		if (bytes != table[i].bytes)
			fail_msg("request %zu: %d bytes", i, bytes);
		if (bytes > 0)
			assert_data(table[i].answer, bytes > 1 ? 2 : 1);
	}
	assert_int_equal(violations(), 0);
	end();
}

static void leds(void **state)
{
	begin_ready(USB_INPUT_KEYBOARD);
	for (unsigned round = 0; round < 20; round++) {
		driver.ram[DATA_AT] = (uint8_t)(round % 8);
		assert_int_equal(request(REQUEST(0x21, 9, 0x200, 0, 1)), 1);
		assert_int_equal(driver.leds, round % 8);
		assert_int_equal(request(REQUEST(0xa1, 1, 0x200, 0, 1)), 1);
		assert_int_equal(driver.ram[DATA_AT], round % 8);
	}
	/* As data in the TRB itself. */
	put(&driver.control, REQUEST(0x21, 9, 0x200, 0, 1), 8, TYPE(SETUP) | IDT);
	put(&driver.control, 5, 1, TYPE(DATA) | IDT);
	put(&driver.control, 0, 0, TYPE(STATUS) | DIR_IN | IOC);
	set32(DOORBELL(driver.slot), 1);
	assert_int_equal((int)(await(TRANSFER_EVENT).status >> 24), SUCCESS);
	assert_int_equal(driver.leds, 5);
	/* A device that is reset has none lit. */
	reset_port();
	assert_int_equal(driver.leds, 0);
	end();
}

/* Data in pieces, each with an event that carries the driver's own number: Windows' way. */
static void event_data(void **state)
{
	struct trb event;

	begin_ready(USB_INPUT_KEYBOARD);
	put(&driver.control, GET_DESCRIPTOR(2, 0, 100), 8, TYPE(SETUP) | IDT | 3u << 16);
	put(&driver.control, RAM_BASE + DATA_AT, 20, TYPE(DATA) | DIR_IN | CHAIN);
	put(&driver.control, RAM_BASE + DATA_AT + 20, 80, TYPE(NORMAL) | CHAIN);
	put(&driver.control, 0x123456789abcdefull, 0, TYPE(EVENT_DATA) | IOC);
	put(&driver.control, 0, 0, TYPE(STATUS) | CHAIN);
	put(&driver.control, 0xfedcba987654321ull, 0, TYPE(EVENT_DATA) | IOC);
	set32(DOORBELL(driver.slot), 1);
	event = await(TRANSFER_EVENT);
	assert_int_equal(event.parameter, 0x123456789abcdefull);
	assert_int_equal(event.control & 4, 4);
	assert_int_equal(code_of(&event), SHORT_PACKET);
	assert_int_equal(left_of(&event), 34); /* of such an event: what was transferred */
	event = await(TRANSFER_EVENT);
	assert_int_equal(event.parameter, 0xfedcba987654321ull);
	assert_int_equal(code_of(&event), SUCCESS);
	assert_int_equal(left_of(&event), 0);
	assert_data(keyboard_configuration, 34);
	assert_silent();
	/* The end of what was short is told of once, whatever else asks. */
	put(&driver.control, GET_DESCRIPTOR(2, 0, 100), 8, TYPE(SETUP) | IDT | 3u << 16);
	put(&driver.control, RAM_BASE + DATA_AT, 40, TYPE(DATA) | DIR_IN | CHAIN | ISP);
	put(&driver.control, RAM_BASE + DATA_AT + 40, 60, TYPE(NORMAL) | IOC);
	put(&driver.control, 0, 0, TYPE(STATUS) | IOC);
	set32(DOORBELL(driver.slot), 1);
	event = await(TRANSFER_EVENT);
	assert_int_equal(event.status, SHORT_PACKET << 24 | 6);
	assert_int_equal(await(TRANSFER_EVENT).status, SUCCESS << 24);
	assert_silent();
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers_after_power_on),
		cmocka_unit_test(registers_keep_what_they_hold),
		cmocka_unit_test(sizes_of_accesses),
		cmocka_unit_test(frames_are_counted_while_it_runs),
		cmocka_unit_test(ports),
		cmocka_unit_test(linux_enumerates),
		cmocka_unit_test(seabios_enumerates),
		cmocka_unit_test(tablet_descriptors),
		cmocka_unit_test(requests),
		cmocka_unit_test(leds),
		cmocka_unit_test(event_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
