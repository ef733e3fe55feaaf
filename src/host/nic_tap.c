/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames through a tap: one system call for each, with the offload header in front, in either direction. The
 * kernel cuts what its receivers cannot take whole, so that one call may move 64 KiB.
 */
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "host/nic_tap_private.h"

static bool tap_receive(struct nic_channel *channel)
{
	for (unsigned i = 0; i < NIC_BATCH_MAX; i++) {
		uint8_t *buffer = nic_channel_buffer(channel, channel->frame_count);
		ssize_t bytes = read(channel->fd, buffer, NIC_BUFFER_BYTES);
		struct frame_offload offload;

		/* Nothing there; or no interface any more, which the watch tells of, too. */
		if (bytes < (ssize_t)sizeof(offload))
			return false;
		memcpy(&offload, buffer, sizeof(offload));
		nic_channel_add(channel, &offload, buffer + sizeof(offload), (size_t)bytes - sizeof(offload));
	}
	return true;
}

static ssize_t send_one(const struct nic_channel *channel, const struct frame *frame)
{
	struct iovec iov[FRAME_CUT_IOV_MAX + 1];
	ssize_t bytes;

	assert(frame->iov_count <= FRAME_CUT_IOV_MAX);
	assert(frame->bytes >= FRAME_HEADER_BYTES && frame->bytes <= FRAME_BYTES_MAX);
	iov[0] = (struct iovec){ (void *)&frame->offload, sizeof(frame->offload) };
	memcpy(iov + 1, frame->iov, frame->iov_count * sizeof(iov[0]));
	do
		bytes = writev(channel->fd, iov, (int)frame->iov_count + 1);
	while (bytes < 0 && errno == EINTR);
	return bytes;
}

static unsigned tap_send(struct host_nic_channel *base, const struct frame *frames, unsigned count)
{
	struct nic_channel *channel = container_of(base, struct nic_channel, base);
	unsigned taken = 0, sent = 0;
	uint64_t bytes = 0;

	if (!channel->up) {
		nic_count(&base->nic->counters.no_link, count);
		return count;
	}
	for (; taken < count; taken++) {
		if (send_one(channel, &frames[taken]) >= 0) {
			channel->refused_once = false;
			bytes += frames[taken].bytes;
			sent++;
		} else if (nic_channel_refused(channel, errno) == NIC_NO_ROOM) {
			break;
		}
	}
	nic_channel_sent(channel, sent, bytes);
	return taken;
}

static int tap_channel_fd(const struct host_nic *nic, unsigned index)
{
	const struct nic_interface *interface = (const struct nic_interface *)nic;

	return index < nic->channels ? interface->slots[index].fd : -1;
}

const struct host_nic_ops nic_tap_ops = {
	.name = "tap",
	.channel_open = nic_channel_open,
	.channel_close = nic_channel_close,
	.send = tap_send,
	.channel_fd = tap_channel_fd,
	.close = nic_tap_close,
};

const struct nic_interface_kind nic_tap_kind = {
	.channel_bytes = sizeof(struct nic_channel),
	.attach = nic_tap_attach,
	.detach = nic_tap_detach,
	.receive = tap_receive,
};
