/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a port's frames to blocks of pcapng: directions, reasons, sections, and the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <string.h>

#include "arbiter/switch/mirror.h"
#include "core/loop.h"
#include "daemon/nic/nic_capture.h"

#define ROOM PCAPNG_BLOCK_MAX

static const uint8_t address[6] = { 2, 0, 0, 0, 0, 1 };

static struct loop *loop;
static struct vswitch *vswitch;
static struct port *port;
static struct port_source *source;
static struct nic_capture *capture;
static uint8_t blocks[ROOM];
static size_t filled, taken;

static void ready(void *context)
{
}

static void begin(bool uplink)
{
	const struct port_settings settings = { .link = true };
	struct loop_options loop_options = { .name = "test" };
	struct nic_capture_options options = {
		.name = "alice/eth0", .description = "a card", .uplink = uplink, .ready = ready
	};

	filled = taken = 0;
	assert_int_equal(loop_create(&loop_options, &loop), 0);
	assert_int_equal(vswitch_create(0, &vswitch), 0);
	assert_int_equal(port_create(vswitch, "alice/eth0", address, 1500, &settings, &port), 0);
	assert_int_equal(port_source_open(port, loop, NULL, &source), 0);
	options.loop = loop;
	assert_int_equal(nic_capture_open(port, &options, &capture), 0);
}

static void close_port(void)
{
	port_source_close(source);
	port_destroy(port);
}

static void end(void)
{
	nic_capture_close(capture);
	vswitch_destroy(vswitch);
	loop_turn(loop, 0);
	loop_destroy(loop);
}

/* To nobody, from the port's address or a liar's. */
static void send_frame(bool lies, uint32_t bytes)
{
	uint8_t data[1500] = { 2, 0, 0, 0, 0, 9 };
	struct iovec iov = { data, bytes };
	struct frame frame = { .iov = &iov, .iov_count = 1, .bytes = bytes };

	memcpy(data + 6, address, 6);
	data[11] = lies ? 7 : 1;
	port_send(source, &frame, 1);
}

/* The next block; false: there is none. */
static bool next(struct pcapng_block *ret_block)
{
	long length;

	if (taken == filled) {
		taken = 0;
		filled = nic_capture_fill(capture, blocks, ROOM);
	}
	if (filled == 0)
		return false;
	length = pcapng_read(blocks + taken, filled - taken, ret_block);
	assert_true(length > 0);
	taken += (size_t)length;
	return true;
}

static void expect(enum pcapng_kind kind)
{
	struct pcapng_block block = { .kind = PCAPNG_OTHER };

	assert_true(next(&block));
	assert_int_equal(block.kind, kind);
}

static void expect_counts(uint64_t frames)
{
	struct pcapng_block block = { .kind = PCAPNG_OTHER };

	assert_true(next(&block));
	assert_int_equal(block.kind, PCAPNG_COUNTS);
	assert_int_equal(block.counts.frames, frames);
	assert_int_equal(block.counts.lost, 0);
}

static void expect_frame(bool outbound, const char *comment)
{
	struct pcapng_block block = { .kind = PCAPNG_OTHER };

	assert_true(next(&block));
	assert_int_equal(block.kind, PCAPNG_FRAME);
	assert_int_equal(block.frame.outbound, outbound);
	assert_int_equal(block.frame.comment_bytes, strlen(comment));
	assert_memory_equal(block.frame.comment, comment, strlen(comment));
}

static void expect_head(void)
{
	expect(PCAPNG_OTHER);
	expect(PCAPNG_OTHER);
}

static void test_card(void **state)
{
	struct pcapng_block block = { .kind = PCAPNG_OTHER };

	begin(false);
	expect_head();
	assert_false(next(&block));
	send_frame(false, 60);
	send_frame(true, 60);
	expect_frame(true, "dropped: unknown");
	expect_frame(true, "dropped: source");
	assert_false(next(&block));
	close_port();
	end();
}

static void test_uplink_looks_from_the_other_side(void **state)
{
	begin(true);
	send_frame(false, 60);
	expect_head();
	expect_frame(false, "dropped: unknown");
	close_port();
	end();
}

/* Blocks that do not fit any more wait for the next call. */
static void test_room_is_never_too_small(void **state)
{
	struct pcapng_block block = { .kind = PCAPNG_OTHER };
	unsigned frames = 0;

	begin(false);
	for (unsigned i = 0; i < 200; i++)
		send_frame(false, 1400);
	expect_head();
	for (; next(&block); frames++)
		assert_int_equal(block.kind, PCAPNG_FRAME);
	assert_int_equal(frames, 200);
	close_port();
	end();
}

static void test_counts_and_sections(void **state)
{
	struct pcapng_block block = { .kind = PCAPNG_OTHER };

	begin(false);
	send_frame(false, 60);
	send_frame(false, 60);
	expect_head();
	expect_frame(true, "dropped: unknown");
	expect_frame(true, "dropped: unknown");
	nic_capture_count(capture);
	expect_counts(2);
	assert_false(next(&block));
	nic_capture_restart(capture);
	send_frame(false, 60);
	nic_capture_count(capture);
	expect_head();
	expect_frame(true, "dropped: unknown");
	expect_counts(1);
	close_port();
	end();
}

static void test_the_end(void **state)
{
	struct pcapng_block block = { .kind = PCAPNG_OTHER };

	begin(false);
	send_frame(false, 60);
	close_port();
	assert_false(nic_capture_ended(capture));
	expect_head();
	expect_frame(true, "dropped: unknown");
	expect_counts(1);
	assert_true(nic_capture_ended(capture));
	assert_false(next(&block));
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_card),
		cmocka_unit_test(test_uplink_looks_from_the_other_side),
		cmocka_unit_test(test_room_is_never_too_small),
		cmocka_unit_test(test_counts_and_sections),
		cmocka_unit_test(test_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
