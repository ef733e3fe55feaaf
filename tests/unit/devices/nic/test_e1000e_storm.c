/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 82574 under a driver that does anything, and its takeover in the middle of something. */
#include "e1000e_driver.h"

#define DATA (RAM_BASE + DATA_AT)

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

/* ---- takeover ---- */

/* Saves, and restores into another function; `at` and `bits`: what is changed on the way. */
static int move_on(size_t at, uint8_t bits)
{
	struct handover handover = { 0 };
	int error;

	quiesce();
	e1000e_model.save(driver.function, &handover);
	assert_int_equal(handover.error, 0);
	if (bits)
		handover.bytes[at] ^= bits;
	e1000e_model.leave(driver.function);
	power_off();
	power_on();
	e1000e_model.restore(driver.function, &handover);
	error = handover.error;
	handover_finish(&handover);
	return error;
}

static void takeover(void **state)
{
	uint32_t count;

	begin();
	set32(E1000E_IVAR, 8u | 9u << 8 | 10u << 16);
	set32(E1000E_IMS, E1000E_CAUSE_RXQ0);
	set32(E1000E_CTRL, E1000E_CTRL_VLAN_MODE);
	phy_set(22, 5);
	tx_setup();
	rx_setup(RCTL_USUAL, true);
	rx_post(8);
	write_plain(sent, alice, bob, 64);
	bob_sends(sent, 64);
	/* A context, and half of a frame. */
	count = write_tcp(driver.ram + DATA_AT, bob, alice, 2500, true);
	tx_context(good_context);
	tx_put(DATA, 1000 | TX_DATA | E1000E_TX_TSE, E1000E_TX_IXSM | E1000E_TX_TXSM);
	tx_go();
	driver.raised[0] = 0;
	set32(E1000E_ICS, E1000E_CAUSE_RXQ0);
	assert_int_equal(move_on(0, 0), 0);
	go();
	settle();
	assert_true(driver.raised[0] > 0);
	assert_int_equal(phy_get(22), 5);
	assert_int_equal(get32(E1000E_CTRL), E1000E_CTRL_VLAN_MODE);
	tx_put(DATA + 1000, (count - 1000) | TX_LAST | E1000E_TX_TSE, 0);
	tx_go();
	assert_int_equal(driver.got_count, 3);
	bob_sends(sent, 64);
	assert_int_equal(get32(E1000E_RX_QUEUE + E1000E_QUEUE_HEAD), 2);
	assert_int_equal(violations(), 0);
	end();
}

/* Whatever a byte of the stream is: it is refused, or no more than a driver could have brought about. */
static void takeover_of_nonsense(void **state)
{
	struct handover handover = { 0 };
	size_t length;

	begin();
	quiesce();
	e1000e_model.save(driver.function, &handover);
	length = handover.length;
	handover_finish(&handover);
	e1000e_model.resume(driver.function);
	for (size_t at = 0; at < length; at += at < 0x1000 ? 7 : 211) {
		if (move_on(at, 0xff) == 0) {
			go();
			settle();
			continue;
		}
		power_off();
		power_on();
		go();
	}
	assert_alive();
	end();
}

/* ---- storms ---- */

static uint32_t seed;

static uint32_t chance(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % below;
}

static uint32_t any_value(void)
{
	switch (chance(4)) {
	case 0:
		return chance(256);
	case 1:
		return 1u << chance(32);
	case 2:
		return (uint32_t)RAM_BASE + chance(RAM_BYTES);
	default:
		return chance(1u << 24) << 8 | chance(256);
	}
}

static void any_access(void)
{
	static const uint32_t offsets[] = { E1000E_CTRL,     E1000E_CTRL_EXT, E1000E_ICS,     E1000E_IMS,
					    E1000E_IVAR,     E1000E_RCTL,     E1000E_TCTL,    E1000E_PSRCTL,
					    E1000E_RFCTL,    E1000E_MDIC,     E1000E_EIAC,    E1000E_EITR,
					    E1000E_TX_QUEUE, E1000E_RX_QUEUE, E1000E_RAL + 4, E1000E_IAM };
	static const uint8_t queue[] = { E1000E_QUEUE_BAL, E1000E_QUEUE_LEN, E1000E_QUEUE_HEAD,
					 E1000E_QUEUE_TAIL };
	uint32_t offset = offsets[chance(16)];
	unsigned bytes = 1u << chance(4), bar = chance(4);

	if (chance(2))
		offset = (chance(2) ? E1000E_TX_QUEUE : E1000E_RX_QUEUE) + chance(2) * E1000E_QUEUE_STRIDE +
			 queue[chance(4)];
	if (chance(4)) {
		set32(offset, offset == E1000E_CTRL ? any_value() & 0x7bffffff : any_value());
		return;
	}
	offset = chance(e1000e_model.bars[bar].bytes ? e1000e_model.bars[bar].bytes - 8 : 8);
	if (chance(2))
		e1000e_model.read(driver.function, bar, offset, bytes);
	else
		e1000e_model.write(driver.function, bar, offset, bytes,
				   any_value() | (uint64_t)any_value() << 32);
}

/* A ring that could be, of descriptors that could not. */
static void any_ring(void)
{
	tx_setup();
	rx_setup(RCTL_USUAL | (any_value() & ~E1000E_CTRL_RESET), chance(2));
	for (uint32_t i = 0; i < TX_ENTRIES; i++)
		*tx_at(i) = (struct e1000e_tx_descriptor){
			chance(4) ? DATA + chance(65536) : any_value(),
			(any_value() & 0xf) << 28 | chance(16) << 24 | chance(2) << 20 | chance(4000),
			any_value(),
		};
	for (uint32_t i = 0; i < RX_ENTRIES; i++)
		*(uint64_t *)(void *)(driver.ram + RX_AT + 16 * i) =
			chance(4) ? RAM_BASE + BUFFERS_AT + chance(0x10000) : any_value();
	set32(E1000E_TX_QUEUE + E1000E_QUEUE_TAIL, chance(TX_ENTRIES));
	set32(E1000E_RX_QUEUE + E1000E_QUEUE_TAIL, chance(RX_ENTRIES));
}

static void storm(void **state)
{
	for (uint32_t round = 0; round < 8; round++) {
		begin();
		seed = round;
		for (unsigned i = 0; i < 4000; i++) {
			any_access();
			if (chance(20) == 0)
				any_ring();
			if (chance(10) == 0) {
				uint32_t count = write_tcp(sent, alice, bob, chance(3000), false);

				bob_sends_with(sent, count,
					       (struct frame_offload){ .flags = FRAME_CSUM_NEEDED,
								       .csum_start = 34,
								       .csum_offset = 16 });
			}
			if (chance(100) == 0) {
				quiesce();
				if (chance(2))
					e1000e_model.reset(driver.function);
				else
					e1000e_model.resume(driver.function);
			}
			if (chance(50) == 0) {
				driver.has_vectors = !driver.has_vectors;
				e1000e_model.vectors_changed(driver.function);
			}
			driver.got_count = 0;
			turn();
		}
		assert_int_equal(move_on(0, 0), 0);
		go();
		quiesce();
		e1000e_model.reset(driver.function);
		settle();
		assert_alive();
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takeover),
		cmocka_unit_test(takeover_of_nonsense),
		cmocka_unit_test(storm),
	};

	return cmocka_run_group_tests_name("e1000e_storm", tests, NULL, NULL);
}
