/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a display does in one turn, and how it lets go of a command that is under way: on a ring made by hand,
 * which counts, and by a clock whose every look takes a slice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/loop.h"
#include "core/loop_account.h"
#include "core/loop_blame.h"
#include "devices/display/virtio_gpu.h"
#include "devices/display/virtio_gpu_format.h"

#define MEMORY_BYTES (1u << 20)
#define WIDTH	     1024u
#define HEIGHT	     256u /* 1 MiB */
#define LINE_BYTES   (WIDTH * 4)
#define CHUNK_BYTES  (64u << 10)
#define TURNS_MAX    10000u
/* What a turn does of one command at most. */
#define PIECES_A_TURN  256u
#define ENTRIES_A_TURN 1024u

static struct {
	struct loop *loop;
	struct virtio_gpu *device;
	void *queue;
	uint64_t now_ns;
	/* The ring: one chain, which is offered until it is taken. */
	struct virtio_chain chain;
	struct iovec iov[2];
	bool offered, held;
	unsigned waits_at; /* this one of a turn's accesses makes the worker stand still */
	unsigned more;	   /* times that it is offered again when it is completed */
	unsigned completed, given_back, busy, reached;
	struct virtio_gpu_header answer;
	struct virtio_gpu_picture *picture;
} bench;

static uint8_t memory[MEMORY_BYTES];
static uint8_t request[(VIRTIO_GPU_ENTRIES_MAX + 2) * sizeof(struct virtio_gpu_entry)];

/* ---- the ring ---- */

static unsigned take(struct virtio_queue *ring, struct virtio_chain **ret_chains, unsigned count)
{
	assert_false(bench.held);
	if (!bench.offered)
		return 0;
	bench.offered = false;
	bench.held = true;
	ret_chains[0] = &bench.chain;
	return 1;
}

static void give_back(struct virtio_queue *ring, struct virtio_chain *const *chains, unsigned count)
{
	assert_int_equal(count, 1);
	assert_true(bench.held && chains[0] == &bench.chain);
	bench.held = false;
	bench.offered = true;
	bench.given_back++;
}

static void complete(struct virtio_queue *ring, struct virtio_chain *const *chains, unsigned count)
{
	assert_int_equal(count, 1);
	assert_true(bench.held && chains[0] == &bench.chain);
	bench.held = false;
	bench.offered = bench.more > 0;
	bench.more -= bench.offered;
	bench.completed++;
}

static void busy(struct virtio_queue *ring)
{
	bench.busy++;
}

/* Guest memory is from 0 to MEMORY_BYTES. */
static size_t reach(struct virtio_queue *ring, uint64_t gpa, size_t bytes, const void **ret_host)
{
	bench.reached++;
	if (bench.reached == bench.waits_at)
		*(unsigned *)loop_blame_flag(bench.loop) = 1;
	if (gpa >= MEMORY_BYTES)
		return 0;
	*ret_host = memory + gpa;
	return MEMORY_BYTES - gpa < bytes ? MEMORY_BYTES - gpa : bytes;
}

static const struct virtio_queue_ops ring_ops = {
	.take = take,
	.give_back = give_back,
	.complete = complete,
	.busy = busy,
	.reach = reach,
};
static struct virtio_queue ring = { &ring_ops };

/* ---- the bench ---- */

static uint64_t look_at_clock(void)
{
	return bench.now_ns += LOOP_SLICE_NS;
}

static const struct loop_clocks clocks = { look_at_clock, look_at_clock };

static void on_show(void *context, unsigned scanout, struct virtio_gpu_picture *picture)
{
	bench.picture = picture;
}

static void on_damage(void *context, unsigned scanout, const struct virtio_gpu_rect *rect)
{
}

static void on_cursor(void *context, unsigned scanout, const struct virtio_gpu_cursor *cursor)
{
}

static void on_absent(void *context)
{
}

static const struct virtio_gpu_output_ops output = { on_show, on_damage, on_cursor, on_absent };

static void start(void)
{
	const struct virtio_queue_setup setup = { .loop = bench.loop, .queue = &ring, .size = 64 };

	assert_int_equal(virtio_gpu_model.queue_start(bench.device, &setup, &bench.queue), 0);
}

