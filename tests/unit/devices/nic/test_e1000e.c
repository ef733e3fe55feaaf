/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 82574's registers, NVM, PHY, link, interrupts and resets. */
#include "e1000e_driver.h"

/* ---- registers ---- */

static void registers_after_power_on(void **state)
{
	static const uint32_t expected[][2] = {
		{ E1000E_STATUS, 0x00080083 }, /* full duplex, link, 1000 Mbit/s, bus master */
		{ E1000E_ICR, 0 },
		{ E1000E_IMS, 0 },
		{ E1000E_RCTL, 0 },
		{ E1000E_VET, 0x8100 },
		{ E1000E_PBA, 0x00140014 },
		{ E1000E_RAL, 0x00000002 },
		{ E1000E_RAL + 4, 0x80000100 },
		{ E1000E_RAL + 8, 0 },
		{ E1000E_FWSM, 0 },
		{ E1000E_EEMNGCTL, 0x000c0000 },
		{ 0x1fffc, 0 },
	};

	begin();
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_int_equal(get32(expected[i][0]), expected[i][1]);
	for (uint32_t offset = E1000E_STATISTICS; offset < E1000E_STATISTICS_END; offset += 4)
		assert_int_equal(get32(offset), 0);
	assert_int_equal(get32(E1000E_EECD) & 0x7b00, 0x300); /* present, read; 64 words */
	assert_int_equal(violations(), 0);
	end();
}

static void registers_that_are_written(void **state)
{
	static const uint32_t expected[][2] = {
		{ E1000E_IVAR, 0x800fffff },
		{ E1000E_EIAC, 0x01f00000 },
		{ E1000E_ITR, 0xffff },
		{ E1000E_EITR + 16, 0xffff },
		{ E1000E_TX_QUEUE + E1000E_QUEUE_BAL, 0xfffffff0 },
		{ E1000E_RX_QUEUE + E1000E_QUEUE_LEN, 0x000fff80 },
		{ E1000E_MTA + 4 * 127, 0xffffffff },
		{ E1000E_VFTA + 4 * 127, 0xffffffff },
		{ E1000E_RAL + 8 * 15 + 4, 0xffffffff },
		{ E1000E_IAM, 0xffffffff },
		{ E1000E_STATUS, 0x00080083 },
		{ E1000E_GPRC, 0 },
		{ E1000E_FWSM, 0 },
		{ 0x1fffc, 0 },
	};

	begin();
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		set32(expected[i][0], UINT32_MAX);
		assert_int_equal(get32(expected[i][0]), expected[i][1]);
	}
	/* Only whole registers are written, and read in parts. */
	set32(E1000E_VET, 0x1234);
	e1000e_model.write(driver.function, 0, E1000E_VET, 1, 0);
	e1000e_model.write(driver.function, 0, E1000E_VET, 2, 0);
	e1000e_model.write(driver.function, 0, E1000E_VET + 2, 4, 0);
	assert_int_equal(get32(E1000E_VET), 0x1234);
	assert_int_equal(e1000e_model.read(driver.function, 0, E1000E_VET + 1, 1), 0x12);
	assert_int_equal(e1000e_model.read(driver.function, 0, E1000E_VET + 1, 2), 0);
	assert_int_equal(e1000e_model.read(driver.function, 0, E1000E_VET, 8), 0x1234);
	e1000e_model.write(driver.function, 0, E1000E_RAL + 8, 8, 0x8000060504030201);
	assert_int_equal(get32(E1000E_RAL + 8), 0x04030201);
	assert_int_equal(get32(E1000E_RAL + 12), 0x80000605);
	set32(E1000E_PBA, 36);
	assert_int_equal(get32(E1000E_PBA), 4 << 16 | 36);
	set32(E1000E_CTRL, 1u << 2);
	assert_false(get32(E1000E_STATUS) & E1000E_STATUS_MASTER);
	end();
}

static void io_ports(void **state)
{
	begin();
	e1000e_model.write(driver.function, 2, E1000E_IO_ADDRESS, 4, E1000E_VET);
	assert_int_equal(e1000e_model.read(driver.function, 2, E1000E_IO_ADDRESS, 4), E1000E_VET);
	assert_int_equal(e1000e_model.read(driver.function, 2, E1000E_IO_DATA, 4), 0x8100);
	e1000e_model.write(driver.function, 2, E1000E_IO_DATA, 4, 0x9100);
	assert_int_equal(get32(E1000E_VET), 0x9100);
	e1000e_model.write(driver.function, 2, E1000E_IO_ADDRESS, 4, 0xfffffffc);
	e1000e_model.write(driver.function, 2, E1000E_IO_DATA, 4, UINT32_MAX);
	assert_int_equal(e1000e_model.read(driver.function, 2, E1000E_IO_DATA, 4), 0);
	e1000e_model.write(driver.function, 2, E1000E_IO_ADDRESS, 4, E1000E_VET + 1);
	assert_int_equal(e1000e_model.read(driver.function, 2, E1000E_IO_DATA, 4), 0);
	assert_int_equal(e1000e_model.read(driver.function, 2, 8, 4), 0);
	end();
}

