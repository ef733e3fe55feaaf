/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The filter of system calls, each look at it in a process of its own: a filter stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xf86drm.h>

#include "core/clock.h"
#include "core/error.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/loop_ring.h"
#include "daemon/privileges.h"
#include "patience.h"

#define PAGE 4096u

/* A system call and its arguments. */
struct call {
	const char *name;
	long number;
	unsigned long arguments[6];
};

static bool is_filtered(void)
{
	char line[128];
	bool filtered = false;
	FILE *status = fopen("/proc/self/status", "re");

	while (status && fgets(line, sizeof(line), status))
		filtered |= strcmp(line, "Seccomp:\t2\n") == 0;
	if (status)
		fclose(status);
	return filtered;
}

static const struct privileges_needs nothing;

enum { CHILD_OK, CHILD_FAILED, CHILD_NO_SANDBOX };

/* Runs `body` behind the filter; skips the test in a build that has none. */
static void behind_filter(struct privileges_needs needs, bool (*body)(void))
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		struct error error;

		log_set_level(LOG_LEVEL_ERROR);
		if (privileges_sandbox(&needs, &error) < 0)
			_exit(CHILD_FAILED);
		if (!is_filtered())
			_exit(CHILD_NO_SANDBOX);
		_exit(body() ? CHILD_OK : CHILD_FAILED);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == CHILD_NO_SANDBOX) {
		fputs("a build with a sanitizer has no filter\n", stderr);
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), CHILD_OK);
}

static long run_call(const struct call *call)
{
	const unsigned long *arguments = call->arguments;

	return syscall(call->number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
		       arguments[5]);
}

static bool is_forbidden(const struct call *call)
{
	long result;

	errno = 0;
	result = run_call(call);
	if (result == -1 && errno == EPERM)
		return true;
	fprintf(stderr, "%s is answered with %ld (%s)\n", call->name, result, strerror(errno));
	return false;
}

static bool all_forbidden(const struct call *calls, size_t count)
{
	bool forbidden = true;

	for (size_t i = 0; i < count; i++)
		forbidden &= is_forbidden(&calls[i]);
	return forbidden;
}

#define FORBIDDEN(calls) all_forbidden(calls, sizeof(calls) / sizeof((calls)[0]))

/* Root may do each of these, and so could tell an answer of the filter from one of the kernel. */
static bool no_other_process(void)
{
	unsigned long parent = (unsigned long)getppid(), self = (unsigned long)getpid();
	struct rlimit limit = { .rlim_cur = 16, .rlim_max = 16 };
	char byte;
	const struct call calls[] = {
		{ "kill of the parent", SYS_kill, { parent, 0 } },
		{ "kill of itself", SYS_kill, { self, 0 } },
		{ "tgkill of the parent", SYS_tgkill, { parent, parent, 0 } },
		{ "tkill", SYS_tkill, { parent, 0 } },
		{ "rt_sigqueueinfo", SYS_rt_sigqueueinfo, { parent, 0, (unsigned long)&byte } },
		{ "pidfd_open", SYS_pidfd_open, { parent, 0 } },
		{ "ptrace", SYS_ptrace, { PTRACE_SEIZE, parent, 0, 0 } },
		{ "process_vm_readv", SYS_process_vm_readv, { parent, 0, 0, 0, 0, 0 } },
		{ "prlimit of the parent",
		  SYS_prlimit64,
		  { parent, RLIMIT_NOFILE, 0, (unsigned long)&limit } },
		{ "a new limit", SYS_prlimit64, { 0, RLIMIT_NOFILE, (unsigned long)&limit, 0 } },
		{ "sched_setaffinity", SYS_sched_setaffinity, { parent, 8, (unsigned long)&limit } },
		{ "signals of a descriptor", SYS_fcntl, { 1, F_SETOWN, parent } },
		{ "which signal", SYS_fcntl, { 1, F_SETSIG, SIGKILL } },
		{ "signals of a socket", SYS_ioctl, { 1, FIOSETOWN, (unsigned long)&parent } },
		{ "typing into a terminal", SYS_ioctl, { 1, TIOCSTI, (unsigned long)&byte } },
	};

	return FORBIDDEN(calls);
}

