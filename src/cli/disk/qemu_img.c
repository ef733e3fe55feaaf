/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/disk/qemu_img.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/disk/disk_stream.h"
#include "cli/disk/qemu_img_sandbox.h"
#include "core/clock.h"

#define TICK_MS		100  /* how long an interrupt can stay unnoticed */
#define REAP_MS		2    /* between closing its pipes and its end */
#define KILLED_WAIT_MS	5000 /* a killed child can still wait for a file system that hangs */
#define PIPE_READS	17   /* of 4096 bytes: a pipe has 64 KiB, and an end */
#define COMPLAINT_BYTES 2048u /* of what it says on stderr: the first lines */
#define CPU_MIN_S	60u
#define SLOWEST_BYTES_S (4ull << 20) /* of CPU time; bzip2 unpacks five times as much */
#define FIRST_FREE_FD	5	     /* above the two descriptors that the child gets */

/* ---- the child ---- */

static void become(const char *program, const struct qemu_img_run *run, const int pipes[2][2])
{
	const char *const environment[] = { "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8",
					    "MALLOC_ARENA_MAX=1", NULL };
	const struct qemu_img_sandbox sandbox = {
		.program = program,
		.image_fd = 3,
		.output_fd = run->output_fd < 0 ? -1 : 4,
		.read_any_file = run->read_any_file,
		.without_landlock = run->without_landlock,
		.output_max_bytes = run->output_max_bytes,
		.cpu_max_s = CPU_MIN_S + run->size_bytes / SLOWEST_BYTES_S,
	};
	int null = open("/dev/null", O_RDONLY), image = fcntl(run->image_fd, F_DUPFD, FIRST_FREE_FD);
	int output = run->output_fd < 0 ? null : fcntl(run->output_fd, F_DUPFD, FIRST_FREE_FD);
	const char *what = "descriptors", *arguments[32] = { "qemu-img" };
	int error = -EBADF;

	for (unsigned i = 0; i < 30 && run->arguments[i]; i++)
		arguments[i + 1] = run->arguments[i];
	if (dup2(null, 0) >= 0 && dup2(pipes[0][1], 1) >= 0 && dup2(pipes[1][1], 2) >= 0 &&
	    dup2(image, 3) >= 0 && dup2(output, 4) >= 0) {
		closefrom(FIRST_FREE_FD);
		error = qemu_img_sandbox_enter(&sandbox, &what);
	}
	if (error == -EOPNOTSUPP)
		dprintf(2, "cannot be kept from other files: this kernel has no Landlock (Linux 5.13, and "
			   "\"landlock\" among its security modules); convert the image to raw elsewhere\n");
	else if (error)
		dprintf(2, "cannot be confined: %s: %s\n", what, strerror(-error));
	if (!error) {
		execve(program, (char *const *)arguments, (char *const *)environment);
		dprintf(2, "%s: %s\n", program, strerror(errno));
	}
	_exit(127);
}

/* Two pipes whose both ends lie above the descriptors that the child gets. */
static int make_pipes(int pipes[2][2])
{
	for (unsigned i = 0; i < 2; i++) {
		if (pipe2(pipes[i], O_CLOEXEC) < 0)
			return -errno;
		for (unsigned end = 0; end < 2; end++) {
			int above = fcntl(pipes[i][end], F_DUPFD_CLOEXEC, FIRST_FREE_FD);

			if (above < 0)
				return -errno;
			close(pipes[i][end]);
			pipes[i][end] = above;
		}
		fcntl(pipes[i][0], F_SETFL, O_NONBLOCK);
	}
	return 0;
}

/* ---- watching it ---- */

struct watch {
	const struct qemu_img_run *run;
	pid_t pid;
	struct pollfd pipes[2]; /* what it prints, and its complaints; -1 once closed */
	char *answer, complaint[COMPLAINT_BYTES + 1];
	size_t answer_bytes, complaint_bytes;
	double percent;
	blkcnt_t blocks; /* of the output; both only grow, so that this ends */
	uint64_t progress_ns;
};

/* "    (12.34/100%)\r": what `convert -p` prints. */
static void read_percent(struct watch *watch)
{
	const char *open = memrchr(watch->answer, '(', watch->answer_bytes);
	double percent = open ? strtod(open + 1, NULL) : 0;

	if (!(percent > watch->percent && percent <= 100))
		return;
	watch->percent = percent;
	watch->progress_ns = clock_now_ns();
	if (watch->run->progress)
		watch->run->progress(watch->run->context,
				     (uint64_t)((double)watch->run->size_bytes * percent / 100));
}

/* Keeps what fits and drops the rest: the child never has to wait for us. Takes what a pipe can hold. */
static void drain(struct pollfd *pipe, char *buffer, size_t room, size_t *fill)
{
	char more[4096];
	ssize_t n = 1;

	for (unsigned i = 0; i < PIPE_READS && n > 0; i++) {
		n = read(pipe->fd, more, sizeof(more));
		if (n > 0) {
			size_t keep = (size_t)n < room - *fill ? (size_t)n : room - *fill;

			memcpy(buffer + *fill, more, keep);
			*fill += keep;
			buffer[*fill] = '\0';
		}
	}
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		pipe->fd = -1;
}

