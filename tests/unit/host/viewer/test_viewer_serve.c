/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The picture that a client gets, and when. */
#include "viewer_bench.h"

#define ALL (WIDTH * HEIGHT)

static void shows_every_pixel(void **state)
{
	struct bench *bench = *state;

	bench_meet(bench, WIDTH, HEIGHT);
	client_request(bench, false);
	assert_int_equal(client_take_update(bench), ALL);
	assert_same_picture(bench);
}

/* Its size and name are the first that the client hears of. */
static void says_nothing_before_there_is_a_screen(void **state)
{
	struct bench *bench = *state;

	client_say(bench, "RFB 003.008\n", 12);
	daemon_hear_kind(bench, VIEWER_READY);
	AWAIT(bench_state(bench) == 'S', (void)0);
	assert_true(client_hears_nothing(bench));
	daemon_show(bench, WIDTH, HEIGHT);
	bench_wait_for(bench->client, POLLIN);
}

static void speaks_old_versions(void **state)
{
	static const char *const versions[] = { "RFB 003.003\n", "RFB 003.005\n", "RFB 003.889\n" };

	for (unsigned i = 0; i < 3; i++) {
		struct bench bench;
		uint8_t bytes[64];

		bench_start(&bench);
		daemon_hear_kind(&bench, VIEWER_READY);
		daemon_show(&bench, WIDTH, HEIGHT);
		client_hear(&bench, bytes, 12);
		client_say(&bench, versions[i], 12);
		/* The server decides: no security. */
		client_hear(&bench, bytes, 4);
		assert_int_equal(big32_get(bytes), 1);
		client_say(&bench, "\1", 1);
		client_hear(&bench, bytes, 24 + strlen(SEAT_NAME));
		assert_int_equal(big16_get(bytes), WIDTH);
		assert_int_equal(big16_get(bytes + 2), HEIGHT);
		bench_stop(&bench);
	}
	(void)state;
}

/* A picture in the client's own format: 16 bits, big-endian, 5 and 6 and 5 of them. */
static void shows_pixels_as_asked(void **state)
{
	static const uint8_t format[20] = { [4] = 16,  [5] = 16,  [6] = 1,   [7] = 1,  [9] = 31,
					    [11] = 63, [13] = 31, [14] = 11, [15] = 5, [16] = 0 };
	struct bench *bench = *state;
	uint8_t header[16], pixel[2];

	bench_meet(bench, WIDTH, HEIGHT);
	*pixel_of(bench, 7, 9) = 0xff8000;
	client_say(bench, format, sizeof(format));
	client_request_part(bench, false, 7, 9, 1, 1);
	client_hear(bench, header, sizeof(header));
	client_hear(bench, pixel, sizeof(pixel));
	assert_int_equal(big16_get(pixel), 31 << 11 | 32 << 5);
}

static void sends_what_is_damaged_and_only_then(void **state)
{
	struct bench *bench = *state;
	uint32_t before;

	bench_meet(bench, WIDTH, HEIGHT);
	bench_settle(bench);
	before = bench->picture[0];
	*pixel_of(bench, 0, 0) ^= PIXEL_MAX;
	*pixel_of(bench, 51, 60) ^= PIXEL_MAX;
	bench_sync(bench);
	assert_true(client_hears_nothing(bench));
	daemon_damage(bench, 50, 60, 3, 2);
	assert_int_equal(client_take_update(bench), 6);
	assert_int_equal(bench->picture[0], before);
	daemon_damage(bench, 0, 0, 1, 1);
	client_request(bench, true);
	assert_int_equal(client_take_update(bench), 1);
	assert_same_picture(bench);
}

static void sends_many_parts_at_once(void **state)
{
	struct bench *bench = *state;
	struct viewer_message message = { .kind = VIEWER_DAMAGE, .number = VIEWER_RECTS_MAX };

	bench_meet(bench, WIDTH, HEIGHT);
	bench_settle(bench);
	for (uint32_t i = 0; i < VIEWER_RECTS_MAX; i++) {
		message.rects[i] = (struct viewer_rect){ i * 10, i * 5, 2, 1 };
		*pixel_of(bench, i * 10, i * 5) ^= PIXEL_MAX;
	}
	daemon_say(bench, &message, -1);
	assert_int_equal(client_take_update(bench), 2 * VIEWER_RECTS_MAX);
	assert_same_picture(bench);
}

