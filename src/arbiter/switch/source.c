/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sources. A batch of frames is judged, paid for, and passed on (forward.c), in groups that are small enough
 * for others not to wait long for their turn at the uplink.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/switch/vswitch_private.h"
#include "core/iov.h"
#include "core/loop_account.h"

/* Of a frame that is sent late, at a time while others want little. */
#define BRIEF_PIECES 8u

static void learn(struct port_source *source)
{
	struct port *port = source->port;
	struct vswitch *vswitch = port->vswitch;
	struct mac_entry *entry;
	struct port *before;

	pthread_rwlock_wrlock(&vswitch->lock);
	entry = mac_table_entry(&vswitch->table, source->learn);
	before = entry ? entry->port : NULL;
	/* An address that moves counts for its new port. */
	if (before != port && port->learned < PORT_LEARNED_MAX &&
	    mac_table_learn(&vswitch->table, source->learn, port, source_now_ns(source))) {
		port->learned++;
		if (before)
			before->learned--;
	}
	pthread_rwlock_unlock(&vswitch->lock);
	source->learn = 0;
}

/* What the port sent, whatever became of it. What was not found to be a frame has no packet. */
static void mirror_sent(struct port_source *source, const struct passage *passage)
{
	bool read = passage->admitted ||
		    (passage->drop != PORT_DROP_MALFORMED && passage->drop != PORT_DROP_TOO_LARGE);

	mirrors_put(source->port->mirrors, passage->frame, read ? passage->packet : NULL, true,
		    passage->drop);
}

/* ---- a batch ---- */

/* What a frame takes of its port's shares. One that is dropped takes nothing. */
static struct frame_need need_of(const struct port_source *source, const struct passage *passage)
{
	const struct port *uplink = source->port->vswitch->uplink;
	struct frame_need need = { .frames = 0 };

	if (passage->drop != PORT_DROPS)
		return need;
	packet_wire_size(passage->packet, passage->frame, &need.frames, &need.bytes);
	if (uplink && (!passage->to || passage->to == uplink))
		need.uplink_bytes = need.bytes;
	return need;
}

/* Judges frames until there are enough to ask for. Returns how many there are. */
static unsigned judge_group(struct port_source *source, const struct frame *frames, unsigned count,
			    struct frame_need *ret_need)
{
	unsigned done;

	*ret_need = (struct frame_need){ .frames = 0 };
	for (done = 0; done < count; done++) {
		struct passage *passage = &source->passages[done];
		struct frame_need need;

		passage->frame = &frames[done];
		passage->packet = &source->packets[done];
		forward_judge(source, passage, &source->packets[done]);
		if (!source->share.gate)
			continue;
		need = need_of(source, passage);
		if (source_share_enough(&source->share, ret_need, &need))
			break;
		ret_need->frames += need.frames;
		ret_need->bytes += need.bytes;
		ret_need->uplink_bytes += need.uplink_bytes;
		/* What may be sent late is the last of its group. */
		if (need.frames > LATE_PIECES)
			return done + 1;
	}
	return done;
}

static void pass_group(struct port_source *source, unsigned count)
{
	bool mirrored = source->port->mirrors;

	assert(source->run.count == 0);
	for (unsigned i = 0; i < count; i++) {
		struct passage *passage = &source->passages[i];

		forward_pass(source, passage);
		if (mirrored)
			mirror_sent(source, passage);
		if (passage->drop != PORT_DROPS) {
			source_count_drop(source, passage->drop);
			continue;
		}
		counter_add(&source->sent_frames, 1);
		counter_add(&source->sent_bytes, passage->frame->bytes);
	}
	forward_flush(source);
}

/* ---- frames that are cut into very many ---- */

/* Keeps the frame: its head as it was judged, and the rest as it is now. */
static void keep_late(struct port_source *source, const struct passage *passage)
{
	struct late_frame *late = &source->late;
	const struct frame *frame = passage->frame;
	unsigned head_bytes = passage->packet->head_bytes;

	memcpy(late->bytes, passage->packet->head, head_bytes);
	iov_copy_out(frame->iov, frame->iov_count, head_bytes, late->bytes + head_bytes,
		     frame->bytes - head_bytes);
	late->iov = (struct iovec){ late->bytes, frame->bytes };
	late->frame = (struct frame){
		.iov = &late->iov, .iov_count = 1, .bytes = frame->bytes, .offload = frame->offload
	};
	late->wanted = false;
	late->on = true;
	late->sent = 0;
}

