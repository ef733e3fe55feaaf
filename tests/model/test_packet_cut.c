/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames cut for receivers against frames that a sender without offloads would have written: a random
 * description is written as one frame, in pieces of random lengths, and cut; what is expected is written
 * from the description again, segment by segment. Every byte and every offload header must be the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "arbiter/switch/packet.h"
#include "core/iov.h"
#include "frame_recipe.h"
#include "test_disk.h"

#define FRAMES 6000u

struct run {
	uint64_t seed;
	struct frame_recipe recipe;
	uint16_t gso_bytes; /* 0: no GSO frame */
	bool ecn;
	struct frame_abilities receiver;
	int tag;
	/* what came of all runs, to see that each way was gone */
	unsigned too_long, whole, filled, passed, segments;
};

static uint8_t payload[65536], original[RECIPE_BYTES_MAX], expected[RECIPE_BYTES_MAX], got[RECIPE_BYTES_MAX];
static struct packet packet;
static struct packet_cut cut;

/* ---- what is cut, and for which receiver ---- */

static void choose_extensions(struct run *run)
{
	static const uint8_t types[] = { 0, 43, 60, 44 };
	struct frame_recipe *recipe = &run->recipe;

	recipe->extensions = test_below(&run->seed, 4) == 0 ? test_below(&run->seed, 5) : 0;
	for (unsigned i = 0; i < recipe->extensions; i++) {
		recipe->extension_type[i] = types[i];
		recipe->extension_bytes[i] = 8 + 8 * test_below(&run->seed, 3);
		if (types[i] == 43)
			recipe->extension_bytes[i] = 24;
		if (types[i] == 44)
			recipe->extension_bytes[i] = 8;
	}
}

static uint32_t choose_payload(struct run *run, uint32_t limit)
{
	switch (test_below(&run->seed, 4)) {
	case 0:
		return test_below(&run->seed, 4);
	case 1:
		return test_below(&run->seed, 1500);
	case 2:
		return test_below(&run->seed, 9000);
	default:
		return test_below(&run->seed, limit + 1);
	}
}

static void choose_recipe(struct run *run)
{
	struct frame_recipe *recipe = &run->recipe;

	memset(recipe, 0, sizeof(*recipe));
	recipe->tags = test_below(&run->seed, 3);
	recipe->tag[0] = (uint16_t)test_random(&run->seed);
	recipe->tag[1] = (uint16_t)test_random(&run->seed);
	recipe->ipv6 = test_below(&run->seed, 2);
	if (recipe->ipv6)
		choose_extensions(run);
	else
		recipe->ipv4_option_bytes =
			test_below(&run->seed, 3) == 0 ? 4 * test_below(&run->seed, 11) : 0;
	recipe->protocol = test_below(&run->seed, 2) ? PACKET_TCP : PACKET_UDP;
	recipe->tcp_option_bytes = 4 * test_below(&run->seed, 11);
	recipe->identification = (uint16_t)test_random(&run->seed);
	recipe->sequence = (uint32_t)test_random(&run->seed);
	recipe->tcp_flags = (uint8_t)test_random(&run->seed);
	recipe->payload = payload + test_below(&run->seed, 8);
	recipe->payload_bytes = choose_payload(run, 65535 - (frame_recipe_payload(recipe) - 14));
}

static void choose_offload(struct run *run)
{
	uint32_t smallest = run->recipe.payload_bytes / PACKET_SEGMENTS_MAX + 1;

	run->gso_bytes = 0;
	run->ecn = test_below(&run->seed, 4) == 0;
	run->recipe.checksum = RECIPE_PARTIAL;
	switch (test_below(&run->seed, 6)) {
	case 0:
		run->recipe.checksum = RECIPE_FULL;
		break;
	case 1:
		break;
	case 2:
		run->gso_bytes = (uint16_t)(smallest + test_below(&run->seed, 65536 - smallest));
		break;
	default:
		run->gso_bytes = (uint16_t)(smallest + test_below(&run->seed, 1500));
	}
}

static void choose_receiver(struct run *run)
{
	uint32_t able = (uint32_t)test_random(&run->seed);

	run->receiver = (struct frame_abilities){
		.csum = able & 1,
		.tso4 = able >> 1 & 1,
		.tso6 = able >> 2 & 1,
		.ecn = able >> 3 & 1,
		.uso = able >> 4 & 1,
		.mtu = (uint16_t)(able >> 5 & 1 ? 1500 : 65535),
	};
	run->tag = able >> 6 & 1 ? (int)(test_random(&run->seed) & 0xffff) : PACKET_UNTAGGED;
}

/* ---- what is expected ---- */

static struct frame_recipe with_tag(const struct run *run)
{
	struct frame_recipe recipe = run->recipe;

	if (recipe.tags > 0) {
		recipe.tag[0] = recipe.tag[1];
		recipe.tags--;
	}
	if (run->tag != PACKET_UNTAGGED) {
		recipe.tag[1] = recipe.tag[0];
		recipe.tag[0] = (uint16_t)run->tag;
		recipe.tags++;
	}
	return recipe;
}

