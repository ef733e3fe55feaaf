/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A qemu-img that an image has taken over: what it tries is written in the image, a line each from byte 4096
 * on, "VERB ARGUMENT". What came of each goes to the output, as "VERB ARGUMENT: ok" or the errno's name.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SCRIPT_AT 4096
#define MIB	  (1 << 20)

static int done(long result)
{
	return result < 0 ? errno : 0;
}

static int try_open(const char *path, int flags)
{
	int fd = open(path, flags, 0600);

	if (fd >= 0)
		close(fd);
	return done(fd);
}

static int try_list(const char *path)
{
	DIR *folder = opendir(path);

	if (!folder)
		return errno;
	closedir(folder);
	return 0;
}

static int try_unix(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	return fd < 0 ? errno : done(connect(fd, (struct sockaddr *)&address, sizeof(address)));
}

static int try_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return done(pid);
}

static int try_exec(const char *path)
{
	pid_t pid = fork();

	if (pid < 0) { /* no children: become it, which nobody then tells of */
		execl(path, path, (char *)NULL);
		return errno;
	}
	if (pid == 0) {
		execl(path, path, (char *)NULL);
		_exit(errno);
	}
	waitpid(pid, NULL, 0);
	return 0;
}

static int try_ptrace(pid_t pid)
{
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) < 0)
		return errno;
	return done(ptrace(PTRACE_DETACH, pid, NULL, NULL) < 0 && errno != ESRCH ? -1 : 0);
}

static int try_ring(void)
{
	struct io_uring_params parameters = { 0 };

	return done(syscall(SYS_io_uring_setup, 1, &parameters));
}

static int try_memory(size_t mib)
{
	void *memory = mmap(NULL, mib * MIB, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? errno : 0;
}

/* Without an end, or with one that is somebody else's choice. */
static int misbehave(const char *verb, const char *argument)
{
	if (strcmp(verb, "sleep") == 0)
		sleep(3600);
	while (strcmp(verb, "spin") == 0)
		;
	while (strcmp(verb, "chatter") == 0) /* busy, and not getting anywhere */
		dprintf(1, "    (50.00/100%%)\r");
	if (strcmp(verb, "grow") == 0)
		return done(pwrite(4, "x", 1, strtoll(argument, NULL, 10)));
	if (strcmp(verb, "fail") == 0) {
		dprintf(2, "qemu-img: %s\n", argument);
		exit(1);
	}
	return ENOTSUP;
}

static int attempt(const char *verb, const char *argument)
{
	long number = strtol(argument, NULL, 10);

	if (strcmp(verb, "read") == 0)
		return try_open(argument, O_RDONLY);
	if (strcmp(verb, "create") == 0)
		return try_open(argument, O_WRONLY | O_CREAT);
	if (strcmp(verb, "truncate") == 0)
		return done(truncate(argument, 0));
	if (strcmp(verb, "chmod") == 0)
		return done(chmod(argument, 0644));
	if (strcmp(verb, "chown") == 0)
		return done(chown(argument, getuid(), getgid()));
	if (strcmp(verb, "touch") == 0)
		return done(utimensat(AT_FDCWD, argument, NULL, 0));
	if (strcmp(verb, "unlink") == 0)
		return done(unlink(argument));
	if (strcmp(verb, "list") == 0)
		return try_list(argument);
	if (strcmp(verb, "unix") == 0)
		return try_unix(argument);
	if (strcmp(verb, "inet") == 0)
		return done(socket(AF_INET, SOCK_STREAM, 0));
	if (strcmp(verb, "fork") == 0)
		return try_fork();
	if (strcmp(verb, "exec") == 0)
		return try_exec(argument);
	if (strcmp(verb, "signal") == 0)
		return done(kill((pid_t)number, 0));
	if (strcmp(verb, "ptrace") == 0)
		return try_ptrace((pid_t)number);
	if (strcmp(verb, "ring") == 0)
		return try_ring();
	if (strcmp(verb, "memory") == 0)
		return try_memory((size_t)number);
	return misbehave(verb, argument);
}

int main(int argc, char **argv)
{
	static char script[65536];
	char *rest = script, *line;

	if (pread(3, script, sizeof(script) - 1, SCRIPT_AT) < 0)
		return 1;
	if (argc > 1 && strcmp(argv[1], "info") == 0) {
		puts("{\"virtual-size\": 1048576, \"format\": \"qcow2\"}");
		return 0;
	}
	if (lseek(4, 0, SEEK_SET) < 0)
		return 1;
	while ((line = strsep(&rest, "\n"))) {
		char *argument = line, *verb = strsep(&argument, " ");
		int error = *verb ? attempt(verb, argument ? argument : "") : 0;

		if (*verb)
			dprintf(4, "%s %s: %s\n", verb, argument ? argument : "",
				error ? strerrorname_np(error) : "ok");
	}
	return 0;
}
