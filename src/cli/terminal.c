/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "core/clock.h"

/* Alternate screen, no cursor, no wrapping; and back. */
#define ENTER "\033[?1049h\033[?25l\033[?7l\033[2J"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"

/* Around a picture: terminals that know this show it at once, others ignore it. */
#define PICTURE	    "\033[?2026h\033[H"
#define PICTURE_END "\033[?2026l"

#define SEQUENCE_MAX 32	/* longer ones are noise */

struct terminal {
	struct termios found;	/* what is given back */
	sigset_t found_signals;
	int signal_fd, end_signal;
	bool deaf;		/* no more keys will come */
	char input[SEQUENCE_MAX];
	size_t input_length;
};

/* ---- a crash ---- */

static const int crash_signals[] = { SIGABRT, SIGSEGV, SIGBUS };
#define CRASH_SIGNALS (sizeof(crash_signals) / sizeof(crash_signals[0]))

/* Handlers get no context. Written before the handlers are installed. */
static struct {
	struct termios found;
	struct sigaction actions[CRASH_SIGNALS];
} crash;

static void write_all(const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t written = write(STDOUT_FILENO, bytes, length);

		if (written < 0 && errno != EINTR)
			return;
		if (written > 0) {
			bytes += written;
			length -= (size_t)written;
		}
	}
}

static void uninstall_crash_handlers(void)
{
	for (size_t i = 0; i < CRASH_SIGNALS; i++)
		sigaction(crash_signals[i], &crash.actions[i], NULL);
}

/*
 * Only async-signal-safe calls. The signal comes again when this returns, and finds the handler that was
 * there before.
 */
static void give_back_and_die(int number)
{
	write_all(LEAVE, sizeof(LEAVE) - 1);
	tcsetattr(STDIN_FILENO, TCSANOW, &crash.found);
	uninstall_crash_handlers();
	raise(number);
}

static void install_crash_handlers(const struct termios *found)
{
	struct sigaction action = { .sa_handler = give_back_and_die };

	crash.found = *found;
	for (size_t i = 0; i < CRASH_SIGNALS; i++)
		sigaction(crash_signals[i], &action, &crash.actions[i]);
}

/* ---- in and out ---- */

static void enter(struct terminal *terminal)
{
	struct termios raw = terminal->found;

	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
	write_all(ENTER, sizeof(ENTER) - 1);
}

static void leave(struct terminal *terminal)
{
	write_all(LEAVE, sizeof(LEAVE) - 1);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal->found);
}

static int open_signals(struct terminal *terminal)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP, SIGCONT };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(&set, signals[i]);
	terminal->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (terminal->signal_fd < 0)
		return -errno;
	sigprocmask(SIG_BLOCK, &set, &terminal->found_signals);
	return 0;
}

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
	error = tcgetattr(STDIN_FILENO, &terminal->found) < 0 ? -errno : open_signals(terminal);
	if (error) {
		free(terminal);
		return error;
	}
	install_crash_handlers(&terminal->found);
	enter(terminal);
	*ret_terminal = terminal;
	return 0;
}

void terminal_destroy(struct terminal *terminal)
{
	if (!terminal)
		return;
	leave(terminal);
	uninstall_crash_handlers();
	close(terminal->signal_fd);
	sigprocmask(SIG_SETMASK, &terminal->found_signals, NULL);
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
	write_all(bytes, size);
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

static int take_signal(struct terminal *terminal)
{
	struct signalfd_siginfo info;

	if (read(terminal->signal_fd, &info, sizeof(info)) != sizeof(info))
		return KEY_NONE;
	switch (info.ssi_signo) {
	case SIGWINCH:
		return KEY_REDRAW;
	case SIGTSTP:
		leave(terminal);
		raise(SIGSTOP);
		return KEY_NONE;	/* then comes SIGCONT */
	case SIGCONT:
		enter(terminal);
		return KEY_REDRAW;
	default:
		terminal->end_signal = info.ssi_signo == SIGINT ? 0 : (int)info.ssi_signo;
		return KEY_ENDED;
	}
}

/* Returns poll()'s answer; ready[0]: keys, ready[1]: signals. */
static int poll_terminal(const struct terminal *terminal, struct pollfd ready[2], int timeout_ms)
{
	ready[0] = (struct pollfd){ .fd = terminal->deaf ? -1 : STDIN_FILENO, .events = POLLIN };
	ready[1] = (struct pollfd){ .fd = terminal->signal_fd, .events = POLLIN };
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
		key = ready[1].revents ? take_signal(terminal) : read_keys(terminal);
		if (key != KEY_NONE)
			return key;
	}
}

int terminal_end_signal(const struct terminal *terminal)
{
	return terminal->end_signal;
}
