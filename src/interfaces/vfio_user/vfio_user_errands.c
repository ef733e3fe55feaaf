/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "interfaces/vfio_user/vfio_user_errands.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "core/fd.h"
#include "core/guest_memory.h"
#include "core/handover.h"
#include "core/loop_account.h"
#include "interfaces/vfio_user/vfio_user_connection.h"

/* From one answer to the next, while some are owed. A VMM may be busy for a while, with a snapshot, say. */
#define ANSWER_NS (30 * NS_PER_S)
/* The same while others wait: a takeover. */
#define ANSWER_HURRY_NS (2 * NS_PER_S)

#define CONNECTION_OF(pointer, member) container_of(pointer, struct vfio_user_connection, errands.member)

/* ---- the list ---- */

static void append(struct vfio_user_errands *errands, struct register_errand *errand)
{
	errand->next = NULL;
	errand->queued = true;
	*errands->last = errand;
	errands->last = &errand->next;
}

static struct register_errand *take_first(struct vfio_user_errands *errands)
{
	struct register_errand *errand = errands->first;

	errands->first = errand->next;
	if (!errands->first)
		errands->last = &errands->first;
	errand->queued = false;
	return errand;
}

static void end(struct register_errand *errand)
{
	assert(!errand->queued && errand->flying == 0);
	guest_memory_put(errand->memory);
	errand->memory = NULL;
	errand->done(errand, errand->error);
}

/* ---- time ---- */

static void start_timer(struct vfio_user_connection *connection, uint64_t within_ns)
{
	loop_timer_start(connection->loop, &connection->errands.timer,
			 loop_now_ns(connection->loop) + within_ns);
}

static void on_timer(struct loop_timer *timer)
{
	struct vfio_user_connection *connection = CONNECTION_OF(timer, timer);

	if (connection->errands.flying > 0)
		vfio_user_violate(connection, "memory", "messages are not answered",
				  connection->errands.flying);
	else if (connection->suspending)
		start_timer(connection, ANSWER_HURRY_NS);
}

/* Something was sent, or answered. While others wait, the time is that of all answers together. */
static void expect_answer(struct vfio_user_connection *connection)
{
	struct loop_timer *timer = &connection->errands.timer;

	if (connection->suspending && timer->deadline_ns != 0)
		return;
	if (connection->suspending)
		start_timer(connection, ANSWER_HURRY_NS);
	else if (connection->errands.flying > 0)
		start_timer(connection, ANSWER_NS);
	else
		loop_timer_stop(connection->loop, timer);
}

/* ---- sending ---- */

/*
 * Finds the next bytes of the errand that a message can carry, which do not lie in what is passed over.
 * False: there are none.
 */
static bool next_bytes(const struct vfio_user_errands *errands, struct register_errand *errand,
		       struct vfio_user_flight *ret_flight)
{
	while (errand->piece < errand->count && !errand->error) {
		const struct iovec *piece = &errand->iov[errand->piece];
		uint8_t *at = (uint8_t *)piece->iov_base + errand->offset;
		const struct guest_region *region = guest_memory_find_host(errand->memory, at);
		size_t left = piece->iov_len - errand->offset, room;

		/* Its owner says that it lies there. */
		assert(left == 0 || region);
		if (left == 0) {
			errand->piece++;
			errand->offset = 0;
			continue;
		}
		room = (size_t)(region->host + region->size - at);
		left = left < room ? left : room;
		if (region->remote && left > errands->bytes_max)
			left = errands->bytes_max;
		errand->offset += left;
		if (!region->remote)
			continue;
		ret_flight->host = at;
		ret_flight->access.address = region->guest_address + (uint64_t)(at - region->host);
		ret_flight->access.count = left;
		return true;
	}
	return false;
}

/* Returns false when there is no room in the socket, or no VMM any more. */
static bool send_flight(struct vfio_user_connection *connection, const struct vfio_user_flight *flight)
{
	struct vfio_user_header header = { .id = flight->id, .command = flight->command };
	uint8_t message[sizeof(header) + sizeof(flight->access) + VFIO_USER_DMA_BYTES_MAX];
	size_t bytes = sizeof(header) + sizeof(flight->access);
	ssize_t sent;

	if (flight->command == VFIO_USER_DMA_WRITE) {
		memcpy(message + bytes, flight->host, flight->access.count);
		bytes += flight->access.count;
	}
	header.size = (uint32_t)bytes;
	memcpy(message, &header, sizeof(header));
	memcpy(message + sizeof(header), &flight->access, sizeof(flight->access));
	sent = fd_send_now(connection->socket, message, bytes, NULL, 0);
	if (sent == (ssize_t)bytes)
		return true;
	/* Room is made by those that are on their way; without any it is our answers that are not read. */
	if (sent == -EAGAIN && connection->errands.flying > 0)
		return false;
	if (sent == -EPIPE || sent == -ECONNRESET)
		vfio_user_connection_close(connection);
	else
		vfio_user_violate(connection, "memory", "messages are not read", bytes);
	return false;
}

