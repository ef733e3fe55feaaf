/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A field is one tag byte and its value, little-endian:
 *
 *	'u'  8 bytes
 *	'b'  4 bytes length, then the bytes (strings too, without the terminating zero)
 *	'f'  1 byte: 1 when the next descriptor of the list belongs here, 0 for "no descriptor"
 *
 * On the wire: struct stream_header, the bytes, then the descriptors in messages of one byte each that
 * carry up to FD_MESSAGE_MAX of them.
 *
 * While writing, fd_position follows fd_count: no descriptor is ours to close. In a received handover it
 * counts those that were taken.
 */
#include "core/handover.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/fd.h"

/* What one process can reasonably hold: a stream that claims more is foreign. */
#define HANDOVER_BYTES_MAX (64u << 20)
#define HANDOVER_FDS_MAX   (1u << 20)
#define HANDOVER_MAGIC	   0x3176646e61485656ull
/* Memory for descriptors grows with what really arrived, not with what the header promises. */
#define HANDOVER_CHUNK (256u << 10)

enum field_tag { TAG_U64 = 'u', TAG_BYTES = 'b', TAG_FD = 'f' };

struct stream_header {
	uint64_t magic;
	uint64_t bytes;
	uint64_t fds;
};
static_assert(sizeof(struct stream_header) == 24, "layout of the stream");

void handover_finish(struct handover *handover)
{
	if (!handover)
		return;
	for (size_t i = handover->fd_position; i < handover->fd_count; i++)
		fd_close(&handover->fds[i]);
	free(handover->bytes);
	free(handover->fds);
	memset(handover, 0, sizeof(*handover));
}

/* Room for `more` bytes; false (sticky error) when there is none. */
static bool reserve(struct handover *handover, size_t more)
{
	size_t capacity = handover->capacity ? handover->capacity : 256;
	uint8_t *bytes;

	assert(handover->length <= handover->capacity);
	if (handover->error)
		return false;
	while (capacity - handover->length < more)
		capacity *= 2;
	if (capacity == handover->capacity)
		return true;
	bytes = realloc(handover->bytes, capacity);
	if (!bytes) {
		handover->error = -ENOMEM;
		return false;
	}
	handover->bytes = bytes;
	handover->capacity = capacity;
	return true;
}

static void append(struct handover *handover, const void *bytes, size_t length)
{
	if (length == 0 || !reserve(handover, length))
		return;
	assert(length <= handover->capacity - handover->length);
	memcpy(handover->bytes + handover->length, bytes, length);
	handover->length += length;
}

static void append_tag(struct handover *handover, enum field_tag tag)
{
	uint8_t byte = (uint8_t)tag;

	append(handover, &byte, 1);
}

void handover_put_u64(struct handover *handover, uint64_t value)
{
	append_tag(handover, TAG_U64);
	append(handover, &value, sizeof(value));
}

void handover_put_bytes(struct handover *handover, const void *bytes, size_t length)
{
	uint32_t length32 = (uint32_t)length;

	assert(length <= HANDOVER_BYTES_MAX);
	append_tag(handover, TAG_BYTES);
	append(handover, &length32, sizeof(length32));
	append(handover, bytes, length);
}

void handover_put_string(struct handover *handover, const char *text)
{
	handover_put_bytes(handover, text, strlen(text));
}

static bool reserve_fd(struct handover *handover)
{
	size_t capacity = handover->fd_capacity ? handover->fd_capacity * 2 : 16;
	int *fds;

	assert(handover->fd_count <= handover->fd_capacity);
	if (handover->fd_count < handover->fd_capacity)
		return true;
	fds = realloc(handover->fds, capacity * sizeof(*fds));
	if (!fds) {
		handover->error = -ENOMEM;
		return false;
	}
	handover->fds = fds;
	handover->fd_capacity = capacity;
	return true;
}

void handover_put_fd(struct handover *handover, int fd)
{
	uint8_t present = fd >= 0;

	assert(fd >= -1);
	if (handover->error || (present && !reserve_fd(handover)))
		return;
	if (present)
		handover->fds[handover->fd_count++] = fd;
	handover->fd_position = handover->fd_count;
	append_tag(handover, TAG_FD);
	append(handover, &present, 1);
}

