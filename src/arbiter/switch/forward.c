/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way of a frame: it is read (packet.c), admitted (may this port send it?), its receiver is found
 * (forward_judge), and each receiver gets what it can take (forward_pass). Neighbouring frames for one
 * receiver are delivered together.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/switch/vswitch_private.h"
#include "core/clock.h"
#include "core/crc32c.h"

/* ---- delivering ---- */

void forward_flush(struct port_source *source)
{
	struct forward_run *run = &source->run;

	if (run->count > 0)
		sink_deliver(run->sink, source->loop, run->frames, run->count);
	run->count = run->iov_used = 0;
	run->sink = NULL;
}

/* The tag that frames of a VLAN have at a port. */
static int tag_at(const struct port *port, const struct passage *passage)
{
	bool tagged = port->card ? passage->vlan != 0
				 : port->settings.trunk && passage->vlan != port->settings.vlan;
	unsigned priority = passage->packet->tags > 0 ? passage->packet->tag & 0xf000u : 0;

	return tagged ? (int)(priority | passage->vlan) : PACKET_UNTAGGED;
}

/* Is the frame as it came what the receiver takes? One that is to be segmented is looked at closer. */
static bool fits(const struct passage *passage, const struct frame_abilities *abilities, int tag)
{
	const struct frame_offload *offload = &passage->frame->offload;

	return passage->packet->tags == 0 && tag == PACKET_UNTAGGED && offload->gso_type == FRAME_GSO_NONE &&
	       (!(offload->flags & FRAME_CSUM_NEEDED) || abilities->csum) &&
	       passage->frame->bytes <= (uint32_t)abilities->mtu + FRAME_HEADER_BYTES;
}

/* What of a frame is behind its first `skip` bytes. Returns the elements written. */
static unsigned behind(const struct frame *frame, size_t skip, struct iovec *iov)
{
	unsigned count = 0;

	for (unsigned i = 0; i < frame->iov_count; i++) {
		size_t there = frame->iov[i].iov_len;

		if (there > skip)
			iov[count++] =
				(struct iovec){ (uint8_t *)frame->iov[i].iov_base + skip, there - skip };
		skip -= there < skip ? there : skip;
	}
	return count;
}

/* The frame with the private copy of its head, and the rest where it is. */
static void append(struct forward_run *run, const struct passage *passage)
{
	const struct frame *frame = passage->frame;
	const struct packet *packet = passage->packet;
	struct iovec *iov = run->iov + run->iov_used;
	struct frame *appended = &run->frames[run->count++];

	iov[0] = (struct iovec){ (void *)packet->head, packet->head_bytes };
	appended->iov = iov;
	appended->iov_count = 1;
	appended->bytes = frame->bytes;
	appended->offload = frame->offload;
	if (frame->bytes > packet->head_bytes)
		appended->iov_count += behind(frame, packet->head_bytes, iov + 1);
	run->iov_used += appended->iov_count;
}

/* The same for all frames of one flow. */
static uint32_t flow_hash(const struct passage *passage)
{
	struct packet *packet = passage->packet;
	uint32_t hash = crc32c(0, packet->head, FRAME_HEADER_BYTES);

	packet_parse_rest(passage->frame, packet);
	if (packet->network && packet->type == PACKET_IPV4)
		hash = crc32c(hash, packet->head + packet->network + 12, 8);
	else if (packet->network && packet->type == PACKET_IPV6)
		hash = crc32c(hash, packet->head + packet->network + 8, 32);
	if (packet->payload && !packet->fragment)
		hash = crc32c(hash, packet->head + packet->transport, 4);
	return hash;
}

/*
 * Of several sinks: one on the same worker when there is any, so that the frame is copied once. Not inline,
 * as what few frames need costs all of them otherwise.
 */
static __attribute__((noinline)) struct port_sink *
choose_sink(const struct port *port, const struct port_source *source, const struct passage *passage)
{
	unsigned near = 0, chosen;

	for (unsigned i = 0; i < port->sink_count; i++)
		near += port->sinks[i]->loop == source->loop;
	chosen = flow_hash(passage) % (near > 0 ? near : port->sink_count);
	if (near == 0)
		return port->sinks[chosen];
	for (unsigned i = 0;; i++)
		if (port->sinks[i]->loop == source->loop && chosen-- == 0)
			return port->sinks[i];
}

/*
 * With source->cut begun: is it cut into so many pieces that others would wait? What was not paid for,
 * because only ports that look on get it, is not kept. Nor is what goes to the uplink: while it was not all
 * there, the card would seem to have room for others.
 */
static bool may_be_late(const struct port_source *source, const struct port_sink *sink,
			const struct passage *passage)
{
	uint64_t frames, bytes;

	packet_wire_size(passage->packet, passage->frame, &frames, &bytes);
	return source->late.bytes && source->cut.segments && frames > LATE_PIECES &&
	       passage->drop == PORT_DROPS && !sink->port->card;
}

