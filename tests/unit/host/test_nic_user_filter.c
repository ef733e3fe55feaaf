/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "host/nic_user_filter.h"

#define PASS	 USER_FRAME_PASS
#define OPENS	 (USER_FRAME_PASS | USER_FRAME_OPENS)
#define FRAGMENT (USER_FRAME_PASS | USER_FRAME_OPENS | USER_FRAME_FRAGMENT)

#define TCP 6
#define UDP 17

/* A copy of exactly that size, so that a sanitizer sees each byte read too much. */
static unsigned verdict(const uint8_t *frame, size_t bytes)
{
	uint8_t *copy = malloc(bytes > 0 ? bytes : 1);
	unsigned result;

	assert_non_null(copy);
	memcpy(copy, frame, bytes);
	result = nic_user_frame_verdict(copy, bytes);
	free(copy);
	return result;
}

/* 54 bytes: Ethernet, IPv4, and a TCP header with these flags. */
static void fill_ipv4(uint8_t *frame, const char *to, uint8_t protocol, uint8_t tcp_flags)
{
	memset(frame, 0, 54);
	frame[12] = 0x08;
	frame[14] = 0x45;
	frame[23] = protocol;
	assert_int_equal(inet_pton(AF_INET, to, frame + 30), 1);
	frame[34 + 13] = tcp_flags;
}

/* 74 bytes, likewise. */
static void fill_ipv6(uint8_t *frame, const char *to, uint8_t protocol, uint8_t tcp_flags)
{
	memset(frame, 0, 74);
	frame[12] = 0x86;
	frame[13] = 0xdd;
	frame[14] = 0x60;
	frame[20] = protocol;
	assert_int_equal(inet_pton(AF_INET6, to, frame + 38), 1);
	frame[54 + 13] = tcp_flags;
}

static void test_types(void **state)
{
	static const struct {
		uint16_t type;
		unsigned wanted;
	} types[] = {
		{ 0x0806, PASS }, { 0x8100, 0 }, { 0x88a8, 0 }, { 0x88f8, 0 },
		{ 0x88cc, 0 },	  { 46, 0 },	 { 0, 0 },
	};
	uint8_t frame[54];

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		fill_ipv4(frame, "10.0.2.2", UDP, 0);
		frame[12] = (uint8_t)(types[i].type >> 8);
		frame[13] = (uint8_t)types[i].type;
		assert_int_equal(verdict(frame, sizeof(frame)), types[i].wanted);
	}
}

static void test_ipv4_destinations(void **state)
{
	static const char *const passed[] = {
		"10.0.2.2",  "10.0.2.3",   "1.0.0.0",	      "126.255.255.255",
		"128.0.0.0", "192.0.2.55", "223.255.255.255", "255.255.255.255"
	};
	static const char *const refused[] = { "0.0.0.0",	  "0.255.255.255", "127.0.0.1",
					       "127.255.255.255", "224.0.0.1",	   "239.255.255.250" };
	uint8_t frame[54];

	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++) {
		fill_ipv4(frame, passed[i], UDP, 0);
		assert_int_equal(verdict(frame, sizeof(frame)), OPENS);
	}
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		fill_ipv4(frame, refused[i], UDP, 0);
		assert_int_equal(verdict(frame, sizeof(frame)), 0);
	}
}

static void test_ipv6_destinations(void **state)
{
	static const char *const passed[] = { "fd00::2", "2001:db8::1", "fe80::2", "64:ff9b::1.2.3.4",
					      "ff02::1:2" };
	static const char *const refused[] = {
		"::",	   "::1",      "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:0:7f00:1",
		"ff02::1", "ff02::fb", "ff05::1"
	};
	uint8_t frame[74];

	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++) {
		fill_ipv6(frame, passed[i], UDP, 0);
		assert_int_equal(verdict(frame, sizeof(frame)), OPENS);
	}
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		fill_ipv6(frame, refused[i], UDP, 0);
		assert_int_equal(verdict(frame, sizeof(frame)), 0);
	}
	/* Neighbour discovery is multicast. */
	fill_ipv6(frame, "ff02::2", 58, 0);
	assert_int_equal(verdict(frame, sizeof(frame)), OPENS);
	fill_ipv6(frame, "::1", 58, 0);
	assert_int_equal(verdict(frame, sizeof(frame)), 0);
}