static unsigned segments_of(const struct run *run)
{
	return run->gso_bytes == 0 ? 1 : frame_recipe_segments(&run->recipe, run->gso_bytes);
}

static bool receiver_segments(const struct run *run)
{
	bool able = run->recipe.protocol == PACKET_UDP ? run->receiver.uso
		    : run->recipe.ipv6		       ? run->receiver.tso6
						       : run->receiver.tso4;
	bool needs_ecn = run->ecn && run->recipe.protocol == PACKET_TCP;

	return segments_of(run) > 1 && run->receiver.csum && able && (!needs_ecn || run->receiver.ecn);
}

static bool expect_too_long(const struct run *run)
{
	struct frame_recipe tagged = with_tag(run);
	unsigned ethernet = tagged.tags > 0 ? 18 : 14;

	for (unsigned i = 0; i < segments_of(run); i++) {
		struct frame_recipe one =
			run->gso_bytes == 0 ? tagged : frame_recipe_segment(&tagged, run->gso_bytes, i);

		if (frame_recipe_payload(&one) + one.payload_bytes - ethernet > run->receiver.mtu)
			return true;
	}
	return false;
}

static void expect_frame(struct run *run, const struct frame *frame, struct frame_recipe recipe,
			 const struct frame_offload *offload)
{
	uint32_t bytes = frame_recipe_write(&recipe, expected);

	assert_non_null(frame);
	assert_true(frame->iov_count <= FRAME_CUT_IOV_MAX);
	for (unsigned i = 0; i < frame->iov_count; i++)
		assert_true(frame->iov[i].iov_len > 0);
	assert_int_equal(frame->bytes, bytes);
	assert_int_equal(iov_bytes(frame->iov, frame->iov_count), bytes);
	assert_int_equal(iov_copy_out(frame->iov, frame->iov_count, 0, got, bytes), bytes);
	assert_memory_equal(got, expected, bytes);
	assert_memory_equal(&frame->offload, offload, sizeof(*offload));
}

/* One frame, or each segment, with its checksum filled in unless the receiver does that. */
static void expect_cut(struct run *run)
{
	struct frame_recipe tagged = with_tag(run);
	struct frame_offload offload = { 0 };
	bool filled = !run->receiver.csum && run->recipe.checksum == RECIPE_PARTIAL;

	if (filled)
		tagged.checksum = RECIPE_FULL;
	if (receiver_segments(run)) {
		offload = frame_recipe_offload(&tagged, run->gso_bytes, run->ecn);
		expect_frame(run, packet_cut_next(&cut), tagged, &offload);
		run->passed++;
		return;
	}
	if (tagged.checksum == RECIPE_PARTIAL)
		offload = frame_recipe_offload(&tagged, 0, false);
	for (unsigned i = 0; i < segments_of(run); i++) {
		if (run->gso_bytes == 0)
			expect_frame(run, packet_cut_next(&cut), tagged, &offload);
		else
			expect_frame(run, packet_cut_next(&cut),
				     frame_recipe_segment(&tagged, run->gso_bytes, i), &offload);
	}
	run->whole += segments_of(run) == 1;
	run->filled += filled;
	run->segments += segments_of(run);
}

static void one_frame(struct run *run)
{
	struct frame_pieces pieces;
	struct frame frame = { .bytes = frame_recipe_write(&run->recipe, original) };
	uint64_t random = test_random(&run->seed);
	enum packet_fault fault;

	if (run->recipe.checksum == RECIPE_PARTIAL)
		frame.offload = frame_recipe_offload(&run->recipe, run->gso_bytes, run->ecn);
	frame.offload.header_bytes = (uint16_t)test_random(&run->seed); /* not to be trusted */
	frame_pieces_init(&pieces, original, frame.bytes, 1 + test_below(&run->seed, FRAME_IOV_MAX), &random);
	frame.iov = pieces.iov;
	frame.iov_count = pieces.count;
	assert_int_equal(packet_parse(&frame, &packet), PACKET_FINE);
	fault = packet_cut_begin(&cut, &packet, &frame, &run->receiver, run->tag);
	assert_int_equal(fault, expect_too_long(run) ? PACKET_LONG : PACKET_FINE);
	if (fault == PACKET_FINE)
		expect_cut(run);
	else
		run->too_long++;
	assert_null(packet_cut_next(&cut));
	frame_pieces_finish(&pieces);
}

static void test_random_frames(void **state)
{
	struct run run = { .seed = test_seed("packet_cut") };

	for (unsigned i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)test_random(&run.seed);
	for (unsigned i = 0; i < FRAMES; i++) {
		choose_recipe(&run);
		choose_offload(&run);
		choose_receiver(&run);
		one_frame(&run);
	}
	print_message("%u too long, %u whole, %u filled, %u passed on, %u segments\n", run.too_long,
		      run.whole, run.filled, run.passed, run.segments);
	assert_true(run.too_long > FRAMES / 100 && run.whole > FRAMES / 100 && run.filled > FRAMES / 100 &&
		    run.passed > FRAMES / 100 && run.segments > FRAMES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_frames),
	};

	return cmocka_run_group_tests_name("packet_cut", tests, NULL, NULL);
}