static bool no_new_process(void)
{
	static const unsigned long thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
	const struct call calls[] = {
		{ "clone of a process", SYS_clone, { SIGCHLD } },
		{ "fork", SYS_fork, { 0 } },
		{ "vfork", SYS_vfork, { 0 } },
		{ "a user namespace", SYS_clone, { CLONE_NEWUSER | SIGCHLD } },
		{ "a thread in a network namespace", SYS_clone, { thread | CLONE_NEWNET } },
		{ "a traced thread", SYS_clone, { thread | CLONE_PTRACE } },
		{ "unshare", SYS_unshare, { CLONE_NEWUSER } },
		{ "setns", SYS_setns, { 0, 0 } },
		{ "execve", SYS_execve, { (unsigned long)"/bin/true", 0, 0 } },
	};
	const struct call clone3 = { "clone3", SYS_clone3, { 0, 0 } };

	return FORBIDDEN(calls) && run_call(&clone3) == -1 && errno == ENOSYS;
}

static bool no_new_code(void)
{
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct call calls[] = {
		{ "mmap of code",
		  SYS_mmap,
		  { 0, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1ul } },
		{ "mprotect to code", SYS_mprotect, { (unsigned long)page, PAGE, PROT_READ | PROT_EXEC } },
		{ "pkey_mprotect to code",
		  SYS_pkey_mprotect,
		  { (unsigned long)page, PAGE, PROT_EXEC, -1ul } },
		{ "another personality", SYS_personality, { 0x0400000 } },
	};

	return page != MAP_FAILED && FORBIDDEN(calls) && mprotect(page, PAGE, PROT_READ) == 0 &&
	       munmap(page, PAGE) == 0;
}

static bool no_flags_of_its_own(void)
{
	static const struct call calls[] = {
		{ "PR_SET_DUMPABLE", SYS_prctl, { PR_SET_DUMPABLE, 1 } },
		{ "PR_SET_PTRACER", SYS_prctl, { PR_SET_PTRACER, -1ul } },
		{ "PR_SET_PDEATHSIG", SYS_prctl, { PR_SET_PDEATHSIG, 0 } },
		{ "PR_SET_MM", SYS_prctl, { PR_SET_MM, 0 } },
		{ "PR_SET_SECCOMP", SYS_prctl, { PR_SET_SECCOMP, 2, 0 } },
		{ "setuid", SYS_setuid, { 0 } },
		{ "capset", SYS_capset, { 0, 0 } },
	};

	return FORBIDDEN(calls) && prctl(PR_SET_NAME, "named") == 0;
}

static bool no_other_files(void)
{
	static const struct call calls[] = {
		{ "symlink", SYS_symlink, { (unsigned long)"/etc", (unsigned long)"/tmp/viaduct-no" } },
		{ "setxattr", SYS_setxattr, { (unsigned long)"/tmp", (unsigned long)"user.x", 0, 0, 0 } },
		{ "mknod", SYS_mknod, { (unsigned long)"/tmp/viaduct-no", 0100600, 0 } },
		{ "mount", SYS_mount, { 0, (unsigned long)"/tmp", (unsigned long)"tmpfs", 0, 0 } },
		{ "splice", SYS_splice, { 0, 0, 1, 0, 1, 0 } },
		{ "open_by_handle_at", SYS_open_by_handle_at, { 0, 0, 0 } },
	};

	return FORBIDDEN(calls);
}

