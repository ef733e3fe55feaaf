/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One front end: receives messages, checks them against the table, answers, and runs its jobs one after
 * the other. vhost_user_connection_advance() is the one place that decides what is next.
 */
#include "interfaces/vhost_user/vhost_user_connection.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/clock.h"
#include "core/container.h"
#include "core/fd.h"
#include "core/log.h"
#include "core/loop_account.h"
#include "core/reaper.h"
#include "interfaces/vhost_user/vhost_user_backend.h"
#include "interfaces/vhost_user/vhost_user_endpoint.h"
#include "interfaces/vhost_user/vhost_user_handlers.h"
#include "interfaces/vhost_user/vhost_user_inflight.h"
#include "interfaces/vhost_user/vhost_user_memory.h"
#include "interfaces/vhost_user/vhost_user_queue.h"
#include "interfaces/virtio/dirty_log.h"

/* From a message's first byte to its last. */
#define MESSAGE_NS (10 * NS_PER_S)
/* So long may a front end that went be on its way through its doorman. */
#define CLAIM_NS (NS_PER_S / 2)

#define CONNECTION_OF(pointer, member) container_of(pointer, struct vhost_user_connection, member)

void vhost_user_complain(struct vhost_user_connection *connection, const char *reason, uint64_t value)
{
	connection->endpoint->protocol_errors++;
	log_guest(&connection->endpoint->subject, "front end: %s: %s (%#llx)",
		  vhost_user_request_name(connection->message.header.request), reason,
		  (unsigned long long)value);
}

/* ---- life ---- */

static void on_ready(struct loop_watch *watch, unsigned events)
{
	struct vhost_user_connection *connection = CONNECTION_OF(watch, watch);

	/*
	 * A front end that waits for another one's rings may give up; every other end is read from the
	 * socket.
	 */
	if (connection->waits_for_claim && (events & (POLLHUP | POLLRDHUP | POLLERR)))
		vhost_user_connection_close(connection);
	vhost_user_connection_advance(connection);
}

static void on_timer(struct loop_timer *timer)
{
	struct vhost_user_connection *connection = CONNECTION_OF(timer, timer);

	if (connection->waits_for_claim) {
		/* It was seen leaving meanwhile; its disk takes as long as it takes. */
		if (connection->endpoint->owner->closing)
			return;
		vhost_user_connection_end_wait(connection);
		vhost_user_message_finish(connection, vhost_user_rings_refuse(connection));
		vhost_user_connection_defer(connection);
		return;
	}
	vhost_user_complain(connection, connection->introduced ? "message takes too long" : "no handshake",
			    connection->received);
	vhost_user_connection_close(connection);
}

static void on_task(struct loop_task *task)
{
	vhost_user_connection_advance(CONNECTION_OF(task, task));
}

static void on_rested(struct loop_timer *timer)
{
	vhost_user_connection_advance(CONNECTION_OF(timer, rest));
}

struct vhost_user_connection *vhost_user_connection_create(struct vhost_user_endpoint *endpoint, int socket)
{
	struct vhost_user_connection *connection = calloc(1, sizeof(*connection));

	if (!connection)
		return NULL;
	connection->endpoint = endpoint;
	connection->socket = connection->reply_fd = connection->log_fd = -1;
	vhost_user_backend_init(&connection->backend);
	connection->watch.ready = on_ready;
	connection->timer.expired = on_timer;
	connection->task.run = on_task;
	connection->rest.expired = on_rested;
	if (vhost_user_memory_init(&connection->memory) || vhost_user_queues_create(connection)) {
		vhost_user_memory_finish(&connection->memory);
		free(connection);
		return NULL;
	}
	connection->socket = socket;
	connection->next = endpoint->connections;
	if (connection->next)
		connection->next->previous = connection;
	endpoint->connections = connection;
	endpoint->connection_count++;
	return connection;
}

int vhost_user_connection_begin(struct vhost_user_connection *connection)
{
	struct loop *control = vhost_user_connection_control(connection);

	if (!connection->introduced)
		loop_timer_start(control, &connection->timer, loop_now_ns(control) + VHOST_USER_HANDSHAKE_NS);
	vhost_user_connection_defer(connection);
	return loop_watch_start(control, &connection->watch, connection->socket, POLLIN | POLLRDHUP);
}

