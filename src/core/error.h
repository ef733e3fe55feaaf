/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What went wrong, for the user: one sentence without a full stop, and the code that the caller acts on. */
#ifndef VIADUCT_CORE_ERROR_H
#define VIADUCT_CORE_ERROR_H

#define ERROR_TEXT_MAX 384

struct error {
	int code;			/* negative errno; 0: nothing went wrong */
	char text[ERROR_TEXT_MAX];
};

/* Fills *error (may be NULL) and returns code. */
int error_set(struct error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
