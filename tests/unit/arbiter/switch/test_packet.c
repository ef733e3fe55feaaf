/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the switch finds in a frame. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "packet_help.h"

#define IPV6_FRAGMENT_HEADER 44

static const uint8_t payload[4096];

static const struct frame_recipe tcp4 = { .protocol = PACKET_TCP, .payload = payload, .payload_bytes = 100 };
static const struct frame_recipe udp4 = { .protocol = PACKET_UDP, .payload = payload, .payload_bytes = 100 };
static const struct frame_recipe tcp6 = {
	.ipv6 = true,
	.protocol = PACKET_TCP,
	.payload = payload,
	.payload_bytes = 100,
};

/* ---- headers ---- */

static void assert_found(const struct packet *packet, const struct frame_recipe *recipe)
{
	unsigned tags = recipe->tags > 2 ? 2 : recipe->tags;

	assert_int_equal(packet->tags, tags);
	assert_int_equal(packet->tag, recipe->tags ? recipe->tag[0] : 0);
	if (recipe->tags > 2) {
		assert_int_equal(packet->type, PACKET_VLAN);
		assert_int_equal(packet->network, 0);
		return;
	}
	assert_int_equal(packet->type, recipe->ipv6 ? PACKET_IPV6 : PACKET_IPV4);
	assert_int_equal(packet->network, frame_recipe_network(recipe));
	assert_int_equal(packet->protocol, recipe->protocol);
	assert_int_equal(packet->transport, frame_recipe_transport(recipe));
	assert_int_equal(packet->payload, frame_recipe_payload(recipe));
	assert_false(packet->fragment);
}

static void test_headers(void **state)
{
	struct packet packet;

	for (unsigned tags = 0; tags <= 3; tags++) {
		for (unsigned options = 0; options <= 40; options += 4) {
			struct frame_recipe four = tcp4, six = tcp6, udp = udp4;

			four.tags = six.tags = udp.tags = tags;
			four.tag[0] = six.tag[0] = udp.tag[0] = 0xe123;
			four.ipv4_option_bytes = udp.ipv4_option_bytes = options;
			six.tcp_option_bytes = options;
			assert_int_equal(parse_recipe(&four, NULL, &packet), PACKET_FINE);
			assert_found(&packet, &four);
			assert_int_equal(parse_recipe(&udp, NULL, &packet), PACKET_FINE);
			assert_found(&packet, &udp);
			assert_int_equal(parse_recipe(&six, NULL, &packet), PACKET_FINE);
			assert_found(&packet, &six);
		}
	}
	assert_memory_equal(packet_destination(&packet), "\2\0\0\0\0\1", 6);
	assert_memory_equal(packet_source(&packet), "\2\0\0\0\0\2", 6);
}

/* Not one read beyond, and no header that is not all there, wherever the frame ends. */
static void test_every_length(void **state)
{
	struct frame_recipe recipe = tcp6;
	uint8_t bytes[512];
	uint32_t count;

	recipe.tags = 1;
	recipe.tcp_option_bytes = 12;
	recipe.extensions = 1;
	recipe.extension_type[0] = 60;
	recipe.extension_bytes[0] = 16;
	count = frame_recipe_write(&recipe, bytes);
	for (uint32_t length = 0; length < count; length++) {
		struct packet packet;
		enum packet_fault fault = parse_with(bytes, length, NULL, &packet);

		assert_int_equal(fault, length < 18 ? PACKET_SHORT : PACKET_FINE);
		if (fault != PACKET_FINE)
			continue;
		assert_int_equal(packet.head_bytes, length < 256 ? length : 256);
		/* IPv6 says that more would come. */
		assert_int_equal(packet.network, 0);
		assert_int_equal(packet.transport, 0);
	}
}

/* The same, but IPv6 says the truth about where it ends. */
static void test_every_ip_length(void **state)
{
	struct frame_recipe recipe = tcp6;
	uint8_t bytes[512];

	recipe.tcp_option_bytes = 12;
	recipe.extensions = 1;
	recipe.extension_type[0] = 60;
	recipe.extension_bytes[0] = 16;
	frame_recipe_write(&recipe, bytes);
	for (unsigned length = 0; length < 16 + 32 + 100; length++) {
		struct packet packet;

		bytes[18] = 0;
		bytes[19] = (uint8_t)length;
		/* with and without padding */
		assert_int_equal(parse_with(bytes, 54 + length + length % 2, NULL, &packet), PACKET_FINE);
		assert_int_equal(packet.network, 14);
		assert_int_equal(packet.protocol, length >= 16 ? PACKET_TCP : 0);
		assert_int_equal(packet.transport, length >= 48 ? 70 : 0);
		assert_int_equal(packet.payload, length >= 48 ? 102 : 0);
	}
}

