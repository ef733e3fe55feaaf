/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A port that sends from two workers, its mirrors, which come and go, and their reader on a third thread, who
 * is slow at times. Of each worker's frames the mirror shows those that it has not counted as lost, in order
 * and whole. Meant for TSAN too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/switch/mirror.h"
#include "core/container.h"
#include "core/loop.h"

#define WORKERS 2u
#define FRAMES	30000u /* of each worker */
#define BYTES	600u

struct sender {
	struct loop *loop;
	pthread_t thread;
	struct port *port;
	uint32_t number;
	uint8_t name;
	struct port_source *source;
	struct loop_task task;
	bool done; /* atomic */
};

struct reader {
	struct loop *loop;
	struct port_mirror *mirror;
	uint32_t last[WORKERS]; /* number of the last frame of each worker */
	uint64_t shown;
	unsigned told;
};

static void send_one(struct sender *sender)
{
	uint8_t bytes[BYTES];
	struct iovec iov[2] = { { bytes, 300 }, { bytes + 300, BYTES - 300 } };
	struct frame frame = { .iov = iov, .iov_count = 2, .bytes = BYTES };

	sender->number++;
	memset(bytes, (uint8_t)(sender->number * 7 + sender->name), sizeof(bytes));
	memset(bytes, 0xff, 6);
	memcpy(bytes + 6, port_address(sender->port), 6);
	bytes[12] = 0x88;
	bytes[13] = 0xb5;
	bytes[14] = sender->name;
	memcpy(bytes + 16, &sender->number, sizeof(sender->number));
	port_send(sender->source, &frame, 1);
}

static void sender_turn(struct loop_task *task)
{
	struct sender *sender = container_of(task, struct sender, task);

	if (!sender->source)
		assert_int_equal(port_source_open(sender->port, sender->loop, NULL, &sender->source), 0);
	for (unsigned i = 0; i < 10 && sender->number < FRAMES; i++)
		send_one(sender);
	if (sender->number < FRAMES) {
		loop_defer(sender->loop, task);
		return;
	}
	port_source_close(sender->source);
	__atomic_store_n(&sender->done, true, __ATOMIC_RELEASE);
}

static void *sender_main(void *context)
{
	struct sender *sender = context;

	loop_defer(sender->loop, &sender->task);
	assert_int_equal(loop_run(sender->loop), 0);
	return NULL;
}

static void check(struct reader *reader, const struct mirrored_frame *frame)
{
	unsigned from = frame->bytes[14];
	uint32_t number;

	assert_true(frame->sent && frame->drop == PORT_DROP_UNKNOWN);
	assert_int_equal(frame->kept_bytes, BYTES);
	assert_true(from < WORKERS);
	memcpy(&number, frame->bytes + 16, sizeof(number));
	assert_true(number > reader->last[from]);
	reader->last[from] = number;
	reader->shown++;
	for (unsigned i = 20; i < BYTES; i++)
		assert_int_equal(frame->bytes[i], (uint8_t)(number * 7 + from));
}

static void ready(void *context)
{
	struct reader *reader = context;
	struct mirrored_frame *frame;

	reader->told++;
	while (reader->mirror && (frame = port_mirror_next(reader->mirror)))
		check(reader, frame);
}

static void open_mirror(struct reader *reader, struct port *port)
{
	struct port_mirror_options options = { .loop = reader->loop, .ready = ready, .context = reader };

	assert_int_equal(port_mirror_open(port, &options, &reader->mirror), 0);
}

static bool all_done(const struct sender *senders)
{
	bool all = true;

	for (unsigned i = 0; i < WORKERS; i++)
		all &= __atomic_load_n(&senders[i].done, __ATOMIC_ACQUIRE);
	return all;
}

static void start(struct sender *senders, struct port *port)
{
	struct loop_options options = { .name = "test" };

	for (unsigned i = 0; i < WORKERS; i++) {
		senders[i] = (struct sender){ .port = port, .name = (uint8_t)i, .task.run = sender_turn };
		assert_int_equal(loop_create(&options, &senders[i].loop), 0);
		assert_int_equal(pthread_create(&senders[i].thread, NULL, sender_main, &senders[i]), 0);
	}
}

static void stop(struct sender *senders)
{
	for (unsigned i = 0; i < WORKERS; i++) {
		loop_stop(senders[i].loop);
		pthread_join(senders[i].thread, NULL);
		loop_destroy(senders[i].loop);
	}
}

/* `comes_and_goes`: besides the mirror that stays to the end another one is opened and closed. */
static void run(bool comes_and_goes)
{
	static const uint8_t address[6] = { 2, 0, 0, 0, 0, 1 };
	const struct port_settings settings = { .link = true };
	struct loop_options options = { .name = "test" };
	struct reader steady = { .shown = 0 }, guest = { .shown = 0 };
	struct sender senders[WORKERS];
	struct vswitch *vswitch;
	struct port *port;

	assert_int_equal(loop_create(&options, &steady.loop), 0);
	guest.loop = steady.loop;
	assert_int_equal(vswitch_create(0, &vswitch), 0);
	assert_int_equal(port_create(vswitch, "guest/eth0", address, 1500, &settings, &port), 0);
	open_mirror(&steady, port);
	start(senders, port);
	while (!all_done(senders)) {
		if (comes_and_goes)
			open_mirror(&guest, port);
		loop_turn(steady.loop, 1000000);
		port_mirror_close(guest.mirror);
		guest.mirror = NULL;
	}
	stop(senders);
	port_destroy(port);
	while (!port_mirror_ended(steady.mirror))
		loop_turn(steady.loop, 1000000);
	assert_int_equal(steady.shown + port_mirror_lost(steady.mirror), WORKERS * FRAMES);
	assert_true(steady.shown > 0 && steady.told > 0);
	port_mirror_close(steady.mirror);
	loop_turn(steady.loop, 0);
	vswitch_destroy(vswitch);
	loop_destroy(steady.loop);
}

static void test_all_are_shown_or_counted(void **state)
{
	run(false);
}

static void test_another_mirror_comes_and_goes(void **state)
{
	run(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_are_shown_or_counted),
		cmocka_unit_test(test_another_mirror_comes_and_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
