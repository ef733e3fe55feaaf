/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What went wrong, for the user: one sentence without a full stop, and the code that the caller acts on. */
#ifndef VIADUCT_DAEMON_BASE_DAEMON_ERROR_H
#define VIADUCT_DAEMON_BASE_DAEMON_ERROR_H

#define DAEMON_ERROR_MAX 384

struct daemon_error {
	int code;			/* negative errno; 0: nothing went wrong */
	char text[DAEMON_ERROR_MAX];
};

/* Fills *error and returns code. */
int daemon_fail(struct daemon_error *error, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
