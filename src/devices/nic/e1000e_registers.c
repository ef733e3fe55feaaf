/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers (10.2). Most keep what the driver writes and mean nothing more here, or are looked at when a
 * frame comes by; a table has the bits that they keep. The others follow. Each is 32 bits wide; accesses of
 * another size get what the register's bytes are, or go nowhere.
 */
#include <string.h>

#include "devices/nic/e1000e_private.h"

#define ALL UINT32_MAX

/* Registers beside each other that keep the same bits, and their value after a reset. */
struct kept {
	uint32_t first, count;
	uint32_t bits, initial;
};

#define QUEUE(base)                                                                                          \
	{ (base) + E1000E_QUEUE_BAL, 1, 0xfffffff0, 0 }, { (base) + E1000E_QUEUE_BAH, 1, ALL, 0 },           \
		{ (base) + E1000E_QUEUE_LEN, 1, 0x000fff80, 0 },                                             \
		{ (base) + E1000E_QUEUE_HEAD, 1, 0xffff, 0 }, { (base) + E1000E_QUEUE_TAIL, 1, 0xffff, 0 },  \
	{                                                                                                    \
		(base) + 0x20, 1, 0xffff, 0                                                                  \
	}

static const struct kept kept[] = {
	{ E1000E_CTRL, 1, 0x7bffffff, 0x00000201 },
	{ E1000E_EECD, 1, 0x00000047, 0 },
	{ E1000E_CTRL_EXT, 1, ALL & ~E1000E_CTRL_EXT_EE_RST, 0 },
	{ E1000E_FLA, 1, 0x000000ff, 0 },
	{ E1000E_FCAL, 1, ALL, 0x00c28001 },
	{ E1000E_FCAL + 4, 1, 0xffff, 0x0100 },
	{ E1000E_FCAL + 8, 1, 0xffff, 0x8808 },
	{ E1000E_VET, 1, 0xffff, 0x8100 },
	{ E1000E_ITR, 1, 0xffff, 0 },
	{ E1000E_EIAC, 1, 0x01f00000, 0 },
	{ E1000E_IAM, 1, ALL, 0 },
	{ E1000E_IVAR, 1, 0x800fffff, 0 },
	{ E1000E_EITR, E1000E_VECTORS, 0xffff, 0 },
	{ E1000E_RCTL, 1, ALL, 0 },
	{ E1000E_FCTTV, 1, 0xffff, 0 },
	{ E1000E_TCTL, 1, ALL, 0x00000008 },
	{ E1000E_TIPG, 1, 0x3fffffff, 0x00602006 },
	{ E1000E_AIT, 1, 0xffff, 0 },
	{ E1000E_LEDCTL, 1, ALL, 0x07068302 },
	{ E1000E_EXTCNF_CTRL, 3, 0x0fff00ff, 0 },
	{ E1000E_PHY_CTRL, 1, 0x000000ff, 0 },
	{ E1000E_PBA, 1, 0x003f003f, 0x00140014 },
	{ E1000E_FCRTL, 1, 0x8000fff8, 0 },
	{ E1000E_FCRTL + 8, 1, 0x0000fff8, 0 },
	{ E1000E_PSRCTL, 1, 0x3f3f3f7f, 0x00040402 },
	QUEUE(E1000E_RX_QUEUE),
	{ E1000E_RX_QUEUE + E1000E_QUEUE_CTL, 1, ALL, 0x00010000 },
	{ E1000E_RX_QUEUE + 0x2c, 1, 0xffff, 0 },
	QUEUE(E1000E_RX_QUEUE + E1000E_QUEUE_STRIDE),
	{ E1000E_RX_QUEUE + E1000E_QUEUE_STRIDE + E1000E_QUEUE_CTL, 1, ALL, 0x00010000 },
	{ E1000E_RX_QUEUE + E1000E_QUEUE_STRIDE + 0x2c, 1, 0xffff, 0 },
	{ E1000E_RSRPD, 1, 0x0fff, 0 },
	{ E1000E_RAID, 1, 0xffff, 0 },
	QUEUE(E1000E_TX_QUEUE),
	{ E1000E_TX_QUEUE + E1000E_QUEUE_CTL, 1, ALL, 0x00400000 },
	{ E1000E_TX_QUEUE + 0x2c, 1, 0xffff, 0 },
	{ E1000E_TX_QUEUE + 0x40, 1, ALL, 0x00000403 },
	QUEUE(E1000E_TX_QUEUE + E1000E_QUEUE_STRIDE),
	{ E1000E_TX_QUEUE + E1000E_QUEUE_STRIDE + E1000E_QUEUE_CTL, 1, ALL, 0x00400000 },
	{ E1000E_TX_QUEUE + E1000E_QUEUE_STRIDE + 0x2c, 1, 0xffff, 0 },
	{ E1000E_TX_QUEUE + E1000E_QUEUE_STRIDE + 0x40, 1, ALL, 0x00000403 },
	{ E1000E_RXCSUM, 1, 0x000037ff, 0 },
	{ E1000E_RFCTL, 1, ALL, 0 },
	{ E1000E_MTA, E1000E_MTA_WORDS, ALL, 0 },
	{ E1000E_RAL, 2 * E1000E_ADDRESSES, ALL, 0 },
	{ E1000E_VFTA, E1000E_VFTA_WORDS, ALL, 0 },
	{ E1000E_WUC, 3, 0x0000ffff, 0 },
	{ E1000E_MRQC, 1, ALL, 0 },
	{ E1000E_MANC, 1, ALL, 0 },
	{ E1000E_IPAV, 1, ALL, 0 },
	{ 0x5840, 8, ALL, 0 }, /* IP4AT */
	{ 0x5860, 1, ALL, 0 }, /* MANC2H */
	{ 0x5880, 4, ALL, 0 }, /* IP6AT */
	{ E1000E_GCR, 1, ALL, 0 },
	{ E1000E_SWSM, 1, 0x0000000f, 0 },
	{ E1000E_GCR2, 1, ALL, 0 },
	{ E1000E_RETA, 32, ALL, 0 },
	{ E1000E_RSSRK, 10, ALL, 0 },
	{ E1000E_TIME_SYNC, 16, ALL, 0 },
};