static void test_contradictions(void **state)
{
	static const struct {
		unsigned at;
		uint8_t value;
		bool has_network;
	} lies[] = {
		{ 14, 0x55, false }, /* the version */
		{ 14, 0x44, false }, /* a header of 16 bytes */
		{ 16, 0xff, false }, /* more than there is */
		{ 17, 19, false },   /* less than its header */
		{ 17, 20, true },    /* no transport header */
		{ 17, 39, true },
		{ 46, 0x40, true }, /* TCP's header of 16 bytes, then of 60, which are not there */
		{ 46, 0xf0, true },
	};
	struct frame_recipe recipe = tcp4;
	struct packet packet;
	uint8_t bytes[512];

	recipe.payload_bytes = 10;
	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		uint32_t count = frame_recipe_write(&recipe, bytes);

		bytes[lies[i].at] = lies[i].value;
		assert_int_equal(parse_with(bytes, count, NULL, &packet), PACKET_FINE);
		assert_int_equal(packet.network, lies[i].has_network ? 14 : 0);
		assert_int_equal(packet.transport, 0);
		assert_int_equal(packet.payload, 0);
	}
}

static void test_version_of_ipv6(void **state)
{
	uint8_t bytes[512];
	uint32_t count = frame_recipe_write(&tcp6, bytes);
	struct packet packet;

	bytes[14] = 0x40;
	assert_int_equal(parse_with(bytes, count, NULL, &packet), PACKET_FINE);
	assert_int_equal(packet.type, PACKET_IPV6);
	assert_int_equal(packet.network, 0);
	assert_int_equal(packet.protocol, 0);
}

static void test_tags(void **state)
{
	uint8_t bytes[64] = { 0 };
	struct packet packet;

	bytes[12] = 0x88;
	bytes[13] = 0xa8;
	bytes[15] = 7;
	bytes[16] = 0x81;
	bytes[20] = 0x08;
	bytes[21] = 0x06;
	for (unsigned length = 14; length < 22; length++)
		assert_int_equal(parse_with(bytes, length, NULL, &packet), PACKET_SHORT);
	assert_int_equal(parse_with(bytes, 22, NULL, &packet), PACKET_FINE);
	assert_int_equal(packet.tags, 2);
	assert_int_equal(packet.tag, 7);
	assert_int_equal(packet.type, PACKET_ARP);
	assert_int_equal(packet.network, 0);
	/* 802.3 has a length there. */
	bytes[16] = 0;
	bytes[17] = 46;
	assert_int_equal(parse_with(bytes, 64, NULL, &packet), PACKET_FINE);
	assert_int_equal(packet.tags, 1);
	assert_int_equal(packet.type, 46);
	assert_int_equal(packet.network, 0);
}

static void test_arp(void **state)
{
	static const uint8_t request[] = { 0x08, 6, 0, 1, 0x08, 0, 6, 4, 0, 1 };
	uint8_t bytes[60] = { 0 };
	struct packet packet;

	memcpy(bytes + 12, request, sizeof(request));
	assert_int_equal(parse_with(bytes, 42, NULL, &packet), PACKET_FINE);
	assert_int_equal(packet.type, PACKET_ARP);
	assert_int_equal(packet.network, 14);
	assert_int_equal(packet.protocol, 0);
	assert_int_equal(parse_with(bytes, 41, NULL, &packet), PACKET_FINE);
	assert_int_equal(packet.network, 0);
	bytes[18] = 8; /* hardware addresses of 8 bytes */
	assert_int_equal(parse_with(bytes, 60, NULL, &packet), PACKET_FINE);
	assert_int_equal(packet.network, 0);
}

