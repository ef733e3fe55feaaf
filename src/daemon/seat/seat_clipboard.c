/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/seat/seat_clipboard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/seat/seat_screen.h"

void seat_clipboard_finish(struct seat_clipboard *clipboard)
{
	if (clipboard->text)
		explicit_bzero(clipboard->text, clipboard->bytes);
	free(clipboard->text);
	*clipboard = (struct seat_clipboard){ .text = NULL };
}

/* Line ends are '\n' alone, as a keyboard has one key for them. */
static size_t copy_lines(char *to, const char *text, size_t bytes)
{
	size_t length = 0;

	for (size_t i = 0; i < bytes; i++) {
		if (text[i] != '\r')
			to[length++] = text[i];
		else if (i + 1 == bytes || text[i + 1] != '\n')
			to[length++] = '\n';
	}
	return length;
}

void seat_clipboard_put(struct seat_clipboard *clipboard, const char *text, size_t bytes)
{
	seat_clipboard_finish(clipboard);
	clipboard->text = bytes > 0 ? malloc(bytes) : NULL;
	if (clipboard->text)
		clipboard->bytes = copy_lines(clipboard->text, text, bytes);
}

int seat_clipboard_paste(struct seat_clipboard *clipboard, struct seat_screen *screen, size_t *ret_bad_offset)
{
	int code;

	if (clipboard->bytes == 0)
		return -ENODATA;
	code = seat_screen_type(screen, clipboard->text, clipboard->bytes, ret_bad_offset);
	if (!code)
		seat_clipboard_finish(clipboard);
	return code;
}
