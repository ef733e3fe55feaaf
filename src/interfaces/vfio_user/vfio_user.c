/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The endpoint: lets VMMs in, one at a time, and has their connections begin, move and end. Control thread.
 */
#include "interfaces/vfio_user/vfio_user.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/fd.h"
#include "core/loop_account.h"
#include "core/reaper.h"
#include "interfaces/vfio_user/vfio_user_connection.h"

/* So long may a VMM that went be on its way out when the next one comes. */
#define NEXT_NS (NS_PER_S / 2)

static const struct endpoint_ops vfio_user_endpoint_ops;

static struct loop *control_of(const struct vfio_user_endpoint *endpoint)
{
	return endpoint->options.endpoint.control;
}

/* ---- mail between the threads ---- */

static void post(struct vfio_user_mail *mail, struct loop *loop, uint32_t bits)
{
	__atomic_fetch_or(&mail->bits, bits, __ATOMIC_RELEASE);
	if (!__atomic_exchange_n(&mail->posted, true, __ATOMIC_ACQ_REL))
		loop_post(loop, &mail->message);
}

static uint32_t collect(struct vfio_user_mail *mail)
{
	__atomic_store_n(&mail->posted, false, __ATOMIC_RELEASE);
	return __atomic_exchange_n(&mail->bits, 0, __ATOMIC_ACQ_REL);
}

void vfio_user_wish(struct vfio_user_connection *connection, uint32_t bits)
{
	if (!connection->endpoint->ended)
		post(&connection->wishes, connection->loop, bits);
}

void vfio_user_tell(struct vfio_user_connection *connection, uint32_t bits)
{
	post(&connection->news, control_of(connection->endpoint), bits);
}

static void on_wishes(struct loop_message *message)
{
	struct vfio_user_connection *connection =
		container_of(message, struct vfio_user_connection, wishes.message);

	loop_pay(connection->loop, connection->bus.account);
	vfio_user_connection_obey(connection, collect(&connection->wishes));
	loop_pay(connection->loop, NULL);
}

static void on_news(struct loop_message *message);

/* ---- VMMs ---- */

void vfio_user_endpoint_adopt(struct vfio_user_endpoint *endpoint, struct vfio_user_connection *connection)
{
	connection->wishes.message.run = on_wishes;
	connection->news.message.run = on_news;
	endpoint->connection = connection;
	endpoint->leaving = endpoint->ended = endpoint->moves = endpoint->config_missed = false;
}

static bool begin(struct vfio_user_endpoint *endpoint, int peer, int door)
{
	struct vfio_user_connection *connection = vfio_user_connection_create(endpoint, peer, door);

	if (!connection)
		return false;
	vfio_user_endpoint_adopt(endpoint, connection);
	vfio_user_wish(connection, VFIO_USER_WISH_BEGIN);
	return true;
}

void vfio_user_endpoint_forget_next(struct vfio_user_endpoint *endpoint)
{
	loop_timer_stop(control_of(endpoint), &endpoint->next_timer);
	reaper_close(&endpoint->next_peer);
	reaper_close(&endpoint->next_door);
}

static void on_next_timer(struct loop_timer *timer)
{
	struct vfio_user_endpoint *endpoint = container_of(timer, struct vfio_user_endpoint, next_timer);

	/* The one before is on its way out, and may wait for its disk: the next one waits, too. */
	if (endpoint->leaving)
		return;
	log_guest(&endpoint->subject, "VMM refused: another one is connected");
	endpoint->socket.refused_connects++;
	vfio_user_endpoint_forget_next(endpoint);
}

static bool accepted(void *context, int peer, int door)
{
	struct vfio_user_endpoint *endpoint = context;

	if (!endpoint->connection)
		return begin(endpoint, peer, door);
	if (endpoint->next_peer >= 0)
		return false;
	endpoint->next_peer = peer;
	endpoint->next_door = door;
	loop_timer_start(control_of(endpoint), &endpoint->next_timer,
			 loop_now_ns(control_of(endpoint)) + NEXT_NS);
	return true;
}

