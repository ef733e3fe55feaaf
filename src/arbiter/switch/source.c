/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sources. A batch of frames is judged, paid for, and passed on (forward.c), in groups that are small enough
 * for others not to wait long for their turn at the uplink.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "arbiter/switch/vswitch_private.h"
#include "core/loop_account.h"

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

unsigned port_send(struct port_source *source, const struct frame *frames, unsigned count)
{
	struct vswitch *vswitch = source->port->vswitch;
	struct source_share *share = &source->share;
	unsigned done = 0;

	assert(count <= PORT_BATCH);
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
		if (share->gate)
			source_share_sent(share);
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

int port_source_open(struct port *port, struct loop *loop, struct port_sender *sender,
		     struct port_source **ret_source)
{
	struct port_source *source = calloc(1, sizeof(*source));

	if (!source)
		return -ENOMEM;
	source->port = port;
	source->loop = loop;
	if (port->share && sender && source_share_open(&source->share, port->share, loop, sender) != 0) {
		free(source);
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
	free(source);
}
