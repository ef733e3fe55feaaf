/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interrupts of a vfio-user function: a pin that masks itself, messages, and eventfds that are full. */
#include "interrupts_bench.h"

/* ---- the pin ---- */

static void the_pin_masks_itself(void **state)
{
	int fd = give(PIN, 0);

	assert_false(vfio_user_interrupts_has_vectors(&interrupts));
	assert_int_equal(told(fd), 0);
	vfio_user_interrupts_raise(&interrupts, 0);
	assert_int_equal(told(fd), 1);
	vfio_user_interrupts_raise(&interrupts, 0);
	vfio_user_interrupts_raise(&interrupts, 5);
	assert_int_equal(told(fd), 0);
	/* There is a reason still: asserted anew. */
	assert_int_equal(set(NONE | UNMASK, PIN, 0, 1), 0);
	assert_int_equal(told(fd), 1);
	vfio_user_interrupts_lower(&interrupts, 0);
	vfio_user_interrupts_lower(&interrupts, 0);
	assert_int_equal(set(NONE | UNMASK, PIN, 0, 1), 0);
	assert_int_equal(told(fd), 1);
	vfio_user_interrupts_lower(&interrupts, 5);
	assert_int_equal(set(NONE | UNMASK, PIN, 0, 1), 0);
	assert_int_equal(told(fd), 0);
	vfio_user_interrupts_raise(&interrupts, 63);
	assert_int_equal(told(fd), 1);
	close(fd);
}

static void the_pin_is_masked_by_the_vmm(void **state)
{
	int fd = give(PIN, 0);
	uint8_t yes = 1, no = 0;

	assert_int_equal(set(NONE | MASK, PIN, 0, 1), 0);
	vfio_user_interrupts_raise(&interrupts, 0);
	assert_int_equal(told(fd), 0);
	assert_int_equal(set_as(BOOL | UNMASK, PIN, 0, 1, &no, NULL, 0), 0);
	assert_int_equal(told(fd), 0);
	assert_int_equal(set_as(BOOL | UNMASK, PIN, 0, 1, &yes, NULL, 0), 0);
	assert_int_equal(told(fd), 1);
	assert_int_equal(set_as(BOOL | MASK, PIN, 0, 1, &no, NULL, 0), 0);
	/* A reason that has gone before the VMM unmasks. */
	vfio_user_interrupts_lower(&interrupts, 0);
	assert_int_equal(set(NONE | UNMASK, PIN, 0, 1), 0);
	assert_int_equal(told(fd), 0);
	close(fd);
}

static void the_pin_is_forbidden_by_the_driver(void **state)
{
	int fd = give(PIN, 0);

	vfio_user_interrupts_allow_pin(&interrupts, false);
	vfio_user_interrupts_raise(&interrupts, 0);
	assert_int_equal(set(NONE | UNMASK, PIN, 0, 1), 0);
	assert_int_equal(told(fd), 0);
	vfio_user_interrupts_allow_pin(&interrupts, true);
	assert_int_equal(told(fd), 1);
	vfio_user_interrupts_allow_pin(&interrupts, true);
	assert_int_equal(told(fd), 0);
	/* A reset forgets it. */
	vfio_user_interrupts_reset(&interrupts);
	assert_int_equal(set(NONE | UNMASK, PIN, 0, 1), 0);
	assert_int_equal(told(fd), 0);
	vfio_user_interrupts_raise(&interrupts, 0);
	assert_int_equal(told(fd), 1);
	close(fd);
}

/* A reason that is there before the eventfd, and another eventfd in place of one. */
static void the_pin_gets_its_eventfd_later(void **state)
{
	int fd, other;

	vfio_user_interrupts_raise(&interrupts, 9);
	settle();
	fd = give(PIN, 0);
	assert_int_equal(told(fd), 1);
	other = give(PIN, 0);
	assert_int_equal(told(fd), 0);
	assert_int_equal(told(other), 1);
	assert_int_equal(set(NONE | TRIGGER, PIN, 0, 0), 0);
	assert_int_equal(set(NONE | UNMASK, PIN, 0, 1), 0);
	assert_int_equal(told(other), 0);
	close(fd);
	close(other);
}

/* ---- messages ---- */

static void each_message_is_one(void **state)
{
	int fd[3] = { give(MSIX, 0), give(MSIX, 5), give(MSIX, 63) };

	assert_true(vfio_user_interrupts_has_vectors(&interrupts));
	vfio_user_interrupts_raise(&interrupts, 5);
	assert_int_equal(told(fd[1]), 1);
	/* They may become one while one is being written, and none is lost. */
	for (unsigned i = 0; i < 10; i++)
		vfio_user_interrupts_raise(&interrupts, 63);
	assert_in_range(told(fd[2]), 1, 10);
	for (unsigned i = 0; i < 10; i++) {
		vfio_user_interrupts_raise(&interrupts, 63);
		assert_int_equal(told(fd[2]), 1);
	}
	assert_int_equal(told(fd[0]), 0);
	assert_int_equal(told(fd[1]), 0);
	/* lower() is not for messages. */
	vfio_user_interrupts_lower(&interrupts, 0);
	assert_true(written > 0);
	for (unsigned i = 0; i < 3; i++)
		close(fd[i]);
}

