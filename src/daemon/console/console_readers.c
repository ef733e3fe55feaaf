/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/console/console_readers.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "core/container.h"
#include "core/loop.h"
#include "core/stats.h"
#include "daemon/console/console_memory.h"

struct console_readers {
	struct loop *control;
	struct console_memory *memory;
	struct console_reader *first;
	unsigned count;		    /* atomic */
	struct loop_message spoken; /* from the guest's thread */
	bool posted;		    /* atomic: it is on its way */
	bool destroyed;		    /* freed when it has arrived */
	struct counter missed_bytes;
};

static void readers_free(struct console_readers *readers)
{
	console_memory_destroy(readers->memory);
	free(readers);
}

/* A reader may close itself when it is told. */
static void tell(struct console_readers *readers)
{
	struct console_reader *next;

	for (struct console_reader *reader = readers->first; reader; reader = next) {
		next = reader->next;
		reader->ready(reader);
	}
}

static void on_spoken(struct loop_message *message)
{
	struct console_readers *readers = container_of(message, struct console_readers, spoken);

	/* What is said from here on posts it again. */
	__atomic_store_n(&readers->posted, false, __ATOMIC_SEQ_CST);
	if (readers->destroyed)
		readers_free(readers);
	else
		tell(readers);
}

int console_readers_create(struct loop *control, struct console_memory *memory,
			   struct console_readers **ret_readers)
{
	struct console_readers *readers = calloc(1, sizeof(*readers));

	if (!readers)
		return -ENOMEM;
	*readers = (struct console_readers){ .control = control, .memory = memory, .spoken.run = on_spoken };
	*ret_readers = readers;
	return 0;
}

void console_readers_destroy(struct console_readers *readers)
{
	if (!readers)
		return;
	while (readers->first) {
		struct console_reader *reader = readers->first;

		console_reader_close(reader);
		reader->ready(reader);
	}
	readers->destroyed = true;
	if (!__atomic_load_n(&readers->posted, __ATOMIC_SEQ_CST))
		readers_free(readers);
}

struct console_memory *console_readers_memory(const struct console_readers *readers)
{
	return readers->memory;
}

uint64_t console_readers_missed(const struct console_readers *readers)
{
	return counter_read(&readers->missed_bytes);
}

unsigned console_readers_count(const struct console_readers *readers)
{
	return __atomic_load_n(&readers->count, __ATOMIC_SEQ_CST);
}

/*
 * A reader that comes now finds the bytes in the memory, whose lock orders its look at them behind the count:
 * it was counted before it looked.
 */
void console_readers_write(struct console_readers *readers, const uint8_t *bytes, size_t count)
{
	console_memory_write(readers->memory, bytes, count);
	if (console_readers_count(readers) > 0 &&
	    !__atomic_exchange_n(&readers->posted, true, __ATOMIC_SEQ_CST))
		loop_post(readers->control, &readers->spoken);
}

/* ---- one reader ---- */

uint64_t console_reader_open(struct console_reader *reader, struct console_readers *readers,
			     uint64_t position)
{
	uint64_t begin, end;

	reader->readers = readers;
	reader->next = readers->first;
	readers->first = reader;
	__atomic_add_fetch(&readers->count, 1, __ATOMIC_SEQ_CST);
	console_memory_span(readers->memory, &begin, &end);
	reader->position = position >= begin && position <= end ? position
			   : position == CONSOLE_READER_AT_END	? end
								: begin;
	return reader->position;
}

ssize_t console_reader_read(struct console_reader *reader, uint8_t *to, size_t room)
{
	uint64_t position = reader->position;
	size_t count;

	if (!reader->readers)
		return -ENODEV;
	count = console_memory_read(reader->readers->memory, &reader->position, to, room);
	if (reader->position - count == position)
		return (ssize_t)count;
	reader->position -= count;
	counter_add(&reader->readers->missed_bytes, reader->position - position);
	return -EPIPE;
}

void console_reader_close(struct console_reader *reader)
{
	struct console_readers *readers = reader->readers;
	struct console_reader **link;

	if (!readers)
		return;
	for (link = &readers->first; *link != reader; link = &(*link)->next)
		assert(*link);
	*link = reader->next;
	reader->readers = NULL;
	__atomic_sub_fetch(&readers->count, 1, __ATOMIC_SEQ_CST);
}
