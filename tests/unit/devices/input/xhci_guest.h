/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a guest does with an xHCI controller: from its reset to a device that is configured. */
#ifndef VIADUCT_TESTS_UNIT_XHCI_GUEST_H
#define VIADUCT_TESTS_UNIT_XHCI_GUEST_H

#include "xhci_driver.h"

/* ---- the controller ---- */

static inline void prepare_events(unsigned trbs)
{
	const uint64_t segment[] = { RAM_BASE + EVENTS_AT, trbs };

	driver.events_trbs = trbs;
	driver.event = 0;
	driver.event_cycle = true;
	memset(driver.ram + EVENTS_AT, 0, trbs * sizeof(struct trb));
	memcpy(driver.ram + TABLE_AT, segment, sizeof(segment));
	set32(ERSTSZ, 1);
	set64(ERSTBA, RAM_BASE + TABLE_AT);
	set64(ERDP, RAM_BASE + EVENTS_AT);
}

/* From reset to running; the device's connection has been told of, and is acknowledged. */
static inline void start_with(unsigned event_trbs)
{
	struct trb event;

	set32(USBCMD, HCRST);
	assert_int_equal(get32(USBCMD), 0);
	assert_int_equal(get32(USBSTS) & ~STS_PORT, STS_HALTED);
	set32(CONFIG, 8);
	set64(DCBAAP, RAM_BASE + DCBAA_AT);
	memset(driver.ram + DCBAA_AT, 0, 4096);
	ring_init(&driver.commands, COMMANDS_AT);
	set64(CRCR, (RAM_BASE + COMMANDS_AT) | 1);
	prepare_events(event_trbs);
	set32(IMAN, 3);
	set32(USBCMD, RUN | INTE);
	assert_int_equal(get32(USBSTS) & STS_HALTED, 0);
	event = await(PORT_EVENT);
	assert_int_equal(event.parameter, 1u << 24);
	assert_int_equal(code_of(&event), SUCCESS);
	set32(USBSTS, STS_PORT | STS_EVENT);
}

static inline void start(void)
{
	start_with(64);
}

static inline struct trb command(uint64_t parameter, uint32_t status, uint32_t control)
{
	uint64_t address = put(&driver.commands, parameter, status, control);
	struct trb event;

	set32(DOORBELL(0), 0);
	event = await(COMMAND_EVENT);
	assert_int_equal(event.parameter, address);
	return event;
}

static inline unsigned run_command(unsigned type, uint64_t parameter, uint32_t bits)
{
	struct trb event = command(parameter, 0, TYPE(type) | bits | driver.slot << 24);

	assert_int_equal(event.control >> 24, driver.slot);
	return code_of(&event);
}

#define PORT_CHANGES 0x00fe0000u

/* What is written must not clear, or do, anything that is not meant. */
static inline void write_port(unsigned port, uint32_t bits)
{
	set32(PORTSC(port), (get32(PORTSC(port)) & ~(PORT_CHANGES | 0x2u | 0x10u)) | bits);
}

static inline void reset_port(void)
{
	struct trb event;

	write_port(1, PORT_CHANGES);
	write_port(1, 0x10);
	assert_int_equal(get32(PORTSC(1)), 0x00200e03);
	event = await(PORT_EVENT);
	assert_int_equal(event.parameter, 1u << 24);
	write_port(1, 1u << 21);
	assert_int_equal(get32(PORTSC(1)), 0x00000e03);
}

/* ---- slots ---- */

static inline void enable_slot(void)
{
	struct trb event = command(0, 0, TYPE(ENABLE_SLOT));
	const uint64_t context = RAM_BASE + CONTEXT_AT;

	assert_int_equal(code_of(&event), SUCCESS);
	driver.slot = event.control >> 24;
	assert_in_range(driver.slot, 1, 8);
	memset(driver.ram + CONTEXT_AT, 0, 1024);
	memcpy(driver.ram + DCBAA_AT + 8 * driver.slot, &context, sizeof(context));
}

static inline void put_endpoint(unsigned dci, unsigned type, unsigned interval, uint32_t ring_at)
{
	uint32_t at = INPUT_AT + 0x20 * (dci + 1);

	put_word(at, interval << 16);
	put_word(at + 4, (dci == 1 ? 64u : 8u) << 16 | type << 3 | 3u << 1);
	put_word(at + 8, (uint32_t)(RAM_BASE + ring_at) | 1);
	put_word(at + 12, 0);
	put_word(at + 16, 8);
}

static inline void prepare_input(uint32_t drop, uint32_t add)
{
	memset(driver.ram + INPUT_AT, 0, 0x420);
	put_word(INPUT_AT, drop);
	put_word(INPUT_AT + 4, add);
	put_word(INPUT_AT + 0x20, 3u << 20 | (add & 8 ? 3u : 1u) << 27);
	put_word(INPUT_AT + 0x24, 1u << 16);
}

static inline unsigned address_device(bool bsr)
{
	prepare_input(0, 3);
	ring_init(&driver.control, CONTROL_AT);
	put_endpoint(1, 4, 0, CONTROL_AT);
	return run_command(ADDRESS_DEVICE, RAM_BASE + INPUT_AT, bsr ? 1u << 9 : 0);
}

