/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arbiter/switch/mirror.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "arbiter/switch/backlog.h"
#include "arbiter/switch/vswitch_private.h"
#include "core/clock.h"
#include "core/container.h"
#include "core/internet_sum.h"

/* Of UDP, where a sum of zero would mean that there is none. */
#define UDP_CHECKSUM_OFFSET 6u

struct port_mirror {
	struct port_mirror *next; /* in port->mirrors; the switch's lock */
	struct port *port;	  /* NULL: it has gone */
	struct port_mirror_options options;
	struct backlog backlog;
	struct backlog_cursor behind; /* the frame that the reader has */
	bool awaited;		      /* atomic: the reader has found nothing */
	bool posted;		      /* atomic: the message is on its way */
	bool ended;		      /* atomic: no frames come any more */
	bool closing;		      /* freed when the message has come */
	struct loop_message message;
};

/* ---- the workers' side ---- */

/*
 * The reader and a writer each exchange the flag: either the writer sees that it is awaited, or the reader,
 * whose exchange is the later one, sees the record that the writer has written before.
 */
static void tell(struct port_mirror *mirror)
{
	if (__atomic_exchange_n(&mirror->awaited, false, __ATOMIC_ACQ_REL) &&
	    !__atomic_exchange_n(&mirror->posted, true, __ATOMIC_ACQ_REL))
		loop_post(mirror->options.loop, &mirror->message);
}

static uint64_t wall_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Copies the part of a piece that lies between `skip` and the end. Returns the bytes copied. */
static uint32_t copy_piece(uint8_t *to, uint32_t room, const struct iovec *piece, size_t *skip)
{
	size_t there = piece->iov_len, part;

	if (there <= *skip) {
		*skip -= there;
		return 0;
	}
	part = there - *skip < room ? there - *skip : room;
	memcpy(to, (const uint8_t *)piece->iov_base + *skip, part);
	*skip = 0;
	return (uint32_t)part;
}

static void copy(uint8_t *to, uint32_t bytes, const struct frame *frame, const struct packet *packet)
{
	size_t skip = packet ? packet->head_bytes : 0;
	uint32_t done = 0;

	if (packet) {
		done = packet->head_bytes < bytes ? packet->head_bytes : bytes;
		memcpy(to, packet->head, done);
	}
	for (unsigned i = 0; i < frame->iov_count && done < bytes; i++)
		done += copy_piece(to + done, bytes - done, &frame->iov[i], &skip);
	assert(done == bytes);
}

static void put(struct port_mirror *mirror, const struct frame *frame, const struct packet *packet, bool sent,
		enum port_drop drop)
{
	uint32_t snap = mirror->options.snap_bytes;
	uint32_t kept = snap && snap < frame->bytes ? snap : frame->bytes;
	uint64_t lost = counter_read(&mirror->backlog.full);
	struct mirrored_frame *record = backlog_reserve(&mirror->backlog, (uint32_t)sizeof(*record) + kept);

	if (!record)
		return;
	*record = (struct mirrored_frame){
		.time_ns = wall_clock_ns(),
		.lost = lost,
		.frame_bytes = frame->bytes,
		.kept_bytes = kept,
		.offload = frame->offload,
		.sent = sent,
		.drop = drop,
	};
	copy(record->bytes, kept, frame, packet);
	backlog_ready(record);
	tell(mirror);
}

void mirrors_put(struct port_mirror *mirrors, const struct frame *frame, const struct packet *packet,
		 bool sent, enum port_drop drop)
{
	for (; mirrors; mirrors = mirrors->next)
		put(mirrors, frame, packet, sent, drop);
}

/* ---- the reader's side ---- */

static void mirror_free(struct port_mirror *mirror)
{
	backlog_finish(&mirror->backlog);
	free(mirror);
}

static void message_came(struct loop_message *message)
{
	struct port_mirror *mirror = container_of(message, struct port_mirror, message);

	/* Before the reader looks: a writer that saw it on its way has written its record. */
	(void)__atomic_exchange_n(&mirror->posted, false, __ATOMIC_ACQ_REL);
	if (mirror->closing)
		mirror_free(mirror);
	else
		mirror->options.ready(mirror->options.context);
}

int port_mirror_open(struct port *port, const struct port_mirror_options *options,
		     struct port_mirror **ret_mirror)
{
	struct port_mirror *mirror = calloc(1, sizeof(*mirror));

