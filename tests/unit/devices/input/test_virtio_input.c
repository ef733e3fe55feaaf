/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A keyboard and a tablet on real rings of four entries, as VMMs make them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <endian.h>
#include <linux/input.h>
#include <string.h>

#include "core/clock.h"
#include "core/loop.h"
#include "core/loop_account.h"
#include "core/memory_guard.h"
#include "devices/input/virtio_input.h"
#include "devices/input/virtio_input_format.h"
#include "patience.h"
#include "ring_driver.h"
#include "test_disk.h"

#define RING	     4u
#define EVENTS	     0u
#define STATUS	     1u
#define DATA	     (DRIVER_GUEST_BASE + DRIVER_DATA_OFFSET)
#define EVENT_BYTES  ((uint32_t)sizeof(struct virtio_input_event))
#define BUFFER_BYTES 16u /* one behind the other, by id */
#define STROKES	     3000u

static struct bench {
	struct loop *loop;
	struct virtio_input *device;
	struct ring_driver driver;
	struct virtqueue *queue;
	struct loop_guest *guest;
	struct loop_account *account;
	unsigned posted, taken; /* buffers of this ring */
	bool broken;
	unsigned led, led_on, leds;
	/* What the guest has heard. */
	bool down[KEY_CNT];
	unsigned x, y, wheel, reports, events;
} bench;

static void on_broken(void *context, enum virtqueue_violation violation, uint64_t value)
{
	bench.broken = true;
}

static void on_led(void *context, unsigned led, bool on)
{
	bench.led = led;
	bench.led_on = on;
	bench.leds++;
}

static void turn(void)
{
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(loop_turn(bench.loop, NS_PER_MS / 4), 0);
}

/* ---- queues ---- */

static void start(unsigned index, bool packed)
{
	struct virtqueue_setup setup;

	bench.posted = bench.taken = 0;
	ring_driver_init(&bench.driver, packed, RING,
			 1ull << VIRTIO_F_VERSION_1 | (packed ? 1ull << VIRTIO_F_RING_PACKED : 0));
	setup = ring_driver_setup(&bench.driver);
	setup.index = index;
	setup.loop = bench.loop;
	setup.account = bench.account;
	setup.model = &virtio_input_model;
	setup.device = bench.device;
	setup.broken = on_broken;
	assert_int_equal(virtqueue_start(&setup, &bench.queue), 0);
	turn();
}

static void on_stopped(void *context, const struct virtqueue_position *position)
{
	*(bool *)context = true;
}

static void stop(void)
{
	bool stopped = false;

	virtqueue_stop(bench.queue, on_stopped, &stopped);
	AWAIT(stopped, assert_int_equal(loop_turn(bench.loop, NS_PER_MS), 0));
	virtqueue_destroy(bench.queue);
	ring_driver_finish(&bench.driver);
}

static void create(enum virtio_input_kind kind)
{
	const struct loop_options loop = { .name = "test" };
	const struct virtio_input_options options = { .kind = kind, .led = on_led };

	memset(&bench, 0, sizeof(bench));
	assert_int_equal(memory_guard_install(), 0);
	assert_int_equal(loop_create(&loop, &bench.loop), 0);
	assert_int_equal(virtio_input_create(&options, &bench.device), 0);
	bench.guest = loop_guest_create();
	bench.account = loop_account_create(bench.guest, bench.loop);
}

static void destroy(void)
{
	virtio_input_destroy(bench.device);
	loop_account_close(bench.account);
	loop_guest_put(bench.guest);
	loop_turn(bench.loop, 0);
	loop_destroy(bench.loop);
}

static void begin(enum virtio_input_kind kind, unsigned index, bool packed)
{
	create(kind);
	start(index, packed);
}

static void end(void)
{
	stop();
	destroy();
}

/* ---- the guest ---- */

/* Posts as many buffers as the ring takes, or `count`. */
static void post(unsigned count)
{
	for (unsigned i = 0; i < count; i++, bench.posted++) {
		const struct driver_element element = { DATA + bench.posted % RING * BUFFER_BYTES,
							EVENT_BYTES, true };

		if (ring_driver_add(&bench.driver, &element, 1, false) < 0)
			break;
	}
	ring_driver_kick(&bench.driver);
	turn();
}

static void hear(const struct virtio_input_event *event)
{
	unsigned code = le16toh(event->code);
	uint32_t value = le32toh(event->value);

	bench.events++;
	switch (le16toh(event->type)) {
	case EV_SYN:
		bench.reports++;
		break;
	case EV_KEY:
		assert_in_range(value, 0, 1);
		bench.down[code] = value;
		break;
	case EV_ABS:
		*(code == ABS_X ? &bench.x : &bench.y) = value;
		break;
	case EV_REL:
		assert_int_equal(code, REL_WHEEL);
		bench.wheel += value;
		break;
	default:
		fail_msg("an event of type %u", le16toh(event->type));
	}
}