static inline unsigned configure_endpoint(void)
{
	prepare_input(0, 1 | 1u << 3);
	ring_init(&driver.reports, REPORTS_AT);
	put_endpoint(3, 7, 6, REPORTS_AT);
	return run_command(CONFIGURE_ENDPOINT, RAM_BASE + INPUT_AT, 0);
}

static inline unsigned slot_state(void)
{
	return word_at(CONTEXT_AT + 12) >> 27;
}

static inline unsigned endpoint_state(unsigned dci)
{
	return word_at(CONTEXT_AT + 0x20 * dci) & 7;
}

/* ---- control transfers ---- */

#define REQUEST(type, request, value, index, length)                                                        \
	((uint64_t)(type) | (uint64_t)(request) << 8 | (uint64_t)(value) << 16 | (uint64_t)(index) << 32 |  \
	 (uint64_t)(length) << 48)

/* Puts the three stages, data at DATA_AT, and does not ring. Returns where the last one is. */
static inline uint64_t put_request(uint64_t setup)
{
	uint32_t length = (uint32_t)(setup >> 48), in = setup & 0x80 ? DIR_IN : 0;

	put(&driver.control, setup, 8, TYPE(SETUP) | IDT | (length == 0 ? 0 : in ? 3u : 2u) << 16);
	if (length > 0)
		put(&driver.control, RAM_BASE + DATA_AT, length, TYPE(DATA) | in | ISP);
	return put(&driver.control, 0, 0, TYPE(STATUS) | IOC | (in && length > 0 ? 0 : DIR_IN));
}

/* As a driver that clears the halt of a stall. */
static inline void clear_stall(unsigned dci, struct driver_ring *ring)
{
	const uint64_t next = (RAM_BASE + ring->at + ring->enqueue * sizeof(struct trb)) | ring->cycle;

	assert_int_equal(endpoint_state(dci), 2);
	assert_int_equal(run_command(RESET_ENDPOINT, 0, dci << 16), SUCCESS);
	assert_int_equal(endpoint_state(dci), 3);
	assert_int_equal(run_command(SET_DEQUEUE, next, dci << 16), SUCCESS);
	assert_int_equal(word_at(CONTEXT_AT + 0x20 * dci + 8), (uint32_t)next);
}

/* Returns the bytes that came, or went; -1: it stalled. */
static inline int request(uint64_t setup)
{
	uint64_t status = put_request(setup);
	unsigned length = (unsigned)(setup >> 48), left = 0;
	struct trb event;

	set32(DOORBELL(driver.slot), 1);
	event = await(TRANSFER_EVENT);
	assert_int_equal(event.control >> 16 & 0x1f, 1);
	assert_int_equal(event.control >> 24, driver.slot);
	if (code_of(&event) == SHORT_PACKET) {
		left = left_of(&event);
		assert_int_not_equal(event.parameter, status);
		event = await(TRANSFER_EVENT);
	}
	if (code_of(&event) == STALL) {
		clear_stall(1, &driver.control);
		return -1;
	}
	assert_int_equal(code_of(&event), SUCCESS);
	assert_int_equal(event.parameter, status);
	assert_int_equal(left_of(&event), 0);
	return (int)(length - left);
}

#define GET_DESCRIPTOR(type, index, length) REQUEST(0x80, 6, (type) << 8 | (index), 0, length)
#define SET_CONFIGURATION(value)	    REQUEST(0x00, 9, value, 0, 0)

/* ---- the whole way ---- */

/* As Linux does it, in short; test_xhci.c does it at length. */
static inline void enumerate(void)
{
	start();
	reset_port();
	enable_slot();
	assert_int_equal(address_device(false), SUCCESS);
	assert_int_equal(configure_endpoint(), SUCCESS);
	assert_int_equal(request(SET_CONFIGURATION(1)), 0);
}

static inline void begin_ready(enum usb_input_kind kind)
{
	begin(kind);
	enumerate();
}

/* A buffer for a report, behind DATA_AT + 0x1000. */
static inline uint64_t put_buffer(void)
{
	return put(&driver.reports, RAM_BASE + DATA_AT + 0x1000, 8, TYPE(NORMAL) | IOC | ISP);
}

/* Offers a buffer; returns the bytes of the report that came, 0: none. */
static inline unsigned hear(uint8_t report[8])
{
	uint64_t address = put_buffer();
	struct trb event;

	memset(driver.ram + DATA_AT + 0x1000, 0xee, 8);
	set32(DOORBELL(driver.slot), 3);
	if (!reap(&event))
		return 0;
	assert_int_equal(type_of(&event), TRANSFER_EVENT);
	assert_int_equal(event.parameter, address);
	assert_int_equal(event.control >> 16 & 0x1f, 3);
	assert_int_equal(code_of(&event), left_of(&event) ? SHORT_PACKET : SUCCESS);
	memcpy(report, driver.ram + DATA_AT + 0x1000, 8);
	return 8 - left_of(&event);
}

#endif
