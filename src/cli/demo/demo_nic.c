/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/demo/demo_nic.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "frontend/frontend.h"

#define QUEUE_RECEIVE	0u /* virtio 1.2, 5.1.2 */
#define QUEUE_TRANSMIT	1u
#define HEADER_BYTES	12u /* virtio 1.2, 5.1.6 */
#define BUFFER_BYTES	2048u
#define RECEIVE_BUFFERS 64u
#define RING_SIZE_MAX	1024u
#define MEMORY_BYTES	(1u << 20)
#define ANSWER_MS	20000

struct demo_nic {
	struct frontend *frontend;
	struct frontend_queue *receive, *transmit;
	uint8_t *frame; /* its header, then the frame */
	uint8_t *lent;	/* the buffer of the frame that was received last; NULL: none */
};

/* ---- opening ---- */

static void post(struct demo_nic *nic, uint8_t *buffer)
{
	const struct frontend_buffer element = {
		.guest_address = frontend_guest_address(nic->frontend, buffer),
		.length = BUFFER_BYTES,
		.device_writes = true,
	};

	frontend_add(nic->receive, &element, 1, buffer);
}

int demo_nic_open(const struct demo_nic_options *options, struct demo_nic **ret_nic, const char **ret_error)
{
	const struct frontend_options frontend = {
		.path = options->socket,
		.queues = 2,
		.queue_size = options->ring_size,
		.memory_bytes = MEMORY_BYTES,
		.poll = options->polled,
	};
	struct demo_nic *nic = calloc(1, sizeof(*nic));
	unsigned buffers = options->ring_size < RECEIVE_BUFFERS ? options->ring_size : RECEIVE_BUFFERS;
	size_t room = 0;
	int error;

	assert(options->ring_size <= RING_SIZE_MAX);
	*ret_error = "out of memory";
	if (!nic)
		return -ENOMEM;
	error = frontend_connect(&frontend, &nic->frontend, ret_error);
	if (error) {
		free(nic);
		return error;
	}
	nic->receive = frontend_queue(nic->frontend, QUEUE_RECEIVE);
	nic->transmit = frontend_queue(nic->frontend, QUEUE_TRANSMIT);
	nic->frame = frontend_memory(nic->frontend, &room);
	assert(room >= (size_t)(buffers + 1) * BUFFER_BYTES);
	for (unsigned i = 1; i <= buffers; i++)
		post(nic, nic->frame + (size_t)i * BUFFER_BYTES);
	frontend_kick(nic->receive);
	*ret_nic = nic;
	return 0;
}

void demo_nic_close(struct demo_nic *nic)
{
	if (!nic)
		return;
	frontend_close(nic->frontend);
	free(nic);
}

/* ---- sending ---- */

uint8_t *demo_nic_frame(struct demo_nic *nic)
{
	return nic->frame + HEADER_BYTES;
}

static int add(struct demo_nic *nic, size_t bytes)
{
	const struct frontend_buffer element = {
		.guest_address = frontend_guest_address(nic->frontend, nic->frame),
		.length = (uint32_t)(HEADER_BYTES + bytes),
	};

	assert(bytes <= DEMO_FRAME_BYTES_MAX);
	return frontend_add(nic->transmit, &element, 1, nic);
}

int demo_nic_send(struct demo_nic *nic, size_t bytes)
{
	int result = add(nic, bytes);

	if (result)
		return result;
	frontend_kick(nic->transmit);
	result = frontend_wait(nic->transmit, ANSWER_MS);
	if (result <= 0)
		return result ? result : -ETIMEDOUT;
	return demo_nic_take_sent(nic) == 1 ? 0 : -EPROTO;
}

unsigned demo_nic_fill(struct demo_nic *nic, size_t bytes)
{
	unsigned added = 0;

	while (add(nic, bytes) == 0)
		added++;
	frontend_kick(nic->transmit);
	return added;
}

unsigned demo_nic_take_sent(struct demo_nic *nic)
{
	unsigned taken = 0;
	uint32_t written;
	void *token;

	while (frontend_take(nic->transmit, &token, &written))
		taken++;
	return taken;
}

unsigned demo_nic_waiting(const struct demo_nic *nic)
{
	return frontend_in_flight(nic->transmit);
}

/* ---- receiving ---- */

const uint8_t *demo_nic_receive(struct demo_nic *nic, size_t *ret_bytes)
{
	uint32_t written;
	void *buffer;

	if (nic->lent)
		post(nic, nic->lent);
	nic->lent = NULL;
	if (!frontend_take(nic->receive, &buffer, &written)) {
		frontend_kick(nic->receive);
		return NULL;
	}
	nic->lent = buffer;
	*ret_bytes = written > HEADER_BYTES ? written - HEADER_BYTES : 0;
	return nic->lent + HEADER_BYTES;
}

int demo_nic_await(struct demo_nic *nic, unsigned timeout_ms)
{
	return frontend_wait(nic->receive, (int)timeout_ms);
}
