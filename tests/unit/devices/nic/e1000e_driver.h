/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 82574 alone, to be included by one program: a bus that remembers what it was told, a guest's memory in
 * one memory file, a real switch with Alice's card and a port of Bob's, and a naive driver.
 */
#ifndef VIADUCT_TESTS_UNIT_E1000E_DRIVER_H
#define VIADUCT_TESTS_UNIT_E1000E_DRIVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arbiter/share/gate.h"
#include "arbiter/switch/uplink_meter.h"
#include "arbiter/switch/vswitch.h"
#include "core/clock.h"
#include "core/fd.h"
#include "core/guest_memory.h"
#include "core/handover.h"
#include "core/iov.h"
#include "core/loop.h"
#include "core/loop_account.h"
#include "core/memory_guard.h"
#include "devices/nic/e1000e.h"
#include "devices/nic/e1000e_format.h"
#include "e1000e_frames.h"

#define RAM_BYTES (4u << 20)
/* Below it there is no memory, nor behind it. */
#define RAM_BASE 0x100000ull
#define OUTSIDE	 0x40000000ull
#define VECTORS	 5u
#define MTU	 9000u
/* Where things lie in the memory, in bytes from RAM_BASE. */
#define TX_AT	   0x10000u /* the second queue's 0x8000 behind it */
#define RX_AT	   0x20000u
#define DATA_AT	   0x40000u
#define BUFFERS_AT 0x100000u
#define TX_ENTRIES 64u
#define RX_ENTRIES 16u
#define RX_BUFFER  2048u
#define GOT_MAX	   256u
/* Kinds of violations, in the order of e1000e_model.violations. */
enum { RING, RING_MEMORY, DESCRIPTOR, TRANSMIT_BUFFER, OFFLOAD, RECEIVE_BUFFER, KINDS };

static const uint8_t alice[6] = { 2, 0, 0, 0, 0, 1 }, bob[6] = { 2, 0, 0, 0, 0, 2 };
static const uint8_t everyone[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

struct got {
	uint32_t bytes;
	struct frame_offload offload;
	uint8_t data[FRAME_BYTES_MAX];
};

/* All of it is anew with begin(). */
static struct driver {
	struct loop *loop;
	struct loop_guest *guest;
	struct vswitch *vswitch;
	struct port *card, *other;
	struct gate_node *share;
	struct port_source *from_bob;
	struct port_sink *to_bob;
	struct port_receiver receiver;
	struct e1000e_device *device;
	void *function;
	int memory_fd;
	uint8_t *ram; /* the driver's own view */
	struct guest_memory *memory, *empty;
	struct register_bus bus;
	bool has_vectors, pin, quiet;
	unsigned raised[REGISTER_VECTORS_MAX], violations[KINDS];
	uint32_t tx_tail, rx_tail, rx_next;
	unsigned got_count;
} driver;

static struct got got[GOT_MAX];
/* What Bob sends. */
static uint8_t sent[16384];

/* ---- the bus ---- */

static void bus_raise(struct register_bus *bus, unsigned vector)
{
	assert_true(vector < VECTORS);
	driver.raised[vector]++;
	if (!driver.has_vectors)
		driver.pin = true;
}

static void bus_lower(struct register_bus *bus, unsigned vector)
{
	if (vector == 0)
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
	.raise = bus_raise,
	.lower = bus_lower,
	.has_vectors = bus_has_vectors,
	.violated = bus_violated,
};

static inline unsigned violations(void)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < KINDS; i++)
		sum += driver.violations[i];
	return sum;
}

/* ---- registers ---- */

static inline uint32_t get32(uint32_t offset)
{
	return (uint32_t)e1000e_model.read(driver.function, 0, offset, 4);
}

static inline void set32(uint32_t offset, uint32_t value)
{
	e1000e_model.write(driver.function, 0, offset, 4, value);
}

