/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The IP source guard: which packets a port with allowed addresses may send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "arbiter/switch/vswitch_private.h"

/* 192.0.2.7, 10.0.0.0/8, 2001:db8::/64 */
static const struct port_settings settings = {
	.allowed_count = 3,
	.allowed = {
		{ { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7 }, 128 },
		{ { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 0 }, 104 },
		{ { 0x20, 0x01, 0x0d, 0xb8 }, 64 },
	},
};

static uint8_t bytes[200];
static size_t count;

static void put(const void *what, size_t length)
{
	memcpy(bytes + count, what, length);
	count += length;
}

static void ethernet(unsigned type)
{
	static const uint8_t addresses[12] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 7 };
	const uint8_t field[2] = { (uint8_t)(type >> 8), (uint8_t)type };

	memset(bytes, 0, sizeof(bytes));
	count = 0;
	put(addresses, 12);
	put(field, 2);
}

static bool refused(void)
{
	struct iovec iov = { bytes, sizeof(bytes) };
	struct frame frame = { .iov = &iov, .iov_count = 1, .bytes = sizeof(bytes) };
	struct packet packet;

	assert_int_equal(packet_parse(&frame, &packet), PACKET_FINE);
	return guard_refuses(&settings, &packet);
}

static bool ipv4_refused(const char *source, unsigned protocol)
{
	const uint8_t header[12] = { 0x45, 0, 0, 40, 0, 0, 0, 0, 64, (uint8_t)protocol };

	ethernet(PACKET_IPV4);
	put(header, 12);
	put(source, 4);
	return refused();
}

static void test_ipv4(void **state)
{
	assert_false(ipv4_refused("\xc0\x00\x02\x07", 6));
	assert_true(ipv4_refused("\xc0\x00\x02\x08", 6));
	assert_false(ipv4_refused("\x0a\xff\xff\xff", 17));
	assert_true(ipv4_refused("\x0b\x00\x00\x00", 17));
	/* DHCP before there is an address. */
	assert_false(ipv4_refused("\0\0\0\0", 17));
	assert_true(ipv4_refused("\xff\xff\xff\xff", 17));
	/* A header that contradicts itself. */
	ipv4_refused("\xc0\x00\x02\x07", 6);
	bytes[14] = 0x41;
	assert_true(refused());
}

static bool arp_refused(const char *sender, const char *address)
{
	ethernet(PACKET_ARP);
	put("\0\1\x08\0\6\4\0\1", 8);
	put(sender, 6);
	put(address, 4);
	return refused();
}

static void test_arp(void **state)
{
	assert_false(arp_refused("\2\0\0\0\0\7", "\xc0\0\2\7"));
	assert_true(arp_refused("\2\0\0\0\0\7", "\xc0\0\2\1"));
	assert_true(arp_refused("\2\0\0\0\0\1", "\xc0\0\2\7"));
	assert_false(arp_refused("\2\0\0\0\0\7", "\0\0\0\0"));
	/* Of something that is not IPv4 over Ethernet. */
	arp_refused("\2\0\0\0\0\7", "\xc0\0\2\7");
	bytes[15] = 6;
	assert_true(refused());
}

static const uint8_t own[16] = { 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5 },
		     others[16] = { 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 1 },
		     link_local[16] = { 0xfe, 0x80, [15] = 9 };

static void ipv6(const uint8_t *source, unsigned next)
{
	const uint8_t header[8] = { 0x60, 0, 0, 0, 0, 100, (uint8_t)next, 255 };

	ethernet(PACKET_IPV6);
	put(header, 8);
	put(source, 16);
	put(others, 16);
}

static void test_ipv6(void **state)
{
	static const uint8_t none[16];

	ipv6(own, 6);
	assert_false(refused());
	ipv6(others, 6);
	assert_true(refused());
	ipv6(link_local, 17);
	assert_false(refused());
	ipv6(none, PACKET_ICMPV6);
	assert_false(refused());
	bytes[14] = 0x50;
	assert_true(refused());
}

static void advertisement(const uint8_t *target)
{
	put("\x88\0\0\0\0\0\0\0", 8);
	put(target, 16);
}

static void test_advertisements(void **state)
{
	ipv6(own, PACKET_ICMPV6);
	advertisement(own);
	assert_false(refused());
	ipv6(own, PACKET_ICMPV6);
	advertisement(others);
	assert_true(refused());
	ipv6(link_local, PACKET_ICMPV6);
	advertisement(link_local);
	assert_false(refused());
	/* Behind destination options. */
	ipv6(own, 60);
	put("\x3a\0\1\4\0\0\0\0", 8);
	advertisement(others);
	assert_true(refused());
}

static void test_hidden_advertisements(void **state)
{
	/* In a first fragment, whole or not. */
	ipv6(own, 44);
	put("\x3a\0\0\1\0\0\0\1", 8);
	advertisement(others);
	assert_true(refused());
	/* Behind more options than are looked through. */
	ipv6(own, 60);
	for (unsigned i = 0; i < PACKET_EXTENSIONS_MAX + 1; i++)
		put("\x3c\0\1\4\0\0\0\0", 8);
	put("\x3a\0\1\4\0\0\0\0", 8);
	advertisement(others);
	assert_true(refused());
	/* Behind an option that ends beyond the packet. */
	ipv6(own, 60);
	put("\x3a\xff\1\4\0\0\0\0", 8);
	assert_true(refused());
	/* A later fragment says nothing of what it is, and is nothing by itself. */
	ipv6(own, 44);
	put("\x3a\0\1\0\0\0\0\1", 8);
	assert_false(refused());
}

static void test_other_protocols(void **state)
{
	ethernet(0x88b5);
	assert_true(refused());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ipv4),
		cmocka_unit_test(test_arp),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_advertisements),
		cmocka_unit_test(test_hidden_advertisements),
		cmocka_unit_test(test_other_protocols),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