	if (!mirror)
		return -ENOMEM;
	if (backlog_init(&mirror->backlog, MIRROR_BYTES) != 0) {
		free(mirror);
		return -ENOMEM;
	}
	mirror->port = port;
	mirror->options = *options;
	mirror->awaited = true;
	mirror->message.run = message_came;
	pthread_rwlock_wrlock(&port->vswitch->lock);
	mirror->next = port->mirrors;
	__atomic_store_n(&port->mirrors, mirror, __ATOMIC_RELAXED);
	pthread_rwlock_unlock(&port->vswitch->lock);
	*ret_mirror = mirror;
	return 0;
}

static void unlink_mirror(struct port_mirror *mirror)
{
	struct port *port = mirror->port;
	struct port_mirror **link = &port->mirrors;

	pthread_rwlock_wrlock(&port->vswitch->lock);
	while (*link != mirror)
		link = &(*link)->next;
	__atomic_store_n(link, mirror->next, __ATOMIC_RELAXED);
	pthread_rwlock_unlock(&port->vswitch->lock);
}

void port_mirror_close(struct port_mirror *mirror)
{
	if (!mirror)
		return;
	if (mirror->port)
		unlink_mirror(mirror);
	/* No worker knows it any more; a message that one posted before may still come. */
	mirror->closing = true;
	if (!__atomic_load_n(&mirror->posted, __ATOMIC_ACQUIRE))
		mirror_free(mirror);
}

unsigned port_mirror_count(struct port *port)
{
	unsigned count = 0;

	pthread_rwlock_rdlock(&port->vswitch->lock);
	for (const struct port_mirror *mirror = port->mirrors; mirror; mirror = mirror->next)
		count++;
	pthread_rwlock_unlock(&port->vswitch->lock);
	return count;
}

void mirrors_end(struct port *port)
{
	while (port->mirrors) {
		struct port_mirror *mirror = port->mirrors;

		port->mirrors = mirror->next;
		mirror->port = NULL;
		__atomic_store_n(&mirror->ended, true, __ATOMIC_RELEASE);
		tell(mirror);
	}
}

/* Gives the frame back that the reader had. */
static void release(struct port_mirror *mirror)
{
	if (mirror->behind.passed > 0)
		backlog_release(&mirror->backlog, &mirror->behind);
	mirror->behind = backlog_begin(&mirror->backlog);
}

struct mirrored_frame *port_mirror_next(struct port_mirror *mirror)
{
	struct mirrored_frame *frame;
	uint32_t bytes;

	release(mirror);
	frame = backlog_next(&mirror->backlog, &mirror->behind, &bytes);
	if (frame)
		return frame;
	release(mirror);
	/* Before the second look: what is put from now on is told. */
	(void)__atomic_exchange_n(&mirror->awaited, true, __ATOMIC_ACQ_REL);
	release(mirror);
	frame = backlog_next(&mirror->backlog, &mirror->behind, &bytes);
	if (frame)
		(void)__atomic_exchange_n(&mirror->awaited, false, __ATOMIC_ACQ_REL);
	return frame;
}

uint64_t port_mirror_lost(const struct port_mirror *mirror)
{
	return counter_read(&mirror->backlog.full);
}

bool port_mirror_ended(const struct port_mirror *mirror)
{
	return __atomic_load_n(&mirror->ended, __ATOMIC_ACQUIRE) && backlog_empty(&mirror->backlog);
}

void mirrored_frame_finish(struct mirrored_frame *frame)
{
	const struct frame_offload *offload = &frame->offload;
	uint32_t at = (uint32_t)offload->csum_start + offload->csum_offset;
	struct internet_sum sum = { 0 };
	uint16_t word;

	/* The numbers are a guest's, and nobody has looked at those of a frame that was refused. */
	if (!(offload->flags & FRAME_CSUM_NEEDED) || frame->kept_bytes < frame->frame_bytes ||
	    at + sizeof(word) > frame->kept_bytes || offload->csum_start > frame->kept_bytes)
		return;
	internet_sum_add(&sum, frame->bytes + offload->csum_start, frame->kept_bytes - offload->csum_start);
	word = (uint16_t)~internet_sum_fold(&sum);
	if (word == 0 && offload->csum_offset == UDP_CHECKSUM_OFFSET)
		word = 0xffff;
	memcpy(frame->bytes + at, &word, sizeof(word));
}
