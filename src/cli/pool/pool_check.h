/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks a pool's metadata from outside: the only part of the command that opens a physical disk itself. */
#ifndef VIADUCT_CLI_POOL_POOL_CHECK_H
#define VIADUCT_CLI_POOL_POOL_CHECK_H

#include <stdbool.h>
#include <stdint.h>

/* severity: 0 information, 1 repaired when opened, 2 damage. */
typedef void pool_check_report(void *context, int severity, uint64_t offset_bytes, const char *text);

/*
 * Opens a file or block device read-only and locked, and calls report() for each finding. Returns the number
 * of problems (findings of severity > 0), or -errno; *ret_opened tells whether it could be opened (-EBUSY: in
 * use).
 */
int pool_check_file(const char *path, pool_check_report *report, void *context, bool *ret_opened);

#endif
