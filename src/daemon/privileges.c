/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/netlink.h>
#include <pwd.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <seccomp.h>

#include "core/log.h"
#include "daemon/base/daemon.h"

int privileges_drop(const char *user_name, const char *group_name, struct error *error)
{
	const struct passwd *user = user_name ? getpwnam(user_name) : NULL;
	const struct group *group = group_name ? getgrnam(group_name) : NULL;
	gid_t gid = group ? group->gr_gid : user ? user->pw_gid : getegid();

	if (geteuid() != 0)
		return 0;
	if ((user_name && !user) || (group_name && !group))
		return error_set(error, -ENOENT, "the user or group of the configuration is gone");
	if (user && initgroups(user->pw_name, gid) < 0)
		return error_set(error, -errno, "cannot set the groups of %s: %s", user_name,
				 strerror(errno));
	if (setresgid(gid, gid, gid) < 0)
		return error_set(error, -errno, "cannot change to the group: %s", strerror(errno));
	if (user && setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0)
		return error_set(error, -errno, "cannot change to the user %s: %s", user_name,
				 strerror(errno));
	if (user && user->pw_uid != 0 && setresuid(0, 0, 0) == 0)
		return error_set(error, -EPERM, "the change to the user %s can be undone", user_name);
	/* A change of user switches core dumps and /proc access off; our own tools need the latter. */
	prctl(PR_SET_DUMPABLE, 1);
	return 0;
}

#ifdef __has_feature
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#if !SANITIZED
/* By subject: files, memory, sockets, waiting, threads, time, itself. */
static const char *const allowed[] = {
	"read",
	"write",
	"readv",
	"writev",
	"pread64",
	"pwrite64",
	"preadv",
	"pwritev",
	"preadv2",
	"pwritev2",
	"open",
	"openat",
	"close",
	"fstat",
	"newfstatat",
	"stat",
	"lstat",
	"statx",
	"statfs",
	"fstatfs",
	"lseek",
	"fsync",
	"fdatasync",
	"sync_file_range",
	"fallocate",
	"fadvise64",
	"truncate",
	"ftruncate",
	"flock",
	"fcntl",
	"ioctl",
	"dup",
	"dup2",
	"dup3",
	"getdents64",
	"readlink",
	"readlinkat",
	"access",
	"faccessat",
	"faccessat2",
	"mkdir",
	"mkdirat",
	"rmdir",
	"rename",
	"renameat",
	"renameat2",
	"unlink",
	"unlinkat",
	"linkat",
	"chown",
	"fchown",
	"lchown",
	"fchownat",
	"chmod",
	"fchmod",
	"fchmodat",
	"umask",
	"getcwd",
	"mmap",
	"munmap",
	"mremap",
	"mprotect",
	"madvise",
	"brk",
	"mincore",
	"mlock",
	"munlock",
	"memfd_create",
	"connect",
	"bind",
	"listen",
	"accept",
	"accept4",
	"sendto",
	"recvfrom",
	"sendmsg",
	"recvmsg",
	"sendmmsg",
	"recvmmsg",
	"getsockopt",
	"setsockopt",
	"getsockname",
	"getpeername",
	"shutdown",
	"socketpair",
	"poll",
	"ppoll",
	"select",
	"pselect6",
	"epoll_create1",
	"epoll_ctl",
	"epoll_wait",
	"epoll_pwait",
	"epoll_pwait2",
	"eventfd2",
	"signalfd4",
	"timerfd_create",
	"timerfd_settime",
	"timerfd_gettime",
	"io_uring_setup",
	"io_uring_enter",
	"io_uring_register",
	"futex",
	"set_robust_list",
	"get_robust_list",
	"rseq",
	"sched_yield",
	"sched_getaffinity",
	"sched_setaffinity",
	"membarrier",
	"exit",
	"exit_group",
	"set_tid_address",
	"restart_syscall",
	"clock_gettime",
	"clock_getres",
	"clock_nanosleep",
	"nanosleep",
	"gettimeofday",
	"time",
	"rt_sigaction",
	"rt_sigprocmask",
	"rt_sigreturn",
	"rt_sigtimedwait",
	"sigaltstack",
	"tgkill",
	"gettid",
	"getpid",
	"getppid",
	"getuid",
	"geteuid",
	"getgid",
	"getegid",
	"getrandom",
	"uname",
	"sysinfo",
	"prlimit64",
	"getrlimit",
	"prctl",
	"arch_prctl",
	"getrusage",
};

/* Streams and datagrams of a family; a datagram socket may be one of pings. */
static int allow_sockets(scmp_filter_ctx filter, int family)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM };
	int error = 0;

	for (unsigned i = 0; !error && i < sizeof(types) / sizeof(types[0]); i++)
		error = seccomp_rule_add(
			filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, SCMP_A0(SCMP_CMP_EQ, (uint64_t)family),
			SCMP_A1(SCMP_CMP_MASKED_EQ, ~(uint64_t)(SOCK_CLOEXEC | SOCK_NONBLOCK),
				(uint64_t)types[i]));
	return error;
}

/* rtnetlink, from which uplinks that come and go are learned. */
static int allow_interfaces(scmp_filter_ctx filter)
{
	return seccomp_rule_add(
		filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 3, SCMP_A0(SCMP_CMP_EQ, AF_NETLINK),
		SCMP_A1(SCMP_CMP_MASKED_EQ, ~(uint64_t)(SOCK_CLOEXEC | SOCK_NONBLOCK), SOCK_RAW),
		SCMP_A2(SCMP_CMP_EQ, NETLINK_ROUTE));
}

static int add_rules(scmp_filter_ctx filter, bool internet, bool interfaces)
{
	int error = 0;

	for (unsigned i = 0; !error && i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		int call = seccomp_syscall_resolve_name(allowed[i]);

		/* Some of them exist on some architectures only. */
		if (call != __NR_SCMP_ERROR && call >= 0)
			error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
	}
	/* Threads, but no processes; clone3 hides its flags behind a pointer, and libc then uses clone. */
	if (!error)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
					 SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (!error)
		error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (!error)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
					 SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
	if (!error && internet)
		error = allow_sockets(filter, AF_INET);
	if (!error && internet)
		error = allow_sockets(filter, AF_INET6);
	if (!error && interfaces)
		error = allow_interfaces(filter);
	return error;
}

#endif

int privileges_sandbox(bool internet, bool interfaces, struct error *error)
{
#if SANITIZED
	log_info(NULL, "sandbox: not in a build with a sanitizer");
	return 0;
#else
	scmp_filter_ctx filter;
	int code;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set(error, -errno, "sandbox: %s", strerror(errno));
	filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!filter)
		return error_set(error, -ENOMEM, "out of memory");
	code = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!code)
		code = add_rules(filter, internet, interfaces);
	if (!code)
		code = seccomp_load(filter);
	seccomp_release(filter);
	return code ? error_set(error, code, "sandbox: %s; set sandbox = no in [daemon] to do without",
				strerror(-code))
		    : 0;
#endif
}
