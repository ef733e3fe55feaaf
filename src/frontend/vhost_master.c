/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "frontend/vhost_master.h"

#include <errno.h>
#include <string.h>

int vhost_fail(struct frontend *frontend, int error, const char *text)
{
	frontend->error = text;
	return error;
}

static int receive_reply(struct frontend *frontend, struct vhost_message *message, uint32_t request,
			 int timeout_ms)
{
	int error = vhost_message_receive(frontend->socket, message, timeout_ms);

	if (error)
		return vhost_fail(frontend, error,
				  error == -EPIPE	? "the back end closed the connection"
				  : error == -ETIMEDOUT ? "the back end does not answer"
							: "the back end sent nonsense");
	if (!message->reply || message->request != request) {
		vhost_message_close_fds(message);
		return vhost_fail(frontend, -EPROTO, "the back end answered another question");
	}
	return 0;
}

/* Sends a message that has no answer of its own; with REPLY_ACK the back end confirms it. */
int vhost_tell(struct frontend *frontend, uint32_t request, const void *payload, size_t bytes, int fd)
{
	struct vhost_message message = {
	    .request = request,
	    .need_reply = frontend->protocol_features & P_REPLY_ACK,
	    .bytes = (uint32_t)bytes,
	    .fds = {fd},
	    .fd_count = fd >= 0,
	};
	bool acknowledged = message.need_reply;
	uint64_t answer;
	int error;

	assert(bytes <= sizeof(message.payload));
	if (bytes > 0)
		memcpy(message.payload, payload, bytes);
	error = vhost_message_send(frontend->socket, &message);
	if (error)
		return vhost_fail(frontend, error, "the back end closed the connection");
	if (!acknowledged)
		return 0;
	error = receive_reply(frontend, &message, request, REPLY_TIMEOUT_MS);
	if (error)
		return error;
	vhost_message_close_fds(&message);
	memcpy(&answer, message.payload, sizeof(answer));
	if (message.bytes != sizeof(answer) || answer != 0)
		return vhost_fail(frontend, -EPROTO, "the back end refused a message");
	return 0;
}

int vhost_tell_u64(struct frontend *frontend, uint32_t request, uint64_t value, int fd)
{
	return vhost_tell(frontend, request, &value, sizeof(value), fd);
}

/* Sends a question and receives its answer of at least `answer_min` bytes; fds stay in the message. */
int vhost_ask(struct frontend *frontend, struct vhost_message *message, size_t answer_min, int timeout_ms)
{
	uint32_t request = message->request;
	int error = vhost_message_send(frontend->socket, message);

	if (error)
		return vhost_fail(frontend, error, "the back end closed the connection");
	error = receive_reply(frontend, message, request, timeout_ms);
	if (error)
		return error;
	if (message->bytes < answer_min) {
		vhost_message_close_fds(message);
		return vhost_fail(frontend, -EPROTO, "the back end's answer is too short");
	}
	return 0;
}

int vhost_ask_u64(struct frontend *frontend, uint32_t request, uint64_t *ret_value)
{
	struct vhost_message message = {.request = request};
	int error = vhost_ask(frontend, &message, sizeof(*ret_value), REPLY_TIMEOUT_MS);

	if (error)
		return error;
	vhost_message_close_fds(&message);
	memcpy(ret_value, message.payload, sizeof(*ret_value));
	return 0;
}
