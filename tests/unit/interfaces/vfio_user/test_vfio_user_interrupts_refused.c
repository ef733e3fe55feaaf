/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a VMM may not set of a function's interrupts, and takeover. */
#include "interrupts_bench.h"

/* ---- what is refused ---- */

static void ranges_that_cannot_be(void **state)
{
	static const uint32_t bad[][2] = {
		{ 0, 65 },	   { 64, 1 },	      { 63, 2 },
		{ 1, UINT32_MAX }, { UINT32_MAX, 1 }, { UINT32_MAX, UINT32_MAX },
	};
	uint8_t data[128] = { 0 };
	int fd = new_event(), given = fd;

	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(set_as(BOOL | TRIGGER, MSIX, bad[i][0], bad[i][1], data, NULL, 0), -EINVAL);
		assert_int_equal(set(NONE | TRIGGER, MSIX, bad[i][0], bad[i][1]), -EINVAL);
		assert_int_equal(set(FDS | TRIGGER, MSIX, bad[i][0], bad[i][1]), -EINVAL);
	}
	assert_int_equal(set_as(FDS | TRIGGER, MSIX, 64, 1, NULL, &given, 1), -EINVAL);
	assert_int_equal(set_as(FDS | TRIGGER, MSIX, 0, 2, NULL, &given, 1), -EINVAL);
	assert_int_equal(set_as(FDS | TRIGGER, MSIX, 0, 0, NULL, &given, 1), -EINVAL);
	assert_int_equal(set_as(FDS | TRIGGER, PIN, 1, 1, NULL, &given, 1), -EINVAL);
	assert_int_equal(set(NONE | TRIGGER, PIN, 0, 2), -EINVAL);
	/* None at all means all of them, to be taken back; else it is a mistake. */
	assert_int_equal(set(NONE | TRIGGER, MSIX, 1, 0), -EINVAL);
	assert_int_equal(set_as(BOOL | TRIGGER, MSIX, 0, 0, data, NULL, 0), -EINVAL);
	assert_int_equal(set(NONE | MASK, PIN, 0, 0), -EINVAL);
	assert_int_equal(set(NONE | UNMASK, PIN, 0, 0), -EINVAL);
	assert_int_equal(set(FDS | TRIGGER, MSIX, 0, 0), -EINVAL);
	/* A descriptor that is not taken stays the caller's. */
	assert_int_equal(given, fd);
	assert_false(vfio_user_interrupts_has_vectors(&interrupts));
	close(fd);
}

static void flags_that_cannot_be(void **state)
{
	int fd = new_event(), given = fd;
	unsigned accepted = 0;

	/* One kind of data and one action, and nothing else. */
	for (uint32_t flags = 0; flags < 128; flags++) {
		bool one_kind = __builtin_popcount(flags & 7) == 1,
		     one_action = __builtin_popcount(flags & 56) == 1;
		uint8_t data = 0;
		int error = set_as(flags, PIN, 0, 1, &data, NULL, 0);

		if (flags >= 64 || !one_kind || !one_action)
			assert_int_equal(error, -EINVAL);
		else
			accepted++;
	}
	assert_int_equal(accepted, 9);
	assert_int_equal(set(1u << 31 | NONE | TRIGGER, PIN, 0, 1), -EINVAL);
	/* Descriptors where there can be none. */
	assert_int_equal(set_as(NONE | TRIGGER, MSIX, 0, 1, NULL, &given, 1), -EINVAL);
	assert_int_equal(set_as(NONE | TRIGGER, MSIX, 0, 0, NULL, &given, 1), -EINVAL);
	/* Eventfds that mask, and masks of vectors. */
	assert_int_equal(set_as(FDS | UNMASK, PIN, 0, 1, NULL, &given, 1), -ENOTSUP);
	assert_int_equal(set_as(FDS | MASK, PIN, 0, 1, NULL, &given, 1), -ENOTSUP);
	assert_int_equal(set(NONE | MASK, MSIX, 0, 1), -ENOTSUP);
	assert_int_equal(set(NONE | UNMASK, MSIX, 0, 1), -ENOTSUP);
	assert_int_equal(given, fd);
	close(fd);
}

/* Kinds that the function does not have: nothing can be set, but all be taken back. */
static void kinds_that_it_does_not_have(void **state)
{
	struct vfio_user_irq_info info;
	int fd = new_event(), given = fd;

	for (uint32_t index = 0; index < VFIO_USER_IRQS; index++) {
		unsigned count = index == PIN ? 1 : index == MSIX ? VECTORS : 0;

		vfio_user_interrupts_info(&interrupts, index, &info);
		assert_int_equal(info.argsz, 16);
		assert_int_equal(info.index, index);
		assert_int_equal(info.count, count);
		assert_int_equal(info.flags, index == PIN ? 7 : index == MSIX ? 1 : 0);
		assert_int_equal(set(NONE | TRIGGER, index, 0, 0), 0);
		if (count > 0)
			continue;
		assert_int_equal(set_as(FDS | TRIGGER, index, 0, 1, NULL, &given, 1), -EINVAL);
		assert_int_equal(set(NONE | TRIGGER, index, 0, 1), -EINVAL);
	}
	assert_int_equal(set(NONE | TRIGGER, VFIO_USER_IRQS, 0, 0), -EINVAL);
	assert_int_equal(set(NONE | TRIGGER, UINT32_MAX, 0, 0), -EINVAL);
	assert_int_equal(given, fd);
	close(fd);
}

