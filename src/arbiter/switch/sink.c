/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sinks. On the sink's own worker frames go straight into the receiver's buffers while it has some and
 * nothing waits. Others wait in the backlog: a ring of records, in which senders reserve room under a lock
 * and copy without it. The receiver's worker takes them in order, up to the first whose bytes are not there
 * yet; a message tells it to look.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "arbiter/switch/vswitch_private.h"
#include "core/checked.h"
#include "core/container.h"

/* Batches delivered before other work of the worker has its turn. */
#define DRAIN_BATCHES 4u

/* ---- the backlog ---- */

static struct backlog_record *record_at(const struct backlog *backlog, uint32_t offset)
{
	assert(offset < BACKLOG_BYTES && offset % 8 == 0);
	return (struct backlog_record *)(backlog->memory + offset);
}

static uint8_t *record_bytes(struct backlog_record *record)
{
	return (uint8_t *)(record + 1);
}

static uint32_t room_for(uint32_t bytes)
{
	return (uint32_t)align_up(sizeof(struct backlog_record) + bytes, 8);
}

/* Under the lock. */
static void use(struct backlog *backlog, uint32_t room)
{
	backlog->tail += room;
	if (backlog->tail == BACKLOG_BYTES)
		backlog->tail = 0;
	/* Pairs with the load in backlog_look(): the record is marked as not ready before it is in use. */
	__atomic_store_n(&backlog->used, backlog->used + room, __ATOMIC_RELEASE);
	assert(backlog->used <= BACKLOG_BYTES && backlog->tail < BACKLOG_BYTES);
}

/* Under the lock: what is left up to the end is too little for a record, which begins at the beginning. */
static void skip_to_beginning(struct backlog *backlog)
{
	uint32_t room = BACKLOG_BYTES - backlog->tail;

	/* Smaller than a record's own fields: the taker knows without one. */
	if (room >= sizeof(struct backlog_record))
		*record_at(backlog, backlog->tail) =
			(struct backlog_record){ .room = room, .skip = true, .ready = true };
	use(backlog, room);
}

/* Room for a frame of so many bytes; NULL: there is none. */
static struct backlog_record *reserve(struct backlog *backlog, const struct frame *frame)
{
	uint32_t room = room_for(frame->bytes), to_end = BACKLOG_BYTES - backlog->tail;
	struct backlog_record *record;

	if (room + (room > to_end ? to_end : 0) > BACKLOG_BYTES - backlog->used)
		return NULL;
	if (room > to_end)
		skip_to_beginning(backlog);
	record = record_at(backlog, backlog->tail);
	*record = (struct backlog_record){ .room = room, .bytes = frame->bytes, .offload = frame->offload };
	use(backlog, room);
	return record;
}

/* Returns false when there is no room. The offload header is what it was when the frame was read first. */
static bool backlog_put(struct port_sink *sink, const struct frame *frame)
{
	struct backlog *backlog = &sink->backlog;
	struct backlog_record *record;
	uint32_t done = 0;

	pthread_mutex_lock(&backlog->lock);
	record = reserve(backlog, frame);
	if (!record)
		counter_add(&sink->full, 1);
	pthread_mutex_unlock(&backlog->lock);
	if (!record)
		return false;
	for (unsigned i = 0; i < frame->iov_count; i++) {
		memcpy(record_bytes(record) + done, frame->iov[i].iov_base, frame->iov[i].iov_len);
		done += (uint32_t)frame->iov[i].iov_len;
	}
	assert(done == frame->bytes);
	/* Pairs with the load in next_record(). */
	__atomic_store_n(&record->ready, true, __ATOMIC_RELEASE);
	return true;
}

/* The record at an offset that is in use, past what is skipped; NULL: its bytes are not there yet. */
static struct backlog_record *next_record(const struct backlog *backlog, uint32_t *offset, uint32_t *left)
{
	struct backlog_record *record;

	if (*left > 0 && BACKLOG_BYTES - *offset < sizeof(struct backlog_record)) {
		*left -= BACKLOG_BYTES - *offset;
		*offset = 0;
	}
	if (*left == 0)
		return NULL;
	record = record_at(backlog, *offset);
	if (!__atomic_load_n(&record->ready, __ATOMIC_ACQUIRE))
		return NULL;
	if (!record->skip)
		return record;
	*left -= record->room;
	*offset = 0;
	return next_record(backlog, offset, left);
}

/* Up to PORT_BATCH frames that wait, in order. */
static unsigned backlog_look(const struct backlog *backlog, struct frame *frames, struct iovec *iov)
{
	uint32_t left, offset = backlog->head;
	struct backlog_record *record;
	unsigned count = 0;

	left = __atomic_load_n(&backlog->used, __ATOMIC_ACQUIRE);
	while (count < PORT_BATCH && (record = next_record(backlog, &offset, &left))) {
		iov[count] = (struct iovec){ record_bytes(record), record->bytes };
		frames[count] = (struct frame){
			.iov = &iov[count],
			.iov_count = 1,
			.bytes = record->bytes,
			.offload = record->offload,
		};
		count++;
		left -= record->room;
		offset = (offset + record->room) % BACKLOG_BYTES;
	}
	return count;
}

