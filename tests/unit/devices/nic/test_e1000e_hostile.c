/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Drivers that break the 82574's rules. */
#include "e1000e_driver.h"

#define DATA (RAM_BASE + DATA_AT)

/* ---- rings ---- */

static void rings_that_cannot_be(void **state)
{
	static const struct {
		uint64_t address;
		uint32_t bytes, head, tail;
		unsigned kind;
	} rings[] = {
		{ RAM_BASE + TX_AT, 128, 0, 8, RING },
		{ RAM_BASE + TX_AT, 128, 8, 0, RING },
		{ RAM_BASE + TX_AT, 128, 0xffff, 0xffff, RING },
		{ OUTSIDE, 128, 0, 4, RING_MEMORY },
		{ RAM_BASE + RAM_BYTES - 64, 128, 0, 4, RING_MEMORY },
		{ RAM_BASE - 64, 128, 0, 4, RING_MEMORY },
		{ 0xfffffffffffffff0, 0xfff80, 0, 4, RING_MEMORY },
		{ RAM_BASE + TX_AT, 0, 0, 0, KINDS },
	};
	static const uint32_t queues[] = { E1000E_TX_QUEUE, E1000E_TX_QUEUE + E1000E_QUEUE_STRIDE,
					   E1000E_RX_QUEUE, E1000E_RX_QUEUE + E1000E_QUEUE_STRIDE };

	for (size_t i = 0; i < sizeof(rings) / sizeof(rings[0]); i++) {
		begin();
		set32(E1000E_TCTL, E1000E_TCTL_ENABLE);
		set32(E1000E_RCTL, RCTL_USUAL);
		write_plain(sent, alice, bob, 64);
		for (unsigned j = 0; j < 4; j++) {
			set32(queues[j] + E1000E_QUEUE_BAL, (uint32_t)rings[i].address);
			set32(queues[j] + E1000E_QUEUE_BAH, (uint32_t)(rings[i].address >> 32));
			set32(queues[j] + E1000E_QUEUE_LEN, rings[i].bytes);
			set32(queues[j] + E1000E_QUEUE_HEAD, rings[i].head);
			set32(queues[j] + E1000E_QUEUE_TAIL, rings[i].tail);
			bob_sends(sent, 64);
			settle();
		}
		assert_int_equal(violations(), rings[i].kind == KINDS ? 0 : 4);
		if (rings[i].kind != KINDS)
			assert_int_equal(driver.violations[rings[i].kind], 4);
		assert_int_equal(driver.got_count, 0);
		assert_alive();
		end();
	}
}

/* ---- descriptors ---- */

static void transmit_refused(unsigned kind)
{
	struct port_totals totals;
	uint32_t last = (driver.tx_tail + TX_ENTRIES - 1) % TX_ENTRIES;

	tx_go();
	assert_int_equal(driver.got_count, 0);
	assert_int_equal(violations(), 1);
	assert_int_equal(driver.violations[kind], 1);
	/* It is done with, and counted. */
	assert_true(tx_done(last));
	assert_int_equal(get32(E1000E_TX_QUEUE + E1000E_QUEUE_HEAD), driver.tx_tail);
	port_totals(driver.card, &totals);
	assert_int_equal(totals.dropped[PORT_DROP_MALFORMED], 1);
	assert_alive();
	end();
}

static void begin_tx(void)
{
	begin();
	tx_setup();
	write_tcp(driver.ram + DATA_AT, bob, alice, 3000, true);
}

static void buffers_outside(void **state)
{
	static const uint64_t addresses[] = { OUTSIDE, RAM_BASE + RAM_BYTES - 1, RAM_BASE - 1, UINT64_MAX };

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		begin_tx();
		tx_put(DATA, 100 | TX_DATA, 0);
		tx_put(addresses[i], 100 | TX_DATA, 0);
		tx_put(DATA, 100 | TX_LAST, 0);
		transmit_refused(TRANSMIT_BUFFER);
	}
}

static void lengths(void **state)
{
	begin_tx();
	tx_put(DATA, 0 | TX_LAST, 0);
	transmit_refused(DESCRIPTOR);
	begin_tx();
	tx_put(DATA, 13 | TX_LAST, 0);
	transmit_refused(DESCRIPTOR);
	begin_tx();
	tx_put(DATA, (FRAME_BYTES_MAX + 1) | TX_LAST, 0);
	transmit_refused(DESCRIPTOR);
	begin_tx();
	tx_put(DATA, 0xfffff | TX_LAST, 0);
	transmit_refused(DESCRIPTOR);
	begin_tx();
	for (unsigned i = 0; i < 10; i++)
		tx_put(DATA, 0xffff | TX_DATA, 0);
	tx_put(DATA, 1 | TX_LAST, 0);
	transmit_refused(DESCRIPTOR);
}

