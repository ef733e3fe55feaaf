/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/demo/demo_nic.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/stats.h"
#include "frontend/frontend.h"

/* Of pair `i` (virtio 1.2, 5.1.2). */
#define QUEUE_RECEIVE(i)  (2 * (i))
#define QUEUE_TRANSMIT(i) (2 * (i) + 1)
#define HEADER_BYTES	  12u /* virtio 1.2, 5.1.6 */
#define BUFFER_BYTES	  2048u
#define MEMORY_BYTES	  (4u << 20)
#define ANSWER_MS	  20000

struct pair {
	struct frontend_queue *receive, *transmit;
	/* The frame that was added first of those on the ring, and the next; modulo DEMO_NIC_RING */
	uint64_t first, next;
	uint64_t added_ns[DEMO_NIC_RING];
};

struct demo_nic {
	struct frontend *frontend;
	struct pair pair[DEMO_NIC_PAIRS_MAX];
	unsigned pairs;
	uint8_t *frame; /* its header, then the frame */
	/* The buffer of the frame that was received last, and where it belongs; NULL: none */
	uint8_t *lent;
	struct pair *lender;
};

/* ---- opening ---- */

static void post(struct demo_nic *nic, struct pair *pair, uint8_t *buffer)
{
	const struct frontend_buffer element = {
		.guest_address = frontend_guest_address(nic->frontend, buffer),
		.length = BUFFER_BYTES,
		.device_writes = true,
	};

	frontend_add(pair->receive, &element, 1, buffer);
}

/* The memory has the frame to send, and then the buffers to receive with. */
static void prepare(struct demo_nic *nic)
{
	size_t room = 0;
	uint8_t *buffer = frontend_memory(nic->frontend, &room);

	assert(room >= (size_t)(nic->pairs * DEMO_NIC_RING + 1) * BUFFER_BYTES);
	nic->frame = buffer;
	for (unsigned i = 0; i < nic->pairs; i++) {
		struct pair *pair = &nic->pair[i];

		pair->receive = frontend_queue(nic->frontend, QUEUE_RECEIVE(i));
		pair->transmit = frontend_queue(nic->frontend, QUEUE_TRANSMIT(i));
		for (unsigned k = 0; k < DEMO_NIC_RING; k++)
			post(nic, pair, buffer += BUFFER_BYTES);
		frontend_kick(pair->receive);
	}
}

int demo_nic_open(const struct demo_nic_options *options, struct demo_nic **ret_nic, const char **ret_error)
{
	const struct frontend_options frontend = {
		.path = options->socket,
		.queues = 2 * options->pairs,
		.queue_size = DEMO_NIC_RING,
		.memory_bytes = MEMORY_BYTES,
		.poll = options->polled,
	};
	struct demo_nic *nic = calloc(1, sizeof(*nic));
	int error;

	assert(options->pairs >= 1 && options->pairs <= DEMO_NIC_PAIRS_MAX);
	*ret_error = "out of memory";
	if (!nic)
		return -ENOMEM;
	error = frontend_connect(&frontend, &nic->frontend, ret_error);
	if (error) {
		free(nic);
		return error;
	}
	nic->pairs = options->pairs;
	prepare(nic);
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

/* Returns 0 or -EAGAIN: the ring is full. */
static int add(struct demo_nic *nic, struct pair *pair, size_t bytes)
{
	const struct frontend_buffer element = {
		.guest_address = frontend_guest_address(nic->frontend, nic->frame),
		.length = (uint32_t)(HEADER_BYTES + bytes),
	};
	int error;

	assert(bytes <= DEMO_FRAME_BYTES_MAX);
	error = frontend_add(pair->transmit, &element, 1, nic);
	if (!error)
		pair->added_ns[pair->next++ % DEMO_NIC_RING] = clock_now_ns();
	return error;
}

int demo_nic_send(struct demo_nic *nic, size_t bytes)
{
	struct pair *pair = &nic->pair[0];
	struct histogram waits = { .count = { 0 } };
	int result = add(nic, pair, bytes);

	if (result)
		return result;
	frontend_kick(pair->transmit);
	result = frontend_wait(pair->transmit, ANSWER_MS);
	if (result <= 0)
		return result ? result : -ETIMEDOUT;
	return demo_nic_take_sent(nic, &waits) == 1 ? 0 : -EPROTO;
}

void demo_nic_fill(struct demo_nic *nic, size_t bytes)
{
	for (unsigned i = 0; i < nic->pairs; i++) {
		while (add(nic, &nic->pair[i], bytes) == 0)
			;
		frontend_kick(nic->pair[i].transmit);
	}
}

/* The switch deals with a ring's frames in their order. */
static unsigned take_sent(struct pair *pair, struct histogram *waits)
{
	uint64_t now_ns = clock_now_ns();
	unsigned taken = 0;
	uint32_t written;
	void *token;

	for (; frontend_take(pair->transmit, &token, &written); taken++)
		histogram_add(waits, now_ns - pair->added_ns[pair->first++ % DEMO_NIC_RING]);
	return taken;
}

unsigned demo_nic_take_sent(struct demo_nic *nic, struct histogram *waits)
{
	unsigned taken = 0;

	for (unsigned i = 0; i < nic->pairs; i++)
		taken += take_sent(&nic->pair[i], waits);
	return taken;
}

unsigned demo_nic_waiting(const struct demo_nic *nic)
{
	unsigned waiting = 0;

	for (unsigned i = 0; i < nic->pairs; i++)
		waiting += frontend_in_flight(nic->pair[i].transmit);
	return waiting;
}

bool demo_nic_ran_dry(const struct demo_nic *nic)
{
	for (unsigned i = 0; i < nic->pairs; i++) {
		if (frontend_in_flight(nic->pair[i].transmit) == 0)
			return true;
	}
	return false;
}

/* ---- receiving ---- */

const uint8_t *demo_nic_receive(struct demo_nic *nic, size_t *ret_bytes)
{
	uint32_t written;
	void *buffer;

	if (nic->lent)
		post(nic, nic->lender, nic->lent);
	nic->lent = NULL;
	for (unsigned i = 0; i < nic->pairs; i++) {
		if (!frontend_take(nic->pair[i].receive, &buffer, &written)) {
			frontend_kick(nic->pair[i].receive);
			continue;
		}
		nic->lent = buffer;
		nic->lender = &nic->pair[i];
		*ret_bytes = written > HEADER_BYTES ? written - HEADER_BYTES : 0;
		return nic->lent + HEADER_BYTES;
	}
	return NULL;
}

int demo_nic_await(struct demo_nic *nic, unsigned timeout_ms)
{
	return frontend_wait(nic->pair[0].receive, (int)timeout_ms);
}