static inline uint16_t phy_get(unsigned index)
{
	set32(E1000E_MDIC, E1000E_MDIC_READ << 26 | 1u << 21 | index << 16);
	assert_int_equal(get32(E1000E_MDIC) >> 16,
			 (E1000E_MDIC_READY | E1000E_MDIC_READ << 26 | 1u << 21) >> 16 | index);
	return (uint16_t)get32(E1000E_MDIC);
}

static inline void phy_set(unsigned index, uint16_t value)
{
	set32(E1000E_MDIC, E1000E_MDIC_WRITE << 26 | 1u << 21 | index << 16 | value);
	assert_true(get32(E1000E_MDIC) & E1000E_MDIC_READY);
	assert_false(get32(E1000E_MDIC) & E1000E_MDIC_ERROR);
}

/* ---- time ---- */

static inline void turn(void)
{
	assert_int_equal(loop_turn(driver.loop, 0), 0);
}

static inline void settle(void)
{
	for (unsigned i = 0; i < 12; i++)
		turn();
}

static void on_quiet(void *context)
{
	assert_false(driver.quiet);
	driver.quiet = true;
}

static inline void quiesce(void)
{
	driver.quiet = false;
	e1000e_model.quiesce(driver.function, on_quiet, &driver);
	assert_true(driver.quiet);
}

/* ---- Bob ---- */

static unsigned bob_gets(struct port_receiver *receiver, const struct frame *frames, unsigned count)
{
	for (unsigned i = 0; i < count && driver.got_count < GOT_MAX; i++) {
		struct got *to = &got[driver.got_count++];

		to->bytes = frames[i].bytes;
		to->offload = frames[i].offload;
		assert_int_equal(iov_copy_out(frames[i].iov, frames[i].iov_count, 0, to->data, to->bytes),
				 to->bytes);
	}
	return count;
}

static inline void bob_sends_with(void *bytes, uint32_t count, struct frame_offload offload)
{
	struct iovec iov[2] = { { bytes, count / 3 }, { (uint8_t *)bytes + count / 3, count - count / 3 } };
	struct frame frame = { .iov = iov, .iov_count = 2, .bytes = count, .offload = offload };

	assert_int_equal(port_send(driver.from_bob, &frame, 1), 1);
}

static inline void bob_sends(void *bytes, uint32_t count)
{
	bob_sends_with(bytes, count, (struct frame_offload){ 0 });
}

static inline void bob_takes(const struct frame_abilities *abilities)
{
	if (driver.to_bob)
		port_sink_close(driver.to_bob);
	driver.receiver.deliver = bob_gets;
	assert_int_equal(
		port_sink_open(driver.other, driver.loop, &driver.receiver, abilities, &driver.to_bob), 0);
}

/* ---- power ---- */

/* The file's pages, from `from` on, as a set of memory. */
static inline struct guest_memory *memory_of(uint64_t from, uint64_t bytes)
{
	const struct guest_region_description description = {
		.guest_address = RAM_BASE + from,
		.size = bytes,
		.user_address = RAM_BASE + from,
		.file_offset = from,
	};
	struct guest_memory *empty = guest_memory_create(), *memory;

	assert_int_equal(guest_memory_add(empty, &description, driver.memory_fd, &memory), 0);
	guest_memory_put(empty);
	return memory;
}

static inline void power_on(void)
{
	assert_int_equal(e1000e_model.power_on(driver.device, &driver.bus, &driver.function), 0);
}

static inline void go(void)
{
	assert_int_equal(e1000e_model.arrive(driver.function), 0);
	e1000e_model.resume(driver.function);
}

