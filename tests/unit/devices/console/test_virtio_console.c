/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A console on real rings: what is said and typed, long and hostile chains, a ring that stops in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "core/clock.h"
#include "core/loop.h"
#include "core/loop_account.h"
#include "core/memory_guard.h"
#include "devices/console/virtio_console.h"
#include "devices/console/virtio_console_format.h"
#include "patience.h"
#include "ring_driver.h"

#define RING 8u
#define DATA (DRIVER_GUEST_BASE + DRIVER_DATA_OFFSET)

static struct bench {
	struct loop *loop;
	struct virtio_console *device;
	struct ring_driver driver;
	struct virtqueue *queue;
	struct loop_guest *guest;
	struct loop_account *account;
	bool broken;
	uint64_t heard, heard_in_turn, most_in_turn;
	char last[64];
} bench;

static void on_broken(void *context, enum virtqueue_violation violation, uint64_t value)
{
	bench.broken = true;
}

static void on_output(void *context, const uint8_t *bytes, size_t count)
{
	size_t used = strlen(bench.last), room = sizeof(bench.last) - 1 - used;

	memcpy(bench.last + used, bytes, count < room ? count : room);
	bench.heard += count;
	bench.heard_in_turn += count;
}

static void one_turn(void)
{
	bench.heard_in_turn = 0;
	assert_int_equal(loop_turn(bench.loop, NS_PER_MS / 4), 0);
	if (bench.heard_in_turn > bench.most_in_turn)
		bench.most_in_turn = bench.heard_in_turn;
}

static void turn(void)
{
	for (unsigned i = 0; i < 4; i++)
		one_turn();
}

/* ---- queues ---- */

static void start(unsigned index, bool packed)
{
	struct virtqueue_setup setup;

	ring_driver_init(&bench.driver, packed, RING,
			 1ull << VIRTIO_F_VERSION_1 | (packed ? 1ull << VIRTIO_F_RING_PACKED : 0));
	setup = ring_driver_setup(&bench.driver);
	setup.index = index;
	setup.loop = bench.loop;
	setup.account = bench.account;
	setup.model = &virtio_console_model;
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
	AWAIT(stopped, one_turn());
	virtqueue_destroy(bench.queue);
	ring_driver_finish(&bench.driver);
}

static void create(void)
{
	const struct loop_options loop = { .name = "test" };
	const struct virtio_console_options options = { .output = on_output };

	memset(&bench, 0, sizeof(bench));
	assert_int_equal(memory_guard_install(), 0);
	assert_int_equal(loop_create(&loop, &bench.loop), 0);
	assert_int_equal(virtio_console_create(&options, &bench.device), 0);
	bench.guest = loop_guest_create();
	bench.account = loop_account_create(bench.guest, bench.loop);
}

static void destroy(void)
{
	virtio_console_destroy(bench.device);
	loop_account_close(bench.account);
	loop_guest_put(bench.guest);
	loop_turn(bench.loop, 0);
	loop_destroy(bench.loop);
}

static void begin(unsigned index, bool packed)
{
	create();
	start(index, packed);
}

static void end(void)
{
	stop();
	destroy();
}

static void add(uint64_t address, uint32_t length, bool writes)
{
	const struct driver_element element = { address, length, writes };

	assert_true(ring_driver_add(&bench.driver, &element, 1, false) >= 0);
	ring_driver_kick(&bench.driver);
}

static ssize_t type(const char *text)
{
	return virtio_console_type(bench.device, (const uint8_t *)text, strlen(text));
}

/* The driver's next buffer, which holds this. */
static void is_typed(uint64_t address, const char *text)
{
	uint32_t length;

	AWAIT(ring_driver_take(&bench.driver, &length) >= 0, one_turn());
	assert_int_equal(length, strlen(text));
	assert_memory_equal(ring_driver_at(&bench.driver, address), text, length);
}

static void is_answered(void)
{
	uint32_t length;

	AWAIT(ring_driver_take(&bench.driver, &length) >= 0, one_turn());
	assert_int_equal(length, 0);
}

/* ---- friendly ---- */

static void what_is_said(void **state)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		begin(VIRTIO_CONSOLE_TRANSMIT, packed);
		memcpy(ring_driver_at(&bench.driver, DATA), "login: ", 7);
		add(DATA, 7, false);
		is_answered();
		assert_string_equal(bench.last, "login: ");
		add(DATA, 5, false);
		add(DATA + 5, 2, false);
		is_answered();
		is_answered();
		assert_string_equal(bench.last, "login: login: ");
		end();
	}
}

static void what_is_typed(void **state)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		begin(VIRTIO_CONSOLE_RECEIVE, packed);
		add(DATA, 100, true);
		add(DATA + 100, 3, true);
		turn();
		assert_int_equal(type("ls\n"), 3);
		is_typed(DATA, "ls\n");
		/* What does not fit waits for the next buffer, which the driver posts later. */
		assert_int_equal(type("reboot\n"), 7);
		is_typed(DATA + 100, "reb");
		turn();
		add(DATA + 200, 100, true);
		is_typed(DATA + 200, "oot\n");
		end();
	}
}

