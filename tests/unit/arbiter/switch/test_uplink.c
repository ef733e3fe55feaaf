/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The uplink: what goes to the world and what comes from it, with VLANs, and a physical card without room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>

#include "arbiter/switch/mirror.h"
#include "core/clock.h"
#include "host/host_nic.h"
#include "switch_bench.h"

static const uint8_t world[6] = { 2, 0, 0, 0, 1, 0 };

static struct loop *loop;
static struct vswitch *vswitch;
static struct host_nic *nic;
static struct port *uplink;
static struct card *cards[3];
static unsigned link_changes;

static void link_changed(void *context)
{
	link_changes++;
}

/* Cards 0 and 1 have no VLAN, card 2 is in VLAN 10. */
static void begin(unsigned room)
{
	const struct nic_memory_options options = { .room = room };
	const struct port_settings up = { .link = true };
	struct loop_options loop_options = { .name = "test" };

	link_changes = 0;
	assert_int_equal(loop_create(&loop_options, &loop), 0);
	assert_int_equal(nic_memory_open(&options, &nic), 0);
	assert_int_equal(vswitch_create(0, &vswitch), 0);
	assert_int_equal(vswitch_uplink_create(vswitch, nic, &up, link_changed, NULL, &uplink), 0);
	assert_int_equal(vswitch_uplink_start(uplink, loop), 0);
	for (unsigned i = 0; i < 3; i++) {
		struct port_settings settings = settings_of_card();

		settings.vlan = i == 2 ? 10 : 0;
		cards[i] = card_new(vswitch, loop, i, &settings);
	}
}

static void end(void)
{
	for (unsigned i = 0; i < 3; i++)
		card_free(cards[i]);
	vswitch_uplink_stop(uplink);
	port_destroy(uplink);
	vswitch_destroy(vswitch);
	nic->ops->close(nic);
	loop_turn(loop, 0);
	loop_destroy(loop);
}

/* Turns the loop until frames that were injected have come. */
static void turn(void)
{
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(loop_turn(loop, 0), 0);
}

static void inject(const uint8_t *to, const uint8_t *from, uint8_t mark)
{
	uint8_t bytes[60];

	frame_bytes(bytes, sizeof(bytes), to, from, mark);
	assert_int_equal(nic_memory_inject(nic, 0, bytes, sizeof(bytes), NULL), 0);
}

static void send_to_world(struct card *card, uint8_t mark)
{
	uint8_t bytes[60];

	frame_bytes(bytes, sizeof(bytes), world, port_address(card->port), mark);
	send_bytes(card, bytes, sizeof(bytes));
}

static void test_unknown_goes_up(void **state)
{
	uint8_t bytes[100];

	begin(0);
	send_to_world(cards[0], 7);
	assert_int_equal(nic_memory_take(nic, bytes, sizeof(bytes), NULL), 60);
	assert_memory_equal(bytes, world, 6);
	assert_int_equal(bytes[59], 7);
	/* What is for a guest never leaves the host. */
	send_to(cards[0], 1, 8);
	assert_int_equal(nic_memory_take(nic, bytes, sizeof(bytes), NULL), 0);
	assert_int_equal(cards[1]->count, 1);
	send_to_all(cards[0], 9);
	assert_int_equal(nic_memory_take(nic, bytes, sizeof(bytes), NULL), 60);
	assert_int_equal(cards[1]->count, 2);
	end();
}

static void test_from_the_world(void **state)
{
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	uint8_t address[6], nobody[6];
	struct port_totals totals;

	begin(0);
	card_address(address, 0);
	card_address(nobody, 99);
	inject(address, world, 1);
	inject(broadcast, world, 2);
	/* Not flooded to guests, and not sent back. */
	inject(nobody, world, 3);
	/* A guest's own address does not come from outside. */
	inject(address, port_address(cards[1]->port), 4);
	turn();
	assert_int_equal(cards[0]->count, 2);
	assert_int_equal(cards[0]->frames[0].last, 1);
	assert_int_equal(cards[1]->count, 1);
	assert_int_equal(cards[2]->count, 0);
	port_totals(uplink, &totals);
	assert_int_equal(totals.dropped[PORT_DROP_UNKNOWN], 1);
	assert_int_equal(totals.dropped[PORT_DROP_SOURCE], 1);
	end();
}

