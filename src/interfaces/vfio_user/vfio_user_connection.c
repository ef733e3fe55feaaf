/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VMM's connection: its function, and what is wanted of it. What has to wait until the function is at rest
 * (a reset, a suspension, the end) goes on in one place: go_on().
 */
#include "interfaces/vfio_user/vfio_user_connection.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/fd.h"
#include "core/guest_memory.h"
#include "core/loop_account.h"
#include "core/memory_guard.h"
#include "core/reaper.h"

#define CONNECTION_OF(pointer, member) container_of(pointer, struct vfio_user_connection, member)

/* ---- complaints ---- */

void vfio_user_complain(struct vfio_user_connection *connection, const char *about, const char *reason,
			uint64_t value)
{
	counter_add(&connection->endpoint->protocol_errors, 1);
	log_guest(connection->subject, "VMM: %s: %s (%#llx)", about, reason, (unsigned long long)value);
}

void vfio_user_violate(struct vfio_user_connection *connection, const char *about, const char *reason,
		       uint64_t value)
{
	if (connection->closing)
		return;
	vfio_user_complain(connection, about, reason, value);
	vfio_user_tell(connection, VFIO_USER_NEWS_VIOLATED);
	vfio_user_connection_close(connection);
}

/* ---- the bus, as the function sees it ---- */

#define OF_BUS(pointer) container_of(pointer, struct vfio_user_connection, bus)

static void bus_raise(struct register_bus *bus, unsigned vector)
{
	vfio_user_interrupts_raise(&OF_BUS(bus)->interrupts, vector);
}

static void bus_lower(struct register_bus *bus, unsigned vector)
{
	vfio_user_interrupts_lower(&OF_BUS(bus)->interrupts, vector);
}

static bool bus_has_vectors(const struct register_bus *bus)
{
	const struct vfio_user_connection *connection =
		container_of((struct register_bus *)bus, struct vfio_user_connection, bus);

	return vfio_user_interrupts_has_vectors(&connection->interrupts);
}

static void bus_violated(struct register_bus *bus, unsigned kind, uint64_t value)
{
	struct vfio_user_connection *connection = OF_BUS(bus);

	counter_add(&connection->endpoint->violations[kind], 1);
	log_guest(connection->subject, "driver: %s (%#llx)", vfio_user_model(connection)->violations[kind],
		  (unsigned long long)value);
}

static void bus_fetch(struct register_bus *bus, struct register_errand *errand)
{
	vfio_user_errands_fetch(OF_BUS(bus), errand);
}

static void bus_push(struct register_bus *bus, struct register_errand *errand)
{
	vfio_user_errands_push(OF_BUS(bus), errand);
}

static void bus_answer_later(struct register_bus *bus)
{
	vfio_user_connection_unsettle(OF_BUS(bus));
}

static void bus_answer(struct register_bus *bus)
{
	vfio_user_connection_settled(OF_BUS(bus));
}

static const struct register_bus_ops bus_ops = {
	.raise = bus_raise,
	.lower = bus_lower,
	.has_vectors = bus_has_vectors,
	.violated = bus_violated,
	.fetch = bus_fetch,
	.push = bus_push,
	.raise_from = vfio_user_lane_raise,
	.answer_later = bus_answer_later,
	.answer = bus_answer,
};

void vfio_user_connection_refresh_memory(struct vfio_user_connection *connection)
{
	struct guest_memory *before = connection->bus.memory;

	connection->bus.memory =
		guest_memory_get(connection->is_master ? connection->dma.memory : connection->dma.empty);
	__atomic_store_n(&connection->bus.memory_moves, true, __ATOMIC_RELAXED);
	if (connection->function)
		vfio_user_model(connection)->memory_changed(connection->function);
	guest_memory_put(before);
}

static void tell_of_private_memory(struct vfio_user_connection *connection)
{
	bool has_errands = vfio_user_model(connection)->runs_errands;

	if (has_errands && connection->told_of_memory)
		return;
	connection->told_of_memory = true;
	log_guest(&connection->endpoint->memory_subject,
		  "VMM: it keeps its guest's memory to itself, and the device %s; QEMU shares it with "
		  "-object memory-backend-memfd,share=on",
		  has_errands ? "asks for each byte, which is slow" : "cannot reach it");
}

void vfio_user_connection_settle_memory(struct vfio_user_connection *connection)
{
	if (!connection->bus.memory_moves)
		return;
	__atomic_store_n(&connection->bus.memory_moves, false, __ATOMIC_RELAXED);
	if (connection->is_master && vfio_user_dma_is_private(&connection->dma))
		tell_of_private_memory(connection);
}

/* ---- rest ---- */

static bool is_at_rest(struct vfio_user_connection *connection)
{
	return connection->quiet && connection->unsettled == 0 && connection->interrupts.writing == 0 &&
	       vfio_user_lanes_end(connection);
}

void vfio_user_connection_unsettle(struct vfio_user_connection *connection)
{
	connection->unsettled++;
}

