/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scheduler_rivals.h"

#include <stddef.h>

/* What the simulated device does, as such schedulers have to be told. */
#define DEVICE_IOPS 50000.0
#define BURST_S	    0.01

static void queue_add(struct simulation *sim, struct sim_request *request)
{
	struct sim_guest *guest = request->guest;

	(void)sim;
	request->next = NULL;
	if (guest->first)
		guest->last->next = request;
	else
		guest->first = request;
	guest->last = request;
}

static struct sim_request *queue_take(struct sim_guest *guest)
{
	struct sim_request *request = guest->first;

	guest->first = request->next;
	return request;
}

/* ---- first come, first served ---- */

static struct sim_request *fifo_next(struct simulation *sim, uint64_t *ret_ready_ns)
{
	struct sim_guest *oldest = NULL;

	for (unsigned i = 0; i < sim->guest_count; i++) {
		struct sim_guest *guest = &sim->guests[i];

		if (guest->first && (!oldest || guest->first->submitted_ns < oldest->first->submitted_ns))
			oldest = guest;
	}
	*ret_ready_ns = UINT64_MAX;
	return oldest ? queue_take(oldest) : NULL;
}

/* ---- one request of each in turn ---- */

static struct sim_request *turn_next(struct simulation *sim, uint64_t *ret_ready_ns)
{
	*ret_ready_ns = UINT64_MAX;
	for (unsigned i = 0; i < sim->guest_count; i++) {
		struct sim_guest *guest = &sim->guests[sim->rival_turn++ % sim->guest_count];

		if (guest->first)
			return queue_take(guest);
	}
	return NULL;
}

/* ---- a token bucket for each, as large as its share: hard limits, nothing is lent ---- */

static double bucket_rate(const struct simulation *sim, const struct sim_guest *guest)
{
	double sum = 0;

	for (unsigned i = 0; i < sim->guest_count; i++)
		sum += sim->guests[i].settings.weight;
	if (guest->settings.reserved_ppb > 0)
		return DEVICE_IOPS * (double)guest->settings.reserved_ppb / 1e9;
	return DEVICE_IOPS * guest->settings.weight / sum;
}

static struct sim_request *bucket_next(struct simulation *sim, uint64_t *ret_ready_ns)
{
	double now = (double)sim->now_ns / NS_PER_S;

	*ret_ready_ns = UINT64_MAX;
	for (unsigned i = 0; i < sim->guest_count; i++) {
		struct sim_guest *guest = &sim->guests[sim->rival_turn++ % sim->guest_count];
		double rate, ready;

		if (!guest->first)
			continue;
		rate = bucket_rate(sim, guest);
		/* account[0]: when the bucket was, or will be, exactly empty. */
		if (guest->account[0] < now - BURST_S)
			guest->account[0] = now - BURST_S;
		ready = guest->account[0] + 1 / rate;
		if (ready <= now) {
			guest->account[0] = ready;
			return queue_take(guest);
		}
		if ((uint64_t)(ready * NS_PER_S) + 1 < *ret_ready_ns)
			*ret_ready_ns = (uint64_t)(ready * NS_PER_S) + 1;
	}
	return NULL;
}

/* ---- mClock, where every request counts as one ---- */

static void mclock_add(struct simulation *sim, struct sim_request *request)
{
	struct sim_guest *guest = request->guest;
	double now = (double)sim->now_ns / NS_PER_S;

	if (!guest->first) {
		guest->account[0] = guest->account[0] > now ? guest->account[0] : now;
		guest->account[1] =
			guest->account[1] > sim->rival_clock ? guest->account[1] : sim->rival_clock;
	}
	queue_add(sim, request);
}

static struct sim_request *mclock_next(struct simulation *sim, uint64_t *ret_ready_ns)
{
	double now = (double)sim->now_ns / NS_PER_S;
	struct sim_guest *reserved = NULL, *weighted = NULL;

	*ret_ready_ns = UINT64_MAX;
	for (unsigned i = 0; i < sim->guest_count; i++) {
		struct sim_guest *guest = &sim->guests[i];

		if (!guest->first)
			continue;
		if (guest->settings.reserved_ppb > 0 && guest->account[0] <= now &&
		    (!reserved || guest->account[0] < reserved->account[0]))
			reserved = guest;
		if (!weighted || guest->account[1] < weighted->account[1])
			weighted = guest;
	}
	if (!weighted)
		return NULL;
	if (reserved) {
		reserved->account[0] += 1 / (DEVICE_IOPS * (double)reserved->settings.reserved_ppb / 1e9);
		weighted = reserved;
	} else {
		sim->rival_clock = weighted->account[1];
	}
	weighted->account[1] += 1.0 / weighted->settings.weight;
	return queue_take(weighted);
}

const struct sim_rival rivals[] = {
	{ "first come, first served", queue_add, fifo_next },
	{ "round robin", queue_add, turn_next },
	{ "token buckets", queue_add, bucket_next },
	{ "mClock by requests", mclock_add, mclock_next },
};
const unsigned rival_count = sizeof(rivals) / sizeof(rivals[0]);
