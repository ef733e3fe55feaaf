/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Uplinks and forwards as a user writes them, and what is said of wrong ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <string.h>

#include "daemon/nic/switch_config.h"

/* ---- texts ---- */

static void test_uplinks(void **state)
{
	static const char *const wrong[] = { "",
					     "tap",
					     "tap:",
					     "tap:a/b",
					     "packet:-x",
					     "packet: x",
					     "nat",
					     "packet:sixteen-letters-",
					     "tap:0123456789abcdef",
					     "user " };
	struct uplink_name uplink;

	assert_true(nic_parse_uplink("none", &uplink));
	assert_int_equal(uplink.kind, UPLINK_NONE);
	assert_true(nic_parse_uplink("user", &uplink));
	assert_int_equal(uplink.kind, UPLINK_USER);
	assert_true(nic_parse_uplink("tap:vm-0", &uplink));
	assert_int_equal(uplink.kind, UPLINK_TAP);
	assert_string_equal(uplink.interface, "vm-0");
	assert_true(nic_parse_uplink("packet:eth0.10", &uplink));
	assert_int_equal(uplink.kind, UPLINK_PACKET);
	assert_string_equal(uplink.interface, "eth0.10");
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(nic_parse_uplink(wrong[i], &uplink));
}

static void test_networks(void **state)
{
	static const char *const wrong[] = {
		"",	      "10.0.2.0",    "10.0.2.1/24", "10.0.2.0/28", "10.0.0.0/7",
		"10.0.2.0/x", "10.0.2/24",   "::/64",	    "10.0.2.0/33", "10.0.2.0/24 ",
		"0.0.0.0/8",  "127.0.0.0/8", "224.0.0.0/8"
	};
	static const char *const wrong6[] = { "",	   "fd00::", "fd00::1/64", "fd00::/63", "10.0.2.0/64",
					      "ff02::/64", "::/64",  "fd00::/640", "fe80::/64", "0:1::/64" };
	struct in6_addr network6;
	struct in_addr network;
	unsigned bits;

	assert_true(nic_parse_network("10.64.0.0/10", &network, &bits));
	assert_int_equal(ntohl(network.s_addr), 0x0a400000);
	assert_int_equal(bits, 10);
	assert_true(nic_parse_network6("fd00:1::/64", &network6));
	assert_int_equal(network6.s6_addr[3], 1);
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(nic_parse_network(wrong[i], &network, &bits));
	for (unsigned i = 0; i < sizeof(wrong6) / sizeof(wrong6[0]); i++)
		assert_false(nic_parse_network6(wrong6[i], &network6));
}

/* A text, and the same as it is told. */
static const char *const forwards[][2] = {
	{ "tcp:127.0.0.1:2222-10.0.2.15:22", "tcp:127.0.0.1:2222-10.0.2.15:22" },
	{ "tcp::2222-10.0.2.15:22", "tcp:127.0.0.1:2222-10.0.2.15:22" },
	{ "udp:0.0.0.0:53-10.0.2.15:65535", "udp:0.0.0.0:53-10.0.2.15:65535" },
	{ "tcp:[::1]:80-[fd00::15]:8080", "tcp:[::1]:80-[fd00::15]:8080" },
	{ "tcp::80-[fd00:0:0::15]:8080", "tcp:[::1]:80-[fd00::15]:8080" },
	{ "tcp:[::ffff:255.255.255.255]:65535-[fd00:aaaa:bbbb:cccc:dddd:eeee:ffff:1111]:65535",
	  "tcp:[::ffff:255.255.255.255]:65535-[fd00:aaaa:bbbb:cccc:dddd:eeee:ffff:1111]:65535" },
};

static void test_forwards(void **state)
{
	static const char *const wrong[] = {
		"",
		"tcp",
		"tcp:",
		"tcp:22",
		"tcp:22-22",
		"tcp::22-:22",
		"tcp::22-10.0.2.15",
		"tcp::0-10.0.2.15:22",
		"tcp::22-10.0.2.15:0",
		"tcp::65536-10.0.2.15:22",
		"tcp::22-10.0.2.15:22-",
		"tcp:[::1]:22-10.0.2.15:22",
		"tcp:127.0.0.1:22-[fd00::15]:22",
		"tcp:::1:22-[fd00::15]:22",
		"tcp:[::1:22-[fd00::15]:22",
		"tcp:[127.0.0.1]:22-10.0.2.15:22",
		"tcp:[]:22-[fd00::15]:22",
		"icmp::22-10.0.2.15:22",
		"tcp:host:22-10.0.2.15:22",
		"tcp: :22-10.0.2.15:22",
	};
	struct nic_user_forward forward;
	char text[FORWARD_TEXT_MAX];

	for (unsigned i = 0; i < sizeof(forwards) / sizeof(forwards[0]); i++) {
		assert_true(nic_parse_forward(forwards[i][0], &forward));
		assert_string_equal(nic_format_forward(&forward, text), forwards[i][1]);
		assert_int_equal(forward.udp, forwards[i][0][0] == 'u');
	}
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(nic_parse_forward(wrong[i], &forward));
}

static void count_one(void *context, const struct nic_user_forward *forward)
{
	assert_int_equal(ntohs(forward->host.ipv4.sin_port), 1 + (*(unsigned *)context)++);
}

static void test_lists(void **state)
{
	unsigned count = 0;

	assert_true(nic_parse_forwards("tcp::1-10.0.2.15:1, udp::2-10.0.2.15:2,tcp::3-10.0.2.15:3", count_one,
				       &count));
	assert_int_equal(count, 3);
	assert_true(nic_parse_forwards("tcp::1-10.0.2.15:1", NULL, NULL));
	assert_false(nic_parse_forwards("", NULL, NULL));
	assert_false(nic_parse_forwards("tcp::1-10.0.2.15:1,", NULL, NULL));
	assert_false(nic_parse_forwards("tcp::1-10.0.2.15:1;tcp::2-10.0.2.15:2", NULL, NULL));
}

