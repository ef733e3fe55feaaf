/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames through a packet socket, up to NIC_BATCH_MAX with one system call. Each begins with its offload
 * header. What the kernel puts aside of a frame comes with it as control messages: the VLAN tag, which is put
 * back, and how many frames have been lost for want of room.
 */
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>

#include "host/nic_packet_private.h"

#define VLAN_TAG_BYTES	4u
#define ADDRESSES_BYTES (sizeof(uint8_t[2][FRAME_ADDRESS_BYTES]))
#define CONTROL_BYTES	(CMSG_SPACE(sizeof(struct tpacket_auxdata)) + CMSG_SPACE(sizeof(uint32_t)))

/* What of a frame came beside its bytes. */
struct packet_aside {
	bool tagged;
	uint16_t tag_type, tag;
};

struct packet_control {
	_Alignas(struct cmsghdr) uint8_t bytes[CONTROL_BYTES];
};

struct packet_channel {
	struct nic_channel base;
	uint32_t lost; /* as the socket said last */
	struct mmsghdr in[NIC_BATCH_MAX];
	struct iovec in_iov[NIC_BATCH_MAX];
	struct sockaddr_ll in_from[NIC_BATCH_MAX];
	struct packet_control in_control[NIC_BATCH_MAX];
	struct mmsghdr out[NIC_BATCH_MAX];
	struct iovec out_iov[NIC_BATCH_MAX][FRAME_CUT_IOV_MAX + 1];
};

static struct packet_channel *packet_channel(struct nic_channel *channel)
{
	return container_of(channel, struct packet_channel, base);
}

/* ---- receiving ---- */

/* recvmmsg() has written to the header: as it was before. */
static void in_reset(struct packet_channel *channel, unsigned index)
{
	channel->in[index].msg_hdr = (struct msghdr){
		.msg_name = &channel->in_from[index],
		.msg_namelen = sizeof(channel->in_from[index]),
		.msg_iov = &channel->in_iov[index],
		.msg_iovlen = 1,
		.msg_control = &channel->in_control[index],
		.msg_controllen = sizeof(channel->in_control[index]),
	};
}

static void packet_prepare(struct nic_channel *base)
{
	struct packet_channel *channel = packet_channel(base);

	for (unsigned i = 0; i < NIC_BATCH_MAX; i++) {
		channel->in_iov[i] = (struct iovec){ nic_channel_buffer(base, i), NIC_BUFFER_BYTES };
		in_reset(channel, i);
		channel->out[i].msg_hdr.msg_iov = channel->out_iov[i];
	}
}

/* A new socket begins with 0. */
static void count_lost(struct packet_channel *channel, uint32_t lost)
{
	uint32_t before = lost >= channel->lost ? channel->lost : 0;

	nic_count(&channel->base.base.nic->counters.overrun, lost - before);
	channel->lost = lost;
}

static void read_control(struct packet_channel *channel, struct msghdr *message,
			 struct packet_aside *ret_aside)
{
	for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control;
	     control = CMSG_NXTHDR(message, control)) {
		if (control->cmsg_level == SOL_PACKET && control->cmsg_type == PACKET_AUXDATA) {
			struct tpacket_auxdata aux;

			memcpy(&aux, CMSG_DATA(control), sizeof(aux));
			ret_aside->tagged = aux.tp_status & TP_STATUS_VLAN_VALID;
			ret_aside->tag = aux.tp_vlan_tci;
			if (aux.tp_status & TP_STATUS_VLAN_TPID_VALID)
				ret_aside->tag_type = aux.tp_vlan_tpid;
		} else if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SO_RXQ_OVFL) {
			uint32_t lost;

			memcpy(&lost, CMSG_DATA(control), sizeof(lost));
			count_lost(channel, lost);
		}
	}
}

/* Puts a tag behind the addresses: these move to where the offload header was. Returns the new beginning. */
static uint8_t *put_tag_back(uint8_t *frame, const struct packet_aside *aside, struct frame_offload *offload)
{
	uint16_t tag[2] = { __builtin_bswap16(aside->tag_type), __builtin_bswap16(aside->tag) };
	uint8_t *tagged = frame - VLAN_TAG_BYTES;

	static_assert(sizeof(tag) == VLAN_TAG_BYTES && VLAN_TAG_BYTES <= FRAME_OFFLOAD_WIRE_BYTES,
		      "there is room for it");
	memmove(tagged, frame, ADDRESSES_BYTES);
	memcpy(tagged + ADDRESSES_BYTES, tag, sizeof(tag));
	/* Wrapped sums fit no frame, and are found out. */
	if (offload->flags & FRAME_CSUM_NEEDED)
		offload->csum_start = (uint16_t)(offload->csum_start + VLAN_TAG_BYTES);
	if (offload->header_bytes > 0)
		offload->header_bytes = (uint16_t)(offload->header_bytes + VLAN_TAG_BYTES);
	return tagged;
}

