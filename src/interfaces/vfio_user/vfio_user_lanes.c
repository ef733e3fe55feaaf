/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lanes of a connection: other workers that may serve queues of its function (register_model.h). What they do
 * is the model's matter. Here is what they owe the bus: each sends its messages by itself, and watches over
 * waits for the guest's memory. The connection visits all of them when eventfds change, and when the function
 * has come to rest.
 *
 * A lane is at work from `begin` on to the end of a visit that ends it; nothing is on its way to it then, nor
 * from it, because messages arrive in the order in which they were posted.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "core/loop_account.h"
#include "interfaces/vfio_user/vfio_user_connection.h"

#define LANE_OF(pointer, member) container_of(pointer, struct vfio_user_lane, member)

static unsigned lane_count(const struct vfio_user_connection *connection)
{
	return connection->bus.lane_count - 1;
}

/* ---- on the lane's worker ---- */

static void tell(struct vfio_user_lane *lane, enum vfio_user_lane_news news)
{
	__atomic_fetch_or(&lane->news_bits, news, __ATOMIC_RELEASE);
	if (!__atomic_exchange_n(&lane->news_posted, true, __ATOMIC_ACQ_REL))
		loop_post(lane->connection->loop, &lane->news);
}

static void on_lane_held(void *context)
{
	tell(context, VFIO_USER_LANE_HELD);
}

static void on_lane_blamed(struct loop_blame *blame, unsigned what, uint64_t waited_ns)
{
	struct vfio_user_lane *lane = LANE_OF(blame, blame);
	struct vfio_user_connection *connection = lane->connection;

	if (what & LOOP_BLAME_WROTE && lane->interrupts.writing > 0) {
		tell(lane, VFIO_USER_LANE_HELD);
	} else if (what & LOOP_BLAME_WAITED && !connection->alone && !lane->frozen) {
		lane->frozen = true;
		vfio_user_model(connection)->lane_freeze(connection->function, lane->index);
		lane->waited_ns = waited_ns;
		tell(lane, VFIO_USER_LANE_WAITED);
	}
}

static void on_begin(struct loop_message *message)
{
	struct vfio_user_lane *lane = LANE_OF(message, begin);

	loop_blame_start(lane->loop, &lane->blame);
}

static void go_back(struct vfio_user_lane *lane)
{
	loop_post(lane->connection->loop, &lane->back);
}

static void on_lane_written(void *context)
{
	struct vfio_user_lane *lane = context;

	if (lane->ending)
		go_back(lane);
}

static void on_visit(struct loop_message *message)
{
	struct vfio_user_lane *lane = LANE_OF(message, visit);

	loop_pay(lane->loop, lane->blame.account);
	if (lane->purpose == VFIO_USER_VISIT_BORROW) {
		vfio_user_interrupts_borrow(&lane->interrupts, &lane->connection->interrupts);
	} else {
		loop_blame_stop(lane->loop, &lane->blame);
		vfio_user_interrupts_give_up(&lane->interrupts);
		lane->ending = lane->interrupts.writing > 0;
	}
	loop_pay(lane->loop, NULL);
	if (!lane->ending)
		go_back(lane);
}

void vfio_user_lane_raise(struct register_bus *bus, unsigned lane, unsigned vector)
{
	struct vfio_user_connection *connection = container_of(bus, struct vfio_user_connection, bus);

	vfio_user_interrupts_raise(&connection->lanes[lane - 1].interrupts, vector);
}

/* ---- at home ---- */

static void on_news(struct loop_message *message)
{
	struct vfio_user_lane *lane = LANE_OF(message, news);
	struct vfio_user_connection *connection = lane->connection;
	uint32_t news;

	__atomic_store_n(&lane->news_posted, false, __ATOMIC_RELEASE);
	news = __atomic_exchange_n(&lane->news_bits, 0, __ATOMIC_ACQ_REL);
	loop_pay(connection->loop, connection->bus.account);
	if (news & VFIO_USER_LANE_HELD)
		vfio_user_connection_held(connection);
	if (news & VFIO_USER_LANE_WAITED)
		vfio_user_connection_waited(connection, lane->waited_ns);
	loop_pay(connection->loop, NULL);
}

static void visit_all(struct vfio_user_connection *connection, enum vfio_user_visit purpose)
{
	assert(connection->visits == 0);
	for (unsigned i = 0; i < lane_count(connection); i++) {
		struct vfio_user_lane *lane = &connection->lanes[i];

		lane->purpose = purpose;
		connection->visits++;
		loop_post(lane->loop, &lane->visit);
	}
}

static void on_back(struct loop_message *message)
{
	struct vfio_user_lane *lane = LANE_OF(message, back);
	struct vfio_user_connection *connection = lane->connection;

	if (--connection->visits > 0)
		return;
	loop_pay(connection->loop, connection->bus.account);
	if (lane->purpose == VFIO_USER_VISIT_BORROW) {
		vfio_user_interrupts_returned(&connection->interrupts);
		vfio_user_connection_settled(connection);
	} else {
		connection->lanes_begun = connection->interrupts.lends = false;
		vfio_user_interrupts_add_pending(&connection->interrupts,
						 vfio_user_lanes_pending(connection));
	}
	loop_defer_for(connection->loop, &connection->task, connection->bus.account);
	loop_pay(connection->loop, NULL);
}

