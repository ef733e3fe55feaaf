/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Drivers that an xHCI controller should not have. */
#include "test_disk.h"
#include "xhci_guest.h"

#define STORMS	     300u
#define STORM_ROUNDS 150u
#define LOOP_AT	     (COMMANDS_AT + 0x800)

/* It has gone no further, and a reset brings all of it back. */
static void assert_recovers(void)
{
	memory_becomes(driver.memory);
	enumerate();
	usb_input_key(driver.device, KEY_A, true);
	put_buffer();
	set32(DOORBELL(driver.slot), 3);
	assert_int_equal(await(TRANSFER_EVENT).status >> 24, SUCCESS);
	usb_input_key(driver.device, KEY_A, false);
}

/* ---- rings ---- */

/* A link to itself, and two to each other; with and without a toggle. */
static void links_without_end(void **state)
{
	begin_ready(USB_INPUT_KEYBOARD);
	for (unsigned toggles = 0; toggles < 2; toggles++) {
		uint32_t at = COMMANDS_AT + driver.commands.enqueue * 16;

		put_trb_at(at, RAM_BASE + LOOP_AT, 0, TYPE(LINK) | driver.commands.cycle);
		for (uint32_t i = 0; i < 2; i++)
			put_trb_at(LOOP_AT + 16 * i, RAM_BASE + LOOP_AT + 16 * (1 - i), 0,
				   TYPE(LINK) | (toggles ? TOGGLE | (1 - i) : 1));
		set32(DOORBELL(0), 0);
		assert_silent();
		assert_true(driver.violations[BAD_LINKS] > toggles);
		assert_recovers();
	}
	/* The same of an endpoint: a key does not wake it for ever. */
	put_trb_at(REPORTS_AT + driver.reports.enqueue * 16,
		   RAM_BASE + REPORTS_AT + driver.reports.enqueue * 16, 0,
		   TYPE(LINK) | driver.reports.cycle);
	set32(DOORBELL(driver.slot), 3);
	usb_input_key(driver.device, KEY_A, true);
	assert_silent();
	usb_input_key(driver.device, KEY_A, false);
	assert_recovers();
	end();
}

/* Each waits for its doorbell, and is counted each time. */
static void rings_outside_of_memory(void **state)
{
	begin_ready(USB_INPUT_KEYBOARD);
	put_trb_at(COMMANDS_AT + driver.commands.enqueue * 16, OUTSIDE, 0,
		   TYPE(LINK) | driver.commands.cycle);
	for (unsigned i = 0; i < 10; i++) {
		set32(DOORBELL(0), 0);
		assert_silent();
	}
	assert_int_equal(driver.violations[BAD_MEMORY], 10);
	assert_recovers();
	/* One byte behind the end of memory. */
	put_trb_at(REPORTS_AT + driver.reports.enqueue * 16, RAM_BASE + RAM_BYTES, 0,
		   TYPE(LINK) | driver.reports.cycle);
	usb_input_key(driver.device, KEY_A, true);
	set32(DOORBELL(driver.slot), 3);
	assert_silent();
	assert_int_equal(driver.violations[BAD_MEMORY], 11);
	usb_input_key(driver.device, KEY_A, false);
	assert_recovers();
	end();
}

/* A VMM that moves memory unmaps it first: rings that are nowhere meanwhile are not the driver's fault. */
static void memory_that_moves(void **state)
{
	struct guest_memory *part;

	begin_ready(USB_INPUT_KEYBOARD);
	/* The rings lie behind it. */
	part = memory_of(0, 0x1000);
	put(&driver.commands, 0, 0, TYPE(NO_OP_COMMAND));
	put_buffer();
	usb_input_key(driver.device, KEY_A, true);
	for (unsigned moves = 0; moves < 2; moves++) {
		driver.bus.memory_moves = !moves;
		memory_becomes(part);
		assert_silent();
		set32(DOORBELL(0), 0);
		set32(DOORBELL(driver.slot), 3);
		assert_silent();
		assert_true(moves ? violations() > 0 : violations() == 0);
	}
	driver.bus.memory_moves = true;
	memory_becomes(driver.memory);
	assert_int_equal(await(COMMAND_EVENT).status >> 24, SUCCESS);
	assert_int_equal(await(TRANSFER_EVENT).status >> 24, SUCCESS);
	driver.bus.memory_moves = false;
	usb_input_key(driver.device, KEY_A, false);
	assert_recovers();
	end();
	guest_memory_put(part);
}