/* A file, a pipe or a socket could make the worker wait. None of them is taken, nor are those beside it. */
static void descriptors_of_another_kind(void **state)
{
	int pipes[2], before = give(MSIX, 0), fds[3] = { new_event(), -1, new_event() };
	int others[4] = { fd_memfd("none", 8), socket(AF_UNIX, SOCK_STREAM, 0) };

	assert_int_equal(pipe(pipes), 0);
	others[2] = pipes[0];
	others[3] = pipes[1];
	for (unsigned i = 0; i < 4; i++) {
		int given[3] = { fds[0], others[i], fds[2] };

		assert_int_equal(set_as(FDS | TRIGGER, MSIX, 0, 3, NULL, given, 3), -EINVAL);
		assert_int_equal(given[0], fds[0]);
		assert_int_equal(given[1], others[i]);
		assert_int_equal(set_as(FDS | TRIGGER, PIN, 0, 1, NULL, &others[i], 1), -EINVAL);
	}
	vfio_user_interrupts_raise(&interrupts, 0);
	assert_int_equal(told(before), 1);
	for (unsigned i = 0; i < 4; i++)
		close(others[i]);
	close(fds[0]);
	close(fds[2]);
	close(before);
}

/* ---- takeover ---- */

static void hand_over(struct handover *in)
{
	struct handover out = { 0 };
	int pair[2];

	vfio_user_interrupts_save(&interrupts, &out);
	assert_int_equal(out.error, 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(handover_send(&out, pair[0], UINT64_MAX), 0);
	assert_int_equal(handover_receive(pair[1], in), 0);
	close(pair[0]);
	close(pair[1]);
	handover_finish(&out);
	vfio_user_interrupts_finish(&interrupts);
	init();
}

static void takeover(void **state)
{
	int pin = give(PIN, 0), fd = give(MSIX, 63), waiting;
	struct handover in;

	vfio_user_interrupts_raise(&interrupts, 7);
	vfio_user_interrupts_allow_pin(&interrupts, false);
	settle();
	hand_over(&in);
	vfio_user_interrupts_restore(&interrupts, &in);
	assert_int_equal(in.error, 0);
	assert_int_equal(in.position, in.length);
	handover_finish(&in);
	assert_true(vfio_user_interrupts_pending(&interrupts) == 1ull << 7);
	assert_true(vfio_user_interrupts_has_vectors(&interrupts));
	vfio_user_interrupts_raise(&interrupts, 63);
	assert_int_equal(told(fd), 1);
	waiting = give(MSIX, 7);
	assert_int_equal(told(waiting), 1);
	/* No message is left; the pin is forbidden as before. */
	assert_int_equal(set(NONE | TRIGGER, MSIX, 0, 0), 0);
	assert_false(vfio_user_interrupts_has_vectors(&interrupts));
	vfio_user_interrupts_raise(&interrupts, 3);
	assert_int_equal(told(pin), 0);
	hand_over(&in);
	vfio_user_interrupts_restore(&interrupts, &in);
	assert_int_equal(in.error, 0);
	handover_finish(&in);
	vfio_user_interrupts_allow_pin(&interrupts, true);
	assert_int_equal(told(pin), 1);
	/* It masks itself over a takeover, too. */
	hand_over(&in);
	vfio_user_interrupts_restore(&interrupts, &in);
	handover_finish(&in);
	vfio_user_interrupts_raise(&interrupts, 4);
	assert_int_equal(told(pin), 0);
	assert_int_equal(set(NONE | UNMASK, PIN, 0, 1), 0);
	assert_int_equal(told(pin), 1);
	close(waiting);
	close(fd);
	close(pin);
}

/* A stream that is cut, or with another descriptor in an eventfd's place. */
static void streams_that_are_wrong(void **state)
{
	struct handover in;
	int fd = give(MSIX, 1);
	size_t length;

	for (size_t cut = 0;; cut += 7) {
		hand_over(&in);
		length = in.length;
		if (cut < length)
			in.length = cut;
		vfio_user_interrupts_restore(&interrupts, &in);
		assert_int_equal(in.error, cut < length ? -EBADMSG : 0);
		handover_finish(&in);
		vfio_user_interrupts_finish(&interrupts);
		init();
		close(fd);
		fd = give(MSIX, 1);
		if (cut >= length)
			break;
	}
	hand_over(&in);
	assert_int_equal(in.fd_count, 1);
	close(in.fds[0]);
	in.fds[0] = fd_memfd("none", 8);
	vfio_user_interrupts_restore(&interrupts, &in);
	assert_int_equal(in.error, -EBADMSG);
	handover_finish(&in);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ranges_that_cannot_be),
		TEST(flags_that_cannot_be),
		TEST(kinds_that_it_does_not_have),
		TEST(descriptors_of_another_kind),
		TEST(takeover),
		TEST(streams_that_are_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
