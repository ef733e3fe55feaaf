/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "simulator.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

const struct sim_device sim_device_ssd = {
	.parallel = 8,
	.base_ns = { 150000, 150000 },
	.ns_per_kib = { 2500, 4414 },
	.jitter_percent = 10,
	.window_ns = 200 * NS_PER_US,
};

static void *room(void *old, size_t count, size_t size)
{
	void *memory = reallocarray(old, count, size);

	if (!memory)
		abort();
	return memory;
}

static void *zeroed(size_t count, size_t size)
{
	void *memory = calloc(count, size);

	if (!memory)
		abort();
	return memory;
}

uint64_t sim_random(struct simulation *sim, uint64_t limit)
{
	sim->random = sim->random * 6364136223846793005ull + 1442695040888963407ull;
	return (sim->random >> 33) % limit;
}

/* ---- events ---- */

static bool sooner(const struct sim_event *a, const struct sim_event *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->number < b->number;
}

static void event_add(struct simulation *sim, uint64_t at_ns,
		      void (*happen)(struct simulation *sim, void *subject), void *subject)
{
	struct sim_event event = { at_ns, sim->event_number++, happen, subject };
	unsigned index = sim->event_count++;

	if (sim->event_count > sim->event_room) {
		sim->event_room = 2 * sim->event_count + 64;
		sim->events = room(sim->events, sim->event_room, sizeof(event));
	}
	for (; index > 0 && sooner(&event, &sim->events[(index - 1) / 2]); index = (index - 1) / 2)
		sim->events[index] = sim->events[(index - 1) / 2];
	sim->events[index] = event;
}

static struct sim_event event_take(struct simulation *sim)
{
	struct sim_event first = sim->events[0], last = sim->events[--sim->event_count];
	unsigned index = 0, child;

	while ((child = 2 * index + 1) < sim->event_count) {
		if (child + 1 < sim->event_count && sooner(&sim->events[child + 1], &sim->events[child]))
			child++;
		if (!sooner(&sim->events[child], &last))
			break;
		sim->events[index] = sim->events[child];
		index = child;
	}
	sim->events[index] = last;
	return first;
}

/* ---- the device ---- */

static uint64_t service_ns(const struct sim_device *device, const struct sim_load *load)
{
	return device->base_ns[load->write] + load->bytes * device->ns_per_kib[load->write] / 1024;
}

uint64_t sim_cost_ns(const struct sim_device *device, const struct sim_load *load)
{
	return service_ns(device, load) / device->parallel;
}

static void pump(struct simulation *sim);
static void guest_submit(struct sim_guest *guest);

static void note_latency(struct sim_guest *guest, uint64_t latency_ns)
{
	if (guest->latency_count == guest->latency_room) {
		guest->latency_room = 2 * guest->latency_room + 64;
		guest->latencies_ns = room(guest->latencies_ns, guest->latency_room, sizeof(uint64_t));
	}
	guest->latencies_ns[guest->latency_count++] = latency_ns;
}

static void complete(struct simulation *sim, void *subject)
{
	struct sim_request *request = subject;
	struct sim_guest *guest = request->guest;
	struct sim_bin *bin = &guest->bins[sim->now_ns / SIM_BIN_NS];

	depth_leave(&sim->depth, request->cost_ns);
	bin->device_ns += request->cost_ns;
	bin->bytes += guest->load.bytes;
	bin->requests++;
	note_latency(guest, sim->now_ns - request->submitted_ns);
	guest->under_way--;
	request->next = guest->spare;
	guest->spare = request;
	if (guest->load.depth > 0)
		guest_submit(guest);
	pump(sim);
}

static void note_excess(struct sim_guest *guest, uint64_t now_ns)
{
	const double rate[2] = { (double)guest->settings.max_iops, (double)guest->settings.max_bandwidth };
	const double amount[2] = { 1, (double)guest->load.bytes };
	double seconds = (double)(now_ns - guest->excess_ns) / NS_PER_S;

	for (unsigned i = 0; i < 2; i++) {
		guest->excess[i] = fmax(guest->excess[i] - rate[i] * seconds, 0) + amount[i];
		guest->excess_most[i] = fmax(guest->excess_most[i], guest->excess[i]);
	}
	guest->excess_ns = now_ns;
}

static void enter(struct simulation *sim, struct sim_request *request)
{
	const struct sim_device *device = &sim->device;
	uint64_t took_ns = service_ns(device, &request->guest->load);
	uint64_t *free_ns = sim->server_free_ns, start_ns;

	note_excess(request->guest, sim->now_ns);
	for (unsigned i = 1; i < device->parallel; i++)
		if (sim->server_free_ns[i] < *free_ns)
			free_ns = &sim->server_free_ns[i];
	start_ns = *free_ns > sim->now_ns ? *free_ns : sim->now_ns;
	if (device->jitter_percent > 0) {
		uint64_t swing = took_ns * device->jitter_percent / 100;

		took_ns += sim_random(sim, 2 * swing + 1) - swing;
	}
	if (start_ns >= device->slow_from_ns && start_ns < device->slow_until_ns)
		took_ns *= device->slow_factor;
	*free_ns = start_ns + took_ns;
	depth_enter(&sim->depth, request->cost_ns);
	event_add(sim, *free_ns, complete, request);
}

