/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/top/top_json.h"
#include "cli/top/top_screen.h"
#include "top_nic_fixture.h"

#define assert_near(a, b) assert_float_equal((float)(a), (float)(b), 1e-6f)

static struct top_sample *before, *now;
static struct top_view *view;

static int setup(void **state)
{
	before = top_nic_look_at(0);
	now = top_nic_look_at(1);
	return 0;
}

static int teardown(void **state)
{
	top_view_destroy(view);
	view = NULL;
	top_sample_destroy(before);
	top_sample_destroy(now);
	return 0;
}

/* The view of that kind, instead of the one before. */
static void look(enum top_kind kind)
{
	top_view_destroy(view);
	view = top_view_create(before, now, kind);
}

static struct top_listing *cards(struct top_sample *sample)
{
	return &sample->listings[TOP_RESOURCE_NIC];
}

/* ---- reading ---- */

static void test_everything_is_read(void **state)
{
	const struct top_leaf *bob = &cards(now)->leaves[2];
	const struct top_device *lan = &cards(now)->devices[0], *alone = &cards(now)->devices[1];

	assert_int_equal(now->listings[TOP_RESOURCE_DISK].leaf_count, 0);
	assert_int_equal(cards(now)->leaf_count, 4);
	assert_int_equal(cards(now)->device_count, 2);
	assert_string_equal(bob->name, "bob/eth0");
	assert_int_equal(bob->device, 0);
	assert_int_equal(bob->state, TOP_CONNECTED);
	assert_int_equal(bob->waiting, 32);
	assert_int_equal(bob->p99_ns, 2000000);
	assert_int_equal(bob->counters.out.count, 12500);
	assert_int_equal(bob->counters.out.bytes, 15625000);
	assert_int_equal(bob->counters.dropped, 1234);
	assert_int_equal(bob->counters.refused, 3);
	assert_int_equal(bob->largest_bytes, 1514);
	assert_near(bob->share.max_operations, 50000);
	assert_near(now->guests[0].share[TOP_RESOURCE_NIC].min_bandwidth, 12500000);
	assert_near(now->guests[0].share[TOP_RESOURCE_DISK].weight, 1);
	assert_near(now->groups[0].share[TOP_RESOURCE_NIC].weight, 200);
	assert_int_equal(lan->capacity_bandwidth, 125000000);
	assert_int_equal(lan->reserved_ppb, 100000000);
	assert_string_equal(lan->uplink, "tap:vtap0");
	assert_int_equal(lan->link, TOP_LINK_UP);
	assert_int_equal(lan->in.count, 10000);
	assert_int_equal(lan->out.bytes, 103125000);
	assert_int_equal(alone->link, TOP_LINK_NONE);
	assert_false(alone->failed);
}

/* Of one switch, and the card that is on it. */
static struct top_sample *parse(const char *switch_text, const char *card_text)
{
	json_t *status =
		json_pack("{s:[o], s:[o]}", "switches", json_loads(switch_text, JSON_DECODE_ANY, NULL),
			  "devices", json_loads(card_text, JSON_DECODE_ANY, NULL));
	struct top_sample *sample = top_sample_parse(status, NULL, 42);

	json_decref(status);
	return sample;
}

static void test_links(void **state)
{
	static const struct {
		const char *text;
		enum top_link link;
		bool failed;
	} links[] = {
		{ "{\"uplink\": {\"kind\": \"user\", \"link\": true}}", TOP_LINK_UP, false },
		{ "{\"uplink\": {\"kind\": \"tap\", \"link\": false}}", TOP_LINK_DOWN, true },
		{ "{\"uplink\": {\"kind\": \"tap\", \"error\": \"gone\"}}", TOP_LINK_FAILED, true },
		{ "{\"uplink\": {\"kind\": \"none\"}}", TOP_LINK_NONE, false },
		{ "{}", TOP_LINK_NONE, false },
		{ "7", TOP_LINK_NONE, false },
		{ "{\"uplink\": [1], \"capacity_bandwidth\": -1}", TOP_LINK_NONE, false },
	};

	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		struct top_sample *sample = parse(links[i].text, "{\"kind\": \"disk\"}");

		assert_int_equal(cards(sample)->device_count, 1);
		assert_int_equal(cards(sample)->devices[0].link, links[i].link);
		assert_true(cards(sample)->devices[0].failed == links[i].failed);
		assert_int_equal(cards(sample)->devices[0].capacity_bandwidth, 0);
		top_sample_destroy(sample);
	}
}

