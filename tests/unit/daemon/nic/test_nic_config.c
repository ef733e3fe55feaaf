/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses, lists of VLANs and of IP networks as a user writes them, and what is said of wrong ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "daemon/nic/nic_config.h"

static void test_addresses(void **state)
{
	static const char *const wrong[] = {
		"",
		"52:54:00:12:34",
		"52:54:00:12:34:56:78",
		"52-54-00-12-34-56",
		"52:54:00:12:34:5g",
		"5:54:00:12:34:56",
		"53:54:00:12:34:56",
		"00:00:00:00:00:00",
		"ff:ff:ff:ff:ff:ff",
		" 52:54:00:12:34:56",
		"52:54:00:12:34:56 ",
	};
	uint8_t address[6], other[6];

	assert_true(nic_parse_mac("52:54:0a:Bc:dE:f0", address));
	assert_memory_equal(address, "\x52\x54\x0a\xbc\xde\xf0", 6);
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(nic_parse_mac(wrong[i], address));
	/* Without one it is made of the name: always the same, locally administered, unicast. */
	nic_address("alice/eth0", NULL, address);
	nic_address("alice/eth0", NULL, other);
	assert_memory_equal(address, other, 6);
	assert_int_equal(address[0] & 3, 2);
	nic_address("alice/eth1", NULL, other);
	assert_memory_not_equal(address, other, 6);
}

static bool has_vlan(const uint64_t *vlans, unsigned vlan)
{
	return vlans[vlan / 64] >> vlan % 64 & 1;
}

static void test_vlans(void **state)
{
	static const char *const wrong[] = { "",    "0",     "4095", "10-9",  "10,",
					     ",10", "1-2-3", "a",    "10;11", "1 - x" };
	uint64_t vlans[4096 / 64];
	unsigned count = 0;

	assert_true(nic_parse_vlans("10, 20-22,4094", vlans));
	for (unsigned i = 0; i < 4096; i++)
		count += has_vlan(vlans, i);
	assert_int_equal(count, 5);
	assert_true(has_vlan(vlans, 10) && has_vlan(vlans, 20) && has_vlan(vlans, 22) &&
		    has_vlan(vlans, 4094));
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(nic_parse_vlans(wrong[i], vlans));
}

