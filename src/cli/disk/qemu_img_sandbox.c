/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/disk/qemu_img_sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/file_rules.h"

/* Images that claim absurd tables make readers ask for this and more; honest ones stay far below. */
#define MEMORY_MAX_BYTES (2ull << 30)
#define OPEN_FILES_MAX	 256u
#define CPU_GRACE_S	 5u

/* ---- files ---- */

static int add_files(struct file_rules *rules, const struct qemu_img_sandbox *sandbox)
{
	static const char *const libraries[] = { "/lib",     "/lib32",	   "/lib64",
						 "/usr/lib", "/usr/lib32", "/usr/lib64" };
	int error = file_rules_allow_path(rules, sandbox->program, FILE_MAY_READ | FILE_MAY_EXECUTE);

	for (unsigned i = 0; !error && i < sizeof(libraries) / sizeof(libraries[0]); i++)
		error = file_rules_allow_path(rules, libraries[i], FILE_MAY_READ | FILE_MAY_EXECUTE);
	if (!error)
		error = file_rules_allow_path(rules, "/etc/ld.so.cache", FILE_MAY_READ);
	if (!error && sandbox->read_any_file)
		error = file_rules_allow_path(rules, "/", FILE_MAY_READ | FILE_MAY_CONTROL);
	if (!error)
		error = file_rules_allow_fd(rules, sandbox->image_fd, FILE_MAY_READ | FILE_MAY_CONTROL);
	if (!error && sandbox->output_fd >= 0)
		error = file_rules_allow_fd(rules, sandbox->output_fd, FILE_MAY_READ | FILE_MAY_WRITE);
	return error;
}

static int restrict_files(const struct qemu_img_sandbox *sandbox)
{
	struct file_rules rules;
	int error = file_rules_init(&rules);

	if (error)
		return error == -EOPNOTSUPP && sandbox->without_landlock ? 0 : error;
	error = add_files(&rules, sandbox);
	if (!error)
		error = file_rules_enforce(&rules);
	file_rules_finish(&rules);
	return error;
}

/* ---- system calls ---- */

/* What qemu-img and its libraries use on files that are open, on memory and among their own threads. */
static const char *const allowed[] = {
	"access",
	"arch_prctl",
	"brk",
	"clock_getres",
	"clock_gettime",
	"clock_nanosleep",
	"close",
	"close_range",
	"copy_file_range",
	"dup",
	"dup2",
	"dup3",
	"epoll_create1",
	"epoll_ctl",
	"epoll_pwait",
	"epoll_wait",
	"eventfd2",
	"execve",
	"exit",
	"exit_group",
	"faccessat",
	"faccessat2",
	"fadvise64",
	"fallocate",
	"fcntl",
	"fdatasync",
	"fstat",
	"fstatfs",
	"fsync",
	"ftruncate",
	"futex",
	"get_robust_list",
	"getcpu",
	"getcwd",
	"getdents64",
	"getegid",
	"geteuid",
	"getgid",
	"getpid",
	"getppid",
	"getrandom",
	"getresgid",
	"getresuid",
	"getrlimit",
	"getrusage",
	"gettid",
	"gettimeofday",
	"getuid",
	"ioctl",
	"lseek",
	"lstat",
	"madvise",
	"membarrier",
	"mmap",
	"mprotect",
	"mremap",
	"munmap",
	"nanosleep",
	"newfstatat",
	"open",
	"openat",
	"pipe2",
	"poll",
	"ppoll",
	"prctl",
	"pread64",
	"preadv",
	"preadv2",
	"pselect6",
	"pwrite64",
	"pwritev",
	"pwritev2",
	"read",
	"readlink",
	"readlinkat",
	"readv",
	"restart_syscall",
	"rseq",
	"rt_sigaction",
	"rt_sigpending",
	"rt_sigprocmask",
	"rt_sigreturn",
	"rt_sigsuspend",
	"rt_sigtimedwait",
	"sched_getaffinity",
	"sched_getparam",
	"sched_getscheduler",
	"sched_yield",
	"select",
	"set_robust_list",
	"set_tid_address",
	"sigaltstack",
	"signalfd4",
	"stat",
	"statfs",
	"statx",
	"sync_file_range",
	"sysinfo",
	"time",
	"timerfd_create",
	"timerfd_gettime",
	"timerfd_settime",
	"uname",
	"write",
	"writev",
};

static int add_calls(scmp_filter_ctx filter)
{
	int error = 0;

	for (unsigned i = 0; !error && i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		int call = seccomp_syscall_resolve_name(allowed[i]);

		/* Some of them exist on some architectures only. */
		if (call != __NR_SCMP_ERROR && call >= 0)
			error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
	}
	if (!error) /* threads, but no processes */
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
					 SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (!error) /* itself only; it ends itself by a signal when it aborts */
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
					 SCMP_A0(SCMP_CMP_EQ, (uint64_t)getpid()));
	if (!error)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1,
					 SCMP_A0(SCMP_CMP_EQ, 0));
	return error;
}

/* Refused calls look as if the kernel had none of them: libraries then do without. */
static int restrict_calls(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int error;

	if (!filter)
		return -ENOMEM;
	error = add_calls(filter);
	if (!error)
		error = seccomp_load(filter);
	seccomp_release(filter);
	return error;
}

/* ---- privileges and bounds ---- */

/*
 * As root, the program keeps the one right that opening somebody's image again by its descriptor takes: to
 * read files. A container's root may have no say over its bounding set; then the other walls have to do.
 */
static void drop_capabilities(void)
{
	for (unsigned long i = 0; i <= 63; i++)
		if (i != CAP_DAC_READ_SEARCH)
			prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

static int limit(int resource, uint64_t value)
{
	/* CPU time: the signal that says so comes at the first bound, the one that cannot be held at the
	 * second. */
	const struct rlimit limits = { value, resource == RLIMIT_CPU ? value + CPU_GRACE_S : value };

	return setrlimit((__rlimit_resource_t)resource, &limits) < 0 ? -errno : 0;
}

static int restrict_resources(const struct qemu_img_sandbox *sandbox)
{
	int error = limit(RLIMIT_CORE, 0);

	if (!error)
		error = limit(RLIMIT_NOFILE, OPEN_FILES_MAX);
	if (!error)
		error = limit(RLIMIT_CPU, sandbox->cpu_max_s);
	if (!error && sandbox->output_fd >= 0)
		error = limit(RLIMIT_FSIZE, sandbox->output_max_bytes);
	if (!error)
		error = limit(RLIMIT_AS, MEMORY_MAX_BYTES);
	return error;
}

int qemu_img_sandbox_enter(const struct qemu_img_sandbox *sandbox, const char **ret_what)
{
	int error = 0;

	*ret_what = "no_new_privs";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return -errno;
	drop_capabilities();
	*ret_what = "Landlock";
	error = restrict_files(sandbox);
	if (!error) {
		*ret_what = "seccomp";
		error = restrict_calls();
	}
	if (!error) { /* last: what builds a filter needs more memory than the limit, under a sanitizer */
		*ret_what = "limits";
		error = restrict_resources(sandbox);
	}
	return error;
}
