/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the 82574 makes of frames from Bob: filters, buffers, descriptors. */
#include "e1000e_driver.h"

#define HEAD get32(E1000E_RX_QUEUE + E1000E_QUEUE_HEAD)

static void legacy(void **state)
{
	begin();
	rx_setup(RCTL_USUAL, false);
	rx_post(4);
	write_plain(sent, alice, bob, 500);
	bob_sends(sent, 500);
	assert_int_equal(HEAD, 1);
	assert_int_equal(rx_legacy(0)->length, 500);
	assert_int_equal(rx_legacy(0)->status, E1000E_RX_DONE | E1000E_RX_EOP | E1000E_RX_NO_SUM);
	assert_int_equal(rx_legacy(0)->errors, 0);
	assert_memory_equal(rx_buffer(0), sent, 500);
	assert_int_equal(get32(E1000E_ICR), E1000E_CAUSE_RXT0 | E1000E_CAUSE_RXQ0 | E1000E_CAUSE_RXDMT0);
	assert_int_equal(get32(E1000E_GPRC), 1);
	assert_int_equal(get32(E1000E_GORC), 500);
	assert_int_equal(rx_legacy(1)->status, 0);
	/* A short one is filled up, and has its FCS if that is asked for. */
	set32(E1000E_RCTL, RCTL_USUAL & ~E1000E_RCTL_STRIP_CRC);
	memset(rx_buffer(1), 0xff, 70);
	bob_sends(sent, 20);
	assert_int_equal(rx_legacy(1)->length, 64);
	assert_memory_equal(rx_buffer(1), sent, 20);
	for (unsigned i = 20; i < 64; i++)
		assert_int_equal(rx_buffer(1)[i], 0);
	assert_int_equal(rx_buffer(1)[64], 0xff);
	assert_int_equal(violations(), 0);
	end();
}

static void extended(void **state)
{
	begin();
	rx_setup(RCTL_USUAL, true);
	rx_post(15);
	for (unsigned i = 0; i < 15; i++) {
		write_plain(sent, alice, bob, 100 + i);
		bob_sends(sent, 100 + i);
		assert_int_equal(rx_extended(i)->status, E1000E_RX_DONE | E1000E_RX_EOP | E1000E_RX_NO_SUM);
		assert_int_equal(rx_extended(i)->length, 100 + i);
		assert_int_equal(rx_extended(i)->queue_and_hash_type, 0);
		assert_memory_equal(rx_buffer(i), sent, 100 + i);
	}
	assert_int_equal(HEAD, 15);
	end();
}

/* Frames for which there are no buffers wait. */
static void frames_wait_for_buffers(void **state)
{
	begin();
	rx_setup(RCTL_USUAL, true);
	for (unsigned i = 0; i < 40; i++) {
		write_plain(sent, alice, bob, 200 + i);
		bob_sends(sent, 200 + i);
	}
	settle();
	assert_int_equal(HEAD, 0);
	assert_true(get32(E1000E_RNBC) > 0);
	for (unsigned i = 0; i < 40; i++) {
		rx_post(1);
		assert_int_equal(HEAD, (i + 1) % RX_ENTRIES);
		assert_int_equal(rx_extended(i % RX_ENTRIES)->length, 200 + i);
	}
	rx_post(1);
	assert_int_equal(HEAD, 40 % RX_ENTRIES);
	end();
}

static void switched_off(void **state)
{
	begin();
	rx_setup(RCTL_USUAL & ~E1000E_RCTL_ENABLE, true);
	rx_post(4);
	write_plain(sent, alice, bob, 100);
	bob_sends(sent, 100);
	assert_int_equal(HEAD, 0);
	/* And is lost. */
	set32(E1000E_RCTL, RCTL_USUAL);
	settle();
	assert_int_equal(HEAD, 0);
	bob_sends(sent, 100);
	assert_int_equal(HEAD, 1);
	end();
}

/* ---- filters ---- */

/* Does the driver get a frame for this address? */
static bool gets(const uint8_t to[6])
{
	uint32_t before = HEAD;

	write_plain(sent, to, bob, 100);
	bob_sends(sent, 100);
	settle();
	if (HEAD == before)
		return false;
	assert_int_equal(HEAD, (before + 1) % RX_ENTRIES);
	rx_post(1);
	return true;
}

