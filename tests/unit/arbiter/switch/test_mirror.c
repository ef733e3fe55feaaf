/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a mirror shows of a port's frames, and what happens when its reader is slow or the port goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "arbiter/switch/mirror.h"
#include "core/internet_sum.h"
#include "switch_bench.h"

struct bench {
	struct loop *loop;
	struct vswitch *vswitch;
	struct card *one, *other;
	struct port_mirror *mirror;
	unsigned told;
};

static void ready(void *context)
{
	((struct bench *)context)->told++;
}

static void open_mirror(struct bench *bench, struct port *port, uint32_t snap_bytes)
{
	struct port_mirror_options options = {
		.snap_bytes = snap_bytes, .loop = bench->loop, .ready = ready, .context = bench
	};

	assert_int_equal(port_mirror_open(port, &options, &bench->mirror), 0);
}

static int setup(void **state)
{
	struct loop_options options = { .name = "test" };
	struct port_settings settings = settings_of_card();
	struct bench *bench = calloc(1, sizeof(*bench));

	assert_non_null(bench);
	assert_int_equal(loop_create(&options, &bench->loop), 0);
	assert_int_equal(vswitch_create(0, &bench->vswitch), 0);
	bench->one = card_new(bench->vswitch, bench->loop, 1, &settings);
	bench->other = card_new(bench->vswitch, bench->loop, 2, &settings);
	*state = bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	port_mirror_close(bench->mirror);
	if (bench->one)
		card_free(bench->one);
	card_free(bench->other);
	/* What was posted to those that are closed. */
	loop_turn(bench->loop, 0);
	vswitch_destroy(bench->vswitch);
	loop_destroy(bench->loop);
	free(bench);
	return 0;
}

static struct mirrored_frame *next(struct bench *bench)
{
	struct mirrored_frame *frame = port_mirror_next(bench->mirror);

	assert_non_null(frame);
	return frame;
}

static void test_both_directions(void **state)
{
	struct bench *bench = *state;
	struct mirrored_frame *frame;
	uint64_t before_ns;

	open_mirror(bench, bench->one->port, 0);
	assert_null(port_mirror_next(bench->mirror));
	send_to(bench->one, 2, 7);
	frame = next(bench);
	assert_true(frame->sent && frame->drop == PORT_DROPS);
	assert_int_equal(frame->frame_bytes, 60);
	assert_int_equal(frame->kept_bytes, 60);
	assert_memory_equal(frame->bytes, bench->other->frames[0].head, 60);
	assert_int_equal(frame->bytes[59], 7);
	before_ns = frame->time_ns;
	send_to(bench->other, 1, 8);
	frame = next(bench);
	assert_true(!frame->sent && frame->drop == PORT_DROPS);
	assert_memory_equal(frame->bytes, bench->one->frames[0].head, 60);
	assert_true(frame->time_ns >= before_ns);
	assert_null(port_mirror_next(bench->mirror));
	assert_int_equal(port_mirror_lost(bench->mirror), 0);
}

static void test_other_ports_are_not_shown(void **state)
{
	struct bench *bench = *state;
	struct port_settings settings = settings_of_card();
	struct card *third = card_new(bench->vswitch, bench->loop, 3, &settings);

	open_mirror(bench, bench->one->port, 0);
	send_to(bench->other, 3, 1);
	assert_int_equal(third->count, 1);
	assert_null(port_mirror_next(bench->mirror));
	card_free(third);
}

static void test_refused_frames_are_marked(void **state)
{
	struct bench *bench = *state;
	char text[] = "too short";
	struct iovec iov = { text, 9 };
	struct frame short_frame = { .iov = &iov, .iov_count = 1, .bytes = 9 };
	uint8_t liar[6], bytes[60];
	const struct mirrored_frame *frame;

	open_mirror(bench, bench->one->port, 0);
	card_address(liar, 9);
	frame_bytes(bytes, sizeof(bytes), port_address(bench->other->port), liar, 1);
	send_bytes(bench->one, bytes, sizeof(bytes));
	frame = next(bench);
	assert_true(frame->sent && frame->drop == PORT_DROP_SOURCE);
	assert_memory_equal(frame->bytes, bytes, sizeof(bytes));
	port_send(bench->one->source, &short_frame, 1);
	frame = next(bench);
	assert_int_equal(frame->drop, PORT_DROP_MALFORMED);
	assert_int_equal(frame->kept_bytes, 9);
	assert_memory_equal(frame->bytes, text, 9);
}

/* A frame that waits is shown when it is delivered, and one for which there is no room as lost. */
static void test_waiting_frames(void **state)
{
	struct bench *bench = *state;
	unsigned sent = 0, shown = 0, lost = 0;
	const struct mirrored_frame *frame;

	bench->one->room = 0;
	open_mirror(bench, bench->one->port, 16);
	send_to(bench->other, 1, 0);
	assert_null(port_mirror_next(bench->mirror));
	for (sent = 1; dropped(bench->one, PORT_DROP_FULL) < 2; sent++)
		send_to(bench->other, 1, 0);
	for (; (frame = port_mirror_next(bench->mirror)); lost++)
		assert_true(!frame->sent && frame->drop == PORT_DROP_FULL);
	assert_int_equal(lost, 2);
	while (shown < sent - lost) {
		bench->one->count = 0;
		bench->one->room = 64;
		port_sink_resume(bench->one->sink);
		for (; (frame = port_mirror_next(bench->mirror)); shown++)
			assert_int_equal(frame->drop, PORT_DROPS);
	}
	assert_int_equal(port_mirror_lost(bench->mirror), 0);
}

