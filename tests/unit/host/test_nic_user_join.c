/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Segments joined into one frame: which are, which are not, and what is said of the frame. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "host/nic_user_join.h"
#include "segment_script.h"

#define STEPS_MAX  100u
#define OPTIONS	   3u /* words, as timestamps take */
#define HEADERS4   (14u + 20 + 20 + 4 * OPTIONS)
#define HEADERS6   (14u + 40 + 20 + 4 * OPTIONS)
#define CHECKSUMS4 24u /* where it is in the frame */

static struct script_frames frames;
static struct script_step steps[STEPS_MAX];
static unsigned step_count;

static struct script_step *step(unsigned connection, uint16_t payload_bytes)
{
	assert_true(step_count < STEPS_MAX);
	steps[step_count] = (struct script_step){ .connection = (uint8_t)connection,
						  .payload_bytes = payload_bytes,
						  .option_words = OPTIONS };
	return &steps[step_count++];
}

/* What becomes of the steps so far, which are forgotten. */
static struct script_result result(void)
{
	struct script_result result;
	const char *wrong;

	script_frames_init(&frames, steps, step_count * sizeof(steps[0]));
	step_count = 0;
	wrong = script_check(&frames, &result);
	script_frames_finish(&frames);
	if (wrong)
		fail_msg("%s", wrong);
	return result;
}

static void test_a_stream_comes_in_large_frames(void **state)
{
	for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
		struct script_result joined;

		for (unsigned i = 0; i < 60; i++)
			step(ipv6, 1428);
		joined = result();
		assert_int_equal(joined.handed, 2);
		assert_int_equal(joined.joined, 2);
		assert_int_equal(joined.pieces_max, 45);
		assert_int_equal(joined.bytes_max, 45 * 1428 + (ipv6 ? HEADERS6 : HEADERS4));
	}
}

static void test_as_many_pieces_as_a_frame_has(void **state)
{
	for (unsigned i = 0; i < FRAME_IOV_MAX + 2; i++)
		step(0, 1);
	assert_int_equal(result().handed, 2);
}

/* IPv6: one counter numbers the packets of all IPv4 connections. */
static void test_connections_take_turns(void **state)
{
	for (unsigned i = 0; i < 24; i++)
		step(2 * (i % 4) + 1, 1000);
	assert_int_equal(result().handed, 4);
	for (unsigned i = 0; i < 24; i++)
		step(2 * (i % 2), 1000);
	assert_int_equal(result().handed, 24);
}

static void test_no_more_connections_than_there_is_room_for(void **state)
{
	/* Six are IPv6, and the others' segments come between, each numbered for itself. */
	for (unsigned i = 0; i < 2 * SCRIPT_CONNECTIONS; i++)
		step(i % SCRIPT_CONNECTIONS, 1000);
	assert_int_equal(result().handed, 2 * SCRIPT_CONNECTIONS);
}

static void test_what_ends_a_frame(void **state)
{
	step(0, 1000);
	step(0, 1000)->how = SCRIPT_PSH;
	step(0, 1000);
	step(0, 999);
	step(0, 999);
	step(0, 1000);
	step(0, 0);
	step(0, 1000);
	/* Two with PSH, two of which the last is shorter, one, one, the one without, one. */
	assert_int_equal(result().handed, 6);
}

static void test_what_does_not_follow(void **state)
{
	static const uint8_t ways[] = { SCRIPT_GAP, SCRIPT_AGAIN, SCRIPT_OWN_NUMBER, SCRIPT_PAD };

	for (unsigned i = 0; i < sizeof(ways); i++) {
		step(0, 1000);
		step(0, 1000)->how = ways[i];
		assert_int_equal(result().handed, 2);
	}
	step(0, 1000);
	step(0, 1000)->option_words = OPTIONS + 1;
	assert_int_equal(result().handed, 2);
}