/* Not inline for the same reason. */
static __attribute__((noinline)) void emit_cut(struct port_source *source, struct port_sink *sink,
					       const struct passage *passage, int tag)
{
	const struct frame *piece;

	if (packet_cut_begin(&source->cut, passage->packet, passage->frame, &sink->abilities, tag) !=
	    PACKET_FINE) {
		source_count_drop(source, PORT_DROP_TOO_LARGE);
		return;
	}
	if (may_be_late(source, sink, passage)) {
		source->late.wanted = true;
		return;
	}
	while ((piece = packet_cut_next(&source->cut)))
		sink_deliver(sink, source->loop, piece, 1);
}

/* The same for a frame that was found to be long when it came. Other receivers got it then. */
static void emit_part(struct port_source *source, struct port_sink *sink, const struct passage *passage,
		      int tag)
{
	struct late_frame *late = &source->late;
	const struct frame *piece;

	if (packet_cut_begin(&source->cut, passage->packet, passage->frame, &sink->abilities, tag) !=
		    PACKET_FINE ||
	    !may_be_late(source, sink, passage))
		return;
	late->skip = packet_cut_skip(&source->cut, late->skip);
	while (late->left > 0 && (piece = packet_cut_next(&source->cut))) {
		sink_deliver(sink, source->loop, piece, 1);
		late->left--;
		late->sent++;
	}
	late->more |= late->left == 0;
}

static void emit(struct port_source *source, struct port *port, const struct passage *passage)
{
	struct forward_run *run = &source->run;
	int tag = tag_at(port, passage);
	struct port_sink *sink;

	if (port->sink_count == 0) {
		__atomic_fetch_add(&port->no_sink, !source->late.on, __ATOMIC_RELAXED);
		return;
	}
	sink = port->sink_count == 1 ? port->sinks[0] : choose_sink(port, source, passage);
	if (source->late.on) {
		emit_part(source, sink, passage, tag);
		return;
	}
	if (run->sink != sink || run->count == PORT_BATCH ||
	    run->iov_used + passage->frame->iov_count + 1 > sizeof(run->iov) / sizeof(run->iov[0]))
		forward_flush(source);
	if (!fits(passage, &sink->abilities, tag)) {
		forward_flush(source);
		emit_cut(source, sink, passage, tag);
		return;
	}
	run->sink = sink;
	append(run, passage);
}

/* ---- finding the receivers ---- */

static bool is_multicast(const uint8_t *address)
{
	return address[0] & 1;
}

/* Between bridges and their neighbours only: spanning tree, LLDP, pause frames (IEEE 802.1Q, 8.6.3). */
static bool is_link_local(const uint8_t *address)
{
	static const uint8_t prefix[5] = { 0x01, 0x80, 0xc2, 0x00, 0x00 };

	return memcmp(address, prefix, sizeof(prefix)) == 0 && address[5] < 0x10;
}

static bool may_reach(const struct port *from, const struct port *to, unsigned vlan)
{
	return to != from && __atomic_load_n(&to->link, __ATOMIC_RELAXED) && port_carries(to, vlan) &&
	       !(from->settings.isolated && to->settings.isolated);
}

/* The limit of frames that go to many. One that may have to be cut for each of them counts as its segments.
 */
static bool floods_too_much(struct port_source *source, const struct frame *frame)
{
	const struct frame_offload *offload = &frame->offload;
	uint64_t frames = offload->gso_type == FRAME_GSO_NONE ? 1 : frame->bytes / offload->gso_bytes + 1u;
	struct port *port = source->port;
	uint64_t now_ns = source_now_ns(source);
	bool too_much;

	if (port->settings.flood_limit == 0)
		return false;
	pthread_mutex_lock(&port->flood_lock);
	too_much = bucket_wait_ns(&port->flood, frames, now_ns) > 0;
	if (!too_much)
		bucket_take(&port->flood, frames);
	pthread_mutex_unlock(&port->flood_lock);
	return too_much;
}

/* Returns whether anybody was meant. */
static bool to_many(struct port_source *source, const struct passage *passage, bool promiscuous_only,
		    const struct port *except)
{
	bool any = false;

	for (struct port *port = source->port->vswitch->ports; port; port = port->next) {
		if (port == except || (promiscuous_only && !port->settings.promiscuous) ||
		    !may_reach(source->port, port, passage->vlan))
			continue;
		emit(source, port, passage);
		any = true;
	}
	return any;
}

static enum port_drop refused_by(const struct port *from, const struct port *to, unsigned vlan)
{
	if (to == from)
		return PORT_DROP_UNKNOWN;
	if (!__atomic_load_n(&to->link, __ATOMIC_RELAXED))
		return PORT_DROP_LINK;
	return port_carries(to, vlan) ? PORT_DROP_ISOLATED : PORT_DROP_VLAN;
}