static void begin(void)
{
	const struct loop_options options = { .name = "test", .clocks = &clocks };
	const struct virtio_gpu_options gpu = { .scanouts = 1,
						.all_entries_max = VIRTIO_GPU_ENTRIES_MAX,
						.output = &output };

	memset(&bench, 0, sizeof(bench));
	memset(memory, 0, sizeof(memory));
	bench.now_ns = NS_PER_S;
	assert_int_equal(loop_create(&options, &bench.loop), 0);
	assert_int_equal(virtio_gpu_create(&gpu, &bench.device), 0);
	start();
}

static void end(void)
{
	virtio_gpu_model.queue_stop(bench.queue);
	virtio_gpu_destroy(bench.device);
	loop_destroy(bench.loop);
}

/* ---- commands ---- */

static void offer(const void *command, size_t bytes)
{
	memcpy(request, command, bytes);
	bench.iov[0] = (struct iovec){ request, sizeof(request) };
	bench.iov[1] = (struct iovec){ &bench.answer, sizeof(bench.answer) };
	bench.chain = (struct virtio_chain){ .iov = bench.iov,
					     .readable_count = 1,
					     .writable_count = 1,
					     .descriptors = 2,
					     .readable_bytes = sizeof(request),
					     .writable_bytes = sizeof(bench.answer) };
	bench.offered = true;
	bench.completed = 0;
}

/* One turn; it does no more than its part, and wants another one if it is not done. */
static void turn(void)
{
	unsigned wanted = bench.busy;

	bench.reached = 0;
	virtio_gpu_model.ready(bench.queue);
	assert_true(bench.reached <= PIECES_A_TURN);
	assert_true(!bench.held || bench.busy == wanted + 1);
}

/* Until it is answered; returns how many turns that took. */
static unsigned finish(uint32_t answer)
{
	unsigned turns = 0;

	for (; bench.completed == 0; turns++) {
		assert_true(turns < TURNS_MAX);
		turn();
	}
	assert_int_equal(bench.answer.type, answer);
	return turns;
}

static unsigned do_ok(const void *command, size_t bytes)
{
	offer(command, bytes);
	return finish(VIRTIO_GPU_RESP_OK_NODATA);
}

#define DO_OK(type, ...) do_ok(&(struct type){ __VA_ARGS__ }, sizeof(struct type))

static const struct virtio_gpu_transfer whole = {
	{ VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D }, { 0, 0, WIDTH, HEIGHT }, 0, 1
};

static void make_resource(void)
{
	DO_OK(virtio_gpu_create_2d, { VIRTIO_GPU_CMD_RESOURCE_CREATE_2D }, 1, VIRTIO_GPU_FORMAT_B8G8R8A8,
	      WIDTH, HEIGHT);
	DO_OK(virtio_gpu_set_scanout, { VIRTIO_GPU_CMD_SET_SCANOUT }, { 0, 0, WIDTH, HEIGHT }, 0, 1);
}

/* `tiny`: all but the last are of one byte. */
static unsigned attach(unsigned entries, bool tiny)
{
	uint32_t each = tiny ? 1 : MEMORY_BYTES / entries;
	struct {
		struct virtio_gpu_attach head;
		struct virtio_gpu_entry entry[VIRTIO_GPU_ENTRIES_MAX];
	} *command = calloc(1, sizeof(*command));
	unsigned turns;

	command->head = (struct virtio_gpu_attach){ { VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING }, 1, entries };
	for (unsigned i = 0; i < entries; i++)
		command->entry[i] = (struct virtio_gpu_entry){ (uint64_t)i * each, each };
	command->entry[entries - 1].length_bytes = MEMORY_BYTES - (entries - 1) * each;
	turns = do_ok(command, sizeof(*command));
	free(command);
	return turns;
}

static void paint(uint8_t first)
{
	for (unsigned i = 0; i < MEMORY_BYTES; i++)
		memory[i] = (uint8_t)(first + i * 7 + i / 4096);
}

static void assert_painted(void)
{
	assert_memory_equal(bench.picture->pixels, memory, MEMORY_BYTES);
}

/* ---- turns ---- */

static void a_large_transfer_takes_turns(void **state)
{
	begin();
	make_resource();
	attach(256, false);
	paint(1);
	assert_int_equal(do_ok(&whole, sizeof(whole)), MEMORY_BYTES / CHUNK_BYTES);
	assert_painted();
	end();
}