/* ---- NVM, semaphores, PHY ---- */

static void nvm_and_semaphores(void **state)
{
	uint16_t sum = 0;

	begin();
	for (uint32_t i = 0; i < E1000E_NVM_WORDS; i++) {
		uint32_t value;

		set32(E1000E_EERD, i << 2 | E1000E_EERD_START);
		value = get32(E1000E_EERD);
		assert_int_equal(value & 0xffff, i << 2 | E1000E_EERD_DONE);
		sum = (uint16_t)(sum + (value >> 16));
		if (i < 3)
			assert_int_equal(value >> 16, alice[2 * i] | alice[2 * i + 1] << 8);
	}
	assert_int_equal(sum, E1000E_NVM_SUM);
	set32(E1000E_EERD, 0x3fff << 2 | E1000E_EERD_START);
	assert_int_equal(get32(E1000E_EERD) >> 16, 0xffff);
	set32(E1000E_EECD, E1000E_EECD_REQUEST);
	assert_true(get32(E1000E_EECD) & E1000E_EECD_GRANT);
	set32(E1000E_EECD, 0);
	assert_false(get32(E1000E_EECD) & E1000E_EECD_GRANT);
	/* The first reader has it. */
	assert_int_equal(get32(E1000E_SWSM), 0);
	assert_int_equal(get32(E1000E_SWSM), E1000E_SWSM_SMBI);
	set32(E1000E_SWSM, 2);
	assert_int_equal(get32(E1000E_SWSM), 2);
	set32(E1000E_EXTCNF_CTRL, 0x20);
	assert_int_equal(get32(E1000E_EXTCNF_CTRL), 0x20);
	end();
}

static void phy(void **state)
{
	begin();
	assert_int_equal(phy_get(2), 0x0141);
	assert_int_equal(phy_get(3), 0x0cb1);
	assert_int_equal(phy_get(1) & 0x24, 0x24);
	assert_int_equal(phy_get(17) & 0xec00, 0xac00);
	phy_set(22, 769);
	assert_int_equal(phy_get(22), 769);
	phy_set(2, 0);
	assert_int_equal(phy_get(2), 0x0141);
	/* A negotiation ends at once. */
	get32(E1000E_ICR);
	phy_set(0, 0x1340);
	assert_int_equal(phy_get(0), 0x1140);
	assert_int_equal(get32(E1000E_ICR), E1000E_CAUSE_LSC | E1000E_CAUSE_OTHER);
	phy_set(0, 0x9140);
	assert_int_equal(phy_get(22), 0);
	/* Switched off, it has no link. */
	get32(E1000E_ICR);
	phy_set(0, 0x1940);
	assert_int_equal(phy_get(1) & 0x24, 0);
	assert_false(get32(E1000E_STATUS) & E1000E_STATUS_LINK);
	assert_int_equal(get32(E1000E_ICR), E1000E_CAUSE_LSC | E1000E_CAUSE_OTHER);
	phy_set(0, 0x1140);
	assert_true(get32(E1000E_STATUS) & E1000E_STATUS_LINK);
	/* Of another address, and no operation. */
	set32(E1000E_MDIC, E1000E_MDIC_READ << 26 | 2u << 21);
	assert_true(get32(E1000E_MDIC) & E1000E_MDIC_ERROR);
	set32(E1000E_MDIC, 1u << 21);
	assert_true(get32(E1000E_MDIC) & E1000E_MDIC_ERROR);
	get32(E1000E_ICR);
	set32(E1000E_MDIC, E1000E_MDIC_READ << 26 | 1u << 21 | E1000E_MDIC_INTERRUPT);
	assert_int_equal(get32(E1000E_ICR), E1000E_CAUSE_MDAC | E1000E_CAUSE_OTHER);
	end();
}