/* ---- sections ---- */

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
	static const char *const cases[][2] = {
		{ "uplink = dsl", "x:2: uplink = dsl is no uplink" },
		{ "network = 10.0.2.0/24", "x:2: network is for uplink = user only" },
		{ "uplink = user\noffload = no", "x:3: offload is for uplink = tap:NAME only" },
		{ "uplink = tap:a\nforward = tcp::1-10.0.2.15:1", "x:3: forward is for uplink = user only" },
		{ "uplink = user\nnetwork = 10.0.2.0/30", "x:3: network = 10.0.2.0/30 is no IPv4 network" },
		{ "uplink = user\nnetwork6 = fd00::/48", "x:3: network6 = fd00::/48 is no IPv6 network" },
		{ "uplink = user\nhostname = a23456789012345678901234567890123", "is no name of 1 to 32" },
		{ "uplink = user\nforward = tcp::1", "x:3: forward = tcp::1 is no list of forwards" },
		{ "uplink = user\nforward = tcp::1-10.0.3.15:1", "leads to an address outside" },
		{ "uplink = user\nnetwork6 = none\nforward = tcp::1-[fd00::15]:1",
		  "x:4: forward = tcp:[::1]:1-[fd00::15]:1 leads to an address outside" },
		{ "uplink = vxlan\npeers = 192.0.2.1", "[switch lan] has no vni" },
		{ "uplink = vxlan\nvni = 1", "[switch lan] has no peers" },
		{ "uplink = vxlan\nvni = 1\npeers = 192.0.2.1, ::1", "peers = 192.0.2.1, ::1 is no list" },
		{ "uplink = vxlan\nvni = 1\npeers = host", "peers = host is no list" },
		{ "uplink = vxlan\nvni = 1\npeers = ::2\nlocal = 192.0.2.1", "is of another family" },
		{ "uplink = vxlan\nvni = 1\npeers = ::2\nlocal = x", "local = x is no address" },
		{ "uplink = vxlan\nvni = 1\npeers = ::2\nmtu = 65500", "out of range for uplink = vxlan" },
		{ "uplink = user\nmtu = 1000", "mtu = 1000 is out of range for uplink = user" },
		{ "uplink = user\nvni = 1", "vni is for uplink = vxlan only" },
		{ "uplink = tap:a\n[switch wan]\nuplink = tap:a",
		  "x:4: uplink = tap:a is the uplink of another switch" },
	};
	char text[512];

	assert_string_equal(
		complaint("[switch lan]\nuplink = user\nmtu = 9000\nforward = tcp::1-10.0.2.15:1\n"
			  "[switch wan]\nuplink = user\n[switch a]\nuplink = tap:a\noffload = no\n"),
		"");
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), "[switch lan]\n%s\n", cases[i][0]);
		assert_non_null(strstr(complaint(text), cases[i][1]));
	}
}

static void test_vxlan_options(void **state)
{
	char uplink[] = "vxlan", list[] = "192.0.2.1,192.0.2.2", local[] = "192.0.2.2";
	struct config_switch settings = {
		.uplink = uplink, .peers = list, .local = local, .vni = 42, .port = 4790, .mtu = 9000
	};
	union nic_vxlan_address peers[NIC_VXLAN_PEERS_MAX];
	struct nic_vxlan_options options = switch_vxlan_options(&settings, peers);

	assert_int_equal(options.vni, 42);
	assert_int_equal(options.port, 4790);
	assert_int_equal(options.mtu, 9000);
	assert_int_equal(options.peer_count, 2);
	assert_int_equal(ntohl(options.peers[1].ipv4.sin_addr.s_addr), 0xc0000202);
	assert_int_equal(options.local.ipv4.sin_addr.s_addr, options.peers[1].ipv4.sin_addr.s_addr);
	assert_int_equal(options.fd, -1);
	settings.local = NULL;
	options = switch_vxlan_options(&settings, peers);
	assert_int_equal(options.local.any.sa_family, AF_UNSPEC);
}

static void test_options(void **state)
{
	char uplink[] = "user", network[] = "10.8.0.0/16", network6[] = "none", hostname[] = "vm";
	struct config_switch settings = { .uplink = uplink,
					  .network = network,
					  .network6 = network6,
					  .hostname = hostname,
					  .mtu = 9000,
					  .sockets = 5,
					  .flood_limit = 7,
					  .restricted = true };
	struct config_switch other = settings;
	struct nic_user_options options = switch_user_options(&settings);

	assert_int_equal(ntohl(options.network.s_addr), 0x0a080000);
	assert_int_equal(options.network_bits, 16);
	assert_true(options.ipv4_only && options.restricted && !options.loopback);
	assert_int_equal(options.mtu, 9000);
	assert_int_equal(options.sockets_max, 5);
	assert_string_equal(options.hostname, "vm");
	assert_int_equal(switch_uplink_settings(&settings).flood_limit, 7);
	other.flood_limit = 8;
	assert_true(switch_same_uplink(&settings, &other));
	other.hostname = NULL;
	assert_false(switch_same_uplink(&settings, &other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uplinks),	      cmocka_unit_test(test_networks),
		cmocka_unit_test(test_forwards),      cmocka_unit_test(test_lists),
		cmocka_unit_test(test_sections),      cmocka_unit_test(test_options),
		cmocka_unit_test(test_vxlan_options),
	};

	return cmocka_run_group_tests_name("switch_config", tests, NULL, NULL);
}
