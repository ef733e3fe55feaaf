/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arbiter/switch/backlog.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

#include "core/checked.h"

/* In front of each record, at a multiple of 8. */
struct record_head {
	uint32_t room;	/* with the head, up to the next one; of a gap: up to the end of the memory */
	uint32_t bytes; /* of the record */
	bool ready;	/* atomic: it is written */
	bool gap;	/* no record: the next one begins at the beginning of the memory */
	uint8_t unused[6];
};

static_assert(sizeof(struct record_head) % 8 == 0, "records are aligned");

int backlog_init(struct backlog *backlog, uint32_t size_bytes)
{
	void *memory = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert(is_aligned(size_bytes, 8));
	if (memory == MAP_FAILED)
		return -ENOMEM;
	*backlog = (struct backlog){ .memory = memory, .size_bytes = size_bytes };
	pthread_mutex_init(&backlog->lock, NULL);
	return 0;
}

void backlog_finish(struct backlog *backlog)
{
	pthread_mutex_destroy(&backlog->lock);
	munmap(backlog->memory, backlog->size_bytes);
}

static struct record_head *head_at(const struct backlog *backlog, uint32_t offset)
{
	assert(offset < backlog->size_bytes && offset % 8 == 0);
	return (struct record_head *)(void *)(backlog->memory + offset);
}

/* ---- putting ---- */

/* Under the lock. */
static void use(struct backlog *backlog, uint32_t room)
{
	backlog->tail += room;
	if (backlog->tail == backlog->size_bytes)
		backlog->tail = 0;
	/* Pairs with the load in backlog_begin(): the record is marked as not ready before it is in use. */
	__atomic_store_n(&backlog->used, backlog->used + room, __ATOMIC_RELEASE);
	assert(backlog->used <= backlog->size_bytes && backlog->tail < backlog->size_bytes);
}

/* Under the lock: what is left up to the end is too little for the record. */
static void leave_gap(struct backlog *backlog)
{
	uint32_t room = backlog->size_bytes - backlog->tail;

	/* Smaller than a head: the taker knows without one. */
	if (room >= sizeof(struct record_head))
		*head_at(backlog, backlog->tail) =
			(struct record_head){ .room = room, .gap = true, .ready = true };
	use(backlog, room);
}

/* Under the lock. */
static struct record_head *make_room(struct backlog *backlog, uint32_t bytes)
{
	uint32_t room = (uint32_t)align_up(sizeof(struct record_head) + bytes, 8);
	uint32_t to_end = backlog->size_bytes - backlog->tail;
	struct record_head *head;

	if (room + (room > to_end ? to_end : 0) > backlog->size_bytes - backlog->used)
		return NULL;
	if (room > to_end)
		leave_gap(backlog);
	head = head_at(backlog, backlog->tail);
	*head = (struct record_head){ .room = room, .bytes = bytes };
	use(backlog, room);
	return head;
}

void *backlog_reserve(struct backlog *backlog, uint32_t bytes)
{
	struct record_head *head;

	pthread_mutex_lock(&backlog->lock);
	head = make_room(backlog, bytes);
	if (!head)
		counter_add(&backlog->full, 1);
	pthread_mutex_unlock(&backlog->lock);
	return head ? head + 1 : NULL;
}

void backlog_ready(void *record)
{
	struct record_head *head = (struct record_head *)record - 1;

	/* Pairs with the load in backlog_next(). */
	__atomic_store_n(&head->ready, true, __ATOMIC_RELEASE);
}

bool backlog_empty(const struct backlog *backlog)
{
	return backlog_used(backlog) == 0;
}

uint32_t backlog_used(const struct backlog *backlog)
{
	return __atomic_load_n(&backlog->used, __ATOMIC_RELAXED);
}

/* ---- taking ---- */

struct backlog_cursor backlog_begin(const struct backlog *backlog)
{
	return (struct backlog_cursor){
		.offset = backlog->head,
		.used = __atomic_load_n(&backlog->used, __ATOMIC_ACQUIRE),
	};
}

static void pass(const struct backlog *backlog, struct backlog_cursor *cursor, uint32_t room)
{
	cursor->passed += room;
	cursor->offset += room;
	if (cursor->offset == backlog->size_bytes)
		cursor->offset = 0;
	assert(cursor->passed <= cursor->used && cursor->offset < backlog->size_bytes);
}

void *backlog_next(const struct backlog *backlog, struct backlog_cursor *cursor, uint32_t *ret_bytes)
{
	while (cursor->passed < cursor->used) {
		uint32_t to_end = backlog->size_bytes - cursor->offset;
		struct record_head *head;

		if (to_end < sizeof(*head)) {
			pass(backlog, cursor, to_end);
			continue;
		}
		head = head_at(backlog, cursor->offset);
		if (!__atomic_load_n(&head->ready, __ATOMIC_ACQUIRE))
			return NULL;
		pass(backlog, cursor, head->room);
		if (head->gap)
			continue;
		*ret_bytes = head->bytes;
		return head + 1;
	}
	return NULL;
}

void backlog_release(struct backlog *backlog, const struct backlog_cursor *cursor)
{
	pthread_mutex_lock(&backlog->lock);
	assert(cursor->passed <= backlog->used);
	backlog->head = cursor->offset;
	__atomic_store_n(&backlog->used, backlog->used - cursor->passed, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&backlog->lock);
}
