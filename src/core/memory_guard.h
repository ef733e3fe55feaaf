/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mappings of files that another process can truncate. Touching a page that the file no longer has raises
 * SIGBUS; the guard's handler then maps zeroes under the access, marks the mapping as lost and returns,
 * so that the access goes on harmlessly and the owner notices at its next look. Nothing is unwound.
 *
 * Mappings and addresses are the process's, and a guest may want all of them (512 regions, each of terabytes
 * of an empty file): memory_guard_admits() is what keeps some for the others.
 */
#ifndef VIADUCT_CORE_MEMORY_GUARD_H
#define VIADUCT_CORE_MEMORY_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/* Installs the handler. Process-wide, once, before threads start. Returns 0 or -errno. */
int memory_guard_install(void);

/*
 * Guards [base, base + bytes), mapped with pages of page_bytes; *lost becomes true (atomic) on the first
 * fault. Any thread. Returns 0, or -ENOSPC when too many mappings are guarded. `lost` outlives the guard.
 */
int memory_guard_add(void *base, size_t bytes, size_t page_bytes, bool *lost);

/*
 * May an owner that has `mappings` of `bytes` bytes in all guard one more of `more` bytes? Up to a fair share
 * always, as long as there is any room; beyond it only while half of everything is free. Any thread.
 */
bool memory_guard_admits(unsigned mappings, unsigned long long bytes, unsigned long long more);

/* Before munmap(). No other thread touches the mapping any more. */
void memory_guard_remove(void *base);

/* Faults served so far: while the number stays the same, nothing was lost. Any thread. */
unsigned memory_guard_faults(void);

/*
 * Is this a regular file of memfd, tmpfs or hugetlbfs with at least min_bytes bytes? Seals it against
 * shrinking where the kernel allows it and looks at the size again. Returns its page size in bytes (> 0),
 * -EBADF (not a memory file) or -ERANGE (too small).
 */
long memory_file_accept(int fd, unsigned long long min_bytes);

#endif