static unsigned peer_count(const void *context)
{
	const struct vfio_user_endpoint *endpoint = context;

	return (endpoint->connection ? 1 : 0) + (endpoint->next_peer >= 0 ? 1 : 0);
}

static const struct endpoint_socket_ops socket_ops = {
	.accepted_shared = accepted,
	.peer_count = peer_count,
};

static void destroy_when_empty(struct vfio_user_endpoint *endpoint)
{
	void (*gone)(void *context) = endpoint->gone;
	void *context = endpoint->gone_context;

	if (endpoint->connection)
		return;
	vfio_user_endpoint_free(endpoint);
	if (gone)
		gone(context);
}

static void begin_next(struct vfio_user_endpoint *endpoint)
{
	int peer = fd_take(&endpoint->next_peer), door = fd_take(&endpoint->next_door);

	loop_timer_stop(control_of(endpoint), &endpoint->next_timer);
	if (begin(endpoint, peer, door))
		return;
	reaper_close(&peer);
	reaper_close(&door);
}

static void connection_gone(struct vfio_user_endpoint *endpoint)
{
	struct vfio_user_connection *connection = endpoint->connection;

	endpoint->sent_before +=
		counter_read(&connection->interrupts.sent) + vfio_user_lanes_sent(connection);
	vfio_user_connection_free(connection);
	endpoint->connection = NULL;
	log_debug(&endpoint->subject, "VMM gone");
	if (endpoint->destroying) {
		destroy_when_empty(endpoint);
		return;
	}
	if (endpoint->next_peer >= 0 && !endpoint->suspending)
		begin_next(endpoint);
	endpoint_socket_peer_gone(&endpoint->socket);
	vfio_user_check_suspended(endpoint);
}

/*
 * Mail may be on its way to the worker, and the worker be inside of posting some, when it has let go: so the
 * last message goes there and back, behind all others, before the connection is freed.
 */
static void on_farewell_back(struct loop_message *message)
{
	connection_gone(container_of(message, struct vfio_user_connection, farewell)->endpoint);
}

static void on_farewell_there(struct loop_message *message)
{
	struct vfio_user_connection *connection =
		container_of(message, struct vfio_user_connection, farewell);

	message->run = on_farewell_back;
	loop_post(control_of(connection->endpoint), message);
}

static void on_farewell(struct loop_message *message)
{
	struct vfio_user_connection *connection =
		container_of(message, struct vfio_user_connection, farewell);

	connection->endpoint->ended = true;
	message->run = on_farewell_there;
	loop_post(connection->loop, message);
}

void vfio_user_endpoint_farewell(struct vfio_user_connection *connection)
{
	connection->farewell.run = on_farewell;
	loop_post(control_of(connection->endpoint), &connection->farewell);
}

/* ---- moving ---- */

bool vfio_user_endpoint_is_alone(const struct vfio_user_endpoint *endpoint)
{
	const struct endpoint_options *options = &endpoint->options.endpoint;

	return !options->made_wait || (options->waits_alone && options->waits_alone(options->worker_context));
}

void vfio_user_endpoint_go_on(struct vfio_user_endpoint *endpoint)
{
	bool changed = endpoint->config_missed;

	endpoint->config_missed = false;
	vfio_user_wish(endpoint->connection, VFIO_USER_WISH_RESUME | (changed ? VFIO_USER_WISH_CONFIG : 0));
}

/* The worker keeps away: another one goes on. */
static void go_elsewhere(struct vfio_user_endpoint *endpoint)
{
	const struct endpoint_options *options = &endpoint->options.endpoint;
	struct vfio_user_connection *connection = endpoint->connection;
	struct loop *loop = options->worker(options->worker_context, 0);
	struct loop_account *account = endpoint_accounts_get(&endpoint->accounts, loop);

	endpoint->moves = false;
	if (endpoint->destroying) {
		vfio_user_wish(connection, VFIO_USER_WISH_CLOSE);
		return;
	}
	connection->alone = vfio_user_endpoint_is_alone(endpoint);
	if (account) {
		connection->loop = connection->bus.loop = connection->interrupts.loop = loop;
		connection->bus.account = account;
	}
	vfio_user_lanes_choose(connection);
	if (endpoint->suspending)
		vfio_user_check_suspended(endpoint);
	else
		vfio_user_endpoint_go_on(endpoint);
}

