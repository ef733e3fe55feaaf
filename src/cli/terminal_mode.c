/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/terminal_mode.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

/* Alternate screen, no cursor, no wrapping; and back. */
#define ENTER_SCREEN "\033[?1049h\033[?25l\033[?7l\033[2J"
#define LEAVE_SCREEN "\033[?7h\033[?25h\033[?1049l"

struct terminal_mode {
	enum terminal_mode_kind kind;
	bool is_on;
	struct termios found; /* what is given back */
	sigset_t found_signals;
	int signals, end_signal;
};

/* ---- a crash ---- */

static const int crash_signals[] = { SIGABRT, SIGSEGV, SIGBUS };
#define CRASH_SIGNALS (sizeof(crash_signals) / sizeof(crash_signals[0]))

/* Handlers get no context. Written before the handlers are installed. */
static struct {
	bool screen;
	struct termios found;
	struct sigaction actions[CRASH_SIGNALS];
} crash;

void terminal_mode_write(const char *bytes)
{
	for (size_t left = strlen(bytes); left > 0;) {
		ssize_t written = write(STDOUT_FILENO, bytes, left);

		if (written < 0 && errno != EINTR)
			return;
		if (written > 0) {
			bytes += written;
			left -= (size_t)written;
		}
	}
}

static void uninstall_crash_handlers(void)
{
	for (size_t i = 0; i < CRASH_SIGNALS; i++)
		sigaction(crash_signals[i], &crash.actions[i], NULL);
}

/* Only async-signal-safe calls. The signal comes again behind it, and finds the handler that was there
 * before. */
static void give_back_and_die(int number)
{
	if (crash.screen)
		terminal_mode_write(LEAVE_SCREEN);
	tcsetattr(STDIN_FILENO, TCSANOW, &crash.found);
	uninstall_crash_handlers();
	raise(number);
}

static void install_crash_handlers(const struct terminal_mode *terminal)
{
	struct sigaction action = { .sa_handler = give_back_and_die };

	crash.screen = terminal->kind == TERMINAL_SCREEN;
	crash.found = terminal->found;
	for (size_t i = 0; i < CRASH_SIGNALS; i++)
		sigaction(crash_signals[i], &action, &crash.actions[i]);
}

/* ---- in and out ---- */

static void enter(struct terminal_mode *terminal)
{
	struct termios raw = terminal->found;

	if (!terminal->is_on)
		return;
	if (terminal->kind == TERMINAL_WIRE) {
		cfmakeraw(&raw);
		tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
		return;
	}
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
	terminal_mode_write(ENTER_SCREEN);
}

static void leave(struct terminal_mode *terminal)
{
	bool screen = terminal->kind == TERMINAL_SCREEN;

	if (!terminal->is_on)
		return;
	if (screen)
		terminal_mode_write(LEAVE_SCREEN);
	tcsetattr(STDIN_FILENO, screen ? TCSAFLUSH : TCSADRAIN, &terminal->found);
}

static int open_signals(struct terminal_mode *terminal)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP, SIGCONT };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaddset(&set, signals[i]);
	terminal->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (terminal->signals < 0)
		return -errno;
	sigprocmask(SIG_BLOCK, &set, &terminal->found_signals);
	return 0;
}

int terminal_mode_create(enum terminal_mode_kind kind, struct terminal_mode **ret_terminal)
{
	struct terminal_mode *terminal = calloc(1, sizeof(*terminal));
	int error;

	if (!terminal)
		return -ENOMEM;
	terminal->kind = kind;
	terminal->is_on = tcgetattr(STDIN_FILENO, &terminal->found) == 0;
	error = open_signals(terminal);
	if (error) {
		free(terminal);
		return error;
	}
	if (terminal->is_on)
		install_crash_handlers(terminal);
	enter(terminal);
	*ret_terminal = terminal;
	return 0;
}

void terminal_mode_destroy(struct terminal_mode *terminal)
{
	if (!terminal)
		return;
	leave(terminal);
	if (terminal->is_on)
		uninstall_crash_handlers();
	close(terminal->signals);
	sigprocmask(SIG_SETMASK, &terminal->found_signals, NULL);
	free(terminal);
}

/* ---- events ---- */

bool terminal_mode_is_on(const struct terminal_mode *terminal)
{
	return terminal->is_on;
}

int terminal_mode_fd(const struct terminal_mode *terminal)
{
	return terminal->signals;
}

enum terminal_event terminal_mode_take(struct terminal_mode *terminal)
{
	struct signalfd_siginfo info;

	if (read(terminal->signals, &info, sizeof(info)) != sizeof(info))
		return TERMINAL_NOTHING;
	switch (info.ssi_signo) {
	case SIGWINCH:
		return TERMINAL_RESIZED;
	case SIGTSTP:
		leave(terminal);
		raise(SIGSTOP);
		return TERMINAL_NOTHING; /* then comes SIGCONT */
	case SIGCONT:
		enter(terminal);
		return TERMINAL_RESIZED;
	default:
		terminal->end_signal = info.ssi_signo == SIGINT ? 0 : (int)info.ssi_signo;
		return TERMINAL_ENDED;
	}
}

int terminal_mode_end_signal(const struct terminal_mode *terminal)
{
	return terminal->end_signal;
}
