/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/memory_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "core/checked.h"

#ifndef HUGETLBFS_MAGIC
#define HUGETLBFS_MAGIC 0x958458f6
#endif

/* 512 regions for some hundred guests would not fit; guests have one to four in practice. */
#define GUARDS_MAX 8192

struct guard {
	uintptr_t base;		/* atomic; 0 = free */
	size_t bytes, page_bytes;
	bool *lost;
};

/* Process-wide, because a signal handler has no context. Written under the lock, read by the handler. */
static struct guard guards[GUARDS_MAX];
static unsigned guards_used;	/* atomic; entries ever used */
static unsigned guard_faults;	/* atomic */
static pthread_mutex_t guards_lock = PTHREAD_MUTEX_INITIALIZER;

/* Async-signal-safe: atomic loads and one mmap. The guard found cannot vanish: we are inside its mapping. */
static bool guard_fault(uintptr_t address)
{
	unsigned used = __atomic_load_n(&guards_used, __ATOMIC_ACQUIRE);

	for (unsigned i = 0; i < used; i++) {
		const struct guard *guard = &guards[i];
		uintptr_t base = __atomic_load_n(&guard->base, __ATOMIC_ACQUIRE);
		uintptr_t page;

		if (base == 0 || address < base || address - base >= guard->bytes)
			continue;
		page = align_down(address, guard->page_bytes);
		if (mmap((void *)page, guard->page_bytes, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
			return false;
		__atomic_store_n(guard->lost, true, __ATOMIC_RELEASE);
		__atomic_add_fetch(&guard_faults, 1, __ATOMIC_RELEASE);
		return true;
	}
	return false;
}

static void on_sigbus(int signal_number, siginfo_t *info, void *context)
{
	int saved = errno;

	/* Not ours: the default action happens when the access is repeated. */
	if (!guard_fault((uintptr_t)info->si_addr))
		signal(signal_number, SIG_DFL);
	errno = saved;
}

int memory_guard_install(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_NODEFER };

	sigemptyset(&action.sa_mask);
	return sigaction(SIGBUS, &action, NULL) < 0 ? -errno : 0;
}

int memory_guard_add(void *base, size_t bytes, size_t page_bytes, bool *lost)
{
	int error = -ENOSPC;

	pthread_mutex_lock(&guards_lock);
	for (unsigned i = 0; i < GUARDS_MAX; i++) {
		struct guard *guard = &guards[i];

		if (guard->base != 0)
			continue;
		guard->bytes = bytes;
		guard->page_bytes = page_bytes;
		guard->lost = lost;
		__atomic_store_n(&guard->base, (uintptr_t)base, __ATOMIC_RELEASE);
		if (i >= guards_used)
			__atomic_store_n(&guards_used, i + 1, __ATOMIC_RELEASE);
		error = 0;
		break;
	}
	pthread_mutex_unlock(&guards_lock);
	return error;
}

void memory_guard_remove(void *base)
{
	pthread_mutex_lock(&guards_lock);
	for (unsigned i = 0; i < guards_used; i++)
		if (guards[i].base == (uintptr_t)base)
			__atomic_store_n(&guards[i].base, 0, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&guards_lock);
}

unsigned memory_guard_faults(void)
{
	return __atomic_load_n(&guard_faults, __ATOMIC_ACQUIRE);
}

static bool large_enough(int fd, unsigned long long min_bytes)
{
	struct stat status;

	return fstat(fd, &status) == 0 && status.st_size >= 0 && (unsigned long long)status.st_size >= min_bytes;
}

long memory_file_accept(int fd, unsigned long long min_bytes)
{
	struct statfs system;
	struct stat status;

	/* Answered for memory files only, and without a word to a file system that may never answer fstat(). */
	if (fcntl(fd, F_GET_SEALS) < 0)
		return -EBADF;
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || fstatfs(fd, &system) < 0)
		return -EBADF;
	if ((unsigned long)system.f_type != TMPFS_MAGIC && (unsigned long)system.f_type != HUGETLBFS_MAGIC)
		return -EBADF;
	if (!large_enough(fd, min_bytes))
		return -ERANGE;
	/* Fails where sealing is not allowed or already sealed; then the guard is what protects us. */
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);
	if (!large_enough(fd, min_bytes))
		return -ERANGE;
	return (unsigned long)system.f_type == HUGETLBFS_MAGIC ? (long)system.f_bsize : 4096;
}
