/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests of host NICs: a loop, a channel on it, and a receiver that keeps what it is given. */
#ifndef VIADUCT_TESTS_NIC_FIXTURE_H
#define VIADUCT_TESTS_NIC_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/container.h"
#include "core/iov.h"
#include "core/loop.h"
#include "host/host_nic.h"
#include "patience.h"

/* One wait inside AWAIT(), which repeats it. */
#define TURN_NS (100 * NS_PER_MS)

struct received {
	uint32_t bytes;
	struct frame_offload offload;
	uint8_t *data;
	struct received *next;
};

/* A channel and what it was told. */
struct port {
	struct host_nic_receiver receiver;
	struct loop *loop;
	struct host_nic *nic;
	struct host_nic_channel *channel;
	struct received *first, **end;
	unsigned frames, inputs, most, writables, links;
	/* Closes the channel from within writable() and link() */
	bool close;
};

static inline void port_input(struct host_nic_receiver *receiver, const struct frame *frames, unsigned count)
{
	struct port *port = container_of(receiver, struct port, receiver);

	assert_in_range(count, 1, 64);
	port->inputs++;
	port->most = count > port->most ? count : port->most;
	for (unsigned i = 0; i < count; i++) {
		const struct frame *frame = &frames[i];
		struct received *kept = calloc(1, sizeof(*kept));

		assert_in_range(frame->bytes, FRAME_HEADER_BYTES, FRAME_BYTES_MAX);
		assert_int_equal(iov_bytes(frame->iov, frame->iov_count), frame->bytes);
		kept->bytes = frame->bytes;
		kept->offload = frame->offload;
		kept->data = malloc(frame->bytes);
		iov_copy_out(frame->iov, frame->iov_count, 0, kept->data, frame->bytes);
		*port->end = kept;
		port->end = &kept->next;
		port->frames++;
	}
}

static inline void port_close(struct port *port)
{
	if (port->channel)
		port->nic->ops->channel_close(port->channel);
	port->channel = NULL;
}

static inline void port_writable(struct host_nic_receiver *receiver)
{
	struct port *port = container_of(receiver, struct port, receiver);

	port->writables++;
	if (port->close)
		port_close(port);
}

static inline void port_link(struct host_nic_receiver *receiver)
{
	struct port *port = container_of(receiver, struct port, receiver);

	port->links++;
	if (port->close)
		port_close(port);
}

static inline int port_try_open(struct port *port, struct loop *loop, struct host_nic *nic)
{
	*port = (struct port){
		.receiver = { .input = port_input, .writable = port_writable, .link = port_link },
		.loop = loop,
		.nic = nic,
	};
	port->end = &port->first;
	return nic->ops->channel_open(nic, loop, &port->receiver, &port->channel);
}

static inline void port_open(struct port *port, struct loop *loop, struct host_nic *nic)
{
	assert_int_equal(port_try_open(port, loop, nic), 0);
	assert_ptr_equal(port->channel->nic, nic);
	assert_ptr_equal(port->channel->ops, nic->ops);
}

/* The oldest frame that was kept, waited for; the caller frees it with received_free(). */
static inline struct received *port_take(struct port *port)
{
	struct received *oldest;

	AWAIT(port->first, loop_turn(port->loop, TURN_NS));
	oldest = port->first;
	port->first = oldest->next;
	if (!port->first)
		port->end = &port->first;
	return oldest;
}

static inline void received_free(struct received *received)
{
	free(received->data);
	free(received);
}

/* Drops what was kept. */
static inline void port_drop(struct port *port)
{
	while (port->first)
		received_free(port_take(port));
}

/* Closes the channel, too. */
static inline void port_finish(struct port *port)
{
	port_close(port);
	port_drop(port);
}

/* By these clocks; NULL: the real ones. */
static inline struct loop *nic_loop_by(const struct loop_clocks *clocks)
{
	struct loop_options options = { .name = "test", .clocks = clocks };
	struct loop *loop = NULL;

	assert_int_equal(loop_create(&options, &loop), 0);
	return loop;
}

static inline struct loop *nic_loop(void)
{
	return nic_loop_by(NULL);
}

/* A frame of bytes that tell its number, to a broadcast address and of an experimental type. */
static inline void frame_fill(uint8_t *frame, size_t bytes, unsigned number)
{
	static const uint8_t head[] = { 255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 0x88, 0xb5 };

	for (size_t i = 0; i < bytes; i++)
		frame[i] = i < sizeof(head) ? head[i] : (uint8_t)(number * 7 + i * 13);
	if (bytes >= sizeof(head) + sizeof(number))
		memcpy(frame + sizeof(head), &number, sizeof(number));
}

/* Sends one frame of one piece; true when it was taken. */
static inline bool port_send(struct port *port, const void *bytes, size_t byte_count,
			     const struct frame_offload *offload)
{
	struct iovec iov = { (void *)bytes, byte_count };
	struct frame frame = { .iov = &iov, .iov_count = 1, .bytes = (uint32_t)byte_count };

	if (offload)
		frame.offload = *offload;
	return port->nic->ops->send(port->channel, &frame, 1) == 1;
}

static inline bool nic_is_up(const struct host_nic *nic)
{
	return __atomic_load_n(&nic->up, __ATOMIC_RELAXED);
}

#endif
