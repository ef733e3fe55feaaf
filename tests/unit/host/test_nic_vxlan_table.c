/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which peer an address is behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "host/nic_vxlan_table.h"

#define START_NS (1000 * NS_PER_S)

static struct vxlan_table table;
static uint64_t now_ns;

static void begin(unsigned peers)
{
	now_ns = START_NS;
	assert_int_equal(vxlan_table_init(&table, peers), 0);
}

static const uint8_t *address(unsigned number)
{
	static uint8_t bytes[FRAME_ADDRESS_BYTES];

	bytes[0] = 2;
	memcpy(bytes + 2, &number, sizeof(number));
	return bytes;
}

static unsigned find(unsigned number)
{
	return vxlan_table_find(&table, address(number), now_ns);
}

static bool learn(unsigned number, unsigned peer)
{
	return vxlan_table_learn(&table, address(number), peer, now_ns);
}

static void test_addresses_are_learned_and_move(void **state)
{
	begin(3);
	assert_int_equal(find(1), VXLAN_PEER_NONE);
	assert_true(learn(1, 0));
	assert_true(learn(2, 2));
	assert_int_equal(find(1), 0);
	assert_int_equal(find(2), 2);
	assert_true(learn(1, 1));
	assert_int_equal(find(1), 1);
	assert_int_equal(table.learned[0], 0);
	assert_int_equal(table.learned[1], 1);
	vxlan_table_finish(&table);
}

static void test_addresses_that_none_has(void **state)
{
	static const uint8_t none[3][FRAME_ADDRESS_BYTES] = { { 0 },
							      { 1, 0, 0x5e, 0, 0, 1 },
							      { 255, 255, 255, 255, 255, 255 } };

	begin(2);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(vxlan_table_learn(&table, none[i], 1, now_ns));
		assert_int_equal(vxlan_table_find(&table, none[i], now_ns), VXLAN_PEER_NONE);
	}
	assert_int_equal(table.learned[1], 0);
	vxlan_table_finish(&table);
}

static void test_addresses_age(void **state)
{
	begin(2);
	learn(1, 0);
	learn(2, 0);
	now_ns += VXLAN_AGEING_NS;
	assert_int_equal(find(1), 0);
	learn(1, 0);
	now_ns += 1;
	assert_int_equal(find(1), 0);
	assert_int_equal(find(2), VXLAN_PEER_NONE);
	/* It comes back. */
	learn(2, 1);
	assert_int_equal(find(2), 1);
	vxlan_table_finish(&table);
}

static void fill(unsigned peer, unsigned first)
{
	for (unsigned i = 0; i < VXLAN_LEARNED_MAX; i++)
		assert_true(learn(first + i, peer));
}

static void test_a_peer_fills_its_own_part(void **state)
{
	begin(2);
	fill(0, 0);
	assert_false(learn(5000, 0));
	assert_int_equal(find(5000), VXLAN_PEER_NONE);
	/* What it has is still kept up, and the other peer's addresses as well. */
	assert_true(learn(7, 0));
	fill(1, 10000);
	assert_false(learn(5000, 1));
	/* An address that moves to where there is no room is behind none. */
	assert_false(learn(8, 1));
	assert_int_equal(find(8), VXLAN_PEER_NONE);
	assert_true(learn(5000, 0));
	for (unsigned i = 0; i < VXLAN_LEARNED_MAX; i++) {
		assert_int_equal(find(i), i == 8 ? VXLAN_PEER_NONE : 0);
		assert_int_equal(find(10000 + i), 1);
	}
	vxlan_table_finish(&table);
}

/* Old ones make room, but are not looked for with every address that comes. */
static void test_room_by_ageing(void **state)
{
	begin(1);
	fill(0, 0);
	now_ns += VXLAN_AGEING_NS + 1;
	assert_true(learn(5000, 0));
	assert_int_equal(table.learned[0], 1);
	now_ns += 1;
	for (unsigned i = 1; i < VXLAN_LEARNED_MAX; i++)
		assert_true(learn(5000 + i, 0));
	/* The first is old now, the last look a moment ago. */
	table.swept_ns = now_ns += VXLAN_AGEING_NS;
	assert_int_equal(find(5000), VXLAN_PEER_NONE);
	assert_false(learn(1, 0));
	now_ns += VXLAN_SWEEP_NS - 1;
	assert_false(learn(1, 0));
	now_ns += 1;
	assert_true(learn(1, 0));
	vxlan_table_finish(&table);
}

/* ---- against a table that is obviously right ---- */

#define SEED	   20261128u
#define ADDRESSES  4000u
#define OPERATIONS 200000u

struct naive {
	unsigned peer[ADDRESSES];
	uint64_t seen_ns[ADDRESSES];
};

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static unsigned naive_find(const struct naive *naive, unsigned number)
{
	return now_ns - naive->seen_ns[number] > VXLAN_AGEING_NS ? VXLAN_PEER_NONE : naive->peer[number];
}

static void check_all(const struct naive *naive)
{
	unsigned learned[3] = { 0 }, kept = 0;

	for (unsigned i = 0; i < ADDRESSES; i++)
		assert_int_equal(find(i), naive_find(naive, i));
	for (unsigned i = 0; i < 1u << table.bits; i++)
		if (table.entries[i].address != 0) {
			learned[table.entries[i].peer]++;
			kept++;
		}
	assert_true(2 * kept <= 1u << table.bits);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(table.learned[i], learned[i]);
}

/* Peers are so full that every few addresses are refused: then they are behind none. */
static void test_random(void **state)
{
	static struct naive naive;
	uint64_t random = SEED;
	unsigned refused = 0;

	begin(3);
	for (unsigned i = 0; i < ADDRESSES; i++)
		naive.peer[i] = VXLAN_PEER_NONE;
	for (unsigned i = 0; i < OPERATIONS; i++) {
		unsigned number = (unsigned)(random_next(&random) % ADDRESSES);
		unsigned peer = (unsigned)(random_next(&random) % 3);

		naive.peer[number] = learn(number, peer) ? peer : VXLAN_PEER_NONE;
		if (naive.peer[number] == VXLAN_PEER_NONE) {
			assert_int_equal(table.learned[peer], VXLAN_LEARNED_MAX);
			refused++;
		}
		naive.seen_ns[number] = now_ns;
		now_ns += random_next(&random) % (100 * NS_PER_MS);
		if (i % 20000 == 0)
			check_all(&naive);
	}
	check_all(&naive);
	assert_in_range(refused, OPERATIONS / 100, OPERATIONS / 2);
	vxlan_table_finish(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses_are_learned_and_move),
		cmocka_unit_test(test_addresses_that_none_has),
		cmocka_unit_test(test_addresses_age),
		cmocka_unit_test(test_a_peer_fills_its_own_part),
		cmocka_unit_test(test_room_by_ageing),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
