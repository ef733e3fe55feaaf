/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/terminal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/terminal_mode.h"
#include "core/clock.h"

/* Around a picture: terminals that know this show it at once, others ignore it. */
#define PICTURE	    "\033[?2026h\033[H"
#define PICTURE_END "\033[?2026l"

#define SEQUENCE_MAX 32	/* longer ones are noise */

struct terminal {
	struct terminal_mode *mode;
	bool deaf;		/* no more keys will come */
	char input[SEQUENCE_MAX];
	size_t input_length;
};

int terminal_create(struct terminal **ret_terminal)
{
	const char *type = getenv("TERM");
	struct terminal *terminal;
	int error;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || !type || !type[0] || strcmp(type, "dumb") == 0)
		return -ENOTTY;
	terminal = calloc(1, sizeof(*terminal));
	if (!terminal)
		return -ENOMEM;
	error = terminal_mode_create(TERMINAL_SCREEN, &terminal->mode);
	if (error) {
		free(terminal);
		return error;
	}
	*ret_terminal = terminal;
	return 0;
}

void terminal_destroy(struct terminal *terminal)
{
	if (!terminal)
		return;
	terminal_mode_destroy(terminal->mode);
	free(terminal);
}

void terminal_size(const struct terminal *terminal, size_t *ret_width, size_t *ret_height)
{
	struct winsize size;
	bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;

	*ret_width = known ? size.ws_col : 80;
	*ret_height = known ? size.ws_row : 24;
}

/* Lines are erased before they are written: behind the last column the cursor still stands on it. */
void terminal_show(struct terminal *terminal, const char *lines)
{
	char *bytes = NULL;
	size_t size;
	FILE *out = open_memstream(&bytes, &size);

	if (!out)
		abort();
	fputs(PICTURE, out);
	while (*lines) {
		size_t length = strcspn(lines, "\n");
		bool more = lines[length] && lines[length + 1];

		fprintf(out, "\033[K%.*s%s", (int)length, lines, more ? "\n" : "");
		lines += length + (lines[length] == '\n');
	}
	fputs(PICTURE_END, out);
	fclose(out);
	terminal_mode_write(bytes);
	free(bytes);
}

/* ---- keys ---- */

/* Of "ESC [ 5 ~" and the like: the letter, or the number before a tilde. */
static int named_key(char final, char digit)
{
	static const struct { char final, digit; enum terminal_key key;
	} keys[] = {
		{ 'A', 0, KEY_UP },	     { 'B', 0, KEY_DOWN },   { 'C', 0, KEY_RIGHT },
		{ 'D', 0, KEY_LEFT },	     { 'H', 0, KEY_HOME },   { 'F', 0, KEY_END },
		{ '~', '1', KEY_HOME },	     { '~', '4', KEY_END },  { '~', '5', KEY_PAGE_UP },
		{ '~', '6', KEY_PAGE_DOWN }, { '~', '7', KEY_HOME }, { '~', '8', KEY_END },
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (keys[i].final == final && (keys[i].digit == 0 || keys[i].digit == digit))
			return keys[i].key;
	}
	return KEY_NONE;
}

int terminal_key_decode(const char *bytes, size_t length, size_t *ret_used)
{
	size_t at = 2;

	*ret_used = 0;
	if (length == 0 || (bytes[0] == '\033' && length == 1))
		return KEY_NONE;
	*ret_used = 1;
	if (bytes[0] != '\033')
		return bytes[0] >= ' ' && bytes[0] <= '~' ? bytes[0] : KEY_NONE;
	if (bytes[1] != '[' && bytes[1] != 'O')
		return KEY_NONE;	/* the escape key; what follows is a key of its own */
	while (at < length && (bytes[at] < '@' || bytes[at] > '~'))
		at++;
	*ret_used = at < length ? at + 1 : 0;
	return at < length ? named_key(bytes[at], bytes[2]) : KEY_NONE;
}

/* Takes the first key out of what was read. false: there is no whole one. */
static bool take_key(struct terminal *terminal, int *ret_key)
{
	size_t used;

	*ret_key = terminal_key_decode(terminal->input, terminal->input_length, &used);
	terminal->input_length -= used;
	memmove(terminal->input, terminal->input + used, terminal->input_length);
	return used > 0;
}

static int read_keys(struct terminal *terminal)
{
	ssize_t length;

	if (terminal->input_length == sizeof(terminal->input))
		terminal->input_length = 0;
	length = read(STDIN_FILENO, terminal->input + terminal->input_length,
		      sizeof(terminal->input) - terminal->input_length);
	if (length <= 0 && errno != EINTR) {
		terminal->deaf = true;
		return KEY_ENDED;
	}
	terminal->input_length += length > 0 ? (size_t)length : 0;
	return KEY_NONE;
}

/* ---- events ---- */

static int take_event(struct terminal *terminal)
{
	switch (terminal_mode_take(terminal->mode)) {
	case TERMINAL_RESIZED:
		return KEY_REDRAW;
	case TERMINAL_ENDED:
		return KEY_ENDED;
	default:
		return KEY_NONE;
	}
}

/* Returns poll()'s answer; ready[0]: keys, ready[1]: signals. */
static int poll_terminal(const struct terminal *terminal, struct pollfd ready[2], int timeout_ms)
{
	ready[0] = (struct pollfd){ .fd = terminal->deaf ? -1 : STDIN_FILENO, .events = POLLIN };
	ready[1] = (struct pollfd){ .fd = terminal_mode_fd(terminal->mode), .events = POLLIN };
	return poll(ready, 2, timeout_ms);
}

bool terminal_pending(const struct terminal *terminal)
{
	struct pollfd ready[2];

	return poll_terminal(terminal, ready, 0) > 0;
}

int terminal_wait(struct terminal *terminal, uint64_t until_ns)
{
	struct pollfd ready[2];
	int key;

	for (;;) {
		uint64_t now_ns = clock_now_ns();
		uint64_t left_ms = now_ns < until_ns ? (until_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS : 0;

		if (take_key(terminal, &key))
			return key;
		if (poll_terminal(terminal, ready, left_ms > 60000 ? 60000 : (int)left_ms) <= 0) {
			if (now_ns >= until_ns)
				return KEY_NONE;
			continue;
		}
		key = ready[1].revents ? take_event(terminal) : read_keys(terminal);
		if (key != KEY_NONE)
			return key;
	}
}

int terminal_end_signal(const struct terminal *terminal)
{
	return terminal_mode_end_signal(terminal->mode);
}