/* The first `count` frames are delivered. */
static void backlog_pop(struct backlog *backlog, unsigned count)
{
	uint32_t used, left, offset = backlog->head;

	pthread_mutex_lock(&backlog->lock);
	used = left = backlog->used;
	for (; count > 0; count--) {
		struct backlog_record *record = next_record(backlog, &offset, &left);

		assert(record);
		left -= record->room;
		offset = (offset + record->room) % BACKLOG_BYTES;
	}
	backlog->head = offset;
	__atomic_store_n(&backlog->used, left, __ATOMIC_RELAXED);
	assert(left <= used);
	pthread_mutex_unlock(&backlog->lock);
}

static bool backlog_empty(const struct backlog *backlog)
{
	return __atomic_load_n(&backlog->used, __ATOMIC_RELAXED) == 0;
}

/* ---- delivering ---- */

bool port_sink_waits(const struct port_sink *sink)
{
	return !backlog_empty(&sink->backlog);
}

/* On the sink's worker. Returns how many the receiver took. */
static unsigned deliver(struct port_sink *sink, const struct frame *frames, unsigned count)
{
	unsigned taken = sink->receiver->deliver(sink->receiver, frames, count);
	uint64_t bytes = 0;

	assert(taken <= count);
	for (unsigned i = 0; i < taken; i++)
		bytes += frames[i].bytes;
	counter_add(&sink->received_frames, taken);
	counter_add(&sink->received_bytes, bytes);
	sink->blocked = taken < count;
	return taken;
}

static void tell(struct port_sink *sink)
{
	if (!__atomic_exchange_n(&sink->posted, true, __ATOMIC_ACQ_REL))
		loop_post(sink->loop, &sink->message);
}

/* Delivers what waits, while the receiver takes it. */
static void drain(struct port_sink *sink)
{
	struct frame frames[PORT_BATCH];
	struct iovec iov[PORT_BATCH];

	for (unsigned batch = 0; !sink->blocked; batch++) {
		unsigned count = backlog_look(&sink->backlog, frames, iov);

		if (count == 0)
			return;
		if (batch == DRAIN_BATCHES) {
			tell(sink);
			return;
		}
		backlog_pop(&sink->backlog, deliver(sink, frames, count));
	}
}

void sink_deliver(struct port_sink *sink, struct loop *loop, const struct frame *frames, unsigned count)
{
	unsigned taken = 0;
	bool waits = false;

	if (sink->loop == loop && !sink->blocked && backlog_empty(&sink->backlog))
		taken = deliver(sink, frames, count);
	for (; taken < count; taken++)
		waits |= backlog_put(sink, &frames[taken]);
	/* A receiver without buffers says itself when it has some. */
	if (waits && (sink->loop != loop || !sink->blocked))
		tell(sink);
}

void port_sink_resume(struct port_sink *sink)
{
	sink->blocked = false;
	drain(sink);
}

void port_sink_too_large(struct port_sink *sink, unsigned count)
{
	counter_add(&sink->too_large, count);
}

/* ---- coming and going ---- */

static void sink_free(struct port_sink *sink)
{
	pthread_mutex_destroy(&sink->backlog.lock);
	munmap(sink->backlog.memory, BACKLOG_BYTES);
	free(sink);
}

static void message_came(struct loop_message *message)
{
	struct port_sink *sink = container_of(message, struct port_sink, message);

	/* Before the look: what is put from now on is told anew. */
	__atomic_store_n(&sink->posted, false, __ATOMIC_SEQ_CST);
	if (sink->closing)
		sink_free(sink);
	else
		drain(sink);
}

int port_sink_open(struct port *port, struct loop *loop, struct port_receiver *receiver,
		   const struct frame_abilities *abilities, struct port_sink **ret_sink)
{
	struct port_sink *sink = calloc(1, sizeof(*sink));
	bool room;

	if (!sink)
		return -ENOMEM;
	*sink = (struct port_sink){
		.port = port,
		.loop = loop,
		.receiver = receiver,
		.abilities = *abilities,
		.message.run = message_came,
	};
	if (sink->abilities.mtu == 0)
		sink->abilities.mtu = (uint16_t)port->mtu;
	/* Pages are there when frames wait, and not before. */
	sink->backlog.memory =
		mmap(NULL, BACKLOG_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sink->backlog.memory == MAP_FAILED) {
		free(sink);
		return -ENOMEM;
	}
	pthread_mutex_init(&sink->backlog.lock, NULL);
	*ret_sink = sink;
	pthread_rwlock_wrlock(&port->vswitch->lock);
	room = port->sink_count < PORT_SINKS_MAX;
	if (room)
		port->sinks[port->sink_count++] = sink;
	pthread_rwlock_unlock(&port->vswitch->lock);
	if (room)
		return 0;
	sink_free(sink);
	return -ENOMEM;
}

void port_sink_close(struct port_sink *sink)
{
	struct port *port = sink->port;
	unsigned index = 0;

	pthread_rwlock_wrlock(&port->vswitch->lock);
	while (port->sinks[index] != sink)
		index++;
	port->sinks[index] = port->sinks[--port->sink_count];
	port->closed.received_frames += counter_read(&sink->received_frames);
	port->closed.received_bytes += counter_read(&sink->received_bytes);
	port->closed.dropped[PORT_DROP_FULL] += counter_read(&sink->full);
	port->closed.dropped[PORT_DROP_TOO_LARGE] += counter_read(&sink->too_large);
	pthread_rwlock_unlock(&port->vswitch->lock);
	/* No sender knows it any more; a message that one posted before may still come. */
	sink->closing = true;
	if (!__atomic_load_n(&sink->posted, __ATOMIC_ACQUIRE))
		sink_free(sink);
}
