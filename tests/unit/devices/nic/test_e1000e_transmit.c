/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the 82574 makes of transmit descriptors: frames to Bob, over a real switch. */
#include "e1000e_driver.h"

#define DATA (RAM_BASE + DATA_AT)

static void legacy(void **state)
{
	uint8_t *bytes;
	uint32_t count;

	begin();
	tx_setup();
	bytes = driver.ram + DATA_AT;
	count = write_plain(bytes, bob, alice, 100);
	tx_put(DATA, count | TX_LEGACY, 0xabcd0000);
	tx_go();
	assert_int_equal(driver.got_count, 1);
	assert_int_equal(got[0].bytes, 100);
	assert_memory_equal(got[0].data, bytes, 100);
	assert_int_equal(tx_at(0)->status, 0xabcd0000 | E1000E_TX_DONE);
	assert_int_equal(get32(E1000E_TX_QUEUE + E1000E_QUEUE_HEAD), 1);
	assert_int_equal(get32(E1000E_ICR), E1000E_CAUSE_TXDW | E1000E_CAUSE_TXQE | E1000E_CAUSE_TXQ(0));
	assert_int_equal(get32(E1000E_GPTC), 1);
	assert_int_equal(get32(E1000E_GPTC), 0);
	assert_int_equal(get32(E1000E_GOTC), 100);
	assert_int_equal(get32(E1000E_GOTC + 4), 0);
	/* Not asked for, it is not reported. */
	tx_put(DATA, count | E1000E_TX_EOP, 0);
	tx_go();
	assert_int_equal(driver.got_count, 2);
	assert_false(tx_done(1));
	assert_int_equal(get32(E1000E_ICR), E1000E_CAUSE_TXQE);
	assert_int_equal(violations(), 0);
	end();
}

/* A frame in pieces is sent when its last one is there. */
static void pieces(void **state)
{
	uint8_t *bytes;

	begin();
	tx_setup();
	bytes = driver.ram + DATA_AT;
	write_plain(bytes, bob, alice, 1000);
	for (uint32_t at = 0; at < 980; at += 49)
		tx_put(DATA + at, 49 | TX_DATA, 0);
	tx_put(0, 0 | TX_DATA, 0);
	tx_go();
	assert_int_equal(driver.got_count, 0);
	assert_int_equal(get32(E1000E_TX_QUEUE + E1000E_QUEUE_HEAD), 0);
	tx_put(DATA + 980, 20 | TX_LAST, 0);
	tx_go();
	assert_int_equal(driver.got_count, 1);
	assert_int_equal(got[0].bytes, 1000);
	assert_memory_equal(got[0].data, bytes, 1000);
	assert_int_equal(get32(E1000E_TX_QUEUE + E1000E_QUEUE_HEAD), driver.tx_tail);
	assert_int_equal(violations(), 0);
	end();
}

/* Many times around, in both queues. */
static void rings_go_around(void **state)
{
	uint32_t second = E1000E_TX_QUEUE + E1000E_QUEUE_STRIDE;
	struct e1000e_tx_descriptor *ring;

	begin();
	tx_setup();
	set32(second + E1000E_QUEUE_BAL, RAM_BASE + TX_AT + 0x8000);
	set32(second + E1000E_QUEUE_LEN, 128);
	write_plain(driver.ram + DATA_AT, bob, alice, 64);
	ring = (struct e1000e_tx_descriptor *)(void *)(driver.ram + TX_AT + 0x8000);
	for (unsigned round = 0; round < 20; round++) {
		driver.got_count = 0;
		for (unsigned i = 0; i < TX_ENTRIES - 1; i++)
			tx_put(DATA, 64 | TX_LEGACY, 0);
		for (unsigned i = 0; i < 8; i++)
			ring[i] = (struct e1000e_tx_descriptor){ DATA, 64 | TX_LEGACY, 0 };
		set32(second + E1000E_QUEUE_TAIL, (round + 1) * 7 % 8);
		tx_go();
		assert_int_equal(driver.got_count, TX_ENTRIES - 1 + 7);
		assert_int_equal(get32(second + E1000E_QUEUE_HEAD), (round + 1) * 7 % 8);
		assert_true(get32(E1000E_ICR) & E1000E_CAUSE_TXQ(1));
	}
	end();
}

