/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two workers, guests that come, ask and go, and a control thread that changes settings, groups and the cost
 * model at random all the while. Every request enters exactly once, the device is never fuller than its bound
 * by more than what a lease lets slip in, and at the end nothing is left inside. Meant for TSAN too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "arbiter/disk/disk_meter.h"
#include "arbiter/share/gate.h"
#include "arbiter/share/gate_private.h"
#include "core/clock.h"
#include "core/container.h"
#include "core/loop.h"
#include "test_disk.h"

#define WORKERS	  2
#define GUESTS	  4		/* of each worker */
#define DEPTH	  16		/* requests of a guest */
#define TURNS	  4000		/* of a worker */
#define SERVED_NS (20 * NS_PER_US)

static const struct disk_cost cost = {
	.line = { { 5000, 10 }, { 4000, 10 }, { 6000, 20 }, { 5000, 20 }, { 9000, 0 }, { 3000, 0 } },
	.window_ns = 25000,
};

struct request {
	struct disk_pass pass;
	struct guest *guest;
	struct loop_timer timer;	/* while it is in the device */
	bool under_way;
};

struct guest {
	struct worker *worker;
	struct gate_node *node;
	struct disk_meter_port port;
	struct gate_counters counters;
	struct request request[DEPTH];
	uint64_t asked, entered, left;
};

struct worker {
	struct loop *loop;
	pthread_t thread;
	struct guest guest[GUESTS];
	uint64_t seed;
	unsigned turns;
	bool done;			/* atomic: all of its ports are closed */
	struct loop_task task;
};

static void enter_device(struct request *request)
{
	struct worker *worker = request->guest->worker;

	request->guest->entered++;
	loop_timer_start(worker->loop, &request->timer,
			 clock_now_ns() + test_below(&worker->seed, SERVED_NS));
}

static void on_enter(struct gate_pass *pass)
{
	enter_device(container_of(pass, struct request, pass.gate));
}

static void served(struct loop_timer *timer)
{
	struct request *request = container_of(timer, struct request, timer);

	request->under_way = false;
	request->guest->left++;
	gate_leave(&request->pass.gate);
}

static void ask(struct guest *guest, struct request *request)
{
	request->guest = guest;
	request->under_way = true;
	request->timer.expired = served;
	request->pass.kind = (enum cost_kind)test_below(&guest->worker->seed, COST_KINDS);
	request->pass.flush = test_below(&guest->worker->seed, 8) == 0;
	request->pass.gate.waiting.bytes = test_below(&guest->worker->seed, 64) * 4096;
	request->pass.gate.enter = on_enter;
	guest->asked++;
	if (gate_enter(guest->port.gate, disk_meter_price(&guest->port, &request->pass)))
		enter_device(request);
}

static bool idle(const struct guest *guest)
{
	for (unsigned i = 0; i < DEPTH; i++)
		if (guest->request[i].under_way)
			return false;
	return true;
}

/* Guests are busy, silent, or away for a while. */
static void guest_turn(struct guest *guest, bool over)
{
	struct worker *worker = guest->worker;

	if (idle(guest) && guest->port.gate && (over || test_below(&worker->seed, 200) == 0))
		disk_meter_port_close(&guest->port);
	if (over || test_below(&worker->seed, 4) == 0)
		return;
	if (!guest->port.gate)
		assert_int_equal(
			disk_meter_port_open(&guest->port, guest->node, worker->loop, &guest->counters), 0);
	for (unsigned i = 0; i < DEPTH; i++)
		if (!guest->request[i].under_way && test_below(&worker->seed, 2) == 0)
			ask(guest, &guest->request[i]);
}

static void worker_turn(struct loop_task *task)
{
	struct worker *worker = container_of(task, struct worker, task);
	bool over = ++worker->turns > TURNS, left = false;

	for (unsigned i = 0; i < GUESTS; i++) {
		guest_turn(&worker->guest[i], over);
		left |= worker->guest[i].port.gate != NULL;
	}
	if (over && !left)
		__atomic_store_n(&worker->done, true, __ATOMIC_RELEASE);
	else
		loop_defer(worker->loop, task);
}

static void *worker_main(void *context)
{
	struct worker *worker = context;

	loop_defer(worker->loop, &worker->task);
	assert_int_equal(loop_run(worker->loop), 0);
	return NULL;
}