void vhost_user_connection_defer(struct vhost_user_connection *connection)
{
	loop_defer(vhost_user_connection_control(connection), &connection->task);
}

static void drop_fds(struct vhost_user_connection *connection)
{
	struct vhost_user_message *message = &connection->message;

	for (unsigned i = 0; i < message->fd_count; i++)
		reaper_close(&message->fds[i]);
	message->fd_count = 0;
}

void vhost_user_connection_close(struct vhost_user_connection *connection)
{
	if (connection->closing)
		return;
	connection->closing = true;
	loop_timer_stop(vhost_user_connection_control(connection), &connection->timer);
	loop_timer_stop(vhost_user_connection_control(connection), &connection->rest);
	loop_watch_stop(vhost_user_connection_control(connection), &connection->watch);
	/* Its doorman stays until the connection is freed, so that what the front end sent ends with him. */
	if (!connection->endpoint->handed_over && !connection->front_end_gone)
		shutdown(connection->socket, SHUT_WR);
	drop_fds(connection);
	vhost_user_backend_finish(connection);
	vhost_user_connection_defer(connection);
}

static void connection_free(struct vhost_user_connection *connection)
{
	struct vhost_user_endpoint *endpoint = connection->endpoint;

	loop_defer_cancel(vhost_user_connection_control(connection), &connection->task);
	vhost_user_queues_destroy(connection);
	vhost_user_memory_finish(&connection->memory);
	vhost_user_inflight_close(connection->inflight);
	dirty_log_put(connection->log);
	reaper_close(&connection->log_fd);
	reaper_close(&connection->reply_fd);
	/* The last: with it ends the doorman, who is to close all of them after us. */
	reaper_close(&connection->socket);
	if (connection->next)
		connection->next->previous = connection->previous;
	if (connection->previous)
		connection->previous->next = connection->next;
	else
		endpoint->connections = connection->next;
	endpoint->connection_count--;
	vhost_user_endpoint_remove(connection); /* frees it, possibly the endpoint too */
}

void vhost_user_connection_punish(struct vhost_user_connection *connection, const char *reason)
{
	vhost_user_complain(connection, reason, 0);
	endpoint_socket_rest(&connection->endpoint->socket);
	vhost_user_connection_close(connection);
}

bool vhost_user_connection_hung_up(const struct vhost_user_connection *connection)
{
	struct pollfd poll_fd = { .fd = connection->socket, .events = POLLRDHUP };

	return connection->closing ||
	       (poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLHUP | POLLRDHUP | POLLERR)));
}

/* ---- jobs ---- */

void vhost_user_job_begin(struct vhost_user_connection *connection,
			  void (*done)(struct vhost_user_connection *connection))
{
	assert(!connection->busy && connection->pending == 0);
	connection->busy = true;
	connection->job_error = 0;
	connection->job_done = done;
}

static void job_end(struct vhost_user_connection *connection)
{
	connection->busy = false;
	if (connection->job_done)
		connection->job_done(connection);
}

void vhost_user_job_end_posting(struct vhost_user_connection *connection)
{
	assert(connection->busy);
	if (connection->pending == 0)
		job_end(connection);
}

void vhost_user_job_answered(struct vhost_user_connection *connection, int result)
{
	assert(connection->busy && connection->pending > 0);
	if (result && !connection->job_error)
		connection->job_error = result;
	if (--connection->pending > 0)
		return;
	job_end(connection);
	vhost_user_connection_advance(connection);
}

/* ---- messages ---- */

/* Header and payload in one datagram of the stream; a front end that leaves no room does not read. */
static void send_reply(struct vhost_user_connection *connection, const void *payload, unsigned size)
{
	struct vhost_user_header header = {
		.request = connection->message.header.request,
		.flags = VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY,
		.size = size,
	};
	uint8_t bytes[sizeof(header) + sizeof(connection->reply)];
	ssize_t sent;

	assert(size <= sizeof(connection->reply));
	if (connection->closing)
		return;
	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + sizeof(header), payload, size);
	sent = fd_send(connection->socket, bytes, sizeof(header) + size, &connection->reply_fd,
		       connection->reply_fd >= 0);
	if (sent == (ssize_t)(sizeof(header) + size))
		return;
	if (sent != -EPIPE && sent != -ECONNRESET)
		vhost_user_complain(connection, "does not read its replies", size);
	vhost_user_connection_close(connection);
}

