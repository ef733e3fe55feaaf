/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/console/console_memory.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "core/clock.h"
#include "core/fd.h"

/* The file, mapped. */
struct file {
	int fd;
	uint8_t *map;
	size_t ring_bytes;
};

struct console_memory {
	pthread_mutex_t lock; /* of all that follows */
	struct file file;
};

static struct console_memory_header *header_of(const struct file *file)
{
	return (struct console_memory_header *)file->map;
}

/* ---- the file ---- */

static void file_close(struct file *file)
{
	munmap(file->map, CONSOLE_MEMORY_RING_AT + file->ring_bytes);
	fd_close(&file->fd);
}

/* Takes the descriptor. */
static int file_map(int fd, size_t ring_bytes, struct file *ret_file)
{
	void *map =
		mmap(NULL, CONSOLE_MEMORY_RING_AT + ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED) {
		int error = -errno;

		fd_close(&fd);
		return error;
	}
	*ret_file = (struct file){ .fd = fd, .map = map, .ring_bytes = ring_bytes };
	return 0;
}

static int file_create(size_t ring_bytes, struct file *ret_file)
{
	int fd = fd_memfd("viaduct-console", CONSOLE_MEMORY_RING_AT + ring_bytes), error;

	if (fd < 0)
		return fd;
	error = file_map(fd, ring_bytes, ret_file);
	if (!error)
		*header_of(ret_file) = (struct console_memory_header){ .magic = CONSOLE_MEMORY_MAGIC,
								       .life = clock_now_ns(),
								       .ring_bytes = ring_bytes };
	return error;
}

static bool is_sound(const struct file *file)
{
	const struct console_memory_header *header = header_of(file);

	return header->magic == CONSOLE_MEMORY_MAGIC && header->ring_bytes == file->ring_bytes &&
	       header->begin <= header->end && header->end - header->begin <= file->ring_bytes;
}

/* ---- the ring ---- */

static uint64_t begin_of(const struct file *file)
{
	return header_of(file)->begin;
}

/* How many bytes from a position on lie in one piece. */
static size_t until_wrap(const struct file *file, uint64_t position)
{
	return file->ring_bytes - (size_t)(position % file->ring_bytes);
}

static uint8_t *byte_at(const struct file *file, uint64_t position)
{
	return file->map + CONSOLE_MEMORY_RING_AT + position % file->ring_bytes;
}

static void put(struct file *file, const uint8_t *bytes, size_t count)
{
	struct console_memory_header *header = header_of(file);
	size_t first;

	if (count > file->ring_bytes) {
		bytes += count - file->ring_bytes;
		header->end += count - file->ring_bytes;
		count = file->ring_bytes;
	}
	first = until_wrap(file, header->end);
	if (first > count)
		first = count;
	memcpy(byte_at(file, header->end), bytes, first);
	memcpy(byte_at(file, header->end + first), bytes + first, count - first);
	header->end += count;
	if (header->end - header->begin > file->ring_bytes)
		header->begin = header->end - file->ring_bytes;
}

static size_t get(const struct file *file, uint64_t *position, uint8_t *to, size_t room)
{
	const struct console_memory_header *header = header_of(file);
	size_t first;

	if (*position < header->begin)
		*position = header->begin;
	if (*position >= header->end)
		return 0;
	if (room > header->end - *position)
		room = (size_t)(header->end - *position);
	first = until_wrap(file, *position);
	if (first > room)
		first = room;
	memcpy(to, byte_at(file, *position), first);
	memcpy(to + first, byte_at(file, *position + first), room - first);
	*position += room;
	return room;
}

/* The positions stay what they are. */
static void copy_ring(const struct file *from, struct file *to)
{
	uint64_t end = header_of(from)->end, position = begin_of(from);

	if (end - position > to->ring_bytes)
		position = end - to->ring_bytes;
	header_of(to)->begin = header_of(to)->end = position;
	header_of(to)->life = header_of(from)->life;
	while (position < end) {
		size_t part = until_wrap(from, position);

		if (part > end - position)
			part = (size_t)(end - position);
		put(to, byte_at(from, position), part);
		position += part;
	}
}