/* Buffers are used in the order in which they were posted. Returns how many were. */
static unsigned take(void)
{
	unsigned count = 0;
	uint32_t length;

	for (; ring_driver_take(&bench.driver, &length) >= 0; count++, bench.taken++) {
		struct virtio_input_event event;

		assert_int_equal(length, EVENT_BYTES);
		memcpy(&event, ring_driver_at(&bench.driver, DATA + bench.taken % RING * BUFFER_BYTES),
		       sizeof(event));
		hear(&event);
	}
	return count;
}

/* Until nothing more comes. */
static void hear_all(void)
{
	do
		post(RING);
	while (take() > 0);
}

static void stroke(unsigned code)
{
	virtio_input_key(bench.device, code, true);
	virtio_input_key(bench.device, code, false);
}

/* ---- events ---- */

static void keys_in_order(void **state)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		begin(VIRTIO_INPUT_KEYBOARD, EVENTS, packed);
		post(RING);
		assert_int_equal(take(), 0);
		virtio_input_key(bench.device, KEY_A, true);
		turn();
		assert_int_equal(take(), 2);
		assert_true(bench.down[KEY_A]);
		virtio_input_key(bench.device, KEY_A, true);
		virtio_input_key(bench.device, BTN_LEFT, true);
		virtio_input_key(bench.device, KEY_CNT, true);
		virtio_input_move(bench.device, 1, 1);
		virtio_input_turn_wheel(bench.device, 1);
		turn();
		assert_int_equal(take(), 0);
		virtio_input_key(bench.device, KEY_A, false);
		turn();
		assert_int_equal(take(), 2);
		assert_false(bench.down[KEY_A]);
		assert_int_equal(bench.reports, 2);
		end();
	}
}

/* Nothing is lost that comes faster than the driver posts buffers. */
static void more_than_the_ring_holds(void **state)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		begin(VIRTIO_INPUT_KEYBOARD, EVENTS, packed);
		for (unsigned i = 0; i < 30; i++)
			stroke(KEY_1 + i % 10);
		hear_all();
		assert_int_equal(bench.reports, 60);
		assert_int_equal(bench.events, 120);
		assert_int_equal(virtio_input_dropped(bench.device), 0);
		end();
	}
}

/* One whose release there was no room for. */
static void a_dropped_release_is_made_up_for(void **state)
{
	begin(VIRTIO_INPUT_KEYBOARD, EVENTS, false);
	virtio_input_key(bench.device, KEY_A, true);
	while (virtio_input_dropped(bench.device) == 0)
		stroke(KEY_B);
	virtio_input_key(bench.device, KEY_A, false);
	assert_in_range(virtio_input_dropped(bench.device), 2, 3);
	hear_all();
	assert_false(bench.down[KEY_A] || bench.down[KEY_B]);
	end();
}

static void no_key_sticks(void **state)
{
	uint64_t seed = test_seed("virtio_input");

	begin(VIRTIO_INPUT_KEYBOARD, EVENTS, false);
	for (unsigned i = 0; i < STROKES; i++) {
		unsigned code = KEY_1 + test_below(&seed, 60);

		virtio_input_key(bench.device, code, test_below(&seed, 2));
		if (test_below(&seed, 8) == 0) {
			post(1 + test_below(&seed, RING));
			take();
		}
	}
	assert_true(virtio_input_dropped(bench.device) > 0);
	for (unsigned code = 1; code < KEY_CNT; code++)
		virtio_input_key(bench.device, code, false);
	hear_all();
	for (unsigned code = 0; code < KEY_CNT; code++)
		assert_false(bench.down[code]);
	/* And it goes on. */
	virtio_input_key(bench.device, KEY_A, true);
	hear_all();
	assert_true(bench.down[KEY_A]);
	end();
}

static void motions_are_joined(void **state)
{
	begin(VIRTIO_INPUT_TABLET, EVENTS, false);
	for (unsigned i = 0; i < 100000; i++)
		virtio_input_move(bench.device, i % 1000, 2 * (i % 1000));
	hear_all();
	assert_int_equal(bench.reports, 1);
	assert_int_equal(bench.x, 999);
	assert_int_equal(bench.y, 1998);
	end();
	/* Not over a button, so that a click is where it was. */
	begin(VIRTIO_INPUT_TABLET, EVENTS, false);
	virtio_input_move(bench.device, 10, 10);
	virtio_input_key(bench.device, BTN_LEFT, true);
	virtio_input_move(bench.device, 20, UINT32_MAX);
	post(3);
	take();
	assert_int_equal(bench.x, 10);
	/* Nor into one that the guest has begun to hear of. */
	post(3);
	take();
	assert_int_equal(bench.x, 20);
	virtio_input_move(bench.device, 30, 30);
	hear_all();
	assert_int_equal(bench.x, 30);
	assert_int_equal(bench.y, 30);
	assert_true(bench.down[BTN_LEFT]);
	virtio_input_turn_wheel(bench.device, 2);
	virtio_input_turn_wheel(bench.device, -3);
	virtio_input_turn_wheel(bench.device, 0);
	hear_all();
	assert_int_equal(bench.wheel, (uint32_t)-1);
	assert_int_equal(virtio_input_dropped(bench.device), 0);
	end();
}

