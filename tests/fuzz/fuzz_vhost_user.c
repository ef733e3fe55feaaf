/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sequences of vhost-user messages with descriptors, over a socket, into an endpoint with real virtqueues
 * and a device that answers every chain at once.
 *
 * One step of the input: request, control byte, descriptor byte, payload length, payload. The control byte
 * says what is put right before it is sent, because random numbers seldom make a region or a ring:
 *
 *	0x01 need_reply		0x02 payload repaired for the request
 *	0x04 length is honest	0x08 turn the loop before the next step
 *	0x10 read the replies	0x20 write to the kick descriptor
 *	0x40 hang up at the end of the step
 *
 * The server logs what it refuses: run with -close_fd_mask=2.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/fd.h"
#include "fuzz_endpoint.h"
#include "interfaces/virtio/virtqueue.h"
#include "interfaces/vhost_user/vhost_user_messages.h"

#define MEMORY_BYTES 65536u
#define GUEST_BASE   0x10000ull
#define USER_BASE    0x7f0000000000ull
#define STEPS_MAX    64
#define QUEUES	     3

enum { REPAIR = 0x02, HONEST = 0x04, TURN = 0x08, READ = 0x10, KICK = 0x20, HANG_UP = 0x40 };

struct input {
	const uint8_t *bytes;
	size_t left;
};

/* What a step may send along; made anew for each input. */
static int memory_fd, event_fd, pipe_fds[2], spare_pair[2];
#define OWN_FDS 6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the device ---- */

static uint64_t device_features(void *device)
{
	return 0;
}

static unsigned device_queue_count(void *device)
{
	return QUEUES;
}

static size_t device_config_size(void *device)
{
	return 60;
}

static void device_config_read(void *device, size_t offset, void *buffer, size_t bytes)
{
	assert(offset + bytes <= 60);
	memset(buffer, 1, bytes);
}

static int device_config_write(void *device, uint64_t features, size_t offset, const void *buffer,
			       size_t bytes)
{
	assert(offset + bytes <= 60);
	return 0;
}

static int device_queue_start(void *device, const struct virtio_queue_setup *setup, void **ret_queue)
{
	*ret_queue = setup->queue;
	return 0;
}

static void device_queue_stop(void *queue)
{
}

static void device_ready(void *queue)
{
	struct virtio_queue *ring = queue;
	struct virtio_chain *chain;

	while (ring->ops->take(ring, &chain, 1) > 0) {
		chain->written_bytes = chain->writable_bytes;
		ring->ops->complete(ring, &chain, 1);
	}
}

static const struct virtio_model_ops device_model = {
	.name = "fuzz",
	.repeatable = true,
	.request_bytes = 8,
	.features = device_features,
	.queue_count = device_queue_count,
	.config_size = device_config_size,
	.config_read = device_config_read,
	.config_write = device_config_write,
	.queue_start = device_queue_start,
	.queue_stop = device_queue_stop,
	.ready = device_ready,
};

static struct loop *device_worker(void *context, unsigned queue_index)
{
	return loop;
}

/* ---- input ---- */

static uint8_t next_byte(struct input *input)
{
	if (input->left == 0)
		return 0;
	input->left--;
	return *input->bytes++;
}

static void next_bytes(struct input *input, void *buffer, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		((uint8_t *)buffer)[i] = next_byte(input);
}

/* Makes numbers plausible and keeps the low bits of what the input said. */
static uint32_t repair(uint32_t request, union vhost_user_payload *payload)
{
	switch (request) {
	case VHOST_USER_SET_FEATURES:
		payload->u64 &=
			VIRTQUEUE_FEATURES | 1ull << VHOST_F_LOG_ALL | 1ull << VHOST_USER_F_PROTOCOL_FEATURES;
		return 8;
	case VHOST_USER_SET_PROTOCOL_FEATURES:
		payload->u64 = VHOST_USER_PROTOCOL_FEATURES;
		return 8;
	case VHOST_USER_ADD_MEM_REG:
	case VHOST_USER_REM_MEM_REG:
		payload->region.region = (struct vhost_user_memory_region){
			GUEST_BASE + (payload->bytes[0] & 1) * MEMORY_BYTES, MEMORY_BYTES,
			USER_BASE + (payload->bytes[0] & 1) * MEMORY_BYTES, 0 };
		return sizeof(payload->region);
	case VHOST_USER_SET_MEM_TABLE:
		payload->memory.count = 1;
		payload->memory.region[0] =
			(struct vhost_user_memory_region){ GUEST_BASE, MEMORY_BYTES, USER_BASE, 0 };
		return 40;
	case VHOST_USER_SET_VRING_NUM:
		payload->state.index %= QUEUES;
		payload->state.number = 1u << payload->state.number % 8;
		return 8;
	case VHOST_USER_SET_VRING_ADDR:
		payload->address.index %= QUEUES;
		payload->address.flags &= 1;
		payload->address.descriptor = USER_BASE + (payload->address.descriptor & 0xfff0);
		payload->address.available = USER_BASE + (payload->address.available & 0xfffc);
		payload->address.used = USER_BASE + (payload->address.used & 0xfffc);
		return sizeof(payload->address);
	case VHOST_USER_SET_LOG_BASE:
		payload->log.bytes &= 0xffff;
		payload->log.offset &= 0xff;
		return sizeof(payload->log);
	case VHOST_USER_GET_INFLIGHT_FD:
	case VHOST_USER_SET_INFLIGHT_FD:
		payload->inflight.bytes = MEMORY_BYTES;
		payload->inflight.offset = 0;
		payload->inflight.queues = QUEUES;
		payload->inflight.queue_size = 128;
		return 24;
	case VHOST_USER_GET_CONFIG:
	case VHOST_USER_SET_CONFIG:
		payload->config.size %= 64;
		return VHOST_USER_CONFIG_HEADER + payload->config.size;
	case VHOST_USER_SET_VRING_KICK:
	case VHOST_USER_SET_VRING_CALL:
	case VHOST_USER_SET_VRING_ERR:
		payload->u64 = payload->u64 % QUEUES | (payload->u64 & VHOST_USER_VRING_NOFD);
		return 8;
	default:
		payload->state.index %= QUEUES;
		return vhost_user_rule_find(request, ~0u) ? vhost_user_rule_find(request, ~0u)->size_min : 8;
	}
}

