/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The port that is the world: its source and sink are a channel of a physical card, on one worker. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "arbiter/switch/vswitch_private.h"
#include "core/container.h"

struct uplink {
	struct host_nic *nic;
	void (*link_changed)(void *context);
	void *context;
	/* While it is started */
	struct host_nic_channel *channel;
	struct host_nic_receiver from_nic;
	struct port_source *source;
	struct port_receiver to_nic;
	struct port_sink *sink;
	enum gate_room room; /* atomic: what its gate was told */
};

/*
 * When so many bytes wait for the card, nothing more is let in, until so few do: enough to keep the card
 * busy, and little beside what a guest has to wait for anyway. Until none waits, guests go one at a time.
 */
#define FULL_BYTES (128u << 10)
#define LOW_BYTES  (64u << 10)

/* ---- the card says how much it takes ---- */

static void set_room(struct port *port, enum gate_room room)
{
	__atomic_store_n(&port->card->room, room, __ATOMIC_SEQ_CST);
	gate_set_room(uplink_meter_gate(port->vswitch->meter), room);
	/* Either we see what the card's worker takes meanwhile, or it sees what we said. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void uplink_moved(struct port *port)
{
	struct uplink *uplink = port->card;
	uint32_t waiting;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&uplink->room, __ATOMIC_RELAXED) == GATE_ROOM_ENOUGH)
		return;
	waiting = backlog_used(&uplink->sink->backlog);
	if (waiting == 0)
		set_room(port, GATE_ROOM_ENOUGH);
	else if (waiting <= LOW_BYTES && uplink->room == GATE_ROOM_NONE)
		set_room(port, GATE_ROOM_ONE);
}

void uplink_waits(struct port *port)
{
	struct uplink *uplink = port->card;

	if (backlog_used(&uplink->sink->backlog) < FULL_BYTES ||
	    __atomic_load_n(&uplink->room, __ATOMIC_RELAXED) == GATE_ROOM_NONE)
		return;
	set_room(port, GATE_ROOM_NONE);
	uplink_moved(port);
}

static unsigned deliver(struct port_receiver *receiver, const struct frame *frames, unsigned count)
{
	struct uplink *uplink = container_of(receiver, struct uplink, to_nic);

	return uplink->channel->ops->send(uplink->channel, frames, count);
}

static void input(struct host_nic_receiver *receiver, const struct frame *frames, unsigned count)
{
	struct uplink *uplink = container_of(receiver, struct uplink, from_nic);

	for (unsigned done = 0; done < count; done += PORT_BATCH)
		port_send(uplink->source, frames + done,
			  count - done < PORT_BATCH ? count - done : PORT_BATCH);
}

static void writable(struct host_nic_receiver *receiver)
{
	port_sink_resume(container_of(receiver, struct uplink, from_nic)->sink);
}

static void link_came_or_went(struct host_nic_receiver *receiver)
{
	struct uplink *uplink = container_of(receiver, struct uplink, from_nic);

	if (uplink->link_changed)
		uplink->link_changed(uplink->context);
}

bool uplink_link(const struct port *port)
{
	return __atomic_load_n(&port->card->nic->up, __ATOMIC_RELAXED);
}

int vswitch_uplink_create(struct vswitch *vswitch, struct host_nic *nic, const struct port_settings *settings,
			  void (*link_changed)(void *context), void *context, struct port **ret_port)
{
	struct uplink *uplink = calloc(1, sizeof(*uplink));
	int error;

	if (!uplink)
		return -ENOMEM;
	*uplink = (struct uplink){ .nic = nic,
				   .link_changed = link_changed,
				   .context = context,
				   .from_nic = { input, writable, link_came_or_went },
				   .to_nic = { deliver } };
	error = port_create_uplink(vswitch, uplink, nic->sends.mtu, settings, ret_port);
	if (error)
		free(uplink);
	return error;
}

void uplink_free(struct port *port)
{
	assert(!port->card->channel);
	free(port->card);
	port->card = NULL;
}

int vswitch_uplink_start(struct port *port, struct loop *loop)
{
	struct uplink *uplink = port->card;
	struct host_nic *nic = uplink->nic;
	int error = port_source_open(port, loop, NULL, &uplink->source);

	if (error)
		return error;
	error = nic->ops->channel_open(nic, loop, &uplink->from_nic, &uplink->channel);
	if (!error) {
		error = port_sink_open(port, loop, &uplink->to_nic, &nic->sends, &uplink->sink);
		if (!error)
			return 0;
		nic->ops->channel_close(uplink->channel);
		uplink->channel = NULL;
	}
	port_source_close(uplink->source);
	return error;
}

void vswitch_uplink_stop(struct port *port)
{
	struct uplink *uplink = port->card;

	port_sink_close(uplink->sink);
	uplink->sink = NULL;
	set_room(port, GATE_ROOM_ENOUGH);
	uplink->channel->ops->channel_close(uplink->channel);
	uplink->channel = NULL;
	port_source_close(uplink->source);
}