static void switched_off(void **state)
{
	begin();
	tx_setup();
	write_plain(driver.ram + DATA_AT, bob, alice, 64);
	set32(E1000E_TCTL, 0);
	tx_put(DATA, 64 | TX_LEGACY, 0);
	tx_go();
	assert_int_equal(driver.got_count, 0);
	set32(E1000E_TCTL, E1000E_TCTL_ENABLE);
	settle();
	assert_int_equal(driver.got_count, 1);
	end();
}

/* ---- checksums ---- */

static const struct e1000e_context tcp_context = {
	.ip_start = 14,
	.ip_at = 24,
	.ip_end = 33,
	.start = 34,
	.at = 50,
	.command = E1000E_CONTEXT_TCP | E1000E_CONTEXT_IPV4,
};

static void checksum_legacy(void **state)
{
	uint32_t count;

	begin();
	tx_setup();
	count = write_tcp(driver.ram + DATA_AT, bob, alice, 333, false);
	tx_put(DATA, count | TX_LEGACY | E1000E_TX_IC | 50 << 16, 34 << 8);
	tx_go();
	assert_int_equal(driver.got_count, 1);
	assert_true(sums_are_right(got[0].data, got[0].bytes, 14));
	end();
}

static void checksums_extended(void **state)
{
	uint8_t *bytes;
	uint32_t count;

	begin();
	tx_setup();
	bytes = driver.ram + DATA_AT;
	count = write_tcp(bytes, bob, alice, 700, false);
	memset(bytes + 24, 0, 2);
	tx_context(tcp_context);
	tx_put(DATA, 40 | TX_DATA, E1000E_TX_IXSM | E1000E_TX_TXSM);
	tx_put(DATA + 40, 10 | TX_DATA, 0);
	tx_put(DATA + 50, (count - 50) | TX_LAST, 0);
	tx_go();
	assert_int_equal(driver.got_count, 1);
	assert_true(sums_are_right(got[0].data, got[0].bytes, 14));
	assert_memory_equal(got[0].data + IP_HEAD_BYTES, bytes + IP_HEAD_BYTES, 700);
	/* The context stays. */
	tx_put(DATA, count | TX_LAST, E1000E_TX_IXSM | E1000E_TX_TXSM);
	tx_go();
	assert_int_equal(driver.got_count, 2);
	assert_true(sums_are_right(got[1].data, got[1].bytes, 14));
	assert_int_equal(violations(), 0);
	end();
}

/* Left to a receiver that does it itself. */
static void checksum_left_to_bob(void **state)
{
	const struct frame_abilities takes = { .csum = 1, .tso4 = 1 };
	uint32_t count;

	begin();
	bob_takes(&takes);
	tx_setup();
	count = write_tcp(driver.ram + DATA_AT, bob, alice, 100, false);
	tx_context(tcp_context);
	tx_put(DATA, count | TX_LAST, E1000E_TX_TXSM);
	tx_go();
	assert_int_equal(driver.got_count, 1);
	assert_int_equal(got[0].offload.flags, FRAME_CSUM_NEEDED);
	assert_int_equal(got[0].offload.csum_start, 34);
	assert_int_equal(got[0].offload.csum_offset, 16);
	end();
}

/* ---- segmentation ---- */

static struct e1000e_context tso_context(uint16_t segment_bytes)
{
	struct e1000e_context context = tcp_context;

	context.header_bytes = IP_HEAD_BYTES;
	context.segment_bytes = segment_bytes;
	return context;
}

#define TSO_FIRST (E1000E_TX_IXSM | E1000E_TX_TXSM)