/* The next `length` bytes of the stream, or NULL (sticky error). */
static const uint8_t *take(struct handover *handover, size_t length)
{
	const uint8_t *at;

	assert(handover->position <= handover->length);
	if (handover->error)
		return NULL;
	if (length > handover->length - handover->position) {
		handover->error = -EBADMSG;
		return NULL;
	}
	at = handover->bytes + handover->position;
	handover->position += length;
	return at;
}

static bool take_tag(struct handover *handover, enum field_tag tag)
{
	const uint8_t *at = take(handover, 1);

	if (at && *at != (uint8_t)tag)
		handover->error = -EBADMSG;
	return at && !handover->error;
}

uint64_t handover_get_u64(struct handover *handover)
{
	uint64_t value = 0;
	const uint8_t *at;

	if (!take_tag(handover, TAG_U64))
		return 0;
	at = take(handover, sizeof(value));
	if (at)
		memcpy(&value, at, sizeof(value));
	return value;
}

size_t handover_get_bytes(struct handover *handover, void *buffer, size_t size)
{
	const uint8_t *at;
	uint32_t length;

	assert(buffer || size == 0);
	if (!take_tag(handover, TAG_BYTES))
		return 0;
	at = take(handover, sizeof(length));
	if (!at)
		return 0;
	memcpy(&length, at, sizeof(length));
	if (length > size) {
		handover->error = -EBADMSG;
		return 0;
	}
	at = take(handover, length);
	if (!at || length == 0)
		return 0;
	memcpy(buffer, at, length);
	return length;
}

void handover_get_string(struct handover *handover, char *buffer, size_t size)
{
	size_t length;

	assert(size > 0);
	length = handover_get_bytes(handover, buffer, size - 1);
	buffer[length] = '\0';
	if (strlen(buffer) != length) {
		handover->error = -EBADMSG;
		buffer[0] = '\0';
	}
}

void handover_fail_if(struct handover *handover, bool condition)
{
	if (condition && !handover->error)
		handover->error = -EBADMSG;
}

uint64_t handover_get_at_most(struct handover *handover, uint64_t max)
{
	uint64_t value = handover_get_u64(handover);

	handover_fail_if(handover, value > max);
	return value > max ? 0 : value;
}

bool handover_get_flag(struct handover *handover)
{
	return handover_get_at_most(handover, 1);
}

void handover_get_exactly(struct handover *handover, void *buffer, size_t size)
{
	handover_fail_if(handover, handover_get_bytes(handover, buffer, size) != size);
}

int handover_get_fd(struct handover *handover)
{
	const uint8_t *present;

	if (!take_tag(handover, TAG_FD))
		return -1;
	present = take(handover, 1);
	if (!present || *present == 0)
		return -1;
	if (*present != 1 || handover->fd_position == handover->fd_count) {
		handover->error = -EBADMSG;
		return -1;
	}
	assert(handover->fd_position < handover->fd_count);
	assert(handover->fds[handover->fd_position] >= 0);
	return fd_take(&handover->fds[handover->fd_position++]);
}

/* Until then, or without an end (UINT64_MAX). */
static int wait_for(int socket, short events, uint64_t deadline_ns)
{
	struct pollfd poll_fd = { .fd = socket, .events = events };
	int ready;

	do {
		uint64_t now = clock_now_ns(), left_ns = deadline_ns > now ? deadline_ns - now : 0;
		bool endless = deadline_ns == UINT64_MAX;

		ready = poll(&poll_fd, 1, endless ? -1 : (int)((left_ns + NS_PER_MS - 1) / NS_PER_MS));
	} while (ready < 0 && errno == EINTR);
	return ready < 0 ? -errno : ready == 0 ? -ETIMEDOUT : 0;
}

static int send_all(int socket, const void *bytes, size_t length, const int *fds, size_t fd_count,
		    uint64_t deadline_ns)
{
	const uint8_t *at = bytes;

	/* Descriptors travel with a byte. */
	assert(length > 0 || fd_count == 0);
	while (length > 0) {
		ssize_t sent = fd_send_now(socket, at, length, fds, fd_count);
		int error =
			sent == -EAGAIN ? wait_for(socket, POLLOUT, deadline_ns) : (int)(sent < 0 ? sent : 0);

		if (error)
			return error;
		if (sent < 0)
			continue;
		at += sent;
		length -= (size_t)sent;
		fd_count = 0;
	}
	return 0;
}