static void link_of_the_port(void **state)
{
	struct port_settings settings = { .link = false };

	begin();
	port_set(driver.card, &settings);
	e1000e_model.config_changed(driver.function);
	assert_false(get32(E1000E_STATUS) & E1000E_STATUS_LINK);
	assert_int_equal(phy_get(1) & 0x24, 0);
	assert_int_equal(get32(E1000E_ICR), E1000E_CAUSE_LSC | E1000E_CAUSE_OTHER);
	e1000e_model.config_changed(driver.function);
	assert_int_equal(get32(E1000E_ICR), 0);
	settings.link = true;
	port_set(driver.card, &settings);
	e1000e_model.config_changed(driver.function);
	assert_true(get32(E1000E_STATUS) & E1000E_STATUS_LINK);
	assert_true(get32(E1000E_ICR) & E1000E_CAUSE_LSC);
	end();
}

/* ---- interrupts ---- */

static void causes_and_masks(void **state)
{
	begin();
	driver.has_vectors = false;
	set32(E1000E_ICS, UINT32_MAX);
	assert_int_equal(get32(E1000E_ICS), E1000E_CAUSES);
	assert_int_equal(get32(E1000E_ICR), E1000E_CAUSES);
	assert_int_equal(get32(E1000E_ICR), 0);
	set32(E1000E_IMS, E1000E_CAUSE_TXDW | E1000E_CAUSE_RXT0);
	set32(E1000E_IMC, E1000E_CAUSE_RXT0);
	assert_int_equal(get32(E1000E_IMS), E1000E_CAUSE_TXDW);
	assert_int_equal(get32(E1000E_IMC), E1000E_CAUSE_TXDW);
	set32(E1000E_ICS, E1000E_CAUSE_RXT0);
	settle();
	assert_false(driver.pin);
	set32(E1000E_ICS, E1000E_CAUSE_TXDW);
	settle();
	assert_true(driver.pin);
	assert_int_equal(get32(E1000E_ICR), E1000E_CAUSE_ASSERTED | E1000E_CAUSE_TXDW | E1000E_CAUSE_RXT0);
	assert_false(driver.pin);
	/* Unmasked while it is due. */
	set32(E1000E_ICS, E1000E_CAUSE_RXT0);
	set32(E1000E_IMS, E1000E_CAUSE_RXT0);
	settle();
	assert_true(driver.pin);
	set32(E1000E_IMC, E1000E_CAUSE_RXT0);
	assert_false(driver.pin);
	set32(E1000E_IMS, E1000E_CAUSE_RXT0);
	settle();
	assert_true(driver.pin);
	set32(E1000E_ICR, E1000E_CAUSE_RXT0);
	assert_false(driver.pin);
	/* A read masks what IAM says. */
	set32(E1000E_CTRL_EXT, E1000E_CTRL_EXT_IAME);
	set32(E1000E_IAM, E1000E_CAUSE_RXT0);
	set32(E1000E_ICS, E1000E_CAUSE_RXT0);
	get32(E1000E_ICR);
	assert_int_equal(get32(E1000E_IMS), E1000E_CAUSE_TXDW);
	end();
}

#define IVAR_USUAL (8u | 9u << 8 | 10u << 16) /* RXQ0: 0, TXQ0: 1, other: 2 */

static void messages(void **state)
{
	begin();
	set32(E1000E_IVAR, IVAR_USUAL);
	set32(E1000E_EIAC, E1000E_CAUSE_RXQ0 | E1000E_CAUSE_TXQ(0));
	set32(E1000E_IMS, E1000E_CAUSE_RXQ0 | E1000E_CAUSE_TXQ(0) | E1000E_CAUSE_OTHER);
	set32(E1000E_ICS, E1000E_CAUSE_RXQ0);
	set32(E1000E_ICS, E1000E_CAUSE_RXQ0);
	settle();
	/* One message, which clears its cause. */
	assert_int_equal(driver.raised[0], 1);
	assert_int_equal(driver.raised[1] + driver.raised[2], 0);
	assert_int_equal(get32(E1000E_ICS), 0);
	set32(E1000E_ICS, E1000E_CAUSE_LSC);
	settle();
	assert_int_equal(driver.raised[2], 1);
	assert_int_equal(get32(E1000E_ICR), E1000E_CAUSE_ASSERTED | E1000E_CAUSE_LSC | E1000E_CAUSE_OTHER);
	/* Masked by its message. */
	set32(E1000E_CTRL_EXT, E1000E_CTRL_EXT_EIAME);
	set32(E1000E_ICS, E1000E_CAUSE_TXQ(0));
	settle();
	set32(E1000E_ICS, E1000E_CAUSE_TXQ(0));
	settle();
	assert_int_equal(driver.raised[1], 1);
	assert_int_equal(get32(E1000E_IMS), E1000E_CAUSE_RXQ0 | E1000E_CAUSE_OTHER);
	set32(E1000E_IMS, E1000E_CAUSE_TXQ(0));
	settle();
	assert_int_equal(driver.raised[1], 2);
	/* Vectors that there are not, or that are not valid. */
	set32(E1000E_IVAR, 15u | 1u << 8);
	set32(E1000E_IMS, UINT32_MAX);
	set32(E1000E_ICS, UINT32_MAX);
	settle();
	assert_int_equal(driver.raised[0] + driver.raised[1] + driver.raised[2], 4);
	end();
}

