/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests of NICs that are interfaces of the kernel: frames between a NIC and a socket at its other side.
 */
#ifndef VIADUCT_TESTS_NIC_WIRE_H
#define VIADUCT_TESTS_NIC_WIRE_H

#include "nic_namespace.h"

struct fixture {
	struct loop *loop;
	struct host_nic *nic;
	struct port port;
	int peer;
	char name[NIC_NAME_BYTES]; /* of a tap's interface */
};

static inline void peer_to_nic(struct fixture *fixture, size_t bytes, unsigned number)
{
	uint8_t frame[2048];
	struct received *received;

	frame_fill(frame, bytes, number);
	peer_send(fixture->peer, frame, bytes, NULL);
	received = port_take(&fixture->port);
	assert_int_equal(received->bytes, bytes);
	assert_memory_equal(received->data, frame, bytes);
	assert_int_equal(received->offload.gso_type, FRAME_GSO_NONE);
	received_free(received);
}

static inline void nic_to_peer(struct fixture *fixture, size_t bytes, unsigned number)
{
	static uint8_t frame[2048], seen[FRAME_BYTES_MAX];
	struct frame_offload offload;

	frame_fill(frame, bytes, number);
	assert_true(port_send(&fixture->port, frame, bytes, NULL));
	assert_int_equal(peer_take(fixture->peer, fixture->loop, seen, &offload), bytes);
	assert_memory_equal(seen, frame, bytes);
	assert_int_equal(offload.gso_type, FRAME_GSO_NONE);
}

/* A frame of its own kind each time: of those before, none is under way when it has come. */
static inline void fill_unique(uint8_t frame[60])
{
	static unsigned number = 1000;

	frame_fill(frame, 60, number++);
}

/* The peer sends a frame; true when it has come at once. */
static inline bool reaches_nic(struct fixture *fixture)
{
	uint8_t frame[60];
	bool came = false;

	fill_unique(frame);
	peer_send(fixture->peer, frame, sizeof(frame), NULL);
	assert_int_equal(loop_turn(fixture->loop, 10 * NS_PER_MS), 0);
	while (fixture->port.first) {
		struct received *received = port_take(&fixture->port);

		came = received->bytes == 60 && memcmp(received->data, frame, 60) == 0;
		received_free(received);
	}
	return came;
}

/* The same the other way. */
static inline bool reaches_peer(struct fixture *fixture)
{
	uint8_t frame[60], seen[FRAME_OFFLOAD_WIRE_BYTES + 61];
	bool came = false;
	ssize_t got;

	fill_unique(frame);
	assert_true(port_send(&fixture->port, frame, sizeof(frame), NULL));
	assert_int_equal(loop_turn(fixture->loop, 10 * NS_PER_MS), 0);
	while ((got = read(fixture->peer, seen, sizeof(seen))) > 0)
		came = got == FRAME_OFFLOAD_WIRE_BYTES + 60 &&
		       memcmp(seen + FRAME_OFFLOAD_WIRE_BYTES, frame, 60) == 0;
	return came;
}

/*
 * Frames pass again both ways, after a change of the link. An end is told of it before or after the kernel's
 * queue of the other one has noticed, and until then the kernel drops what is sent there.
 */
static inline void meet(struct fixture *fixture)
{
	AWAIT(reaches_nic(fixture), (void)0);
	AWAIT(reaches_peer(fixture), (void)0);
}

/* The NIC has told of so many changes of the link, and this is how it is now. */
static inline void await_link(struct fixture *fixture, unsigned links, bool up)
{
	AWAIT(fixture->port.links >= links && nic_is_up(fixture->nic) == up,
	      loop_turn(fixture->loop, TURN_NS));
}

#endif
