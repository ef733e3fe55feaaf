/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames on their way to peers. Neighbouring frames to the same peer go to the kernel with one system call.
 *
 * What the kernel says when it takes no datagram: EAGAIN, the peer's socket is full. Another error is about
 * this datagram (there is no route, the source address is gone, it is too large, a filter or a full queue of
 * the host has dropped it), or it is an older one that came back from the network as ICMP. Those wait in the
 * socket's error queue, which tells them apart: then the datagram is sent again.
 */
#include <errno.h>
#include <string.h>
#include <time.h>
/* Needs struct timespec, and does not say so. */
#include <linux/errqueue.h>

#include "core/iov.h"
#include "host/nic_vxlan_private.h"

#define VLAN_TAG_BYTES 4u
/* As many as are looked at when the socket tells of one. */
#define ERRORS_MAX 64u

#define UNKNOWN_NS (NS_PER_S / NIC_VXLAN_UNKNOWN_PER_S)
/* So much of the limit is saved up while nothing comes. */
#define UNKNOWN_BURST_NS NS_PER_S

/* Where a frame goes: a peer's number, or: */
#define TO_MANY	   (NIC_VXLAN_PEERS_MAX + 1)
#define TO_UNKNOWN (NIC_VXLAN_PEERS_MAX + 2) /* to many, for want of knowledge */
#define TO_NONE	   (NIC_VXLAN_PEERS_MAX + 3) /* it is too large */

static void count_refused(struct vxlan_channel *channel, unsigned datagrams)
{
	nic_count(&channel->base.nic->counters.refused, datagrams);
}

/* ---- errors that came back ---- */

static bool is_from_network(struct msghdr *message)
{
	for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control;
	     control = CMSG_NXTHDR(message, control)) {
		struct sock_extended_err error;

		if (!(control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_RECVERR) &&
		    !(control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_RECVERR))
			continue;
		memcpy(&error, CMSG_DATA(control), sizeof(error));
		return error.ee_origin == SO_EE_ORIGIN_ICMP || error.ee_origin == SO_EE_ORIGIN_ICMP6;
	}
	return false;
}

