/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages are read and handled by a poller, so that a guest that floods its registers has its turns like one
 * that floods a ring.
 */
#include <poll.h>

#include "core/guest_memory.h"
#include "core/loop_account.h"
#include "core/memory_guard.h"
#include "interfaces/vfio_user/vfio_user_connection.h"

/* A VMM that has not introduced itself by then is let go. */
#define HANDSHAKE_NS (10 * NS_PER_S)
/* From a message's first byte to its last. */
#define MESSAGE_NS (10 * NS_PER_S)
/* Messages of a turn at most; after so many, or accesses to registers, the time is asked. */
#define TURN_MESSAGES 64u
#define TIMED_WORK    8u

#define CONNECTION_OF(pointer, member) container_of(pointer, struct vfio_user_connection, member)

void vfio_user_reader_wake(struct vfio_user_connection *connection)
{
	connection->dry = false;
	loop_poller_wake(connection->loop, &connection->poller);
}

/* Did the VMM cut a file of the guest's memory short? */
static void check_memory(struct vfio_user_connection *connection)
{
	unsigned faults = memory_guard_faults();

	if (faults == connection->faults_seen)
		return;
	connection->faults_seen = faults;
	if (guest_memory_lost(connection->dma.memory))
		vfio_user_violate(connection, "memory", "its file has become shorter", 0);
}

static void on_ready(struct loop_watch *watch, unsigned events)
{
	struct vfio_user_connection *connection = CONNECTION_OF(watch, watch);

	connection->hung_up |= (events & (POLLHUP | POLLRDHUP | POLLERR)) != 0;
	vfio_user_reader_wake(connection);
}

static void on_door_ready(struct loop_watch *watch, unsigned events)
{
	vfio_user_reader_wake(CONNECTION_OF(watch, door_watch));
}

static void on_timer(struct loop_timer *timer)
{
	struct vfio_user_connection *connection = CONNECTION_OF(timer, timer);

	vfio_user_violate(connection, connection->versioned ? "a message" : "version", "takes too long",
			  connection->in_bytes);
}

static bool reads(const struct vfio_user_connection *connection)
{
	/* One that is to stand still waits for the VMM's answers, too, which come behind what it asks for. */
	return !connection->closing && !connection->waiting && !connection->settling &&
	       !connection->suspended && !connection->frozen &&
	       (!connection->suspending || vfio_user_errands_under_way(connection));
}

static void handle(struct vfio_user_connection *connection)
{
	if (connection->versioned)
		loop_timer_stop(connection->loop, &connection->timer);
	vfio_user_handle(connection);
	connection->settling = connection->unsettled > 0;
	if (!connection->waiting && !connection->settling)
		vfio_user_drop_message(connection);
}

/* The rest of a message is to come within a time. */
static void expect_rest(struct vfio_user_connection *connection)
{
	bool begun = connection->in_bytes > 0 || connection->fetching > 0;

	if (begun && connection->timer.deadline_ns == 0)
		loop_timer_start(connection->loop, &connection->timer,
				 loop_now_ns(connection->loop) + MESSAGE_NS);
}

/* Handles a message, or reads more. False: there is nothing more to do now. */
static bool advance(struct vfio_user_connection *connection, unsigned *messages)
{
	if (vfio_user_has_message(connection)) {
		handle(connection);
		++*messages;
		return true;
	}
	if (connection->closing || connection->dry)
		return false;
	switch (vfio_user_receive(connection)) {
	case VFIO_USER_SOME:
		return true;
	case VFIO_USER_DRY:
		connection->dry = true;
		return false;
	case VFIO_USER_ENDED:
		vfio_user_connection_close(connection);
		return false;
	}
	return false;
}

static bool poll_messages(struct loop_poller *poller)
{
	struct vfio_user_connection *connection = CONNECTION_OF(poller, poller);
	unsigned messages = 0, steps = 0;

	check_memory(connection);
	connection->work = 0;
	while (reads(connection) && messages < TURN_MESSAGES && advance(connection, &messages)) {
		steps++;
		if (++connection->work < TIMED_WORK)
			continue;
		connection->work = 0;
		if (loop_slice_over(connection->loop))
			break;
	}
	if (connection->dry && reads(connection))
		expect_rest(connection);
	if (steps > 0)
		loop_worked(connection->loop, steps < TIMED_WORK);
	return steps > 0;
}

/* The watches tell of what comes later. */
static bool park(struct loop_poller *poller)
{
	struct vfio_user_connection *connection = CONNECTION_OF(poller, poller);

	return !reads(connection) || connection->dry;
}

/* ---- for the connection ---- */

void vfio_user_reader_init(struct vfio_user_connection *connection)
{
	struct loop_account *account = connection->bus.account;

	connection->watch = (struct loop_watch){ .ready = on_ready, .account = account };
	connection->door_watch = (struct loop_watch){ .ready = on_door_ready, .account = account };
	connection->poller = (struct loop_poller){ .poll = poll_messages, .park = park, .account = account };
	connection->timer = (struct loop_timer){ .expired = on_timer };
}

int vfio_user_reader_start(struct vfio_user_connection *connection)
{
	int error = loop_watch_start(connection->loop, &connection->watch, connection->socket,
				     POLLIN | POLLRDHUP);

	if (!error && connection->door >= 0)
		error = loop_watch_start(connection->loop, &connection->door_watch, connection->door, POLLIN);
	if (error)
		return error;
	if (!connection->versioned)
		loop_timer_start(connection->loop, &connection->timer,
				 loop_now_ns(connection->loop) + HANDSHAKE_NS);
	vfio_user_reader_wake(connection);
	return 0;
}

void vfio_user_reader_stop(struct vfio_user_connection *connection)
{
	loop_watch_stop(connection->loop, &connection->watch);
	loop_watch_stop(connection->loop, &connection->door_watch);
	loop_poller_remove(connection->loop, &connection->poller);
	loop_timer_stop(connection->loop, &connection->timer);
}
