/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is written is read again; tests/wire/test_capture.py has tshark and tcpdump read it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/pcapng.h"

static const uint8_t payload[] = "sixty bytes of a frame, or rather fewer";

static struct pcapng_frame sample(void)
{
	return (struct pcapng_frame){ .time_ns = 1700000000123456789u,
				      .bytes = payload,
				      .frame_bytes = 60,
				      .kept_bytes = sizeof(payload),
				      .outbound = true,
				      .lost_before = 3,
				      .comment = "dropped: guard" };
}

static void test_frame(void **state)
{
	uint8_t bytes[PCAPNG_BLOCK_MAX];
	struct pcapng_frame frame = sample();
	struct pcapng_block block;
	size_t length = pcapng_write_frame(bytes, sizeof(bytes), &frame);

	assert_true(length > sizeof(payload) && length % 4 == 0);
	assert_int_equal(pcapng_read(bytes, sizeof(bytes), &block), length);
	assert_int_equal(block.kind, PCAPNG_FRAME);
	assert_true(block.frame.time_ns == frame.time_ns);
	assert_int_equal(block.frame.frame_bytes, 60);
	assert_int_equal(block.frame.kept_bytes, sizeof(payload));
	assert_memory_equal(block.frame.bytes, payload, sizeof(payload));
	assert_true(block.frame.outbound);
	assert_int_equal(block.frame.lost_before, 3);
	assert_int_equal(block.frame.comment_bytes, strlen(frame.comment));
	assert_memory_equal(block.frame.comment, frame.comment, strlen(frame.comment));
}

static void test_frame_without_options(void **state)
{
	uint8_t bytes[256];
	struct pcapng_frame frame = sample();
	struct pcapng_block block;

	frame.outbound = false;
	frame.lost_before = 0;
	frame.comment = "";
	assert_true(pcapng_write_frame(bytes, sizeof(bytes), &frame) > 0);
	assert_true(pcapng_read(bytes, sizeof(bytes), &block) > 0);
	assert_false(block.frame.outbound);
	assert_int_equal(block.frame.lost_before, 0);
	assert_int_equal(block.frame.comment_bytes, 0);
}

static void test_largest_frame(void **state)
{
	uint8_t *bytes = malloc(PCAPNG_BLOCK_MAX), *large = calloc(1, FRAME_BYTES_MAX);
	struct pcapng_frame frame = sample();
	char comment[400];
	struct pcapng_block block;

	assert_non_null(bytes);
	assert_non_null(large);
	memset(comment, 'x', sizeof(comment) - 1);
	comment[sizeof(comment) - 1] = '\0';
	frame.bytes = large;
	frame.frame_bytes = frame.kept_bytes = FRAME_BYTES_MAX;
	frame.comment = comment;
	assert_true(pcapng_write_frame(bytes, PCAPNG_BLOCK_MAX, &frame) > 0);
	assert_true(pcapng_read(bytes, PCAPNG_BLOCK_MAX, &block) > 0);
	assert_int_equal(block.frame.kept_bytes, FRAME_BYTES_MAX);
	assert_int_equal(block.frame.comment_bytes, PCAPNG_TEXT_MAX);
	free(bytes);
	free(large);
}

static void test_counts(void **state)
{
	uint8_t bytes[256];
	struct pcapng_counts counts = { .time_ns = 1ull << 60, .frames = 1ull << 40, .lost = 7 };
	struct pcapng_block block;
	size_t length = pcapng_write_counts(bytes, sizeof(bytes), &counts);

	assert_int_equal(pcapng_read(bytes, length, &block), length);
	assert_int_equal(block.kind, PCAPNG_COUNTS);
	assert_true(block.counts.time_ns == counts.time_ns && block.counts.frames == counts.frames);
	assert_int_equal(block.counts.lost, 7);
}

static void test_head_is_two_other_blocks(void **state)
{
	uint8_t bytes[1024];
	struct pcapng_block block;
	size_t length = pcapng_write_head(bytes, sizeof(bytes), "alice/eth0", "a card", 0);
	long first = pcapng_read(bytes, length, &block), second;
	uint32_t magic;

	memcpy(&magic, bytes, sizeof(magic));
	assert_int_equal(magic, PCAPNG_MAGIC);
	assert_true(first > 0);
	assert_int_equal(block.kind, PCAPNG_OTHER);
	second = pcapng_read(bytes + first, length - (size_t)first, &block);
	assert_int_equal(first + second, length);
	assert_int_equal(block.kind, PCAPNG_OTHER);
}

/* All or nothing, whatever the room. */
static void test_too_little_room(void **state)
{
	uint8_t bytes[512];
	struct pcapng_frame frame = sample();
	struct pcapng_counts counts = { .frames = 1 };
	size_t whole_frame = pcapng_write_frame(bytes, sizeof(bytes), &frame);
	size_t whole_counts = pcapng_write_counts(bytes, sizeof(bytes), &counts);
	size_t whole_head = pcapng_write_head(bytes, sizeof(bytes), "n", "d", 0);

	for (size_t room = 0; room < sizeof(bytes); room++) {
		uint8_t *exact = malloc(room + 1);

		assert_non_null(exact);
		assert_int_equal(pcapng_write_frame(exact, room, &frame) > 0, room >= whole_frame);
		assert_int_equal(pcapng_write_counts(exact, room, &counts) > 0, room >= whole_counts);
		assert_int_equal(pcapng_write_head(exact, room, "n", "d", 0) > 0, room >= whole_head);
		free(exact);
	}
}

/* A part of a block is none yet; other bytes than those written are refused or read, never beyond their end.
 */
static void test_parts_and_damage(void **state)
{
	uint8_t bytes[512];
	struct pcapng_frame frame = sample();
	struct pcapng_block block;
	size_t length = pcapng_write_frame(bytes, sizeof(bytes), &frame);

	for (size_t part = 0; part < length; part++)
		assert_int_equal(pcapng_read(bytes, part, &block), 0);
	for (size_t at = 0; at < length; at++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			uint8_t *exact = malloc(length);
			long read;

			assert_non_null(exact);
			memcpy(exact, bytes, length);
			exact[at] ^= (uint8_t)(1u << bit);
			read = pcapng_read(exact, length, &block);
			assert_true(read == -EBADMSG || read == 0 || read == (long)length);
			if (read > 0 && block.kind == PCAPNG_FRAME)
				assert_in_range(block.frame.kept_bytes, 0, length);
			free(exact);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frame),
		cmocka_unit_test(test_frame_without_options),
		cmocka_unit_test(test_largest_frame),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_head_is_two_other_blocks),
		cmocka_unit_test(test_too_little_room),
		cmocka_unit_test(test_parts_and_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