static void filters(void **state)
{
	static const uint8_t group[6] = { 1, 0, 0x5e, 0x12, 0x34, 0x56 }, other[6] = { 2, 0, 0, 0, 0, 9 };
	struct port_settings settings = { .link = true, .promiscuous = true, .vlan = 1 };
	static const uint8_t shifts[] = { 4, 3, 2, 0 };

	begin();
	port_set(driver.card, &settings);
	rx_setup(RCTL_USUAL, true);
	rx_post(15);
	assert_true(gets(alice));
	assert_true(gets(everyone));
	assert_false(gets(group));
	assert_false(gets(other));
	set32(E1000E_RCTL, RCTL_USUAL & ~E1000E_RCTL_BROADCAST);
	assert_false(gets(everyone));
	set32(E1000E_RCTL, RCTL_USUAL | E1000E_RCTL_MULTICAST);
	assert_true(gets(group));
	assert_false(gets(other));
	set32(E1000E_RCTL, RCTL_USUAL | E1000E_RCTL_UNICAST);
	assert_true(gets(other));
	assert_false(gets(group));
	for (unsigned i = 0; i < 4; i++) {
		unsigned hash = 0x5634u >> shifts[i] & 0xfff;

		set32(E1000E_RCTL, RCTL_USUAL | i << 12);
		assert_false(gets(group));
		set32(E1000E_MTA + 4 * (hash / 32), 1u << hash % 32);
		assert_true(gets(group));
		set32(E1000E_MTA + 4 * (hash / 32), 0);
	}
	set32(E1000E_RCTL, RCTL_USUAL);
	set32(E1000E_RAL + 8 * 15, 0x00000002);
	set32(E1000E_RAL + 8 * 15 + 4, 0x00000900);
	assert_false(gets(other));
	set32(E1000E_RAL + 8 * 15 + 4, 0x80000900);
	assert_true(gets(other));
	set32(E1000E_RAL + 4, 0);
	assert_false(gets(alice));
	end();
}

static void tags(void **state)
{
	begin();
	rx_setup(RCTL_USUAL, true);
	rx_post(15);
	write_plain(sent, alice, bob, 104);
	big32_put(sent + 12, 0x81006007);
	bob_sends(sent, 104);
	assert_int_equal(rx_extended(0)->length, 104);
	assert_false(rx_extended(0)->status & E1000E_RX_VLAN);
	set32(E1000E_CTRL, E1000E_CTRL_VLAN_MODE);
	bob_sends(sent, 104);
	assert_int_equal(rx_extended(1)->length, 100);
	assert_true(rx_extended(1)->status & E1000E_RX_VLAN);
	assert_int_equal(rx_extended(1)->tag, 0x6007);
	assert_memory_equal(rx_buffer(1), sent, 12);
	assert_memory_equal(rx_buffer(1) + 12, sent + 16, 88);
	set32(E1000E_RCTL, RCTL_USUAL | E1000E_RCTL_VLAN_FILTER);
	bob_sends(sent, 104);
	assert_int_equal(HEAD, 2);
	set32(E1000E_VFTA, 1u << 7);
	bob_sends(sent, 104);
	assert_int_equal(HEAD, 3);
	/* One without a tag is not filtered. */
	write_plain(sent, alice, bob, 60);
	bob_sends(sent, 60);
	assert_int_equal(HEAD, 4);
	assert_false(rx_extended(3)->status & E1000E_RX_VLAN);
	end();
}

/* ---- checksums ---- */