static const struct vhost_user_rule *rule_of(const struct vhost_user_connection *connection)
{
	return vhost_user_rule_find(connection->message.header.request,
				    connection->endpoint->options.model->messages);
}

static void acknowledge(struct vhost_user_connection *connection, uint64_t failed)
{
	send_reply(connection, &failed, sizeof(failed));
}

static void refuse(struct vhost_user_connection *connection, const struct vhost_user_rule *rule,
		   bool wants_ack)
{
	/* A bare number would be taken for the payload of a reply that has one. */
	bool own_reply = rule && rule->handle && rule->own_reply;

	if (wants_ack && !own_reply)
		acknowledge(connection, 1);
	else if (rule && (rule->own_reply || rule->must_know))
		vhost_user_connection_close(connection);
}

void vhost_user_message_finish(struct vhost_user_connection *connection, enum vhost_user_outcome outcome)
{
	const struct vhost_user_rule *rule = rule_of(connection);
	bool wants_ack = (connection->message.header.flags & VHOST_USER_FLAG_NEED_REPLY) &&
			 (connection->protocol_features & VHOST_USER_PROTOCOL_BIT(REPLY_ACK));

	assert(!connection->busy);
	switch (outcome) {
	case VHOST_USER_DONE:
		if (rule->own_reply)
			send_reply(connection, &connection->reply, connection->reply_size);
		else if (wants_ack)
			acknowledge(connection, 0);
		break;
	case VHOST_USER_REFUSED:
		refuse(connection, rule, wants_ack);
		break;
	case VHOST_USER_VIOLATION:
		endpoint_socket_violation(&connection->endpoint->socket);
		vhost_user_connection_close(connection);
		break;
	case VHOST_USER_LATER:
		assert(false);
	}
	reaper_close(&connection->reply_fd);
	drop_fds(connection);
	connection->received = 0;
}

static void handle(struct vhost_user_connection *connection)
{
	struct vhost_user_message *message = &connection->message;
	const struct vhost_user_standing standing = {
		.protocol_features = connection->protocol_features,
		.model_messages = connection->endpoint->options.model->messages,
		.running = vhost_user_queues_running(connection),
	};
	enum vhost_user_outcome outcome;
	const char *reason;

	if (connection->introduced)
		loop_timer_stop(vhost_user_connection_control(connection), &connection->timer);
	connection->reply_size = 0;
	memset(&connection->reply, 0, sizeof(connection->reply));
	outcome = vhost_user_message_check(&message->header, message->fd_count, &standing, &reason);
	if (outcome != VHOST_USER_DONE)
		vhost_user_complain(connection, reason, message->header.request);
	else
		outcome = rule_of(connection)->handle(connection, message);
	if (outcome != VHOST_USER_LATER)
		vhost_user_message_finish(connection, outcome);
}

static void violate(struct vhost_user_connection *connection, const char *reason, uint64_t value)
{
	vhost_user_complain(connection, reason, value);
	endpoint_socket_violation(&connection->endpoint->socket);
	vhost_user_connection_close(connection);
}

/*
 * One read. Returns true when there may be more to read. Descriptors come with a message's first byte only.
 */
static bool receive(struct vhost_user_connection *connection, size_t wanted)
{
	struct vhost_user_message *message = &connection->message;
	size_t header_bytes = sizeof(message->header), fd_count = 0,
	       fds_max = connection->received == 0 ? VHOST_USER_FDS_MAX : 0;
	int fds[FD_MESSAGE_MAX];
	uint8_t *to = connection->received < header_bytes
			      ? (uint8_t *)&message->header + connection->received
			      : message->payload.bytes + (connection->received - header_bytes);
	ssize_t received;

	/* Room for all that may come: what the kernel has no room for is lost without a word. */
	received = fd_receive(connection->socket, to, wanted - connection->received, fds, FD_MESSAGE_MAX,
			      &fd_count);
	if (received == -EAGAIN)
		return false;
	if (received == -EMSGSIZE || (received >= 0 && fd_count > fds_max)) {
		for (size_t i = 0; i < fd_count; i++)
			reaper_close(&fds[i]);
		violate(connection, fds_max > 0 ? "too many descriptors" : "descriptors inside a message",
			fd_count);
		return false;
	}
	if (received <= 0) {
		connection->front_end_gone = received == 0;
		vhost_user_connection_close(connection);
		return false;
	}
	if (fds_max > 0) {
		memcpy(message->fds, fds, fd_count * sizeof(fds[0]));
		message->fd_count = (unsigned)fd_count;
	}
	connection->received += (size_t)received;
	return true;
}

