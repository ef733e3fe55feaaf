/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames that are cut into very many: a part at a time, and nothing else of their source in between. */
#include "source_share_bench.h"

#include "core/big_endian.h"

#define SEGMENT_BYTES 8u
#define SEGMENTS      1000u
#define HEAD_BYTES    54u
/* Pieces of a part, as in vswitch_private.h */
#define PART	    64u
#define SEQUENCE_AT 38u

static uint8_t long_bytes[HEAD_BYTES + SEGMENTS * SEGMENT_BYTES];
static struct iovec long_iov = { long_bytes, sizeof(long_bytes) };
static struct frame long_frame = { .iov = &long_iov,
				   .iov_count = 1,
				   .bytes = sizeof(long_bytes),
				   .offload = { .flags = FRAME_CSUM_NEEDED,
						.gso_type = FRAME_GSO_TCP4,
						.gso_bytes = SEGMENT_BYTES,
						.csum_start = 34,
						.csum_offset = 16 } };

static void make_long(const uint8_t to[6])
{
	memset(long_bytes, 0x11, sizeof(long_bytes));
	memcpy(long_bytes, to, 6);
	memcpy(long_bytes + 6, port_address(guests[0].card->port), 6);
	memset(long_bytes + 12, 0, HEAD_BYTES - 12);
	long_bytes[12] = 8;
	long_bytes[14] = 0x45;
	big16_put(long_bytes + 16, (uint16_t)(sizeof(long_bytes) - 14));
	long_bytes[23] = 6;
	long_bytes[14 + 20 + 12] = 0x50;
}

/* A guest whose driver takes no segmented frames. */
static void join_plain(unsigned number)
{
	struct card *card;

	join(&guests[number], number, NULL);
	card = guests[number].card;
	port_sink_close(card->sink);
	card->abilities = (struct frame_abilities){ .csum = 1 };
	assert_int_equal(port_sink_open(card->port, loop, &card->receiver, &card->abilities, &card->sink), 0);
}

static void set_up(void)
{
	begin(0);
	join(&guests[0], 0, NULL);
	join_plain(1);
	make_long(port_address(guests[1].card->port));
}

static void send_long(void)
{
	assert_int_equal(port_send(guests[0].card->source, &long_frame, 1), 1);
}

/* What the sender does when it is called. Returns whether the source takes frames again. */
static bool turn(void)
{
	guests[0].resumed = 0;
	assert_int_equal(loop_turn(loop, 0), 0);
	return guests[0].resumed > 0 && port_source_continue(guests[0].card->source);
}

static void assert_segments(const struct card *card, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		assert_int_equal(card->frames[i].bytes, HEAD_BYTES + SEGMENT_BYTES);
		assert_int_equal(big32_get(card->frames[i].head + SEQUENCE_AT), i * SEGMENT_BYTES);
		assert_int_equal(card->frames[i].last, 0x11);
	}
}

/* In order, a part in a turn, and what comes behind it comes behind it. */
static void test_parts(void **state)
{
	uint8_t small[60];
	struct iovec iov = { small, sizeof(small) };
	struct frame frames[2];
	struct card *to;
	unsigned turns = 1;

	set_up();
	to = guests[1].card;
	frame_bytes(small, sizeof(small), port_address(to->port), port_address(guests[0].card->port), 7);
	frames[0] = long_frame;
	frames[1] = (struct frame){ .iov = &iov, .iov_count = 1, .bytes = sizeof(small) };
	assert_int_equal(port_send(guests[0].card->source, frames, 2), 1);
	assert_false(port_source_continue(guests[0].card->source));
	/* The sender has its memory back. */
	memset(long_bytes, 0xee, sizeof(long_bytes));
	for (; !turn(); turns++) {
		assert_int_equal(to->count, turns * PART);
		assert_false(port_source_continue(guests[0].card->source));
	}
	assert_int_equal(turns, (SEGMENTS + PART - 1) / PART);
	assert_int_equal(port_send(guests[0].card->source, frames + 1, 1), 1);
	assert_int_equal(to->count, SEGMENTS + 1);
	assert_segments(to, 0, SEGMENTS);
	assert_int_equal(to->frames[SEGMENTS].last, 7);
	end();
}