static void take_message(struct packet_channel *channel, unsigned index)
{
	struct packet_aside aside = { .tag_type = ETH_P_8021Q };
	uint8_t *frame = channel->in_iov[index].iov_base;
	size_t bytes = channel->in[index].msg_len;
	struct frame_offload offload = { 0 };

	read_control(channel, &channel->in[index].msg_hdr, &aside);
	/* Before Linux 6.6, sockets of a group get what the host sends as well. */
	if (channel->in_from[index].sll_pkttype == PACKET_OUTGOING)
		return;
	if (bytes < sizeof(offload) + FRAME_HEADER_BYTES) {
		nic_channel_add(&channel->base, &offload, frame, 0);
		return;
	}
	memcpy(&offload, frame, sizeof(offload));
	frame += sizeof(offload);
	bytes -= sizeof(offload);
	if (aside.tagged) {
		frame = put_tag_back(frame, &aside, &offload);
		bytes += VLAN_TAG_BYTES;
	}
	nic_channel_add(&channel->base, &offload, frame, bytes);
}

/*
 * Errors take the place of a frame: that the interface went down is said once; a frame whose offload the
 * header cannot tell is dropped by the kernel (EINVAL).
 */
static bool packet_receive(struct nic_channel *base)
{
	struct packet_channel *channel = packet_channel(base);
	unsigned used = 0, errors = 0;

	while (used + errors < NIC_BATCH_MAX) {
		int got = recvmmsg(base->fd, channel->in + used, NIC_BATCH_MAX - used - errors, MSG_DONTWAIT,
				   NULL);

		if (got < 0 && errno == EAGAIN)
			return false;
		if (got < 0) {
			nic_count(&base->base.nic->counters.malformed, errno == EINVAL);
			errors++;
		}
		for (; got > 0; got--, used++) {
			take_message(channel, used);
			in_reset(channel, used);
		}
	}
	return true;
}

/* ---- sending ---- */

static void out_set(struct packet_channel *channel, unsigned index, const struct frame *frame)
{
	struct iovec *iov = channel->out_iov[index];

	assert(frame->iov_count <= FRAME_CUT_IOV_MAX);
	assert(frame->bytes >= FRAME_HEADER_BYTES && frame->bytes <= FRAME_BYTES_MAX);
	iov[0] = (struct iovec){ (void *)&frame->offload, sizeof(frame->offload) };
	memcpy(iov + 1, frame->iov, frame->iov_count * sizeof(iov[0]));
	channel->out[index].msg_hdr.msg_iovlen = frame->iov_count + 1;
}

/* Sends one batch; returns how many frames were taken. */
static unsigned send_batch(struct packet_channel *channel, const struct frame *frames, unsigned count)
{
	unsigned taken = 0;

	for (unsigned i = 0; i < count; i++)
		out_set(channel, i, &frames[i]);
	while (taken < count) {
		int sent = sendmmsg(channel->base.fd, channel->out + taken, count - taken, MSG_DONTWAIT);
		uint64_t bytes = 0;

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0) {
			if (nic_channel_refused(&channel->base, errno) == NIC_NO_ROOM)
				break;
			taken++;
			continue;
		}
		for (int i = 0; i < sent; i++)
			bytes += frames[taken + i].bytes;
		nic_channel_sent(&channel->base, (unsigned)sent, bytes);
		taken += (unsigned)sent;
	}
	return taken;
}

static unsigned packet_send(struct host_nic_channel *base, const struct frame *frames, unsigned count)
{
	struct packet_channel *channel = packet_channel(container_of(base, struct nic_channel, base));
	unsigned taken = 0, batch, done;

	if (!channel->base.up) {
		nic_count(&base->nic->counters.no_link, count);
		return count;
	}
	do {
		batch = count - taken < NIC_BATCH_MAX ? count - taken : NIC_BATCH_MAX;
		done = send_batch(channel, frames + taken, batch);
		taken += done;
	} while (done == batch && taken < count);
	return taken;
}

static int packet_channel_fd(const struct host_nic *nic, unsigned index)
{
	return -1;
}

const struct host_nic_ops nic_packet_ops = {
	.name = "packet",
	.channel_open = nic_channel_open,
	.channel_close = nic_channel_close,
	.send = packet_send,
	.channel_fd = packet_channel_fd,
	.close = nic_packet_close,
};

const struct nic_interface_kind nic_packet_kind = {
	.channel_bytes = sizeof(struct packet_channel),
	.attach = nic_packet_attach,
	.detach = nic_packet_detach,
	.prepare = packet_prepare,
	.receive = packet_receive,
};