/* Reads on until a message is whole (true) or nothing more is there. */
static bool receive_message(struct vhost_user_connection *connection)
{
	struct vhost_user_message *message = &connection->message;
	size_t wanted = sizeof(message->header);
	struct loop *control = vhost_user_connection_control(connection);
	const char *reason;

	for (;;) {
		if (connection->received >= sizeof(message->header)) {
			reason = vhost_user_header_check(&message->header);
			if (reason) {
				violate(connection, reason,
					message->header.flags | (uint64_t)message->header.size << 32);
				return false;
			}
			wanted = sizeof(message->header) + message->header.size;
		}
		if (connection->received == wanted)
			return true;
		if (!receive(connection, wanted))
			break;
	}
	if (!connection->closing && connection->received > 0 && connection->timer.deadline_ns == 0)
		loop_timer_start(control, &connection->timer, loop_now_ns(control) + MESSAGE_NS);
	return false;
}

/* ---- what is next ---- */

/* What the front end sends meanwhile waits in the socket, and so does its end. */
static bool rests(struct vhost_user_connection *connection)
{
	struct loop *control = vhost_user_connection_control(connection);
	uint64_t wait_ns = loop_budget_wait_ns(control, connection->endpoint->control_account);

	/* A message that has begun is not held up: there is a time for it. */
	if (wait_ns == 0 || connection->received > 0)
		return false;
	loop_timer_start(control, &connection->rest, loop_now_ns(control) + wait_ns);
	return true;
}

/* Until the guest's slice of this turn is over; the budget bounds what that comes to over many turns. */
static void read_messages(struct vhost_user_connection *connection)
{
	do {
		if (rests(connection) || !receive_message(connection))
			return;
		handle(connection);
		if (connection->busy || connection->closing)
			return;
	} while (!loop_slice_over(vhost_user_connection_control(connection)));
	vhost_user_connection_defer(connection);
}

static void stop_rings(struct vhost_user_connection *connection)
{
	vhost_user_job_begin(connection, NULL);
	vhost_user_queues_post_stop(connection);
	vhost_user_job_end_posting(connection);
}

/* Stops what runs, then waits for what is under way, then frees; each step comes back here. */
static void tear_down(struct vhost_user_connection *connection)
{
	if (vhost_user_queues_running(connection)) {
		stop_rings(connection);
		return;
	}
	connection_free(connection);
}

static void on_suspended(struct vhost_user_connection *connection)
{
	connection->suspended = true;
	vhost_user_endpoint_check_suspended(connection->endpoint);
}

static void suspend(struct vhost_user_connection *connection)
{
	if (connection->suspended)
		return;
	loop_timer_stop(vhost_user_connection_control(connection), &connection->timer);
	for (unsigned i = 0; i < connection->queue_count; i++)
		connection->queues[i].resume = connection->queues[i].started && !connection->queues[i].broken;
	vhost_user_job_begin(connection, on_suspended);
	vhost_user_queues_post_stop(connection);
	vhost_user_job_end_posting(connection);
}

void vhost_user_connection_do_next(struct vhost_user_connection *connection)
{
	if (connection->closing && connection->waits_for_claim)
		vhost_user_connection_end_wait(connection);
	if (connection->lost && !connection->endpoint->suspending)
		vhost_user_connection_close(connection);
	if (connection->busy)
		return;
	if (connection->closing) {
		tear_down(connection);
	} else if (connection->moves) {
		connection->moves = false;
		vhost_user_rings_move(connection);
		if (!connection->busy)
			vhost_user_connection_defer(connection);
	} else if (connection->endpoint->suspending) {
		suspend(connection);
	} else if (connection->enable_news) {
		connection->enable_news = false;
		vhost_user_job_begin(connection, NULL);
		vhost_user_queues_post_enable(connection);
		vhost_user_job_end_posting(connection);
		if (!connection->busy)
			vhost_user_connection_defer(connection);
	} else {
		read_messages(connection);
	}
}