static void test_what_opens_a_socket(void **state)
{
	static const struct {
		uint8_t flags;
		unsigned wanted;
	} segments[] = { { 0x02, OPENS }, { 0x12, PASS },  { 0x10, PASS },
			 { 0x04, PASS },  { 0x03, OPENS }, { 0, PASS } };
	uint8_t frame[74];

	for (size_t i = 0; i < sizeof(segments) / sizeof(segments[0]); i++) {
		fill_ipv4(frame, "192.0.2.1", TCP, segments[i].flags);
		assert_int_equal(verdict(frame, 54), segments[i].wanted);
		/* Without its flags it may be anything. */
		assert_int_equal(verdict(frame, 53), OPENS);
		fill_ipv6(frame, "2001:db8::1", TCP, segments[i].flags);
		assert_int_equal(verdict(frame, 74), segments[i].wanted);
		assert_int_equal(verdict(frame, 73), OPENS);
	}
	fill_ipv4(frame, "192.0.2.1", 1, 0);
	assert_int_equal(verdict(frame, 54), OPENS);
}

static void test_options_and_fragments(void **state)
{
	static const struct {
		uint8_t bytes[2];
		unsigned wanted;
	} offsets[] = { { { 0x40, 0 }, PASS },
			{ { 0x20, 0 }, FRAGMENT },
			{ { 0, 1 }, FRAGMENT },
			{ { 0x1f, 0xff }, FRAGMENT },
			{ { 0x80, 0 }, FRAGMENT } };
	uint8_t frame[54];

	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
		fill_ipv4(frame, "192.0.2.1", TCP, 0x10);
		memcpy(frame + 20, offsets[i].bytes, 2);
		assert_int_equal(verdict(frame, sizeof(frame)), offsets[i].wanted);
	}
	/* Behind options, the flags are elsewhere. */
	fill_ipv4(frame, "192.0.2.1", TCP, 0x10);
	frame[14] = 0x46;
	assert_int_equal(verdict(frame, sizeof(frame)), OPENS);
	/* The header ends behind the frame, or before itself. */
	frame[14] = 0x4f;
	assert_int_equal(verdict(frame, sizeof(frame)), 0);
	frame[14] = 0x44;
	assert_int_equal(verdict(frame, sizeof(frame)), 0);
	frame[14] = 0x65;
	assert_int_equal(verdict(frame, sizeof(frame)), 0);
}

static void test_every_length(void **state)
{
	uint8_t frame[74];

	for (size_t bytes = 0; bytes <= 54; bytes++) {
		fill_ipv4(frame, "192.0.2.1", TCP, 0x10);
		assert_int_equal(verdict(frame, bytes), bytes < 34 ? 0 : bytes < 54 ? OPENS : PASS);
	}
	for (size_t bytes = 0; bytes <= 74; bytes++) {
		fill_ipv6(frame, "2001:db8::1", TCP, 0x10);
		assert_int_equal(verdict(frame, bytes), bytes < 54 ? 0 : bytes < 74 ? OPENS : PASS);
	}
}

static void test_pings_of_ipv6(void **state)
{
	static const struct {
		const char *to;
		bool abroad;
	} pings[] = {
		{ "fd00::2", false },  { "fd00::3", false },  { "fe80::2", false },
		{ "fe80::3", false },  { "fd00::1", true },   { "fd00::4", true },
		{ "fd00::1:2", true }, { "fd01::2", true },   { "2001:db8::2", true },
		{ "ff02::1", true },   { "fe80:1::2", true }, { "fd00::100:0:0:2", true },
	};
	struct in6_addr network6;
	uint8_t frame[74];

	assert_int_equal(inet_pton(AF_INET6, "fd00::", &network6), 1);
	for (size_t i = 0; i < sizeof(pings) / sizeof(pings[0]); i++) {
		fill_ipv6(frame, pings[i].to, IPPROTO_ICMPV6, 0);
		frame[54] = 128;
		assert_int_equal(nic_user_is_ping6_abroad(frame, 74, &network6), pings[i].abroad);
		assert_int_equal(nic_user_is_ping6_abroad(frame, 55, &network6), pings[i].abroad);
		assert_false(nic_user_is_ping6_abroad(frame, 54, &network6));
		frame[54] = 135;
		assert_false(nic_user_is_ping6_abroad(frame, 74, &network6));
		frame[54] = 128;
		frame[20] = UDP;
		assert_false(nic_user_is_ping6_abroad(frame, 74, &network6));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_ipv4_destinations),
		cmocka_unit_test(test_ipv6_destinations),
		cmocka_unit_test(test_what_opens_a_socket),
		cmocka_unit_test(test_options_and_fragments),
		cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_pings_of_ipv6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
