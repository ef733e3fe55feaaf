/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The filter of system calls. Most calls on the list are allowed as they are; those whose arguments reach
 * other processes, other kinds of sockets or new code are allowed with the arguments that the daemon and its
 * libraries use. The kernel cannot look behind pointers, so it is the rings themselves that are restricted,
 * not what is handed to them (core/loop_ring.c): no ring is made any more, and none is asked for what the
 * table there does not have.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/input.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <seccomp.h>
#include <xf86drm.h>

#include "core/error.h"
#include "core/log.h"
#include "core/loop_ring.h"
#include "core/sanitized.h"
#include "daemon/privileges.h"

#if !SANITIZED
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

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
	"openat2",
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
	"ftruncate",
	"flock",
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
	"munmap",
	"mremap",
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
	"io_uring_enter",
	"futex",
	"set_robust_list",
	"rseq",
	"sched_yield",
	"sched_getaffinity",
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
	"gettid",
	"getpid",
	"getppid",
	"getuid",
	"geteuid",
	"getgid",
	"getegid",
	"setfsuid",
	"setfsgid",
	"getrandom",
	"uname",
	"sysinfo",
	"getrlimit",
	"getrusage",
};

/* A call that is allowed with some values of one argument, and no other. */
struct choice {
	const char *call;
	unsigned argument;
	unsigned count;
	const uint64_t *values;
};

/* The others let a process be signalled, or its own memory and flags be changed behind its back. */
static const uint64_t fcntl_commands[] = {
	F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD, F_DUPFD_CLOEXEC, F_GET_SEALS, F_ADD_SEALS,
};

static const uint64_t ioctl_commands[] = {
	/* Descriptors, block devices, taps */
	FIONREAD,
	FIONBIO,
	TCGETS,
	BLKGETSIZE64,
	BLKSSZGET,
	BLKPBSZGET,
	BLKROGET,
	BLKIOOPT,
	TUNGETIFF,
	TUNSETIFF,
	TUNSETQUEUE,
	TUNSETOFFLOAD,
	TUNSETVNETHDRSZ,
	/* Interfaces; a tap that was deleted is made again as it was, where the daemon may do that */
	SIOCGIFINDEX,
	SIOCGIFHWADDR,
	SIOCGIFFLAGS,
	SIOCGIFMTU,
	SIOCETHTOOL,
	SIOCSIFHWADDR,
	SIOCSIFFLAGS,
	SIOCSIFMTU,
};

/* Of a graphics card: to be its master, to look at monitors, and to show pictures of one's own. */
static const uint64_t screen_commands[] = {
	DRM_IOCTL_SET_MASTER,
	DRM_IOCTL_DROP_MASTER,
	DRM_IOCTL_AUTH_MAGIC,
	DRM_IOCTL_GET_CAP,
	DRM_IOCTL_SET_CLIENT_CAP,
	DRM_IOCTL_MODE_GETRESOURCES,
	DRM_IOCTL_MODE_GETCONNECTOR,
	DRM_IOCTL_MODE_GETENCODER,
	DRM_IOCTL_MODE_GETCRTC,
	DRM_IOCTL_MODE_SETCRTC,
	DRM_IOCTL_MODE_GETPLANERESOURCES,
	DRM_IOCTL_MODE_GETPLANE,
	DRM_IOCTL_MODE_OBJ_GETPROPERTIES,
	DRM_IOCTL_MODE_GETPROPERTY,
	DRM_IOCTL_MODE_CREATEPROPBLOB,
	DRM_IOCTL_MODE_DESTROYPROPBLOB,
	DRM_IOCTL_MODE_CREATE_DUMB,
	DRM_IOCTL_MODE_MAP_DUMB,
	DRM_IOCTL_MODE_DESTROY_DUMB,
	DRM_IOCTL_MODE_ADDFB,
	DRM_IOCTL_MODE_RMFB,
	DRM_IOCTL_MODE_ATOMIC,
	DRM_IOCTL_MODE_PAGE_FLIP,
};

static const uint64_t input_commands[] = { EVIOCGRAB };

static const uint64_t prctl_options[] = { PR_SET_NAME };
static const uint64_t socketpair_families[] = { AF_UNIX };

static const struct choice choices[] = {
	{ "fcntl", 1, COUNT(fcntl_commands), fcntl_commands },
	{ "ioctl", 1, COUNT(ioctl_commands), ioctl_commands },
	{ "prctl", 0, COUNT(prctl_options), prctl_options },
	{ "socketpair", 0, COUNT(socketpair_families), socketpair_families },
};

static const struct choice screen_choice = { "ioctl", 1, COUNT(screen_commands), screen_commands };
static const struct choice input_choice = { "ioctl", 1, COUNT(input_commands), input_commands };

static int allow_choices(scmp_filter_ctx filter, const struct choice *choice)
{
	int error = 0;

	for (unsigned i = 0; !error && i < choice->count; i++) {
		/* The kernel looks at 32 bits of these; libraries may extend the sign of the rest. */
		struct scmp_arg_cmp value =
			SCMP_CMP(choice->argument, SCMP_CMP_MASKED_EQ, UINT32_MAX, choice->values[i]);

		error = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW,
					       seccomp_syscall_resolve_name(choice->call), 1, &value);
	}
	return error;
}

/* A socket of a family and type with that protocol. */
static int allow_socket(scmp_filter_ctx filter, int family, int type, int protocol)
{
	return seccomp_rule_add(
		filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 3, SCMP_A0(SCMP_CMP_EQ, (uint64_t)family),
		SCMP_A1(SCMP_CMP_MASKED_EQ, ~(uint64_t)(SOCK_CLOEXEC | SOCK_NONBLOCK), (uint64_t)type),
		SCMP_A2(SCMP_CMP_EQ, (uint64_t)protocol));
}

