/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sinks. On the sink's own worker frames go straight into the receiver's buffers while it has some and
 * nothing waits. Others wait in the backlog, into which senders copy; a message tells the receiver's worker
 * to look there.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/switch/vswitch_private.h"
#include "core/container.h"
#include "core/loop_account.h"

/* Batches delivered before other work of the worker has its turn: one while others want little. */
#define DRAIN_BATCHES 4u

/* ---- frames that wait ---- */

/* A record of the backlog. */
struct waiting_frame {
	struct frame_offload offload;
	uint8_t bytes[];
};

/* Returns false when there is no room. The offload header is what it was when the frame was read first. */
static bool wait_in_backlog(struct port_sink *sink, const struct frame *frame)
{
	struct waiting_frame *waiting =
		backlog_reserve(&sink->backlog, (uint32_t)sizeof(*waiting) + frame->bytes);
	uint32_t done = 0;

	if (!waiting)
		return false;
	waiting->offload = frame->offload;
	for (unsigned i = 0; i < frame->iov_count; i++) {
		memcpy(waiting->bytes + done, frame->iov[i].iov_base, frame->iov[i].iov_len);
		done += (uint32_t)frame->iov[i].iov_len;
	}
	assert(done == frame->bytes);
	backlog_ready(waiting);
	return true;
}

/* Up to PORT_BATCH frames that wait, in order. */
static unsigned look(const struct backlog *backlog, struct frame *frames, struct iovec *iov)
{
	struct backlog_cursor cursor = backlog_begin(backlog);
	struct waiting_frame *waiting;
	unsigned count = 0;
	uint32_t bytes;

	while (count < PORT_BATCH && (waiting = backlog_next(backlog, &cursor, &bytes))) {
		bytes -= (uint32_t)sizeof(*waiting);
		iov[count] = (struct iovec){ waiting->bytes, bytes };
		frames[count] = (struct frame){
			.iov = &iov[count],
			.iov_count = 1,
			.bytes = bytes,
			.offload = waiting->offload,
		};
		count++;
	}
	return count;
}

/* The first `count` frames are delivered. */
static void release(struct backlog *backlog, unsigned count)
{
	struct backlog_cursor cursor = backlog_begin(backlog);
	uint32_t bytes;

	for (; count > 0; count--) {
		const void *waiting = backlog_next(backlog, &cursor, &bytes);

		assert(waiting);
	}
	backlog_release(backlog, &cursor);
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

/* With the switch's lock held. */
static void mirror_received(const struct port_sink *sink, const struct frame *frames, unsigned count,
			    enum port_drop drop)
{
	for (unsigned i = 0; i < count; i++)
		mirrors_put(sink->port->mirrors, &frames[i], NULL, false, drop);
}

static void tell(struct port_sink *sink)
{
	if (!__atomic_exchange_n(&sink->posted, true, __ATOMIC_ACQ_REL))
		loop_post(sink->loop, &sink->message);
}

/* Without the switch's lock. */
static unsigned deliver_waiting(struct port_sink *sink, const struct frame *frames, unsigned count)
{
	unsigned taken = deliver(sink, frames, count);

	if (!__atomic_load_n(&sink->port->mirrors, __ATOMIC_RELAXED))
		return taken;
	pthread_rwlock_rdlock(&sink->port->vswitch->lock);
	mirror_received(sink, frames, taken, PORT_DROPS);
	pthread_rwlock_unlock(&sink->port->vswitch->lock);
	return taken;
}

/* Delivers what waits, while the receiver takes it. */
static void drain(struct port_sink *sink)
{
	struct frame frames[PORT_BATCH];
	struct iovec iov[PORT_BATCH];
	unsigned most = loop_wants_brief_turns(sink->loop) ? 1 : DRAIN_BATCHES;

	for (unsigned batch = 0; !sink->blocked; batch++) {
		unsigned count = look(&sink->backlog, frames, iov);

		if (count == 0)
			return;
		if (batch == most) {
			tell(sink);
			return;
		}
		release(&sink->backlog, deliver_waiting(sink, frames, count));
		if (sink->port->card)
			uplink_moved(sink->port);
	}
}

void sink_deliver(struct port_sink *sink, struct loop *loop, const struct frame *frames, unsigned count)
{
	unsigned taken = 0;
	bool waits = false;

	if (sink->loop == loop && !sink->blocked && backlog_empty(&sink->backlog)) {
		taken = deliver(sink, frames, count);
		mirror_received(sink, frames, sink->port->mirrors ? taken : 0, PORT_DROPS);
	}
	for (; taken < count; taken++) {
		if (wait_in_backlog(sink, &frames[taken]))
			waits = true;
		else
			mirror_received(sink, &frames[taken], 1, PORT_DROP_FULL);
	}
	if (waits && sink->port->card)
		uplink_waits(sink->port);
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
	backlog_finish(&sink->backlog);
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
	if (backlog_init(&sink->backlog, BACKLOG_BYTES) != 0) {
		free(sink);
		return -ENOMEM;
	}
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
	port->closed.dropped[PORT_DROP_FULL] += counter_read(&sink->backlog.full);
	port->closed.dropped[PORT_DROP_TOO_LARGE] += counter_read(&sink->too_large);
	pthread_rwlock_unlock(&port->vswitch->lock);
	/* No sender knows it any more; a message that one posted before may still come. */
	sink->closing = true;
	if (!__atomic_load_n(&sink->posted, __ATOMIC_ACQUIRE))
		sink_free(sink);
}
