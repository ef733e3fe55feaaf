/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The endpoint, and the seat's side of a connected VMM, whose process the test plays: an honest one, and
 * others. */
#include "arbiter/seat/seat_private.h"
#include "core/loop_account.h"
#include "interfaces/vmm_display/vmm_display_source.h"
#include "source_bench.h"

/* ---- an honest process ---- */

static void the_picture_comes_into_the_window(void **state)
{
	struct bench *bench = *state;
	struct vmm_display_message change = damage(3, 4, 5, 6);
	int file;

	assert_true(seat_window_is_hidden(bench->window));
	assert_int_equal(status_of(bench).connections, 1);
	file = show(bench);
	assert_window(bench);
	assert_told(bench, 0);
	compose(bench);
	assert_told(bench, VMM_DISPLAY_TAKEN);
	for (unsigned y = 4; y < 10; y++)
		for (unsigned x = 3; x < 8; x++)
			bench->pixels[y][x] ^= 0xffffff;
	assert_int_equal(pwrite(file, bench->pixels, sizeof(bench->pixels), 0), sizeof(bench->pixels));
	say(bench, &change, -1);
	assert_window(bench);
	compose(bench);
	assert_told(bench, VMM_DISPLAY_TAKEN);
	say(bench, &(struct vmm_display_message){ .kind = VMM_DISPLAY_DARK }, -1);
	assert_true(seat_window_is_hidden(bench->window));
	assert_int_equal(status_of(bench).protocol_errors, 0);
	close(file);
}

static void keys_go_to_the_process(void **state)
{
	struct bench *bench = *state;
	struct vmm_display_message told;

	close(show(bench));
	compose(bench);
	assert_told(bench, VMM_DISPLAY_TAKEN);
	seat_set_focus(bench->seat, bench->window);
	seat_key(bench->seat, KEY_A, true);
	told = hear(bench);
	assert_true(told.kind == VMM_DISPLAY_KEY && told.number == KEY_A && told.down == 1);
	seat_pointer(bench->seat, 3 + 10, (int)SEAT_BAR_PIXELS + 22 + 7, 5, -1);
	told = hear(bench);
	assert_true(told.kind == VMM_DISPLAY_POINTER && told.x == 10 && told.y == 7 && told.number == 5 &&
		    told.wheel == -1);
	/* The window goes, and with it the focus: what is down comes up. */
	say(bench, &(struct vmm_display_message){ .kind = VMM_DISPLAY_DARK }, -1);
	told = hear(bench);
	assert_true(told.kind == VMM_DISPLAY_KEY && told.number == KEY_A && told.down == 0);
	told = hear(bench);
	assert_true(told.kind == VMM_DISPLAY_POINTER && told.number == 0);
}

/* As many as fit into text that is typed. */
static void counts_of_keys_set_the_pace(void **state)
{
	struct bench *bench = *state;
	struct vmm_display_message count = { .kind = VMM_DISPLAY_KEYS, .x = 2, .y = 1, .down = 1 };

	close(show(bench));
	seat_set_focus(bench->seat, bench->window);
	assert_int_equal(seat_focus_pace(bench->seat), SEAT_PACE_UNKNOWN);
	for (unsigned i = 0; i < 10; i++)
		seat_key(bench->seat, KEY_A, i % 2 == 0);
	assert_int_equal(seat_focus_pace(bench->seat), SEAT_PACE_UNKNOWN);
	say(bench, &count, -1);
	assert_int_equal(seat_focus_pace(bench->seat), SEAT_PACE_WAIT);
	count.x = 3;
	say(bench, &count, -1);
	assert_int_equal(seat_focus_pace(bench->seat), SEAT_PACE_GO);
	count = (struct vmm_display_message){ .kind = VMM_DISPLAY_KEYS, .x = 10, .y = 9, .width = 3 };
	say(bench, &count, -1);
	assert_int_equal(seat_focus_pace(bench->seat), SEAT_PACE_WAIT);
	count.y = 8;
	say(bench, &count, -1);
	assert_int_equal(seat_focus_pace(bench->seat), SEAT_PACE_UNKNOWN);
	assert_int_equal(counter_read(&vmm_display_counters(bench->endpoint)->lost_keys), 3);
	assert_int_equal(counter_read(&vmm_display_counters(bench->endpoint)->keys), 10);
	/* More than there were. */
	count.x = 11;
	say(bench, &count, -1);
	assert_let_go(bench, 1);
}

static void fewer_keys_than_before(void **state)
{
	struct bench *bench = *state;
	struct vmm_display_message count = { .kind = VMM_DISPLAY_KEYS, .x = 2 };

	close(show(bench));
	seat_set_focus(bench->seat, bench->window);
	for (unsigned i = 0; i < 10; i++)
		seat_key(bench->seat, KEY_A, i % 2 == 0);
	say(bench, &count, -1);
	count.x = 1;
	say(bench, &count, -1);
	assert_let_go(bench, 1);
}