/* More pieces than a frame has, and a context in the middle of it. */
static void chains(void **state)
{
	begin_tx();
	for (unsigned i = 0; i < TX_ENTRIES - 2; i++)
		tx_put(DATA, 100 | TX_DATA, 0);
	set32(E1000E_TX_QUEUE + E1000E_QUEUE_TAIL, driver.tx_tail);
	settle();
	/* A frame may have as many; this one has two more, and ends in the next round. */
	assert_int_equal(violations(), 0);
	set32(E1000E_TX_QUEUE + E1000E_QUEUE_LEN, TX_ENTRIES * 32);
	for (unsigned i = TX_ENTRIES - 2; i < 2 * TX_ENTRIES - 2; i++)
		*tx_at(i) = (struct e1000e_tx_descriptor){ DATA, 100 | TX_DATA, 0 };
	set32(E1000E_TX_QUEUE + E1000E_QUEUE_TAIL, 2 * TX_ENTRIES - 2);
	settle();
	assert_int_equal(driver.violations[DESCRIPTOR], 1);
	*tx_at(2 * TX_ENTRIES - 2) = (struct e1000e_tx_descriptor){ DATA, 100 | TX_LAST, 0 };
	set32(E1000E_TX_QUEUE + E1000E_QUEUE_TAIL, 2 * TX_ENTRIES - 1);
	settle();
	assert_int_equal(violations(), 1);
	assert_int_equal(driver.got_count, 0);
	assert_int_equal(get32(E1000E_TX_QUEUE + E1000E_QUEUE_HEAD), 2 * TX_ENTRIES - 1);
	assert_true(tx_done(2 * TX_ENTRIES - 2));
	assert_alive();
	end();
	begin_tx();
	tx_put(DATA, 100 | TX_DATA, 0);
	tx_context((struct e1000e_context){ .start = 34 });
	tx_put(DATA, 100 | TX_LAST, 0);
	transmit_refused(DESCRIPTOR);
}

/* A ring of nothing but contexts, or of nothing, has an end in each turn. */
static void endless_rings(void **state)
{
	static const uint32_t commands[] = { E1000E_TX_DEXT, TX_DATA, TX_LAST, 0, UINT32_MAX };

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		begin();
		tx_setup();
		set32(E1000E_TX_QUEUE + E1000E_QUEUE_LEN, 0xfff80);
		set32(E1000E_TX_QUEUE + E1000E_QUEUE_BAL, RAM_BASE + 0x100000);
		for (uint32_t at = 0x100000; at < 0x200000; at += 16)
			memcpy(driver.ram + at, &(struct e1000e_tx_descriptor){ DATA, commands[i], 0 }, 16);
		set32(E1000E_TX_QUEUE + E1000E_QUEUE_TAIL, 0xfff0);
		for (unsigned j = 0; j < 400; j++)
			turn();
		assert_true(get32(E1000E_TX_QUEUE + E1000E_QUEUE_HEAD) > 0);
		assert_int_equal(driver.got_count, 0);
		assert_alive();
		end();
	}
}

/* ---- offloads ---- */

static const struct e1000e_context good_context = {
	.ip_start = 14,
	.ip_at = 24,
	.ip_end = 33,
	.start = 34,
	.at = 50,
	.command = E1000E_CONTEXT_TCP | E1000E_CONTEXT_IPV4,
	.header_bytes = 54,
	.segment_bytes = 1000,
};

static void refuse_cut(struct e1000e_context context)
{
	begin_tx();
	tx_context(context);
	tx_put(DATA, 3054 | TX_LAST | E1000E_TX_TSE, E1000E_TX_IXSM | E1000E_TX_TXSM);
	transmit_refused(OFFLOAD);
}