static inline void begin_switch(void)
{
	static const struct share_settings share = SHARE_SETTINGS_DEFAULT;
	struct port_settings settings = { .link = true, .trunk = true, .vlan = 1 };
	const struct frame_abilities plain = { .csum = 0 };

	memset(settings.trunk_vlans, 0xff, sizeof(settings.trunk_vlans));
	assert_int_equal(vswitch_create(0, &driver.vswitch), 0);
	assert_int_equal(port_create(driver.vswitch, "alice/eth0", alice, MTU, &settings, &driver.card), 0);
	settings.learn = true;
	assert_int_equal(port_create(driver.vswitch, "bob/eth0", bob, MTU, &settings, &driver.other), 0);
	assert_int_equal(gate_node_create(uplink_meter_gate(vswitch_meter(driver.vswitch)), NULL, &share,
					  &driver.share, NULL),
			 0);
	port_set_share(driver.card, driver.share);
	assert_int_equal(port_source_open(driver.other, driver.loop, NULL, &driver.from_bob), 0);
	bob_takes(&plain);
}

static inline void begin(void)
{
	const struct loop_options options = { .name = "e1000e" };
	struct e1000e_options e1000e_options = { 0 };

	driver = (struct driver){ .has_vectors = true };
	memory_guard_install();
	assert_int_equal(loop_create(&options, &driver.loop), 0);
	driver.guest = loop_guest_create();
	begin_switch();
	e1000e_options.port = driver.card;
	assert_int_equal(e1000e_create(&e1000e_options, &driver.device), 0);
	driver.memory_fd = fd_memfd("ram", RAM_BYTES);
	driver.ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, driver.memory_fd, 0);
	assert_ptr_not_equal(driver.ram, MAP_FAILED);
	driver.memory = memory_of(0, RAM_BYTES);
	driver.empty = guest_memory_create();
	driver.bus = (struct register_bus){
		.ops = &driver_bus_ops,
		.memory = driver.memory,
		.loop = driver.loop,
		.account = loop_account_create(driver.guest, driver.loop),
	};
	power_on();
	go();
}

static inline void power_off(void)
{
	e1000e_model.power_off(driver.function);
	driver.function = NULL;
}

static inline void end(void)
{
	quiesce();
	power_off();
	e1000e_destroy(driver.device);
	port_sink_close(driver.to_bob);
	port_source_close(driver.from_bob);
	settle();
	port_destroy(driver.card);
	port_destroy(driver.other);
	gate_node_destroy(driver.share);
	vswitch_destroy(driver.vswitch);
	loop_account_close(driver.bus.account);
	loop_guest_put(driver.guest);
	guest_memory_put(driver.memory);
	guest_memory_put(driver.empty);
	settle();
	loop_destroy(driver.loop);
	munmap(driver.ram, RAM_BYTES);
	close(driver.memory_fd);
}

/* ---- transmitting ---- */

static inline struct e1000e_tx_descriptor *tx_at(uint32_t index)
{
	return (struct e1000e_tx_descriptor *)(void *)(driver.ram + TX_AT) + index;
}

static inline void tx_setup(void)
{
	set32(E1000E_TX_QUEUE + E1000E_QUEUE_BAL, RAM_BASE + TX_AT);
	set32(E1000E_TX_QUEUE + E1000E_QUEUE_BAH, 0);
	set32(E1000E_TX_QUEUE + E1000E_QUEUE_LEN, TX_ENTRIES * 16);
	set32(E1000E_TX_QUEUE + E1000E_QUEUE_HEAD, 0);
	set32(E1000E_TX_QUEUE + E1000E_QUEUE_TAIL, 0);
	driver.tx_tail = 0;
	set32(E1000E_TCTL, E1000E_TCTL_ENABLE | 8);
}

/* Puts a descriptor into the ring, and does not tell. Returns where it is. */
static inline uint32_t tx_put(uint64_t address, uint32_t command, uint32_t status)
{
	uint32_t index = driver.tx_tail;

	*tx_at(index) = (struct e1000e_tx_descriptor){ address, command, status };
	driver.tx_tail = (index + 1) % TX_ENTRIES;
	return index;
}