static void test_icmp(void **state)
{
	struct frame_recipe four = tcp4, six = tcp6;
	struct packet packet;

	four.protocol = PACKET_ICMP;
	six.protocol = PACKET_ICMPV6;
	four.payload_bytes = six.payload_bytes = 8;
	assert_int_equal(parse_recipe(&four, NULL, &packet), PACKET_FINE);
	assert_int_equal(packet.protocol, PACKET_ICMP);
	assert_int_equal(packet.transport, 34);
	assert_int_equal(packet.payload, 0);
	assert_int_equal(parse_recipe(&six, NULL, &packet), PACKET_FINE);
	assert_int_equal(packet.protocol, PACKET_ICMPV6);
	assert_int_equal(packet.transport, 54);
	six.payload_bytes = 7;
	assert_int_equal(parse_recipe(&six, NULL, &packet), PACKET_FINE);
	assert_int_equal(packet.protocol, PACKET_ICMPV6);
	assert_int_equal(packet.transport, 0);
	/* Each belongs to its own IP only. */
	four.protocol = PACKET_ICMPV6;
	assert_int_equal(parse_recipe(&four, NULL, &packet), PACKET_FINE);
	assert_int_equal(packet.protocol, PACKET_ICMPV6);
	assert_int_equal(packet.transport, 0);
}

static void test_fragments(void **state)
{
	struct frame_recipe recipe = udp4, six = tcp6;
	struct packet packet;
	uint8_t bytes[512];
	uint32_t count;

	recipe.ipv4_fragment = 0x4000; /* DF */
	assert_int_equal(parse_recipe(&recipe, NULL, &packet), PACKET_FINE);
	assert_false(packet.fragment);
	recipe.ipv4_fragment = 0x2000;
	assert_int_equal(parse_recipe(&recipe, NULL, &packet), PACKET_FINE);
	assert_true(packet.fragment);
	assert_int_equal(packet.transport, 34);
	recipe.ipv4_fragment = 0x0001;
	assert_int_equal(parse_recipe(&recipe, NULL, &packet), PACKET_FINE);
	assert_true(packet.fragment);
	assert_int_equal(packet.network, 14);
	assert_int_equal(packet.protocol, 0);
	assert_int_equal(packet.transport, 0);

	six.extensions = 1;
	six.extension_type[0] = IPV6_FRAGMENT_HEADER;
	six.extension_bytes[0] = 8;
	assert_int_equal(parse_recipe(&six, NULL, &packet), PACKET_FINE);
	assert_found(&packet, &six); /* the only one of its packet */
	/* Its reserved bits may be anything. */
	count = frame_recipe_write(&six, bytes);
	bytes[55] = 0xff;
	bytes[57] = 0x06;
	assert_int_equal(parse_with(bytes, count, NULL, &packet), PACKET_FINE);
	assert_found(&packet, &six);
	six.ipv4_fragment = 0x0001;
	assert_int_equal(parse_recipe(&six, NULL, &packet), PACKET_FINE);
	assert_true(packet.fragment);
	assert_int_equal(packet.transport, 62);
	six.ipv4_fragment = 0x0008;
	assert_int_equal(parse_recipe(&six, NULL, &packet), PACKET_FINE);
	assert_true(packet.fragment);
	assert_int_equal(packet.protocol, 0);
	assert_int_equal(packet.transport, 0);
}

static void test_extensions(void **state)
{
	static const uint8_t types[] = { 0, 60, 43, IPV6_FRAGMENT_HEADER };
	struct frame_recipe recipe = tcp6;
	struct packet packet;

	for (unsigned count = 0; count < RECIPE_EXTENSIONS_MAX; count++) {
		recipe.extensions = count;
		recipe.extension_type[count] = types[count % 4];
		recipe.extension_bytes[count] = types[count % 4] == 43 ? 24 : 8;
		assert_int_equal(parse_recipe(&recipe, NULL, &packet), PACKET_FINE);
		if (count <= PACKET_EXTENSIONS_MAX) {
			assert_found(&packet, &recipe);
			continue;
		}
		assert_int_equal(packet.network, 14);
		assert_int_equal(packet.protocol, 0);
		assert_int_equal(packet.transport, 0);
	}
	/* One that ends behind the head */
	recipe.extensions = 1;
	recipe.extension_type[0] = 60;
	for (unsigned bytes = 176; bytes <= 256; bytes += 8) {
		recipe.extension_bytes[0] = bytes;
		assert_int_equal(parse_recipe(&recipe, NULL, &packet), PACKET_FINE);
		assert_int_equal(packet.protocol, 54 + bytes <= PACKET_HEAD_BYTES ? PACKET_TCP : 0);
		assert_int_equal(packet.transport, 54 + bytes + 20 <= PACKET_HEAD_BYTES ? 54 + bytes : 0);
	}
}