static void wake(struct simulation *sim, void *subject)
{
	(void)subject;
	if (sim->wake_ns <= sim->now_ns)
		sim->wake_ns = UINT64_MAX;
	pump(sim);
}

static struct sim_request *next_request(struct simulation *sim, uint64_t *ret_ready_ns)
{
	if (sim->rival)
		return sim->rival->next(sim, ret_ready_ns);
	return (struct sim_request *)scheduler_next(sim->scheduler, sim->now_ns, ret_ready_ns);
}

static void pump(struct simulation *sim)
{
	uint64_t ready_ns;

	while (depth_room(&sim->depth)) {
		struct sim_request *request = next_request(sim, &ready_ns);

		if (request) {
			enter(sim, request);
			continue;
		}
		if (ready_ns < sim->wake_ns) {
			sim->wake_ns = ready_ns;
			event_add(sim, ready_ns, wake, NULL);
		}
		return;
	}
}

/* ---- guests ---- */

static void guest_submit(struct sim_guest *guest)
{
	struct simulation *sim = guest->sim;
	struct sim_request *request = guest->spare;

	if (!guest->working)
		return;
	if (request)
		guest->spare = request->next;
	else
		request = zeroed(1, sizeof(*request));
	*request = (struct sim_request){ .guest = guest, .submitted_ns = sim->now_ns };
	request->cost_ns = sim_cost_ns(&sim->device, &guest->load);
	request->waiting.cost_ns = sim->mutation == SIM_REQUESTS_COUNTED ? 20000 : request->cost_ns;
	request->waiting.bytes = guest->load.bytes;
	guest->under_way++;
	if (sim->rival)
		sim->rival->add(sim, request);
	else
		scheduler_add(guest->node, &request->waiting, sim->now_ns);
}

static void arrive(struct simulation *sim, void *subject)
{
	struct sim_guest *guest = subject;
	double uniform = ((double)sim_random(sim, 1u << 30) + 1) / (1u << 30);
	double distance = guest->load.regular ? 1 : -log(uniform);

	if (!guest->working)
		return;
	guest_submit(guest);
	event_add(sim, sim->now_ns + 1 + (uint64_t)(distance * (double)NS_PER_S / guest->load.rate), arrive,
		  guest);
	pump(sim);
}

static void guest_pause(struct simulation *sim, void *subject);

static void guest_work(struct simulation *sim, void *subject)
{
	struct sim_guest *guest = subject;

	guest->working = true;
	if (guest->load.on_ns > 0)
		event_add(sim, sim->now_ns + guest->load.on_ns, guest_pause, guest);
	if (guest->load.depth == 0)
		arrive(sim, guest);
	while (guest->under_way < guest->load.depth)
		guest_submit(guest);
	pump(sim);
}

static void guest_pause(struct simulation *sim, void *subject)
{
	struct sim_guest *guest = subject;

	guest->working = false;
	if (guest->load.off_ns > 0)
		event_add(sim, sim->now_ns + guest->load.off_ns, guest_work, guest);
}

/* ---- set-up ---- */

struct simulation *sim_create(const struct sim_device *device, uint64_t end_ns, uint64_t seed)
{
	struct simulation *sim = zeroed(1, sizeof(*sim));

	sim->device = *device;
	sim->end_ns = end_ns;
	sim->random = seed;
	sim->wake_ns = UINT64_MAX;
	sim->depth = (struct depth){ .parallel = device->parallel, .window_ns = device->window_ns };
	sim->server_free_ns = zeroed(device->parallel, sizeof(uint64_t));
	sim->guests = zeroed(SIM_GUESTS_MAX, sizeof(struct sim_guest));
	sim->groups = zeroed(SIM_GUESTS_MAX, sizeof(struct scheduler_node *));
	if (scheduler_create(&sim->scheduler))
		abort();
	return sim;
}

static struct scheduler_settings spoiled(const struct simulation *sim,
					 const struct scheduler_settings *settings)
{
	struct scheduler_settings told = *settings;

	if (sim->mutation == SIM_WEIGHTS_IGNORED)
		told.weight = SCHEDULER_WEIGHT_DEFAULT;
	if (sim->mutation == SIM_RESERVATIONS_FORGOTTEN)
		told.reserved_ppb = 0;
	if (sim->mutation == SIM_LIMITS_FORGOTTEN)
		told.max_iops = told.max_bandwidth = 0;
	return told;
}