static void contexts(void **state)
{
	struct e1000e_context context;

#define BAD(field, value)                                                                                    \
	do {                                                                                                 \
		context = good_context;                                                                      \
		context.field = (value);                                                                     \
		refuse_cut(context);                                                                         \
	} while (0)
	BAD(segment_bytes, 0);
	BAD(header_bytes, 0);
	BAD(header_bytes, 53);
	BAD(header_bytes, 255);
	BAD(start, 0);
	BAD(start, 33);
	BAD(start, 255);
	BAD(at, 0);
	BAD(at, 51);
	BAD(ip_start, 0);
	BAD(ip_start, 255);
	BAD(ip_end, 13);
	BAD(ip_end, 0xffff);
	BAD(ip_at, 255);
	BAD(command, E1000E_CONTEXT_IPV4);
	BAD(command, 0);
#undef BAD
	/* Headers longer than the frame. */
	begin_tx();
	tx_context(good_context);
	tx_put(DATA, 54 | TX_LAST | E1000E_TX_TSE, E1000E_TX_IXSM | E1000E_TX_TXSM);
	transmit_refused(OFFLOAD);
	/* More than IP can say. */
	begin_tx();
	tx_context(good_context);
	tx_put(DATA, 65550 | TX_LAST | E1000E_TX_TSE, E1000E_TX_IXSM | E1000E_TX_TXSM);
	transmit_refused(OFFLOAD);
	/* Checksums beside the frame. */
	begin_tx();
	context = good_context;
	context.at = 33;
	tx_context(context);
	tx_put(DATA, 100 | TX_LAST, E1000E_TX_TXSM);
	transmit_refused(OFFLOAD);
	begin_tx();
	tx_put(DATA, 100 | TX_LEGACY | E1000E_TX_IC | 99 << 16, 34 << 8);
	transmit_refused(OFFLOAD);
}

/* ---- receiving ---- */

static void receive_buffers_outside(void **state)
{
	for (unsigned extended = 0; extended < 2; extended++) {
		uint64_t *descriptor;

		begin();
		rx_setup(RCTL_USUAL, extended);
		descriptor = (uint64_t *)(void *)(driver.ram + RX_AT);
		descriptor[0] = OUTSIDE;
		descriptor[2] = RAM_BASE + RAM_BYTES - 10;
		driver.rx_tail = 2;
		rx_post(2);
		write_plain(sent, alice, bob, 100);
		for (unsigned i = 0; i < 3; i++)
			bob_sends(sent, 100);
		assert_int_equal(driver.violations[RECEIVE_BUFFER], 2);
		for (unsigned i = 0; i < 2; i++) {
			if (extended)
				assert_true(rx_extended(i)->status & E1000E_RX_ERROR_EXTENDED);
			else
				assert_true(rx_legacy(i)->errors & E1000E_RX_ERROR);
			assert_int_equal(extended ? rx_extended(i)->length : rx_legacy(i)->length, 0);
		}
		assert_memory_equal(rx_buffer(2), sent, 100);
		end();
	}
}

/* Buffers of no size. */
static void split_without_sizes(void **state)
{
	begin();
	rx_setup(RCTL_USUAL | 1u << 10, true);
	set32(E1000E_PSRCTL, 0);
	rx_post(7);
	write_plain(sent, alice, bob, 100);
	bob_sends(sent, 100);
	settle();
	assert_int_equal(get32(E1000E_RX_QUEUE + E1000E_QUEUE_HEAD), 0);
	assert_alive();
	end();
}

/* ---- memory ---- */

static void memory_comes_and_goes(void **state)
{
	struct guest_memory *part;

	begin();
	tx_setup();
	rx_setup(RCTL_USUAL, true);
	write_plain(driver.ram + DATA_AT, bob, alice, 64);
	write_plain(sent, alice, bob, 64);
	part = memory_of(0, TX_AT);
	for (unsigned i = 0; i < 2; i++) {
		driver.bus.memory = i == 0 ? driver.empty : part;
		e1000e_model.memory_changed(driver.function);
		tx_put(DATA, 64 | TX_LEGACY, 0);
		tx_go();
		rx_post(1);
		bob_sends(sent, 64);
		settle();
		assert_int_equal(driver.got_count, 0);
	}
	/* No bus master breaks no rule; rings outside of the memory do. */
	assert_int_equal(violations(), 2);
	driver.bus.memory = driver.memory;
	e1000e_model.memory_changed(driver.function);
	settle();
	assert_int_equal(driver.got_count, 2);
	assert_int_equal(get32(E1000E_RX_QUEUE + E1000E_QUEUE_HEAD), 2);
	guest_memory_put(part);
	end();
}