static void look(struct watch *watch)
{
	struct stat status;

	if (watch->pipes[0].fd >= 0 && watch->pipes[0].revents) {
		drain(&watch->pipes[0], watch->answer, QEMU_IMG_ANSWER_BYTES, &watch->answer_bytes);
		read_percent(watch);
	}
	if (watch->pipes[1].fd >= 0 && watch->pipes[1].revents)
		drain(&watch->pipes[1], watch->complaint, COMPLAINT_BYTES, &watch->complaint_bytes);
	if (watch->run->output_fd >= 0 && fstat(watch->run->output_fd, &status) == 0 &&
	    status.st_blocks > watch->blocks) {
		watch->blocks = status.st_blocks;
		watch->progress_ns = clock_now_ns();
	}
}

/* -EINTR or -ETIMEDOUT: the child is to be ended. */
static int judge(const struct watch *watch)
{
	if (stream_interrupted())
		return -EINTR;
	if (clock_now_ns() - watch->progress_ns > watch->run->patience_s * 1000000000ull)
		return -ETIMEDOUT;
	return 0;
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	for (unsigned ms = 0; ms < KILLED_WAIT_MS && waitpid(pid, NULL, WNOHANG) == 0; ms += REAP_MS)
		usleep(REAP_MS * 1000);
}

/* Until the child has ended: 0 and its status, or a negative errno after it was ended. */
static int wait_child(struct watch *watch, int *ret_status)
{
	pid_t ended;
	int error;

	do {
		bool open = watch->pipes[0].fd >= 0 || watch->pipes[1].fd >= 0;

		poll(watch->pipes, 2, open ? TICK_MS : REAP_MS);
		look(watch);
		error = judge(watch);
		if (error) {
			end_child(watch->pid);
			return error;
		}
		ended = waitpid(watch->pid, ret_status, WNOHANG);
	} while (ended == 0 || (ended < 0 && errno == EINTR));
	for (unsigned i = 0; i < 2; i++) /* what it said last */
		watch->pipes[i].revents = POLLIN;
	look(watch);
	return ended < 0 ? -errno : 0;
}

/* ---- what is said ---- */

char *qemu_img_clean(char *text)
{
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f || (unsigned char)*c >= 0x80)
			*c = '?';
	return text;
}

/* The line that it complained with, without its own name; failing that, the first one of a library. */
static const char *first_complaint(struct watch *watch)
{
	static const char name[] = "qemu-img: ";
	char *line = strstr(watch->complaint, name);

	line = line ? line + sizeof(name) - 1 : watch->complaint;
	line[strcspn(line, "\n")] = '\0';
	return qemu_img_clean(line);
}

static int complain(const struct cli_command *command, struct watch *watch, int error, int status)
{
	const char *name = watch->run->name, *said = first_complaint(watch);

	if (error == -EINTR)
		return cli_fail(command, "%s: interrupted", name);
	if (error == -ETIMEDOUT)
		return cli_fail(command, "%s: qemu-img made no progress for %u s and was ended", name,
				watch->run->patience_s);
	if (error)
		return cli_fail(command, "%s: %s", name, strerror(-error));
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
		return cli_fail(command, "%s: qemu-img used more CPU time than an image of this size needs",
				name);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ)
		return cli_fail(command, "%s: qemu-img wrote more than the image's size", name);
	if (WIFSIGNALED(status))
		return cli_fail(command, "%s: qemu-img was ended by signal %d%s%s", name, WTERMSIG(status),
				said[0] ? ": " : "", said);
	return cli_fail(command, "%s: qemu-img: %s", name, said[0] ? said : "failed");
}

static int start(struct watch *watch, const char *program)
{
	int pipes[2][2] = { { -1, -1 }, { -1, -1 } }, error = make_pipes(pipes);

	watch->pid = error ? -1 : fork();
	if (watch->pid == 0)
		become(program, watch->run, pipes);
	if (!error && watch->pid < 0)
		error = -errno;
	for (unsigned i = 0; i < 2; i++) {
		watch->pipes[i] = (struct pollfd){ .fd = pipes[i][0], .events = POLLIN };
		close(pipes[i][1]);
	}
	return error;
}

int qemu_img(const struct cli_command *command, const struct qemu_img_run *run, char **ret_answer)
{
	struct watch watch = { .run = run, .progress_ns = clock_now_ns() };
	char program[CLI_PATH_MAX];
	int error, ends[2], status = 0;

	if (cli_find_program("qemu-img", program) < 0)
		return cli_fail(command,
				"%s needs qemu-img, which is not installed; `apt install qemu-utils` "
				"brings it",
				run->name);
	watch.answer = calloc(1, QEMU_IMG_ANSWER_BYTES + 1);
	error = watch.answer ? start(&watch, program) : -ENOMEM;
	for (unsigned i = 0; i < 2; i++) /* the watch forgets an end that was closed by the child */
		ends[i] = watch.pipes[i].fd;
	if (!error)
		error = wait_child(&watch, &status);
	for (unsigned i = 0; watch.answer && i < 2; i++)
		close(ends[i]);
	if (error || status != 0) {
		free(watch.answer);
		return complain(command, &watch, error, status);
	}
	if (ret_answer)
		*ret_answer = watch.answer;
	else
		free(watch.answer);
	return CLI_OK;
}