static void buffers_outside_of_memory(void **state)
{
	static const uint64_t addresses[] = { OUTSIDE, RAM_BASE + RAM_BYTES - 7, RAM_BASE - 1, UINT64_MAX,
					      0 };

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		begin_ready(USB_INPUT_KEYBOARD);
		put(&driver.reports, addresses[i], 8, TYPE(NORMAL) | IOC);
		set32(DOORBELL(driver.slot), 3);
		usb_input_key(driver.device, KEY_A, true);
		assert_silent();
		put(&driver.control, GET_DESCRIPTOR(1, 0, 18), 8, TYPE(SETUP) | IDT);
		put(&driver.control, addresses[i], 18, TYPE(DATA) | DIR_IN);
		set32(DOORBELL(driver.slot), 1);
		assert_silent();
		assert_int_equal(driver.violations[BAD_MEMORY], 2);
		/* The driver gives it up, and the report is not lost. */
		assert_int_equal(command(0, 0, TYPE(NO_OP_COMMAND)).status >> 24, SUCCESS);
		usb_input_key(driver.device, KEY_A, false);
		assert_recovers();
		end();
	}
}

/* ---- event rings ---- */

static void event_rings_that_cannot_be(void **state)
{
	static const struct {
		uint32_t entries;
		uint64_t address, trbs;
	} table[] = {
		{ 0, RAM_BASE + EVENTS_AT, 64 },	/* no segment */
		{ 17, RAM_BASE + EVENTS_AT, 64 },	/* more than there may be */
		{ 0xffff, RAM_BASE + EVENTS_AT, 64 },
		{ 1, RAM_BASE + EVENTS_AT, 0 },
		{ 1, RAM_BASE + EVENTS_AT, 15 },
		{ 1, RAM_BASE + EVENTS_AT, 4097 },
		{ 1, RAM_BASE + EVENTS_AT, 0xffff },
		{ 1, RAM_BASE + EVENTS_AT + 16, 64 },	/* misaligned */
		{ 1, UINT64_MAX - 63, 64 },		/* wraps */
	};

	begin(USB_INPUT_KEYBOARD);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const uint64_t segment[] = { table[i].address, table[i].trbs };

		set32(USBCMD, HCRST);
		prepare_events(64);
		memcpy(driver.ram + TABLE_AT, segment, sizeof(segment));
		set32(ERSTSZ, table[i].entries);
		set64(ERSTBA, RAM_BASE + TABLE_AT);
		set32(USBCMD, RUN);
		settle();
		assert_int_equal(get32(USBSTS) & (STS_ERROR | STS_HALTED), STS_ERROR | STS_HALTED);
		assert_int_equal(driver.violations[BAD_EVENT_RING], i + 1);
		set32(DOORBELL(0), 0);
		set32(USBCMD, RUN);
		assert_silent();
	}
	assert_int_equal(violations(), sizeof(table) / sizeof(table[0]));
	assert_recovers();
	end();
}

/* A table, or a segment, that is nowhere: it waits for another one, or for memory. */
static void event_rings_outside_of_memory(void **state)
{
	const uint64_t segment[] = { OUTSIDE, 64 };

	begin(USB_INPUT_KEYBOARD);
	set32(USBCMD, HCRST);
	prepare_events(64);
	set64(ERSTBA, OUTSIDE);
	set32(USBCMD, RUN);
	assert_silent();
	memcpy(driver.ram + TABLE_AT, segment, sizeof(segment));
	set64(ERSTBA, RAM_BASE + TABLE_AT);
	set64(ERDP, OUTSIDE);
	assert_silent();
	assert_true(driver.violations[BAD_MEMORY] >= 2);
	/* A place that is none of the ring. */
	prepare_events(64);
	set64(ERDP, RAM_BASE + EVENTS_AT + 64 * 16);
	assert_silent();
	set64(ERDP, RAM_BASE + EVENTS_AT);
	await(PORT_EVENT);
	assert_int_equal(get32(USBSTS) & STS_ERROR, 0);
	assert_recovers();
	end();
}

/* ---- commands and doorbells ---- */

