/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/disk/qemu_img_sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Images that claim absurd tables make readers ask for this and more; honest ones stay far below. */
#define MEMORY_MAX_BYTES (2ull << 30)
#define OPEN_FILES_MAX	 256u
#define CPU_GRACE_S	 5u

/* ---- files ---- */

#define READ	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define LIBRARY (READ | LANDLOCK_ACCESS_FS_EXECUTE)
/* Debian 12's header ends with ABI 2; ABI 3 (Linux 6.2) has this. */
#define TRUNCATE (1ull << 14)

/* Every right that the kernel's ABI knows and that is about files: what no rule gives is refused. */
static uint64_t known_rights(long abi)
{
	uint64_t rights = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;

	if (abi >= 2)
		rights |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		rights |= TRUNCATE;
	return rights;
}

static int allow_fd(int rules, int fd, uint64_t rights)
{
	const struct landlock_path_beneath_attr beneath = { .allowed_access = rights, .parent_fd = fd };

	if (syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0)
		return -errno;
	return 0;
}

/* A path that is not there needs no rule. */
static int allow_path(int rules, const char *path, uint64_t rights)
{
	int fd = open(path, O_PATH | O_CLOEXEC), error;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	error = allow_fd(rules, fd, rights);
	close(fd);
	return error;
}

static int add_files(int rules, const struct qemu_img_sandbox *sandbox, uint64_t known)
{
	static const char *const libraries[] = { "/lib",     "/lib32",	   "/lib64",
						 "/usr/lib", "/usr/lib32", "/usr/lib64" };
	int error = allow_path(rules, sandbox->program,
			       LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE);

	for (unsigned i = 0; !error && i < sizeof(libraries) / sizeof(libraries[0]); i++)
		error = allow_path(rules, libraries[i], LIBRARY);
	if (!error)
		error = allow_path(rules, "/etc/ld.so.cache", LANDLOCK_ACCESS_FS_READ_FILE);
	if (!error && sandbox->read_any_file)
		error = allow_path(rules, "/", READ);
	if (!error)
		error = allow_fd(rules, sandbox->image_fd, LANDLOCK_ACCESS_FS_READ_FILE);
	if (!error && sandbox->output_fd >= 0)
		error = allow_fd(
			rules, sandbox->output_fd,
			known & (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | TRUNCATE));
	return error;
}

static int restrict_files(const struct qemu_img_sandbox *sandbox)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct landlock_ruleset_attr attributes = { .handled_access_fs = known_rights(abi) };
	int rules, error;

	if (abi < 1)
		return sandbox->without_landlock ? 0 : -EOPNOTSUPP;
	rules = (int)syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0);
	if (rules < 0)
		return -errno;
	error = add_files(rules, sandbox, attributes.handled_access_fs);
	if (!error && syscall(SYS_landlock_restrict_self, rules, 0) < 0)
		error = -errno;
	close(rules);
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
