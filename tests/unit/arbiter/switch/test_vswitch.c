/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which frames a switch forwards, to which ports, and why it drops the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>

#include "core/clock.h"
#include "switch_bench.h"

static struct loop *loop;
static struct vswitch *vswitch;
static struct card *cards[8];

static void begin(unsigned count, const struct port_settings *settings)
{
	struct loop_options options = { .name = "test" };

	assert_int_equal(loop_create(&options, &loop), 0);
	assert_int_equal(vswitch_create(0, &vswitch), 0);
	for (unsigned i = 0; i < count; i++) {
		struct port_settings usual = settings_of_card();

		cards[i] = card_new(vswitch, loop, i, settings ? &settings[i] : &usual);
	}
}

static void end(void)
{
	for (unsigned i = 0; i < 8; i++) {
		if (cards[i])
			card_free(cards[i]);
		cards[i] = NULL;
	}
	vswitch_destroy(vswitch);
	loop_turn(loop, 0);
	loop_destroy(loop);
}

static void test_goes_to_its_address_only(void **state)
{
	begin(3, NULL);
	send_to(cards[0], 1, 77);
	assert_int_equal(cards[1]->count, 1);
	assert_int_equal(cards[1]->frames[0].bytes, 60);
	assert_int_equal(cards[1]->frames[0].last, 77);
	assert_int_equal(cards[0]->count + cards[2]->count, 0);
	send_to_all(cards[2], 78);
	assert_int_equal(cards[0]->count, 1);
	assert_int_equal(cards[1]->count, 2);
	assert_int_equal(cards[2]->count, 0);
	/* To nobody that is here, and there is no uplink; to itself. */
	send_to(cards[0], 99, 79);
	send_to(cards[0], 0, 80);
	assert_int_equal(dropped(cards[0], PORT_DROP_UNKNOWN), 2);
	assert_int_equal(cards[0]->count + cards[1]->count + cards[2]->count, 3);
	end();
}

static void test_source_is_the_ports_own(void **state)
{
	uint8_t bytes[60], to[6], from[6];

	begin(2, NULL);
	card_address(to, 1);
	for (unsigned bad = 0; bad < 4; bad++) {
		card_address(from, bad == 0 ? 5 : bad == 1 ? 1 : 0);
		if (bad == 2)
			from[0] |= 1;
		if (bad == 3)
			memset(from, 0, sizeof(from));
		frame_bytes(bytes, sizeof(bytes), to, from, 0);
		send_bytes(cards[0], bytes, sizeof(bytes));
		assert_int_equal(dropped(cards[0], PORT_DROP_SOURCE), bad + 1);
	}
	assert_int_equal(cards[1]->count, 0);
	end();
}

static void test_learns_where_it_may(void **state)
{
	struct port_settings settings[3] = { settings_of_card(), settings_of_card(), settings_of_card() };
	uint8_t bytes[60], to[6], from[6];
	struct port_totals totals;

	settings[0].learn = true;
	begin(3, settings);
	card_address(to, 1);
	card_address(from, 40);
	frame_bytes(bytes, sizeof(bytes), to, from, 0);
	send_bytes(cards[0], bytes, sizeof(bytes));
	assert_int_equal(cards[1]->count, 1);
	/* The answer finds its way, and another port cannot have the address of a third. */
	send_to(cards[1], 40, 1);
	assert_int_equal(cards[0]->count, 1);
	card_address(from, 2);
	frame_bytes(bytes, sizeof(bytes), to, from, 0);
	send_bytes(cards[0], bytes, sizeof(bytes));
	assert_int_equal(dropped(cards[0], PORT_DROP_SOURCE), 1);
	/* No more than its quota, whatever it makes up. */
	for (unsigned i = 0; i < 2 * PORT_LEARNED_MAX; i++) {
		card_address(from, 41);
		from[4] = (uint8_t)(i + 1);
		frame_bytes(bytes, sizeof(bytes), to, from, 0);
		send_bytes(cards[0], bytes, sizeof(bytes));
	}
	port_totals(cards[0]->port, &totals);
	assert_int_equal(totals.learned, PORT_LEARNED_MAX);
	vswitch_age(vswitch, clock_now_ns() + (VSWITCH_AGEING_S_DEFAULT + 1) * NS_PER_S);
	port_totals(cards[0]->port, &totals);
	assert_int_equal(totals.learned, 0);
	end();
}