/* Empties the socket's error queue. Returns how many errors came from the network. */
static unsigned take_errors(struct nic_vxlan *nic, const struct vxlan_peer *peer)
{
	_Alignas(struct cmsghdr)
		uint8_t control[CMSG_SPACE(sizeof(struct sock_extended_err) + sizeof(struct sockaddr_in6))];
	unsigned from_network = 0;

	for (unsigned i = 0; i < ERRORS_MAX; i++) {
		struct msghdr message = { .msg_control = control, .msg_controllen = sizeof(control) };

		if (recvmsg(peer->fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
			break;
		from_network += is_from_network(&message);
	}
	nic_count(&nic->counters.unreachable, from_network);
	return from_network;
}

/* ---- datagrams to one peer ---- */

/* What became of the frames that were given to push(). */
struct outcome {
	unsigned taken; /* sent or refused */
	unsigned sent;
	uint64_t sent_bytes; /* of frames */
};

static void message_set(struct vxlan_channel *channel, unsigned index, const struct frame *frame)
{
	struct iovec *iov = channel->out_iov[index];

	assert(frame->iov_count <= FRAME_CUT_IOV_MAX);
	assert(frame->bytes >= FRAME_HEADER_BYTES && frame->bytes <= FRAME_BYTES_MAX);
	iov[0] = (struct iovec){ channel->nic->header, sizeof(channel->nic->header) };
	memcpy(iov + 1, frame->iov, frame->iov_count * sizeof(iov[0]));
	channel->out[index].msg_hdr.msg_iovlen = frame->iov_count + 1;
}

/* Returns how many frames are to be given up: all, or none, and then they wait. */
static unsigned no_room(struct vxlan_channel *channel, unsigned number, unsigned count, bool may_wait)
{
	if (may_wait && loop_now_ns(channel->loop) >= channel->nic->peers[number].distrust_until_ns) {
		vxlan_wait_for_room(channel, number);
		return 0;
	}
	nic_count(&channel->nic->counters.no_room, count);
	count_refused(channel, count);
	return count;
}

/* Sends frames whose messages are set, from the first one on. */
static struct outcome push(struct vxlan_channel *channel, unsigned number, const struct frame *frames,
			   unsigned count, bool may_wait)
{
	struct vxlan_peer *peer = &channel->nic->peers[number];
	struct outcome outcome = { 0 };
	bool again = false;

	for (unsigned i = 0; i < count; i++) {
		channel->out[i].msg_hdr.msg_name = &peer->address;
		channel->out[i].msg_hdr.msg_namelen = channel->nic->address_bytes;
	}
	while (outcome.taken < count) {
		int sent =
			sendmmsg(peer->fd, channel->out + outcome.taken, count - outcome.taken, MSG_DONTWAIT);

		if (sent < 0 && errno == EAGAIN) {
			outcome.taken += no_room(channel, number, count - outcome.taken, may_wait);
			break;
		}
		if (sent < 0) {
			again = take_errors(channel->nic, peer) > 0 && !again;
			if (!again) {
				count_refused(channel, 1);
				outcome.taken++;
			}
			continue;
		}
		again = false;
		for (int i = 0; i < sent; i++)
			outcome.sent_bytes += frames[outcome.taken + (unsigned)i].bytes;
		outcome.taken += (unsigned)sent;
		outcome.sent += (unsigned)sent;
	}
	return outcome;
}

static void count_sent(struct vxlan_channel *channel, unsigned frames, uint64_t bytes)
{
	nic_count(&channel->base.nic->counters.sent, frames);
	nic_count(&channel->base.nic->counters.sent_bytes, bytes);
}

/* Frames to one peer. Returns how many were taken: fewer when the others wait. */
static unsigned send_to_one(struct vxlan_channel *channel, unsigned number, const struct frame *frames,
			    unsigned count)
{
	struct outcome outcome;

	for (unsigned i = 0; i < count; i++)
		message_set(channel, i, &frames[i]);
	outcome = push(channel, number, frames, count, true);
	count_sent(channel, outcome.sent, outcome.sent_bytes);
	return outcome.taken;
}

/* ---- frames to all peers ---- */

/* Takes one from the limit, if there is one left. */
static bool may_flood_unknown(struct vxlan_channel *channel)
{
	uint64_t now_ns = loop_now_ns(channel->loop), *next_ns = &channel->nic->unknown_next_ns;

	if (*next_ns < now_ns)
		*next_ns = now_ns;
	if (*next_ns >= now_ns + UNKNOWN_BURST_NS)
		return false;
	*next_ns += UNKNOWN_NS;
	return true;
}

static void send_to_all(struct vxlan_channel *channel, const struct frame *frame)
{
	unsigned sent = 0;

	message_set(channel, 0, frame);
	for (unsigned i = 0; i < channel->nic->peer_count; i++)
		sent += push(channel, i, frame, 1, false).sent;
	nic_count(&channel->nic->counters.flooded, 1);
	if (sent > 0)
		count_sent(channel, 1, frame->bytes);
}

/* ---- where a frame goes ---- */

static unsigned direct(struct vxlan_channel *channel, const struct frame *frame)
{
	struct nic_vxlan *nic = channel->nic;
	uint8_t destination[FRAME_ADDRESS_BYTES] = { 0 };
	unsigned peer;

	assert(frame->offload.gso_type == FRAME_GSO_NONE && !(frame->offload.flags & FRAME_CSUM_NEEDED));
	if (frame->bytes > nic->base.sends.mtu + FRAME_HEADER_BYTES + VLAN_TAG_BYTES)
		return TO_NONE;
	if (nic->peer_count == 1)
		return 0;
	iov_copy_out(frame->iov, frame->iov_count, 0, destination, sizeof(destination));
	if (destination[0] & 1)
		return TO_MANY;
	peer = vxlan_table_find(&nic->table, destination, loop_now_ns(channel->loop));
	return peer == VXLAN_PEER_NONE ? TO_UNKNOWN : peer;
}

/* A frame that goes to no one peer. */
static void send_other(struct vxlan_channel *channel, unsigned to, const struct frame *frame)
{
	if (to == TO_NONE) {
		count_refused(channel, 1);
	} else if (to == TO_UNKNOWN && !may_flood_unknown(channel)) {
		nic_count(&channel->nic->counters.held_back, 1);
		count_refused(channel, 1);
	} else {
		send_to_all(channel, frame);
	}
}

/* Sends one batch; returns how many frames were taken. */
static unsigned send_batch(struct vxlan_channel *channel, const struct frame *frames, unsigned count)
{
	unsigned to[NIC_BATCH_MAX], taken = 0;

	for (unsigned i = 0; i < count; i++)
		to[i] = direct(channel, &frames[i]);
	while (taken < count) {
		unsigned run = 1, done;

		if (to[taken] >= NIC_VXLAN_PEERS_MAX) {
			send_other(channel, to[taken], &frames[taken]);
			taken++;
			continue;
		}
		while (taken + run < count && to[taken + run] == to[taken])
			run++;
		done = send_to_one(channel, to[taken], &frames[taken], run);
		taken += done;
		if (done < run)
			break;
	}
	return taken;
}

unsigned vxlan_send(struct host_nic_channel *base, const struct frame *frames, unsigned count)
{
	struct vxlan_channel *channel = vxlan_channel_of(base);
	unsigned taken = 0, batch, done;

	if (!base->nic->up) {
		nic_count(&base->nic->counters.no_link, count);
		return count;
	}
	if (channel->waiting)
		return 0;
	do {
		batch = count - taken < NIC_BATCH_MAX ? count - taken : NIC_BATCH_MAX;
		done = send_batch(channel, frames + taken, batch);
		taken += done;
	} while (done == batch && taken < count);
	return taken;
}
