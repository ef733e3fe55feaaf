/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Log lines as they arrive at stderr, which is a pipe, a socket or nothing here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "patience.h"

static int saved_stderr, sink[2];
static char text[8192];

/* stderr becomes the write end; `sink[0]` is what reads it. */
static void redirect(void)
{
	saved_stderr = dup(STDERR_FILENO);
	assert_true(dup2(sink[1], STDERR_FILENO) >= 0);
	close(sink[1]);
}

static int setup(void **state)
{
	assert_int_equal(pipe(sink), 0);
	assert_int_equal(fcntl(sink[0], F_SETFL, O_NONBLOCK), 0);
	redirect();
	log_set_level(LOG_LEVEL_INFO);
	log_set_prefix(false);
	return 0;
}

static int teardown(void **state)
{
	assert_true(dup2(saved_stderr, STDERR_FILENO) >= 0);
	close(saved_stderr);
	close(sink[0]);
	return 0;
}

/* Everything written since the last look. */
static const char *written(void)
{
	ssize_t bytes = read(sink[0], text, sizeof(text) - 1);

	text[bytes > 0 ? bytes : 0] = '\0';
	return text;
}

static void a_line_names_its_object(void **state)
{
	struct log_subject subject = { "" };

	log_error(NULL, "no %s", "disk");
	assert_string_equal(written(), "viaductd: error: no disk\n");
	log_info(&subject, "nameless");
	assert_string_equal(written(), "viaductd: nameless\n");
	log_subject_name(&subject, "%s/disk-%s", "alice", "root");
	log_warning(&subject, "%d left", 3);
	assert_string_equal(written(), "viaductd: warning: alice/disk-root: 3 left\n");
}

static void a_long_name_is_cut(void **state)
{
	struct log_subject subject = { "" };
	char name[300];

	memset(name, 'n', sizeof(name));
	name[299] = '\0';
	log_subject_name(&subject, "%s", name);
	assert_int_equal(strlen(subject.name), LOG_NAME_MAX - 1);
}

static void levels(void **state)
{
	log_debug(NULL, "not shown");
	assert_string_equal(written(), "");
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug(NULL, "shown");
	assert_string_equal(written(), "viaductd: debug: shown\n");
	log_set_level(LOG_LEVEL_ERROR);
	log_warning(NULL, "not shown");
	log_info(NULL, "not shown");
	log_error(NULL, "shown");
	assert_string_equal(written(), "viaductd: error: shown\n");
}

static void a_service_manager_gets_priorities(void **state)
{
	struct log_subject subject = { "a/b" };

	log_set_level(LOG_LEVEL_DEBUG);
	log_set_prefix(true);
	log_error(&subject, "e");
	log_warning(&subject, "w");
	log_info(NULL, "i");
	log_debug(NULL, "d");
	assert_string_equal(written(), "<3>a/b: e\n<4>a/b: w\n<6>i\n<7>d\n");
}

/* One line, one newline, however much a guest makes us say. */
static void a_long_line_is_cut(void **state)
{
	struct log_subject subject = { "a/b" };
	char *words = malloc(5000);
	const char *line;

	assert_non_null(words);
	memset(words, 'x', 4999);
	words[4999] = '\0';
	log_error(&subject, "%s", words);
	line = written();
	assert_true(strlen(line) <= 1024 && strlen(line) > 900);
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
	subject.suppressed = 5;
	log_guest(&subject, "%s", words);
	line = written();
	assert_true(strlen(line) <= 1024);
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
	free(words);
}

static void guests_get_one_line_a_second(void **state)
{
	struct log_subject one = { "one" }, other = { "other" };

	log_guest(&one, "line");
	assert_string_equal(written(), "viaductd: warning: one: line\n");
	while (one.suppressed < 999) {
		uint64_t start_ns = clock_now_ns(), before = one.suppressed;

		one.last_ns = start_ns;
		log_guest(&one, "line");
		/* Unless the machine stood still for that second just now. */
		if (clock_now_ns() - start_ns < NS_PER_S)
			assert_int_equal(one.suppressed, before + 1);
	}
	written();
	/* The limit is each object's own. */
	log_guest(&other, "me too");
	assert_string_equal(written(), "viaductd: warning: other: me too\n");
	/* A second later: as if the last line had come earlier. */
	one.last_ns -= NS_PER_S;
	log_guest(&one, "again");
	assert_string_equal(written(), "viaductd: warning: one: again (999 similar lines suppressed)\n");
	assert_int_equal(one.suppressed, 0);
	one.last_ns -= NS_PER_S;
	log_guest(&one, "once more");
	assert_string_equal(written(), "viaductd: warning: one: once more\n");
}

/* Nobody reads: an alarm ends the test if a line waits. */
static void a_full_sink_loses_lines(void **state)
{
	uint64_t lost = log_lost_lines();

	alarm(HANG_NS / NS_PER_S);
	for (int i = 0; i < 5000; i++)
		log_info(NULL, "a line of a length that fills a pipe of 64 KiB soon: %d", i);
	alarm(0);
	assert_true(log_lost_lines() > lost + 1000);
	while (*written())
		;
	lost = log_lost_lines();
	log_info(NULL, "room again");
	assert_string_equal(written(), "viaductd: room again\n");
	assert_int_equal(log_lost_lines(), lost);
}

static void a_full_pipe(void **state)
{
	a_full_sink_loses_lines(state);
}

static void a_full_socket(void **state)
{
	teardown(state);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sink), 0);
	assert_int_equal(fcntl(sink[0], F_SETFL, O_NONBLOCK), 0);
	redirect();
	a_full_sink_loses_lines(state);
}

/* The reader is gone; SIGPIPE has its default action, which would end the process. */
static void a_sink_that_is_gone(void **state)
{
	uint64_t lost = log_lost_lines();

	signal(SIGPIPE, SIG_DFL);
	close(sink[0]);
	log_info(NULL, "into nothing");
	assert_int_equal(log_lost_lines(), lost + 1);
	sink[0] = open("/dev/null", O_RDONLY);
	close(STDERR_FILENO);
	log_info(NULL, "into nothing at all");
	assert_int_equal(log_lost_lines(), lost + 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_line_names_its_object),
		TEST(a_long_name_is_cut),
		TEST(levels),
		TEST(a_service_manager_gets_priorities),
		TEST(a_long_line_is_cut),
		TEST(guests_get_one_line_a_second),
		TEST(a_full_pipe),
		TEST(a_full_socket),
		TEST(a_sink_that_is_gone),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