static const struct kept *find(uint32_t offset)
{
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (offset >= kept[i].first && offset < kept[i].first + 4 * kept[i].count)
			return &kept[i];
	return NULL;
}

static bool is_statistic(uint32_t offset)
{
	return offset >= E1000E_STATISTICS && offset < E1000E_STATISTICS_END;
}

uint32_t e1000e_stored(uint32_t offset)
{
	const struct kept *found = find(offset);

	if (found)
		return found->bits | found->initial;
	if (offset == E1000E_ICR || offset == E1000E_IMS)
		return E1000E_CAUSES;
	return is_statistic(offset) || offset == E1000E_MDIC || offset == E1000E_EERD ? ALL : 0;
}

/* ---- resets ---- */

/* The first address is read from the NVM. */
static void init_address(struct e1000e_function *function)
{
	uint32_t *low = e1000e_register(function, E1000E_RAL),
		 *high = e1000e_register(function, E1000E_RAL + 4);

	memcpy(low, function->nvm, 4);
	memcpy(high, function->nvm + 2, 2);
	*high |= E1000E_RAH_VALID;
}

void e1000e_registers_init(struct e1000e_function *function)
{
	memset(function->registers, 0, sizeof(function->registers));
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		for (uint32_t j = 0; j < kept[i].count; j++)
			*e1000e_register(function, kept[i].first + 4 * j) = kept[i].initial;
	init_address(function);
	memset(function->tx, 0, sizeof(function->tx));
	memset(function->waits_tail, 0, sizeof(function->waits_tail));
	function->io_address = 0;
}

void e1000e_registers_reset(struct e1000e_function *function)
{
	e1000e_registers_init(function);
	e1000e_interrupts_forget(function);
}

/* ---- statistics (10.2.10): cleared when they are read ---- */