static struct vfio_user_flight *free_flight(struct vfio_user_errands *errands)
{
	for (unsigned i = 0; i < VFIO_USER_FLIGHTS_MAX; i++)
		if (!errands->flight[i].is_used)
			return &errands->flight[i];
	return NULL;
}

/* One number is not given out twice while a message that has it is not answered. */
static uint16_t new_id(struct vfio_user_errands *errands)
{
	bool is_taken;

	do {
		errands->next_id++;
		is_taken = false;
		for (unsigned i = 0; i < VFIO_USER_FLIGHTS_MAX; i++)
			is_taken |= errands->flight[i].is_used && errands->flight[i].id == errands->next_id;
	} while (is_taken);
	return errands->next_id;
}

static void send_some(struct vfio_user_connection *connection)
{
	struct vfio_user_errands *errands = &connection->errands;
	struct vfio_user_flight *slot;

	while (errands->first && !connection->closing && (slot = free_flight(errands))) {
		struct register_errand *errand = errands->first;
		unsigned piece = errand->piece;
		size_t offset = errand->offset;
		struct vfio_user_flight flight = {
			.is_used = true,
			.command = errand->pushes ? VFIO_USER_DMA_WRITE : VFIO_USER_DMA_READ,
			.errand = errand,
		};

		if (!next_bytes(errands, errand, &flight)) {
			take_first(errands);
			if (errand->flying == 0)
				end(errand);
			continue;
		}
		flight.id = new_id(errands);
		if (!send_flight(connection, &flight)) {
			errand->piece = piece;
			errand->offset = offset;
			break;
		}
		*slot = flight;
		errand->flying++;
		if (errands->flying++ == 0)
			expect_answer(connection);
	}
}

/* ---- giving up ---- */

/* Is nothing to be waited for? A VMM that waits for our answer cannot answer; frozen memory is not touched.
 */
static bool gives_up(const struct vfio_user_connection *connection)
{
	return connection->closing || connection->waiting || connection->frozen;
}

static void give_up(struct vfio_user_errands *errands)
{
	for (unsigned i = 0; i < VFIO_USER_FLIGHTS_MAX; i++) {
		struct register_errand *errand = errands->flight[i].errand;

		if (!errand)
			continue;
		errands->flight[i].errand = NULL;
		errand->error = -ECANCELED;
		if (--errand->flying == 0 && !errand->queued)
			end(errand);
	}
	/* What ends here may begin another one, once: its answer. */
	while (errands->first) {
		struct register_errand *errand = take_first(errands);

		errand->error = -ECANCELED;
		end(errand);
	}
}

static void go_on(struct loop_task *task)
{
	struct vfio_user_connection *connection = CONNECTION_OF(task, task);

	if (!gives_up(connection))
		send_some(connection);
	if (gives_up(connection))
		give_up(&connection->errands);
}

static void wake(struct vfio_user_connection *connection)
{
	loop_defer_for(connection->loop, &connection->errands.task, connection->bus.account);
}

/* ---- for the function ---- */

static void begin(struct vfio_user_connection *connection, struct register_errand *errand, bool pushes)
{
	assert(!errand->queued && errand->flying == 0 && vfio_user_model(connection)->runs_errands);
	guest_memory_get(errand->memory);
	errand->pushes = pushes;
	errand->piece = 0;
	errand->offset = 0;
	errand->error = 0;
	append(&connection->errands, errand);
	wake(connection);
}

void vfio_user_errands_fetch(struct vfio_user_connection *connection, struct register_errand *errand)
{
	begin(connection, errand, false);
}

void vfio_user_errands_push(struct vfio_user_connection *connection, struct register_errand *errand)
{
	begin(connection, errand, true);
}

/* ---- answers ---- */

static struct vfio_user_flight *flight_of(struct vfio_user_errands *errands, uint16_t id)
{
	for (unsigned i = 0; i < VFIO_USER_FLIGHTS_MAX; i++)
		if (errands->flight[i].is_used && errands->flight[i].id == id)
			return &errands->flight[i];
	return NULL;
}

static void landed(struct vfio_user_connection *connection, const struct vfio_user_flight *flight,
		   const struct vfio_user_header *header, const uint8_t *payload)
{
	struct register_errand *errand = flight->errand;

	if (!errand)
		return;
	if (header->flags & VFIO_USER_FLAG_ERROR)
		errand->error = -EFAULT;
	else if (!errand->pushes)
		memcpy(flight->host, payload + sizeof(flight->access), flight->access.count);
	if (--errand->flying == 0 && !errand->queued)
		end(errand);
}

