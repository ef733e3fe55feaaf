/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cursor of a connected VMM in its window: an honest one, and others. */
#include "source_bench.h"

#define SIDE 4u

static const uint32_t white[SIDE * SIDE] = {
	[0 ... SIDE * SIDE - 1] = 0xffffffff,
};

static int cursor_file(void)
{
	int file = fd_memfd("test", sizeof(white));

	assert_true(file >= 0);
	assert_int_equal(pwrite(file, white, sizeof(white), 0), sizeof(white));
	return file;
}

static struct vmm_display_message cursor(int x, int y)
{
	return (struct vmm_display_message){
		.kind = VMM_DISPLAY_CURSOR,
		.x = (uint32_t)x,
		.y = (uint32_t)y,
		.down = 1,
		.width = SIDE,
		.height = SIDE,
		.cursor = { .hot_x = 1, .hot_y = 2 },
	};
}

/* The screen there in the picture. */
static uint32_t pixel_at(const struct bench *bench, int x, int y)
{
	struct seat_rect picture = seat_window_picture(bench->window);

	return bench->screen[(picture.y + y) * (int)SCREEN + picture.x + x] & 0xffffff;
}

static uint32_t guest_at(const struct bench *bench, unsigned x, unsigned y)
{
	return bench->pixels[y][x] & 0xffffff;
}

static void it_is_seen_over_the_picture(void **state)
{
	struct bench *bench = *state;
	struct vmm_display_message message = cursor(10, 10);
	int file = cursor_file();

	close(show(bench));
	say(bench, &message, file);
	close(file);
	compose(bench);
	assert_told(bench, VMM_DISPLAY_TAKEN);
	assert_told(bench, VMM_DISPLAY_CURSOR_TAKEN);
	assert_int_equal(pixel_at(bench, 9, 8), 0xffffff);
	assert_int_equal(pixel_at(bench, 12, 11), 0xffffff);
	assert_int_equal(pixel_at(bench, 8, 8), guest_at(bench, 8, 8));
	assert_int_equal(pixel_at(bench, 13, 11), guest_at(bench, 13, 11));
	assert_window(bench);
	/* Moved, without the file; and beyond the picture's edge. */
	message = cursor(0, 0);
	say(bench, &message, -1);
	compose(bench);
	assert_told(bench, VMM_DISPLAY_CURSOR_TAKEN);
	assert_int_equal(pixel_at(bench, 9, 8), guest_at(bench, 9, 8));
	assert_int_equal(pixel_at(bench, 2, 1), 0xffffff);
	assert_int_not_equal(pixel_at(bench, -1, 0), 0xffffff);
	message.down = 0;
	say(bench, &message, -1);
	compose(bench);
	assert_told(bench, VMM_DISPLAY_CURSOR_TAKEN);
	assert_int_equal(pixel_at(bench, 2, 1), guest_at(bench, 2, 1));
	assert_int_equal(status_of(bench).protocol_errors, 0);
}

/* The window of another VMM begins without it. */
static void it_goes_with_its_vmm(void **state)
{
	struct bench *bench = *state;
	struct vmm_display_message message = cursor(10, 10);
	struct vmm_display_options options;
	int file = cursor_file(), pair[2];
	bool gone = false;

	close(show(bench));
	say(bench, &message, file);
	close(file);
	endpoint_destroy(bench->endpoint, note, &gone);
	AWAIT(gone, loop_turn(bench->loop, 1000000));
	close(bench->process);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	options = options_of(bench, pair[0]);
	assert_int_equal(vmm_display_create(&options, &bench->endpoint), 0);
	bench->process = pair[1];
	close(show(bench));
	compose(bench);
	assert_int_equal(pixel_at(bench, 10, 10), guest_at(bench, 10, 10));
}

#define LIE(name, ...)                                                                                       \
	static void name(void **state)                                                                       \
	{                                                                                                    \
		struct bench *bench = *state;                                                                \
		struct vmm_display_message lie = cursor(1, 1);                                               \
		int file = cursor_file();                                                                    \
                                                                                                             \
		__VA_ARGS__;                                                                                 \
		say(bench, &lie, file);                                                                      \
		assert_let_go(bench, 1);                                                                     \
		close(file);                                                                                 \
	}

LIE(a_side_of_zero, lie.width = 0)
LIE(a_side_too_large, lie.height = VMM_DISPLAY_CURSOR_MAX + 1)
LIE(sides_without_end, lie.width = lie.height = UINT32_MAX)
LIE(a_hot_spot_outside, lie.cursor.hot_x = SIDE)
LIE(a_file_too_small, lie.height = SIDE + 1)
LIE(a_file_that_is_no_memory, close(file); file = open("/dev/zero", O_RDWR))
LIE(moving_without_being_asked, say(bench, &lie, file))

/* Where there is no picture, and no sum overflows. */
static void places_far_away(void **state)
{
	static const int far[] = { INT32_MIN, INT32_MAX, 1 << 20, -(1 << 20) };
	struct bench *bench = *state;

	close(show(bench));
	for (unsigned i = 0; i < 4; i++) {
		struct vmm_display_message message = cursor(far[i], far[3 - i]);
		int file = cursor_file();

		say(bench, &message, file);
		close(file);
		compose(bench);
	}
	assert_int_equal(status_of(bench).protocol_errors, 0);
	for (unsigned i = 0; i < WIDTH * HEIGHT; i++)
		assert_int_equal(pixel_at(bench, (int)(i % WIDTH), (int)(i / WIDTH)),
				 guest_at(bench, i % WIDTH, i / WIDTH));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BENCH_TEST(it_is_seen_over_the_picture),
		BENCH_TEST(it_goes_with_its_vmm),
		BENCH_TEST(a_side_of_zero),
		BENCH_TEST(a_side_too_large),
		BENCH_TEST(sides_without_end),
		BENCH_TEST(a_hot_spot_outside),
		BENCH_TEST(a_file_too_small),
		BENCH_TEST(a_file_that_is_no_memory),
		BENCH_TEST(moving_without_being_asked),
		BENCH_TEST(places_far_away),
	};

	return cmocka_run_group_tests_name("vmm_display_source_cursor", tests, NULL, NULL);
}