void vfio_user_connection_settled(struct vfio_user_connection *connection)
{
	assert(connection->unsettled > 0);
	if (--connection->unsettled == 0)
		loop_defer_for(connection->loop, &connection->task, connection->bus.account);
}

static void on_quiet(void *context)
{
	struct vfio_user_connection *connection = context;

	connection->quiet = true;
	loop_defer_for(connection->loop, &connection->task, connection->bus.account);
}

void vfio_user_connection_quiesce(struct vfio_user_connection *connection)
{
	vfio_user_errands_hurry(connection);
	if (connection->quiescing)
		return;
	connection->quiescing = true;
	if (connection->function)
		vfio_user_model(connection)->quiesce(connection->function, on_quiet, connection);
	else
		on_quiet(connection);
}

static void resume_function(struct vfio_user_connection *connection)
{
	connection->quiescing = connection->quiet = false;
	vfio_user_lanes_begin(connection);
	vfio_user_model(connection)->resume(connection->function);
}

void vfio_user_connection_close(struct vfio_user_connection *connection)
{
	if (connection->closing)
		return;
	connection->closing = true;
	vfio_user_tell(connection, VFIO_USER_NEWS_LEAVING);
	vfio_user_reader_stop(connection);
	/* The doorman stays until the connection is freed, so that what the VMM sent ends with him. */
	if (!connection->endpoint->handed_over)
		shutdown(connection->socket, SHUT_RDWR);
	vfio_user_connection_quiesce(connection);
}

static void let_go(struct vfio_user_connection *connection)
{
	vfio_user_reader_stop(connection);
	vfio_user_errands_stop(connection);
	loop_blame_stop(connection->loop, &connection->blame);
	loop_defer_cancel(connection->loop, &connection->task);
	if (connection->function)
		vfio_user_model(connection)->power_off(connection->function);
	connection->function = NULL;
	connection->gone = true;
	assert(!connection->poller.awake && !connection->task.queued);
	vfio_user_endpoint_farewell(connection);
}

static void suspended(struct vfio_user_connection *connection)
{
	vfio_user_reader_stop(connection);
	vfio_user_errands_stop(connection);
	loop_blame_stop(connection->loop, &connection->blame);
	loop_defer_cancel(connection->loop, &connection->task);
	if (connection->leaving && connection->function) {
		vfio_user_model(connection)->leave(connection->function);
		connection->left = true;
	}
	connection->leaving = false;
	connection->suspending = false;
	connection->suspended = true;
	vfio_user_tell(connection, VFIO_USER_NEWS_SUSPENDED);
}

static void next_message(struct vfio_user_connection *connection)
{
	vfio_user_drop_message(connection);
	if (!connection->closing)
		vfio_user_reader_wake(connection);
}

/* What waits for lanes, or for the function to be at rest. A message's answer comes first: it cannot be
 * handed over. */
static void go_on(struct loop_task *task)
{
	struct vfio_user_connection *connection = CONNECTION_OF(task, task);

	if (connection->suspended || connection->gone)
		return;
	if (connection->quiet && connection->interrupts.writing > 0)
		vfio_user_interrupts_give_up(&connection->interrupts);
	if (connection->settling && connection->unsettled == 0 && !connection->closing) {
		connection->settling = false;
		vfio_user_reply_at_last(connection);
		next_message(connection);
	}
	if (connection->waiting && is_at_rest(connection) && !connection->closing) {
		vfio_user_handle_quiet(connection);
		connection->quiescing = connection->quiet = false;
		next_message(connection);
	}
	if (!connection->closing && !connection->suspending)
		return;
	vfio_user_connection_quiesce(connection);
	if (!is_at_rest(connection))
		return;
	if (connection->closing)
		let_go(connection);
	else if (!connection->waiting && !connection->settling)
		suspended(connection);
}

void vfio_user_connection_held(struct vfio_user_connection *connection)
{
	vfio_user_violate(connection, "an eventfd", "it made the worker wait", 0);
	vfio_user_tell(connection, VFIO_USER_NEWS_HELD_US);
}

static void on_held(void *context)
{
	vfio_user_connection_held(context);
}

static void on_written(void *context)
{
	struct vfio_user_connection *connection = context;

	if (connection->quiescing)
		loop_defer_for(connection->loop, &connection->task, connection->bus.account);
}

/* The guest's memory is touched no more until the function goes on where that harms nobody else. */
void vfio_user_connection_waited(struct vfio_user_connection *connection, uint64_t waited_ns)
{
	if (connection->alone || connection->frozen || !connection->function)
		return;
	connection->frozen = true;
	vfio_user_model(connection)->freeze(connection->function);
	vfio_user_errands_hurry(connection);
	connection->waited_ns = waited_ns;
	vfio_user_tell(connection, VFIO_USER_NEWS_WAITED);
}

static void on_blamed(struct loop_blame *blame, unsigned what, uint64_t waited_ns)
{
	struct vfio_user_connection *connection = CONNECTION_OF(blame, blame);

	if (what & LOOP_BLAME_WROTE && connection->interrupts.writing > 0)
		on_held(connection);
	else if (what & LOOP_BLAME_WAITED)
		vfio_user_connection_waited(connection, waited_ns);
}

