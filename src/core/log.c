/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/log.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/clock.h"

/* Longer lines are cut: a guest must not choose how much we write. */
#define LOG_LINE_MAX 1024
/* emit() relies on it. */
static_assert(LOG_LINE_MAX <= PIPE_BUF, "a pipe takes a whole line");

static enum log_level log_threshold = LOG_LEVEL_INFO;
static int log_prefix = -1;	/* -1: decide by the environment */
static uint64_t log_lost;

void log_subject_name(struct log_subject *subject, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(subject->name, sizeof(subject->name), format, arguments);
	va_end(arguments);
}

void log_set_level(enum log_level level)
{
	assert((unsigned)level <= LOG_LEVEL_DEBUG);
	__atomic_store_n(&log_threshold, level, __ATOMIC_RELAXED);
}

void log_set_prefix(bool prefix)
{
	__atomic_store_n(&log_prefix, prefix ? 1 : 0, __ATOMIC_RELAXED);
}

uint64_t log_lost_lines(void)
{
	return __atomic_load_n(&log_lost, __ATOMIC_RELAXED);
}

/* syslog(3) priorities, as sd-daemon(3) reads them at the start of a line. */
static const char *const log_priority[] = { "<3>", "<4>", "<6>", "<7>" };
static const char *const log_word[] = { "error: ", "warning: ", "", "debug: " };

static bool use_prefix(void)
{
	int prefix = __atomic_load_n(&log_prefix, __ATOMIC_RELAXED);

	return prefix < 0 ? getenv("JOURNAL_STREAM") != NULL : prefix > 0;
}

/* One write per line, so that lines of several threads do not mix; never waits for a full sink. */
static void emit(const char *line, size_t length)
{
	struct pollfd sink = { .fd = STDERR_FILENO, .events = POLLOUT };
	ssize_t written = send(STDERR_FILENO, line, length, MSG_DONTWAIT | MSG_NOSIGNAL);

	/*
	 * A pipe that polls writable has room for PIPE_BUF (4096) bytes, so for a line of ours. A pipe
	 * whose reader is gone polls writable with an error, and a write would raise SIGPIPE.
	 */
	if (written < 0 && errno == ENOTSOCK && poll(&sink, 1, 0) == 1 && sink.revents == POLLOUT)
		written = write(STDERR_FILENO, line, length);
	if (written != (ssize_t)length)
		__atomic_fetch_add(&log_lost, 1, __ATOMIC_RELAXED);
}

static void log_format(enum log_level level, const struct log_subject *subject, uint64_t suppressed,
		       const char *format, va_list arguments)
{
	bool prefix = use_prefix();
	char line[LOG_LINE_MAX];
	size_t length;
	int n;

	assert((unsigned)level <= LOG_LEVEL_DEBUG);
	n = snprintf(line, sizeof(line), "%s%s%s%s", prefix ? log_priority[level] : "viaductd: ",
		     prefix ? "" : log_word[level], subject && subject->name[0] ? subject->name : "",
		     subject && subject->name[0] ? ": " : "");
	length = (size_t)n;
	assert(length < sizeof(line));
	n = vsnprintf(line + length, sizeof(line) - length, format, arguments);
	length += n < 0 ? 0 : (size_t)n;
	if (suppressed > 0 && length < sizeof(line))
		length +=
			(size_t)snprintf(line + length, sizeof(line) - length,
					 " (%llu similar lines suppressed)", (unsigned long long)suppressed);
	if (length > sizeof(line) - 2)
		length = sizeof(line) - 2;
	line[length++] = '\n';
	emit(line, length);
}

void log_line(enum log_level level, const struct log_subject *subject, const char *format, ...)
{
	va_list arguments;

	if (level > __atomic_load_n(&log_threshold, __ATOMIC_RELAXED))
		return;
	va_start(arguments, format);
	log_format(level, subject, 0, format, arguments);
	va_end(arguments);
}

void log_guest(struct log_subject *subject, const char *format, ...)
{
	uint64_t now = clock_now_ns();
	va_list arguments;

	if (subject->last_ns != 0 && now - subject->last_ns < NS_PER_S) {
		subject->suppressed++;
		return;
	}
	subject->last_ns = now;
	va_start(arguments, format);
	log_format(LOG_LEVEL_WARNING, subject, subject->suppressed, format, arguments);
	va_end(arguments);
	subject->suppressed = 0;
}
