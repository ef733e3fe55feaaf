/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The USB input device alone, to be included by one program: a bus that remembers what it was told, a guest's
 * memory in one memory file, and a naive driver. What the registers and structures look like is written down
 * here once more, from the specification (xHCI 1.2), so that a wrong number of the model is found.
 */
#ifndef VIADUCT_TESTS_UNIT_XHCI_DRIVER_H
#define VIADUCT_TESTS_UNIT_XHCI_DRIVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/input-event-codes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/fd.h"
#include "core/guest_memory.h"
#include "core/handover.h"
#include "core/loop.h"
#include "core/loop_account.h"
#include "core/memory_guard.h"
#include "devices/input/usb_input.h"

#define RAM_BYTES (1u << 20)
#define RAM_BASE  0x100000ull
#define OUTSIDE	  0x40000000ull

/* Registers. */
#define USBCMD	  0x40u
#define USBSTS	  0x44u
#define CRCR	  0x58u
#define DCBAAP	  0x70u
#define CONFIG	  0x78u
#define PORTSC(n) (0x440u + 0x10u * ((n)-1))
#define MFINDEX	  0x1000u
#define IMAN	  0x1020u
#define IMOD	  0x1024u
#define ERSTSZ	  0x1028u
#define ERSTBA	  0x1030u
#define ERDP	  0x1038u
#define DOORBELL(slot) (0x2000u + 4 * (slot))

#define RUN   1u
#define HCRST 2u
#define INTE  4u
#define STS_HALTED 1u
#define STS_EVENT  8u
#define STS_PORT   0x10u
#define STS_ERROR  0x1000u

/* TRBs. */
#define CYCLE 1u
#define TOGGLE 2u
#define ISP   4u
#define CHAIN 0x10u
#define IOC   0x20u
#define IDT   0x40u
#define DIR_IN (1u << 16)
#define TYPE(type) ((uint32_t)(type) << 10)
enum { NORMAL = 1, SETUP, DATA, STATUS, LINK = 6, EVENT_DATA, NO_OP };
enum { ENABLE_SLOT = 9, DISABLE_SLOT, ADDRESS_DEVICE, CONFIGURE_ENDPOINT, EVALUATE_CONTEXT, RESET_ENDPOINT,
       STOP_ENDPOINT, SET_DEQUEUE, RESET_DEVICE, NO_OP_COMMAND = 23 };
enum { TRANSFER_EVENT = 32, COMMAND_EVENT, PORT_EVENT, CONTROLLER_EVENT = 37 };
enum { SUCCESS = 1, BABBLE = 3, TRANSACTION_ERROR, TRB_ERROR, STALL, NO_SLOTS = 9, SLOT_NOT_ENABLED = 11,
       ENDPOINT_NOT_ENABLED, SHORT_PACKET, PARAMETER_ERROR = 17, CONTEXT_STATE_ERROR = 19, RING_FULL = 21,
       RING_STOPPED = 24, STOPPED = 26 };

/* Kinds of violations, in the order of usb_input_model.violations. */
enum { BAD_DOORBELL, BAD_EVENT_RING, BAD_MEMORY, BAD_LINKS, KINDS };

/* Where things lie in the memory, in bytes from RAM_BASE. */
#define DCBAA_AT    0x1000u
#define CONTEXT_AT  0x2000u /* of the slot's device */
#define INPUT_AT    0x3000u
#define TABLE_AT    0x4000u
#define EVENTS_AT   0x5000u
#define COMMANDS_AT 0x6000u
#define CONTROL_AT  0x7000u
#define REPORTS_AT  0x8000u
#define DATA_AT	    0x10000u
#define RING_TRBS   16u /* with the link; so short that it wraps soon */

struct trb {
	uint64_t parameter;
	uint32_t status, control;
};

struct driver_ring {
	uint32_t at;	   /* from RAM_BASE */
	unsigned enqueue;
	bool cycle;
};

