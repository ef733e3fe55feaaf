/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/web/web_ask.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>

#include "core/fd.h"
#include "host/viewer/viewer_input.h"

/* An answer: the message, and behind it in the same packet the text. */
struct packet {
	struct viewer_message message;
	char text[VIEWER_STATE_MAX];
};

static_assert(sizeof(struct packet) == sizeof(struct viewer_message) + VIEWER_STATE_MAX, "no holes");

static bool is_answer(const struct packet *packet, ssize_t received)
{
	return received >= (ssize_t)sizeof(packet->message) && packet->message.kind == VIEWER_JUDGED &&
	       packet->message.number <= VIEWER_ABSENT;
}

static ssize_t receive(int inner, struct packet *packet)
{
	struct pollfd poll_fd = { .fd = inner, .events = POLLIN };
	ssize_t received;
	size_t fds;

	while ((received = fd_receive(inner, packet, sizeof(*packet), NULL, 0, &fds)) == -EAGAIN) {
		if (poll(&poll_fd, 1, -1) < 0 && errno != EINTR)
			return -errno;
	}
	return received;
}

int web_ask(int inner, enum viewer_message_kind question, const char *token, struct web_answer *ret_answer)
{
	struct viewer_message message = { .kind = question };
	struct packet packet;
	ssize_t received;

	assert(strlen(token) < sizeof(message.name));
	strncpy(message.name, token, sizeof(message.name) - 1);
	if (!viewer_tell(inner, &message))
		return -EPIPE;
	received = receive(inner, &packet);
	if (!is_answer(&packet, received))
		return -EPIPE;
	ret_answer->verdict = packet.message.number;
	ret_answer->text_bytes = (size_t)received - sizeof(packet.message);
	memcpy(ret_answer->text, packet.text, ret_answer->text_bytes);
	return 0;
}
