/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VMM's socket, read by the worker itself: a trapped load of the guest's waits for the answer, and the
 * way through another process would double that.
 *
 * Descriptors are not ours to receive (door/doorman.h). A look at what is there (MSG_PEEK) without room for
 * descriptors tells whether there are any among the bytes (MSG_CTRUNC); bytes without are read. A message
 * with descriptors is fetched by the doorman, and comes through the door.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "core/fd.h"
#include "core/reaper.h"
#include "interfaces/door/doorman.h"
#include "interfaces/vfio_user/vfio_user_connection.h"

static_assert(VFIO_USER_MESSAGE_MAX <= DOORMAN_FETCH_MAX, "a doorman fetches whole messages");
static_assert(VFIO_USER_FDS_MAX <= DOORMAN_FETCH_FDS_MAX, "with all of their descriptors");
static_assert(VFIO_USER_MESSAGE_MAX <= VFIO_USER_IN_BYTES, "and there is room for one");

static struct vfio_user_header header_of(const struct vfio_user_connection *connection)
{
	struct vfio_user_header header;

	assert(connection->in_bytes >= sizeof(header));
	memcpy(&header, connection->in + connection->in_at, sizeof(header));
	return header;
}

/* ---- looking ---- */

/* Looks at `bytes` at most. Returns how many are there, 0 at the end, or -errno. */
static ssize_t peek(struct vfio_user_connection *connection, void *to, size_t bytes, bool *ret_has_fds)
{
	struct iovec iov = { .iov_base = to, .iov_len = bytes };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t seen;

	do {
		seen = recvmsg(connection->socket, &message, MSG_PEEK | MSG_DONTWAIT);
	} while (seen < 0 && errno == EINTR);
	*ret_has_fds = message.msg_flags & MSG_CTRUNC;
	return seen < 0 ? -errno : seen;
}

/* Takes bytes that were looked at, and came without descriptors. */
static enum vfio_user_receipt take(struct vfio_user_connection *connection, size_t bytes)
{
	ssize_t received;

	do {
		received =
			recv(connection->socket, connection->in + connection->in_bytes, bytes, MSG_DONTWAIT);
	} while (received < 0 && errno == EINTR);
	/* Nobody else reads there. */
	if (received <= 0)
		return VFIO_USER_ENDED;
	connection->in_bytes += (size_t)received;
	return VFIO_USER_SOME;
}

/* ---- descriptors ---- */

static enum vfio_user_receipt violation(struct vfio_user_connection *connection, const char *reason,
					uint64_t value)
{
	vfio_user_violate(connection, "a message", reason, value);
	return VFIO_USER_ENDED;
}

/* The doorman is to read so many bytes, because there may be descriptors among them. */
static enum vfio_user_receipt begin_fetch(struct vfio_user_connection *connection, uint32_t bytes)
{
	if (connection->door >= 0 &&
	    fd_send(connection->door, &bytes, sizeof(bytes), NULL, 0) != sizeof(bytes))
		return VFIO_USER_ENDED;
	connection->fetching = bytes;
	return VFIO_USER_SOME;
}

static enum vfio_user_receipt fetch(struct vfio_user_connection *connection)
{
	int fds[FD_MESSAGE_MAX];
	size_t fd_count = 0;
	ssize_t received = fd_receive(connection->door >= 0 ? connection->door : connection->socket,
				      connection->in + connection->in_bytes, connection->fetching, fds,
				      FD_MESSAGE_MAX, &fd_count);

	if (received == -EAGAIN)
		return VFIO_USER_DRY;
	if (connection->fd_count + fd_count > VFIO_USER_FDS_MAX ||
	    (fd_count > 0 && connection->in_bytes > 0)) {
		for (size_t i = 0; i < fd_count; i++)
			reaper_close(&fds[i]);
		return violation(connection, "too many descriptors, or inside of it", fd_count);
	}
	for (size_t i = 0; i < fd_count; i++)
		connection->fds[connection->fd_count++] = fds[i];
	if (received <= 0)
		return VFIO_USER_ENDED;
	connection->in_bytes += (size_t)received;
	connection->fetching -= (size_t)received;
	return VFIO_USER_SOME;
}

/*
 * There are descriptors among what can be read. They belong to the message that begins where they begin: so
 * one message is read at a time, and its header looked at alone.
 */
static enum vfio_user_receipt receive_one(struct vfio_user_connection *connection)
{
	struct vfio_user_header header;
	size_t header_bytes = sizeof(header), wanted = header_bytes - connection->in_bytes;
	const char *reason;
	bool has_fds;
	ssize_t seen;