static inline void tx_go(void)
{
	set32(E1000E_TX_QUEUE + E1000E_QUEUE_TAIL, driver.tx_tail);
	settle();
}

static inline bool tx_done(uint32_t index)
{
	return tx_at(index)->status & E1000E_TX_DONE;
}

static inline uint32_t tx_context(struct e1000e_context context)
{
	struct e1000e_tx_descriptor descriptor;

	context.command |= E1000E_TX_DEXT;
	memcpy(&descriptor, &context, sizeof(descriptor));
	return tx_put(descriptor.address, descriptor.command, descriptor.status);
}

#define TX_LEGACY (E1000E_TX_EOP | E1000E_TX_RS | 1u << 25)
#define TX_DATA	  (E1000E_TX_DEXT | E1000E_TX_DATA << 20 | 1u << 25)
#define TX_LAST	  (TX_DATA | E1000E_TX_EOP | E1000E_TX_RS)

/* ---- receiving ---- */

static inline uint8_t *rx_buffer(uint32_t index)
{
	return driver.ram + BUFFERS_AT + index * RX_BUFFER;
}

static inline void rx_post(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t *descriptor = (uint64_t *)(void *)(driver.ram + RX_AT + 16 * driver.rx_tail);

		descriptor[0] = RAM_BASE + BUFFERS_AT + driver.rx_tail * RX_BUFFER;
		descriptor[1] = 0;
		driver.rx_tail = (driver.rx_tail + 1) % RX_ENTRIES;
	}
	set32(E1000E_RX_QUEUE + E1000E_QUEUE_TAIL, driver.rx_tail);
	settle();
}

static inline void rx_setup_ring(uint32_t bytes)
{
	set32(E1000E_RX_QUEUE + E1000E_QUEUE_BAL, RAM_BASE + RX_AT);
	set32(E1000E_RX_QUEUE + E1000E_QUEUE_BAH, 0);
	set32(E1000E_RX_QUEUE + E1000E_QUEUE_LEN, bytes);
	set32(E1000E_RX_QUEUE + E1000E_QUEUE_HEAD, 0);
	set32(E1000E_RX_QUEUE + E1000E_QUEUE_TAIL, 0);
	driver.rx_tail = driver.rx_next = 0;
}

#define RCTL_USUAL (E1000E_RCTL_ENABLE | E1000E_RCTL_BROADCAST | E1000E_RCTL_STRIP_CRC)

static inline void rx_setup(uint32_t rctl, bool extended)
{
	rx_setup_ring(RX_ENTRIES * 16);
	set32(E1000E_RFCTL, extended ? E1000E_RFCTL_EXTENDED : 0);
	set32(E1000E_RXCSUM, E1000E_RXCSUM_IP | E1000E_RXCSUM_TRANSPORT);
	set32(E1000E_RCTL, rctl);
}

static inline struct e1000e_rx_extended *rx_extended(uint32_t index)
{
	return (struct e1000e_rx_extended *)(void *)(driver.ram + RX_AT) + index;
}

static inline struct e1000e_rx_legacy *rx_legacy(uint32_t index)
{
	return (struct e1000e_rx_legacy *)(void *)(driver.ram + RX_AT) + index;
}

/* ---- all of it ---- */

/* The card still sends and receives. */
static inline void assert_alive(void)
{
	set32(E1000E_CTRL, E1000E_CTRL_RESET);
	driver.got_count = 0;
	tx_setup();
	write_plain(driver.ram + DATA_AT, bob, alice, 64);
	tx_put(RAM_BASE + DATA_AT, 64 | TX_LEGACY, 0);
	tx_go();
	assert_int_equal(driver.got_count, 1);
	rx_setup(RCTL_USUAL, true);
	rx_post(4);
	write_plain(sent, alice, bob, 64);
	bob_sends(sent, 64);
	assert_int_equal(get32(E1000E_RX_QUEUE + E1000E_QUEUE_HEAD), 1);
}

#endif