void vfio_user_errands_answer(struct vfio_user_connection *connection)
{
	struct vfio_user_errands *errands = &connection->errands;
	const uint8_t *message = connection->in + connection->in_at;
	struct vfio_user_header header;
	struct vfio_user_flight *slot, flight;
	const char *reason;

	memcpy(&header, message, sizeof(header));
	slot = flight_of(errands, header.id);
	if (!slot)
		reason = "an answer that was not asked for";
	else if (connection->fd_count > 0)
		reason = "an answer with descriptors";
	else
		reason = vfio_user_answer_check(&header, slot->command, &slot->access,
						message + sizeof(header));
	if (reason) {
		vfio_user_violate(connection, "memory", reason, header.id);
		return;
	}
	flight = *slot;
	*slot = (struct vfio_user_flight){ .is_used = false };
	errands->flying--;
	expect_answer(connection);
	landed(connection, &flight, &header, message + sizeof(header));
	if (errands->first)
		wake(connection);
}

/* ---- for the connection ---- */

bool vfio_user_errands_under_way(const struct vfio_user_connection *connection)
{
	return connection->errands.first || connection->errands.flying > 0;
}

void vfio_user_errands_hurry(struct vfio_user_connection *connection)
{
	const struct loop_timer *timer = &connection->errands.timer;
	uint64_t most_ns = loop_now_ns(connection->loop) + ANSWER_HURRY_NS;

	if (!vfio_user_errands_under_way(connection))
		return;
	if (connection->suspending && (timer->deadline_ns == 0 || timer->deadline_ns > most_ns))
		start_timer(connection, ANSWER_HURRY_NS);
	wake(connection);
}

void vfio_user_errands_init(struct vfio_user_connection *connection)
{
	struct vfio_user_errands *errands = &connection->errands;

	errands->last = &errands->first;
	errands->bytes_max = VFIO_USER_DMA_BYTES_MAX;
	errands->task.run = go_on;
	errands->timer.expired = on_timer;
}

void vfio_user_errands_agree(struct vfio_user_connection *connection, uint64_t bytes_max)
{
	if (bytes_max > 0 && bytes_max < VFIO_USER_DMA_BYTES_MAX)
		connection->errands.bytes_max = (uint32_t)bytes_max;
}

void vfio_user_errands_stop(struct vfio_user_connection *connection)
{
	loop_defer_cancel(connection->loop, &connection->errands.task);
	loop_timer_stop(connection->loop, &connection->errands.timer);
}

void vfio_user_errands_start(struct vfio_user_connection *connection)
{
	expect_answer(connection);
}

/* ---- takeover ---- */

void vfio_user_errands_save(const struct vfio_user_connection *connection, struct handover *handover)
{
	const struct vfio_user_errands *errands = &connection->errands;

	assert(!errands->first);
	handover_put_u64(handover, errands->bytes_max);
	handover_put_u64(handover, errands->next_id);
	handover_put_u64(handover, errands->flying);
	for (unsigned i = 0; i < VFIO_USER_FLIGHTS_MAX; i++) {
		const struct vfio_user_flight *flight = &errands->flight[i];

		if (!flight->is_used)
			continue;
		assert(!flight->errand);
		handover_put_u64(handover, flight->id);
		handover_put_u64(handover, flight->command);
		handover_put_u64(handover, flight->access.address);
		handover_put_u64(handover, flight->access.count);
	}
}

void vfio_user_errands_restore(struct vfio_user_connection *connection, struct handover *handover)
{
	struct vfio_user_errands *errands = &connection->errands;

	errands->bytes_max = (uint32_t)handover_get_at_most(handover, VFIO_USER_DMA_BYTES_MAX);
	handover_fail_if(handover, errands->bytes_max == 0);
	errands->next_id = (uint16_t)handover_get_at_most(handover, UINT16_MAX);
	errands->flying = (unsigned)handover_get_at_most(handover, VFIO_USER_FLIGHTS_MAX);
	for (unsigned i = 0; i < errands->flying && !handover->error; i++) {
		struct vfio_user_flight *flight = &errands->flight[i];

		flight->id = (uint16_t)handover_get_at_most(handover, UINT16_MAX);
		flight->command = (uint16_t)handover_get_at_most(handover, VFIO_USER_DMA_WRITE);
		flight->access.address = handover_get_u64(handover);
		flight->access.count = handover_get_at_most(handover, VFIO_USER_DMA_BYTES_MAX);
		handover_fail_if(handover, flight_of(errands, flight->id) ||
						   flight->command < VFIO_USER_DMA_READ ||
						   flight->access.count == 0);
		flight->is_used = true;
	}
}