static void checksums(void **state)
{
	const struct frame_offload needed = { .flags = FRAME_CSUM_NEEDED,
					      .csum_start = 34,
					      .csum_offset = 16 };
	uint32_t count;

	begin();
	rx_setup(RCTL_USUAL, true);
	rx_post(15);
	count = write_tcp(sent, alice, bob, 701, false);
	bob_sends_with(sent, count, needed);
	assert_int_equal(rx_extended(0)->status, E1000E_RX_DONE | E1000E_RX_EOP | E1000E_RX_TCP_SUM);
	assert_true(sums_are_right(rx_buffer(0), count, 14));
	/* What nobody has looked at. */
	bob_sends(sent, count);
	assert_int_equal(rx_extended(1)->status, E1000E_RX_DONE | E1000E_RX_EOP | E1000E_RX_NO_SUM);
	assert_memory_equal(rx_buffer(1), sent, count);
	/* Looked at, and the driver does not ask. */
	set32(E1000E_RXCSUM, 0);
	bob_sends_with(sent, count, needed);
	assert_int_equal(rx_extended(2)->status, E1000E_RX_DONE | E1000E_RX_EOP | E1000E_RX_NO_SUM);
	assert_true(sums_are_right(rx_buffer(2), count, 14));
	/* A frame to be cut comes in segments. */
	set32(E1000E_RXCSUM, E1000E_RXCSUM_TRANSPORT);
	count = write_tcp(sent, alice, bob, 3500, false);
	bob_sends_with(sent, count,
		       (struct frame_offload){ .flags = FRAME_CSUM_NEEDED,
					       .gso_type = FRAME_GSO_TCP4,
					       .gso_bytes = 1000,
					       .csum_start = 34,
					       .csum_offset = 16 });
	assert_int_equal(HEAD, 7);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(rx_extended(3 + i)->length, IP_HEAD_BYTES + (i < 3 ? 1000 : 500));
		assert_true(sums_are_right(rx_buffer(3 + i), rx_extended(3 + i)->length, 14));
		assert_true(rx_extended(3 + i)->status & E1000E_RX_TCP_SUM);
	}
	end();
}

/* A checksum that is to be filled in, across buffers and behind a tag that is taken off. */
static void checksum_behind_a_tag(void **state)
{
	uint32_t count;

	begin();
	rx_setup(RCTL_USUAL | 3u << 16, true); /* 256 bytes */
	set32(E1000E_CTRL, E1000E_CTRL_VLAN_MODE);
	rx_post(15);
	count = write_tcp(sent, alice, bob, 701, false);
	memmove(sent + 16, sent + 12, count - 12);
	big32_put(sent + 12, 0x81000007);
	bob_sends_with(
		sent, count + 4,
		(struct frame_offload){ .flags = FRAME_CSUM_NEEDED, .csum_start = 38, .csum_offset = 16 });
	assert_int_equal(HEAD, 3);
	for (unsigned i = 0; i < 3; i++)
		memcpy(sent + 256 * i, rx_buffer(i), 256);
	assert_true(sums_are_right(sent, count, 14));
	assert_int_equal(rx_extended(2)->length, count - 512);
	end();
}

/* ---- sizes ---- */

static void buffer_sizes(void **state)
{
	static const struct {
		uint32_t rctl, bytes;
	} sizes[] = {
		{ 0, 2048 },
		{ 1u << 16, 1024 },
		{ 2u << 16, 512 },
		{ 3u << 16, 256 },
		{ E1000E_RCTL_SIZE_EXTENDED | 1u << 16, 16384 },
		{ E1000E_RCTL_SIZE_EXTENDED | 2u << 16, 8192 },
		{ E1000E_RCTL_SIZE_EXTENDED | 3u << 16, 4096 },
		{ 3u << 27, 3072 },
	};

	write_plain(sent, alice, bob, 3000);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint32_t left = 3000, used = 0;

		begin();
		rx_setup(RCTL_USUAL | E1000E_RCTL_LONG | sizes[i].rctl, true);
		rx_post(15);
		bob_sends(sent, 3000);
		for (; left > 0; used++) {
			uint32_t now = left < sizes[i].bytes ? left : sizes[i].bytes;

			assert_int_equal(rx_extended(used)->length, now);
			assert_int_equal(rx_extended(used)->status & E1000E_RX_EOP,
					 now == left ? E1000E_RX_EOP : 0);
			assert_memory_equal(rx_buffer(used), sent + 3000 - left, now);
			left -= now;
		}
		assert_int_equal(HEAD, used);
		end();
	}
}

