/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The xHCI model's event ring and its interrupts, and commands about rings. */
#include "xhci_guest.h"

/* ---- the ring ---- */

/* What has no room waits, in order, in the ring that it comes from; the driver is told that it was full. */
static void nothing_is_lost_when_it_is_full(void **state)
{
	uint64_t address[RING_TRBS];
	struct trb event;
	unsigned count = 0;

	begin(USB_INPUT_KEYBOARD);
	start_with(16);
	for (unsigned round = 0; round < 40; round++) {
		for (unsigned i = 0; i < 14; i++)
			address[i] = put(&driver.commands, 0, 0, TYPE(NO_OP_COMMAND));
		set32(DOORBELL(0), 0);
		settle();
		for (count = 0; count < 14 && look(&event); count++) {
			if (type_of(&event) == CONTROLLER_EVENT)
				break;
			assert_int_equal(type_of(&event), COMMAND_EVENT);
			assert_int_equal(event.parameter, address[count]);
		}
		assert_int_equal(type_of(&event), CONTROLLER_EVENT);
		assert_int_equal(code_of(&event), RING_FULL);
		assert_silent();
		consume();
		for (; count < 14; count++)
			assert_int_equal(await(COMMAND_EVENT).parameter, address[count]);
		assert_silent();
	}
	assert_int_equal(violations(), 0);
	end();
}

/* A driver that never consumes: no event is written over. */
static void a_full_ring_stays(void **state)
{
	uint8_t before[16 * sizeof(struct trb)];

	begin(USB_INPUT_KEYBOARD);
	start_with(16);
	for (unsigned i = 0; i < 14; i++)
		put(&driver.commands, 0, 0, TYPE(NO_OP_COMMAND));
	set32(DOORBELL(0), 0);
	settle();
	memcpy(before, driver.ram + EVENTS_AT, sizeof(before));
	for (unsigned i = 0; i < 100; i++) {
		set32(DOORBELL(0), 0);
		write_port(1, PORT_CHANGES);
		write_port(1, 0x10);
		settle();
	}
	assert_memory_equal(before, driver.ram + EVENTS_AT, sizeof(before));
	end();
}

/* In three segments that do not follow each other. */
static void segments(void **state)
{
	const uint64_t table[] = { RAM_BASE + 0x20000, 16, RAM_BASE + 0x22000, 20,
				   RAM_BASE + 0x21000, 17 };
	static const uint32_t at[] = { 0x20000, 0x22000, 0x21000 };
	static const unsigned trbs[] = { 16, 20, 17 };
	unsigned segment = 0, index = 0;
	uint32_t cycle = 1;

	begin(USB_INPUT_KEYBOARD);
	start();
	set32(USBCMD, INTE);
	memcpy(driver.ram + TABLE_AT, table, sizeof(table));
	set32(ERSTSZ, 3);
	set64(ERSTBA, RAM_BASE + TABLE_AT);
	set64(ERDP, RAM_BASE + 0x20000);
	set32(USBCMD, RUN | INTE);
	for (unsigned i = 0; i < 300; i++) {
		uint64_t address = put(&driver.commands, 0, 0, TYPE(NO_OP_COMMAND));
		struct trb event;

		set32(DOORBELL(0), 0);
		settle();
		memcpy(&event, driver.ram + at[segment] + index * sizeof(event), sizeof(event));
		assert_int_equal(event.parameter, address);
		assert_int_equal(event.control, TYPE(COMMAND_EVENT) | cycle);
		if (++index == trbs[segment]) {
			index = 0;
			segment = (segment + 1) % 3;
			cycle = segment == 0 ? cycle ^ 1 : cycle;
		}
		set64(ERDP, RAM_BASE + at[segment] + index * sizeof(event));
	}
	assert_int_equal(violations(), 0);
	end();
}

/* The table is as it was when its address was written, whatever becomes of it. */
static void the_table_is_read_once(void **state)
{
	begin(USB_INPUT_KEYBOARD);
	start();
	memset(driver.ram + TABLE_AT, 0xff, 64);
	set32(ERSTSZ, 0xffff);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(command(0, 0, TYPE(NO_OP_COMMAND)).status >> 24, SUCCESS);
	assert_int_equal(violations(), 0);
	end();
}

/* ---- interrupts ---- */

