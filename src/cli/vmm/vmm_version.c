/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/vmm/vmm.h"

#define WORDS "QEMU emulator version "

/* Reads what it prints, as far as there is room, and waits for its end. */
static void read_output(int output, pid_t pid, char *text, size_t room)
{
	size_t length = 0;
	ssize_t n;

	while (length + 1 < room &&
	       ((n = read(output, text + length, room - 1 - length)) > 0 || (n < 0 && errno == EINTR)))
		length += n > 0 ? (size_t)n : 0;
	text[length] = '\0';
	close(output);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static bool ask(const char *qemu, char *text, size_t room)
{
	int output[2];
	pid_t pid;

	if (pipe2(output, O_CLOEXEC) < 0)
		return false;
	pid = fork();
	if (pid == 0) {
		dup2(output[1], STDOUT_FILENO);
		dup2(open("/dev/null", O_RDWR), STDERR_FILENO);
		execl(qemu, qemu, "--version", (char *)NULL);
		_exit(127);
	}
	close(output[1]);
	if (pid < 0) {
		close(output[0]);
		return false;
	}
	read_output(output[0], pid, text, room);
	return true;
}

/* "QEMU emulator version 10.0.2 (Debian …)" */
unsigned vmm_qemu_version(const char *qemu)
{
	char text[256];
	const char *at = ask(qemu, text, sizeof(text)) ? strstr(text, WORDS) : NULL;
	char *rest;
	unsigned long major, minor;

	if (!at)
		return 0;
	major = strtoul(at + strlen(WORDS), &rest, 10);
	minor = *rest == '.' ? strtoul(rest + 1, NULL, 10) : 0;
	return major < 1000 && minor < 100 ? (unsigned)(major * 100 + minor) : 0;
}

/* QEMU 10 does not know seconds any more, and those before 9.2 no milliseconds. */
const char *vmm_reconnect(const struct vmm_guest *guest)
{
	return guest->qemu_version >= 902 ? "reconnect-ms=1000" : "reconnect=1";
}