/* A VMM that moves memory unmaps it first: frames and buffers that are nowhere meanwhile wait. */
static void memory_that_moves(void **state)
{
	struct guest_memory *part;

	begin();
	tx_setup();
	rx_setup(RCTL_USUAL, true);
	write_plain(driver.ram + DATA_AT, bob, alice, 64);
	write_plain(sent, alice, bob, 64);
	rx_post(2);
	/* The rings, but neither data nor buffers; then not even all rings. */
	for (unsigned i = 0; i < 2; i++) {
		part = memory_of(0, i == 0 ? DATA_AT : RX_AT);
		driver.bus.memory_moves = true;
		driver.bus.memory = part;
		e1000e_model.memory_changed(driver.function);
		tx_put(DATA, 30 | TX_DATA, 0);
		tx_put(DATA + 30, 34 | TX_LAST, 0);
		tx_go();
		set32(E1000E_RX_QUEUE + E1000E_QUEUE_TAIL, driver.rx_tail);
		bob_sends(sent, 64);
		settle();
		assert_int_equal(driver.got_count, 0);
		assert_int_equal(get32(E1000E_RX_QUEUE + E1000E_QUEUE_HEAD), 0);
		driver.bus.memory = driver.empty;
		guest_memory_put(part);
	}
	assert_int_equal(violations(), 0);
	driver.bus.memory = driver.memory;
	e1000e_model.memory_changed(driver.function);
	settle();
	driver.bus.memory_moves = false;
	assert_int_equal(driver.got_count, 2);
	assert_memory_equal(got[0].data, driver.ram + DATA_AT, 64);
	assert_int_equal(get32(E1000E_RX_QUEUE + E1000E_QUEUE_HEAD), 2);
	assert_memory_equal(rx_buffer(1), sent, 64);
	assert_int_equal(violations(), 0);
	end();
}

/* Whatever the VMM says next ends the move: what is missing by then is the driver's fault. */
static void memory_that_has_moved_away(void **state)
{
	struct guest_memory *part;

	begin();
	tx_setup();
	rx_setup(RCTL_USUAL, true);
	write_plain(sent, alice, bob, 64);
	rx_post(2);
	part = memory_of(0, DATA_AT);
	driver.bus.memory_moves = true;
	driver.bus.memory = part;
	e1000e_model.memory_changed(driver.function);
	tx_put(DATA, 64 | TX_LEGACY, 0);
	tx_go();
	bob_sends(sent, 64);
	settle();
	assert_int_equal(violations(), 0);
	driver.bus.memory_moves = false;
	tx_go();
	set32(E1000E_RX_QUEUE + E1000E_QUEUE_TAIL, driver.rx_tail);
	settle();
	assert_int_equal(driver.violations[TRANSMIT_BUFFER], 1);
	assert_int_equal(driver.violations[RECEIVE_BUFFER], 1);
	driver.bus.memory = driver.memory;
	e1000e_model.memory_changed(driver.function);
	end();
	guest_memory_put(part);
}

/* While it rests nothing of the guest's is touched, and nothing is forgotten. */
static void rest(void **state)
{
	begin();
	set32(E1000E_IVAR, 8u | 9u << 8 | 10u << 16);
	set32(E1000E_IMS, E1000E_CAUSE_RXQ0 | E1000E_CAUSE_TXQ(0));
	tx_setup();
	rx_setup(RCTL_USUAL, true);
	rx_post(4);
	e1000e_model.freeze(driver.function);
	quiesce();
	write_plain(driver.ram + DATA_AT, bob, alice, 64);
	tx_put(DATA, 64 | TX_LEGACY, 0);
	tx_go();
	write_plain(sent, alice, bob, 64);
	bob_sends(sent, 64);
	set32(E1000E_ICS, E1000E_CAUSE_RXQ0);
	settle();
	assert_int_equal(driver.got_count, 0);
	assert_int_equal(get32(E1000E_RX_QUEUE + E1000E_QUEUE_HEAD), 0);
	assert_int_equal(driver.raised[0], 0);
	e1000e_model.resume(driver.function);
	settle();
	assert_int_equal(driver.got_count, 1);
	assert_int_equal(get32(E1000E_RX_QUEUE + E1000E_QUEUE_HEAD), 1);
	assert_true(driver.raised[0] > 0);
	assert_true(driver.raised[1] > 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rings_that_cannot_be),
		cmocka_unit_test(buffers_outside),
		cmocka_unit_test(lengths),
		cmocka_unit_test(chains),
		cmocka_unit_test(endless_rings),
		cmocka_unit_test(contexts),
		cmocka_unit_test(receive_buffers_outside),
		cmocka_unit_test(split_without_sizes),
		cmocka_unit_test(memory_comes_and_goes),
		cmocka_unit_test(memory_that_moves),
		cmocka_unit_test(memory_that_has_moved_away),
		cmocka_unit_test(rest),
	};

	return cmocka_run_group_tests_name("e1000e_hostile", tests, NULL, NULL);
}