static void more_keys_than_can_wait(void **state)
{
	struct bench *bench = *state;

	say(bench, &(struct vmm_display_message){ .kind = VMM_DISPLAY_KEYS, .y = VMM_DISPLAY_KEYS_MAX + 1 },
	    -1);
	assert_let_go(bench, 1);
}

/* Its pixels are painted for its guest's sake, whatever for; a screen without them is not. */
static void the_guest_pays_for_its_pixels(void **state)
{
	struct bench *bench = *state;
	uint64_t drawn_ns, painted_ns;

	close(show(bench));
	compose(bench);
	loop_pay(bench->loop, NULL);
	drawn_ns = status_of(bench).cpu_ns;
	seat_change_all(bench->seat);
	compose(bench);
	painted_ns = status_of(bench).cpu_ns;
	assert_true(painted_ns > drawn_ns);
	seat_window_set_hidden(bench->window, true);
	seat_change_all(bench->seat);
	compose(bench);
	loop_pay(bench->loop, NULL);
	assert_int_equal(status_of(bench).cpu_ns, painted_ns);
}

static void a_size_is_asked_for(void **state)
{
	struct bench *bench = *state;
	struct vmm_display_message told;

	close(show(bench));
	compose(bench);
	assert_told(bench, VMM_DISPLAY_TAKEN);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(seat_window_ask_size(bench->window, 100 + i, 200), 0);
	compose(bench);
	told = hear(bench);
	assert_true(told.kind == VMM_DISPLAY_SIZE && told.width == 199 && told.height == 200);
	assert_told(bench, 0);
}

/* ---- processes that are not ---- */

#define LIE(name, ...)                                                                                       \
	static void name(void **state)                                                                       \
	{                                                                                                    \
		struct bench *bench = *state;                                                                \
		struct vmm_display_message lie = surface();                                                  \
		int file = picture_file(bench);                                                              \
                                                                                                             \
		__VA_ARGS__;                                                                                 \
		say(bench, &lie, file);                                                                      \
		assert_let_go(bench, 1);                                                                     \
		if (file >= 0)                                                                               \
			close(file);                                                                         \
	}

LIE(a_side_of_zero, lie.width = 0)
LIE(a_side_too_large, lie.height = VMM_DISPLAY_SIDE_MAX + 1)
LIE(a_stride_too_small, lie.stride_bytes = WIDTH * 4 - 4)
LIE(a_stride_that_is_odd, lie.stride_bytes = WIDTH * 4 + 1)
LIE(a_stride_without_end, lie.stride_bytes = UINT32_MAX - 3)
LIE(a_file_too_small, lie.height = HEIGHT * 100)
LIE(no_file, close(file); file = -1)
LIE(a_file_that_is_no_memory, close(file); file = open("/dev/null", O_RDWR))
LIE(a_kind_that_there_is_not, lie.kind = 0x7fff)
LIE(what_only_the_daemon_says, lie.kind = VMM_DISPLAY_KEY)

static void damage_without_a_picture(void **state)
{
	struct vmm_display_message lie = damage(0, 0, 1, 1);

	say(*state, &lie, -1);
	assert_let_go(*state, 1);
}

static void assert_damage_is_a_lie(struct bench *bench, struct vmm_display_message lie)
{
	close(show(bench));
	compose(bench);
	say(bench, &lie, -1);
	assert_let_go(bench, 1);
}

static void damage_of_nothing(void **state)
{
	assert_damage_is_a_lie(*state, damage(0, 0, 0, 1));
}

static void damage_outside(void **state)
{
	assert_damage_is_a_lie(*state, damage(WIDTH - 1, 0, 2, 1));
}

static void damage_that_wraps_around(void **state)
{
	assert_damage_is_a_lie(*state, damage(1, 1, UINT32_MAX, UINT32_MAX));
}

static void drawing_without_being_asked(void **state)
{
	struct vmm_display_message more = damage(0, 0, 1, 1);

	close(show(*state));
	say(*state, &more, -1);
	assert_let_go(*state, 1);
}

static void packets_of_other_sizes(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(send(bench->process, "x", 1, 0), 1);
	assert_let_go(bench, 1);
}

/* The file is truncated while it is drawn from: only this display is lost. */
static void memory_that_is_taken_away(void **state)
{
	struct bench *bench = *state;
	struct vmm_display_message message = surface(), change = damage(0, 0, WIDTH, HEIGHT);
	char name[] = "/dev/shm/viaduct-test-XXXXXX";
	int file = mkostemp(name, O_CLOEXEC);

	assert_true(file >= 0);
	unlink(name);
	/* Here, because cmocka has handlers of its own for each test. */
	assert_int_equal(memory_guard_install(), 0);
	assert_int_equal(ftruncate(file, sizeof(bench->pixels)), 0);
	say(bench, &message, file);
	compose(bench);
	/* A file that cannot be sealed. */
	assert_int_equal(ftruncate(file, 0), 0);
	say(bench, &change, -1);
	assert_let_go(bench, 1);
	close(file);
}

