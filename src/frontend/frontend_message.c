/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vhost-user messages: request, flags, size (32 bits each), payload; descriptors with the first byte. */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "core/fd.h"
#include "frontend/frontend_private.h"

#define FLAGS_VERSION	   1u
#define FLAGS_VERSION_MASK 3u
#define FLAGS_REPLY	   (1u << 2)
#define FLAGS_NEED_REPLY   (1u << 3)

struct header {
	uint32_t request, flags, bytes;
};

int vhost_message_send(int socket, const struct vhost_message *message)
{
	uint8_t buffer[sizeof(struct header) + VHOST_PAYLOAD_MAX];
	const struct header header = {
	    .request = message->request,
	    .flags = FLAGS_VERSION | (message->reply ? FLAGS_REPLY : 0) |
		     (message->need_reply ? FLAGS_NEED_REPLY : 0),
	    .bytes = message->bytes,
	};
	size_t bytes = sizeof(header) + message->bytes, done = 0;

	assert(message->bytes <= VHOST_PAYLOAD_MAX && message->fd_count <= VHOST_FDS_MAX);
	memcpy(buffer, &header, sizeof(header));
	memcpy(buffer + sizeof(header), message->payload, message->bytes);
	while (done < bytes) {
		ssize_t sent = fd_send(socket, buffer + done, bytes - done, message->fds,
				       done == 0 ? message->fd_count : 0);

		if (sent < 0)
			return sent == -ECONNRESET ? -EPIPE : (int)sent;
		done += (size_t)sent;
	}
	return 0;
}

/* Receives exactly `bytes`; descriptors that come with them are appended to the message. */
static int receive_all(int socket, void *buffer, size_t bytes, struct vhost_message *message, int timeout_ms)
{
	size_t done = 0;

	while (done < bytes) {
		struct pollfd waiting = {.fd = socket, .events = POLLIN};
		size_t fd_count = 0;
		ssize_t got = fd_receive(socket, (uint8_t *)buffer + done, bytes - done,
					 message->fds + message->fd_count, VHOST_FDS_MAX - message->fd_count,
					 &fd_count);

		if (got == -EAGAIN) {
			int ready = poll(&waiting, 1, timeout_ms);

			if (ready == 0)
				return -ETIMEDOUT;
			if (ready < 0 && errno != EINTR)
				return -errno;
			continue;
		}
		if (got == 0 || got == -ECONNRESET)
			return -EPIPE;
		message->fd_count += (unsigned)fd_count;
		if (got < 0)
			return got == -EMSGSIZE ? -EPROTO : (int)got;
		done += (size_t)got;
	}
	return 0;
}

int vhost_message_receive(int socket, struct vhost_message *message, int timeout_ms)
{
	struct header header;
	int error;

	message->fd_count = 0;
	error = receive_all(socket, &header, sizeof(header), message, timeout_ms);
	if (!error &&
	    (header.bytes > VHOST_PAYLOAD_MAX || (header.flags & FLAGS_VERSION_MASK) != FLAGS_VERSION))
		error = -EPROTO;
	if (!error)
		error = receive_all(socket, message->payload, header.bytes, message, timeout_ms);
	if (error) {
		vhost_message_close_fds(message);
		return error;
	}
	message->request = header.request;
	message->reply = header.flags & FLAGS_REPLY;
	message->need_reply = header.flags & FLAGS_NEED_REPLY;
	message->bytes = header.bytes;
	return 0;
}

void vhost_message_close_fds(struct vhost_message *message)
{
	for (unsigned i = 0; i < message->fd_count; i++)
		fd_close(&message->fds[i]);
	message->fd_count = 0;
}