/* To many: each gets it once, whole or in pieces as it takes it. */
static void test_to_many(void **state)
{
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	set_up();
	join(&guests[2], 2, NULL);
	join_plain(3);
	make_long(broadcast);
	send_long();
	assert_int_equal(guests[2].card->count, 1);
	while (!turn())
		;
	assert_int_equal(guests[1].card->count, SEGMENTS);
	assert_int_equal(guests[2].card->count, 1);
	assert_int_equal(guests[2].card->frames[0].bytes, sizeof(long_bytes));
	assert_int_equal(guests[3].card->count, SEGMENTS);
	assert_segments(guests[1].card, 0, SEGMENTS);
	assert_segments(guests[3].card, 0, SEGMENTS);
	end();
}

/* A receiver that takes it as it is gets it at once. */
static void test_not_cut(void **state)
{
	set_up();
	join(&guests[2], 2, NULL);
	make_long(port_address(guests[2].card->port));
	send_long();
	assert_true(port_source_continue(guests[0].card->source));
	assert_int_equal(guests[2].card->count, 1);
	end();
}

/* A queue that stops: what its guest was told is sent is sent. */
static void test_stop(void **state)
{
	struct card *from, *to;

	set_up();
	from = guests[0].card;
	to = guests[1].card;
	send_long();
	assert_false(turn());
	assert_int_equal(to->count, PART);
	port_source_close(from->source);
	assert_int_equal(to->count, SEGMENTS);
	assert_segments(to, 0, SEGMENTS);
	open_source(&guests[0]);
	end();
}

/* The receiver goes meanwhile: the rest is lost with it, and the source goes on. */
static void test_receiver_gone(void **state)
{
	set_up();
	send_long();
	assert_false(turn());
	card_free(guests[1].card);
	gate_node_destroy(guests[1].node);
	guests[1].card = NULL;
	while (!turn())
		;
	make_long(world);
	send_long();
	end();
}

/* While the switch stands still nothing is sent, and afterwards the rest. */
static void test_standing_still(void **state)
{
	struct card *to;

	set_up();
	to = guests[1].card;
	send_long();
	assert_false(turn());
	vswitch_stand_still(vswitch, true);
	for (unsigned i = 0; i < 10; i++) {
		assert_false(turn());
		stopped_clock_ns += MS;
	}
	assert_int_equal(to->count, PART);
	vswitch_stand_still(vswitch, false);
	while (!turn())
		stopped_clock_ns += MS;
	assert_int_equal(to->count, SEGMENTS);
	assert_segments(to, 0, SEGMENTS);
	end();
}

/* To the uplink it goes at once: the card has to know how much there is. */
static void test_uplink(void **state)
{
	static uint8_t buffer[FRAME_BYTES_MAX];
	unsigned pieces = 0;

	begin(2 * SEGMENTS);
	join(&guests[0], 0, NULL);
	make_long(world);
	send_long();
	assert_true(port_source_continue(guests[0].card->source));
	while (nic_memory_take(nic, buffer, sizeof(buffer), NULL) > 0)
		pieces++;
	assert_int_equal(pieces, SEGMENTS);
	end();
}

/* What a port that looks on gets of a frame that is dropped goes at once, and holds up nothing behind it. */
static void test_looking_on(void **state)
{
	struct port_settings looking = settings_of_card();
	uint8_t small[60];
	struct iovec iov = { small, sizeof(small) };
	struct frame frames[2];

	set_up();
	join_plain(2);
	looking.promiscuous = true;
	port_set(guests[2].card->port, &looking);
	/* To itself: nobody else's. */
	make_long(port_address(guests[0].card->port));
	frame_bytes(small, sizeof(small), port_address(guests[1].card->port),
		    port_address(guests[0].card->port), 7);
	frames[0] = long_frame;
	frames[1] = (struct frame){ .iov = &iov, .iov_count = 1, .bytes = sizeof(small) };
	assert_int_equal(port_send(guests[0].card->source, frames, 2), 2);
	assert_true(port_source_continue(guests[0].card->source));
	assert_int_equal(guests[2].card->count, SEGMENTS + 1);
	assert_segments(guests[2].card, 0, SEGMENTS);
	assert_int_equal(guests[1].card->count, 1);
	assert_int_equal(guests[1].card->frames[0].last, 7);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),	      cmocka_unit_test(test_to_many),
		cmocka_unit_test(test_not_cut),	      cmocka_unit_test(test_stop),
		cmocka_unit_test(test_uplink),	      cmocka_unit_test(test_looking_on),
		cmocka_unit_test(test_receiver_gone), cmocka_unit_test(test_standing_still),
	};

	return cmocka_run_group_tests_name("source_late", tests, NULL, NULL);
}