/* All of it is anew with begin(). */
static struct driver {
	struct loop *loop;
	struct loop_guest *guest;
	struct usb_input *device;
	void *function;
	int memory_fd;
	uint8_t *ram;
	struct guest_memory *memory, *empty;
	struct register_bus bus;
	bool has_vectors, pin, quiet;
	unsigned raised, violations[KINDS];
	struct driver_ring commands, control, reports;
	unsigned events_trbs, event; /* of the event ring, in one segment */
	bool event_cycle;
	unsigned slot;
	unsigned leds, led_changes;
	void (*before_turn)(void); /* NULL: nothing */
} driver;

/* ---- the bus ---- */

static void bus_raise(struct register_bus *bus, unsigned vector)
{
	assert_int_equal(vector, 0);
	driver.raised++;
	if (!driver.has_vectors)
		driver.pin = true;
}

static void bus_lower(struct register_bus *bus, unsigned vector)
{
	driver.pin = false;
}

static bool bus_has_vectors(const struct register_bus *bus)
{
	return driver.has_vectors;
}

static void bus_violated(struct register_bus *bus, unsigned kind, uint64_t value)
{
	assert_true(kind < KINDS);
	driver.violations[kind]++;
}

static const struct register_bus_ops driver_bus_ops = {
	.raise = bus_raise, .lower = bus_lower, .has_vectors = bus_has_vectors, .violated = bus_violated,
};

static inline unsigned violations(void)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < KINDS; i++)
		sum += driver.violations[i];
	return sum;
}

static void on_led(void *context, unsigned led, bool on)
{
	assert_ptr_equal(context, &driver);
	assert_true(led <= LED_SCROLLL);
	assert_int_not_equal(driver.leds >> led & 1, on);
	driver.leds ^= 1u << led;
	driver.led_changes++;
}

/* ---- registers ---- */

static inline uint32_t get32(uint32_t offset)
{
	return (uint32_t)usb_input_model.read(driver.function, 0, offset, 4);
}

static inline void set32(uint32_t offset, uint32_t value)
{
	usb_input_model.write(driver.function, 0, offset, 4, value);
}

/* As drivers write them: lower half first. */
static inline void set64(uint32_t offset, uint64_t value)
{
	set32(offset, (uint32_t)value);
	set32(offset + 4, (uint32_t)(value >> 32));
}

/* ---- time ---- */

static inline void turns(void)
{
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(loop_turn(driver.loop, 0), 0);
}

static inline void settle(void)
{
	void (*before)(void) = driver.before_turn;

	driver.before_turn = NULL;
	if (before)
		before();
	driver.before_turn = before;
	turns();
}

static void on_quiet(void *context)
{
	assert_ptr_equal(context, &driver);
	assert_false(driver.quiet);
	driver.quiet = true;
}

static inline void quiesce(void)
{
	driver.quiet = false;
	usb_input_model.quiesce(driver.function, on_quiet, &driver);
	turns();
	assert_true(driver.quiet);
}

/* ---- power ---- */

static inline struct guest_memory *memory_of(uint64_t from, uint64_t bytes)
{
	const struct guest_region_description description = {
		.guest_address = RAM_BASE + from, .size = bytes, .user_address = RAM_BASE + from,
		.file_offset = from,
	};
	struct guest_memory *empty = guest_memory_create(), *memory;

	assert_int_equal(guest_memory_add(empty, &description, driver.memory_fd, &memory), 0);
	guest_memory_put(empty);
	return memory;
}

static inline void memory_becomes(struct guest_memory *memory)
{
	driver.bus.memory = memory;
	usb_input_model.memory_changed(driver.function);
}

static inline void create_device(enum usb_input_kind kind)
{
	const struct usb_input_options options = { .kind = kind, .led = on_led, .context = &driver };

	assert_int_equal(usb_input_create(&options, &driver.device), 0);
}

static inline void power_on(void)
{
	assert_int_equal(usb_input_model.power_on(driver.device, &driver.bus, &driver.function), 0);
}

static inline void go(void)
{
	assert_int_equal(usb_input_model.arrive(driver.function), 0);
	usb_input_model.resume(driver.function);
}