static void test_snap_length(void **state)
{
	struct bench *bench = *state;
	const struct mirrored_frame *frame;

	open_mirror(bench, bench->one->port, 20);
	send_to(bench->one, 2, 1);
	frame = next(bench);
	assert_int_equal(frame->frame_bytes, 60);
	assert_int_equal(frame->kept_bytes, 20);
	assert_memory_equal(frame->bytes, bench->other->frames[0].head, 20);
}

/* The reader takes nothing: so many frames are lost, told at the frame that came behind them. */
static void test_loss_is_counted(void **state)
{
	struct bench *bench = *state;
	const struct mirrored_frame *frame;
	unsigned shown = 0;

	open_mirror(bench, bench->one->port, 0);
	for (unsigned i = 0; port_mirror_lost(bench->mirror) < 1000; i++) {
		bench->other->count = 0;
		bench->other->room = 1;
		send_to(bench->one, 2, (uint8_t)i);
		/* None of them costs the receiver its frame. */
		assert_int_equal(bench->other->count, 1);
	}
	for (; (frame = port_mirror_next(bench->mirror)); shown++) {
		assert_int_equal(frame->bytes[59], (uint8_t)shown);
		assert_int_equal(frame->lost, 0);
	}
	assert_in_range(shown, MIRROR_BYTES / 256, MIRROR_BYTES / 60);
	send_to(bench->one, 2, 99);
	frame = next(bench);
	assert_int_equal(frame->lost, 1000);
	assert_int_equal(frame->bytes[59], 99);
}

static void test_two_mirrors_of_a_port(void **state)
{
	struct bench *bench = *state;
	struct port_mirror *first;

	open_mirror(bench, bench->one->port, 0);
	first = bench->mirror;
	open_mirror(bench, bench->one->port, 0);
	send_to(bench->one, 2, 1);
	assert_non_null(port_mirror_next(first));
	assert_non_null(port_mirror_next(bench->mirror));
	port_mirror_close(first);
	send_to(bench->one, 2, 2);
	assert_int_equal(next(bench)->bytes[59], 2);
}

static void test_the_reader_is_told(void **state)
{
	struct bench *bench = *state;

	open_mirror(bench, bench->one->port, 0);
	assert_null(port_mirror_next(bench->mirror));
	for (unsigned i = 1; i <= 3; i++) {
		send_to(bench->one, 2, (uint8_t)i);
		send_to(bench->one, 2, (uint8_t)i);
		loop_turn(bench->loop, 0);
		assert_int_equal(bench->told, i);
		while (port_mirror_next(bench->mirror))
			;
	}
}

/* Those that were sent before are still there, and the end is told. */
static void test_the_port_goes(void **state)
{
	struct bench *bench = *state;

	open_mirror(bench, bench->one->port, 0);
	assert_null(port_mirror_next(bench->mirror));
	send_to(bench->one, 2, 1);
	assert_false(port_mirror_ended(bench->mirror));
	card_free(bench->one);
	bench->one = NULL;
	loop_turn(bench->loop, 0);
	assert_int_equal(bench->told, 1);
	assert_false(port_mirror_ended(bench->mirror));
	assert_int_equal(next(bench)->bytes[59], 1);
	assert_null(port_mirror_next(bench->mirror));
	assert_true(port_mirror_ended(bench->mirror));
}

/* ---- checksums ---- */

static struct mirrored_frame *made_frame(uint32_t frame_bytes, uint32_t kept_bytes, uint16_t start,
					 uint16_t offset)
{
	struct mirrored_frame *frame = calloc(1, sizeof(*frame) + frame_bytes);

	assert_non_null(frame);
	*frame = (struct mirrored_frame){
		.frame_bytes = frame_bytes,
		.kept_bytes = kept_bytes,
		.offload = { .flags = FRAME_CSUM_NEEDED, .csum_start = start, .csum_offset = offset }
	};
	for (uint32_t i = 0; i < frame_bytes; i++)
		frame->bytes[i] = (uint8_t)(i * 37 + 11);
	return frame;
}

static void test_checksum_is_filled_in(void **state)
{
	struct mirrored_frame *frame = made_frame(77, 77, 34, 16);
	struct internet_sum sum = { 0 };
	uint16_t pseudo;

	memcpy(&pseudo, frame->bytes + 50, sizeof(pseudo));
	mirrored_frame_finish(frame);
	/* The receiver's check: with the pseudo header all is ones. */
	internet_sum_add(&sum, frame->bytes + 34, 77 - 34);
	internet_sum_add_word(&sum, pseudo);
	assert_int_equal(internet_sum_fold(&sum), 0xffff);
	free(frame);
}

static void test_checksum_of_lies_and_parts(void **state)
{
	static const struct {
		uint32_t frame_bytes, kept_bytes;
		uint16_t start, offset;
	} cases[] = { { 100, 60, 34, 16 },	{ 60, 60, 59, 0 },     { 60, 60, 60, 0 }, { 60, 60, 61, 0 },
		      { 60, 60, 65535, 65535 }, { 60, 60, 34, 65535 }, { 60, 60, 34, 25 } };

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mirrored_frame *frame = made_frame(cases[i].frame_bytes, cases[i].kept_bytes,
							  cases[i].start, cases[i].offset);
		struct mirrored_frame *same = made_frame(cases[i].frame_bytes, cases[i].kept_bytes,
							 cases[i].start, cases[i].offset);

		mirrored_frame_finish(frame);
		assert_memory_equal(frame->bytes, same->bytes, cases[i].frame_bytes);
		free(frame);
		free(same);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_both_directions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_ports_are_not_shown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_frames_are_marked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waiting_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(test_snap_length, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loss_is_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_mirrors_of_a_port, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_reader_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_port_goes, setup, teardown),
		cmocka_unit_test(test_checksum_is_filled_in),
		cmocka_unit_test(test_checksum_of_lies_and_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