static void segments(void **state)
{
	uint8_t *bytes;
	uint32_t count, at = 0;

	begin();
	tx_setup();
	bytes = driver.ram + DATA_AT;
	count = write_tcp(bytes, bob, alice, 60000, true);
	big32_put(bytes + 38, 1000);
	tx_context(tso_context(1448));
	tx_put(DATA, IP_HEAD_BYTES | TX_DATA | E1000E_TX_TSE, TSO_FIRST);
	for (at = IP_HEAD_BYTES; at + 4000 < count; at += 4000)
		tx_put(DATA + at, 4000 | TX_DATA | E1000E_TX_TSE, 0);
	tx_put(DATA + at, (count - at) | TX_LAST | E1000E_TX_TSE, 0);
	tx_go();
	assert_int_equal(driver.got_count, 42);
	at = 0;
	for (unsigned i = 0; i < 42; i++) {
		uint32_t payload = got[i].bytes - IP_HEAD_BYTES;

		assert_int_equal(payload, i < 41 ? 1448 : 60000 - 41 * 1448);
		assert_true(sums_are_right(got[i].data, got[i].bytes, 14));
		assert_int_equal(big32_get(got[i].data + 38), 1000 + at);
		assert_memory_equal(got[i].data + IP_HEAD_BYTES, bytes + IP_HEAD_BYTES + at, payload);
		at += payload;
	}
	assert_int_equal(at, 60000);
	assert_int_equal(violations(), 0);
	end();
}

/* A receiver that cuts itself gets a whole packet, with its lengths. */
static void segments_left_to_bob(void **state)
{
	const struct frame_abilities takes = { .csum = 1, .tso4 = 1, .tso6 = 1 };
	struct internet_sum sum = { 0 };
	uint32_t count;

	begin();
	bob_takes(&takes);
	tx_setup();
	count = write_tcp(driver.ram + DATA_AT, bob, alice, 30000, true);
	tx_context(tso_context(1000));
	tx_put(DATA, count | TX_LAST | E1000E_TX_TSE, TSO_FIRST);
	tx_go();
	assert_int_equal(driver.got_count, 1);
	assert_int_equal(got[0].bytes, count);
	assert_int_equal(got[0].offload.gso_type, FRAME_GSO_TCP4);
	assert_int_equal(got[0].offload.gso_bytes, 1000);
	assert_int_equal(got[0].offload.header_bytes, IP_HEAD_BYTES);
	assert_int_equal(big16_get(got[0].data + 16), 30040);
	internet_sum_add(&sum, got[0].data + 14, 20);
	assert_int_equal(internet_sum_fold(&sum), 0xffff);
	end();
}

static void segments_of_ipv6(void **state)
{
	struct e1000e_context context = {
		.ip_start = 14,
		.start = 54,
		.at = 70,
		.command = E1000E_CONTEXT_TCP,
		.header_bytes = 74,
		.segment_bytes = 1000,
	};
	struct internet_sum sum = { 0 };
	uint16_t word;
	uint8_t *bytes;

	begin();
	tx_setup();
	bytes = driver.ram + DATA_AT;
	memset(bytes, 0, 74);
	memcpy(bytes, bob, 6);
	memcpy(bytes + 6, alice, 6);
	big16_put(bytes + 12, 0x86dd);
	bytes[14] = 0x60;
	bytes[20] = 6;
	bytes[22] = 0xfe;
	bytes[38] = 0xfd;
	bytes[66] = 0x50;
	internet_sum_add(&sum, bytes + 22, 32);
	internet_sum_add_word(&sum, htobe16(6));
	word = internet_sum_fold(&sum);
	memcpy(bytes + 70, &word, 2);
	memset(bytes + 74, 0x5a, 2500);
	tx_context(context);
	tx_put(DATA, 2574 | TX_LAST | E1000E_TX_TSE, E1000E_TX_TXSM);
	tx_go();
	assert_int_equal(driver.got_count, 3);
	for (unsigned i = 0; i < 3; i++) {
		uint32_t payload = i < 2 ? 1000 : 500;
		struct internet_sum check = { 0 };

		assert_int_equal(got[i].bytes, 74 + payload);
		assert_int_equal(big16_get(got[i].data + 18), 20 + payload);
		internet_sum_add(&check, got[i].data + 22, 32);
		internet_sum_add_word(&check, htobe16(6));
		internet_sum_add_word(&check, htobe16((uint16_t)(20 + payload)));
		internet_sum_add(&check, got[i].data + 54, 20 + payload);
		assert_int_equal(internet_sum_fold(&check), 0xffff);
	}
	end();
}