static struct share_settings random_settings(uint64_t *seed)
{
	struct share_settings settings = { .weight = 1 + (uint32_t)test_below(seed, 1000) };

	if (test_below(seed, 3) == 0)
		settings.min_iops = test_below(seed, 5000);
	if (test_below(seed, 3) == 0)
		settings.max_iops = 20000 + test_below(seed, 100000);
	if (test_below(seed, 3) == 0)
		settings.max_bandwidth = (64 + test_below(seed, 1000)) << 20;
	if (test_below(seed, 3) == 0)
		settings.latency_target_us = (uint32_t)(1 + test_below(seed, 100));
	settings.burst_ms = (uint32_t)test_below(seed, 20);
	return settings;
}

static void change(struct disk_meter *meter, struct gate_node **groups, struct gate_node *node,
		   uint64_t *seed)
{
	struct share_settings settings = random_settings(seed);
	struct disk_cost other = cost;
	struct error error;

	switch (test_below(seed, 6)) {
	case 0:
		gate_node_move(node, test_below(seed, 3) ? groups[test_below(seed, 2)] : NULL, &error);
		break;
	case 1:
		other.window_ns = 5000 * (1 + (uint32_t)test_below(seed, 8));
		disk_meter_set_cost(meter, &other);
		break;
	case 2:
		gate_set_on(disk_meter_gate(meter), test_below(seed, 4) != 0);
		break;
	case 3:
		gate_node_set(groups[test_below(seed, 2)], &settings, &error);
		break;
	default:
		gate_node_set(node, &settings, &error);
	}
}

static bool all_done(const struct worker *workers)
{
	bool all = true;

	for (unsigned i = 0; i < WORKERS; i++)
		all &= __atomic_load_n(&workers[i].done, __ATOMIC_ACQUIRE);
	return all;
}

static void test_settings_change_under_load(void **state)
{
	static const struct share_settings usual = SHARE_SETTINGS_DEFAULT;
	struct loop_options options = { .name = "test" };
	uint64_t seed = test_seed("gate");
	static struct worker workers[WORKERS];
	struct gate_node *groups[2];
	struct disk_meter *meter;
	struct gate *gate;

	assert_int_equal(disk_meter_create(&cost, true, &meter), 0);
	gate = disk_meter_gate(meter);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(gate_node_create(gate, NULL, &usual, &groups[i], NULL), 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){ .seed = seed + i, .task.run = worker_turn };
		assert_int_equal(loop_create(&options, &workers[i].loop), 0);
		for (unsigned j = 0; j < GUESTS; j++) {
			workers[i].guest[j].worker = &workers[i];
			assert_int_equal(
				gate_node_create(gate, NULL, &usual, &workers[i].guest[j].node, NULL), 0);
		}
		assert_int_equal(pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]), 0);
	}
	while (!all_done(workers))
		change(meter, groups,
		       workers[test_below(&seed, WORKERS)].guest[test_below(&seed, GUESTS)].node, &seed);
	/*
	 * As in the daemon, a worker ends when no other thread posts to it any more: its last turn frees its
	 * lane.
	 */
	for (unsigned i = 0; i < WORKERS; i++) {
		loop_stop(workers[i].loop);
		pthread_join(workers[i].thread, NULL);
	}
	assert_int_equal(gate->depth.inside, 0);
	assert_int_equal(gate->depth.inside_ns, 0);
	assert_null(gate->lanes);
	for (unsigned i = 0; i < WORKERS; i++) {
		for (unsigned j = 0; j < GUESTS; j++) {
			struct guest *guest = &workers[i].guest[j];

			assert_true(guest->asked > 0);
			assert_int_equal(guest->entered, guest->asked);
			assert_int_equal(guest->left, guest->asked);
			assert_int_equal(counter_read(&guest->counters.waiting), 0);
			gate_node_destroy(guest->node);
		}
		loop_destroy(workers[i].loop);
	}
	gate_node_destroy(groups[0]);
	gate_node_destroy(groups[1]);
	disk_meter_destroy(meter);
}

/* ---- the lease's last request leaves while another worker asks ---- */

#define ROUNDS 2000

/* One request fills the device. */
static const struct disk_cost one_by_one = {
	.line = { { 1000, 0 }, { 1000, 0 }, { 1000, 0 }, { 1000, 0 }, { 1000000, 0 }, { 1000, 0 } },
	.window_ns = 1,
};

