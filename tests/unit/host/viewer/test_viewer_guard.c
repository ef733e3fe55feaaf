/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a client that has not proven itself gets, and for how long. Those that have are in tests/daemon. */
#include "core/clock.h"
#include "viewer_bench.h"

#define GREETING "RFB 003.008\n\x13\0\2\0\0\1\6"
/* The server's: its version, what it offers, and that TLS may begin. */
#define OFFERED	 "RFB 003.008\n\1\x13\0\2\0\1\0\0\1\6\1"
#define SOON_MS	 50u
#define LATER_MS 1000000u

/* TLS is never begun: the certificate is one that cannot be read. */
static void daemon_guard(struct bench *bench, uint32_t ms)
{
	struct viewer_message message = {
		.kind = VIEWER_GUARD, .number = ms, .width = ms, .name = "$6$salt$"
	};
	int file = fd_memfd("certificate", 10);

	daemon_hear_kind(bench, VIEWER_READY);
	daemon_say(bench, &message, file);
	close(file);
}

static void lets_the_silent_go_in_time(void **state)
{
	struct bench *bench = *state;
	uint64_t before = clock_now_ns();
	uint8_t heard[12];

	daemon_guard(bench, SOON_MS);
	client_hear(bench, heard, sizeof(heard));
	client_hear_end(bench);
	assert_true(clock_now_ns() - before >= SOON_MS * NS_PER_MS);
	bench_await_end(bench);
}

/* Each byte that comes is no reason to wait longer. */
static void lets_the_slow_go_in_time(void **state)
{
	struct bench *bench = *state;
	uint8_t heard[12];

	daemon_guard(bench, SOON_MS);
	client_hear(bench, heard, sizeof(heard));
	for (size_t i = 0; i < 11; i++) {
		struct pollfd closed = { .fd = bench->client, .events = POLLIN };

		if (poll(&closed, 1, (int)SOON_MS / 4) > 0)
			break;
		send(bench->client, &GREETING[i], 1, MSG_NOSIGNAL);
	}
	client_hear_end(bench);
	bench_await_end(bench);
}

static void goes_when_the_daemon_does(void **state)
{
	struct bench *bench = *state;
	uint8_t heard[12];

	daemon_guard(bench, LATER_MS);
	client_hear(bench, heard, sizeof(heard));
	fd_close(&bench->daemon);
	bench_await_end(bench);
}

static void offers_nothing_but_tls(void **state)
{
	struct bench *bench = *state;
	uint8_t heard[sizeof(OFFERED) - 1];

	daemon_guard(bench, LATER_MS);
	client_say(bench, GREETING, sizeof(GREETING) - 1);
	client_hear(bench, heard, sizeof(heard));
	assert_memory_equal(heard, OFFERED, sizeof(heard));
	client_hear_end(bench);
	bench_await_end(bench);
}

/* Nor does it when the daemon shows a screen before: then it is no longer asked. */
static void is_not_asked_twice(void **state)
{
	struct bench *bench = *state;
	struct viewer_message message = { .kind = VIEWER_GUARD, .number = LATER_MS };
	int file = fd_memfd("certificate", 10);

	bench_meet(bench, WIDTH, HEIGHT);
	daemon_say(bench, &message, file);
	close(file);
	bench_await_end(bench);
}

static void wants_whole_terms(void **state)
{
	struct bench *bench = *state;
	struct viewer_message message = { .kind = VIEWER_GUARD, .number = LATER_MS };

	daemon_hear_kind(bench, VIEWER_READY);
	daemon_say(bench, &message, -1);
	bench_await_end(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lets_the_silent_go_in_time, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(lets_the_slow_go_in_time, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(goes_when_the_daemon_does, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(offers_nothing_but_tls, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(is_not_asked_twice, bench_setup, bench_teardown),
		cmocka_unit_test_setup_teardown(wants_whole_terms, bench_setup, bench_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