/* The daemon hears that it may send damage when the client asks for more, and not before. */
static void asks_for_damage_when_its_client_does(void **state)
{
	struct bench *bench = *state;

	bench_meet(bench, WIDTH, HEIGHT);
	bench_settle(bench);
	for (unsigned i = 0; i < 3; i++) {
		daemon_damage(bench, 0, 0, 1, 1);
		assert_int_equal(client_take_update(bench), 1);
		/* What it hears next is a key: it was not asked for more. */
		bench_sync(bench);
		client_request(bench, true);
		daemon_hear_kind(bench, VIEWER_READY);
	}
	/* Once for each: the next it hears is a key. */
	client_request(bench, true);
	bench_sync(bench);
}

/* A client may look at a part only: what changes elsewhere does not hold it up. */
static void shows_a_part(void **state)
{
	struct bench *bench = *state;

	bench_meet(bench, WIDTH, HEIGHT);
	client_request_part(bench, false, 10, 10, 20, 20);
	assert_int_equal(client_take_update(bench), 20 * 20);
	client_request_part(bench, true, 10, 10, 20, 20);
	daemon_hear_kind(bench, VIEWER_READY);
	daemon_damage(bench, 0, 0, 5, 5);
	daemon_hear_kind(bench, VIEWER_READY);
	assert_true(client_hears_nothing(bench));
	daemon_damage(bench, 0, 0, 11, 11);
	assert_int_equal(client_take_update(bench), 1);
}

static void becomes_another_size(void **state)
{
	static const int32_t encodings[2][2] = { { ENCODING_RAW, ENCODING_DESKTOP_SIZE },
						 { ENCODING_RAW, ENCODING_EXTENDED_SIZE } };

	for (unsigned i = 0; i < 2; i++) {
		struct bench bench;

		bench_start(&bench);
		bench_meet(&bench, WIDTH, HEIGHT);
		client_set_encodings(&bench, encodings[i], 2);
		bench_settle(&bench);
		daemon_show(&bench, 2 * WIDTH + 1, HEIGHT / 2);
		assert_int_equal(client_take_update(&bench), 0);
		assert_int_equal(bench.picture_width, 2 * WIDTH + 1);
		/* What it asked for before. */
		assert_int_equal(client_take_update(&bench), WIDTH * (HEIGHT / 2));
		bench_settle(&bench);
		assert_same_picture(&bench);
		bench_stop(&bench);
	}
	(void)state;
}

/* It cannot be told, and so has to come again. */
static void lets_a_client_of_one_size_go(void **state)
{
	struct bench *bench = *state;

	bench_meet(bench, WIDTH, HEIGHT);
	bench_settle(bench);
	daemon_show(bench, WIDTH, HEIGHT + 1);
	client_hear_end(bench);
}

static void shows_another_screen_of_the_same_size(void **state)
{
	struct bench *bench = *state;

	bench_meet(bench, WIDTH, HEIGHT);
	bench_settle(bench);
	daemon_show(bench, WIDTH, HEIGHT);
	assert_int_equal(client_take_update(bench), ALL);
	assert_same_picture(bench);
}

static void ask_for_size(struct bench *bench, uint32_t width, uint32_t height)
{
	uint8_t message[8 + 16] = { 251, [6] = 1 };

	big16_put(message + 2, (uint16_t)width);
	big16_put(message + 4, (uint16_t)height);
	big16_put(message + 8 + 8, (uint16_t)width);
	big16_put(message + 8 + 10, (uint16_t)height);
	client_say(bench, message, sizeof(message));
}