static bool no_new_rings(void)
{
	struct io_uring_params params = { .flags = IORING_SETUP_R_DISABLED };
	struct loop_options options = { .name = "late" };
	struct loop *loop;
	const struct call calls[] = {
		{ "io_uring_setup", SYS_io_uring_setup, { 8, (unsigned long)&params } },
		{ "buffers of a ring", SYS_io_uring_register, { -1ul, IORING_REGISTER_BUFFERS, 0, 0 } },
		{ "an identity of a ring",
		  SYS_io_uring_register,
		  { -1ul, IORING_REGISTER_PERSONALITY, 0, 0 } },
		{ "restrictions of a ring",
		  SYS_io_uring_register,
		  { -1ul, IORING_REGISTER_RESTRICTIONS, 0, 0 } },
		{ "a message to a ring", SYS_io_uring_register, { -1ul, 31, 0, 1 } },
	};

	return FORBIDDEN(calls) && loop_create(&options, &loop) == -EPERM;
}

static bool unix_sockets_only(void)
{
	static const struct call calls[] = {
		{ "IPv4", SYS_socket, { AF_INET, SOCK_STREAM, 0 } },
		{ "IPv6", SYS_socket, { AF_INET6, SOCK_DGRAM, 0 } },
		{ "raw IPv4", SYS_socket, { AF_INET, SOCK_RAW, IPPROTO_ICMP } },
		{ "packets", SYS_socket, { AF_PACKET, SOCK_RAW, 0 } },
		{ "routes", SYS_socket, { AF_NETLINK, SOCK_RAW, NETLINK_ROUTE } },
		{ "messages with ends", SYS_socket, { AF_UNIX, SOCK_SEQPACKET, 0 } },
		{ "virtual sockets", SYS_socket, { AF_VSOCK, SOCK_STREAM, 0 } },
		{ "ciphers", SYS_socket, { AF_ALG, SOCK_SEQPACKET, 0 } },
		{ "a pair of streams", SYS_socketpair, { AF_TIPC, SOCK_STREAM, 0, 0 } },
	};

	return FORBIDDEN(calls) && socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) >= 0 &&
	       socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) >= 0;
}

static bool internet_and_interfaces(void)
{
	static const struct call calls[] = {
		{ "raw IPv4", SYS_socket, { AF_INET, SOCK_RAW, IPPROTO_ICMP } },
		{ "multipath TCP", SYS_socket, { AF_INET, SOCK_STREAM, 262 } },
		{ "SCTP", SYS_socket, { AF_INET6, SOCK_STREAM, IPPROTO_SCTP } },
		{ "packets", SYS_socket, { AF_PACKET, SOCK_RAW, 0 } },
		{ "sockets of others", SYS_socket, { AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG } },
		{ "the audit system", SYS_socket, { AF_NETLINK, SOCK_RAW, NETLINK_AUDIT } },
		{ "events of devices", SYS_socket, { AF_NETLINK, SOCK_DGRAM, NETLINK_KOBJECT_UEVENT } },
	};

	return FORBIDDEN(calls) && socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0 &&
	       socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, IPPROTO_UDP) >= 0 &&
	       socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE) >= 0;
}

/* ---- devices of a desk ---- */

static const struct call card_calls[] = {
	{ "to be a card's master", SYS_ioctl, { -1ul, DRM_IOCTL_SET_MASTER } },
	{ "a monitor's modes", SYS_ioctl, { -1ul, DRM_IOCTL_MODE_GETCONNECTOR } },
	{ "an atomic commit", SYS_ioctl, { -1ul, DRM_IOCTL_MODE_ATOMIC } },
	{ "a page flip", SYS_ioctl, { -1ul, DRM_IOCTL_MODE_PAGE_FLIP } },
};

static const struct call input_calls[] = {
	{ "a grab", SYS_ioctl, { -1ul, EVIOCGRAB, 1 } },
	{ "a device's keys", SYS_ioctl, { -1ul, EVIOCGKEY(KEY_CNT / 8) } },
	{ "a device's name", SYS_ioctl, { -1ul, EVIOCGNAME(17) } },
	{ "an axis", SYS_ioctl, { -1ul, EVIOCGABS(ABS_Y) } },
};