static void messages(void **state)
{
	struct trb event;

	begin(USB_INPUT_KEYBOARD);
	start();
	assert_int_equal(driver.raised, 1);
	driver.raised = 0;
	put(&driver.commands, 0, 0, TYPE(NO_OP_COMMAND));
	put(&driver.commands, 0, 0, TYPE(NO_OP_COMMAND));
	set32(DOORBELL(0), 0);
	settle();
	/* One tells of both; the message has taken what was pending. */
	assert_int_equal(driver.raised, 1);
	assert_int_equal(get32(IMAN), 2);
	assert_int_equal(get32(USBSTS) & STS_EVENT, STS_EVENT);
	assert_int_equal(get32(ERDP) & 8, 8);
	set32(USBSTS, STS_EVENT);
	assert_int_equal(get32(USBSTS) & STS_EVENT, 0);
	/* Until the driver has consumed, no other follows. */
	put(&driver.commands, 0, 0, TYPE(NO_OP_COMMAND));
	set32(DOORBELL(0), 0);
	settle();
	assert_int_equal(driver.raised, 1);
	assert_true(look(&event));
	consume();
	settle();
	/* It has not consumed all. */
	assert_int_equal(driver.raised, 2);
	while (look(&event))
		continue;
	consume();
	settle();
	assert_int_equal(driver.raised, 2);
	assert_int_equal(get32(ERDP) & 8, 0);
	/* Masked: told of when that ends. */
	set32(IMAN, 0);
	command(0, 0, TYPE(NO_OP_COMMAND));
	assert_int_equal(driver.raised, 2);
	assert_int_equal(get32(IMAN), 1);
	set32(USBCMD, RUN);
	set32(IMAN, 2);
	assert_int_equal(driver.raised, 2);
	set32(USBCMD, RUN | INTE);
	assert_int_equal(driver.raised, 3);
	end();
}

/* The pin is held until the driver has cleared what is pending. */
static void the_pin(void **state)
{
	begin(USB_INPUT_KEYBOARD);
	driver.has_vectors = false;
	start();
	assert_true(driver.pin);
	assert_int_equal(get32(IMAN), 3);
	set32(IMAN, 3);
	assert_false(driver.pin);
	command(0, 0, TYPE(NO_OP_COMMAND));
	assert_true(driver.pin);
	set32(USBCMD, RUN);
	assert_false(driver.pin);
	set32(USBCMD, RUN | INTE);
	assert_true(driver.pin);
	set32(IMAN, 2);
	assert_true(driver.pin);
	/* From the pin to messages, and back. */
	put(&driver.commands, 0, 0, TYPE(NO_OP_COMMAND));
	set32(DOORBELL(0), 0);
	settle();
	driver.has_vectors = true;
	driver.raised = 0;
	usb_input_model.vectors_changed(driver.function);
	assert_false(driver.pin);
	assert_int_equal(driver.raised, 1);
	driver.has_vectors = false;
	usb_input_model.vectors_changed(driver.function);
	assert_true(driver.pin);
	set32(USBCMD, HCRST);
	assert_false(driver.pin);
	end();
}

/* A TRB may ask that its event interrupts nobody. */
static void a_blocked_interrupt(void **state)
{
	struct trb event;

	begin_ready(USB_INPUT_KEYBOARD);
	driver.raised = 0;
	put(&driver.reports, RAM_BASE + DATA_AT, 8, TYPE(NORMAL) | IOC | 1u << 9);
	set32(DOORBELL(driver.slot), 3);
	usb_input_key(driver.device, KEY_A, true);
	settle();
	assert_true(look(&event));
	assert_int_equal(driver.raised, 0);
	end();
}

/* ---- commands ---- */

static void the_command_ring_stops(void **state)
{
	struct trb event;

	begin(USB_INPUT_KEYBOARD);
	start();
	command(0, 0, TYPE(NO_OP_COMMAND));
	assert_int_equal(get32(CRCR), 8);
	for (unsigned bit = 2; bit <= 4; bit += 2) {
		/* Drivers write all of it, and a bit in it: the rest says nothing. */
		set64(CRCR, OUTSIDE << 8 | bit);
		event = await(COMMAND_EVENT);
		assert_int_equal(code_of(&event), RING_STOPPED);
		assert_int_equal(event.parameter, RAM_BASE + COMMANDS_AT + (bit == 2 ? 16 : 32));
		assert_int_equal(get32(CRCR), 0);
		/* It goes on where it was. */
		command(0, 0, TYPE(NO_OP_COMMAND));
	}
	/* While it runs, it has no other pointer. */
	set64(CRCR, OUTSIDE | 1);
	command(0, 0, TYPE(NO_OP_COMMAND));
	/* Halted and begun anew. */
	set32(USBCMD, INTE);
	assert_int_equal(get32(CRCR), 0);
	ring_init(&driver.commands, COMMANDS_AT);
	set64(CRCR, (RAM_BASE + COMMANDS_AT) | 1);
	set32(USBCMD, RUN | INTE);
	command(0, 0, TYPE(NO_OP_COMMAND));
	assert_int_equal(violations(), 0);
	end();
}

static void slots(void **state)
{
	begin(USB_INPUT_KEYBOARD);
	start();
	for (unsigned i = 1; i <= 8; i++) {
		enable_slot();
		assert_int_equal(driver.slot, i);
	}
	assert_int_equal(command(0, 0, TYPE(ENABLE_SLOT)).status >> 24, NO_SLOTS);
	driver.slot = 3;
	assert_int_equal(run_command(DISABLE_SLOT, 0, 0), SUCCESS);
	assert_int_equal(run_command(DISABLE_SLOT, 0, 0), SLOT_NOT_ENABLED);
	enable_slot();
	assert_int_equal(driver.slot, 3);
	set32(CONFIG, 2);
	assert_int_equal(run_command(DISABLE_SLOT, 0, 0), SUCCESS);
	assert_int_equal(command(0, 0, TYPE(ENABLE_SLOT)).status >> 24, NO_SLOTS);
	end();
}

