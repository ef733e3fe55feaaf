/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bounded memory in which records wait: many threads put them in, one takes them out. Room is reserved under
 * a lock, and the record is written without it; records are taken in the order of their reservations, up to
 * the first that is not written yet.
 */
#ifndef VIADUCT_ARBITER_SWITCH_BACKLOG_H
#define VIADUCT_ARBITER_SWITCH_BACKLOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/stats.h"

struct backlog {
	pthread_mutex_t lock;
	uint8_t *memory;
	uint32_t size_bytes;
	uint32_t head, tail; /* offsets of the first record and of the next one */
	uint32_t used;	     /* atomic; the lock for writing */
	struct counter full; /* records that found no room; the lock for writing */
};

/* Where the taker looks. */
struct backlog_cursor {
	uint32_t offset;
	uint32_t passed; /* bytes between the first record and this place */
	uint32_t used;	 /* bytes in use when the taker began to look */
};

/* Pages are there when records wait, and not before. A multiple of 8. Returns 0 or -ENOMEM. */
int backlog_init(struct backlog *backlog, uint32_t size_bytes);
void backlog_finish(struct backlog *backlog);

/* ---- any thread ---- */

/*
 * Room for a record, aligned to 8 bytes; NULL: there is none, and one more is counted as lost. Nothing behind
 * the record is taken before backlog_ready() was called for it.
 */
void *backlog_reserve(struct backlog *backlog, uint32_t bytes);
void backlog_ready(void *record);
bool backlog_empty(const struct backlog *backlog);
/* Bytes in use. */
uint32_t backlog_used(const struct backlog *backlog);

/* ---- the taker's thread ---- */

/* At the first record that waits. */
struct backlog_cursor backlog_begin(const struct backlog *backlog);
/* The record at the cursor, which moves behind it; NULL: no more are written. They stay until released. */
void *backlog_next(const struct backlog *backlog, struct backlog_cursor *cursor, uint32_t *ret_bytes);
/* Gives up the room of all records in front of the cursor. */
void backlog_release(struct backlog *backlog, const struct backlog_cursor *cursor);

#endif