static size_t choose_fds(uint8_t choice, int *fds)
{
	static const uint8_t counts[] = { 0, 1, 1, 1, 2, 8, 9, 1 };
	const int kinds[] = { memory_fd,   event_fd,  spare_pair[0], pipe_fds[0],
			      pipe_fds[1], memory_fd, event_fd,	     memory_fd };
	size_t count = counts[choice & 7];

	for (size_t i = 0; i < count; i++)
		fds[i] = kinds[choice >> 3 & 7];
	return count;
}

/* ---- one step ---- */

static void turn(unsigned times)
{
	while (times-- > 0)
		loop_turn(loop, 0);
}

static void read_replies(int socket)
{
	uint8_t bytes[512];
	int fds[8];
	size_t fd_count;
	ssize_t received;

	while ((received = fd_receive(socket, bytes, sizeof(bytes), fds, 8, &fd_count)) > 0) {
		fuzz_trace(bytes, (size_t)received);
		for (size_t i = 0; i < fd_count; i++)
			close(fds[i]);
	}
}

static void send_step(int socket, struct input *input)
{
	uint8_t request = next_byte(input), control = next_byte(input), fd_choice = next_byte(input);
	uint8_t length = next_byte(input);
	struct {
		struct vhost_user_header header;
		uint8_t payload[VHOST_USER_PAYLOAD_MAX];
	} message = { .header = { request % 48u, VHOST_USER_VERSION, length } };
	union vhost_user_payload payload = { 0 };
	int fds[16];
	size_t fd_count = choose_fds(fd_choice, fds);

	message.header.flags |= control & 1 ? VHOST_USER_FLAG_NEED_REPLY : 0;
	next_bytes(input, payload.bytes, length);
	if (control & REPAIR)
		message.header.size = repair(message.header.request, &payload);
	memcpy(message.payload, payload.bytes, sizeof(message.payload));
	length = (uint8_t)message.header.size;
	if (!(control & HONEST) && !(control & REPAIR))
		message.header.size ^= next_byte(input);
	fd_send(socket, &message, sizeof(message.header) + length, fds, fd_count);
	if (control & KICK) {
		uint64_t one = 1;
		ssize_t written = write(event_fd, &one, sizeof(one));

		assert(written == sizeof(one) || errno == EAGAIN);
	}
	if (control & TURN)
		turn(4);
	if (control & READ)
		read_replies(socket);
	if (control & HANG_UP)
		shutdown(socket, SHUT_WR);
}

static void initialise(const uint8_t *data, size_t size)
{
	static uint8_t guest[MEMORY_BYTES];
	int error;

	fuzz_loop_begin(256);
	memory_fd = fd_memfd("fuzz", MEMORY_BYTES);
	event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	error = pipe(pipe_fds) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, spare_pair);
	assert(memory_fd >= 0 && event_fd >= 0 && error == 0);
	/* Rings and tables of the guest come from the same input. */
	for (size_t at = 0; at < sizeof(guest); at++)
		guest[at] = size > 0 ? data[at % size] : 0;
	error = pwrite(memory_fd, guest, sizeof(guest), 0) == sizeof(guest) ? 0 : -1;
	assert(error == 0);
}

static void finish(void)
{
	static uint8_t guest[MEMORY_BYTES];

	fuzz_loop_end(OWN_FDS);
	if (fuzz_trace_on) {
		ssize_t got = pread(memory_fd, guest, sizeof(guest), 0);

		fuzz_trace(guest, got > 0 ? (size_t)got : 0);
	}
	close(memory_fd);
	close(event_fd);
	for (unsigned i = 0; i < 2; i++) {
		close(pipe_fds[i]);
		close(spare_pair[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, size };
	struct vhost_user_options options = {
		.endpoint.name = "fuzz",
		.endpoint.control = loop,
		.endpoint.socket = ENDPOINT_CONNECTED_FD,
		.model = &device_model,
		.device = &input,
		.endpoint.worker = device_worker,
	};
	struct endpoint *endpoint;
	int pair[2], error;

	initialise(data, size < 4096 ? size : 4096);
	options.endpoint.control = loop;
	error = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair);
	assert(error == 0);
	options.endpoint.fd = pair[1];
	error = vhost_user_create(&options, &endpoint);
	assert(error == 0);
	turn(1);
	for (unsigned step = 0; step < STEPS_MAX && input.left > 0; step++)
		send_step(pair[0], &input);
	turn(8);
	read_replies(pair[0]);
	close(pair[0]);
	/* Disconnecting always ends: every ring drains, every command is answered. */
	fuzz_endpoint_destroy(endpoint);
	finish();
	return 0;
}