/* ---- for callers ---- */

static int create_around(struct file *file, struct console_memory **ret_memory)
{
	struct console_memory *memory = calloc(1, sizeof(*memory));

	if (!memory) {
		file_close(file);
		return -ENOMEM;
	}
	pthread_mutex_init(&memory->lock, NULL);
	memory->file = *file;
	*ret_memory = memory;
	return 0;
}

int console_memory_create(size_t bytes, struct console_memory **ret_memory)
{
	struct file file = { .fd = -1 };
	int error;

	assert(bytes >= CONSOLE_MEMORY_MIN && bytes <= CONSOLE_MEMORY_MAX);
	error = file_create(bytes, &file);
	return error ? error : create_around(&file, ret_memory);
}

int console_memory_adopt(int fd, struct console_memory **ret_memory)
{
	struct stat status;
	struct file file = { .fd = -1 };
	size_t bytes;
	int error;

	if (fstat(fd, &status) < 0 || status.st_size < CONSOLE_MEMORY_RING_AT + CONSOLE_MEMORY_MIN ||
	    status.st_size > CONSOLE_MEMORY_RING_AT + CONSOLE_MEMORY_MAX) {
		fd_close(&fd);
		return -EBADMSG;
	}
	bytes = (size_t)status.st_size - CONSOLE_MEMORY_RING_AT;
	error = file_map(fd, bytes, &file);
	if (error)
		return error;
	if (!is_sound(&file)) {
		file_close(&file);
		return -EBADMSG;
	}
	return create_around(&file, ret_memory);
}

void console_memory_destroy(struct console_memory *memory)
{
	if (!memory)
		return;
	file_close(&memory->file);
	pthread_mutex_destroy(&memory->lock);
	free(memory);
}

int console_memory_resize(struct console_memory *memory, size_t bytes)
{
	struct file before = memory->file, now = { .fd = -1 };
	int error;

	assert(bytes >= CONSOLE_MEMORY_MIN && bytes <= CONSOLE_MEMORY_MAX);
	error = bytes == before.ring_bytes ? 0 : file_create(bytes, &now);
	if (error || bytes == before.ring_bytes)
		return error;
	pthread_mutex_lock(&memory->lock);
	copy_ring(&before, &now);
	memory->file = now;
	pthread_mutex_unlock(&memory->lock);
	file_close(&before);
	return 0;
}

uint64_t console_memory_life(const struct console_memory *memory)
{
	return header_of(&memory->file)->life;
}

size_t console_memory_size(const struct console_memory *memory)
{
	return memory->file.ring_bytes;
}

int console_memory_fd(const struct console_memory *memory)
{
	return memory->file.fd;
}

void console_memory_write(struct console_memory *memory, const uint8_t *bytes, size_t count)
{
	while (count > 0) {
		size_t piece = count < CONSOLE_MEMORY_PIECE ? count : CONSOLE_MEMORY_PIECE;

		pthread_mutex_lock(&memory->lock);
		put(&memory->file, bytes, piece);
		pthread_mutex_unlock(&memory->lock);
		bytes += piece;
		count -= piece;
	}
}

void console_memory_span(struct console_memory *memory, uint64_t *ret_begin, uint64_t *ret_end)
{
	pthread_mutex_lock(&memory->lock);
	*ret_begin = begin_of(&memory->file);
	*ret_end = header_of(&memory->file)->end;
	pthread_mutex_unlock(&memory->lock);
}

size_t console_memory_read(struct console_memory *memory, uint64_t *position, uint8_t *to, size_t room)
{
	size_t count;

	pthread_mutex_lock(&memory->lock);
	count = get(&memory->file, position, to, room < CONSOLE_MEMORY_PIECE ? room : CONSOLE_MEMORY_PIECE);
	pthread_mutex_unlock(&memory->lock);
	return count;
}
