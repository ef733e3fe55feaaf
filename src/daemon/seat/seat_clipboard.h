/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The clipboard of a seat: the text that a viewer copied last. No guest hears of it until the user pastes
 * it, with Ctrl-Alt-V or `viaduct seat paste`: then it is typed into the guest that has the keyboard, and
 * forgotten. On the seat's thread.
 */
#ifndef VIADUCT_DAEMON_SEAT_SEAT_CLIPBOARD_H
#define VIADUCT_DAEMON_SEAT_SEAT_CLIPBOARD_H

#include <stddef.h>

struct seat_screen;

/* A zeroed struct is empty. */
struct seat_clipboard {
	char *text; /* UTF-8, as far as is known; NULL: none */
	size_t bytes;
};

void seat_clipboard_finish(struct seat_clipboard *clipboard);
/* Takes the place of what was there. Without memory for it, the clipboard is empty. */
void seat_clipboard_put(struct seat_clipboard *clipboard, const char *text, size_t bytes);

/*
 * Begins to type it. Returns 0 and leaves it empty; -ENODATA: it is empty; or as seat_typist_add(), and
 * leaves it as it is.
 */
int seat_clipboard_paste(struct seat_clipboard *clipboard, struct seat_screen *screen,
			 size_t *ret_bad_offset);

#endif
