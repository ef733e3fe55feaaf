/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames whose checksum was left to the receiver, and such as look a little like them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/switch/packet.h"
#include "frame_recipe.h"
#include "host/nic_vxlan_offload.h"

#define MTU 1450u
#define TCP 6
#define UDP 17

static const struct frame_offload none;
static uint8_t payload[60000], frame[RECIPE_BYTES_MAX];

/* In memory of just this size, so that a byte too many that is read is found. */
static struct frame_offload offload_of(const uint8_t *bytes, uint32_t count)
{
	uint8_t *copy = malloc(count);
	struct frame_offload offload;

	assert_non_null(copy);
	memcpy(copy, bytes, count);
	offload = vxlan_offload(copy, count, MTU);
	free(copy);
	return offload;
}

static void expect(const struct frame_recipe *recipe, const struct frame_offload *expected)
{
	uint32_t bytes = frame_recipe_write(recipe, frame);
	struct frame_offload offload = offload_of(frame, bytes);
	struct iovec iov = { frame, bytes };
	struct frame whole = { .iov = &iov, .iov_count = 1, .bytes = bytes, .offload = offload };
	static struct packet packet;

	assert_memory_equal(&offload, expected, sizeof(offload));
	assert_int_equal(packet_parse(&whole, &packet), PACKET_FINE);
}

static struct frame_recipe recipe_of(unsigned number, uint32_t payload_bytes)
{
	struct frame_recipe recipe = {
		.tags = number % 3,
		.tag = { 5, 6 },
		.ipv6 = number / 3 % 2,
		.protocol = number / 6 % 2 ? UDP : TCP,
		.payload = payload,
		.payload_bytes = payload_bytes,
		.tcp_flags = 0x10,
	};

	if (number / 12 % 2) {
		recipe.ipv4_option_bytes = recipe.ipv6 ? 0 : 40;
		recipe.tcp_option_bytes = recipe.protocol == TCP ? 12 : 0;
	}
	return recipe;
}

#define RECIPES 24u

static void test_checksums(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 2, 99, 1000 };

	for (unsigned i = 0; i < RECIPES * 5; i++) {
		struct frame_recipe recipe = recipe_of(i, sizes[i / RECIPES]);
		struct frame_offload left;

		recipe.checksum = RECIPE_FULL;
		expect(&recipe, &none);
		recipe.checksum = RECIPE_PARTIAL;
		left = frame_recipe_offload(&recipe, 0, false);
		assert_int_equal(left.flags, FRAME_CSUM_NEEDED);
		expect(&recipe, &left);
	}
}

static uint16_t segment_bytes(const struct frame_recipe *recipe)
{
	return (uint16_t)(MTU - (frame_recipe_payload(recipe) - frame_recipe_network(recipe)));
}

static void test_large_segments(void **state)
{
	for (unsigned i = 0; i < RECIPES * 2; i++) {
		struct frame_recipe recipe = recipe_of(i, sizeof(payload));
		bool ecn = i / RECIPES;
		struct frame_offload left;

		recipe.tcp_flags |= ecn ? 0x80 : 0;
		recipe.checksum = RECIPE_FULL;
		expect(&recipe, &none);
		recipe.checksum = RECIPE_PARTIAL;
		left = frame_recipe_offload(&recipe, recipe.protocol == TCP ? segment_bytes(&recipe) : 0,
					    ecn);
		expect(&recipe, &left);
	}
}

/* As large as the network allows, and a byte more. */
static void test_the_mtu(void **state)
{
	struct frame_recipe recipe = recipe_of(0, 0);
	struct frame_offload left;

	recipe.checksum = RECIPE_PARTIAL;
	recipe.payload_bytes = segment_bytes(&recipe);
	left = frame_recipe_offload(&recipe, 0, false);
	expect(&recipe, &left);
	recipe.payload_bytes++;
	left = frame_recipe_offload(&recipe, segment_bytes(&recipe), false);
	expect(&recipe, &left);
}

/* Their checksums cannot be left, or not so. */
static void test_other_frames(void **state)
{
	struct frame_recipe recipe = recipe_of(0, 100);
	struct frame_offload offload;
	uint32_t bytes;

	recipe.checksum = RECIPE_PARTIAL;
	recipe.ipv4_fragment = 0x2000;
	expect(&recipe, &none);
	recipe.ipv4_fragment = 0x0001;
	expect(&recipe, &none);
	recipe.ipv4_fragment = 0x4000;
	recipe.tags = 3;
	expect(&recipe, &none);
	recipe = recipe_of(3, 100);
	recipe.checksum = RECIPE_PARTIAL;
	recipe.extensions = 1;
	recipe.extension_type[0] = 60;
	recipe.extension_bytes[0] = 8;
	expect(&recipe, &none);
	recipe = recipe_of(0, 100);
	recipe.protocol = 1;
	expect(&recipe, &none);
	/* Padding. */
	for (unsigned i = 0; i < RECIPES; i++) {
		recipe = recipe_of(i, 2);
		recipe.checksum = RECIPE_PARTIAL;
		bytes = frame_recipe_write(&recipe, frame);
		frame[bytes] = 0;
		offload = offload_of(frame, bytes + 1);
		assert_memory_equal(&offload, &none, sizeof(none));
	}
}

/* Frames that end anywhere, whatever they say of their length. */
static void test_frames_that_end_early(void **state)
{
	for (unsigned i = 0; i < RECIPES; i++) {
		struct frame_recipe recipe = recipe_of(i, 10);
		uint32_t bytes;

		recipe.checksum = RECIPE_PARTIAL;
		bytes = frame_recipe_write(&recipe, frame);
		for (uint32_t end = FRAME_HEADER_BYTES; end < bytes; end++) {
			unsigned network = frame_recipe_network(&recipe);
			struct frame_offload offload = offload_of(frame, end);

			assert_memory_equal(&offload, &none, sizeof(none));
			/* As long as they say, but shorter than their headers. */
			if (end < network + 40)
				continue;
			frame[network + (recipe.ipv6 ? 4 : 2)] = 0;
			frame[network + (recipe.ipv6 ? 5 : 3)] =
				(uint8_t)(end - network - (recipe.ipv6 ? 40 : 0));
			offload_of(frame, end);
			frame_recipe_write(&recipe, frame);
		}
	}
}

/* With a header length of TCP's that is none, the frame is left as it is. */
static void test_broken_tcp_headers(void **state)
{
	struct frame_recipe recipe = recipe_of(0, 3000);
	uint32_t bytes;

	recipe.checksum = RECIPE_PARTIAL;
	bytes = frame_recipe_write(&recipe, frame);
	for (unsigned words = 0; words < 16; words++) {
		struct frame_offload offload;

		frame[frame_recipe_transport(&recipe) + 12] = (uint8_t)(words << 4);
		offload = offload_of(frame, bytes);
		assert_int_equal(offload.flags, words < 5 ? 0 : FRAME_CSUM_NEEDED);
		assert_int_equal(offload.gso_type, words < 5 ? FRAME_GSO_NONE : FRAME_GSO_TCP4);
		assert_int_equal(offload.gso_bytes, words < 5 ? 0 : MTU - 20 - 4 * words);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checksums),
		cmocka_unit_test(test_large_segments),
		cmocka_unit_test(test_the_mtu),
		cmocka_unit_test(test_other_frames),
		cmocka_unit_test(test_frames_that_end_early),
		cmocka_unit_test(test_broken_tcp_headers),
	};

	for (unsigned i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 37 + i / 256);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