/* A daemon that knows nothing of shares of networks, and one that answers nonsense. */
static void test_absent_members_and_wrong_types(void **state)
{
	static const char *const texts[] = {
		"{\"kind\": \"nic\", \"name\": \"a/b\", \"guest\": \"a\", \"switch\": \"gone\"}",
		"{\"kind\": \"nic\", \"name\": 5, \"switch\": {}, \"sent\": 4, \"received\": [], "
		"\"dropped\": 9}",
		"{\"kind\": \"nic\", \"dropped\": {\"full\": \"x\", \"guard\": -1}, \"time\": {\"wait_ns\": "
		"3}}",
		"{\"kind\": \"nic\", \"time\": {\"device_ns\": -5}, \"share\": {\"max_pps\": -1}, "
		"\"sent\": {\"frames\": 1e300}}",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct top_sample *sample = parse("{\"name\": \"lan\"}", texts[i]);
		const struct top_leaf *card = &cards(sample)->leaves[0];

		assert_int_equal(cards(sample)->leaf_count, 1);
		assert_int_equal(cards(sample)->device_count, 2);
		assert_int_equal(card->device, 1);
		assert_int_equal(card->counters.dropped, 0);
		assert_int_equal(card->counters.device_ns, 0);
		assert_near(card->share.weight, 100);
		assert_near(card->share.max_operations, 0);
		top_sample_destroy(sample);
	}
}

/* ---- rates ---- */

static void test_cards(void **state)
{
	const struct top_row *alice, *bob, *carol;

	look(TOP_NICS);
	alice = &view->rows[0];
	bob = &view->rows[2];
	carol = &view->rows[3];
	assert_int_equal(view->row_count, 4);
	assert_int_equal(view->connected_count, 3);
	assert_near(view->cpu, 0.0825);
	assert_near(alice->out_count, 50000);
	assert_near(alice->out_bytes, 62500000);
	assert_near(alice->in_count, 10000);
	assert_near(alice->in_bytes, 1000000);
	assert_near(alice->device, 0.5);
	assert_near(alice->got, 500.0 / 825);
	/* 300 of gold's 400, gold 200 of 300. */
	assert_near(alice->due, 0.5);
	assert_near(bob->due, 1.0 / 6);
	assert_near(carol->due, 1.0 / 3);
	assert_near(view->rows[1].due, 0);
	assert_near(bob->dropped, 1234);
	assert_near(bob->p99_ns, 2000000);
	assert_near(view->rows[1].p99_ns, 0);
	assert_int_equal(view->rows[1].state, TOP_IDLE);
}

/* A part of the time between the samples; more than all of it is cut in proportion. */
static void test_waits(void **state)
{
	look(TOP_NICS);
	assert_near(view->rows[0].contended, 0.1);
	assert_near(view->rows[0].throttled, 0);
	assert_near(view->rows[1].contended, 0);
	assert_near(view->rows[2].contended, 0.8);
	assert_near(view->rows[3].throttled, 0.8);
	assert_near(view->rows[3].contended, 0.2);
	/* An idle card changes nothing of its guest's part, a busy one that does not wait halves it. */
	look(TOP_NIC_GUESTS);
	assert_near(view->rows[0].contended, 0.1);
	cards(now)->leaves[1].counters.operations = 1;
	look(TOP_NIC_GUESTS);
	assert_near(view->rows[0].contended, 0.05);
	cards(now)->leaves[1].counters.operations = 0;
	look(TOP_NIC_GROUPS);
	assert_near(view->rows[0].contended, 0.45);
}