/* With no buffer at all so much waits, and no more. */
static void typed_and_not_taken(void **state)
{
	static uint8_t bytes[1000];
	size_t total = 0, taken;
	uint32_t length;

	create();
	assert_int_equal(type("x"), -ENOTCONN);
	start(VIRTIO_CONSOLE_RECEIVE, false);
	do {
		taken = (size_t)virtio_console_type(bench.device, bytes, sizeof(bytes));
		total += taken;
		turn();
	} while (taken > 0);
	assert_int_equal(total, VIRTIO_CONSOLE_INPUT_MAX);
	for (size_t got = 0; got < total; got += length) {
		add(DATA, 3000, true);
		AWAIT(ring_driver_take(&bench.driver, &length) >= 0, one_turn());
		assert_true(length > 0);
	}
	end();
}

/* It stays over a stop, on whatever worker the queue goes on, and not over a reset. */
static void typed_over_a_stop(void **state)
{
	begin(VIRTIO_CONSOLE_RECEIVE, false);
	assert_int_equal(type("one"), 3);
	stop();
	start(VIRTIO_CONSOLE_RECEIVE, false);
	add(DATA, 10, true);
	is_typed(DATA, "one");
	assert_int_equal(type("two"), 3);
	turn();
	stop();
	virtio_console_model.reset(bench.device);
	start(VIRTIO_CONSOLE_RECEIVE, false);
	assert_int_equal(type("three"), 5);
	add(DATA, 10, true);
	is_typed(DATA, "three");
	/* One that is on its way outlives the device. */
	assert_int_equal(type("four"), 4);
	end();
}

/* ---- hostile ---- */

/* All of memory again and again, in one chain: heard over many turns, and the others' work goes on. */
static void a_long_chain(void **state)
{
	const uint32_t piece = 1u << 19;
	struct driver_element elements[RING];

	begin(VIRTIO_CONSOLE_TRANSMIT, false);
	for (unsigned i = 0; i < RING; i++)
		elements[i] = (struct driver_element){ DATA, piece, false };
	assert_true(ring_driver_add(&bench.driver, elements, RING, false) >= 0);
	ring_driver_kick(&bench.driver);
	is_answered();
	assert_int_equal(bench.heard, (uint64_t)RING * piece);
	assert_true(bench.most_in_turn <= VIRTIO_CONSOLE_TURN_BYTES);
	end();
}

/* The rest of it is not waited for. */
static void a_long_chain_is_cut_by_a_stop(void **state)
{
	begin(VIRTIO_CONSOLE_TRANSMIT, false);
	add(DATA, 1u << 19, false);
	AWAIT(bench.heard > 0, one_turn());
	end();
	assert_true(bench.heard < 1u << 19);
}

static void chains_that_say_nothing(void **state)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		begin(VIRTIO_CONSOLE_TRANSMIT, packed);
		/* Nowhere; as long as there are numbers; a buffer to write to. */
		add(0x1000, 100, false);
		is_answered();
		add(0x1000, UINT32_MAX, false);
		is_answered();
		add(DATA, 100, true);
		is_answered();
		assert_int_equal(bench.heard, 0);
		assert_false(bench.broken);
		add(DATA, 1, false);
		is_answered();
		assert_int_equal(bench.heard, 1);
		end();
	}
}

static void buffers_that_are_none(void **state)
{
	static const struct driver_element wrong[] = {
		{ DATA, 100, false },
		{ 0x1000, 100, true },
		{ 0x1000, UINT32_MAX, true },
	};

	for (unsigned i = 0; i < 2 * sizeof(wrong) / sizeof(wrong[0]); i++) {
		begin(VIRTIO_CONSOLE_RECEIVE, i % 2);
		add(wrong[i / 2].guest_address, wrong[i / 2].length, wrong[i / 2].device_writes);
		turn();
		assert_false(bench.broken);
		type("x");
		AWAIT(bench.broken, one_turn());
		type("y");
		turn();
		end();
	}
}

/* ---- configuration ---- */

static void configuration(void **state)
{
	struct virtio_console_config config;
	const uint8_t whole[sizeof(config)] = { 1, 2, 3, 4, 5, 6, 7, 8, '!', 0, 0, 0 };

	create();
	assert_true(virtio_console_set_size(bench.device, 132, 43));
	assert_false(virtio_console_set_size(bench.device, 132, 43));
	assert_int_equal(virtio_console_model.config_size(bench.device), sizeof(config));
	assert_int_equal(virtio_console_model.config_write(bench.device, 0, 0, whole, sizeof(whole)), 0);
	assert_int_equal(bench.heard, 0);
	virtio_console_model.config_read(bench.device, 0, &config, sizeof(config));
	assert_int_equal(le16toh(config.cols), 132);
	assert_int_equal(le16toh(config.rows), 43);
	assert_int_equal(le32toh(config.max_nr_ports), 1);
	assert_int_equal(virtio_console_model.config_write(bench.device, 0, 8, whole + 8, 4), 0);
	assert_string_equal(bench.last, "!");
	virtio_console_model.config_read(bench.device, 11, &config, 1);
	destroy();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_said),
		cmocka_unit_test(what_is_typed),
		cmocka_unit_test(typed_and_not_taken),
		cmocka_unit_test(typed_over_a_stop),
		cmocka_unit_test(a_long_chain),
		cmocka_unit_test(a_long_chain_is_cut_by_a_stop),
		cmocka_unit_test(chains_that_say_nothing),
		cmocka_unit_test(buffers_that_are_none),
		cmocka_unit_test(configuration),
	};

	return cmocka_run_group_tests_name("virtio_console", tests, NULL, NULL);
}