struct scheduler_node *sim_group(struct simulation *sim, struct scheduler_node *parent,
				 const struct scheduler_settings *settings)
{
	struct scheduler_settings told = spoiled(sim, settings);
	struct scheduler_node *node;

	if (scheduler_node_create(sim->scheduler, parent, &told, sim->now_ns, &node))
		abort();
	sim->groups[sim->group_count++] = node;
	return node;
}

unsigned sim_guest(struct simulation *sim, struct scheduler_node *parent,
		   const struct scheduler_settings *settings, const struct sim_load *load)
{
	struct sim_guest *guest = &sim->guests[sim->guest_count];
	struct scheduler_settings told = spoiled(sim, settings);

	assert(sim->guest_count < SIM_GUESTS_MAX);
	guest->sim = sim;
	guest->settings = *settings;
	guest->load = *load;
	guest->bins = zeroed(sim->end_ns / SIM_BIN_NS + 1, sizeof(struct sim_bin));
	if (scheduler_node_create(sim->scheduler, parent, &told, sim->now_ns, &guest->node))
		abort();
	event_add(sim, load->start_ns, guest_work, guest);
	if (load->stop_ns > 0)
		event_add(sim, load->stop_ns, guest_pause, guest);
	return sim->guest_count++;
}

void sim_run(struct simulation *sim, uint64_t until_ns)
{
	assert(until_ns <= sim->end_ns);
	while (sim->event_count > 0 && sim->events[0].at_ns < until_ns) {
		struct sim_event event = event_take(sim);

		sim->now_ns = event.at_ns;
		event.happen(sim, event.subject);
	}
	sim->now_ns = until_ns;
}

/* ---- the end ---- */

/* What is still under way belongs to the device's events or to the scheduler. */
static void drain(struct simulation *sim)
{
	struct scheduler_request *request;
	uint64_t ready_ns, now_ns = sim->now_ns;

	for (unsigned i = 0; i < sim->event_count; i++)
		if (sim->events[i].happen == complete)
			free(sim->events[i].subject);
	if (sim->rival) {
		for (unsigned i = 0; i < sim->guest_count; i++) {
			struct sim_guest *guest = &sim->guests[i];

			for (struct sim_request *next; guest->first; guest->first = next) {
				next = guest->first->next;
				free(guest->first);
			}
		}
		return;
	}
	while (scheduler_waiting(sim->scheduler) > 0) {
		request = scheduler_next(sim->scheduler, now_ns, &ready_ns);
		if (!request)
			now_ns = ready_ns;
		free(request);
	}
}

void sim_destroy(struct simulation *sim)
{
	drain(sim);
	for (unsigned i = 0; i < sim->guest_count; i++) {
		struct sim_guest *guest = &sim->guests[i];

		for (struct sim_request *next; guest->spare; guest->spare = next) {
			next = guest->spare->next;
			free(guest->spare);
		}
		scheduler_node_destroy(guest->node);
		free(guest->bins);
		free(guest->latencies_ns);
	}
	while (sim->group_count > 0)
		scheduler_node_destroy(sim->groups[--sim->group_count]);
	scheduler_destroy(sim->scheduler);
	free(sim->groups);
	free(sim->guests);
	free(sim->server_free_ns);
	free(sim->events);
	free(sim);
}

/* ---- what came out ---- */

struct sim_bin sim_got(const struct simulation *sim, unsigned guest, uint64_t from_ns, uint64_t until_ns)
{
	struct sim_bin sum = { 0 };

	for (uint64_t i = from_ns / SIM_BIN_NS; i < until_ns / SIM_BIN_NS; i++) {
		const struct sim_bin *bin = &sim->guests[guest].bins[i];

		sum.device_ns += bin->device_ns;
		sum.bytes += bin->bytes;
		sum.requests += bin->requests;
	}
	return sum;
}

uint64_t sim_device_ns(const struct simulation *sim, uint64_t from_ns, uint64_t until_ns)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < sim->guest_count; i++)
		sum += sim_got(sim, i, from_ns, until_ns).device_ns;
	return sum;
}

static int by_size(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

uint64_t sim_latency_ns(struct simulation *sim, unsigned guest, double quantile)
{
	struct sim_guest *of = &sim->guests[guest];

	if (of->latency_count == 0)
		return 0;
	qsort(of->latencies_ns, of->latency_count, sizeof(uint64_t), by_size);
	return of->latencies_ns[(unsigned)(quantile * (of->latency_count - 1))];
}

double sim_jain(const double *x, unsigned count)
{
	double sum = 0, squares = 0;

	for (unsigned i = 0; i < count; i++) {
		sum += x[i];
		squares += x[i] * x[i];
	}
	return squares > 0 ? sum * sum / (count * squares) : 0;
}
