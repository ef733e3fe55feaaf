/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VMM's end of the socket, to be included by one fuzz target: takes what the server says, and answers it
 * when it asks for the guest's memory, honestly or as the next lie wants it.
 */
#ifndef VIADUCT_TESTS_FUZZ_VFIO_ANSWERS_H
#define VIADUCT_TESTS_FUZZ_VFIO_ANSWERS_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "core/fd.h"
#include "fuzz_endpoint.h"
#include "interfaces/vfio_user/vfio_user_messages.h"

#define MEMORY_BYTES (1u << 18)
#define GUEST_BASE   0x10000ull

static int memory_fd, event_fd;

/* What the next answer to a message of the server's is like. */
static struct lie {
	uint8_t kind; /* 0: honest */
	uint16_t number;
} lie;

/* An answer whose bytes are all there: what it is about may be anything. */
static void answer(int socket, const struct vfio_user_header *asked,
		   const struct vfio_user_dma_access *access, const uint8_t *data)
{
	struct {
		struct vfio_user_header header;
		struct vfio_user_dma_access access;
		uint8_t data[VFIO_USER_DMA_BYTES_MAX + 64];
	} reply = { .header = *asked, .access = *access };
	off_t at = (off_t)(access->address - GUEST_BASE);
	size_t count = access->count;
	bool is_read = asked->command == VFIO_USER_DMA_READ;

	assert(count > 0 && count <= VFIO_USER_DMA_BYTES_MAX);
	reply.header.flags = VFIO_USER_TYPE_REPLY;
	reply.header.size = 16;
	if (access->address < GUEST_BASE || access->address - GUEST_BASE > MEMORY_BYTES - count) {
		reply.header.flags |= VFIO_USER_FLAG_ERROR;
	} else if (is_read) {
		ssize_t got = pread(memory_fd, reply.data, count, at);

		assert(got == (ssize_t)count);
		reply.header.size = 32 + (uint32_t)count;
	} else {
		ssize_t put = pwrite(memory_fd, data, count, at);

		assert(put == (ssize_t)count);
	}
	switch (lie.kind % 9) {
	case 1:
		return;
	case 2:
		reply.header.id ^= lie.number;
		break;
	case 3:
		reply.header.command ^= lie.number & 0x1f;
		break;
	case 4:
		reply.header.flags ^= lie.number;
		break;
	case 5:
		reply.header.size = 16 + lie.number % (sizeof(reply) - 16);
		break;
	case 6:
		reply.access.count ^= lie.number;
		break;
	case 7:
		reply.access.address ^= (uint64_t)lie.number << 8;
		break;
	case 8:
		fd_send(socket, &reply, reply.header.size, NULL, 0);
		break;
	}
	lie.kind = 0;
	fd_send(socket, &reply, reply.header.size, &event_fd, lie.number == 77);
}

/* Takes the messages that are there, whole, as the server sends them; its own are answered. */
static bool take_message(int socket)
{
	uint8_t bytes[VFIO_USER_MESSAGE_MAX];
	struct vfio_user_header header;
	struct vfio_user_dma_access access;
	int fds[8];
	size_t fd_count, rest_fds;
	ssize_t received = fd_receive(socket, bytes, sizeof(header), fds, 8, &fd_count), rest = 0;

	if (received <= 0)
		return false;
	for (size_t i = 0; i < fd_count; i++)
		close(fds[i]);
	assert(received == sizeof(header));
	memcpy(&header, bytes, sizeof(header));
	assert(header.size >= sizeof(header) && header.size <= sizeof(bytes));
	if (header.size > sizeof(header))
		rest = fd_receive(socket, bytes + sizeof(header), header.size - sizeof(header), fds, 0,
				  &rest_fds);
	assert(rest == (ssize_t)(header.size - sizeof(header)));
	fuzz_trace(bytes, header.size);
	if ((header.flags & VFIO_USER_FLAG_TYPE) != VFIO_USER_TYPE_COMMAND)
		return true;
	assert(header.command == VFIO_USER_DMA_READ || header.command == VFIO_USER_DMA_WRITE);
	memcpy(&access, bytes + sizeof(header), sizeof(access));
	answer(socket, &header, &access, bytes + sizeof(header) + sizeof(access));
	return true;
}

static void read_replies(int socket)
{
	while (take_message(socket))
		;
}

#endif
