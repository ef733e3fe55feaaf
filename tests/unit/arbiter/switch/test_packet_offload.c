/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Offload headers that fit their frame, and those that are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "packet_help.h"

static const uint8_t payload[4096];

static const struct frame_recipe tcp4 = { .protocol = PACKET_TCP, .payload = payload, .payload_bytes = 100 };
static const struct frame_recipe udp4 = { .protocol = PACKET_UDP, .payload = payload, .payload_bytes = 100 };
static const struct frame_recipe tcp6 = {
	.ipv6 = true,
	.protocol = PACKET_TCP,
	.payload = payload,
	.payload_bytes = 100,
};

static enum packet_fault checksum_at(const struct frame_recipe *recipe, unsigned start, unsigned offset)
{
	struct frame_offload offload = { .flags = FRAME_CSUM_NEEDED,
					 .csum_start = (uint16_t)start,
					 .csum_offset = (uint16_t)offset };
	struct packet packet;

	return parse_recipe(recipe, &offload, &packet);
}

/* What was looked at is not changed by a checksum: neither an address nor a port. */
static void test_checksum_places(void **state)
{
	struct frame_recipe long_one = tcp4, tunnel = tcp4, icmp = tcp6;

	for (unsigned start = 0; start < 134; start++) {
		for (unsigned offset = 0; offset < 40; offset++) {
			bool own = start == 34 && offset == 16;
			bool behind = start >= 54 && start + offset + 2 <= 154;

			assert_int_equal(checksum_at(&tcp4, start, offset),
					 own || behind ? PACKET_FINE : PACKET_BAD_OFFLOAD);
		}
	}
	assert_int_equal(checksum_at(&udp4, 34, 6), PACKET_FINE);
	assert_int_equal(checksum_at(&udp4, 34, 16), PACKET_BAD_OFFLOAD);
	assert_int_equal(checksum_at(&tcp4, 34, 65535), PACKET_BAD_OFFLOAD);
	assert_int_equal(checksum_at(&tcp4, 65535, 65535), PACKET_BAD_OFFLOAD);
	long_one.payload_bytes = 1000;
	assert_int_equal(checksum_at(&long_one, 200, 54), PACKET_FINE);
	assert_int_equal(checksum_at(&long_one, 200, 55), PACKET_BAD_OFFLOAD);
	assert_int_equal(checksum_at(&long_one, 255, 0), PACKET_BAD_OFFLOAD);
	/* GRE: no header of ours behind IP */
	tunnel.protocol = 47;
	assert_int_equal(checksum_at(&tunnel, 34, 4), PACKET_FINE);
	assert_int_equal(checksum_at(&tunnel, 33, 4), PACKET_BAD_OFFLOAD);
	/* Not the first fragment */
	tunnel.ipv4_fragment = 1;
	assert_int_equal(checksum_at(&tunnel, 34, 4), PACKET_BAD_OFFLOAD);
	icmp.protocol = PACKET_ICMPV6;
	assert_int_equal(checksum_at(&icmp, 54, 2), PACKET_FINE);
	assert_int_equal(checksum_at(&icmp, 54, 8), PACKET_BAD_OFFLOAD);
	assert_int_equal(checksum_at(&icmp, 62, 2), PACKET_BAD_OFFLOAD);
}

static void test_checksum_without_headers(void **state)
{
	static const struct {
		uint8_t type[2];
		enum packet_fault fault;
	} types[] = {
		{ { 0x08, 0x06 }, PACKET_BAD_OFFLOAD },
		{ { 0x08, 0x00 }, PACKET_BAD_OFFLOAD },
		{ { 0x86, 0xdd }, PACKET_BAD_OFFLOAD },
		{ { 0x88, 0xb5 }, PACKET_FINE },
	};
	struct frame_offload offload = { .flags = FRAME_CSUM_NEEDED, .csum_start = 14, .csum_offset = 6 };
	uint8_t bytes[64] = { 0 };
	struct packet packet;

	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		memcpy(bytes + 12, types[i].type, 2);
		assert_int_equal(parse_with(bytes, sizeof(bytes), &offload, &packet), types[i].fault);
	}
	/* Not inside a tag, which may be taken off. */
	memcpy(bytes + 12, (uint8_t[]){ 0x81, 0, 0, 5, 0x88, 0xb5 }, 6);
	assert_int_equal(parse_with(bytes, sizeof(bytes), &offload, &packet), PACKET_BAD_OFFLOAD);
	offload.csum_start = 18;
	assert_int_equal(parse_with(bytes, sizeof(bytes), &offload, &packet), PACKET_FINE);
}