static void doorbells_of_nothing(void **state)
{
	begin_ready(USB_INPUT_KEYBOARD);
	set32(DOORBELL(2), 1);
	set32(DOORBELL(9), 1);
	set32(DOORBELL(255), 1);
	set32(DOORBELL(256), 1);
	set32(DOORBELL(1), 0);
	set32(DOORBELL(1), 2);
	set32(DOORBELL(1), 5);
	set32(DOORBELL(1), 255);
	assert_int_equal(driver.violations[BAD_DOORBELL], 8);
	set32(USBCMD, 0);
	set32(DOORBELL(255), 1);
	set32(DOORBELL(0), 0);
	assert_int_equal(get32(CRCR), 0);
	assert_int_equal(violations(), 8);
	assert_recovers();
	end();
}

static void commands_that_make_no_sense(void **state)
{
	static const struct {
		uint32_t control;
		unsigned code;
	} table[] = {
		{ TYPE(0), TRB_ERROR },
		{ TYPE(NORMAL), TRB_ERROR },
		{ TYPE(18), TRB_ERROR },
		{ TYPE(63), TRB_ERROR },
		{ TYPE(DISABLE_SLOT), SLOT_NOT_ENABLED },
		{ TYPE(DISABLE_SLOT) | 2u << 24, SLOT_NOT_ENABLED },
		{ TYPE(ADDRESS_DEVICE) | 9u << 24, SLOT_NOT_ENABLED },
		{ TYPE(CONFIGURE_ENDPOINT) | 255u << 24, SLOT_NOT_ENABLED },
		{ TYPE(SET_DEQUEUE) | 8u << 24 | 3u << 16, SLOT_NOT_ENABLED },
		{ TYPE(STOP_ENDPOINT) | 1u << 24 | 31u << 16, ENDPOINT_NOT_ENABLED },
		{ TYPE(CONFIGURE_ENDPOINT) | 1u << 24, TRB_ERROR }, /* its context is at 0 */
		{ TYPE(EVALUATE_CONTEXT) | 1u << 24, TRB_ERROR },
	};

	begin_ready(USB_INPUT_KEYBOARD);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(command(0, 0, table[i].control).status >> 24, table[i].code);
	assert_recovers();
	end();
}

/* Contexts with absurd values are refused, and change nothing. */
static void contexts_that_make_no_sense(void **state)
{
	begin(USB_INPUT_KEYBOARD);
	start();
	reset_port();
	enable_slot();
	for (unsigned i = 0; i < 8; i++) {
		const uint64_t nowhere = i == 0 ? 0 : OUTSIDE, context = RAM_BASE + CONTEXT_AT;
		unsigned expected = i < 2 ? TRB_ERROR : i < 7 ? PARAMETER_ERROR : TRANSACTION_ERROR;

		prepare_input(0, i == 2 ? 1 : 3);
		put_endpoint(1, i == 3 ? 7 : 4, 0, CONTROL_AT);
		if (i == 4)
			put_word(INPUT_AT + 0x24, 0);
		if (i == 5)
			put_word(INPUT_AT + 0x24, 3u << 16);
		if (i == 6)
			put_word(INPUT_AT + 0x44, 4u << 3);
		if (i == 7)
			put_word(INPUT_AT + 0x20, 3u << 20 | 1u << 27 | 1);
		memcpy(driver.ram + DCBAA_AT + 8 * driver.slot, i < 2 ? &nowhere : &context, 8);
		assert_int_equal(run_command(ADDRESS_DEVICE, RAM_BASE + INPUT_AT, 0), expected);
		assert_int_equal(slot_state(), 0);
	}
	assert_int_equal(address_device(false), SUCCESS);
	for (unsigned i = 0; i < 5; i++) {
		prepare_input(i == 0 ? 2 : 0, i == 1 ? 0xffffffff : i == 2 ? 3 : 9);
		put_endpoint(3, i == 3 ? 3 : 7, 6, REPORTS_AT);
		if (i == 4)
			put_word(INPUT_AT + 0x84, 7u << 16 | 7u << 3);
		assert_int_equal(run_command(CONFIGURE_ENDPOINT, RAM_BASE + INPUT_AT, 0), PARAMETER_ERROR);
		assert_int_equal(slot_state(), 2);
	}
	/* Another slot for the same device, which has an address. */
	enable_slot();
	assert_int_equal(driver.slot, 2);
	assert_int_equal(address_device(false), TRANSACTION_ERROR);
	/* The port is not enabled. */
	driver.slot = 1;
	assert_int_equal(run_command(DISABLE_SLOT, 0, 0), SUCCESS);
	driver.slot = 2;
	write_port(1, 2);
	assert_int_equal(address_device(false), TRANSACTION_ERROR);
	reset_port();
	assert_int_equal(address_device(false), SUCCESS);
	end();
}

