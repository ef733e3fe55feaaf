/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What receivers of different abilities get of a frame. The model test has the random ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "arbiter/switch/packet.h"
#include "core/big_endian.h"
#include "core/iov.h"
#include "frame_recipe.h"

#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_CWR 0x80

#define MSS 100

static uint8_t payload[70000];

static const struct frame_recipe tcp4 = {
	.protocol = PACKET_TCP,
	.payload = payload,
	.payload_bytes = 250,
	.sequence = 0xffffff80,
	.identification = 0xffff,
	.tcp_flags = TCP_ACK | TCP_PSH | TCP_FIN,
	.checksum = RECIPE_PARTIAL,
};
static const struct frame_recipe tcp6 = {
	.ipv6 = true,
	.protocol = PACKET_TCP,
	.payload = payload,
	.payload_bytes = 250,
	.checksum = RECIPE_PARTIAL,
};
static const struct frame_recipe udp4 = {
	.protocol = PACKET_UDP,
	.payload = payload,
	.payload_bytes = 250,
	.checksum = RECIPE_PARTIAL,
};
static const struct frame_abilities none = { .mtu = 1500 };
static const struct frame_abilities all = {
	.csum = 1,
	.tso4 = 1,
	.tso6 = 1,
	.ecn = 1,
	.uso = 1,
	.mtu = 1500,
};

/* One frame on its way: where it lies, what was found in it, what comes of it. */
struct fixture {
	uint8_t bytes[RECIPE_BYTES_MAX];
	struct iovec iov[FRAME_IOV_MAX];
	struct frame frame;
	struct packet packet;
	struct packet_cut cut;
	uint8_t out[RECIPE_BYTES_MAX];
};

static struct fixture fixture;

static void parse(uint32_t bytes, struct frame_offload offload)
{
	fixture.iov[0] = (struct iovec){ fixture.bytes, bytes };
	fixture.frame =
		(struct frame){ .iov = fixture.iov, .iov_count = 1, .bytes = bytes, .offload = offload };
	assert_int_equal(packet_parse(&fixture.frame, &fixture.packet), PACKET_FINE);
}

static void parse_recipe(const struct frame_recipe *recipe, uint16_t gso_bytes, bool ecn)
{
	parse(frame_recipe_write(recipe, fixture.bytes), frame_recipe_offload(recipe, gso_bytes, ecn));
}

static enum packet_fault begin(const struct frame_abilities *receiver, int tag)
{
	memset(&fixture.cut, 0xaa, sizeof(fixture.cut));
	fixture.cut.over = false;
	return packet_cut_begin(&fixture.cut, &fixture.packet, &fixture.frame, receiver, tag);
}

static const struct frame *next(void)
{
	const struct frame *frame = packet_cut_next(&fixture.cut);

	if (frame)
		assert_int_equal(iov_copy_out(frame->iov, frame->iov_count, 0, fixture.out, frame->bytes),
				 frame->bytes);
	return frame;
}

static void assert_next(const struct frame_recipe *recipe, const struct frame_offload *offload)
{
	static const struct frame_offload nothing;
	static uint8_t expected[RECIPE_BYTES_MAX];
	uint32_t bytes = frame_recipe_write(recipe, expected);
	const struct frame *frame = next();

	assert_non_null(frame);
	assert_int_equal(frame->bytes, bytes);
	assert_memory_equal(fixture.out, expected, bytes);
	assert_memory_equal(&frame->offload, offload ? offload : &nothing, sizeof(nothing));
}

static int prepare(void **state)
{
	for (unsigned i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 31 + i / 256);
	return 0;
}

/* ---- one frame ---- */

static void test_whole(void **state)
{
	struct frame_recipe recipe = tcp4, filled = tcp4;
	struct frame_offload offload = frame_recipe_offload(&recipe, 0, false);

	filled.checksum = RECIPE_FULL;
	parse_recipe(&recipe, 0, false);
	assert_int_equal(begin(&all, PACKET_UNTAGGED), PACKET_FINE);
	assert_next(&recipe, &offload);
	assert_null(next());
	assert_null(next());
	assert_int_equal(begin(&none, PACKET_UNTAGGED), PACKET_FINE);
	assert_next(&filled, NULL);
	assert_null(next());
}

