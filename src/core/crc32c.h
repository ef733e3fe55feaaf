/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CRC32C (Castagnoli, reflected polynomial 0x82f63b78, as in iSCSI, RFC 3720 appendix B.4): the checksum
 * of the pool's metadata. Uses the processor's instruction where there is one.
 */
#ifndef VIADUCT_CORE_CRC32C_H
#define VIADUCT_CORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Checksum of `bytes` bytes. Start with crc = 0; the result of one part is the `crc` of the next. */
uint32_t crc32c(uint32_t crc, const void *data, size_t bytes);

/* The same from a table, on every processor: what crc32c() falls back to, and what tests compare it with. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t bytes);

#endif