static void test_link(void **state)
{
	struct port_settings down = settings_of_card();

	down.link = false;
	begin(2, NULL);
	port_set(cards[1]->port, &down);
	send_to(cards[0], 1, 0);
	send_to(cards[1], 0, 0);
	assert_int_equal(cards[0]->count + cards[1]->count, 0);
	assert_int_equal(dropped(cards[0], PORT_DROP_LINK), 1);
	assert_int_equal(dropped(cards[1], PORT_DROP_LINK), 1);
	down.link = true;
	port_set(cards[1]->port, &down);
	send_to(cards[0], 1, 0);
	assert_int_equal(cards[1]->count, 1);
	end();
}

static void test_isolated(void **state)
{
	struct port_settings settings[3] = { settings_of_card(), settings_of_card(), settings_of_card() };

	settings[0].isolated = settings[1].isolated = true;
	begin(3, settings);
	send_to(cards[0], 1, 0);
	assert_int_equal(dropped(cards[0], PORT_DROP_ISOLATED), 1);
	send_to_all(cards[0], 0);
	assert_int_equal(cards[1]->count, 0);
	assert_int_equal(cards[2]->count, 1);
	send_to(cards[2], 0, 0);
	assert_int_equal(cards[0]->count, 1);
	end();
}

static void tag(uint8_t *bytes, unsigned type, unsigned vlan)
{
	memmove(bytes + 16, bytes + 12, 48);
	bytes[12] = (uint8_t)(type >> 8);
	bytes[13] = (uint8_t)type;
	bytes[14] = (uint8_t)(vlan >> 8);
	bytes[15] = (uint8_t)vlan;
}

/* Ports 0 and 1 in VLAN 10, 2 in VLAN 20, 3 a trunk of both, 4 without any. */
static void begin_vlans(void)
{
	struct port_settings settings[5];

	for (unsigned i = 0; i < 5; i++)
		settings[i] = settings_of_card();
	settings[0].vlan = settings[1].vlan = 10;
	settings[2].vlan = 20;
	settings[3].trunk = true;
	settings[3].trunk_vlans[0] = 1u << 10 | 1u << 20;
	begin(5, settings);
}

static void test_vlans(void **state)
{
	begin_vlans();
	send_to(cards[0], 1, 0);
	assert_int_equal(cards[1]->count, 1);
	send_to(cards[0], 2, 0);
	send_to(cards[0], 4, 0);
	assert_int_equal(dropped(cards[0], PORT_DROP_VLAN), 2);
	send_to(cards[0], 3, 55);
	assert_int_equal(cards[3]->count, 1);
	assert_int_equal(cards[3]->frames[0].bytes, 64);
	assert_memory_equal(cards[3]->frames[0].head + 12, "\x81\x00\x00\x0a\x88\xb5", 6);
	assert_int_equal(cards[3]->frames[0].last, 55);
	send_to_all(cards[2], 0);
	assert_int_equal(cards[3]->count, 2);
	assert_memory_equal(cards[3]->frames[1].head + 12, "\x81\x00\x00\x14", 4);
	assert_int_equal(cards[0]->count + cards[4]->count, 0);
	end();
}

static void test_tags_from_guests(void **state)
{
	uint8_t bytes[64], to[6];

	begin_vlans();
	card_address(to, 1);
	frame_bytes(bytes, 60, to, port_address(cards[3]->port), 66);
	/* A trunk has no untagged VLAN unless it says so. */
	send_bytes(cards[3], bytes, 60);
	tag(bytes, 0x8100, 0x600a);
	send_bytes(cards[3], bytes, 64);
	assert_int_equal(cards[1]->count, 1);
	assert_int_equal(cards[1]->frames[0].bytes, 60);
	assert_memory_equal(cards[1]->frames[0].head + 12, "\x88\xb5", 2);
	assert_int_equal(cards[1]->frames[0].last, 66);
	/* A VLAN that is not the trunk's; two tags; one at an access port, unless it is for priority only. */
	tag(bytes, 0x8100, 30);
	memmove(bytes + 16, bytes + 20, 44);
	send_bytes(cards[3], bytes, 60);
	frame_bytes(bytes, 60, to, port_address(cards[3]->port), 66);
	tag(bytes, 0x8100, 10);
	memmove(bytes + 20, bytes + 16, 44);
	memcpy(bytes + 16, "\x81\x00\x00\x0a", 4);
	send_bytes(cards[3], bytes, 64);
	assert_int_equal(dropped(cards[3], PORT_DROP_VLAN), 3);
	frame_bytes(bytes, 60, to, port_address(cards[0]->port), 67);
	tag(bytes, 0x8100, 10);
	send_bytes(cards[0], bytes, 64);
	assert_int_equal(dropped(cards[0], PORT_DROP_VLAN), 1);
	assert_int_equal(cards[1]->count, 1);
	bytes[14] = 0xe0;
	bytes[15] = 0;
	send_bytes(cards[0], bytes, 64);
	assert_int_equal(cards[1]->count, 2);
	assert_int_equal(cards[1]->frames[1].bytes, 60);
	end();
}