/* The receiver of a frame that is for one alone; passage->drop is set when it may not have it. */
static void find_one(const struct port_source *source, struct passage *passage)
{
	const struct vswitch *vswitch = source->port->vswitch;
	const struct mac_entry *entry =
		mac_table_find(&vswitch->table, packet_destination(passage->packet), passage->vlan);

	passage->to = entry ? entry->port : vswitch->uplink;
	if (!passage->to)
		passage->drop = PORT_DROP_UNKNOWN;
	else if (!may_reach(source->port, passage->to, passage->vlan))
		passage->drop = refused_by(source->port, passage->to, passage->vlan);
}

/* ---- may the port send it? ---- */

/* Returns false when the frame's tag, or its having none, is not the port's to use. */
static bool vlan_of(const struct port *port, const struct packet *packet, unsigned *ret_vlan)
{
	unsigned vlan = packet->tags > 0 ? packet->tag & 0xfffu : 0;

	if (port->card) {
		*ret_vlan = vlan;
		return vlan < MAC_ANY_VLAN;
	}
	if (packet->tags > 1)
		return false;
	if (vlan == 0) {
		/* Untagged, or tagged for its priority's sake only */
		*ret_vlan = port->settings.vlan;
		return !port->settings.trunk || port->settings.vlan != 0;
	}
	*ret_vlan = vlan;
	return vlan < MAC_ANY_VLAN && port->settings.trunk && port_carries(port, vlan);
}

/* Remembers to learn, or that the address is still in use. */
static bool learns(struct port_source *source, const struct packet *packet, unsigned vlan)
{
	const struct vswitch *vswitch = source->port->vswitch;
	mac_key key = mac_key_of(packet_source(packet), vlan);
	struct mac_entry *entry = mac_table_entry(&vswitch->table, key);

	/* Another port's own address is not to be had. */
	if (mac_table_entry(&vswitch->table, mac_key_of(packet_source(packet), MAC_ANY_VLAN)))
		return false;
	if (entry && entry->port == source->port)
		__atomic_store_n(&entry->seen_ns, source_now_ns(source), __ATOMIC_RELAXED);
	else
		source->learn = key;
	return true;
}

static bool source_is_allowed(struct port_source *source, const struct packet *packet, unsigned vlan)
{
	static const uint8_t none[FRAME_ADDRESS_BYTES];
	const struct port *port = source->port;
	const uint8_t *address = packet_source(packet);
	const struct mac_entry *fixed;

	if (!port->card && memcmp(address, port->address, FRAME_ADDRESS_BYTES) == 0)
		return true;
	if (is_multicast(address) || memcmp(address, none, sizeof(none)) == 0)
		return false;
	if (!port->card)
		return port->settings.learn && learns(source, packet, vlan);
	/* A guest's own address does not come from outside: it would be an echo, or somebody's lie. */
	fixed = mac_table_entry(&port->vswitch->table, mac_key_of(address, MAC_ANY_VLAN));
	return !fixed || !__atomic_load_n(&fixed->port->link, __ATOMIC_RELAXED);
}

/* Returns PORT_DROPS when it may pass, with passage->vlan set. */
static enum port_drop admit(struct port_source *source, struct passage *passage, struct packet *packet)
{
	const struct port *port = source->port;
	enum packet_fault fault = packet_parse_begin(passage->frame, packet);

	if (fault != PACKET_FINE)
		return fault == PACKET_LONG ? PORT_DROP_TOO_LARGE : PORT_DROP_MALFORMED;
	if (!__atomic_load_n(&port->link, __ATOMIC_RELAXED))
		return PORT_DROP_LINK;
	if (!vlan_of(port, packet, &passage->vlan))
		return PORT_DROP_VLAN;
	if (!source_is_allowed(source, packet, passage->vlan))
		return PORT_DROP_SOURCE;
	if (port->settings.allowed_count == 0)
		return PORT_DROPS;
	packet_parse_rest(passage->frame, packet);
	return guard_refuses(&port->settings, packet) ? PORT_DROP_GUARD : PORT_DROPS;
}

void forward_judge(struct port_source *source, struct passage *passage, struct packet *packet)
{
	passage->to = NULL;
	passage->drop = admit(source, passage, packet);
	passage->admitted = passage->drop == PORT_DROPS;
	if (!passage->admitted)
		return;
	if (!is_multicast(packet_destination(packet)))
		find_one(source, passage);
	else if (is_link_local(packet_destination(packet)))
		passage->drop = PORT_DROP_UNKNOWN;
}

void forward_pass(struct port_source *source, struct passage *passage)
{
	bool many = passage->admitted && is_multicast(packet_destination(passage->packet));

	if (passage->drop == PORT_DROPS && many && !source->late.on &&
	    floods_too_much(source, passage->frame))
		passage->drop = PORT_DROP_FLOOD;
	else if (passage->drop == PORT_DROPS && many && !to_many(source, passage, false, NULL))
		passage->drop = PORT_DROP_UNKNOWN;
	else if (passage->drop == PORT_DROPS && !many)
		emit(source, passage->to, passage);
	/* Also what its receiver may not have. */
	if (passage->admitted && !many && source->port->vswitch->promiscuous > 0 &&
	    to_many(source, passage, true, passage->to))
		passage->drop = PORT_DROPS;
}