void vfio_user_lanes_lend(struct vfio_user_connection *connection)
{
	if (!connection->lanes_begun)
		return;
	vfio_user_connection_unsettle(connection);
	visit_all(connection, VFIO_USER_VISIT_BORROW);
}

static void begin(struct vfio_user_lane *lane)
{
	struct vfio_user_connection *connection = lane->connection;

	lane->loop = connection->bus.lane[lane->index].loop;
	lane->blame.account = connection->bus.lane[lane->index].account;
	lane->ending = lane->frozen = false;
	vfio_user_interrupts_init(&lane->interrupts, lane->loop, vfio_user_model(connection)->vectors);
	vfio_user_interrupts_borrow(&lane->interrupts, &connection->interrupts);
	lane->interrupts.held = on_lane_held;
	lane->interrupts.written = on_lane_written;
	lane->interrupts.context = lane;
	loop_post(lane->loop, &lane->begin);
}

void vfio_user_lanes_begin(struct vfio_user_connection *connection)
{
	assert(!connection->lanes_begun && connection->visits == 0);
	if (lane_count(connection) == 0)
		return;
	connection->lanes_begun = connection->interrupts.lends = true;
	for (unsigned i = 0; i < lane_count(connection); i++)
		begin(&connection->lanes[i]);
}

bool vfio_user_lanes_end(struct vfio_user_connection *connection)
{
	/* A visit that is under way comes back here. */
	if (connection->lanes_begun && connection->visits == 0)
		visit_all(connection, VFIO_USER_VISIT_END);
	return !connection->lanes_begun;
}

uint64_t vfio_user_lanes_pending(const struct vfio_user_connection *connection)
{
	uint64_t pending = vfio_user_interrupts_pending(&connection->interrupts);

	for (unsigned i = 0; i < lane_count(connection); i++)
		pending |= vfio_user_interrupts_pending(&connection->lanes[i].interrupts);
	return pending;
}

uint64_t vfio_user_lanes_sent(const struct vfio_user_connection *connection)
{
	uint64_t sent = 0;

	for (unsigned i = 0; i < connection->lanes_max; i++)
		sent += counter_read(&connection->lanes[i].interrupts.sent);
	return sent;
}

/* ---- which ones ---- */

/* The lane that has the loop, or another one. 0: there is no room or memory, so home serves what it was for.
 */
static uint8_t find(struct vfio_user_connection *connection, struct loop *loop)
{
	struct register_bus *bus = &connection->bus;
	struct loop_account *account;

	for (unsigned i = 0; i < bus->lane_count; i++)
		if (bus->lane[i].loop == loop)
			return (uint8_t)i;
	account = lane_count(connection) < connection->lanes_max
			  ? endpoint_accounts_get(&connection->endpoint->accounts, loop)
			  : NULL;
	if (!account)
		return 0;
	bus->lane[bus->lane_count] = (struct register_lane){ .loop = loop, .account = account };
	return (uint8_t)bus->lane_count++;
}

static unsigned queue_count(const struct vfio_user_connection *connection)
{
	const struct register_model_ops *model = vfio_user_model(connection);

	return model->queues ? model->queues(connection->endpoint->options.device) : 1;
}

void vfio_user_lanes_choose(struct vfio_user_connection *connection)
{
	const struct endpoint_options *options = &connection->endpoint->options.endpoint;
	struct register_bus *bus = &connection->bus;
	unsigned queues = queue_count(connection);

	bus->lane_count = 1;
	bus->lane[0] = (struct register_lane){ .loop = bus->loop, .account = bus->account };
	bus->queue_lane[0] = 0;
	for (unsigned i = 1; i < REGISTER_QUEUES_MAX; i++)
		bus->queue_lane[i] = i < queues
					     ? find(connection, options->worker(options->worker_context, i))
					     : bus->queue_lane[i % queues];
}

int vfio_user_lanes_create(struct vfio_user_connection *connection)
{
	unsigned queues = queue_count(connection);

	assert(queues > 0);
	connection->lanes_max = (queues < REGISTER_LANES_MAX ? queues : REGISTER_LANES_MAX) - 1;
	if (connection->lanes_max == 0)
		return 0;
	connection->lanes = calloc(connection->lanes_max, sizeof(*connection->lanes));
	if (!connection->lanes)
		return -ENOMEM;
	for (unsigned i = 0; i < connection->lanes_max; i++)
		connection->lanes[i] = (struct vfio_user_lane){
			.connection = connection,
			.index = i + 1,
			.begin.run = on_begin,
			.visit.run = on_visit,
			.back.run = on_back,
			.news.run = on_news,
			.blame.blamed = on_lane_blamed,
		};
	return 0;
}

void vfio_user_lanes_free(struct vfio_user_connection *connection)
{
	assert(!connection->lanes_begun && connection->visits == 0);
	free(connection->lanes);
	connection->lanes = NULL;
}