static inline void begin(enum usb_input_kind kind)
{
	const struct loop_options options = { .name = "xhci" };

	driver = (struct driver){ .has_vectors = true };
	memory_guard_install();
	assert_int_equal(loop_create(&options, &driver.loop), 0);
	driver.guest = loop_guest_create();
	driver.memory_fd = fd_memfd("ram", RAM_BYTES);
	driver.ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, driver.memory_fd, 0);
	assert_ptr_not_equal(driver.ram, MAP_FAILED);
	driver.memory = memory_of(0, RAM_BYTES);
	driver.empty = guest_memory_create();
	driver.bus = (struct register_bus){
		.ops = &driver_bus_ops, .memory = driver.memory, .loop = driver.loop,
		.account = loop_account_create(driver.guest, driver.loop),
	};
	create_device(kind);
	power_on();
	go();
}

static inline void end(void)
{
	quiesce();
	usb_input_model.power_off(driver.function);
	assert_int_equal(driver.leds, 0);
	usb_input_destroy(driver.device);
	turns();
	loop_account_close(driver.bus.account);
	loop_guest_put(driver.guest);
	guest_memory_put(driver.memory);
	guest_memory_put(driver.empty);
	loop_destroy(driver.loop);
	munmap(driver.ram, RAM_BYTES);
	close(driver.memory_fd);
}

/* ---- memory ---- */

static inline uint32_t word_at(uint32_t at)
{
	uint32_t word;

	memcpy(&word, driver.ram + at, sizeof(word));
	return word;
}

static inline void put_word(uint32_t at, uint32_t word)
{
	memcpy(driver.ram + at, &word, sizeof(word));
}

static inline void put_trb_at(uint32_t at, uint64_t parameter, uint32_t status, uint32_t control)
{
	const struct trb trb = { parameter, status, control };

	memcpy(driver.ram + at, &trb, sizeof(trb));
}

/* ---- rings ---- */

static inline void ring_init(struct driver_ring *ring, uint32_t at)
{
	*ring = (struct driver_ring){ .at = at, .cycle = true };
	memset(driver.ram + at, 0, RING_TRBS * sizeof(struct trb));
}

/* Returns where it was put, for the guest. The last place is a link to the first one. */
static inline uint64_t put(struct driver_ring *ring, uint64_t parameter, uint32_t status, uint32_t control)
{
	uint32_t at = ring->at + ring->enqueue * (uint32_t)sizeof(struct trb);

	put_trb_at(at, parameter, status, control | ring->cycle);
	if (++ring->enqueue == RING_TRBS - 1) {
		put_trb_at(at + (uint32_t)sizeof(struct trb), RAM_BASE + ring->at, 0,
			   TYPE(LINK) | TOGGLE | ring->cycle | (control & CHAIN));
		ring->enqueue = 0;
		ring->cycle = !ring->cycle;
	}
	return RAM_BASE + at;
}

/* ---- events ---- */

/* The next event, which is not consumed; false: there is none. */
static inline bool look(struct trb *ret_event)
{
	memcpy(ret_event, driver.ram + EVENTS_AT + driver.event * sizeof(*ret_event), sizeof(*ret_event));
	if ((ret_event->control & CYCLE) != driver.event_cycle)
		return false;
	if (++driver.event == driver.events_trbs) {
		driver.event = 0;
		driver.event_cycle = !driver.event_cycle;
	}
	return true;
}

static inline void consume(void)
{
	set64(ERDP, (RAM_BASE + EVENTS_AT + driver.event * sizeof(struct trb)) | 8);
}

static inline bool reap(struct trb *ret_event)
{
	settle();
	if (!look(ret_event))
		return false;
	consume();
	return true;
}

static inline void assert_silent(void)
{
	struct trb event;

	settle();
	assert_false(look(&event));
}

static inline unsigned type_of(const struct trb *event)
{
	return event->control >> 10 & 0x3f;
}

static inline unsigned code_of(const struct trb *event)
{
	return event->status >> 24;
}

static inline unsigned left_of(const struct trb *event)
{
	return event->status & 0xffffff;
}

static inline struct trb await(unsigned type)
{
	struct trb event = { 0 };

	assert_true(reap(&event));
	assert_int_equal(type_of(&event), type);
	return event;
}

#endif