/* Commands may be slow in any way: after each the time is asked. */
static void a_turn_ends_when_its_time_is_over(void **state)
{
	const struct virtio_gpu_flush flush = { { VIRTIO_GPU_CMD_RESOURCE_FLUSH }, { 0, 0, 1, 1 }, 1 };

	begin();
	make_resource();
	bench.busy = 0;
	offer(&flush, sizeof(flush));
	bench.more = 9;
	for (unsigned i = 1; i <= 10; i++) {
		turn();
		assert_int_equal(bench.completed, i);
		assert_int_equal(bench.busy, i);
	}
	turn();
	assert_int_equal(bench.busy, 10);
	end();
}

/* One chunk of them takes many. */
static void tiny_pieces_take_turns(void **state)
{
	unsigned turns;

	begin();
	make_resource();
	assert_true(attach(VIRTIO_GPU_ENTRIES_MAX, true) >= VIRTIO_GPU_ENTRIES_MAX / ENTRIES_A_TURN);
	paint(2);
	turns = do_ok(&whole, sizeof(whole));
	assert_true(turns >= VIRTIO_GPU_ENTRIES_MAX / PIECES_A_TURN);
	assert_painted();
	end();
}

/* Memory that is lost meanwhile is an error, and the next command is carried out. */
static void a_transfer_that_fails_half_way(void **state)
{
	struct virtio_gpu_transfer outside = whole;

	begin();
	make_resource();
	attach(1, false);
	outside.offset_bytes = 0;
	outside.resource_id = 2;
	offer(&outside, sizeof(outside));
	finish(VIRTIO_GPU_RESP_ERR_INVALID_RESOURCE_ID);
	DO_OK(virtio_gpu_name_resource, { VIRTIO_GPU_CMD_RESOURCE_DETACH_BACKING }, 1);
	{
		struct {
			struct virtio_gpu_attach head;
			struct virtio_gpu_entry entry[2];
		} command = { { { VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING }, 1, 2 },
			      { { 0, MEMORY_BYTES / 2 }, { MEMORY_BYTES, MEMORY_BYTES / 2 } } };

		do_ok(&command, sizeof(command));
	}
	paint(3);
	offer(&whole, sizeof(whole));
	assert_int_equal(finish(VIRTIO_GPU_RESP_ERR_UNSPEC), MEMORY_BYTES / 2 / CHUNK_BYTES + 1);
	DO_OK(virtio_gpu_transfer, { VIRTIO_GPU_CMD_TRANSFER_TO_HOST_2D }, { 0, 0, WIDTH, HEIGHT / 2 }, 0, 1);
	assert_memory_equal(bench.picture->pixels, memory, MEMORY_BYTES / 2);
	end();
}

static const struct virtio_gpu_set_scanout_blob blob_view = {
	.header = { VIRTIO_GPU_CMD_SET_SCANOUT_BLOB },
	.rect = { 0, 0, WIDTH, HEIGHT },
	.resource_id = 2,
	.width = WIDTH,
	.height = HEIGHT,
	.format = VIRTIO_GPU_FORMAT_B8G8R8A8,
	.stride_bytes = { LINE_BYTES },
};

static void make_blob(void)
{
	struct {
		struct virtio_gpu_create_blob head;
		struct virtio_gpu_entry entry;
	} command = { { { VIRTIO_GPU_CMD_RESOURCE_CREATE_BLOB }, 2, 1, 0, 1, 0, MEMORY_BYTES },
		      { 0, MEMORY_BYTES } };

	do_ok(&command, sizeof(command));
}

/* It is copied in turns when it is named and when it is flushed, and is not seen half copied at first. */
static void a_blob_takes_turns(void **state)
{
	const struct virtio_gpu_flush flush = {
		{ VIRTIO_GPU_CMD_RESOURCE_FLUSH }, { 0, 0, WIDTH, HEIGHT }, 2
	};

	begin();
	make_blob();
	paint(9);
	for (unsigned i = 0; i < 3; i++) {
		offer(&blob_view, sizeof(blob_view));
		turn();
		turn();
		assert_true(bench.held && !bench.picture);
		/* The copy that was begun goes with the queue. */
		virtio_gpu_model.queue_abandon(bench.queue);
		virtio_gpu_model.queue_stop(bench.queue);
		start();
	}
	assert_int_equal(finish(VIRTIO_GPU_RESP_OK_NODATA), MEMORY_BYTES / CHUNK_BYTES);
	assert_painted();
	paint(10);
	assert_int_equal(do_ok(&flush, sizeof(flush)), MEMORY_BYTES / CHUNK_BYTES);
	assert_painted();
	paint(11);
	assert_int_equal(do_ok(&blob_view, sizeof(blob_view)), MEMORY_BYTES / CHUNK_BYTES);
	assert_painted();
	end();
}

