/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/privileges_porter.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <seccomp.h>

#include "core/error.h"
#include "core/sanitized.h"
#include "daemon/config/config.h"
#include "daemon/privileges.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Messages, descriptors, waiting, the end. */
static const int allowed[] = {
	SCMP_SYS(recvmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(socketpair),
	SCMP_SYS(shutdown),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	SCMP_SYS(close),
	SCMP_SYS(close_range),
	SCMP_SYS(fcntl),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(read),
	SCMP_SYS(wait4),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(gettid),
	SCMP_SYS(getpid),
};

/* What a seat's processes do besides. */
static const int allowed_seat[] = {
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(select),
	SCMP_SYS(pselect6),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(brk),
	SCMP_SYS(memfd_create),
	SCMP_SYS(eventfd2),
	SCMP_SYS(dup3),
	SCMP_SYS(ftruncate),
	SCMP_SYS(futex),
	SCMP_SYS(getrandom),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(uname),
	SCMP_SYS(lseek),
	SCMP_SYS(pread64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(sendfile),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(sched_yield),
};

static int allow_all(scmp_filter_ctx filter, const int *calls, size_t count)
{
	int error = 0;

	for (size_t i = 0; !error && i < count; i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
	return error;
}

/* Memory may hold data, never new code. Limits are of the own process. */
static int allow_seat(scmp_filter_ctx filter)
{
	struct scmp_arg_cmp no_code = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	int error = allow_all(filter, allowed_seat, COUNT(allowed_seat));

	if (!error)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1,
					 SCMP_A0(SCMP_CMP_EQ, 0));
	if (!error)
		error = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, &no_code);
	return error ? error
		     : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, &no_code);
}

static int add_rules(scmp_filter_ctx filter, bool seat)
{
	int error = allow_all(filter, allowed, COUNT(allowed));

	if (!error && seat)
		error = allow_seat(filter);
	/* fork() as glibc makes it: a process with a memory of its own. */
	if (!error)
		error = seccomp_rule_add(
			filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
			SCMP_A0(SCMP_CMP_EQ, CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD));
	/* Its name, so that it can be told from the daemon. */
	if (!error)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
					 SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
	return error;
}

static int filter_calls(bool seat)
{
	scmp_filter_ctx filter;
	int error;

	if (SANITIZED)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!filter)
		return -ENOMEM;
	error = add_rules(filter, seat);
	if (!error)
		error = seccomp_load(filter);
	seccomp_release(filter);
	return error;
}

static int confine(const struct config *config, bool seat)
{
	const struct config_daemon *settings = config_daemon(config);
	struct error ignored;
	int error = privileges_drop(settings, &ignored);

	return error || !settings->sandbox ? error : filter_calls(seat);
}

int privileges_confine_porter(void *config)
{
	return confine(config, false);
}

int privileges_confine_seat_porter(void *config)
{
	return confine(config, true);
}