static void test_sizes(void **state)
{
	static uint8_t bytes[FRAME_BYTES_MAX + 1];
	struct packet packet;

	bytes[0] = 0x33;
	assert_int_equal(parse_with(bytes, FRAME_BYTES_MAX, NULL, &packet), PACKET_FINE);
	assert_int_equal(parse_with(bytes, FRAME_BYTES_MAX + 1, NULL, &packet), PACKET_LONG);
	assert_int_equal(packet_destination(&packet)[0], 0x33);
	for (unsigned length = 0; length < 14; length++)
		assert_int_equal(parse_with(bytes, length, NULL, &packet), PACKET_SHORT);
}

/* The head is the same however the frame is cut into iovecs. */
static void test_pieces(void **state)
{
	struct frame_recipe recipe = tcp6;
	uint8_t bytes[2048];
	uint64_t random = 1;

	recipe.payload_bytes = 1000;
	for (unsigned i = 0; i < 500; i++) {
		struct frame_pieces pieces;
		struct packet packet;
		struct frame frame;

		frame_pieces_init(&pieces, bytes, frame_recipe_write(&recipe, bytes), 1 + i % 64, &random);
		frame = (struct frame){ .iov = pieces.iov,
					.iov_count = pieces.count,
					.bytes = frame_recipe_payload(&recipe) + 1000 };
		assert_int_equal(packet_parse(&frame, &packet), PACKET_FINE);
		assert_found(&packet, &recipe);
		assert_int_equal(packet.head_bytes, PACKET_HEAD_BYTES);
		assert_memory_equal(packet.head, bytes, PACKET_HEAD_BYTES);
		frame_pieces_finish(&pieces);
	}
}

/* What is put off is read from the private head, whatever has become of the frame. */
static void test_two_steps(void **state)
{
	const struct frame_recipe *recipe = &tcp6;
	uint8_t bytes[2048];
	struct iovec iov = { bytes, frame_recipe_write(recipe, bytes) };
	struct frame frame = { .iov = &iov, .iov_count = 1, .bytes = (uint32_t)iov.iov_len };
	struct packet packet;

	assert_int_equal(packet_parse_begin(&frame, &packet), PACKET_FINE);
	assert_int_equal(packet.type, PACKET_IPV6);
	assert_int_equal(packet.network, 0);
	assert_int_equal(packet.transport, 0);
	memset(bytes, 0xff, sizeof(bytes));
	packet_parse_rest(&frame, &packet);
	assert_found(&packet, recipe);
	packet_parse_rest(&frame, &packet);
	assert_found(&packet, recipe);
}

/* An offload is checked against the headers at once. */
static void test_offload_in_first_step(void **state)
{
	uint8_t bytes[2048];
	struct iovec iov = { bytes, frame_recipe_write(&tcp6, bytes) };
	struct frame frame = {
		.iov = &iov,
		.iov_count = 1,
		.bytes = (uint32_t)iov.iov_len,
		.offload = { .flags = FRAME_CSUM_NEEDED, .csum_start = 14, .csum_offset = 2 },
	};
	struct packet packet;

	assert_int_equal(packet_parse_begin(&frame, &packet), PACKET_BAD_OFFLOAD);
	frame.offload.csum_start = (uint16_t)frame_recipe_transport(&tcp6);
	frame.offload.csum_offset = 16;
	assert_int_equal(packet_parse_begin(&frame, &packet), PACKET_FINE);
	assert_found(&packet, &tcp6);
}

static void test_words(void **state)
{
	assert_string_equal(packet_fault_text(PACKET_FINE), "fine");
	assert_string_equal(packet_fault_text(PACKET_SHORT), "short");
	assert_string_equal(packet_fault_text(PACKET_LONG), "long");
	assert_string_equal(packet_fault_text(PACKET_BAD_OFFLOAD), "bad_offload");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_every_ip_length),
		cmocka_unit_test(test_contradictions),
		cmocka_unit_test(test_version_of_ipv6),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_arp),
		cmocka_unit_test(test_icmp),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_extensions),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_two_steps),
		cmocka_unit_test(test_offload_in_first_step),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests_name("packet", tests, NULL, NULL);
}
