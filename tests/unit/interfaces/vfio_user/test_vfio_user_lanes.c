/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A lane sends messages by the eventfds that home has: it borrows them, and is visited when they change. */
#include "interrupts_bench.h"

static struct vfio_user_interrupts lane;

static void on_lane_written(void *context)
{
	assert_ptr_equal(context, &lane);
}

static void begin_lane(void)
{
	interrupts.lends = true;
	vfio_user_interrupts_init(&lane, loop, VECTORS);
	lane.held = on_held;
	lane.written = on_lane_written;
	lane.context = &lane;
	vfio_user_interrupts_borrow(&lane, &interrupts);
}

static void visit(void)
{
	vfio_user_interrupts_borrow(&lane, &interrupts);
	vfio_user_interrupts_returned(&interrupts);
}

static void end_lane(void)
{
	vfio_user_interrupts_give_up(&lane);
	AWAIT(lane.writing == 0, loop_turn(loop, NS_PER_MS));
}

static void a_lane_sends(void **state)
{
	int fd = give(MSIX, 3);

	begin_lane();
	vfio_user_interrupts_raise(&lane, 3);
	assert_int_equal(told(fd), 1);
	assert_int_equal(counter_read(&lane.sent), 1);
	assert_int_equal(counter_read(&interrupts.sent), 0);
	end_lane();
	close(fd);
}

/* Never the pin: that is home's. */
static void a_message_waits(void **state)
{
	int fd;

	begin_lane();
	vfio_user_interrupts_raise(&lane, 5);
	assert_true(vfio_user_interrupts_pending(&lane) == 1ull << 5);
	assert_true(lane.due == 0);
	fd = give(MSIX, 5);
	assert_int_equal(told(fd), 0);
	visit();
	assert_int_equal(told(fd), 1);
	assert_true(vfio_user_interrupts_pending(&lane) == 0);
	end_lane();
	close(fd);
}

/* What was taken back stays open until the lane has let go of it, so that its number is no other file's. */
static void eventfds_are_replaced(void **state)
{
	int first = give(MSIX, 0), second;

	begin_lane();
	second = give(MSIX, 0);
	assert_int_equal(interrupts.old_count, 1);
	vfio_user_interrupts_raise(&lane, 0);
	assert_int_equal(told(first), 1);
	visit();
	assert_int_equal(interrupts.old_count, 0);
	vfio_user_interrupts_raise(&lane, 0);
	assert_int_equal(told(first), 0);
	assert_int_equal(told(second), 1);
	assert_int_equal(set(NONE | TRIGGER, MSIX, 0, 0), 0);
	visit();
	vfio_user_interrupts_raise(&lane, 0);
	assert_int_equal(told(second), 0);
	assert_true(vfio_user_interrupts_pending(&lane) == 1);
	end_lane();
	close(first);
	close(second);
}

/* The lane's write waits for room in the old one's counter: the new one tells of it. */
static void a_full_counter_is_replaced(void **state)
{
	const uint64_t full = UINT64_MAX - 1;
	int first = give(MSIX, 0), second;

	begin_lane();
	assert_int_equal(write(first, &full, sizeof(full)), sizeof(full));
	vfio_user_interrupts_raise(&lane, 0);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(loop_turn(loop, 0), 0);
	assert_int_equal(lane.writing, 1);
	second = give(MSIX, 0);
	visit();
	AWAIT(lane.writing == 0, loop_turn(loop, NS_PER_MS));
	assert_int_equal(told(second), 1);
	end_lane();
	close(first);
	close(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_lane_sends, setup, teardown),
		cmocka_unit_test_setup_teardown(a_message_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(eventfds_are_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_counter_is_replaced, setup, teardown),
	};

	return cmocka_run_group_tests_name("vfio_user_lanes", tests, NULL, NULL);
}