static void test_networks(void **state)
{
	static const char *const wrong[] = { "",	  "10.0.0", "10.0.0.1/33",	 "2001:db8::/129",
					     "10.0.0.1/", "x",	    "10.0.0.1,,10.0.0.2" };
	struct ip_prefix prefixes[PORT_ALLOWED_MAX];
	unsigned count;

	assert_true(nic_parse_ips("192.0.2.7, 10.0.0.0/8,2001:db8::/64,::1", prefixes, &count));
	assert_int_equal(count, 4);
	assert_int_equal(prefixes[0].bits, 128);
	assert_memory_equal(prefixes[0].address, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x07", 16);
	assert_int_equal(prefixes[1].bits, 96 + 8);
	assert_int_equal(prefixes[2].bits, 64);
	assert_int_equal(prefixes[3].bits, 128);
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(nic_parse_ips(wrong[i], prefixes, &count));
	assert_false(nic_parse_ips("::1,::2,::3,::4,::5,::6,::7,::8,::9,::a,::b,::c,::d,::e,::f,::10,::11",
				   prefixes, &count));
}

/* ---- sections ---- */

#define HEAD "[switch lan]\n[guest alice]\n"

/* The only message about a configuration; "" when there is none. */
static const char *complaint(const char *text)
{
	static char said[CONFIG_MESSAGE_MAX];
	struct config_messages messages = { .count = 0 };
	struct config *config = config_create();

	assert_non_null(config);
	config_parse(config, "x", text, strlen(text), &messages);
	config_check(config, &messages);
	assert_true(messages.count <= 1);
	snprintf(said, sizeof(said), "%s", messages.count ? messages.text[0] : "");
	config_messages_finish(&messages);
	config_destroy(config);
	return said;
}

static void test_sections(void **state)
{
	assert_string_equal(complaint(HEAD "[nic alice/eth0]\nswitch = lan\nvlan = 5\ntrunk = 1-9\n"), "");
	assert_non_null(strstr(complaint(HEAD "[nic alice/eth0]\n"), "x:3: [nic alice/eth0] has no switch"));
	assert_non_null(strstr(complaint(HEAD "[nic alice/eth0]\nswitch = wan\n"),
			       "x:4: switch = wan is not declared"));
	assert_non_null(strstr(complaint(HEAD "[nic alice/eth0]\nswitch = lan\nmac = 1\n"),
			       "x:5: mac = 1 is no unicast"));
	assert_non_null(strstr(complaint(HEAD "[nic alice/eth0]\nswitch = lan\ntrunk = 0\n"),
			       "x:5: trunk = 0 is no list"));
	assert_non_null(strstr(complaint(HEAD "[nic alice/eth0]\nswitch = lan\nallowed_ips = 1\n"),
			       "x:5: allowed_ips = 1 is no list"));
	assert_non_null(strstr(complaint(HEAD "[nic alice/a]\nswitch = lan\nmac = 52:54:00:00:00:01\n"
					      "[nic alice/b]\nswitch = lan\nmac = 52:54:00:00:00:01\n"),
			       "x:8: [nic alice/b] has the address of x:3"));
	assert_non_null(strstr(complaint(HEAD "[nic alice/a]\nswitch = lan\nmirror = /a\n"
					      "[nic alice/b]\nswitch = lan\nmirror = /a\n"),
			       "x:8: mirror = /a is also the mirror of x:3; give [nic alice/b] another"));
}

static void test_models(void **state)
{
	static const char *const good[] = { "virtio\nmtu = 65535", "e1000e", "e1000e\nmtu = 9216",
					    "e1000e\nqueues = 4\npacked = no\ntso = no" };
	char text[256];

	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		snprintf(text, sizeof(text), HEAD "[nic alice/eth0]\nswitch = lan\nmodel = %s\n", good[i]);
		assert_string_equal(complaint(text), "");
	}
	assert_non_null(
		strstr(complaint(HEAD "[nic alice/eth0]\nswitch = lan\nmodel = e1000\n"), "x:5: model"));
	assert_non_null(
		strstr(complaint(HEAD "[nic alice/eth0]\nswitch = lan\nmodel = e1000e\nmtu = 9217\n"),
		       "x:6: mtu of [nic alice/eth0] is more than model = e1000e has; 9216 is the most"));
	assert_non_null(
		strstr(complaint(HEAD "[nic alice/eth0]\nswitch = lan\nmodel = e1000e\nconnect = /a\n"),
		       "x:6: connect does not go with model = e1000e"));
}

static void test_settings(void **state)
{
	char trunk[] = "8", allowed_ips[] = "10.0.0.1";
	struct config_nic nic = { .vlan = 7,
				  .trunk = trunk,
				  .link = true,
				  .isolated = true,
				  .flood_limit = 5,
				  .allowed_ips = allowed_ips };
	struct port_settings settings = nic_port_settings(&nic);

	assert_int_equal(settings.vlan, 7);
	assert_true(settings.trunk && has_vlan(settings.trunk_vlans, 8));
	assert_true(settings.link && settings.isolated && !settings.learn && !settings.promiscuous);
	assert_int_equal(settings.flood_limit, 5);
	assert_int_equal(settings.allowed_count, 1);
	settings = nic_port_settings(NULL);
	assert_true(settings.link && settings.flood_limit == PORT_FLOOD_LIMIT_DEFAULT && !settings.trunk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses), cmocka_unit_test(test_vlans),
		cmocka_unit_test(test_networks),  cmocka_unit_test(test_sections),
		cmocka_unit_test(test_models),	  cmocka_unit_test(test_settings),
	};

	return cmocka_run_group_tests_name("nic_config", tests, NULL, NULL);
}