struct side {
	struct loop *loop;
	struct gate_node *node;
	struct disk_meter_port port;
	struct gate_counters counters;
	struct disk_pass pass;
	unsigned entered;
};

struct race {
	struct gate *gate;
	struct side side[2];
	uint32_t asked, left;		/* atomic: rounds that the second side may begin, and has ended */
	bool over;
};

static void side_enters(struct gate_pass *pass)
{
	(container_of(pass, struct side, pass.gate))->entered++;
}

static void side_asks(struct side *side)
{
	side->pass.kind = COST_FLUSH;
	side->pass.gate.enter = side_enters;
	side->entered += gate_enter(side->port.gate, disk_meter_price(&side->port, &side->pass));
}

static void spin_until(const uint32_t *value, uint32_t wanted)
{
	/* Without yielding at first, so that both sides go on at the same time. */
	for (unsigned spins = 0; __atomic_load_n(value, __ATOMIC_ACQUIRE) != wanted; spins++)
		if (spins > 10000)
			sched_yield();
}

static void *second_side(void *context)
{
	struct race *race = context;
	struct side *side = &race->side[1];

	for (uint32_t round = 1;; round++) {
		spin_until(&race->asked, round);
		if (race->over)
			return NULL;
		side_asks(side);
		__atomic_store_n(&race->left, round, __ATOMIC_RELEASE);
	}
}

/* Without waiting for calm. */
static void give_lease(struct gate *gate, struct gate_port *port)
{
	if (port->lease.held)
		return;
	gate->crowded_ns = 0;
	gate_lease_revoke(gate);
	gate_lease_settle(port);
	gate_lease_consider(port, NS_PER_S);
	assert_true(port->lease.held);
}

static void race_round(struct race *race, uint32_t round)
{
	struct side *first = &race->side[0], *second = &race->side[1];

	give_lease(race->gate, first->port.gate);
	side_asks(first);
	assert_int_equal(first->entered, 1);
	second->entered = 0;
	__atomic_store_n(&race->asked, round, __ATOMIC_RELEASE);
	for (volatile uint32_t delay = round % 512; delay > 0; delay--)
		;
	gate_leave(&first->pass.gate);
	first->entered = 0;
	spin_until(&race->left, round);
	/* Who left without the lock was told that somebody waits. */
	for (unsigned i = 0; i < 4 && scheduler_waiting(race->gate->scheduler) > 0; i++)
		loop_turn(first->loop, 0);
	assert_int_equal(scheduler_waiting(race->gate->scheduler), 0);
	for (unsigned i = 0; i < 4 && !second->entered; i++)
		loop_turn(second->loop, 0);
	assert_int_equal(second->entered, 1);
	gate_leave(&second->pass.gate);
	assert_int_equal(race->gate->depth.inside, 0);
}

static void test_last_of_a_lease_lets_in(void **state)
{
	static const struct share_settings usual = SHARE_SETTINGS_DEFAULT;
	struct loop_options options = { .name = "test" };
	static struct race race;
	struct disk_meter *meter;
	pthread_t thread;
	uint32_t round = 0;

	assert_int_equal(disk_meter_create(&one_by_one, true, &meter), 0);
	race.gate = disk_meter_gate(meter);
	for (unsigned i = 0; i < 2; i++) {
		struct side *side = &race.side[i];

		assert_int_equal(loop_create(&options, &side->loop), 0);
		assert_int_equal(gate_node_create(race.gate, NULL, &usual, &side->node, NULL), 0);
		assert_int_equal(disk_meter_port_open(&side->port, side->node, side->loop, &side->counters),
				 0);
	}
	assert_int_equal(pthread_create(&thread, NULL, second_side, &race), 0);
	while (round < ROUNDS)
		race_round(&race, ++round);
	race.over = true;
	__atomic_store_n(&race.asked, round + 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	for (unsigned i = 0; i < 2; i++) {
		disk_meter_port_close(&race.side[i].port);
		gate_node_destroy(race.side[i].node);
	}
	disk_meter_destroy(meter);
	for (unsigned i = 0; i < 2; i++) {
		loop_turn(race.side[i].loop, 0);
		loop_destroy(race.side[i].loop);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settings_change_under_load),
		cmocka_unit_test(test_last_of_a_lease_lets_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