/* ---- control transfers ---- */

/* Stages in no order, and of no shape: the endpoint halts, and goes on when it is reset. */
static void stages_in_no_order(void **state)
{
	static const struct {
		uint64_t parameter;
		uint32_t status, control;
		unsigned code;
	} table[] = {
		{ 0, 0, TYPE(STATUS) | IOC, TRB_ERROR },
		{ RAM_BASE + DATA_AT, 8, TYPE(DATA) | DIR_IN, TRB_ERROR },
		{ RAM_BASE + DATA_AT, 8, TYPE(NORMAL), TRB_ERROR },
		{ RAM_BASE + DATA_AT, 8, TYPE(SETUP), TRB_ERROR },
		{ GET_DESCRIPTOR(1, 0, 18), 9, TYPE(SETUP) | IDT, TRB_ERROR },
		{ 0, 0, TYPE(ENABLE_SLOT), TRB_ERROR },
		{ 0, 0, TYPE(5), TRB_ERROR },
	};

	begin_ready(USB_INPUT_KEYBOARD);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		put(&driver.control, table[i].parameter, table[i].status, table[i].control);
		set32(DOORBELL(driver.slot), 1);
		assert_int_equal(await(TRANSFER_EVENT).status >> 24, table[i].code);
		set32(DOORBELL(driver.slot), 1);
		assert_silent();
		clear_stall(1, &driver.control);
		assert_int_equal(request(GET_DESCRIPTOR(1, 0, 18)), 18);
	}
	/* Data in the wrong direction, and immediate data that is too long. */
	for (unsigned i = 0; i < 2; i++) {
		put(&driver.control, i ? REQUEST(0x21, 9, 0x200, 0, 64) : GET_DESCRIPTOR(1, 0, 18), 8,
		    TYPE(SETUP) | IDT);
		put(&driver.control, RAM_BASE + DATA_AT, 18, TYPE(DATA) | (i ? IDT : 0));
		set32(DOORBELL(driver.slot), 1);
		assert_int_equal(await(TRANSFER_EVENT).status >> 24, TRB_ERROR);
		clear_stall(1, &driver.control);
	}
	end();
}

/* 64 KiB for one byte, in pieces of 64 KiB: no more than its beginning is kept. */
static void more_data_than_any_report(void **state)
{
	begin_ready(USB_INPUT_KEYBOARD);
	memset(driver.ram + DATA_AT, 0xff, 0x10000);
	driver.ram[DATA_AT] = 2;
	assert_int_equal(request(REQUEST(0x21, 9, 0x200, 0, 0xffff)), 0xffff);
	assert_int_equal(driver.leds, 2);
	assert_int_equal(request(GET_DESCRIPTOR(2, 0, 0xffff)), 34);
	assert_int_equal(request(REQUEST(0x21, 9, 0x200, 0, 0)), -1);
	end();
}

/* A device without an address answers nothing. */
static void transfers_to_nobody(void **state)
{
	begin_ready(USB_INPUT_KEYBOARD);
	write_port(1, 2);
	put_request(GET_DESCRIPTOR(1, 0, 18));
	set32(DOORBELL(driver.slot), 1);
	assert_int_equal(await(TRANSFER_EVENT).status >> 24, TRANSACTION_ERROR);
	clear_stall(1, &driver.control);
	reset_port();
	put_request(GET_DESCRIPTOR(1, 0, 18));
	set32(DOORBELL(driver.slot), 1);
	assert_int_equal(await(TRANSFER_EVENT).status >> 24, TRANSACTION_ERROR);
	assert_recovers();
	end();
}

/* ---- storms ---- */

static uint64_t some(uint64_t *seed, uint64_t limit)
{
	return test_random(seed) % limit;
}

/* Mostly inside of the few pages where all of it lies, so that it meets itself. */
static uint64_t some_address(uint64_t *seed)
{
	if (some(seed, 16) == 0)
		return test_random(seed);
	return RAM_BASE + 0x1000 + some(seed, 0x10000) / 16 * 16 + some(seed, 2);
}

