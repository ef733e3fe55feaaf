/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which port an address is behind: fixed, learned, aged, moved; and a table that is full of gone entries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "arbiter/switch/mac_table.h"
#include "test_disk.h"

/* The table does not look into them. */
static char ports[3];
#define PORT(n) ((struct port *)&ports[n])

static unsigned gone_count;

static void gone(struct port *port)
{
	gone_count++;
}

static void address_of(uint8_t address[6], uint64_t number)
{
	address[0] = 2;
	for (unsigned i = 1; i < 6; i++)
		address[i] = (uint8_t)(number >> (8 * (5 - i)));
}

static mac_key key_of(uint64_t number, unsigned vlan)
{
	uint8_t address[6];

	address_of(address, number);
	return mac_key_of(address, vlan);
}

static struct port *port_of(const struct mac_table *table, uint64_t number, unsigned vlan)
{
	const struct mac_entry *entry;
	uint8_t address[6];

	address_of(address, number);
	entry = mac_table_find(table, address, vlan);
	return entry ? entry->port : NULL;
}

static void test_fixed_holds_in_every_vlan(void **state)
{
	struct mac_table table;
	uint8_t address[6];

	address_of(address, 7);
	assert_int_equal(mac_table_init(&table), 0);
	assert_int_equal(mac_table_fix(&table, address, PORT(0)), 0);
	assert_int_equal(mac_table_fix(&table, address, PORT(0)), 0);
	assert_int_equal(mac_table_fix(&table, address, PORT(1)), -EEXIST);
	assert_int_equal(table.live, 1);
	for (unsigned vlan = 0; vlan < MAC_ANY_VLAN; vlan += 7)
		assert_ptr_equal(port_of(&table, 7, vlan), PORT(0));
	mac_table_age(&table, UINT64_MAX - 1, gone);
	assert_ptr_equal(port_of(&table, 7, 0), PORT(0));
	mac_table_forget_learned(&table, PORT(0));
	assert_ptr_equal(port_of(&table, 7, 0), PORT(0));
	mac_table_forget(&table, PORT(0));
	assert_null(port_of(&table, 7, 0));
	assert_int_equal(mac_table_fix(&table, address, PORT(1)), 0);
	mac_table_finish(&table);
}

static void test_learned_ages_and_moves(void **state)
{
	struct mac_table table;

	gone_count = 0;
	assert_int_equal(mac_table_init(&table), 0);
	assert_true(mac_table_learn(&table, key_of(1, 5), PORT(0), 100));
	assert_true(mac_table_learn(&table, key_of(2, 5), PORT(0), 200));
	assert_ptr_equal(port_of(&table, 1, 5), PORT(0));
	assert_null(port_of(&table, 1, 6));
	assert_true(mac_table_learn(&table, key_of(1, 5), PORT(1), 300));
	assert_ptr_equal(port_of(&table, 1, 5), PORT(1));
	assert_int_equal(table.live, 2);
	mac_table_age(&table, 201, gone);
	assert_int_equal(gone_count, 1);
	assert_null(port_of(&table, 2, 5));
	assert_ptr_equal(port_of(&table, 1, 5), PORT(1));
	mac_table_finish(&table);
}

static void test_no_address_is_no_key(void **state)
{
	static const uint8_t none[6];
	struct mac_table table;

	assert_int_equal(mac_table_init(&table), 0);
	assert_null(mac_table_find(&table, none, 0));
	mac_table_finish(&table);
}

static void test_full(void **state)
{
	const uint64_t learned = MAC_TABLE_ENTRIES - MAC_TABLE_FIXED;
	struct mac_table table;
	uint8_t address[6];

	assert_int_equal(mac_table_init(&table), 0);
	for (uint64_t i = 0; i < learned; i++)
		assert_true(mac_table_learn(&table, key_of(i, 1), PORT(0), i));
	assert_false(mac_table_learn(&table, key_of(learned, 1), PORT(1), 0));
	/* One that is known already needs no room. */
	assert_true(mac_table_learn(&table, key_of(0, 1), PORT(0), 1));
	for (uint64_t i = learned; i < MAC_TABLE_ENTRIES; i++) {
		address_of(address, i);
		assert_int_equal(mac_table_fix(&table, address, PORT(1)), 0);
	}
	address_of(address, MAC_TABLE_ENTRIES);
	assert_int_equal(mac_table_fix(&table, address, PORT(1)), -ENOSPC);
	for (uint64_t i = 0; i < MAC_TABLE_ENTRIES; i++)
		assert_ptr_equal(port_of(&table, i, 1), PORT(i >= learned));
	mac_table_finish(&table);
}

/* A naive table beside it: far more keys come and go than there are buckets. */
static void test_against_an_array(void **state)
{
	static struct port *naive[512];
	uint64_t seed = test_seed("mac_table");
	struct mac_table table;
	unsigned live = 0;

	memset(naive, 0, sizeof(naive));
	assert_int_equal(mac_table_init(&table), 0);
	for (unsigned turn = 0; turn < 40000; turn++) {
		uint64_t number = test_below(&seed, 512), epoch = turn / 1000;
		struct port *port = PORT(test_below(&seed, 3));

		/* Each thousand turns the same 512 numbers stand for other addresses. */
		if (turn % 1000 == 0) {
			mac_table_age(&table, UINT64_MAX - 1, gone);
			memset(naive, 0, sizeof(naive));
			live = 0;
			assert_int_equal(table.live, 0);
		}
		if (test_below(&seed, 200) == 0) {
			mac_table_forget(&table, port);
			for (unsigned i = 0; i < 512; i++) {
				live -= naive[i] == port;
				naive[i] = naive[i] == port ? NULL : naive[i];
			}
		} else {
			assert_true(mac_table_learn(&table, key_of(epoch * 512 + number, 3), port, turn));
			live += naive[number] == NULL;
			naive[number] = port;
		}
		number = test_below(&seed, 512);
		assert_ptr_equal(port_of(&table, epoch * 512 + number, 3), naive[number]);
		assert_int_equal(table.live, live);
	}
	mac_table_finish(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fixed_holds_in_every_vlan),
		cmocka_unit_test(test_learned_ages_and_moves),
		cmocka_unit_test(test_no_address_is_no_key),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_against_an_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