/* Whom it is for is found anew: ports come and go. */
static void send_part(struct port_source *source, unsigned pieces)
{
	struct late_frame *late = &source->late;
	struct passage *passage = &source->passages[0];

	passage->frame = &late->frame;
	passage->packet = &source->packets[0];
	late->skip = late->sent;
	late->left = pieces;
	late->more = false;
	forward_judge(source, passage, passage->packet);
	if (passage->drop == PORT_DROPS)
		forward_pass(source, passage);
	late->on = late->more;
}

bool port_source_continue(struct port_source *source)
{
	struct vswitch *vswitch = source->port->vswitch;
	struct late_frame *late = &source->late;

	if (!late->on)
		return true;
	if (source->share.waits != SOURCE_WAITS_NOT)
		return false;
	pthread_rwlock_rdlock(&vswitch->lock);
	if (vswitch->still)
		source_share_pause(&source->share);
	else
		send_part(source, loop_wants_brief_turns(source->loop) ? BRIEF_PIECES : LATE_PIECES);
	pthread_rwlock_unlock(&vswitch->lock);
	if (source->learn)
		learn(source);
	if (late->on)
		source_share_yield(&source->share);
	return !late->on;
}

/* ---- sending ---- */

unsigned port_send(struct port_source *source, const struct frame *frames, unsigned count)
{
	struct vswitch *vswitch = source->port->vswitch;
	struct source_share *share = &source->share;
	unsigned done = 0;

	assert(count <= PORT_BATCH && !source->late.on);
	pthread_rwlock_rdlock(&vswitch->lock);
	if (vswitch->still && share->gate) {
		source_share_pause(share);
		count = 0;
	}
	while (done < count) {
		struct frame_need need;
		unsigned group = judge_group(source, frames + done, count - done, &need);

		if (share->gate && !source_share_pay(share, &need))
			break;
		pass_group(source, group);
		done += group;
		if (source->late.wanted)
			keep_late(source, &source->passages[group - 1]);
		if (share->gate)
			source_share_sent(share);
		if (source->late.on) {
			source_share_yield(share);
			break;
		}
		/* A group may have thousands of segments: others of this worker go in between. */
		if (share->gate && done < count && loop_slice_over(source->loop)) {
			source_share_yield(share);
			break;
		}
	}
	pthread_rwlock_unlock(&vswitch->lock);
	if (source->learn)
		learn(source);
	return done;
}

void port_source_rest(struct port_source *source)
{
	if (source->share.gate)
		source_share_rest(&source->share);
}

void port_send_malformed(struct port_source *source, unsigned count)
{
	counter_add(&source->dropped[PORT_DROP_MALFORMED], count);
}

/* ---- coming and going ---- */

static void source_free(struct port_source *source)
{
	free(source->late.bytes);
	free(source);
}

static int open_share(struct port_source *source, struct port_sender *sender)
{
	source->late.bytes = malloc(FRAME_BYTES_MAX);
	if (!source->late.bytes)
		return -ENOMEM;
	return source_share_open(&source->share, source->port->share, source->loop, sender);
}

int port_source_open(struct port *port, struct loop *loop, struct port_sender *sender,
		     struct port_source **ret_source)
{
	struct port_source *source = calloc(1, sizeof(*source));

	if (!source)
		return -ENOMEM;
	source->port = port;
	source->loop = loop;
	if (port->share && sender && open_share(source, sender) != 0) {
		source_free(source);
		return -ENOMEM;
	}
	pthread_rwlock_wrlock(&port->vswitch->lock);
	source->next = port->sources;
	port->sources = source;
	pthread_rwlock_unlock(&port->vswitch->lock);
	*ret_source = source;
	return 0;
}

void port_source_close(struct port_source *source)
{
	struct port *port = source->port;
	struct port_source **link = &port->sources;

	source_share_close(&source->share);
	if (source->late.on) {
		pthread_rwlock_rdlock(&port->vswitch->lock);
		if (port->vswitch->still)
			source_count_drop(source, PORT_DROP_LINK);
		else
			send_part(source, UINT_MAX);
		pthread_rwlock_unlock(&port->vswitch->lock);
	}
	pthread_rwlock_wrlock(&port->vswitch->lock);
	while (*link != source)
		link = &(*link)->next;
	*link = source->next;
	port->closed.sent_frames += counter_read(&source->sent_frames);
	port->closed.sent_bytes += counter_read(&source->sent_bytes);
	for (unsigned i = 0; i < PORT_DROPS; i++)
		port->closed.dropped[i] += counter_read(&source->dropped[i]);
	gate_counters_add(&port->closed_time, &source->share.counters);
	pthread_rwlock_unlock(&port->vswitch->lock);
	source_free(source);
}