static void test_checked_checksum(void **state)
{
	struct frame_recipe recipe = tcp4;
	struct frame_offload valid = { .flags = FRAME_CSUM_VALID };
	struct frame_offload unknown = { .flags = 0xfc | FRAME_CSUM_VALID };

	recipe.checksum = RECIPE_FULL;
	parse(frame_recipe_write(&recipe, fixture.bytes), unknown);
	assert_int_equal(begin(&all, PACKET_UNTAGGED), PACKET_FINE);
	assert_next(&recipe, &valid);
	assert_int_equal(begin(&none, PACKET_UNTAGGED), PACKET_FINE);
	assert_next(&recipe, NULL);
}

/* What was checked is what is delivered, whatever the guest writes meanwhile. */
static void test_private_head(void **state)
{
	struct frame_recipe recipe = tcp4;

	parse_recipe(&recipe, MSS, false);
	memset(fixture.bytes, 0xff, frame_recipe_payload(&recipe));
	assert_int_equal(begin(&none, PACKET_UNTAGGED), PACKET_FINE);
	recipe.checksum = RECIPE_FULL;
	for (unsigned i = 0; i < 3; i++) {
		struct frame_recipe segment = frame_recipe_segment(&recipe, MSS, i);

		assert_next(&segment, NULL);
		memset(fixture.bytes, (int)i, frame_recipe_payload(&recipe));
	}
	assert_null(next());
	parse_recipe(&tcp4, 0, false);
	memset(fixture.bytes, 0xff, PACKET_HEAD_BYTES);
	assert_int_equal(begin(&none, PACKET_UNTAGGED), PACKET_FINE);
	recipe.tcp_flags = tcp4.tcp_flags;
	assert_next(&recipe, NULL);
}

/* Payload is not copied: the slices lie inside the original, behind its head. */
static void test_slices(void **state)
{
	const struct frame *frame;

	parse_recipe(&tcp4, 0, false);
	for (unsigned i = 0; i < FRAME_IOV_MAX; i++)
		fixture.iov[i] = (struct iovec){ fixture.bytes + 4 * i, 4 };
	fixture.iov[63].iov_len = fixture.frame.bytes - 63 * 4;
	fixture.frame.iov_count = FRAME_IOV_MAX;
	assert_int_equal(begin(&all, PACKET_UNTAGGED), PACKET_FINE);
	frame = next();
	assert_int_equal(frame->iov_count, 2);
	assert_ptr_equal(frame->iov[1].iov_base, fixture.bytes + PACKET_HEAD_BYTES);
	assert_memory_equal(fixture.out, fixture.bytes, fixture.frame.bytes);
	/* A first piece that the head does not use up: one more than before. */
	fixture.iov[0] = (struct iovec){ fixture.bytes, PACKET_HEAD_BYTES + 1 };
	for (unsigned i = 1; i < FRAME_IOV_MAX; i++)
		fixture.iov[i] = (struct iovec){ fixture.bytes + PACKET_HEAD_BYTES + i, i < 63 ? 1 : 0 };
	fixture.iov[63].iov_len = 1;
	fixture.frame.bytes = PACKET_HEAD_BYTES + 64;
	assert_int_equal(begin(&all, PACKET_UNTAGGED), PACKET_FINE);
	frame = next();
	assert_int_equal(frame->iov_count, FRAME_CUT_IOV_MAX);
	assert_memory_equal(fixture.out, fixture.bytes, PACKET_HEAD_BYTES + 64);
}

static void test_tags(void **state)
{
	struct frame_recipe in = tcp4, out = tcp4;
	struct frame_offload offload;

	for (unsigned tags = 0; tags <= 2; tags++) {
		for (unsigned put = 0; put <= 1; put++) {
			in.tags = tags;
			in.tag[0] = 0x6001;
			in.tag[1] = out.tag[put] = 0x0002;
			out.tags = tags - (tags > 0) + put;
			if (put)
				out.tag[0] = 0xf00f;
			offload = frame_recipe_offload(&out, 0, false);
			parse_recipe(&in, 0, false);
			assert_int_equal(begin(&all, put ? 0xf00f : PACKET_UNTAGGED), PACKET_FINE);
			assert_next(&out, &offload);
			assert_null(next());
			assert_int_equal(offload.csum_start, 34 + 4 * out.tags);
			/* A GSO frame, as it is */
			offload = frame_recipe_offload(&out, MSS, false);
			parse_recipe(&in, MSS, false);
			fixture.frame.offload.header_bytes = 1;
			assert_int_equal(begin(&all, put ? 0xf00f : PACKET_UNTAGGED), PACKET_FINE);
			assert_next(&out, &offload);
			assert_int_equal(offload.header_bytes, 54 + 4 * out.tags);
		}
	}
}

