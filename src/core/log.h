/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log lines that name their object: "alice/disk-root q0: …". The sink is stderr, with a syslog
 * priority prefix (<N>) when the daemon runs under a service manager. Lines that a guest can trigger go
 * through log_guest(), which lets one line a second through per object and counts the rest.
 * A sink that is full or gone never blocks or stops the daemon: the line is dropped and counted.
 */
#ifndef VIADUCT_CORE_LOG_H
#define VIADUCT_CORE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

#define LOG_NAME_MAX 128

/* What a line is about. Zeroed is valid (no name). One writer thread at a time. */
struct log_subject {
	char name[LOG_NAME_MAX];
	uint64_t last_ns;	/* when log_guest() last let a line through */
	uint64_t suppressed;	/* lines held back since */
};

/* Names a subject by a printf format; cut at LOG_NAME_MAX - 1. */
void log_subject_name(struct log_subject *subject, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Lines above this level are not written. Default LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);

/* Prefix lines with <priority> for journald; default: when $JOURNAL_STREAM is set. */
void log_set_prefix(bool prefix);

/* `subject` may be NULL for lines about the daemon as a whole. */
void log_line(enum log_level level, const struct log_subject *subject, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A warning that a guest or its VMM can trigger: at most one a second for each subject. */
void log_guest(struct log_subject *subject, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Lines dropped because the sink did not take them. */
uint64_t log_lost_lines(void);

#define log_error(subject, ...)	  log_line(LOG_LEVEL_ERROR, (subject), __VA_ARGS__)
#define log_warning(subject, ...) log_line(LOG_LEVEL_WARNING, (subject), __VA_ARGS__)
#define log_info(subject, ...)	  log_line(LOG_LEVEL_INFO, (subject), __VA_ARGS__)
#define log_debug(subject, ...)	  log_line(LOG_LEVEL_DEBUG, (subject), __VA_ARGS__)

#endif
