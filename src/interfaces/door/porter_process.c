/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The porter itself: one thread, no memory of its own but these tables. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/fd.h"
#include "core/sanitized.h"
#include "interfaces/door/porter.h"
#include "interfaces/door/porter_message.h"

/* Listening sockets; what is more than these the daemon alone holds. */
#define KEPT_MAX 2048u

/* Fork and close: the way in which the porter closes what a peer may have filled. */
#define CLOSERS_PLACE 0u

struct kept {
	uint32_t place;
	int fd;
};

struct doorman_process {
	pid_t pid;
	uint32_t place;
};

static struct porter_process {
	int control, signals, blank, blank_file;
	unsigned fds_max; /* of each of its processes */
	const struct porter_service *service;
	struct kept kept[KEPT_MAX];
	unsigned kept_count;
	struct doorman_process doormen[PORTER_DOORMEN_MAX];
	unsigned doorman_count;
} porter;

/* In a child: what is the porter's, and other places'. None of these closes is the last. */
static void forget_all(void)
{
	close(porter.control);
	close(porter.signals);
	for (unsigned i = 0; i < porter.kept_count; i++)
		close(porter.kept[i].fd);
}

static void say_gone(uint32_t place)
{
	const struct porter_message message = { .kind = PORTER_GONE, .place = place };
	struct pollfd poll_fd = { .fd = porter.control, .events = POLLOUT };

	if (place == CLOSERS_PLACE)
		return;
	/* The daemon reads as long as it lives, and its end closes with it. */
	while (fd_send(porter.control, &message, sizeof(message), NULL, 0) == -EAGAIN)
		poll(&poll_fd, 1, -1);
}

/* Returns true in the child. */
static bool fork_for(uint32_t place)
{
	pid_t pid = porter.doorman_count < PORTER_DOORMEN_MAX ? fork() : -1;

	if (pid == 0)
		return true;
	if (pid > 0)
		porter.doormen[porter.doorman_count++] = (struct doorman_process){ pid, place };
	else
		say_gone(place);
	return false;
}

static void admit(uint32_t place, uint32_t manner, int peer, int inner)
{
	if (fork_for(place)) {
		const struct porter_peer served = {
			peer, inner, porter.blank, porter.blank_file, porter.fds_max, manner
		};

		prctl(PR_SET_NAME, porter.service->name);
		forget_all();
		porter.service->serve(&served);
		_exit(0);
	}
	close(inner);
	close(peer);
}

static void forget(uint32_t place)
{
	for (unsigned i = 0; i < porter.kept_count; i++) {
		if (porter.kept[i].place != place)
			continue;
		if (fork_for(CLOSERS_PLACE))
			_exit(0);
		close(porter.kept[i].fd);
		porter.kept[i--] = porter.kept[--porter.kept_count];
	}
}

static void obey(const struct porter_message *message, int *fds, size_t fd_count)
{
	if (message->kind == PORTER_ADMIT && fd_count == 2) {
		admit(message->place, message->manner, fd_take(&fds[0]), fd_take(&fds[1]));
	} else if (message->kind == PORTER_KEEP && fd_count == 1 && porter.kept_count < KEPT_MAX) {
		porter.kept[porter.kept_count++] = (struct kept){ message->place, fd_take(&fds[0]) };
	} else if (message->kind == PORTER_FORGET) {
		forget(message->place);
	}
	for (size_t i = 0; i < fd_count; i++)
		fd_close(&fds[i]);
}

/* Returns false when the daemon has ended. */
static bool listen_to_daemon(void)
{
	struct porter_message message;
	int fds[2];
	size_t fd_count = 0;
	ssize_t received = fd_receive(porter.control, &message, sizeof(message), fds, 2, &fd_count);

	if (received == sizeof(message))
		obey(&message, fds, fd_count);
	return received > 0 || received == -EAGAIN || received == -EMSGSIZE;
}

static void bury(void)
{
	struct signalfd_siginfo info;
	pid_t pid;

	while (read(porter.signals, &info, sizeof(info)) > 0)
		;
	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
		for (unsigned i = 0; i < porter.doorman_count; i++) {
			if (porter.doormen[i].pid != pid)
				continue;
			say_gone(porter.doormen[i].place);
			porter.doormen[i] = porter.doormen[--porter.doorman_count];
			break;
		}
	}
}

/* Only what is named is left open. A process that waits for ever must not hold up who reads our output. */
static int let_go(int control, int blank)
{
	int low = control < blank ? control : blank, high = control < blank ? blank : control;

	if (dup2(blank, STDIN_FILENO) < 0 || dup2(blank, STDOUT_FILENO) < 0 ||
	    (!SANITIZED && dup2(blank, STDERR_FILENO) < 0))
		return -errno;
	if ((low > 3 && close_range(3, (unsigned)low - 1, 0) < 0) ||
	    (high > low + 1 && close_range((unsigned)low + 1, (unsigned)high - 1, 0) < 0) ||
	    close_range((unsigned)high + 1, UINT_MAX, 0) < 0)
		return -errno;
	return 0;
}

int porter_prepare(const struct porter_setup *setup, int control)
{
	struct rlimit limit;
	sigset_t set;
	int code;

	prctl(PR_SET_NAME, setup->name);
	porter.service = setup->service;
	porter.control = control;
	porter.blank = open("/dev/null", O_RDWR | O_CLOEXEC);
	code = porter.blank < 0 ? -errno : let_go(control, porter.blank);
	if (code)
		return code;
	porter.blank_file = open("/dev/zero", O_RDWR | O_CLOEXEC);
	if (porter.blank_file < 0)
		return -errno;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	porter.fds_max = limit.rlim_cur < UINT_MAX ? (unsigned)limit.rlim_cur : UINT_MAX;
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	porter.signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return porter.signals < 0 ? -errno : 0;
}

void porter_run(void)
{
	struct pollfd poll_fds[2] = {
		{ .fd = porter.control, .events = POLLIN },
		{ .fd = porter.signals, .events = POLLIN },
	};

	for (;;) {
		if (poll(poll_fds, 2, -1) < 0) {
			if (errno != EINTR)
				_exit(1);
			continue;
		}
		if (poll_fds[1].revents)
			bury();
		if (poll_fds[0].revents && !listen_to_daemon())
			_exit(0);
	}
}