int handover_send(struct handover *handover, int socket, uint64_t deadline_ns)
{
	struct stream_header header = {
		.magic = HANDOVER_MAGIC,
		.bytes = handover->length,
		.fds = handover->fd_count,
	};
	int error = handover->error;

	assert(handover->fd_position == handover->fd_count);
	if (!error)
		error = send_all(socket, &header, sizeof(header), NULL, 0, deadline_ns);
	if (!error)
		error = send_all(socket, handover->bytes, handover->length, NULL, 0, deadline_ns);
	for (size_t at = 0; !error && at < handover->fd_count; at += FD_MESSAGE_MAX) {
		size_t left = handover->fd_count - at;

		error = send_all(socket, "", 1, handover->fds + at,
				 left < FD_MESSAGE_MAX ? left : FD_MESSAGE_MAX, deadline_ns);
	}
	return error;
}

/* Exactly `length` bytes without descriptors. */
static int receive_all(int socket, void *bytes, size_t length)
{
	uint8_t *at = bytes;

	while (length > 0) {
		int error = wait_for(socket, POLLIN, UINT64_MAX);
		size_t fd_count = 0;
		ssize_t received;

		if (error)
			return error;
		received = fd_receive(socket, at, length, NULL, 0, &fd_count);
		if (received == -EAGAIN)
			continue;
		if (received <= 0)
			return received == 0 || received == -EMSGSIZE ? -EBADMSG : (int)received;
		at += received;
		length -= (size_t)received;
	}
	return 0;
}

static int receive_bytes(int socket, struct handover *handover, size_t length)
{
	while (handover->length < length) {
		size_t chunk = length - handover->length;
		int error;

		if (chunk > HANDOVER_CHUNK)
			chunk = HANDOVER_CHUNK;
		if (!reserve(handover, chunk))
			return handover->error;
		error = receive_all(socket, handover->bytes + handover->length, chunk);
		if (error)
			return error;
		handover->length += chunk;
	}
	return 0;
}

/* One message of descriptors: as many as are missing, at most FD_MESSAGE_MAX. */
static int receive_fds(int socket, struct handover *handover, size_t missing)
{
	size_t wanted = missing < FD_MESSAGE_MAX ? missing : FD_MESSAGE_MAX, count = 0;
	int fds[FD_MESSAGE_MAX], error = wait_for(socket, POLLIN, UINT64_MAX);
	uint8_t byte;
	ssize_t received;

	assert(missing > 0);
	if (error)
		return error;
	received = fd_receive(socket, &byte, 1, fds, wanted, &count);
	if (received == -EAGAIN)
		return 0;
	if (received == -EMSGSIZE || (received >= 0 && (received == 0 || count != wanted)))
		error = -EBADMSG;
	else if (received < 0)
		error = (int)received;
	assert(count <= wanted);
	for (size_t i = 0; i < count; i++) {
		if (!error && !reserve_fd(handover))
			error = handover->error;
		if (error)
			fd_close(&fds[i]);
		else
			handover->fds[handover->fd_count++] = fds[i];
	}
	return error;
}

int handover_receive(int socket, struct handover *ret_handover)
{
	struct handover handover = { 0 };
	struct stream_header header;
	int error = receive_all(socket, &header, sizeof(header));

	if (!error && (header.magic != HANDOVER_MAGIC || header.bytes > HANDOVER_BYTES_MAX ||
		       header.fds > HANDOVER_FDS_MAX))
		error = -EBADMSG;
	if (!error)
		error = receive_bytes(socket, &handover, header.bytes);
	while (!error && handover.fd_count < header.fds)
		error = receive_fds(socket, &handover, header.fds - handover.fd_count);
	if (error) {
		handover_finish(&handover);
		return error;
	}
	assert(handover.length == header.bytes);
	assert(handover.fd_count == header.fds);
	*ret_handover = handover;
	return 0;
}
