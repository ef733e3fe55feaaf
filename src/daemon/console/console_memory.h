/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest said last on its console: a ring of the last bytes, in a memory file that a successor takes
 * over as it is.
 *
 * Bytes have positions, counted from the first one that the console ever said; a reader remembers where it
 * is, and finds out by that what it has missed. The guest's output comes on one thread, readers are on
 * another: a lock is held for the copying, 64 KiB at most, so a guest waits for readers no longer than that.
 *
 * The file: struct console_memory_header, then at CONSOLE_MEMORY_RING_AT the ring; the byte at position p is
 * at p modulo the ring's size.
 */
#ifndef VIADUCT_DAEMON_CONSOLE_CONSOLE_MEMORY_H
#define VIADUCT_DAEMON_CONSOLE_CONSOLE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#define CONSOLE_MEMORY_MIN     4096u
#define CONSOLE_MEMORY_MAX     (16u << 20)
#define CONSOLE_MEMORY_RING_AT 4096u
#define CONSOLE_MEMORY_MAGIC   0x31656c6f736e6f63ull
/* One copy under the lock is no longer. */
#define CONSOLE_MEMORY_PIECE ((size_t)64 * 1024)

struct console_memory_header {
	uint64_t magic;
	uint64_t ring_bytes;
	uint64_t begin, end; /* positions of what is remembered */
	uint64_t life;	     /* of positions: another daemon's begin anew; a successor goes on */
};

_Static_assert(sizeof(struct console_memory_header) == 40, "the layout of what is taken over");

struct console_memory;

/* `bytes`: from CONSOLE_MEMORY_MIN to CONSOLE_MEMORY_MAX. Returns 0, -ENOMEM, or -errno of the memory file.
 */
int console_memory_create(size_t bytes, struct console_memory **ret_memory);
/*
 * The memory that a predecessor handed over, as it is. Takes the descriptor in any case. Returns 0, -EBADMSG
 * (it is no such file), or -errno.
 */
int console_memory_adopt(int fd, struct console_memory **ret_memory);
/* NULL is allowed. */
void console_memory_destroy(struct console_memory *memory);

/* Another size: what is remembered stays, as much of its end as there is room for. Returns as create(). */
int console_memory_resize(struct console_memory *memory, size_t bytes);
/* Tells the positions of one daemon and its successors from those of another one. */
uint64_t console_memory_life(const struct console_memory *memory);
size_t console_memory_size(const struct console_memory *memory);
/* To be handed over; stays the memory's. */
int console_memory_fd(const struct console_memory *memory);

/* Any thread. */
void console_memory_write(struct console_memory *memory, const uint8_t *bytes, size_t count);
/* Positions of the first byte that is remembered and of the next one to come. Any thread. */
void console_memory_span(struct console_memory *memory, uint64_t *ret_begin, uint64_t *ret_end);
/*
 * Copies what there is from *position on, at most `room` and CONSOLE_MEMORY_PIECE bytes, and moves *position
 * behind it. A position that is no longer remembered moves to the oldest byte first; one beyond the end is
 * left. Returns how many bytes were copied. Any thread.
 */
size_t console_memory_read(struct console_memory *memory, uint64_t *position, uint8_t *to, size_t room);

#endif