/* The daemon gives what was asked for, and then something else. */
static void lets_the_daemon_decide_on_sizes(void **state)
{
	static const int32_t encodings[] = { ENCODING_RAW, ENCODING_EXTENDED_SIZE };
	struct bench *bench = *state;
	struct viewer_message wish;

	bench_meet(bench, WIDTH, HEIGHT);
	client_set_encodings(bench, encodings, 2);
	bench_settle(bench);
	for (unsigned i = 0; i < 2; i++) {
		ask_for_size(bench, 300 + i, 150);
		wish = daemon_hear(bench);
		assert_int_equal(wish.kind, VIEWER_SIZE);
		assert_int_equal(wish.width, 300 + i);
		assert_int_equal(wish.height, 150);
		assert_true(client_hears_nothing(bench));
		daemon_show(bench, 300, 150);
		assert_int_equal(client_take_update(bench), 0);
		assert_int_equal(bench->size_reason, 1);
		assert_int_equal(bench->size_status, i); /* 0: done, 1: not allowed */
		/* What it asked for before. */
		assert_int_equal(client_take_update(bench), i == 0 ? WIDTH * HEIGHT : 300 * 150);
		bench_settle(bench);
		assert_same_picture(bench);
	}
}

/* What needs no decision is answered at once, and the daemon does not hear of it. */
static void answers_sizes_that_need_no_decision(void **state)
{
	static const int32_t encodings[] = { ENCODING_RAW, ENCODING_EXTENDED_SIZE };
	struct bench *bench = *state;

	bench_meet(bench, WIDTH, HEIGHT);
	client_set_encodings(bench, encodings, 2);
	bench_settle(bench);
	ask_for_size(bench, WIDTH, HEIGHT);
	assert_int_equal(client_take_update(bench), 0);
	assert_int_equal(bench->size_status, 0);
	client_request(bench, true);
	ask_for_size(bench, 9000, 0);
	assert_int_equal(client_take_update(bench), 0);
	assert_int_equal(bench->size_status, 3); /* no such layout */
	bench_sync(bench);
}

static void ends_with_its_client(void **state)
{
	struct bench *bench = *state;

	bench_meet(bench, WIDTH, HEIGHT);
	fd_close(&bench->client);
	daemon_hear_end(bench);
	bench_await_end(bench);
}

static void ends_with_its_client_before_the_screen(void **state)
{
	struct bench *bench = *state;

	daemon_hear_kind(bench, VIEWER_READY);
	fd_close(&bench->client);
	daemon_hear_end(bench);
	bench_await_end(bench);
}

static void ends_when_the_daemon_says_so(void **state)
{
	struct bench *bench = *state;
	const struct viewer_message message = { .kind = VIEWER_END, .name = "the seat is gone" };

	bench_meet(bench, WIDTH, HEIGHT);
	daemon_say(bench, &message, -1);
	client_hear_end(bench);
	bench_await_end(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(shows_every_pixel, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(says_nothing_before_there_is_a_screen, bench_setup,
						bench_teardown),
		cmocka_unit_test(speaks_old_versions),
		cmocka_unit_test_setup_teardown(shows_pixels_as_asked, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(sends_what_is_damaged_and_only_then, bench_setup,
						bench_teardown),
		cmocka_unit_test_setup_teardown(sends_many_parts_at_once, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(asks_for_damage_when_its_client_does, bench_setup,
						bench_teardown),
		cmocka_unit_test_setup_teardown(shows_a_part, bench_setup, bench_teardown),
		cmocka_unit_test(becomes_another_size),
		cmocka_unit_test_setup_teardown(lets_a_client_of_one_size_go, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(shows_another_screen_of_the_same_size, bench_setup,
						bench_teardown),
		cmocka_unit_test_setup_teardown(lets_the_daemon_decide_on_sizes, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(answers_sizes_that_need_no_decision, bench_setup,
						bench_teardown),
		cmocka_unit_test_setup_teardown(ends_with_its_client, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(ends_with_its_client_before_the_screen, bench_setup,
						bench_teardown),
		cmocka_unit_test_setup_teardown(ends_when_the_daemon_says_so, bench_setup, bench_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