/* ---- tags ---- */

static void tags(void **state)
{
	uint8_t *bytes;
	uint32_t count;

	begin();
	tx_setup();
	bytes = driver.ram + DATA_AT;
	set32(E1000E_CTRL, E1000E_CTRL_VLAN_MODE);
	count = write_tcp(bytes, bob, alice, 3000, true);
	tx_context(tso_context(1000));
	tx_put(DATA, 100 | TX_DATA | E1000E_TX_TSE | E1000E_TX_VLE, TSO_FIRST | 0x60070000);
	tx_put(DATA + 100, (count - 100) | TX_LAST | E1000E_TX_TSE | E1000E_TX_VLE, 0x60070000);
	tx_go();
	assert_int_equal(driver.got_count, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(big32_get(got[i].data + 12), 0x81006007);
		assert_memory_equal(got[i].data, bytes, 12);
		assert_true(sums_are_right(got[i].data, got[i].bytes, 18));
		assert_memory_equal(got[i].data + 58, bytes + IP_HEAD_BYTES + 1000 * i, 1000);
	}
	/* Without the mode there is no tag. */
	driver.got_count = 0;
	set32(E1000E_CTRL, 0);
	count = write_plain(bytes, bob, alice, 60);
	tx_put(DATA, count | TX_LEGACY | E1000E_TX_VLE, 7 << 16);
	tx_go();
	assert_int_equal(driver.got_count, 1);
	assert_int_equal(got[0].bytes, 60);
	assert_int_equal(violations(), 0);
	end();
}

/* ---- turns ---- */

/* A frame of very many segments is sent in parts, and to its end although nothing is behind it. */
static void late_frame(void **state)
{
	uint32_t count;

	begin();
	tx_setup();
	count = write_tcp(driver.ram + DATA_AT, bob, alice, 20000, true);
	tx_context(tso_context(100));
	tx_put(DATA, count | TX_LAST | E1000E_TX_TSE, TSO_FIRST);
	tx_put(DATA, 54 | TX_LAST, 0);
	set32(E1000E_TX_QUEUE + E1000E_QUEUE_TAIL, driver.tx_tail);
	for (unsigned i = 0; i < 2000 && driver.got_count < 201; i++)
		assert_int_equal(loop_turn(driver.loop, NS_PER_MS / 4), 0);
	assert_int_equal(driver.got_count, 201);
	assert_int_equal(got[200].bytes, 54);
	assert_int_equal(get32(E1000E_TX_QUEUE + E1000E_QUEUE_HEAD), driver.tx_tail);
	end();
}

/* While the switch stands still, frames stay in the ring. */
static void stand_still(void **state)
{
	begin();
	tx_setup();
	write_plain(driver.ram + DATA_AT, bob, alice, 64);
	vswitch_stand_still(driver.vswitch, true);
	for (unsigned i = 0; i < 10; i++)
		tx_put(DATA, 64 | TX_LEGACY, 0);
	tx_go();
	assert_int_equal(driver.got_count, 0);
	assert_int_equal(get32(E1000E_TX_QUEUE + E1000E_QUEUE_HEAD), 0);
	assert_false(tx_done(0));
	vswitch_stand_still(driver.vswitch, false);
	for (unsigned i = 0; i < 2000 && driver.got_count < 10; i++)
		assert_int_equal(loop_turn(driver.loop, NS_PER_MS), 0);
	assert_int_equal(driver.got_count, 10);
	assert_true(tx_done(9));
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(legacy),
		cmocka_unit_test(pieces),
		cmocka_unit_test(rings_go_around),
		cmocka_unit_test(switched_off),
		cmocka_unit_test(checksum_legacy),
		cmocka_unit_test(checksums_extended),
		cmocka_unit_test(checksum_left_to_bob),
		cmocka_unit_test(segments),
		cmocka_unit_test(segments_left_to_bob),
		cmocka_unit_test(segments_of_ipv6),
		cmocka_unit_test(tags),
		cmocka_unit_test(late_frame),
		cmocka_unit_test(stand_still),
	};

	return cmocka_run_group_tests_name("e1000e_transmit", tests, NULL, NULL);
}
