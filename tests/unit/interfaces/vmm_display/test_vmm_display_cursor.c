/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cursor that QEMU has, on its way through the process to the daemon. */
#include "display_bench.h"

#define SIDE_MAX 256

static uint32_t pixels[SIDE_MAX * SIDE_MAX];

static void daemon_take_cursor(struct fake_qemu *qemu)
{
	daemon_say(qemu, (struct vmm_display_message){ .kind = VMM_DISPLAY_CURSOR_TAKEN });
}

static struct vmm_display_message next_cursor(struct fake_qemu *qemu)
{
	struct fake_news *news = fake_next(qemu);

	assert_int_equal(news->message.kind, VMM_DISPLAY_CURSOR);
	return news->message;
}

static void assert_place(struct vmm_display_message message, int x, int y, bool visible)
{
	assert_int_equal((int32_t)message.x, x);
	assert_int_equal((int32_t)message.y, y);
	assert_int_equal(message.down, visible);
}

/* The corner is what QEMU says, and the hot spot what the daemon hears. */
static void tells_looks_and_place(void **state)
{
	struct fake_qemu *qemu = *state;
	uint32_t cursor[6] = { 0xff102030, 0x80004000, 0, 1, 2, 3 }, shown[6];
	struct fake_news *news;

	assert_false(fake_move_cursor(qemu, 30, 40, 1));
	assert_false(fake_has_news(qemu));
	assert_false(fake_define_cursor(qemu, (int32_t[]){ 3, 2, 2, 1 }, cursor, sizeof(cursor)));
	news = fake_next(qemu);
	assert_int_equal(news->message.kind, VMM_DISPLAY_CURSOR);
	assert_place(news->message, 32, 41, true);
	assert_true(news->message.width == 3 && news->message.height == 2);
	assert_true(news->message.cursor.hot_x == 2 && news->message.cursor.hot_y == 1);
	assert_int_equal(pread(news->file, shown, sizeof(shown), 0), sizeof(shown));
	assert_memory_equal(shown, cursor, sizeof(shown));
	close(news->file);
	daemon_take_cursor(qemu);
	assert_false(fake_move_cursor(qemu, -5, -6, 0));
	assert_place(next_cursor(qemu), -3, -5, false);
	daemon_take_cursor(qemu);
	/* Where it is already. */
	assert_false(fake_move_cursor(qemu, -5, -6, 0));
	assert_false(fake_has_news(qemu));
}

/* However often it moves and changes, and whatever the picture waits for. */
static void merges_until_taken(void **state)
{
	struct fake_qemu *qemu = *state;
	struct vmm_display_message message;

	assert_false(fake_define_cursor(qemu, (int32_t[]){ 1, 1, 0, 0 }, pixels, 4));
	assert_int_equal(next_cursor(qemu).width, 1);
	for (int32_t side = 1; side <= SIDE_MAX; side *= 2) {
		assert_false(fake_move_cursor(qemu, side, 2 * side, 1));
		assert_false(fake_define_cursor(qemu, (int32_t[]){ side, side, 0, 0 }, pixels,
						(size_t)side * (size_t)side * 4));
	}
	assert_false(fake_has_news(qemu));
	fake_fill(qemu, 8, 8, 0);
	daemon_take(qemu);
	assert_false(fake_has_news(qemu));
	daemon_take_cursor(qemu);
	message = next_cursor(qemu);
	assert_int_equal(message.width, SIDE_MAX);
	assert_place(message, SIDE_MAX, 2 * SIDE_MAX, true);
	/* What is not taken of the cursor does not hold up the picture, either. */
	fake_fill(qemu, 9, 8, 1);
	assert_false(fake_has_news(qemu));
}

static void tells_a_successor(void **state)
{
	struct fake_qemu *qemu = *state;
	struct fake_news *news;

	/* There is none that it could hear of. */
	daemon_say(qemu, (struct vmm_display_message){ .kind = VMM_DISPLAY_AGAIN, .number = 6 });
	assert_int_equal(fake_next(qemu)->message.kind, VMM_DISPLAY_DARK);
	assert_false(fake_has_news(qemu));
	assert_false(fake_define_cursor(qemu, (int32_t[]){ 2, 2, 1, 1 }, pixels, 16));
	assert_false(fake_move_cursor(qemu, 7, 8, 1));
	assert_int_equal(next_cursor(qemu).number, 6);
	fake_fill(qemu, 8, 8, 0);
	daemon_say(qemu, (struct vmm_display_message){ .kind = VMM_DISPLAY_AGAIN, .number = 77 });
	assert_int_equal(fake_next(qemu)->message.kind, VMM_DISPLAY_SURFACE);
	news = fake_next(qemu);
	assert_true(news->message.kind == VMM_DISPLAY_CURSOR && news->message.number == 77);
	assert_true(news->message.width == 2 && news->file >= 0);
	assert_place(news->message, 8, 9, true);
}

static void sees_through_lies(void **state)
{
	static const struct {
		int32_t numbers[4];
		size_t count;
	} lies[] = {
		{ { 0, 1, 0, 0 }, 0 },
		{ { 1, 0, 0, 0 }, 0 },
		{ { -1, -1, 0, 0 }, 4 },
		{ { SIDE_MAX + 1, 1, 0, 0 }, (SIDE_MAX + 1) * 4 },
		{ { 1, SIDE_MAX + 1, 0, 0 }, (SIDE_MAX + 1) * 4 },
		{ { INT32_MAX, INT32_MAX, 0, 0 }, 4 },
		{ { 0x10000, 0x10000, 0, 0 }, 0 },
		{ { INT32_MIN, INT32_MIN, 0, 0 }, 0 },
		{ { 2, 2, 0, 0 }, 15 },
		{ { 2, 2, 0, 0 }, 17 },
		{ { 2, 2, 0, 0 }, 0 },
		{ { 2, 2, 2, 0 }, 16 },
		{ { 2, 2, 0, -1 }, 16 },
		{ { 2, 2, INT32_MIN, INT32_MAX }, 16 },
	};
	struct fake_qemu *qemu = *state;

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
		assert_true(fake_define_cursor(qemu, lies[i].numbers, pixels, lies[i].count));
	assert_false(fake_has_news(qemu));
	assert_false(fake_define_cursor(qemu, (int32_t[]){ SIDE_MAX, SIDE_MAX, SIDE_MAX - 1, 0 }, pixels,
					sizeof(pixels)));
	assert_place(next_cursor(qemu), SIDE_MAX - 1, 0, false);
	daemon_take_cursor(qemu);
	/* Far away is outside of every picture, and no sum overflows. */
	assert_false(fake_move_cursor(qemu, INT32_MAX, INT32_MIN, INT32_MIN));
	assert_place(next_cursor(qemu), 2 * (int)VMM_DISPLAY_SIDE_MAX + SIDE_MAX - 1,
		     -2 * (int)VMM_DISPLAY_SIDE_MAX, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DISPLAY_TEST(tells_looks_and_place),
		DISPLAY_TEST(merges_until_taken),
		DISPLAY_TEST(tells_a_successor),
		DISPLAY_TEST(sees_through_lies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