static void long_frames(void **state)
{
	struct port_totals totals;

	begin();
	rx_setup(RCTL_USUAL, true);
	rx_post(15);
	write_plain(sent, alice, bob, 9014);
	bob_sends(sent, 1518);
	assert_int_equal(HEAD, 1);
	bob_sends(sent, 1519);
	assert_int_equal(HEAD, 1);
	assert_int_equal(get32(E1000E_ROC), 1);
	set32(E1000E_RCTL, RCTL_USUAL | E1000E_RCTL_LONG);
	bob_sends(sent, 9014);
	assert_int_equal(HEAD, 6);
	for (unsigned i = 0; i < 5; i++)
		assert_memory_equal(rx_buffer(1 + i), sent + 2048 * i, i < 4 ? 2048 : 9014 - 4 * 2048);
	/* More than all buffers together: it would wait for ever. */
	set32(E1000E_RCTL, RCTL_USUAL | E1000E_RCTL_LONG | 3u << 16);
	bob_sends(sent, 9014);
	assert_int_equal(HEAD, 6);
	assert_int_equal(get32(E1000E_ROC), 1);
	bob_sends(sent, 100);
	assert_int_equal(HEAD, 7);
	quiesce();
	e1000e_model.leave(driver.function);
	port_totals(driver.card, &totals);
	assert_int_equal(totals.dropped[PORT_DROP_TOO_LARGE], 2);
	go();
	end();
}

/* Four buffers for each descriptor, as Linux has them for large frames. */
static void packet_split(void **state)
{
	uint64_t *descriptor;
	uint16_t *lengths;

	begin();
	rx_setup(RCTL_USUAL | E1000E_RCTL_LONG | 1u << 10, true);
	set32(E1000E_PSRCTL, 2 | 4 << 8 | 4 << 16);
	descriptor = (uint64_t *)(void *)(driver.ram + RX_AT);
	for (unsigned i = 0; i < 8; i++) {
		descriptor[4 * i] = RAM_BASE + BUFFERS_AT + 0x10000 * i;
		descriptor[4 * i + 1] = descriptor[4 * i] + 0x1000;
		descriptor[4 * i + 2] = descriptor[4 * i] + 0x3000;
		descriptor[4 * i + 3] = UINT64_MAX;
	}
	/* Registers count in 16 bytes. */
	set32(E1000E_RX_QUEUE + E1000E_QUEUE_TAIL, 14);
	write_plain(sent, alice, bob, 9000);
	bob_sends(sent, 9000);
	assert_int_equal(HEAD, 4);
	lengths = (uint16_t *)(void *)(driver.ram + RX_AT + 16);
	assert_int_equal(rx_extended(0)->status & 3, E1000E_RX_DONE);
	assert_int_equal(rx_extended(0)->length, 256);
	assert_int_equal(lengths[0], 0);
	assert_int_equal(lengths[1], 4096);
	assert_int_equal(lengths[2], 4096);
	assert_int_equal(lengths[3], 0);
	assert_memory_equal(driver.ram + BUFFERS_AT, sent, 256);
	assert_memory_equal(driver.ram + BUFFERS_AT + 0x1000, sent + 256, 4096);
	assert_memory_equal(driver.ram + BUFFERS_AT + 0x3000, sent + 256 + 4096, 4096);
	assert_int_equal(rx_extended(2)->status & 3, E1000E_RX_DONE | E1000E_RX_EOP);
	assert_int_equal(rx_extended(2)->length, 256);
	assert_int_equal(lengths[16 + 1], 9000 - 8448 - 256);
	/* Each descriptor until the ring's end, and from its beginning. */
	for (unsigned i = 2; i < 7; i++)
		bob_sends(sent, 100);
	assert_int_equal(HEAD, 14);
	set32(E1000E_RX_QUEUE + E1000E_QUEUE_TAIL, 6);
	bob_sends(sent, 100);
	assert_int_equal(HEAD, 0);
	assert_int_equal(violations(), 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(legacy),
		cmocka_unit_test(extended),
		cmocka_unit_test(frames_wait_for_buffers),
		cmocka_unit_test(switched_off),
		cmocka_unit_test(filters),
		cmocka_unit_test(tags),
		cmocka_unit_test(checksums),
		cmocka_unit_test(checksum_behind_a_tag),
		cmocka_unit_test(buffer_sizes),
		cmocka_unit_test(long_frames),
		cmocka_unit_test(packet_split),
	};

	return cmocka_run_group_tests_name("e1000e_receive", tests, NULL, NULL);
}