static void test_promiscuous(void **state)
{
	struct port_settings settings[4] = { settings_of_card(), settings_of_card(), settings_of_card(),
					     settings_of_card() };

	settings[2].promiscuous = settings[3].promiscuous = true;
	settings[3].vlan = 9;
	begin(4, settings);
	send_to(cards[0], 1, 3);
	assert_int_equal(cards[1]->count, 1);
	assert_int_equal(cards[2]->count, 1);
	assert_int_equal(cards[2]->frames[0].last, 3);
	assert_int_equal(cards[3]->count, 0);
	settings[2].promiscuous = false;
	port_set(cards[2]->port, &settings[2]);
	send_to(cards[0], 1, 3);
	assert_int_equal(cards[2]->count, 1);
	end();
}

static void test_flood_limit(void **state)
{
	struct port_settings settings[2] = { settings_of_card(), settings_of_card() };
	uint64_t refused;

	settings[0].flood_limit = 1000;
	begin(2, settings);
	/* A tenth of a second's worth at once; time goes on only as the loop turns. */
	loop_turn(loop, 0);
	for (unsigned i = 0; i < 1000; i++)
		send_to_all(cards[0], 0);
	refused = dropped(cards[0], PORT_DROP_FLOOD);
	assert_in_range(refused, 800, 900);
	assert_int_equal(cards[1]->count, 1000 - refused);
	/* Frames to one are not limited. */
	send_to(cards[0], 1, 0);
	assert_int_equal(cards[1]->count, 1001 - refused);
	end();
}

/* A frame that may have to be cut for every receiver counts as its segments. */
static void test_flood_limit_counts_segments(void **state)
{
	/* Ethernet, IPv4 and UDP headers of a datagram to all, with the checksum left open. */
	static const uint8_t head[] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0,  0,  0,	0,    8,  0,
		0x45, 0,    0x03, 0xe8, 0,    0,    0, 0, 64, 17, 0,	0,    10, 0,
		0,    1,    255,  255,	255,  255,  0, 1, 0,  2,  0x03, 0xd4, 0,  0,
	};
	struct port_settings settings[2] = { settings_of_card(), settings_of_card() };
	uint8_t bytes[1014] = { 0 };
	struct iovec iov = { bytes, sizeof(bytes) };
	struct frame frame = {
		.iov = &iov,
		.iov_count = 1,
		.bytes = sizeof(bytes),
		.offload = { .flags = FRAME_CSUM_NEEDED,
			     .gso_type = FRAME_GSO_UDP,
			     .gso_bytes = 10,
			     .csum_start = 34,
			     .csum_offset = 6 },
	};

	memcpy(bytes, head, sizeof(head));
	settings[0].flood_limit = 1000;
	begin(2, settings);
	loop_turn(loop, 0);
	for (unsigned i = 0; i < 10; i++)
		port_send(cards[0]->source, &frame, 1);
	assert_int_equal(dropped(cards[0], PORT_DROP_MALFORMED), 0);
	/* 102 tokens for a bucket of 100: the first one leaves a debt. */
	assert_int_equal(cards[1]->count, 1);
	assert_int_equal(dropped(cards[0], PORT_DROP_FLOOD), 9);
	end();
}

static void test_between_bridges_only(void **state)
{
	static const uint8_t bpdu[6] = { 0x01, 0x80, 0xc2, 0, 0, 0 };
	uint8_t bytes[60];

	begin(2, NULL);
	frame_bytes(bytes, sizeof(bytes), bpdu, port_address(cards[0]->port), 0);
	send_bytes(cards[0], bytes, sizeof(bytes));
	assert_int_equal(cards[1]->count, 0);
	assert_int_equal(dropped(cards[0], PORT_DROP_UNKNOWN), 1);
	end();
}