/* A key that came up while the guest stood still comes up when it goes on; a driver that begins anew knows of
 * none. */
static void keys_over_a_stop(void **state)
{
	begin(VIRTIO_INPUT_KEYBOARD, EVENTS, false);
	virtio_input_key(bench.device, KEY_A, true);
	hear_all();
	assert_true(bench.down[KEY_A]);
	stop();
	virtio_input_key(bench.device, KEY_A, false);
	stroke(KEY_B);
	start(EVENTS, false);
	hear_all();
	assert_false(bench.down[KEY_A]);
	assert_int_equal(bench.reports, 2);
	virtio_input_key(bench.device, KEY_A, true);
	hear_all();
	stop();
	virtio_input_model.reset(bench.device);
	virtio_input_key(bench.device, KEY_A, false);
	start(EVENTS, false);
	hear_all();
	assert_int_equal(bench.reports, 3);
	end();
}

/* ---- what the driver says ---- */

static void say(unsigned type, unsigned code, unsigned value)
{
	const struct virtio_input_event event = { htole16((uint16_t)type), htole16((uint16_t)code),
						  htole32(value) };
	const struct driver_element element = { DATA, EVENT_BYTES, false };
	uint32_t length;

	memcpy(ring_driver_at(&bench.driver, DATA), &event, sizeof(event));
	assert_true(ring_driver_add(&bench.driver, &element, 1, false) >= 0);
	ring_driver_kick(&bench.driver);
	turn();
	assert_true(ring_driver_take(&bench.driver, &length) >= 0);
	assert_int_equal(length, 0);
}

static void leds(void **state)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		begin(VIRTIO_INPUT_KEYBOARD, STATUS, packed);
		say(EV_LED, LED_CAPSL, 1);
		assert_int_equal(bench.leds, 1);
		assert_int_equal(bench.led, LED_CAPSL);
		assert_true(bench.led_on);
		say(EV_LED, LED_CAPSL, 0);
		assert_false(bench.led_on);
		/* Anything else is taken, and means nothing. */
		say(EV_LED, UINT16_MAX, 1);
		say(EV_SYN, 0, 0);
		say(UINT16_MAX, 1, 1);
		assert_int_equal(bench.leds, 2);
		end();
	}
}

/* Another driver has lit nothing yet. */
static void leds_go_out(void **state)
{
	begin(VIRTIO_INPUT_KEYBOARD, STATUS, false);
	say(EV_LED, LED_CAPSL, 1);
	virtio_input_model.reset(bench.device);
	assert_int_equal(bench.leds, 4);
	assert_false(bench.led_on);
	end();
}

static void chains_that_are_none(void **state)
{
	static const struct {
		unsigned index;
		struct driver_element element;
	} wrong[] = {
		{ EVENTS, { DATA, EVENT_BYTES - 1, true } }, { EVENTS, { DATA, EVENT_BYTES, false } },
		{ EVENTS, { 0x1000, EVENT_BYTES, true } },   { STATUS, { DATA, EVENT_BYTES - 1, false } },
		{ STATUS, { DATA, EVENT_BYTES, true } },     { STATUS, { 0x1000, EVENT_BYTES, false } },
	};

	for (unsigned i = 0; i < 2 * sizeof(wrong) / sizeof(wrong[0]); i++) {
		begin(VIRTIO_INPUT_KEYBOARD, wrong[i / 2].index, i % 2);
		assert_true(ring_driver_add(&bench.driver, &wrong[i / 2].element, 1, false) >= 0);
		ring_driver_kick(&bench.driver);
		stroke(KEY_A);
		turn();
		assert_true(bench.broken);
		stroke(KEY_B);
		turn();
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_in_order),
		cmocka_unit_test(more_than_the_ring_holds),
		cmocka_unit_test(a_dropped_release_is_made_up_for),
		cmocka_unit_test(no_key_sticks),
		cmocka_unit_test(motions_are_joined),
		cmocka_unit_test(keys_over_a_stop),
		cmocka_unit_test(leds),
		cmocka_unit_test(leds_go_out),
		cmocka_unit_test(chains_that_are_none),
	};

	return cmocka_run_group_tests_name("virtio_input", tests, NULL, NULL);
}