/* More than looking and showing, or than listening. */
static const struct call device_calls[] = {
	{ "memory of another's card", SYS_ioctl, { -1ul, DRM_IOCTL_PRIME_HANDLE_TO_FD } },
	{ "a card's buffer by its name", SYS_ioctl, { -1ul, DRM_IOCTL_GEM_OPEN } },
	{ "a lease of a card", SYS_ioctl, { -1ul, DRM_IOCTL_MODE_CREATE_LEASE } },
	{ "a device that is taken from others", SYS_ioctl, { -1ul, EVIOCREVOKE, 0 } },
	{ "a key that means another", SYS_ioctl, { -1ul, EVIOCSKEYCODE } },
	{ "a device that shakes", SYS_ioctl, { -1ul, EVIOCSFF } },
};

/* They fail because there is no such descriptor. */
static bool all_allowed(const struct call *calls, size_t count)
{
	bool allowed = true;

	for (size_t i = 0; i < count; i++)
		allowed &= run_call(&calls[i]) == -1 && errno == EBADF;
	return allowed;
}

#define ALLOWED(calls) all_allowed(calls, sizeof(calls) / sizeof((calls)[0]))

static bool no_device(void)
{
	return FORBIDDEN(card_calls) && FORBIDDEN(input_calls) && FORBIDDEN(device_calls);
}

static bool cards_only(void)
{
	return ALLOWED(card_calls) && FORBIDDEN(input_calls) && FORBIDDEN(device_calls);
}

static bool input_only(void)
{
	return FORBIDDEN(card_calls) && ALLOWED(input_calls) && FORBIDDEN(device_calls);
}

/* ---- what the daemon does ---- */

static struct loop *early_loop;

static void *thread_main(void *context)
{
	*(bool *)context = true;
	return NULL;
}

static bool use_loop(void)
{
	int fd = loop_file_register(early_loop, 1);

	if (fd < 0 || loop_turn(early_loop, 0) != 0)
		return false;
	loop_file_unregister(early_loop, fd);
	return true;
}

static bool what_is_needed(void)
{
	struct rlimit limit;
	bool ran = false;
	pthread_t thread;

	if (pthread_create(&thread, NULL, thread_main, &ran) != 0 || pthread_join(thread, NULL) != 0 || !ran)
		return false;
	return use_loop() && syscall(SYS_tgkill, getpid(), gettid(), 0) == 0 && fcntl(1, F_GETFL) >= 0 &&
	       fcntl(1, F_SETFD, FD_CLOEXEC) == 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	       getpwnam("root") != NULL && getpwnam("no-such-account") == NULL;
}

static void test_other_processes(void **state)
{
	behind_filter(nothing, no_other_process);
}

static void test_new_processes(void **state)
{
	behind_filter(nothing, no_new_process);
}

static void test_new_code(void **state)
{
	behind_filter(nothing, no_new_code);
}

static void test_flags_of_its_own(void **state)
{
	behind_filter(nothing, no_flags_of_its_own);
}

static void test_files(void **state)
{
	behind_filter(nothing, no_other_files);
}

static void test_rings(void **state)
{
	behind_filter(nothing, no_new_rings);
}

static void test_sockets(void **state)
{
	behind_filter(nothing, unix_sockets_only);
	behind_filter((struct privileges_needs){ .internet = true, .interfaces = true },
		      internet_and_interfaces);
}

static void test_devices(void **state)
{
	behind_filter(nothing, no_device);
	behind_filter((struct privileges_needs){ .screens = true }, cards_only);
	behind_filter((struct privileges_needs){ .input = true }, input_only);
}

static void test_what_is_needed(void **state)
{
	struct loop_options options = { .name = "early" };

	assert_int_equal(loop_create(&options, &early_loop), 0);
	behind_filter(nothing, what_is_needed);
	loop_destroy(early_loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_other_processes), cmocka_unit_test(test_new_processes),
		cmocka_unit_test(test_new_code),	cmocka_unit_test(test_flags_of_its_own),
		cmocka_unit_test(test_files),		cmocka_unit_test(test_rings),
		cmocka_unit_test(test_sockets),		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_what_is_needed),
	};

	return cmocka_run_group_tests_name("privileges_filter", tests, NULL, NULL);
}