static void move(struct endpoint *base)
{
	struct vfio_user_endpoint *endpoint = vfio_user_endpoint_of(base);

	endpoint->move_missed = endpoint->suspending;
	if (!endpoint->connection || endpoint->moves || endpoint->suspending || endpoint->destroying)
		return;
	endpoint->moves = true;
	vfio_user_wish(endpoint->connection, VFIO_USER_WISH_SUSPEND | VFIO_USER_WISH_LEAVE);
}

static void on_news(struct loop_message *message)
{
	struct vfio_user_connection *connection =
		container_of(message, struct vfio_user_connection, news.message);
	struct vfio_user_endpoint *endpoint = connection->endpoint;
	uint32_t news = collect(&connection->news);

	if (news & VFIO_USER_NEWS_HELD_US)
		endpoint_socket_rest(&endpoint->socket);
	else if (news & VFIO_USER_NEWS_VIOLATED)
		endpoint_socket_violation(&endpoint->socket);
	endpoint->leaving |= (news & VFIO_USER_NEWS_LEAVING) != 0;
	if (news & VFIO_USER_NEWS_SUSPENDED) {
		if (endpoint->moves)
			go_elsewhere(endpoint);
		else
			vfio_user_check_suspended(endpoint);
	}
	if (news & VFIO_USER_NEWS_WAITED && endpoint->options.endpoint.made_wait)
		endpoint->options.endpoint.made_wait(endpoint->options.endpoint.worker_context,
						     connection->waited_ns);
}

/* ---- life ---- */

void vfio_user_endpoint_free(struct vfio_user_endpoint *endpoint)
{
	endpoint_accounts_close(&endpoint->accounts);
	loop_guest_put(endpoint->options.endpoint.guest);
	free((char *)endpoint->options.endpoint.name);
	free((char *)endpoint->options.endpoint.path);
	free(endpoint);
}

/* Is it what register_model.h says? */
static bool is_sound(const struct register_model_ops *model)
{
	unsigned violations = 0;

	while (model->violations[violations])
		violations++;
	for (unsigned i = 0; i < REGISTER_BARS; i++) {
		const struct register_bar *bar = &model->bars[i];

		if ((bar->mapped_bytes > 0 && !model->bar_memory) ||
		    !checked_range(bar->mapped_offset, bar->mapped_bytes, bar->bytes))
			return false;
	}
	return violations <= ENDPOINT_VIOLATIONS_MAX && model->vectors <= REGISTER_VECTORS_MAX &&
	       (!model->queues || model->lane_freeze);
}

struct vfio_user_endpoint *vfio_user_endpoint_alloc(const struct vfio_user_options *options)
{
	struct vfio_user_endpoint *endpoint = calloc(1, sizeof(*endpoint));

	assert(is_sound(options->model));
	if (!endpoint)
		return NULL;
	endpoint->base.ops = &vfio_user_endpoint_ops;
	endpoint->options = *options;
	endpoint->options.endpoint.name = strdup(options->endpoint.name);
	endpoint->options.endpoint.path = options->endpoint.path ? strdup(options->endpoint.path) : NULL;
	endpoint->options.endpoint.guest =
		options->endpoint.guest ? loop_guest_get(options->endpoint.guest) : loop_guest_create();
	endpoint->accounts.guest = endpoint->options.endpoint.guest;
	if (!endpoint->options.endpoint.guest || !endpoint->options.endpoint.name ||
	    (options->endpoint.path && !endpoint->options.endpoint.path)) {
		vfio_user_endpoint_free(endpoint);
		return NULL;
	}
	log_subject_name(&endpoint->subject, "%s", options->endpoint.name);
	log_subject_name(&endpoint->worker_subject, "%s", options->endpoint.name);
	log_subject_name(&endpoint->memory_subject, "%s", options->endpoint.name);
	endpoint->next_peer = endpoint->next_door = -1;
	endpoint->next_timer.expired = on_next_timer;
	endpoint_socket_init(&endpoint->socket, &endpoint->options.endpoint, &socket_ops, endpoint,
			     &endpoint->subject);
	endpoint->socket.place.manner = PORTER_FETCHES;
	return endpoint;
}