/* Each byte of the third segment's headers is looked at; the checksums are filled in behind the change. */
static void test_another_header(void **state)
{
	for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
		unsigned headers = ipv6 ? HEADERS6 : HEADERS4;
		unsigned tcp_check = headers - 4 * OPTIONS - 4;

		for (unsigned at = 0; at < headers; at++) {
			bool checksum = at - tcp_check < 2 || (!ipv6 && at - CHECKSUMS4 < 2);

			step(ipv6, 1000);
			step(ipv6, 1000);
			*step(ipv6, 1000) = (struct script_step){ .connection = (uint8_t)ipv6,
								  .how = SCRIPT_CHANGE,
								  .payload_bytes = 1000,
								  .option_words = OPTIONS,
								  .change_at = (uint8_t)at,
								  .change_to = 1 };
			assert_int_equal(result().handed, checksum ? 1 : 2);
		}
	}
}

static void join(struct user_join *join)
{
	script_frames_init(&frames, steps, step_count * sizeof(steps[0]));
	step_count = 0;
	user_join_begin(join);
	for (unsigned i = 0; i < frames.count; i++)
		user_join_add(join, frames.frames[i].bytes, frames.frames[i].length);
	user_join_end(join);
}

static void test_the_offload_header(void **state)
{
	static struct user_join joined;

	for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
		unsigned headers = ipv6 ? HEADERS6 : HEADERS4;
		const struct frame_offload expected = { .flags = FRAME_CSUM_NEEDED,
							.gso_type = ipv6 ? FRAME_GSO_TCP6 : FRAME_GSO_TCP4,
							.header_bytes = (uint16_t)headers,
							.gso_bytes = 1000,
							.csum_start = ipv6 ? 54 : 34,
							.csum_offset = 16 };

		for (unsigned i = 0; i < 3; i++)
			step(ipv6, 1000);
		join(&joined);
		assert_int_equal(joined.count, 1);
		assert_int_equal(joined.frames[0].bytes, headers + 3000);
		assert_int_equal(joined.bytes, headers + 3000);
		assert_memory_equal(&joined.frames[0].offload, &expected, sizeof(expected));
		script_frames_finish(&frames);
	}
}

static void test_a_frame_alone_stays_as_it_is(void **state)
{
	static const struct frame_offload valid = { .flags = FRAME_CSUM_VALID };
	static struct user_join joined;

	step(0, 1000);
	step(2, 1000);
	join(&joined);
	assert_int_equal(joined.count, 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_ptr_equal(joined.frames[i].iov[0].iov_base, frames.frames[i].bytes);
		assert_int_equal(joined.frames[i].iov_count, 1);
		assert_int_equal(joined.frames[i].bytes, HEADERS4 + 1000);
		assert_memory_equal(&joined.frames[i].offload, &valid, sizeof(valid));
	}
	script_frames_finish(&frames);
}

static void test_a_full_batch(void **state)
{
	static struct user_join joined;

	for (unsigned i = 0; i < NIC_BATCH_MAX; i++) {
		step(i % SCRIPT_CONNECTIONS, 100)->how = SCRIPT_PSH;
	}
	join(&joined);
	assert_true(user_join_full(&joined));
	user_join_begin(&joined);
	assert_false(user_join_full(&joined));
	assert_int_equal(joined.bytes, 0);
	script_frames_finish(&frames);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_stream_comes_in_large_frames),
		cmocka_unit_test(test_as_many_pieces_as_a_frame_has),
		cmocka_unit_test(test_connections_take_turns),
		cmocka_unit_test(test_no_more_connections_than_there_is_room_for),
		cmocka_unit_test(test_what_ends_a_frame),
		cmocka_unit_test(test_what_does_not_follow),
		cmocka_unit_test(test_another_header),
		cmocka_unit_test(test_the_offload_header),
		cmocka_unit_test(test_a_frame_alone_stays_as_it_is),
		cmocka_unit_test(test_a_full_batch),
	};

	return cmocka_run_group_tests_name("nic_user join", tests, NULL, NULL);
}
