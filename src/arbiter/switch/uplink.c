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
	pthread_mutex_t room_lock;
	enum gate_room room; /* atomic; the lock for writing: what the gate was told */
};

/*
 * When so many bytes wait for the card, nothing more is let in, until so few do: enough to keep the card
 * busy, and little beside what a guest has to wait for anyway. Until none waits, guests go one at a time.
 */
#define FULL_BYTES (128u << 10)
#define LOW_BYTES  (64u << 10)

/* ---- the card says how much it takes ---- */

/* What the gate is to be told, by what waits and by what it was told last. */
static enum gate_room room_now(const struct uplink *uplink)
{
	uint32_t waiting = backlog_used(&uplink->sink->backlog);

	if (waiting == 0)
		return GATE_ROOM_ENOUGH;
	if (waiting >= FULL_BYTES)
		return GATE_ROOM_NONE;
	return waiting <= LOW_BYTES && uplink->room == GATE_ROOM_NONE ? GATE_ROOM_ONE : uplink->room;
}

/* Until it is true: what waits may change meanwhile, and those who change it see what is said here. */
static void update_room(struct port *port)
{
	struct gate *gate = uplink_meter_gate(port->vswitch->meter);
	struct uplink *uplink = port->card;
	enum gate_room room;

	pthread_mutex_lock(&uplink->room_lock);
	while ((room = room_now(uplink)) != uplink->room) {
		/* The gate is never wider open than others may read here, or they would not close it. */
		if (room > uplink->room)
			gate_set_room(gate, room);
		__atomic_store_n(&uplink->room, room, __ATOMIC_SEQ_CST);
		gate_set_room(gate, room);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	}
	pthread_mutex_unlock(&uplink->room_lock);
}

void uplink_moved(struct port *port)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&port->card->room, __ATOMIC_RELAXED) != GATE_ROOM_ENOUGH)
		update_room(port);
}

void uplink_waits(struct port *port)
{
	const struct uplink *uplink = port->card;

	if (backlog_used(&uplink->sink->backlog) >= FULL_BYTES &&
	    __atomic_load_n(&uplink->room, __ATOMIC_RELAXED) != GATE_ROOM_NONE)
		update_room(port);
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
	pthread_mutex_init(&uplink->room_lock, NULL);
	error = port_create_uplink(vswitch, uplink, nic->sends.mtu, settings, ret_port);
	if (error) {
		pthread_mutex_destroy(&uplink->room_lock);
		free(uplink);
	}
	return error;
}

void uplink_free(struct port *port)
{
	assert(!port->card->channel);
	pthread_mutex_destroy(&port->card->room_lock);
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
	uplink->room = GATE_ROOM_ENOUGH;
	gate_set_room(uplink_meter_gate(port->vswitch->meter), GATE_ROOM_ENOUGH);
	uplink->channel->ops->channel_close(uplink->channel);
	uplink->channel = NULL;
	port_source_close(uplink->source);
}