static void moderation(void **state)
{
	uint64_t before_ns;

	begin();
	set32(E1000E_IVAR, IVAR_USUAL);
	set32(E1000E_EITR, 0xffff); /* 16.8 ms */
	set32(E1000E_EIAC, E1000E_CAUSE_RXQ0);
	set32(E1000E_IMS, E1000E_CAUSE_RXQ0);
	before_ns = clock_now_ns();
	for (unsigned i = 0; i < 100; i++) {
		set32(E1000E_ICS, E1000E_CAUSE_RXQ0);
		turn();
	}
	if (clock_now_ns() - before_ns < 16 * NS_PER_MS)
		assert_int_equal(driver.raised[0], 1);
	while (driver.raised[0] < 2)
		assert_int_equal(loop_turn(driver.loop, NS_PER_MS), 0);
	assert_true(clock_now_ns() - before_ns >= 16 * NS_PER_MS);
	end();
}

static void vectors_come_and_go(void **state)
{
	begin();
	driver.has_vectors = false;
	set32(E1000E_IVAR, IVAR_USUAL);
	set32(E1000E_IMS, E1000E_CAUSE_RXQ0);
	set32(E1000E_ICS, E1000E_CAUSE_RXQ0);
	settle();
	assert_true(driver.pin);
	driver.has_vectors = true;
	e1000e_model.vectors_changed(driver.function);
	assert_false(driver.pin);
	driver.raised[0] = 0;
	settle();
	assert_int_equal(driver.raised[0], 1);
	driver.has_vectors = false;
	e1000e_model.vectors_changed(driver.function);
	settle();
	assert_true(driver.pin);
	end();
}

/* ---- resets ---- */

static void reset_by_the_driver(void **state)
{
	begin();
	driver.has_vectors = false;
	phy_set(22, 5);
	set32(E1000E_VET, 0x9100);
	set32(E1000E_RAL, 0);
	set32(E1000E_MTA, 1);
	set32(E1000E_IMS, E1000E_CAUSE_LSC);
	set32(E1000E_ICS, E1000E_CAUSE_LSC);
	tx_setup();
	settle();
	assert_true(driver.pin);
	set32(E1000E_CTRL, E1000E_CTRL_RESET);
	assert_false(driver.pin);
	assert_int_equal(get32(E1000E_CTRL) & E1000E_CTRL_RESET, 0);
	assert_int_equal(get32(E1000E_VET), 0x8100);
	assert_int_equal(get32(E1000E_RAL), 0x00000002);
	assert_int_equal(get32(E1000E_MTA), 0);
	assert_int_equal(get32(E1000E_IMS), 0);
	assert_int_equal(get32(E1000E_ICR), 0);
	assert_int_equal(get32(E1000E_TX_QUEUE + E1000E_QUEUE_LEN), 0);
	assert_true(get32(E1000E_STATUS) & E1000E_STATUS_LINK);
	assert_int_equal(phy_get(22), 5);
	set32(E1000E_CTRL, E1000E_CTRL_PHY_RESET);
	assert_int_equal(phy_get(22), 0);
	end();
}

static void reset_by_the_bus(void **state)
{
	begin();
	phy_set(22, 5);
	set32(E1000E_VET, 0x9100);
	quiesce();
	e1000e_model.reset(driver.function);
	assert_int_equal(get32(E1000E_VET), 0x8100);
	assert_int_equal(phy_get(22), 0);
	/* Off without having been anywhere. */
	quiesce();
	power_off();
	power_on();
	power_off();
	power_on();
	go();
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers_after_power_on),
		cmocka_unit_test(registers_that_are_written),
		cmocka_unit_test(io_ports),
		cmocka_unit_test(nvm_and_semaphores),
		cmocka_unit_test(phy),
		cmocka_unit_test(link_of_the_port),
		cmocka_unit_test(causes_and_masks),
		cmocka_unit_test(messages),
		cmocka_unit_test(moderation),
		cmocka_unit_test(vectors_come_and_go),
		cmocka_unit_test(reset_by_the_driver),
		cmocka_unit_test(reset_by_the_bus),
	};

	return cmocka_run_group_tests_name("e1000e", tests, NULL, NULL);
}