static enum packet_fault gso(const struct frame_recipe *recipe, uint8_t type, uint16_t bytes)
{
	struct frame_offload offload = frame_recipe_offload(recipe, 1, false);
	struct packet packet;

	offload.gso_type = type;
	offload.gso_bytes = bytes;
	return parse_recipe(recipe, &offload, &packet);
}

static void test_gso_types(void **state)
{
	for (unsigned type = 1; type <= 255; type++) {
		bool four = type == FRAME_GSO_TCP4 || type == (FRAME_GSO_TCP4 | FRAME_GSO_ECN);
		bool six = type == FRAME_GSO_TCP6 || type == (FRAME_GSO_TCP6 | FRAME_GSO_ECN);
		bool udp = type == FRAME_GSO_UDP;

		assert_int_equal(gso(&tcp4, (uint8_t)type, 10), four ? PACKET_FINE : PACKET_BAD_OFFLOAD);
		assert_int_equal(gso(&tcp6, (uint8_t)type, 10), six ? PACKET_FINE : PACKET_BAD_OFFLOAD);
		assert_int_equal(gso(&udp4, (uint8_t)type, 10), udp ? PACKET_FINE : PACKET_BAD_OFFLOAD);
	}
	assert_int_equal(gso(&tcp4, FRAME_GSO_TCP4, 0), PACKET_BAD_OFFLOAD);
	assert_int_equal(gso(&tcp4, FRAME_GSO_TCP4, 65535), PACKET_FINE);
}

static void test_gso_frames(void **state)
{
	struct frame_offload offload = frame_recipe_offload(&tcp4, 10, false);
	struct frame_recipe recipe = tcp4;
	struct packet packet;
	uint8_t bytes[512];

	/* without, and with another checksum */
	offload.flags = 0;
	assert_int_equal(parse_recipe(&tcp4, &offload, &packet), PACKET_BAD_OFFLOAD);
	offload.flags = FRAME_CSUM_NEEDED;
	offload.csum_start = 60;
	assert_int_equal(parse_recipe(&tcp4, &offload, &packet), PACKET_BAD_OFFLOAD);
	recipe.ipv4_fragment = 0x2000;
	assert_int_equal(gso(&recipe, FRAME_GSO_TCP4, 10), PACKET_BAD_OFFLOAD);
	/* one byte behind what IP says */
	offload = frame_recipe_offload(&tcp4, 10, false);
	assert_int_equal(parse_with(bytes, frame_recipe_write(&tcp4, bytes), &offload, &packet), PACKET_FINE);
	assert_int_equal(parse_with(bytes, frame_recipe_write(&tcp4, bytes) + 1, &offload, &packet),
			 PACKET_BAD_OFFLOAD);
	/* 4096 bytes are segments of 2 bytes at least */
	recipe = tcp4;
	recipe.payload_bytes = sizeof(payload);
	assert_int_equal(gso(&recipe, FRAME_GSO_TCP4, sizeof(payload) / PACKET_SEGMENTS_MAX), PACKET_FINE);
	assert_int_equal(gso(&recipe, FRAME_GSO_TCP4, 1), PACKET_BAD_OFFLOAD);
	recipe.payload_bytes = 0;
	assert_int_equal(gso(&recipe, FRAME_GSO_TCP4, 1), PACKET_FINE);
	assert_int_equal(gso(&recipe, FRAME_GSO_TCP4, 0), PACKET_BAD_OFFLOAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checksum_places),
		cmocka_unit_test(test_checksum_without_headers),
		cmocka_unit_test(test_gso_types),
		cmocka_unit_test(test_gso_frames),
	};

	return cmocka_run_group_tests_name("packet_offload", tests, NULL, NULL);
}