/* Streams and datagrams of IPv4 and IPv6; a datagram socket may be one of pings. */
static int allow_internet(scmp_filter_ctx filter)
{
	static const struct {
		int family, type, protocol;
	} sockets[] = {
		{ AF_INET, SOCK_STREAM, 0 },
		{ AF_INET, SOCK_STREAM, IPPROTO_TCP },
		{ AF_INET, SOCK_DGRAM, 0 },
		{ AF_INET, SOCK_DGRAM, IPPROTO_UDP },
		{ AF_INET6, SOCK_STREAM, 0 },
		{ AF_INET6, SOCK_STREAM, IPPROTO_TCP },
		{ AF_INET6, SOCK_DGRAM, 0 },
		{ AF_INET6, SOCK_DGRAM, IPPROTO_UDP },
		{ AF_INET, SOCK_DGRAM, IPPROTO_ICMP },
		{ AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6 },
	};
	int error = 0;

	for (unsigned i = 0; !error && i < COUNT(sockets); i++)
		error = allow_socket(filter, sockets[i].family, sockets[i].type, sockets[i].protocol);
	return error;
}

/* What an input device is and does: all its questions read, with numbers that hold the answer's size. */
static int allow_input(scmp_filter_ctx filter)
{
	const uint64_t mask = (uint64_t)_IOC_DIRMASK << _IOC_DIRSHIFT | (uint64_t)_IOC_TYPEMASK
										<< _IOC_TYPESHIFT;
	struct scmp_arg_cmp question = SCMP_A1(SCMP_CMP_MASKED_EQ, mask, _IOC(_IOC_READ, 'E', 0, 0));
	int error = allow_choices(filter, &input_choice);

	return error ? error : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, &question);
}

static int allow_sockets(scmp_filter_ctx filter, const struct privileges_needs *needs)
{
	int error = allow_socket(filter, AF_UNIX, SOCK_STREAM, 0);

	if (!error)
		error = allow_socket(filter, AF_UNIX, SOCK_DGRAM, 0);
	if (!error && needs->internet)
		error = allow_internet(filter);
	/* rtnetlink, from which uplinks that come and go are learned. */
	if (!error && needs->interfaces)
		error = allow_socket(filter, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	return error;
}

/* Memory may hold data, never new code. */
static int allow_memory(scmp_filter_ctx filter)
{
	struct scmp_arg_cmp no_code = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	int error = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, &no_code);

	return error ? error
		     : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, &no_code);
}

/* Threads, but no processes and no namespaces: what the flags of a thread must be, and what they may be. */
static int allow_threads(scmp_filter_ctx filter)
{
	static const uint64_t must = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD,
			      may = CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID |
				    CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID | CLONE_DETACHED;
	int error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, ~may, must));

	/* clone3 hides its flags behind a pointer, and libc then uses clone. */
	return error ? error : seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

/* Signals and limits are its own only; abort() signals the own process. */
static int allow_self(scmp_filter_ctx filter)
{
	int error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				     SCMP_A0(SCMP_CMP_EQ, (uint64_t)getpid()));

	if (!error)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2,
					 SCMP_A0(SCMP_CMP_EQ, 0), SCMP_A2(SCMP_CMP_EQ, 0));
	return error;
}

static int allow_rings(scmp_filter_ctx filter)
{
	int error = 0;

	for (unsigned i = 0; !error && loop_ring_register_op(i) >= 0; i++)
		error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(io_uring_register), 1,
					 SCMP_A1(SCMP_CMP_EQ, (uint64_t)loop_ring_register_op(i)));
	return error;
}

static int add_rules(scmp_filter_ctx filter, const struct privileges_needs *needs)
{
	int error = 0;

	for (unsigned i = 0; !error && i < COUNT(allowed); i++) {
		int call = seccomp_syscall_resolve_name(allowed[i]);

		/* Some of them exist on some architectures only. */
		if (call != __NR_SCMP_ERROR && call >= 0)
			error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
	}
	for (unsigned i = 0; !error && i < COUNT(choices); i++)
		error = allow_choices(filter, &choices[i]);
	if (!error && needs->screens)
		error = allow_choices(filter, &screen_choice);
	if (!error && needs->input)
		error = allow_input(filter);
	if (!error)
		error = allow_sockets(filter, needs);
	if (!error)
		error = allow_memory(filter);
	if (!error)
		error = allow_threads(filter);
	if (!error)
		error = allow_self(filter);
	return error ? error : allow_rings(filter);
}

/* The libraries that know of accounts are code: they are loaded when a name is first looked up in vain. */
static void load_account_libraries(void)
{
	getpwnam(":");
	getgrnam(":");
}
#endif

int privileges_sandbox(const struct privileges_needs *needs, struct error *error)
{
#if SANITIZED
	log_info(NULL, "sandbox: not in a build with a sanitizer");
	return 0;
#else
	scmp_filter_ctx filter;
	int code;

	load_account_libraries();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set(error, -errno, "sandbox: %s", strerror(errno));
	filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!filter)
		return error_set(error, -ENOMEM, "out of memory");
	code = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!code)
		code = add_rules(filter, needs);
	if (!code)
		code = seccomp_load(filter);
	seccomp_release(filter);
	return code ? error_set(error, code, "sandbox: %s; set sandbox = no in [daemon] to do without",
				strerror(-code))
		    : 0;
#endif
}