static void add_64(struct e1000e_function *function, uint32_t offset, uint32_t bytes)
{
	uint32_t *low = e1000e_register(function, offset);

	*low += bytes;
	if (*low < bytes)
		++*e1000e_register(function, offset + 4);
}

void e1000e_count(struct e1000e_function *function, uint32_t offset)
{
	++*e1000e_register(function, offset);
}

void e1000e_count_sent(struct e1000e_function *function, uint32_t bytes)
{
	e1000e_count(function, E1000E_GPTC);
	e1000e_count(function, E1000E_TPT);
	add_64(function, E1000E_GOTC, bytes);
	add_64(function, E1000E_TOT, bytes);
}

void e1000e_count_received(struct e1000e_function *function, const uint8_t *destination, uint32_t bytes)
{
	static const uint8_t broadcast[FRAME_ADDRESS_BYTES] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	e1000e_count(function, E1000E_GPRC);
	e1000e_count(function, E1000E_TPR);
	add_64(function, E1000E_GORC, bytes);
	add_64(function, E1000E_TOR, bytes);
	if (memcmp(destination, broadcast, sizeof(broadcast)) == 0)
		e1000e_count(function, E1000E_BPRC);
	else if (destination[0] & 1)
		e1000e_count(function, E1000E_MPRC);
}

/* ---- reading ---- */

static uint32_t status(const struct e1000e_function *function)
{
	uint32_t value = E1000E_STATUS_DUPLEX | E1000E_STATUS_SPEED;

	if (function->link)
		value |= E1000E_STATUS_LINK;
	if (!(e1000e_value(function, E1000E_CTRL) & E1000E_CTRL_NO_MASTER))
		value |= E1000E_STATUS_MASTER;
	return value;
}

static uint32_t eecd(const struct e1000e_function *function)
{
	uint32_t value = e1000e_value(function, E1000E_EECD);

	if (value & E1000E_EECD_REQUEST)
		value |= E1000E_EECD_GRANT;
	return value | E1000E_EECD_PRESENT | E1000E_EECD_AUTO_READ;
}

/* A semaphore: who reads that it was free has it, until it is written (10.2.4.3). */
static uint32_t take_semaphore(struct e1000e_function *function)
{
	uint32_t value = e1000e_value(function, E1000E_SWSM);

	*e1000e_register(function, E1000E_SWSM) |= E1000E_SWSM_SMBI;
	return value;
}

static uint32_t read_statistic(struct e1000e_function *function, uint32_t offset)
{
	uint32_t value = e1000e_value(function, offset);

	*e1000e_register(function, offset) = 0;
	return value;
}

static uint32_t read_32(struct e1000e_function *function, uint32_t offset)
{
	if (is_statistic(offset))
		return read_statistic(function, offset);
	switch (offset) {
	case E1000E_STATUS:
		return status(function);
	case E1000E_EECD:
		return eecd(function);
	case E1000E_ICR:
		return e1000e_icr_read(function);
	case E1000E_ICS:
		return e1000e_value(function, E1000E_ICR);
	case E1000E_IMC:
		return e1000e_value(function, E1000E_IMS);
	case E1000E_EEMNGCTL:
		return E1000E_EEMNGCTL_DONE;
	case E1000E_SWSM:
		return take_semaphore(function);
	default:
		return offset < E1000E_REGISTERS_END ? e1000e_value(function, offset) : 0;
	}
}

/* ---- writing ---- */

static void write_ctrl(struct e1000e_function *function, uint32_t value)
{
	if (value & E1000E_CTRL_RESET) {
		e1000e_registers_reset(function);
		return;
	}
	*e1000e_register(function, E1000E_CTRL) = value & e1000e_stored(E1000E_CTRL);
	if (!(value & E1000E_CTRL_PHY_RESET))
		return;
	e1000e_phy_reset(function);
	e1000e_link_check(function);
	if (function->link)
		e1000e_cause(function, E1000E_CAUSE_LSC);
}

/* What is not the receiver's is the sender's memory (10.2.3.3). */
static void write_pba(struct e1000e_function *function, uint32_t value)
{
	uint32_t total = 40, receiver = value & 0x3f;

	*e1000e_register(function, E1000E_PBA) =
		receiver < total ? (total - receiver) << 16 | receiver : total;
}

