/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses that have to wait, and those that have not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <string.h>

#include "core/clock.h"
#include "daemon/seat/seat_attempts.h"

#define NOW (1000 * NS_PER_S)

static struct seat_attempts attempts;

static struct seat_origin origin(const char *text)
{
	struct sockaddr_in four = { .sin_family = AF_INET };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct seat_origin made;
	bool is_six = strchr(text, ':');

	assert_int_equal(inet_pton(is_six ? AF_INET6 : AF_INET, text,
				   is_six ? (void *)&six.sin6_addr : (void *)&four.sin_addr),
			 1);
	assert_true(seat_origin_of(is_six ? (struct sockaddr *)&six : (struct sockaddr *)&four, &made));
	return made;
}

static void fail_from(const char *from, unsigned times, uint64_t now)
{
	struct seat_origin failed = origin(from);

	for (unsigned i = 0; i < times; i++)
		seat_attempts_failed(&attempts, &failed, now);
}

static bool waits(const char *from, uint64_t now)
{
	struct seat_origin asked = origin(from);

	return seat_attempts_must_wait(&attempts, &asked, now);
}

static int setup(void **state)
{
	attempts = (struct seat_attempts){ .count = 0 };
	(void)state;
	return 0;
}

static void waits_longer_each_time(void **state)
{
	static const unsigned seconds[] = { 1, 2, 4, 8, 16, 32, 60, 60, 60 };

	fail_from("192.0.2.7", SEAT_ATTEMPTS_FREE - 1, NOW);
	assert_false(waits("192.0.2.7", NOW));
	for (unsigned i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
		fail_from("192.0.2.7", 1, NOW);
		assert_true(waits("192.0.2.7", NOW + seconds[i] * NS_PER_S - 1));
		assert_false(waits("192.0.2.7", NOW + seconds[i] * NS_PER_S));
	}
	fail_from("192.0.2.7", 1000, NOW);
	assert_false(waits("192.0.2.7", NOW + SEAT_ATTEMPTS_WAIT_MAX_NS));
	(void)state;
}

static void holds_up_nobody_else(void **state)
{
	fail_from("192.0.2.7", 100, NOW);
	assert_false(waits("192.0.2.8", NOW));
	assert_false(waits("2001:db8::1", NOW));
	(void)state;
}

/* A socket of IPv6 tells addresses of IPv4 so: each of them stands for itself. */
static void knows_mapped_addresses(void **state)
{
	fail_from("::ffff:192.0.2.7", SEAT_ATTEMPTS_FREE, NOW);
	assert_true(waits("192.0.2.7", NOW));
	assert_false(waits("::ffff:192.0.2.8", NOW));
	(void)state;
}

static void takes_a_network_of_ipv6_for_one(void **state)
{
	fail_from("2001:db8:0:1::1", SEAT_ATTEMPTS_FREE, NOW);
	assert_true(waits("2001:db8:0:1:ffff::2", NOW));
	assert_false(waits("2001:db8:0:2::1", NOW));
	(void)state;
}

static void forgets(void **state)
{
	struct seat_origin proven = origin("192.0.2.7");

	fail_from("192.0.2.7", SEAT_ATTEMPTS_FREE, NOW);
	fail_from("192.0.2.8", SEAT_ATTEMPTS_FREE, NOW);
	seat_attempts_forget(&attempts, &proven);
	seat_attempts_forget(&attempts, &proven);
	assert_false(waits("192.0.2.7", NOW));
	assert_true(waits("192.0.2.8", NOW));
	fail_from("192.0.2.8", 1, NOW + SEAT_ATTEMPTS_FORGOTTEN_NS + 1);
	assert_false(waits("192.0.2.8", NOW + SEAT_ATTEMPTS_FORGOTTEN_NS + 1));
	(void)state;
}

/* A flood of addresses costs no more memory, and the newest are known. */
static void keeps_those_that_failed_last(void **state)
{
	char text[INET_ADDRSTRLEN];

	for (unsigned i = 0; i < 4 * SEAT_ATTEMPTS_KEPT; i++) {
		struct in_addr address = { htonl(0xc6120000u + i) };

		inet_ntop(AF_INET, &address, text, sizeof(text));
		fail_from(text, SEAT_ATTEMPTS_FREE, NOW + i);
		assert_true(waits(text, NOW + i));
	}
	assert_int_equal(attempts.count, SEAT_ATTEMPTS_KEPT);
	assert_false(waits("198.18.0.0", NOW));
	assert_true(waits("198.18.3.0", NOW + 4 * SEAT_ATTEMPTS_KEPT));
	(void)state;
}

static void prints_where_from(void **state)
{
	char text[SEAT_ORIGIN_TEXT];
	struct seat_origin four = origin("192.0.2.7"), six = origin("2001:db8:0:1::1");
	struct sockaddr other = { .sa_family = AF_UNIX };

	seat_origin_print(&four, text);
	assert_string_equal(text, "192.0.2.7");
	seat_origin_print(&six, text);
	assert_string_equal(text, "2001:db8:0:1::/64");
	assert_false(seat_origin_of(&other, &four));
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(waits_longer_each_time, setup),
		cmocka_unit_test_setup(holds_up_nobody_else, setup),
		cmocka_unit_test_setup(knows_mapped_addresses, setup),
		cmocka_unit_test_setup(takes_a_network_of_ipv6_for_one, setup),
		cmocka_unit_test_setup(forgets, setup),
		cmocka_unit_test_setup(keeps_those_that_failed_last, setup),
		cmocka_unit_test_setup(prints_where_from, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
