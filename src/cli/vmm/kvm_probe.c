/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/vmm/vmm.h"
#include "core/clock.h"

/*
 * A kernel is in C code within a second under KVM. Where KVM only pretends, real-mode code still runs
 * (slowly), and prints; so the kernel's own first line is waited for.
 */
#define PROBE_MS   5000
#define FIRST_LINE "Linux version"

static pid_t start_probe(const char *qemu, const char *kernel, int output)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(open("/dev/null", O_RDWR), STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(STDIN_FILENO, STDERR_FILENO);
	execl(qemu, qemu, "-accel", "kvm", "-cpu", "host", "-m", "256M", "-nodefaults", "-display", "none",
	      "-serial", "stdio", "-no-reboot", "-kernel", kernel, "-append",
	      "console=ttyS0 earlyprintk=serial,ttyS0 panic=-1", (char *)NULL);
	_exit(127);
}

/* Reads until the kernel's first line, the end, or the time is over. */
static bool wait_for_first_line(int fd)
{
	uint64_t now_ns = clock_now_ns(), deadline_ns = now_ns + PROBE_MS * NS_PER_MS;
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	char text[65536];
	size_t length = 0;

	for (; now_ns < deadline_ns && length < sizeof(text) - 1; now_ns = clock_now_ns()) {
		ssize_t n;

		if (poll(&poll_fd, 1, (int)((deadline_ns - now_ns) / NS_PER_MS) + 1) <= 0)
			continue;
		n = read(fd, text + length, sizeof(text) - 1 - length);
		if (n <= 0)
			return false;
		length += (size_t)n;
		if (memmem(text, length, FIRST_LINE, strlen(FIRST_LINE)))
			return true;
	}
	return false;
}

static bool kernel_speaks(const char *qemu, const char *kernel)
{
	bool spoke = false;
	int output[2];
	pid_t pid;

	if (pipe2(output, O_CLOEXEC) < 0)
		return false;
	pid = start_probe(qemu, kernel, output[1]);
	close(output[1]);
	if (pid > 0) {
		spoke = wait_for_first_line(output[0]);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	close(output[0]);
	return spoke;
}

/* Any kernel does for the question; the host's own is there on most machines, if not readable on all. */
static const char *some_kernel(char path[CLI_PATH_MAX])
{
	struct utsname host;

	if (uname(&host) < 0)
		return NULL;
	snprintf(path, CLI_PATH_MAX, "/boot/vmlinuz-%s", host.release);
	return access(path, R_OK) == 0 ? path : NULL;
}

enum vmm_accel vmm_probe_accel(const char *qemu, const char *kernel, const char **ret_reason)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	char path[CLI_PATH_MAX];

	if (fd < 0) {
		*ret_reason =
			errno == EACCES ? "/dev/kvm is not open to you (group kvm)" : "there is no /dev/kvm";
		return VMM_TCG;
	}
	close(fd);
	if (!kernel)
		kernel = some_kernel(path);
	if (kernel && !kernel_speaks(qemu, kernel)) {
		*ret_reason = "/dev/kvm is there, but a kernel does not start under it";
		return VMM_TCG;
	}
	*ret_reason = "";
	return VMM_KVM;
}