/* The tail of a ring: the driver has put something in. Returns whether it was one. */
static bool write_tail(struct e1000e_function *function, uint32_t offset, uint32_t value)
{
	uint32_t queue = offset - E1000E_QUEUE_TAIL;
	bool is_tx = queue == E1000E_TX_QUEUE || queue == E1000E_TX_QUEUE + E1000E_QUEUE_STRIDE;

	if (!is_tx && queue != E1000E_RX_QUEUE && queue != E1000E_RX_QUEUE + E1000E_QUEUE_STRIDE)
		return false;
	*e1000e_register(function, offset) = value & 0xffff;
	e1000e_ring_check(function, queue);
	if (is_tx)
		function->waits_tail[(queue - E1000E_TX_QUEUE) / E1000E_QUEUE_STRIDE] = false;
	e1000e_wake(function);
	return true;
}

static void keep(struct e1000e_function *function, uint32_t offset, uint32_t value)
{
	const struct kept *found = find(offset);

	if (!found)
		return;
	*e1000e_register(function, offset) = value & found->bits;
	if (offset == E1000E_RCTL || offset == E1000E_TCTL)
		e1000e_wake(function);
}

static void write_32(struct e1000e_function *function, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case E1000E_CTRL:
		write_ctrl(function, value);
		break;
	case E1000E_EERD:
		*e1000e_register(function, offset) = e1000e_nvm_access(function, value);
		break;
	case E1000E_MDIC:
		*e1000e_register(function, offset) = e1000e_phy_access(function, value);
		break;
	case E1000E_ICR:
		e1000e_icr_clear(function, value);
		break;
	case E1000E_ICS:
		e1000e_cause(function, value);
		break;
	case E1000E_IMS:
		e1000e_mask_set(function, value);
		break;
	case E1000E_IMC:
		e1000e_mask_clear(function, value);
		break;
	case E1000E_PBA:
		write_pba(function, value);
		break;
	default:
		if (!write_tail(function, offset, value))
			keep(function, offset, value);
	}
}

/* ---- accesses ---- */

static uint32_t io_read(struct e1000e_function *function, uint32_t offset)
{
	if (offset == E1000E_IO_ADDRESS)
		return function->io_address;
	return offset == E1000E_IO_DATA && function->io_address % 4 == 0
		       ? read_32(function, function->io_address)
		       : 0;
}

static void io_write(struct e1000e_function *function, uint32_t offset, uint32_t value)
{
	if (offset == E1000E_IO_ADDRESS)
		function->io_address = value;
	else if (offset == E1000E_IO_DATA && function->io_address % 4 == 0)
		write_32(function, function->io_address, value);
}

static uint32_t read_word(struct e1000e_function *function, unsigned bar, uint32_t offset)
{
	if (bar == 0)
		return read_32(function, offset);
	return bar == 2 ? io_read(function, offset) : 0;
}

static void write_word(struct e1000e_function *function, unsigned bar, uint32_t offset, uint32_t value)
{
	if (bar == 0)
		write_32(function, offset, value);
	else if (bar == 2)
		io_write(function, offset, value);
}

uint64_t e1000e_read(void *opaque, unsigned bar, uint32_t offset, unsigned bytes)
{
	uint32_t low, inside = offset % 4 * 8;

	if (offset % bytes != 0)
		return 0;
	low = read_word(opaque, bar, offset - offset % 4);
	switch (bytes) {
	case 1:
		return low >> inside & 0xff;
	case 2:
		return low >> inside & 0xffff;
	case 4:
		return low;
	default:
		return low | (uint64_t)read_word(opaque, bar, offset + 4) << 32;
	}
}

void e1000e_write(void *opaque, unsigned bar, uint32_t offset, unsigned bytes, uint64_t value)
{
	if (bytes < 4 || offset % bytes != 0)
		return;
	write_word(opaque, bar, offset, (uint32_t)value);
	if (bytes == 8)
		write_word(opaque, bar, offset + 4, (uint32_t)(value >> 32));
}