/* ---- wishes of the control thread ---- */

static void resume(struct vfio_user_connection *connection)
{
	int error = 0;

	if (!connection->suspended)
		return;
	connection->suspended = connection->frozen = false;
	vfio_user_reader_init(connection);
	connection->blame.account = connection->bus.account;
	if (connection->left)
		error = vfio_user_model(connection)->arrive(connection->function);
	connection->left = false;
	if (!error)
		error = vfio_user_reader_start(connection);
	if (error) {
		log_error(connection->subject, "cannot serve its VMM: %s", strerror(-error));
		vfio_user_connection_close(connection);
		return;
	}
	loop_blame_start(connection->loop, &connection->blame);
	vfio_user_errands_start(connection);
	resume_function(connection);
}

static void begin(struct vfio_user_connection *connection)
{
	int error = vfio_user_model(connection)
			    ->power_on(connection->endpoint->options.device, &connection->bus,
				       &connection->function);

	connection->suspended = connection->quiescing = connection->quiet = connection->left = true;
	if (!error) {
		resume(connection);
		return;
	}
	log_error(connection->subject, "cannot serve its VMM: %s", strerror(-error));
	connection->suspended = false;
	vfio_user_connection_close(connection);
}

void vfio_user_connection_obey(struct vfio_user_connection *connection, uint32_t wishes)
{
	if (connection->gone)
		return;
	if (wishes & VFIO_USER_WISH_BEGIN)
		begin(connection);
	if (wishes & VFIO_USER_WISH_RESUME)
		resume(connection);
	if (wishes & VFIO_USER_WISH_CONFIG && connection->function)
		vfio_user_model(connection)->config_changed(connection->function);
	if (wishes & VFIO_USER_WISH_LEAVE)
		connection->leaving = true;
	if (wishes & VFIO_USER_WISH_SUSPEND && !connection->closing)
		connection->suspending = true;
	if (wishes & VFIO_USER_WISH_CLOSE) {
		connection->suspended = false;
		vfio_user_connection_close(connection);
	}
	loop_defer_for(connection->loop, &connection->task, connection->bus.account);
}

/* ---- life ---- */

struct vfio_user_connection *vfio_user_connection_create(struct vfio_user_endpoint *endpoint, int socket,
							 int door)
{
	struct vfio_user_connection *connection = calloc(1, sizeof(*connection));
	const struct endpoint_options *options = &endpoint->options.endpoint;
	struct loop_account *account;
	const int yes = 1;

	if (!connection)
		return NULL;
	connection->endpoint = endpoint;
	connection->subject = &endpoint->worker_subject;
	connection->faults_seen = memory_guard_faults();
	connection->loop = options->worker(options->worker_context, 0);
	/* Asked behind worker(), which ends a quarantine whose time is over. */
	connection->alone = vfio_user_endpoint_is_alone(endpoint);
	account = endpoint_accounts_get(&endpoint->accounts, connection->loop);
	/* A byte out of band is passed over by a look at the socket, and its descriptors are not. */
	if (!account || setsockopt(socket, SOL_SOCKET, SO_OOBINLINE, &yes, sizeof(yes)) < 0 ||
	    vfio_user_dma_init(&connection->dma) || vfio_user_lanes_create(connection)) {
		vfio_user_dma_finish(&connection->dma);
		free(connection);
		return NULL;
	}
	connection->socket = socket;
	connection->door = door;
	connection->bus = (struct register_bus){
		.ops = &bus_ops,
		.memory = guest_memory_get(connection->dma.empty),
		.loop = connection->loop,
		.account = account,
	};
	connection->dma.has_messages = endpoint->options.model->runs_errands;
	vfio_user_errands_init(connection);
	vfio_user_reader_init(connection);
	connection->blame = (struct loop_blame){ .blamed = on_blamed, .account = account };
	connection->task.run = go_on;
	pci_config_init(&connection->config, endpoint->options.model);
	vfio_user_interrupts_init(&connection->interrupts, connection->loop,
				  endpoint->options.model->vectors);
	connection->interrupts.held = on_held;
	connection->interrupts.written = on_written;
	connection->interrupts.context = connection;
	vfio_user_lanes_choose(connection);
	return connection;
}

/* With the door ends the doorman, who is to close after us what the VMM has sent and nobody has read. */
static void close_last(struct reaper_job *job)
{
	struct vfio_user_connection *connection = CONNECTION_OF(job, end);

	fd_close(&connection->socket);
	fd_close(&connection->door);
	free(connection);
}

void vfio_user_connection_free(struct vfio_user_connection *connection)
{
	assert(!connection->function);
	vfio_user_drop_fds(connection);
	vfio_user_lanes_free(connection);
	vfio_user_interrupts_finish(&connection->interrupts);
	guest_memory_put(connection->bus.memory);
	vfio_user_dma_finish(&connection->dma);
	connection->end.run = close_last;
	reaper_give(&connection->end);
}