/* The frames of one batch come in order, and the batch is cut where receivers change. */
static void test_batch(void **state)
{
	uint8_t bytes[PORT_BATCH][60], to[6];
	struct frame frames[PORT_BATCH];
	struct iovec iov[PORT_BATCH][3];

	begin(3, NULL);
	for (unsigned i = 0; i < PORT_BATCH; i++) {
		card_address(to, 1 + i / 8 % 2);
		frame_bytes(bytes[i], 60, to, port_address(cards[0]->port), (uint8_t)i);
		iov[i][0] = (struct iovec){ bytes[i], 5 };
		iov[i][1] = (struct iovec){ bytes[i] + 5, 54 };
		iov[i][2] = (struct iovec){ bytes[i] + 59, 1 };
		frames[i] = (struct frame){ .iov = iov[i], .iov_count = 3, .bytes = 60 };
	}
	port_send(cards[0]->source, frames, PORT_BATCH);
	assert_int_equal(cards[1]->count, PORT_BATCH / 2);
	assert_int_equal(cards[2]->count, PORT_BATCH / 2);
	for (unsigned i = 0; i < PORT_BATCH; i++)
		assert_int_equal(cards[1 + i / 8 % 2]->frames[i / 16 * 8 + i % 8].last, i);
	end();
}

/* A receiver without buffers: frames wait in order, then are lost; another one notices nothing. */
static void test_no_buffers(void **state)
{
	unsigned sent = 0;

	begin(3, NULL);
	cards[1]->room = 2;
	while (dropped(cards[1], PORT_DROP_FULL) == 0) {
		send_to(cards[0], 1, (uint8_t)sent++);
		send_to(cards[0], 2, 9);
		cards[2]->count = 0;
	}
	assert_int_equal(cards[1]->count, 2);
	assert_true(port_sink_waits(cards[1]->sink));
	cards[1]->room = 3;
	port_sink_resume(cards[1]->sink);
	assert_int_equal(cards[1]->count, 5);
	for (unsigned n = 5; port_sink_waits(cards[1]->sink);) {
		cards[1]->room = CARD_FRAMES_MAX;
		port_sink_resume(cards[1]->sink);
		for (; n < cards[1]->count; n++)
			assert_int_equal(cards[1]->frames[n % CARD_FRAMES_MAX].last, (uint8_t)n);
		if (cards[1]->count == CARD_FRAMES_MAX)
			break;
		loop_turn(loop, 0);
	}
	end();
}

static void test_names_and_errors(void **state)
{
	struct port_settings usual = settings_of_card();
	uint8_t address[6], none[6] = { 0 };
	struct port *port;

	begin(1, NULL);
	assert_string_equal(port_name(cards[0]->port), "guest0/eth0");
	card_address(address, 0);
	assert_int_equal(port_create(vswitch, "x/y", address, 1500, &usual, &port), -EEXIST);
	card_address(address, 1);
	assert_int_equal(port_create(vswitch, "x/y", address, 67, &usual, &port), -EINVAL);
	assert_int_equal(port_create(vswitch, "x/y", address, 65536, &usual, &port), -EINVAL);
	assert_int_equal(port_create(vswitch, "x/y", none, 1500, &usual, &port), -EINVAL);
	address[0] = 3;
	assert_int_equal(port_create(vswitch, "x/y", address, 1500, &usual, &port), -EINVAL);
	for (unsigned i = 0; i < PORT_DROPS; i++)
		assert_non_null(port_drop_text(i));
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_goes_to_its_address_only),
		cmocka_unit_test(test_source_is_the_ports_own),
		cmocka_unit_test(test_learns_where_it_may),
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_isolated),
		cmocka_unit_test(test_vlans),
		cmocka_unit_test(test_tags_from_guests),
		cmocka_unit_test(test_promiscuous),
		cmocka_unit_test(test_flood_limit),
		cmocka_unit_test(test_flood_limit_counts_segments),
		cmocka_unit_test(test_between_bridges_only),
		cmocka_unit_test(test_batch),
		cmocka_unit_test(test_no_buffers),
		cmocka_unit_test(test_names_and_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