static void storm_memory(uint64_t *seed)
{
	static const uint8_t types[] = { NORMAL, SETUP, DATA, STATUS, LINK, EVENT_DATA, NO_OP, ENABLE_SLOT,
					 DISABLE_SLOT, ADDRESS_DEVICE, CONFIGURE_ENDPOINT, EVALUATE_CONTEXT,
					 RESET_ENDPOINT, STOP_ENDPOINT, SET_DEQUEUE, RESET_DEVICE, 23 };
	struct driver_ring *rings[] = { &driver.commands, &driver.control, &driver.reports };

	for (unsigned i = 0; i < 4; i++) {
		uint32_t control = TYPE(types[some(seed, sizeof(types))]) | (some(seed, 64) << 1 & 0x7e) |
				   (uint32_t)some(seed, 4) << 16 | (uint32_t)some(seed, 3) << 24;

		put(rings[some(seed, 3)], some(seed, 2) ? some_address(seed) : GET_DESCRIPTOR(2, 0, 34),
		    (uint32_t)some(seed, 2) ? 8 : (uint32_t)test_random(seed) & 0x1ffff, control);
	}
	put_word((uint32_t)(0x1000 + some(seed, 0x10000) / 4 * 4), (uint32_t)test_random(seed));
}

static void storm_registers(uint64_t *seed)
{
	static const uint32_t offsets[] = { USBCMD, USBSTS, CRCR, CRCR + 4, DCBAAP, CONFIG, PORTSC(1),
					    PORTSC(2), IMAN, ERSTSZ, ERSTBA, ERDP, ERDP + 4, 0x2000, 0x2004,
					    0x2008 };
	static const unsigned sizes[] = { 1, 2, 4, 4, 4, 8 };
	unsigned bytes = sizes[some(seed, 6)];
	uint32_t offset = offsets[some(seed, 16)];
	uint64_t value = some(seed, 2) ? some(seed, 8) : some_address(seed);

	if (some(seed, 8) == 0)
		offset = (uint32_t)some(seed, 0x4000 - bytes + 1);
	/* A reset every now and then, and mostly it runs. */
	if (offset == USBCMD)
		value = some(seed, 20) ? RUN | INTE : test_random(seed);
	usb_input_model.write(driver.function, 0, offset, bytes, value);
	usb_input_model.read(driver.function, 0, (uint32_t)some(seed, 0x4000 - bytes + 1), bytes);
}

static void storm_rest(uint64_t *seed)
{
	switch (some(seed, 8)) {
	case 0:
		memory_becomes(some(seed, 2) ? driver.empty : driver.memory);
		break;
	case 1:
		quiesce();
		usb_input_model.resume(driver.function);
		break;
	case 2:
		driver.has_vectors = !driver.has_vectors;
		usb_input_model.vectors_changed(driver.function);
		break;
	case 3:
		consume();
		break;
	default:
		usb_input_key(driver.device, KEY_1 + (unsigned)some(seed, 10), some(seed, 2));
		usb_input_key(driver.device, BTN_LEFT + (unsigned)some(seed, 3), some(seed, 2));
		usb_input_move(driver.device, (unsigned)some(seed, 40000), 7);
	}
}

/* From a controller that works: nothing breaks, and it works again after a reset. */
static void storms(void **state)
{
	for (uint64_t i = 1; i <= STORMS; i++) {
		uint64_t seed = i;

		begin_ready(i % 2 ? USB_INPUT_KEYBOARD : USB_INPUT_TABLET);
		for (unsigned round = 0; round < STORM_ROUNDS; round++) {
			storm_memory(&seed);
			storm_registers(&seed);
			storm_rest(&seed);
			set32(DOORBELL((unsigned)some(&seed, 3)), 1 + 2 * (uint32_t)some(&seed, 2));
			assert_int_equal(loop_turn(driver.loop, 0), 0);
		}
		settle();
		driver.has_vectors = true;
		memory_becomes(driver.memory);
		enumerate();
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(links_without_end),
		cmocka_unit_test(rings_outside_of_memory),
		cmocka_unit_test(memory_that_moves),
		cmocka_unit_test(buffers_outside_of_memory),
		cmocka_unit_test(event_rings_that_cannot_be),
		cmocka_unit_test(event_rings_outside_of_memory),
		cmocka_unit_test(doorbells_of_nothing),
		cmocka_unit_test(commands_that_make_no_sense),
		cmocka_unit_test(contexts_that_make_no_sense),
		cmocka_unit_test(stages_in_no_order),
		cmocka_unit_test(more_data_than_any_report),
		cmocka_unit_test(transfers_to_nobody),
		cmocka_unit_test(storms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