/* ---- letting go ---- */

/* The queue is waited for: the command goes back, and is carried out as a whole later. */
static void a_drain_gives_the_command_back(void **state)
{
	begin();
	make_resource();
	attach(64, false);
	paint(4);
	offer(&whole, sizeof(whole));
	turn();
	turn();
	assert_true(bench.held);
	virtio_gpu_model.queue_drain(bench.queue, true);
	assert_false(bench.held);
	assert_int_equal(bench.given_back, 1);
	virtio_gpu_model.queue_drain(bench.queue, false);
	virtio_gpu_model.queue_drain(bench.queue, true);
	assert_int_equal(bench.given_back, 1);
	paint(5);
	assert_int_equal(finish(VIRTIO_GPU_RESP_OK_NODATA), MEMORY_BYTES / CHUNK_BYTES);
	assert_painted();
	end();
}

/* Memory that waits is left alone until it is known whose it was, in the middle of a chunk, too. */
static void memory_that_waits_ends_the_turn(void **state)
{
	begin();
	make_resource();
	attach(64, false);
	paint(8);
	offer(&whole, sizeof(whole));
	turn();
	bench.waits_at = 3;
	turn();
	assert_int_equal(bench.reached, 3);
	assert_true(bench.held);
	/* It was not this guest's: the transfer goes on where it was. */
	bench.waits_at = 0;
	*(unsigned *)loop_blame_flag(bench.loop) = 0;
	assert_int_equal(finish(VIRTIO_GPU_RESP_OK_NODATA), MEMORY_BYTES / CHUNK_BYTES - 1);
	assert_painted();
	end();
}

/* The same on another worker's queue, and memory is not touched by the one that was abandoned. */
static void an_abandoned_queue_touches_nothing(void **state)
{
	begin();
	make_resource();
	attach(64, false);
	paint(6);
	offer(&whole, sizeof(whole));
	turn();
	bench.reached = 0;
	virtio_gpu_model.queue_abandon(bench.queue);
	assert_int_equal(bench.given_back, 1);
	virtio_gpu_model.queue_stop(bench.queue);
	assert_int_equal(bench.reached, 0);
	start();
	assert_int_equal(finish(VIRTIO_GPU_RESP_OK_NODATA), MEMORY_BYTES / CHUNK_BYTES);
	assert_painted();
	end();
}

/* What it had read of the entries does not count any more. */
static void an_abandoned_attach_costs_nothing(void **state)
{
	struct virtio_gpu_attach head = { { VIRTIO_GPU_CMD_RESOURCE_ATTACH_BACKING },
					  1,
					  VIRTIO_GPU_ENTRIES_MAX };

	begin();
	make_resource();
	for (unsigned i = 0; i < 3; i++) {
		memset(request, 0, sizeof(request));
		offer(&head, sizeof(head));
		turn();
		assert_true(bench.held);
		virtio_gpu_model.queue_abandon(bench.queue);
		virtio_gpu_model.queue_stop(bench.queue);
		start();
	}
	bench.offered = false;
	attach(VIRTIO_GPU_ENTRIES_MAX, false);
	paint(7);
	do_ok(&whole, sizeof(whole));
	assert_painted();
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_large_transfer_takes_turns),
		cmocka_unit_test(a_turn_ends_when_its_time_is_over),
		cmocka_unit_test(tiny_pieces_take_turns),
		cmocka_unit_test(a_transfer_that_fails_half_way),
		cmocka_unit_test(a_blob_takes_turns),
		cmocka_unit_test(a_drain_gives_the_command_back),
		cmocka_unit_test(memory_that_waits_ends_the_turn),
		cmocka_unit_test(an_abandoned_queue_touches_nothing),
		cmocka_unit_test(an_abandoned_attach_costs_nothing),
	};

	return cmocka_run_group_tests_name("virtio_gpu_turns", tests, NULL, NULL);
}
