/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/memory_guard.h"

#include <assert.h>
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

/* The kernel's limit is 65530 mappings (vm.max_map_count); each page replaced costs two. */
#define GUARDS_MAX 16384u
#define REPLACED_PAGES_MAX 8192u
/* Of 128 TiB of addresses on x86-64. */
#define BYTES_MAX (96ull << 40)
/* What one owner gets however greedy the others are. */
#define SHARE_MAPPINGS 64u
#define SHARE_BYTES (256ull << 30)

/* All atomic: read by the handler, which looks at `base` before and after the rest. */
struct guard {
	uintptr_t base;		/* 0 = free */
	size_t bytes, page_bytes;
	bool *lost;
	unsigned replaced;	/* pages */
};

/* Process-wide, because a signal handler has no context. Written under the lock, read by the handler. */
static struct guard guards[GUARDS_MAX];
static unsigned guards_used;	/* atomic; entries ever used */
static unsigned guard_count;	/* atomic; in use */
static uint64_t guard_bytes;	/* atomic; guarded */
static unsigned guard_faults;	/* atomic */
static unsigned replaced_pages;	/* atomic */
static pthread_mutex_t guards_lock = PTHREAD_MUTEX_INITIALIZER;

static bool put_zeroes(uintptr_t address, size_t bytes)
{
	return mmap((void *)address, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

/*
 * One page, so that the kernel goes on refusing the others with EFAULT instead of filling them. A guest that
 * makes us touch very many loses the whole mapping instead: that costs no further ones.
 */
static bool replace(struct guard *guard, uintptr_t base, uintptr_t address)
{
	size_t page_bytes = __atomic_load_n(&guard->page_bytes, __ATOMIC_RELAXED);

	if (__atomic_add_fetch(&replaced_pages, 1, __ATOMIC_RELAXED) <= REPLACED_PAGES_MAX) {
		__atomic_add_fetch(&guard->replaced, 1, __ATOMIC_RELAXED);
		return put_zeroes(align_down(address, page_bytes), page_bytes);
	}
	__atomic_sub_fetch(&replaced_pages, 1, __ATOMIC_RELAXED);
	return put_zeroes(base, __atomic_load_n(&guard->bytes, __ATOMIC_RELAXED));
}

/* Async-signal-safe: atomic loads and one mmap. The guard found cannot vanish: we are inside its mapping. */
static bool guard_fault(uintptr_t address)
{
	unsigned used = __atomic_load_n(&guards_used, __ATOMIC_ACQUIRE);

	for (unsigned i = 0; i < used; i++) {
		struct guard *guard = &guards[i];
		uintptr_t base = __atomic_load_n(&guard->base, __ATOMIC_ACQUIRE);
		size_t bytes = __atomic_load_n(&guard->bytes, __ATOMIC_ACQUIRE);
		bool *lost = __atomic_load_n(&guard->lost, __ATOMIC_ACQUIRE);

		if (base == 0 || address < base || address - base >= bytes)
			continue;
		/* Another one may have taken the entry between the loads. */
		if (__atomic_load_n(&guard->base, __ATOMIC_ACQUIRE) != base)
			continue;
		if (!replace(guard, base, address))
			return false;
		__atomic_store_n(lost, true, __ATOMIC_RELEASE);
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

bool memory_guard_admits(unsigned mappings, unsigned long long bytes, unsigned long long more)
{
	unsigned count = __atomic_load_n(&guard_count, __ATOMIC_RELAXED);
	uint64_t total = __atomic_load_n(&guard_bytes, __ATOMIC_RELAXED);
	bool fair = mappings < SHARE_MAPPINGS && checked_range(bytes, more, SHARE_BYTES);

	if (fair)
		return count < GUARDS_MAX && checked_range(total, more, BYTES_MAX);
	return count < GUARDS_MAX / 2 && checked_range(total, more, BYTES_MAX / 2);
}

static void occupy(struct guard *guard, void *base, size_t bytes, size_t page_bytes, bool *lost)
{
	assert(guard->base == 0);
	assert(is_aligned((uintptr_t)base, page_bytes));
	assert(is_aligned(bytes, page_bytes));
	__atomic_store_n(&guard->replaced, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&guard->bytes, bytes, __ATOMIC_RELAXED);
	__atomic_store_n(&guard->page_bytes, page_bytes, __ATOMIC_RELAXED);
	__atomic_store_n(&guard->lost, lost, __ATOMIC_RELAXED);
	__atomic_store_n(&guard->base, (uintptr_t)base, __ATOMIC_RELEASE);
	__atomic_add_fetch(&guard_count, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&guard_bytes, bytes, __ATOMIC_RELAXED);
}

int memory_guard_add(void *base, size_t bytes, size_t page_bytes, bool *lost)
{
	int error = -ENOSPC;

	assert(base && lost);
	assert(bytes > 0);
	assert(is_power_of_two(page_bytes));
	pthread_mutex_lock(&guards_lock);
	for (unsigned i = 0; i < GUARDS_MAX && guard_bytes <= BYTES_MAX && bytes <= BYTES_MAX - guard_bytes;
	     i++) {
		if (guards[i].base != 0)
			continue;
		occupy(&guards[i], base, bytes, page_bytes, lost);
		if (i >= guards_used)
			__atomic_store_n(&guards_used, i + 1, __ATOMIC_RELEASE);
		error = 0;
		break;
	}
	assert(guards_used <= GUARDS_MAX);
	assert(guard_count <= guards_used);
	pthread_mutex_unlock(&guards_lock);
	return error;
}

void memory_guard_remove(void *base)
{
	unsigned found = 0;

	assert(base);
	pthread_mutex_lock(&guards_lock);
	for (unsigned i = 0; i < guards_used; i++) {
		struct guard *guard = &guards[i];

		if (guard->base != (uintptr_t)base)
			continue;
		assert(guard_count > 0 && guard_bytes >= guard->bytes);
		assert(__atomic_load_n(&replaced_pages, __ATOMIC_RELAXED) >= guard->replaced);
		__atomic_store_n(&guard->base, 0, __ATOMIC_RELEASE);
		__atomic_sub_fetch(&replaced_pages, guard->replaced, __ATOMIC_RELAXED);
		__atomic_sub_fetch(&guard_count, 1, __ATOMIC_RELAXED);
		__atomic_sub_fetch(&guard_bytes, guard->bytes, __ATOMIC_RELAXED);
		found++;
	}
	assert(found <= 1);
	pthread_mutex_unlock(&guards_lock);
}

unsigned memory_guard_faults(void)
{
	return __atomic_load_n(&guard_faults, __ATOMIC_ACQUIRE);
}

static bool large_enough(int fd, unsigned long long min_bytes)
{
	struct stat status;

	return fstat(fd, &status) == 0 && status.st_size >= 0 &&
	       (unsigned long long)status.st_size >= min_bytes;
}

long memory_file_accept(int fd, unsigned long long min_bytes)
{
	struct statfs system;
	struct stat status;
	int seals = fcntl(fd, F_GET_SEALS);

	/*
	 * Answered for memory files only, and without a word to a file system that may never answer fstat().
	 */
	if (seals < 0)
		return -EBADF;
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || fstatfs(fd, &system) < 0)
		return -EBADF;
	if ((unsigned long)system.f_type != TMPFS_MAGIC && (unsigned long)system.f_type != HUGETLBFS_MAGIC)
		return -EBADF;
	if (!large_enough(fd, min_bytes))
		return -ERANGE;
	/*
	 * Adding a seal waits for whoever changes the file's size, looking at them does not: what the doorman
	 * sealed is left alone. Where sealing is not allowed the guard is what protects us.
	 */
	if (!(seals & (F_SEAL_SHRINK | F_SEAL_SEAL)))
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK);
	if (!large_enough(fd, min_bytes))
		return -ERANGE;
	return (unsigned long)system.f_type == HUGETLBFS_MAGIC ? (long)system.f_bsize : 4096;
}
