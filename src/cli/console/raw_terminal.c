/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/console/raw_terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

struct raw_terminal {
	bool is_raw;
	struct termios found; /* what is given back */
	sigset_t found_signals;
	int signals, end_signal;
};

/* ---- a crash ---- */

static const int crash_signals[] = { SIGABRT, SIGSEGV, SIGBUS };
#define CRASH_SIGNALS (sizeof(crash_signals) / sizeof(crash_signals[0]))

/* Handlers get no context. Written before the handlers are installed. */
static struct {
	struct termios found;
	struct sigaction actions[CRASH_SIGNALS];
} crash;

static void uninstall_crash_handlers(void)
{
	for (size_t i = 0; i < CRASH_SIGNALS; i++)
		sigaction(crash_signals[i], &crash.actions[i], NULL);
}

/* Only async-signal-safe calls. The signal comes again behind it, and finds the handler that was there
 * before. */
static void give_back_and_die(int number)
{
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

static void enter(struct raw_terminal *terminal)
{
	struct termios raw = terminal->found;

	if (!terminal->is_raw)
		return;
	cfmakeraw(&raw);
	tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
}

static void leave(struct raw_terminal *terminal)
{
	if (terminal->is_raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal->found);
}

static int open_signals(struct raw_terminal *terminal)
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

int raw_terminal_create(struct raw_terminal **ret_terminal)
{
	struct raw_terminal *terminal = calloc(1, sizeof(*terminal));
	int error;

	if (!terminal)
		return -ENOMEM;
	terminal->is_raw = tcgetattr(STDIN_FILENO, &terminal->found) == 0;
	error = open_signals(terminal);
	if (error) {
		free(terminal);
		return error;
	}
	if (terminal->is_raw)
		install_crash_handlers(&terminal->found);
	enter(terminal);
	*ret_terminal = terminal;
	return 0;
}

void raw_terminal_destroy(struct raw_terminal *terminal)
{
	if (!terminal)
		return;
	leave(terminal);
	if (terminal->is_raw)
		uninstall_crash_handlers();
	close(terminal->signals);
	sigprocmask(SIG_SETMASK, &terminal->found_signals, NULL);
	free(terminal);
}

/* ---- events ---- */

bool raw_terminal_is_raw(const struct raw_terminal *terminal)
{
	return terminal->is_raw;
}

int raw_terminal_fd(const struct raw_terminal *terminal)
{
	return terminal->signals;
}

enum raw_terminal_event raw_terminal_take(struct raw_terminal *terminal)
{
	struct signalfd_siginfo info;

	if (read(terminal->signals, &info, sizeof(info)) != sizeof(info))
		return RAW_TERMINAL_NOTHING;
	switch (info.ssi_signo) {
	case SIGWINCH:
		return RAW_TERMINAL_RESIZED;
	case SIGTSTP:
		leave(terminal);
		raise(SIGSTOP);
		return RAW_TERMINAL_NOTHING; /* then comes SIGCONT */
	case SIGCONT:
		enter(terminal);
		return RAW_TERMINAL_RESIZED;
	default:
		terminal->end_signal = info.ssi_signo == SIGINT ? 0 : (int)info.ssi_signo;
		return RAW_TERMINAL_ENDED;
	}
}

int raw_terminal_end_signal(const struct raw_terminal *terminal)
{
	return terminal->end_signal;
}