/* A frame without any header that is known, as short as it may be */
static void test_shortest(void **state)
{
	const struct frame *frame;

	memset(fixture.bytes, 0, 64);
	memcpy(fixture.bytes + 12, (uint8_t[]){ 0x81, 0, 0, 5, 0x88, 0xb5 }, 6);
	parse(18, (struct frame_offload){ 0 });
	assert_int_equal(begin(&none, PACKET_UNTAGGED), PACKET_FINE);
	frame = next();
	assert_int_equal(frame->bytes, 14);
	assert_int_equal(frame->iov_count, 1);
	assert_int_equal(big16_get(fixture.out + 12), 0x88b5);
	assert_null(next());
	assert_int_equal(begin(&none, 9), PACKET_FINE);
	frame = next();
	assert_int_equal(frame->bytes, 18);
	assert_int_equal(big16_get(fixture.out + 14), 9);
}

/* A UDP checksum of 0 would mean that there is none; any other may be 0. */
static void test_zero_checksum(void **state)
{
	static uint8_t zeroes[64];
	struct frame_recipe recipe = {
		.protocol = PACKET_UDP, .payload = zeroes, .payload_bytes = 20, .checksum = RECIPE_FULL
	};

	frame_recipe_write(&recipe, fixture.bytes);
	/* What was the checksum in the payload: then it is 0 together. */
	memcpy(zeroes + 10, fixture.bytes + 40, 2);
	frame_recipe_write(&recipe, fixture.bytes);
	assert_int_equal(big16_get(fixture.bytes + 40), 0xffff);
	recipe.checksum = RECIPE_PARTIAL;
	parse_recipe(&recipe, 0, false);
	assert_int_equal(begin(&none, PACKET_UNTAGGED), PACKET_FINE);
	recipe.checksum = RECIPE_FULL;
	assert_next(&recipe, NULL);
	/* The same as a segment */
	recipe.checksum = RECIPE_PARTIAL;
	parse_recipe(&recipe, 100, false);
	assert_int_equal(begin(&none, PACKET_UNTAGGED), PACKET_FINE);
	recipe.checksum = RECIPE_FULL;
	assert_next(&recipe, NULL);
	/* Somewhere else in a frame: of all ones, so that the sum's complement is 0 */
	memset(fixture.bytes, 0xff, 64);
	memcpy(fixture.bytes + 12, (uint8_t[]){ 0x88, 0xb5 }, 2);
	parse(64, (struct frame_offload){ .flags = FRAME_CSUM_NEEDED, .csum_start = 20, .csum_offset = 4 });
	assert_int_equal(begin(&none, PACKET_UNTAGGED), PACKET_FINE);
	next();
	assert_int_equal(big16_get(fixture.out + 24), 0);
}

/* ---- segments ---- */

static void assert_segments(const struct frame_recipe *recipe, uint16_t gso_bytes, bool partial)
{
	struct frame_recipe one = *recipe;
	struct frame_offload offload = frame_recipe_offload(recipe, 0, false);

	one.checksum = partial ? RECIPE_PARTIAL : RECIPE_FULL;
	for (unsigned i = 0; i < frame_recipe_segments(recipe, gso_bytes); i++) {
		struct frame_recipe segment = frame_recipe_segment(&one, gso_bytes, i);

		assert_next(&segment, partial ? &offload : NULL);
	}
	assert_null(next());
}