static void a_process_that_leaves(void **state)
{
	struct bench *bench = *state;
	int pair[2];

	close(show(bench));
	close(bench->process);
	AWAIT(status_of(bench).connections == 0, loop_turn(bench->loop, 1000000));
	assert_true(seat_window_is_hidden(bench->window));
	assert_int_equal(status_of(bench).protocol_errors, 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	close(pair[0]);
	bench->process = pair[1];
}

/* One that does not read is let go before the daemon waits for it. */
static void a_process_that_takes_no_keys(void **state)
{
	struct bench *bench = *state;

	close(show(bench));
	seat_set_focus(bench->seat, bench->window);
	for (unsigned i = 0; i < 100000 && status_of(bench).connections > 0; i++) {
		seat_key(bench->seat, KEY_A, i % 2 == 0);
		loop_turn(bench->loop, 0);
	}
	assert_let_go(bench, 1);
}

static void what_it_says_is_logged_as_text(void **state)
{
	struct bench *bench = *state;
	struct vmm_display_message refusal = { .kind = VMM_DISPLAY_REFUSED };

	memset(refusal.text, '\033', sizeof(refusal.text));
	say(bench, &refusal, -1);
	assert_let_go(bench, 1);
}

/* ---- takeover ---- */

static void a_successor_is_told_again(void **state)
{
	struct bench *bench = *state;
	struct vmm_display_message stale = damage(0, 0, 1, 1), again;
	bool still = false;
	int file;

	close(show(bench));
	compose(bench);
	assert_told(bench, VMM_DISPLAY_TAKEN);
	seat_set_focus(bench->seat, bench->window);
	seat_key(bench->seat, KEY_A, true);
	assert_told(bench, VMM_DISPLAY_KEY);
	endpoint_suspend(bench->endpoint, note, &still);
	assert_true(still);
	/* Keys are up, and the window stays as it is. */
	assert_told(bench, VMM_DISPLAY_KEY);
	assert_window(bench);
	say(bench, &stale, -1);
	endpoint_resume(bench->endpoint);
	again = hear(bench);
	assert_int_equal(again.kind, VMM_DISPLAY_AGAIN);
	assert_true(again.number != 0);
	/* What was said to the predecessor counts for nothing; the focus is the window's still. */
	loop_turn(bench->loop, 0);
	assert_int_equal(status_of(bench).connections, 1);
	assert_ptr_equal(seat_focus(bench->seat), bench->window);
	stale = surface();
	stale.number = again.number;
	bench->pixels[0][0] ^= 1;
	file = picture_file(bench);
	say(bench, &stale, file);
	close(file);
	assert_window(bench);
	compose(bench);
	assert_told(bench, VMM_DISPLAY_TAKEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(the_picture_comes_into_the_window),
		BENCH_TEST(keys_go_to_the_process),
		BENCH_TEST(counts_of_keys_set_the_pace),
		BENCH_TEST(fewer_keys_than_before),
		BENCH_TEST(more_keys_than_can_wait),
		BENCH_TEST(a_size_is_asked_for),
		BENCH_TEST(the_guest_pays_for_its_pixels),
		BENCH_TEST(a_side_of_zero),
		BENCH_TEST(a_side_too_large),
		BENCH_TEST(a_stride_too_small),
		BENCH_TEST(a_stride_that_is_odd),
		BENCH_TEST(a_stride_without_end),
		BENCH_TEST(a_file_too_small),
		BENCH_TEST(no_file),
		BENCH_TEST(a_file_that_is_no_memory),
		BENCH_TEST(a_kind_that_there_is_not),
		BENCH_TEST(what_only_the_daemon_says),
		BENCH_TEST(damage_without_a_picture),
		BENCH_TEST(damage_of_nothing),
		BENCH_TEST(damage_outside),
		BENCH_TEST(damage_that_wraps_around),
		BENCH_TEST(drawing_without_being_asked),
		BENCH_TEST(packets_of_other_sizes),
		BENCH_TEST(memory_that_is_taken_away),
		BENCH_TEST(a_process_that_leaves),
		BENCH_TEST(a_process_that_takes_no_keys),
		BENCH_TEST(what_it_says_is_logged_as_text),
		BENCH_TEST(a_successor_is_told_again),
	};

	return cmocka_run_group_tests_name("vmm_display", tests, NULL, NULL);
}