static void test_vlans_are_tagged_outside(void **state)
{
	uint8_t bytes[100], address[6];

	begin(0);
	send_to_world(cards[2], 7);
	assert_int_equal(nic_memory_take(nic, bytes, sizeof(bytes), NULL), 64);
	assert_memory_equal(bytes + 12, "\x81\x00\x00\x0a\x88\xb5", 6);
	assert_int_equal(bytes[63], 7);
	/* And back, for its VLAN only. */
	card_address(address, 2);
	memcpy(bytes, address, 6);
	memcpy(bytes + 6, world, 6);
	assert_int_equal(nic_memory_inject(nic, 0, bytes, 64, NULL), 0);
	card_address(address, 0);
	memcpy(bytes, address, 6);
	assert_int_equal(nic_memory_inject(nic, 0, bytes, 64, NULL), 0);
	turn();
	assert_int_equal(cards[2]->count, 1);
	assert_int_equal(cards[2]->frames[0].bytes, 60);
	assert_int_equal(cards[0]->count, 0);
	end();
}

static void test_no_room_outside(void **state)
{
	uint8_t bytes[100], mark = 0, expected = 0;

	begin(4);
	for (; mark < 50; mark++)
		send_to_world(cards[0], mark);
	/* What the card does not take waits, in order. */
	for (; expected < 50; expected++) {
		while (nic_memory_take(nic, bytes, sizeof(bytes), NULL) == 0)
			turn();
		assert_int_equal(bytes[59], expected);
	}
	assert_int_equal(dropped(cards[0], PORT_DROP_FULL), 0);
	end();
}

static void test_link(void **state)
{
	begin(0);
	assert_true(port_link(uplink));
	nic_memory_link(nic, false);
	turn();
	assert_int_equal(link_changes, 1);
	assert_false(port_link(uplink));
	send_to_world(cards[0], 1);
	assert_int_equal(counter_read(&nic->counters.no_link), 1);
	nic_memory_link(nic, true);
	turn();
	assert_int_equal(link_changes, 2);
	assert_true(port_link(uplink));
	end();
}

static void test_one_uplink(void **state)
{
	const struct port_settings up = { .link = true };
	struct port *other;

	begin(0);
	assert_int_equal(vswitch_uplink_create(vswitch, nic, &up, NULL, NULL, &other), -EBUSY);
	end();
}

static void nothing(void *context)
{
}

/* What came from the world is what the uplink's port has sent, and what goes there is as the card gets it. */
static void test_mirror(void **state)
{
	struct port_mirror *mirror;
	struct mirrored_frame *frame;

	begin(0);
	assert_ptr_equal(vswitch_uplink(vswitch), uplink);
	assert_int_equal(port_mirror_open(uplink,
					  &(struct port_mirror_options){ .loop = loop, .ready = nothing },
					  &mirror),
			 0);
	inject(port_address(cards[0]->port), world, 1);
	turn();
	frame = port_mirror_next(mirror);
	assert_non_null(frame);
	assert_true(frame->sent && frame->bytes[59] == 1);
	/* Of VLAN 10, with its tag. */
	send_to_world(cards[2], 2);
	frame = port_mirror_next(mirror);
	assert_non_null(frame);
	assert_true(!frame->sent && frame->frame_bytes == 64 && frame->bytes[63] == 2);
	/* Between guests: not the uplink's. */
	send_to(cards[0], 1, 3);
	assert_null(port_mirror_next(mirror));
	port_mirror_close(mirror);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unknown_goes_up),
		cmocka_unit_test(test_from_the_world),
		cmocka_unit_test(test_vlans_are_tagged_outside),
		cmocka_unit_test(test_no_room_outside),
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_one_uplink),
		cmocka_unit_test(test_mirror),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
