/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/vmm.h"

/* A kernel says its first words within 0.3 s under KVM; a machine that only pretends says nothing. */
#define PROBE_MS 4000

static pid_t start_probe(const char *qemu, const char *kernel, int output)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(open("/dev/null", O_RDWR), STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(STDIN_FILENO, STDERR_FILENO);
	execl(qemu, qemu, "-accel", "kvm", "-cpu", "host", "-m", "256M", "-nodefaults", "-display", "none", "-serial",
	      "stdio", "-no-reboot", "-kernel", kernel, "-append", "console=ttyS0 earlyprintk=serial,ttyS0 panic=-1",
	      (char *)NULL);
	_exit(127);
}

static bool kernel_speaks(const char *qemu, const char *kernel)
{
	int output[2];
	struct pollfd poll_output;
	bool spoke = false;
	char byte;
	pid_t pid;

	if (pipe2(output, O_CLOEXEC) < 0)
		return false;
	pid = start_probe(qemu, kernel, output[1]);
	close(output[1]);
	poll_output = (struct pollfd){ .fd = output[0], .events = POLLIN };
	if (pid > 0 && poll(&poll_output, 1, PROBE_MS) > 0)
		spoke = read(output[0], &byte, 1) == 1;
	close(output[0]);
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return spoke;
}

enum vmm_accel vmm_probe_accel(const char *qemu, const char *kernel, const char **ret_reason)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		*ret_reason = errno == EACCES ? "/dev/kvm is not open to you (group kvm)" : "there is no /dev/kvm";
		return VMM_TCG;
	}
	close(fd);
	if (kernel && !kernel_speaks(qemu, kernel)) {
		*ret_reason = "/dev/kvm is there, but a kernel does not start under it";
		return VMM_TCG;
	}
	*ret_reason = "";
	return VMM_KVM;
}