	if (connection->in_bytes >= header_bytes) {
		header = header_of(connection);
		wanted = header.size - connection->in_bytes;
	}
	seen = peek(connection, connection->in + connection->in_bytes, wanted, &has_fds);
	if (seen <= 0)
		return VFIO_USER_ENDED;
	if (!has_fds)
		return take(connection, (size_t)seen);
	/*
	 * They may be the next message's: the kernel tells of them at the last byte before them. And nothing
	 * behind the part that they came with is seen. So what is wanted is fetched, and whether they are
	 * inside of it is known then.
	 */
	if (connection->in_bytes > 0 || seen < (ssize_t)header_bytes)
		return begin_fetch(connection, (uint32_t)wanted);
	memcpy(&header, connection->in, sizeof(header));
	reason = vfio_user_header_check(&header);
	return reason ? violation(connection, reason, header.size) : begin_fetch(connection, header.size);
}

/* ---- for the connection ---- */

enum vfio_user_receipt vfio_user_receive(struct vfio_user_connection *connection)
{
	bool has_fds;
	ssize_t seen;

	memmove(connection->in, connection->in + connection->in_at, connection->in_bytes);
	connection->in_at = 0;
	if (connection->fetching > 0)
		return fetch(connection);
	assert(connection->in_bytes < sizeof(connection->in));
	seen = peek(connection, connection->in + connection->in_bytes,
		    sizeof(connection->in) - connection->in_bytes, &has_fds);
	if (seen == -EAGAIN)
		return VFIO_USER_DRY;
	if (seen <= 0)
		return VFIO_USER_ENDED;
	if (has_fds)
		return receive_one(connection);
	/* All of it: what comes later is told by the watch. Only the end has to be looked for. */
	connection->dry =
		!connection->hung_up && (size_t)seen < sizeof(connection->in) - connection->in_bytes;
	return take(connection, (size_t)seen);
}

bool vfio_user_has_message(struct vfio_user_connection *connection)
{
	struct vfio_user_header header;
	const char *reason;

	if (connection->in_bytes < sizeof(header) || connection->fetching > 0)
		return false;
	header = header_of(connection);
	reason = vfio_user_header_check(&header);
	if (reason)
		vfio_user_violate(connection, "a message", reason, header.size);
	return !reason && connection->in_bytes >= header.size;
}

void vfio_user_drop_fds(struct vfio_user_connection *connection)
{
	for (unsigned i = 0; i < connection->fd_count; i++)
		reaper_close(&connection->fds[i]);
	connection->fd_count = 0;
}

void vfio_user_drop_message(struct vfio_user_connection *connection)
{
	struct vfio_user_header header = header_of(connection);

	vfio_user_drop_fds(connection);
	connection->in_at += header.size;
	connection->in_bytes -= header.size;
}

static void reply(struct vfio_user_connection *connection, int error, const void *payload, size_t bytes,
		  int fd)
{
	struct vfio_user_header header = header_of(connection);
	uint8_t message[VFIO_USER_MESSAGE_MAX];
	ssize_t sent;

	if (header.flags & VFIO_USER_FLAG_NO_REPLY || connection->closing)
		return;
	if (error)
		bytes = 0;
	assert(bytes <= sizeof(message) - sizeof(header));
	header.flags = VFIO_USER_TYPE_REPLY | (error ? VFIO_USER_FLAG_ERROR : 0);
	header.error = (uint32_t)-error;
	header.size = (uint32_t)(sizeof(header) + bytes);
	memcpy(message, &header, sizeof(header));
	if (bytes > 0)
		memcpy(message + sizeof(header), payload, bytes);
	/* One datagram of the stream; a VMM that leaves no room does not read. */
	sent = fd_send_now(connection->socket, message, header.size, &fd, fd >= 0 ? 1 : 0);
	if (sent == (ssize_t)header.size)
		return;
	if (sent != -EPIPE && sent != -ECONNRESET)
		vfio_user_violate(connection, vfio_user_command_name(header.command), "replies are not read",
				  header.size);
	else
		vfio_user_connection_close(connection);
}

void vfio_user_reply(struct vfio_user_connection *connection, int error, const void *payload, size_t bytes)
{
	if (connection->unsettled == 0) {
		reply(connection, error, payload, bytes, -1);
		return;
	}
	if (error)
		bytes = 0;
	assert(bytes <= sizeof(connection->answer.payload));
	connection->answer.is_due = true;
	connection->answer.error = error;
	connection->answer.bytes = bytes;
	if (bytes > 0)
		memcpy(connection->answer.payload, payload, bytes);
}

void vfio_user_reply_at_last(struct vfio_user_connection *connection)
{
	if (connection->answer.is_due)
		reply(connection, connection->answer.error, connection->answer.payload,
		      connection->answer.bytes, -1);
	connection->answer.is_due = false;
}

void vfio_user_reply_with(struct vfio_user_connection *connection, const void *payload, size_t bytes, int fd)
{
	reply(connection, 0, payload, bytes, fd);
}
