/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A console's memory, and those who read along. The guest says something on whatever thread serves it;
 * readers are the control thread's, and hear of it there. One that reads slower than the guest speaks misses
 * what has been forgotten meanwhile, and is told; the guest and the other readers do not notice.
 */
#ifndef VIADUCT_DAEMON_CONSOLE_CONSOLE_READERS_H
#define VIADUCT_DAEMON_CONSOLE_CONSOLE_READERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct console_memory;
struct console_readers;
struct loop;

/* Takes the memory; on failure (-ENOMEM) it stays the caller's. */
int console_readers_create(struct loop *control, struct console_memory *memory,
			   struct console_readers **ret_readers);
/* The guest says nothing any more. Readers are told that it is over. NULL is allowed. */
void console_readers_destroy(struct console_readers *readers);

struct console_memory *console_readers_memory(const struct console_readers *readers);

/* The guest says something: on one thread at a time. */
void console_readers_write(struct console_readers *readers, const uint8_t *bytes, size_t count);
unsigned console_readers_count(const struct console_readers *readers);
/* Bytes that readers were too slow for, added up. */
uint64_t console_readers_missed(const struct console_readers *readers);

/* ---- one reader; control thread ---- */

/* Embedded in what reads. */
struct console_reader {
	/* There is something, or it is over: after console_reader_read() found nothing. */
	void (*ready)(struct console_reader *reader);
	/* private */
	struct console_readers *readers; /* NULL: it is over */
	struct console_reader *next;
	uint64_t position;
};

/* A position that is never one of the guest's: only what it says from now on is read. */
#define CONSOLE_READER_AT_END UINT64_MAX

/*
 * Reads from this position on, or from the oldest byte when it is not one of those remembered: it is
 * forgotten, or another life of the console's. Returns where it begins.
 */
uint64_t console_reader_open(struct console_reader *reader, struct console_readers *readers,
			     uint64_t position);
/*
 * Copies up to `room` bytes; returns how many, 0: there are none now; -EPIPE: it has missed some, and
 * reader->position is where it could go on; -ENODEV: it is over.
 */
ssize_t console_reader_read(struct console_reader *reader, uint8_t *to, size_t room);
void console_reader_close(struct console_reader *reader);

#endif