static void test_abilities(void **state)
{
	static const struct frame_recipe *const recipes[] = { &tcp4, &tcp6, &udp4 };
	struct frame_abilities receiver = { .mtu = 1500 };

	for (unsigned able = 0; able < 256; able++) {
		const struct frame_recipe *recipe = recipes[able >> 5 & 3 ? (able >> 5 & 3) - 1 : 0];
		bool ecn = able >> 7 && recipe->protocol == PACKET_TCP;
		struct frame_offload offload = frame_recipe_offload(recipe, MSS, ecn);
		bool segments;

		receiver.csum = able & 1;
		receiver.tso4 = able >> 1 & 1;
		receiver.tso6 = able >> 2 & 1;
		receiver.uso = able >> 3 & 1;
		receiver.ecn = able >> 4 & 1;
		segments = recipe == &tcp4 ? receiver.tso4 : recipe == &tcp6 ? receiver.tso6 : receiver.uso;
		parse_recipe(recipe, MSS, ecn);
		assert_int_equal(begin(&receiver, PACKET_UNTAGGED), PACKET_FINE);
		if (segments && receiver.csum && (receiver.ecn || !ecn)) {
			assert_next(recipe, &offload);
			assert_null(next());
		} else {
			assert_segments(recipe, MSS, receiver.csum);
		}
	}
}

/* By hand, as the recipes could share a mistake. */
static void test_tcp_fields(void **state)
{
	static const uint8_t flags[] = { TCP_ACK | TCP_CWR, TCP_ACK, TCP_ACK | TCP_PSH | TCP_FIN };
	struct frame_recipe recipe = tcp4;

	recipe.tcp_flags |= TCP_CWR;
	parse_recipe(&recipe, MSS, true);
	assert_int_equal(begin(&none, PACKET_UNTAGGED), PACKET_FINE);
	for (unsigned i = 0; i < 3; i++) {
		const struct frame *frame = next();

		assert_int_equal(frame->bytes, i < 2 ? 154 : 104);
		assert_int_equal(big16_get(fixture.out + 16), frame->bytes - 14);
		assert_int_equal(big16_get(fixture.out + 18), (0xffff + i) & 0xffff);
		assert_int_equal(big32_get(fixture.out + 38), 0xffffff80 + i * MSS);
		assert_int_equal(fixture.out[47], flags[i]);
		assert_memory_equal(fixture.out + 54, payload + i * MSS, frame->bytes - 54);
	}
	assert_null(next());
}

static void test_udp_fields(void **state)
{
	struct frame_recipe recipe = udp4;

	recipe.ipv6 = true;
	parse_recipe(&recipe, MSS, false);
	assert_int_equal(begin(&none, PACKET_UNTAGGED), PACKET_FINE);
	for (unsigned i = 0; i < 3; i++) {
		const struct frame *frame = next();

		assert_int_equal(frame->bytes, i < 2 ? 162 : 112);
		assert_int_equal(big16_get(fixture.out + 18), frame->bytes - 54);
		assert_int_equal(big16_get(fixture.out + 58), frame->bytes - 54);
	}
	assert_null(next());
}

/* Payload of one segment, or none at all: no GSO frame any more, also for a receiver that knows them. */
static void test_one_segment(void **state)
{
	for (unsigned bytes = 0; bytes <= MSS; bytes += MSS / 2) {
		struct frame_recipe recipe = tcp4;

		recipe.payload_bytes = bytes;
		parse_recipe(&recipe, MSS, false);
		assert_int_equal(begin(&all, PACKET_UNTAGGED), PACKET_FINE);
		assert_segments(&recipe, MSS, true);
		assert_int_equal(begin(&none, PACKET_UNTAGGED), PACKET_FINE);
		assert_segments(&recipe, MSS, false);
	}
}

static void test_many_segments(void **state)
{
	struct frame_recipe recipe = tcp4;

	recipe.payload_bytes = 65535 - 40;
	parse_recipe(&recipe, 32, false);
	assert_int_equal(begin(&none, PACKET_UNTAGGED), PACKET_FINE);
	assert_segments(&recipe, 32, false);
}

/* ---- sizes ---- */

