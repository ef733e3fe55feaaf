/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "frontend/vfio_master.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "core/fd.h"

#define ANSWER_MS 10000

enum { VERSION = 1, DMA_MAP = 2, SET_IRQS = 8, REGION_READ = 9, REGION_WRITE = 10 };
#define FLAG_REPLY	    1u
#define FLAG_NO_REPLY	    0x10u
#define FLAG_ERROR	    0x20u
#define DMA_READ_WRITE	    3u
#define IRQ_EVENTFD_TRIGGER (4u | 32u)

struct header {
	uint16_t id, command;
	uint32_t size, flags, error;
};

struct region_access {
	uint64_t offset;
	uint32_t region, count;
};

/* The largest answer is a whole configuration space. */
#define PAYLOAD_MAX 4112u

struct message {
	struct header header;
	uint8_t payload[PAYLOAD_MAX];
};

static int send_message(struct vfio_master *master, struct message *message, uint16_t command,
			uint32_t payload_bytes, uint32_t flags, int fd)
{
	size_t bytes = sizeof(message->header) + payload_bytes, sent = 0;

	message->header = (struct header){
		.id = master->next_id++,
		.command = command,
		.size = (uint32_t)bytes,
		.flags = flags,
	};
	while (sent < bytes) {
		ssize_t now = fd_send(master->socket, (uint8_t *)message + sent, bytes - sent, &fd,
				      sent == 0 && fd >= 0);
		struct pollfd poll_fd = { .fd = master->socket, .events = POLLOUT };

		if (now > 0)
			sent += (size_t)now;
		else if (now != -EAGAIN && now != -EINTR)
			return -EPIPE;
		else if (poll(&poll_fd, 1, ANSWER_MS) == 0)
			return -ETIMEDOUT;
	}
	return 0;
}

static int receive(struct vfio_master *master, void *to, size_t bytes)
{
	struct pollfd poll_fd = { .fd = master->socket, .events = POLLIN };
	size_t received = 0;

	while (received < bytes) {
		ssize_t now = recv(master->socket, (uint8_t *)to + received, bytes - received, MSG_DONTWAIT);

		if (now > 0)
			received += (size_t)now;
		else if (now == 0 || (errno != EAGAIN && errno != EINTR))
			return -EPIPE;
		else if (poll(&poll_fd, 1, ANSWER_MS) == 0)
			return -ETIMEDOUT;
	}
	return 0;
}

/* The answer to the message, in its place; at least `payload_min` bytes of it. */
static int receive_answer(struct vfio_master *master, struct message *message, uint32_t payload_min)
{
	const struct header asked = message->header;
	int error = receive(master, &message->header, sizeof(message->header));
	const struct header *header = &message->header;

	if (error)
		return error;
	if (header->id != asked.id || header->command != asked.command || !(header->flags & FLAG_REPLY) ||
	    header->size < sizeof(*header) || header->size > sizeof(*message))
		return -EPROTO;
	error = receive(master, message->payload, header->size - sizeof(*header));
	if (error)
		return error;
	return header->flags & FLAG_ERROR || header->size - sizeof(*header) < payload_min ? -EPROTO : 0;
}

static int ask(struct vfio_master *master, struct message *message, uint16_t command, uint32_t payload_bytes,
	       int fd, uint32_t answer_min)
{
	int error = send_message(master, message, command, payload_bytes, 0, fd);

	return error ? error : receive_answer(master, message, answer_min);
}

int vfio_master_version(struct vfio_master *master)
{
	static const char capabilities[] = "{\"capabilities\":{\"max_msg_fds\":1}}";
	struct message message;

	memset(message.payload, 0, 4);
	memcpy(message.payload + 4, capabilities, sizeof(capabilities));
	return ask(master, &message, VERSION, 4 + sizeof(capabilities), -1, 4);
}

int vfio_master_map(struct vfio_master *master, uint64_t address, uint64_t bytes, int fd)
{
	const struct {
		uint32_t argsz, flags;
		uint64_t offset, address, size;
	} map = { .argsz = sizeof(map), .flags = DMA_READ_WRITE, .address = address, .size = bytes };
	struct message message;

	memcpy(message.payload, &map, sizeof(map));
	return ask(master, &message, DMA_MAP, sizeof(map), fd, 0);
}

int vfio_master_vector(struct vfio_master *master, int event_fd)
{
	const struct {
		uint32_t argsz, flags, index, start, count;
	} set = { .argsz = sizeof(set), .flags = IRQ_EVENTFD_TRIGGER, .index = VFIO_MASTER_MSIX, .count = 1 };
	struct message message;

	memcpy(message.payload, &set, sizeof(set));
	return ask(master, &message, SET_IRQS, sizeof(set), event_fd, 0);
}

int vfio_master_read(struct vfio_master *master, uint32_t region, uint64_t offset, void *data, uint32_t bytes)
{
	const struct region_access access = { .offset = offset, .region = region, .count = bytes };
	struct message message;
	int error;

	if (bytes > PAYLOAD_MAX - sizeof(access))
		return -EPROTO;
	memcpy(message.payload, &access, sizeof(access));
	error = ask(master, &message, REGION_READ, sizeof(access), -1, (uint32_t)sizeof(access) + bytes);
	if (!error)
		memcpy(data, message.payload + sizeof(access), bytes);
	return error;
}

static uint32_t put_write(struct message *message, uint32_t region, uint64_t offset, const void *data,
			  uint32_t bytes)
{
	const struct region_access access = { .offset = offset, .region = region, .count = bytes };

	memcpy(message->payload, &access, sizeof(access));
	memcpy(message->payload + sizeof(access), data, bytes);
	return (uint32_t)sizeof(access) + bytes;
}

int vfio_master_write(struct vfio_master *master, uint32_t region, uint64_t offset, const void *data,
		      uint32_t bytes)
{
	struct message message;

	if (bytes > 8)
		return -EPROTO;
	return ask(master, &message, REGION_WRITE, put_write(&message, region, offset, data, bytes), -1,
		   sizeof(struct region_access));
}

int vfio_master_post(struct vfio_master *master, uint32_t region, uint64_t offset, const void *data,
		     uint32_t bytes)
{
	struct message message;

	if (bytes > 8)
		return -EPROTO;
	return send_message(master, &message, REGION_WRITE, put_write(&message, region, offset, data, bytes),
			    FLAG_NO_REPLY, -1);
}