static void test_marks(void **state)
{
	look(TOP_NICS);
	assert_near(view->rows[0].limit, 0);
	assert_near(view->rows[0].reservation, 0);
	assert_near(view->rows[2].limit, 50000 * 1250 / 125e6);
	assert_near(view->rows[3].limit, 0.2); /* 40000 frames of 1250 bytes would be more than 25 MB */
	look(TOP_NIC_GUESTS);
	assert_near(view->rows[0].reservation, 0.1);
	/* Which part of the uplink a number of frames is, is unknown before there are any. */
	top_view_destroy(view);
	view = top_view_create(NULL, now, TOP_NICS);
	assert_near(view->rows[2].limit, 0);
	assert_near(view->rows[3].limit, 0.2);
	/* Of what is cut into segments, each segment counts. */
	cards(now)->leaves[2].largest_bytes = 1000;
	look(TOP_NICS);
	assert_near(view->rows[2].limit, 50000 * 1000 / 125e6);
	cards(now)->devices[0].capacity_bandwidth = 0;
	look(TOP_NICS);
	assert_near(view->rows[3].limit, 0);
}

static void test_guests_and_groups(void **state)
{
	look(TOP_NIC_GUESTS);
	assert_int_equal(view->row_count, 3);
	assert_near(view->rows[0].out_count, 50000);
	assert_near(view->rows[0].share.weight, 300);
	assert_near(view->rows[0].due, 0.5);
	look(TOP_NIC_GROUPS);
	assert_int_equal(view->row_count, 1);
	assert_near(view->rows[0].share.weight, 200);
	assert_near(view->rows[0].device, 0.625);
	assert_near(view->rows[0].due, 2.0 / 3);
	assert_near(view->rows[0].dropped, 1234);
	assert_near(view->rows[0].waiting, 35);
	look(TOP_GUESTS);
	assert_near(view->rows[0].share.weight, 1);
	assert_near(view->rows[0].waiting, 0);
}

static void test_uplinks(void **state)
{
	look(TOP_NICS);
	assert_int_equal(view->device_count, 2);
	assert_string_equal(view->devices[0].device->name, "lan");
	assert_near(view->devices[0].busy, 0.825);
	assert_near(view->devices[0].out_count, 82500);
	assert_near(view->devices[0].out_bytes, 103125000);
	assert_near(view->devices[0].in_count, 10000);
	assert_near(view->devices[0].in_bytes, 1000000);
	assert_near(view->devices[1].busy, 0);
	/* Another switch came before it, and its uplink is another one. */
	strcpy(cards(before)->devices[0].name, "alone");
	strcpy(cards(before)->devices[1].name, "lan");
	cards(before)->devices[1].out.count = 99999;
	look(TOP_NICS);
	assert_near(view->devices[0].out_count, 0);
	assert_near(view->devices[0].in_count, 10000);
	/* It is new. */
	strcpy(cards(before)->devices[1].name, "gone");
	look(TOP_NICS);
	assert_near(view->devices[0].in_count, 0);
	before->pid = 78;
	look(TOP_NICS);
	assert_false(view->measured);
	assert_near(view->devices[0].busy, 0);
	assert_near(view->rows[0].out_count, 0);
	assert_near(view->rows[0].throttled, 0);
}

/* ---- what is shown ---- */

/* Not inlined: gcc 12 takes what the stream allocated for a part of the frame then (-Wdangling-pointer). */
__attribute__((noinline)) static void expect(const struct top_screen *screen, const char *expected)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	look(screen->kind);
	top_sort(view, screen);
	top_draw(view, screen, out);
	fclose(out);
	assert_string_equal(text, expected);
	free(text);
}

static void test_80_columns(void **state)
{
	struct top_screen screen = {
		.width = 80, .height = 9, .kind = TOP_NICS, .sort = TOP_COLUMN_DEV, .interval_ns = NS_PER_S
	};

	expect(&screen, "viaduct top  4 cards, 3 connected  CPU 8%  every 1 s  by dev\n"
			"lan           82% busy [######..  up  out 82500/s 103 MB/s  in 10000/s 1.0 MB/s \n"
			"alone          0% busy .........  no uplink\n"
			"  CARD        TX/s  RX/s TX MB RX MB DEV% [min  max]    GOT% DUE% THR% CON% DROP\n"
			"+ alice/eth0 50000 10000  62.5   1.0   50 #######......   61   50    0   10    0\n"
			"+ carol/eth0 20000     0  25.0   0.0   20 ##]             24   33   80   20    0\n"
			"+ bob/eth0   12500     0  15.6   0.0   12 ##....]         15   17    0   80 1234\n"
			"- alice/eth1     0     0   0.0   0.0    0 .............    0    0    0    0    0\n"
			"q quit  n disks  g guests  s sort  r reverse  p pause  +- pace\n");
}

