/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random streams of segments, joined as for a guest and cut again as by the switch, against what was sent:
 * the same frames, byte for byte, and those of a connection in order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "segment_script.h"
#include "test_disk.h"

#define STREAMS 1500u

/* One in `odd` of the segments is not what follows from the one before. */
static struct script_step choose_step(uint64_t *seed, unsigned connections, uint16_t payload_bytes,
				      unsigned odd)
{
	static const uint8_t ways[] = { SCRIPT_GAP,	 SCRIPT_AGAIN,	SCRIPT_PAD,	   SCRIPT_PSH,
					SCRIPT_TRUNCATE, SCRIPT_CHANGE, SCRIPT_OWN_NUMBER, 0 };
	struct script_step step = { .connection = (uint8_t)test_below(seed, connections),
				    .payload_bytes = payload_bytes,
				    .option_words = 3 };

	if (test_below(seed, odd) > 0)
		return step;
	step.how = ways[test_below(seed, sizeof(ways))];
	if (step.how == 0)
		step.payload_bytes = (uint16_t)test_below(seed, 2u * payload_bytes);
	step.option_words = test_below(seed, 8) == 0 ? 4 : 3;
	/* Most of the headers, and little of what is behind them. */
	step.change_at = (uint8_t)test_below(seed, 100);
	step.change_to = (uint8_t)(test_below(seed, 2) ? 1u << test_below(seed, 8) : test_below(seed, 256));
	return step;
}

static void choose_stream(uint64_t *seed, struct script_frames *frames)
{
	static const uint16_t sizes[] = { 1, 5, 88, 536, 1428, 1448, 2800 };
	static struct script_step steps[SCRIPT_FRAMES_MAX];
	unsigned connections = 1 + test_below(seed, SCRIPT_CONNECTIONS), odd = 1 + test_below(seed, 60);
	uint16_t payload_bytes = sizes[test_below(seed, sizeof(sizes) / sizeof(sizes[0]))];
	unsigned count = 1 + test_below(seed, SCRIPT_FRAMES_MAX);

	for (unsigned i = 0; i < count; i++)
		steps[i] = choose_step(seed, connections, payload_bytes, odd);
	script_frames_init(frames, steps, count * sizeof(steps[0]));
}

static void test_random_streams(void **state)
{
	static struct script_frames frames;
	uint64_t seed = test_seed("user_join");
	unsigned sent = 0, handed = 0, joined = 0;

	for (unsigned i = 0; i < STREAMS; i++) {
		struct script_result result;
		const char *wrong;

		choose_stream(&seed, &frames);
		wrong = script_check(&frames, &result);
		if (wrong)
			fail_msg("stream %u: %s", i, wrong);
		sent += frames.count;
		handed += result.handed;
		joined += result.joined;
		script_frames_finish(&frames);
	}
	print_message("%u frames, handed on as %u, of which %u joined\n", sent, handed, joined);
	assert_true(handed < sent * 3 / 4 && joined > STREAMS);
}

/* Each byte of the headers, of each IP, made each other byte, between two segments that would be joined. */
static void test_each_byte_changed(void **state)
{
	static struct script_frames frames;
	struct script_step steps[3] = { { .payload_bytes = 5 },
					{ .payload_bytes = 5, .how = SCRIPT_CHANGE },
					{ .payload_bytes = 5 } };

	for (unsigned i = 0; i < 2 * 80 * 256; i++) {
		struct script_result result;
		const char *wrong;

		for (unsigned j = 0; j < 3; j++)
			steps[j].connection = i % 2;
		steps[1].change_at = (uint8_t)(i / 2 % 80);
		steps[1].change_to = (uint8_t)(i / 160);
		script_frames_init(&frames, steps, sizeof(steps));
		wrong = script_check(&frames, &result);
		if (wrong)
			fail_msg("IPv%u, byte %u changed by %#x: %s", i % 2 ? 6 : 4, steps[1].change_at,
				 steps[1].change_to, wrong);
		script_frames_finish(&frames);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_byte_changed),
		cmocka_unit_test(test_random_streams),
	};

	return cmocka_run_group_tests_name("user_join", tests, NULL, NULL);
}
