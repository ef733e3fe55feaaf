/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PHY behind MDIC (10.2.2.7; IEEE 802.3, 22.2.4), whose cable is the port's link, and the NVM (6.1), of
 * which drivers read the card's address and the sum.
 */
#include <string.h>

#include "devices/nic/e1000e_private.h"

#define PHY_ADDRESS 1u

enum {
	PHY_CONTROL = 0,
	PHY_STATUS = 1,
	PHY_ID_1 = 2,
	PHY_ID_2 = 3,
	PHY_ADVERTISED = 4,
	PHY_PARTNER = 5,
	PHY_EXPANSION = 6,
	PHY_GIGABIT_CONTROL = 9,
	PHY_GIGABIT_STATUS = 10,
	PHY_EXTENDED_STATUS = 15,
	PHY_OWN_CONTROL = 16,
	PHY_OWN_STATUS = 17,
	PHY_INTERRUPT_STATUS = 19,
};

#define CONTROL_RESET	    (1u << 15)
#define CONTROL_POWER_DOWN  (1u << 11)
#define CONTROL_RENEGOTIATE (1u << 9)
/* Registers whose values stand for themselves */
#define READ_ONLY                                                                                            \
	(1u << PHY_STATUS | 1u << PHY_ID_1 | 1u << PHY_ID_2 | 1u << PHY_PARTNER | 1u << PHY_EXPANSION |      \
	 1u << PHY_GIGABIT_STATUS | 1u << PHY_EXTENDED_STATUS | 1u << PHY_OWN_STATUS |                       \
	 1u << PHY_INTERRUPT_STATUS)

/* ---- the link ---- */

static bool has_link(const struct e1000e_function *function)
{
	return port_link(function->device->port) && !(function->phy[PHY_CONTROL] & CONTROL_POWER_DOWN);
}

void e1000e_link_check(struct e1000e_function *function)
{
	bool link = has_link(function);

	if (link == function->link)
		return;
	function->link = link;
	e1000e_cause(function, E1000E_CAUSE_LSC);
}

/* ---- registers of the PHY ---- */

void e1000e_phy_reset(struct e1000e_function *function)
{
	static const uint16_t initial[E1000E_PHY_REGISTERS] = {
		[PHY_CONTROL] = 0x1140, /* negotiates; 1000 Mbit/s, full duplex */
		[PHY_STATUS] = 0x7949,	/* all it can do */
		[PHY_ID_1] = 0x0141,	       [PHY_ID_2] = 0x0cb1,
		[PHY_ADVERTISED] = 0x0de1,     [PHY_PARTNER] = 0x45e1,
		[PHY_EXPANSION] = 0x000d,      [PHY_GIGABIT_CONTROL] = 0x0e00,
		[PHY_GIGABIT_STATUS] = 0x3c00, [PHY_EXTENDED_STATUS] = 0x3000,
		[PHY_OWN_CONTROL] = 0x0078,
	};

	memcpy(function->phy, initial, sizeof(initial));
}

static uint16_t phy_read(const struct e1000e_function *function, unsigned index)
{
	uint16_t value = function->phy[index];

	switch (index) {
	case PHY_STATUS:
		return function->link ? value | 1u << 2 | 1u << 5 : value;
	case PHY_PARTNER:
	case PHY_GIGABIT_STATUS:
		return function->link ? value : 0;
	case PHY_OWN_STATUS: /* 1000 Mbit/s, full duplex, resolved, link */
		return function->link ? 0xac00 : 0x8000;
	default:
		return value;
	}
}

/* What a reset or a new negotiation takes is over at once; the driver waits for the change that follows. */
static void phy_write(struct e1000e_function *function, unsigned index, uint16_t value)
{
	if (READ_ONLY >> index & 1)
		return;
	if (index == PHY_CONTROL && value & CONTROL_RESET)
		e1000e_phy_reset(function);
	else
		function->phy[index] = value;
	if (index != PHY_CONTROL)
		return;
	function->phy[PHY_CONTROL] &= (uint16_t) ~(CONTROL_RESET | CONTROL_RENEGOTIATE);
	if (value & (CONTROL_RESET | CONTROL_RENEGOTIATE) && function->link)
		e1000e_cause(function, E1000E_CAUSE_LSC);
	e1000e_link_check(function);
}

uint32_t e1000e_phy_access(struct e1000e_function *function, uint32_t mdic)
{
	uint32_t done = (mdic & ~(E1000E_MDIC_READY | E1000E_MDIC_ERROR)) | E1000E_MDIC_READY;
	unsigned index = E1000E_MDIC_REG(mdic);

	if (E1000E_MDIC_PHY(mdic) != PHY_ADDRESS) {
		done |= E1000E_MDIC_ERROR;
	} else if (E1000E_MDIC_OP(mdic) == E1000E_MDIC_READ) {
		done = (done & ~0xffffu) | phy_read(function, index);
	} else if (E1000E_MDIC_OP(mdic) == E1000E_MDIC_WRITE) {
		phy_write(function, index, (uint16_t)E1000E_MDIC_DATA(mdic));
	} else {
		done |= E1000E_MDIC_ERROR;
	}
	if (mdic & E1000E_MDIC_INTERRUPT)
		e1000e_cause(function, E1000E_CAUSE_MDAC);
	return done;
}

/* ---- the NVM ---- */

void e1000e_nvm_init(struct e1000e_function *function)
{
	const uint8_t *address = port_address(function->device->port);
	const struct register_identity *identity = &e1000e_model.identity;
	uint16_t *nvm = function->nvm, sum = 0;

	memcpy(nvm, address, FRAME_ADDRESS_BYTES);
	nvm[0x03] = 0x0420; /* a network card, with a LOM's settings left out */
	nvm[0x04] = 0xf746; /* what its LEDs show */
	nvm[0x05] = 0x2010; /* version of the image */
	nvm[0x0a] = 0x026b;
	nvm[0x0b] = identity->subsystem;
	nvm[0x0c] = identity->subsystem_vendor;
	nvm[0x0d] = identity->device;
	nvm[0x0e] = identity->vendor;
	for (unsigned i = 0; i < E1000E_NVM_SUM_WORD; i++)
		sum = (uint16_t)(sum + nvm[i]);
	nvm[E1000E_NVM_SUM_WORD] = (uint16_t)(E1000E_NVM_SUM - sum);
}

uint32_t e1000e_nvm_access(const struct e1000e_function *function, uint32_t eerd)
{
	uint32_t word = eerd >> 2 & 0x3fff;
	uint32_t data = word < E1000E_NVM_WORDS ? function->nvm[word] : 0xffff;

	if (!(eerd & E1000E_EERD_START))
		return eerd & 0xfffcu;
	return data << 16 | word << 2 | E1000E_EERD_DONE;
}