static void test_132_columns(void **state)
{
	struct top_screen screen = { .width = 132,
				     .height = 9,
				     .kind = TOP_NIC_GUESTS,
				     .sort = TOP_COLUMN_DROP,
				     .interval_ns = NS_PER_S };

	expect(&screen, "viaduct top  4 cards, 3 connected  CPU 8%  every 1 s  by drop\n"
			"lan           82% busy #[############...  up  out 82500/s 103 MB/s  in 10000/s"
			" 1.0 MB/s  of 125 MB/s  tap:vtap0\n"
			"alone          0% busy .................  no uplink\n"
			"  GUEST       TX/s  RX/s TX MB RX MB DEV% [min  max]            GOT% DUE% CPU%"
			" THR% CON%   P99 DROP  WAIT WEIGHT MIN MB MAX MB MAX/s\n"
			"+ bob        12500     0  15.6   0.0   12 ###..................   15   17  1.2"
			"    0   80 2.0ms 1234    32    100      -      -     -\n"
			"+ alice      50000 10000  62.5   1.0   50 ##[########..........   61   50  5.0"
			"    0   10 2.0ms    0     3    300   12.5      -     -\n"
			"+ carol      20000     0  25.0   0.0   20 ####.................   24   33  2.0"
			"   80   20 2.0ms    0    64    100      -      -     -\n"
			"\n"
			"q quit  n disks  g groups  s sort  r reverse  p pause  +- pace\n");
}

static void test_uplinks_in_trouble(void **state)
{
	struct top_screen screen = {
		.width = 80, .kind = TOP_NIC_GROUPS, .sort = TOP_COLUMN_NAME, .interval_ns = NS_PER_S
	};

	cards(now)->devices[0].link = TOP_LINK_DOWN;
	cards(now)->devices[1].link = TOP_LINK_FAILED;
	strcpy(cards(now)->devices[1].uplink, "user");
	expect(&screen, "viaduct top  4 cards, 3 connected  CPU 8%  every 1 s  by name\n"
			"lan           82% busy [######..  down  out 82500/s 103 MB/s  in 10000/s 1.0 MB/\n"
			"alone          0% busy .........  failed  of 1250 MB/s  user\n"
			"  GROUP       TX/s  RX/s TX MB RX MB DEV% [min  max]    GOT% DUE% THR% CON% DROP\n"
			"+ gold       62500 10000  78.1   1.0   62 ########.....   76   67    0   45 1234\n");
}

static void test_json(void **state)
{
	json_t *json = top_json(before, now), *card = json_array_get(json_object_get(json, "nics"), 3);
	json_t *lan = json_array_get(json_object_get(json, "switches"), 0);

	assert_string_equal(json_string_value(json_object_get(card, "name")), "carol/eth0");
	assert_near(json_real_value(json_object_get(card, "sent_pps")), 20000);
	assert_near(json_real_value(json_object_get(card, "throttled_part")), 0.8);
	assert_int_equal(json_integer_value(json_object_get(card, "max_bandwidth")), 25000000);
	assert_int_equal(json_integer_value(json_object_get(card, "wait_p99_ns")), 2000000);
	assert_string_equal(json_string_value(json_object_get(lan, "uplink")), "tap:vtap0");
	assert_string_equal(json_string_value(json_object_get(lan, "link")), "up");
	assert_near(json_real_value(json_object_get(lan, "to_uplink_pps")), 82500);
	assert_near(json_real_value(json_object_get(json, "cpu_part")), 0.0825);
	assert_int_equal(json_array_size(json_object_get(json, "nic_guests")), 3);
	assert_int_equal(json_array_size(json_object_get(json, "nic_groups")), 1);
	assert_int_equal(json_array_size(json_object_get(json, "disks")), 0);
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_everything_is_read, setup, teardown),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_absent_members_and_wrong_types),
		cmocka_unit_test_setup_teardown(test_cards, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_marks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guests_and_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(test_uplinks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_80_columns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_132_columns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_uplinks_in_trouble, setup, teardown),
		cmocka_unit_test_setup_teardown(test_json, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
