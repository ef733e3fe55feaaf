/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the log of the active area: the reading side of pool_journal.h. */
#ifndef VIADUCT_ARBITER_POOL_POOL_LOG_H
#define VIADUCT_ARBITER_POOL_POOL_LOG_H

#include "arbiter/pool/pool_load.h"

/*
 * Finds where the log ends and applies its records to image->ledger, unless damage was reported before (then
 * the records are only looked at). Sets image->next_sequence and image->log_used_blocks.
 *
 * A record counts when one mirror holds it. Where neither does, the log ends, because a record is written
 * only after the one before it is durable in both; so a sound record behind such a place means damage.
 * Returns 0 (also when damage was reported), -ENOMEM, or the disk's error where it makes the end uncertain.
 */
int pool_log_replay(struct host_disk *host, struct pool_reporter *reporter, struct pool_image *image);

#endif