/* A vector without an eventfd while others have one: the message waits, once. */
static void messages_that_wait(void **state)
{
	int other = give(MSIX, 0), fd;

	for (unsigned i = 0; i < 3; i++)
		vfio_user_interrupts_raise(&interrupts, 40);
	assert_true(vfio_user_interrupts_pending(&interrupts) == 1ull << 40);
	fd = give(MSIX, 41);
	assert_int_equal(told(fd), 0);
	close(fd);
	fd = give(MSIX, 40);
	assert_int_equal(told(fd), 1);
	assert_true(vfio_user_interrupts_pending(&interrupts) == 0);
	close(fd);
	/* Taken back, waiting again, and forgotten by a reset. */
	assert_int_equal(set(FDS | TRIGGER, MSIX, 40, 1), 0);
	vfio_user_interrupts_raise(&interrupts, 40);
	assert_true(vfio_user_interrupts_pending(&interrupts) == 1ull << 40);
	vfio_user_interrupts_reset(&interrupts);
	fd = give(MSIX, 40);
	assert_int_equal(told(fd), 0);
	assert_int_equal(told(other), 0);
	close(fd);
	close(other);
}

/* Several at once, not from the first vector on; in part others take their place. */
static void several_at_once(void **state)
{
	int fds[16], given[16];

	for (unsigned i = 0; i < 16; i++) {
		fds[i] = new_event();
		given[i] = dup(fds[i]);
	}
	assert_int_equal(set_as(FDS | TRIGGER, MSIX, 48, 16, NULL, given, 16), 0);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(given[i], -1);
	for (unsigned i = 0; i < 16; i++) {
		vfio_user_interrupts_raise(&interrupts, 48 + i);
		for (unsigned j = 0; j < 16; j++)
			assert_int_equal(told(fds[j]), i == j);
	}
	/* Those in the middle are taken back; the others stay. */
	assert_int_equal(set(FDS | TRIGGER, MSIX, 50, 3), 0);
	for (unsigned i = 0; i < 16; i++) {
		vfio_user_interrupts_raise(&interrupts, 48 + i);
		assert_int_equal(told(fds[i]), i < 2 || i > 4);
	}
	assert_true(vfio_user_interrupts_pending(&interrupts) == 7ull << 50);
	assert_true(vfio_user_interrupts_has_vectors(&interrupts));
	assert_int_equal(set(NONE | TRIGGER, MSIX, 0, 0), 0);
	assert_false(vfio_user_interrupts_has_vectors(&interrupts));
	for (unsigned i = 0; i < 16; i++)
		close(fds[i]);
}

/* The VMM asks for interrupts itself: of those that have an eventfd. */
static void triggered_by_the_vmm(void **state)
{
	int fd[2] = { give(MSIX, 2), give(MSIX, 3) }, pin = give(PIN, 0);
	uint8_t data[4] = { 1, 0, 0, 7 };

	assert_int_equal(set_as(BOOL | TRIGGER, MSIX, 0, 4, data, NULL, 0), 0);
	assert_int_equal(told(fd[0]), 0);
	assert_int_equal(told(fd[1]), 1);
	assert_int_equal(set(NONE | TRIGGER, MSIX, 0, VECTORS), 0);
	assert_int_equal(told(fd[0]), 1);
	assert_int_equal(told(fd[1]), 1);
	assert_int_equal(set(NONE | TRIGGER, PIN, 0, 1), 0);
	assert_int_equal(told(pin), 1);
	close(fd[0]);
	close(fd[1]);
	close(pin);
}

static void fill(int fd)
{
	const uint64_t most = UINT64_MAX - 1;

	assert_int_equal(write(fd, &most, sizeof(most)), sizeof(most));
}

/* Waits for so much to be in the counter, whatever else is under way. */
static void await_count(int fd, uint64_t wanted)
{
	uint64_t count = 0;

	AWAIT(read(fd, &count, sizeof(count)) == sizeof(count), loop_turn(loop, NS_PER_MS));
	assert_true(count == wanted);
}

/* Whether a write waits is the file's own matter, so that the VMM can change it. */
static int give_full(uint32_t index, uint32_t start, bool blocking)
{
	int fd = give(index, start);

	assert_int_equal(fd_set_nonblocking(fd, !blocking), 0);
	fill(fd);
	return fd;
}