int vfio_user_create(const struct vfio_user_options *options, struct endpoint **ret_endpoint)
{
	struct vfio_user_endpoint *endpoint = vfio_user_endpoint_alloc(options);
	int error = endpoint ? endpoint_socket_open(&endpoint->socket) : -ENOMEM;

	if (!error) {
		*ret_endpoint = &endpoint->base;
		return 0;
	}
	if (endpoint) {
		endpoint_socket_finish(&endpoint->socket);
		vfio_user_endpoint_free(endpoint);
	}
	return error;
}

static void destroy(struct endpoint *base, void (*gone)(void *context), void *context)
{
	struct vfio_user_endpoint *endpoint = vfio_user_endpoint_of(base);

	assert(!endpoint->destroying);
	endpoint->destroying = true;
	endpoint->gone = gone;
	endpoint->gone_context = context;
	endpoint_socket_finish(&endpoint->socket);
	vfio_user_endpoint_forget_next(endpoint);
	/* One that moves is at no worker: it ends when it would go on. */
	if (endpoint->connection && !endpoint->moves)
		vfio_user_wish(endpoint->connection, VFIO_USER_WISH_CLOSE);
	destroy_when_empty(endpoint);
}

/* ---- for the daemon ---- */

static void config_changed(struct endpoint *base)
{
	struct vfio_user_endpoint *endpoint = vfio_user_endpoint_of(base);

	/* While the connection stands still, the worker keeps away from it. */
	if (endpoint->suspending || endpoint->moves)
		endpoint->config_missed = true;
	else if (endpoint->connection)
		vfio_user_wish(endpoint->connection, VFIO_USER_WISH_CONFIG);
}

static void set_weight(struct endpoint *base, uint32_t weight)
{
	endpoint_accounts_set_weight(&vfio_user_endpoint_of(base)->accounts, weight);
}

static void read_status(const struct endpoint *base, struct endpoint_status *ret_status)
{
	const struct vfio_user_endpoint *endpoint = vfio_user_endpoint_of(base);
	const struct vfio_user_connection *connection = endpoint->connection;
	struct endpoint_status status = {
		.connections = connection ? 1 : 0,
		/* Those of registers are not told apart. */
		.queues_running = connection ? 1 : 0,
		.connects = endpoint->socket.connects,
		.refused_connects = endpoint->socket.refused_connects,
		.protocol_errors = counter_read(&endpoint->protocol_errors),
		.kicks = counter_read(&endpoint->accesses),
		.calls = endpoint->sent_before,
		.cpu_ns = endpoint_accounts_used_ns(&endpoint->accounts),
	};

	for (unsigned i = 0; endpoint->options.model->violations[i]; i++)
		status.violations[i] = (struct endpoint_violations){ endpoint->options.model->violations[i],
								     counter_read(&endpoint->violations[i]) };
	if (connection)
		status.calls += counter_read(&connection->interrupts.sent) + vfio_user_lanes_sent(connection);
	*ret_status = status;
}

static const struct endpoint_ops vfio_user_endpoint_ops = {
	.destroy = destroy,
	.status = read_status,
	.config_changed = config_changed,
	.set_weight = set_weight,
	.move = move,
	.suspend = vfio_user_suspend,
	.save = vfio_user_save,
	.resume = vfio_user_resume,
};
