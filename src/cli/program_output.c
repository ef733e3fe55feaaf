/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/program_output.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

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

bool program_output(const char *program, const char *argument, const char *value, char *text, size_t room)
{
	int output[2];
	pid_t pid;

	if (pipe2(output, O_CLOEXEC) < 0)
		return false;
	pid = fork();
	if (pid == 0) {
		dup2(output[1], STDOUT_FILENO);
		dup2(open("/dev/null", O_RDWR), STDERR_FILENO);
		execl(program, program, argument, value, (char *)NULL);
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