/* A VMM whose counter is full makes nobody wait but itself. */
static void a_full_counter(void **state)
{
	for (unsigned blocking = 0; blocking < 2; blocking++) {
		int fd = give_full(MSIX, 1, blocking), other = give(MSIX, 2);

		for (unsigned i = 0; i < 5; i++) {
			vfio_user_interrupts_raise(&interrupts, 1);
			vfio_user_interrupts_raise(&interrupts, 2);
			await_count(other, 1);
		}
		/* The owner does not wait for its reader. */
		written = 0;
		vfio_user_interrupts_give_up(&interrupts);
		AWAIT(interrupts.writing == 0, loop_turn(loop, NS_PER_MS));
		assert_int_equal(written, 1);
		/* Nor for what is raised later. */
		vfio_user_interrupts_raise(&interrupts, 1);
		for (unsigned i = 0; i < 20; i++)
			loop_turn(loop, 0);
		vfio_user_interrupts_give_up(&interrupts);
		AWAIT(interrupts.writing == 0, loop_turn(loop, NS_PER_MS));
		/* And when it is emptied, it is told again. */
		assert_int_equal(fd_set_nonblocking(fd, true), 0);
		await_count(fd, UINT64_MAX - 1);
		vfio_user_interrupts_raise(&interrupts, 1);
		await_count(fd, 1);
		close(fd);
		close(other);
	}
}

/* The full counter is taken back or replaced: the other one's messages do not wait for it. */
static void a_full_counter_is_replaced(void **state)
{
	for (unsigned blocking = 0; blocking < 2; blocking++) {
		int fd = give_full(MSIX, 1, blocking), other;

		vfio_user_interrupts_raise(&interrupts, 1);
		loop_turn(loop, 0);
		other = give(MSIX, 1);
		await_count(other, 1);
		vfio_user_interrupts_raise(&interrupts, 1);
		await_count(other, 1);
		settle();
		close(fd);
		close(other);
		/* Taken back first, and then replaced. */
		fd = give_full(MSIX, 1, blocking);
		vfio_user_interrupts_raise(&interrupts, 1);
		loop_turn(loop, 0);
		assert_int_equal(set(FDS | TRIGGER, MSIX, 1, 1), 0);
		loop_turn(loop, 0);
		other = give(MSIX, 1);
		vfio_user_interrupts_raise(&interrupts, 1);
		await_count(other, 1);
		settle();
		close(fd);
		close(other);
	}
}

/* Whether there is room or not, a write to one that blocks is carried out later: it must not get lost. */
static void one_that_blocks_and_has_room(void **state)
{
	for (unsigned how = 0; how < 3; how++) {
		for (unsigned i = 0; i < 20; i++) {
			int fd = give(MSIX, 1), other = -1;
			uint64_t count = 0;

			assert_int_equal(fd_set_nonblocking(fd, false), 0);
			vfio_user_interrupts_raise(&interrupts, 1);
			if (how == 0)
				vfio_user_interrupts_give_up(&interrupts);
			else if (how == 1)
				other = give(MSIX, 1);
			else
				assert_int_equal(set(FDS | TRIGGER, MSIX, 1, 1), 0);
			settle();
			assert_int_equal(fd_set_nonblocking(fd, true), 0);
			if (read(fd, &count, sizeof(count)) != sizeof(count) &&
			    (other < 0 || read(other, &count, sizeof(count)) != sizeof(count)))
				fail_msg("the message got lost: %u, %u", how, i);
			close(fd);
			if (other >= 0)
				close(other);
		}
	}
}

/* Eventfds that are taken back, or replaced, while a write to them is under way. */
static void taken_back_under_a_write(void **state)
{
	int fd = give(MSIX, 1), other, given;

	for (unsigned i = 0; i < 3; i++)
		vfio_user_interrupts_raise(&interrupts, 1);
	assert_int_equal(interrupts.writing, 1);
	assert_int_equal(set(FDS | TRIGGER, MSIX, 1, 1), 0);
	assert_int_equal(told(fd), 1);
	close(fd);
	fd = give(MSIX, 1);
	vfio_user_interrupts_raise(&interrupts, 1);
	other = new_event();
	given = dup(other);
	assert_int_equal(set_as(FDS | TRIGGER, MSIX, 1, 1, NULL, &given, 1), 0);
	vfio_user_interrupts_raise(&interrupts, 1);
	assert_int_equal(told(fd), 1);
	assert_int_equal(told(other), 1);
	close(fd);
	close(other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_pin_masks_itself),
		TEST(the_pin_is_masked_by_the_vmm),
		TEST(the_pin_is_forbidden_by_the_driver),
		TEST(the_pin_gets_its_eventfd_later),
		TEST(each_message_is_one),
		TEST(messages_that_wait),
		TEST(several_at_once),
		TEST(triggered_by_the_vmm),
		TEST(one_that_blocks_and_has_room),
		TEST(a_full_counter),
		TEST(a_full_counter_is_replaced),
		TEST(taken_back_under_a_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