static void test_mtu(void **state)
{
	struct frame_abilities receiver = none;
	struct frame_recipe recipe = tcp4;

	for (unsigned tags = 0; tags <= 2; tags++) {
		/* Inner tags count, the outermost does not. */
		unsigned bytes = 20 + 20 + 250 + (tags == 2 ? 4 : 0);

		recipe.tags = tags;
		for (unsigned put = 0; put <= 1; put++) {
			int tag = put ? 5 : PACKET_UNTAGGED;
			unsigned size = bytes - (tags == 2 && !put ? 4 : 0);

			parse_recipe(&recipe, 0, false);
			receiver.mtu = (uint16_t)size;
			assert_int_equal(begin(&receiver, tag), PACKET_FINE);
			receiver.mtu--;
			assert_int_equal(begin(&receiver, tag), PACKET_LONG);
			assert_null(next());
			/* The largest segment counts, whoever cuts. */
			parse_recipe(&recipe, MSS, false);
			for (unsigned able = 0; able <= 1; able++) {
				receiver.csum = receiver.tso4 = (uint8_t)able;
				receiver.mtu = (uint16_t)(size - 250 + MSS);
				assert_int_equal(begin(&receiver, tag), PACKET_FINE);
				receiver.mtu--;
				assert_int_equal(begin(&receiver, tag), PACKET_LONG);
				assert_null(next());
			}
			/* 250 bytes are less than a segment may have. */
			parse_recipe(&recipe, 1400, false);
			receiver.mtu = (uint16_t)size;
			assert_int_equal(begin(&receiver, tag), PACKET_FINE);
		}
	}
	receiver.mtu = 0;
	assert_int_equal(begin(&receiver, 5), PACKET_LONG);
}

/* No tag makes a frame larger than any may be. */
static void test_largest(void **state)
{
	struct frame_recipe recipe = tcp6;

	recipe.payload_bytes = FRAME_BYTES_MAX - 74;
	parse_recipe(&recipe, 1400, false);
	assert_int_equal(begin(&all, PACKET_UNTAGGED), PACKET_FINE);
	assert_int_equal(next()->bytes, FRAME_BYTES_MAX);
	assert_int_equal(begin(&all, 5), PACKET_LONG);
	recipe.payload_bytes -= 4;
	parse_recipe(&recipe, 1400, false);
	assert_int_equal(begin(&all, 5), PACKET_FINE);
	assert_int_equal(next()->bytes, FRAME_BYTES_MAX);
}

/* Passing over frames leaves those that come behind them as they are, however the payload lies in memory. */
static void test_skip(void **state)
{
	struct frame_recipe recipe = tcp4;
	unsigned pieces;

	recipe.payload_bytes = 1000;
	pieces = frame_recipe_segments(&recipe, 96);
	parse_recipe(&recipe, 96, false);
	recipe.checksum = RECIPE_FULL;
	/* Elements of 10 bytes, and the rest. */
	for (unsigned i = 0; i < 50; i++)
		fixture.iov[i] = (struct iovec){ fixture.bytes + i * 10, 10 };
	fixture.iov[50] = (struct iovec){ fixture.bytes + 500, fixture.frame.bytes - 500 };
	fixture.frame.iov_count = 51;
	for (unsigned skipped = 0; skipped <= pieces + 2; skipped++) {
		assert_int_equal(begin(&none, PACKET_UNTAGGED), PACKET_FINE);
		assert_int_equal(packet_cut_skip(&fixture.cut, skipped),
				 skipped > pieces ? skipped - pieces : 0);
		for (unsigned i = skipped; i < pieces; i++) {
			struct frame_recipe segment = frame_recipe_segment(&recipe, 96, i);

			assert_next(&segment, NULL);
		}
		assert_null(next());
		assert_int_equal(packet_cut_skip(&fixture.cut, 1), 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_skip),
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_checked_checksum),
		cmocka_unit_test(test_private_head),
		cmocka_unit_test(test_slices),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_shortest),
		cmocka_unit_test(test_zero_checksum),
		cmocka_unit_test(test_abilities),
		cmocka_unit_test(test_tcp_fields),
		cmocka_unit_test(test_udp_fields),
		cmocka_unit_test(test_one_segment),
		cmocka_unit_test(test_many_segments),
		cmocka_unit_test(test_mtu),
		cmocka_unit_test(test_largest),
	};

	return cmocka_run_group_tests_name("packet_cut", tests, prepare, NULL);
}