/* 4.6: which command is possible when. */
static void states(void **state)
{
	begin(USB_INPUT_KEYBOARD);
	start();
	reset_port();
	enable_slot();
	prepare_input(0, 3);
	assert_int_equal(run_command(CONFIGURE_ENDPOINT, RAM_BASE + INPUT_AT, 0), CONTEXT_STATE_ERROR);
	assert_int_equal(run_command(EVALUATE_CONTEXT, RAM_BASE + INPUT_AT, 0), CONTEXT_STATE_ERROR);
	assert_int_equal(run_command(RESET_DEVICE, 0, 0), CONTEXT_STATE_ERROR);
	assert_int_equal(run_command(STOP_ENDPOINT, 0, 1u << 16), ENDPOINT_NOT_ENABLED);
	assert_int_equal(address_device(true), SUCCESS);
	assert_int_equal(address_device(true), CONTEXT_STATE_ERROR);
	assert_int_equal(configure_endpoint(), CONTEXT_STATE_ERROR);
	assert_int_equal(address_device(false), SUCCESS);
	assert_int_equal(address_device(false), CONTEXT_STATE_ERROR);
	assert_int_equal(configure_endpoint(), SUCCESS);
	assert_int_equal(run_command(RESET_ENDPOINT, 0, 1u << 16), CONTEXT_STATE_ERROR);
	assert_int_equal(run_command(SET_DEQUEUE, 0, 1u << 16), CONTEXT_STATE_ERROR);
	assert_int_equal(run_command(STOP_ENDPOINT, 0, 5u << 16), ENDPOINT_NOT_ENABLED);
	assert_int_equal(run_command(STOP_ENDPOINT, 0, 0), ENDPOINT_NOT_ENABLED);
	assert_int_equal(run_command(STOP_ENDPOINT, 0, 3u << 16), SUCCESS);
	assert_int_equal(endpoint_state(3), 3);
	assert_int_equal(run_command(STOP_ENDPOINT, 0, 3u << 16), CONTEXT_STATE_ERROR);
	/* Deconfigured and configured again. */
	assert_int_equal(run_command(CONFIGURE_ENDPOINT, 0, 1u << 9), SUCCESS);
	assert_int_equal(slot_state(), 2);
	assert_int_equal(endpoint_state(3), 0);
	assert_int_equal(configure_endpoint(), SUCCESS);
	prepare_input(8, 1);
	assert_int_equal(run_command(CONFIGURE_ENDPOINT, RAM_BASE + INPUT_AT, 0), SUCCESS);
	assert_int_equal(slot_state(), 2);
	assert_int_equal(configure_endpoint(), SUCCESS);
	assert_int_equal(run_command(RESET_DEVICE, 0, 0), SUCCESS);
	assert_int_equal(slot_state(), 1);
	assert_int_equal(endpoint_state(3), 0);
	end();
}

/* What waits is told of, and is not lost when the endpoint goes on. */
static void an_endpoint_stops_and_goes_on(void **state)
{
	uint64_t buffer, stop;
	struct trb event;

	begin_ready(USB_INPUT_KEYBOARD);
	buffer = put_buffer();
	set32(DOORBELL(driver.slot), 3);
	settle();
	stop = put(&driver.commands, 0, 0, TYPE(STOP_ENDPOINT) | 3u << 16 | driver.slot << 24);
	set32(DOORBELL(0), 0);
	event = await(TRANSFER_EVENT);
	assert_int_equal(code_of(&event), STOPPED);
	assert_int_equal(event.parameter, buffer);
	assert_int_equal(left_of(&event), 8);
	assert_int_equal(await(COMMAND_EVENT).parameter, stop);
	assert_int_equal(endpoint_state(3), 3);
	assert_int_equal(word_at(CONTEXT_AT + 0x68), (uint32_t)buffer | 1);
	usb_input_key(driver.device, KEY_A, true);
	assert_silent();
	set32(DOORBELL(driver.slot), 3);
	event = await(TRANSFER_EVENT);
	assert_int_equal(event.parameter, buffer);
	assert_int_equal(code_of(&event), SUCCESS);
	assert_int_equal(endpoint_state(3), 1);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost_when_it_is_full),
		cmocka_unit_test(a_full_ring_stays),
		cmocka_unit_test(segments),
		cmocka_unit_test(the_table_is_read_once),
		cmocka_unit_test(messages),
		cmocka_unit_test(the_pin),
		cmocka_unit_test(a_blocked_interrupt),
		cmocka_unit_test(the_command_ring_stops),
		cmocka_unit_test(slots),
		cmocka_unit_test(states),
		cmocka_unit_test(an_endpoint_stops_and_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
