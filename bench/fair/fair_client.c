/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guests of a run. One thread serves the front ends of all of them, as 64 threads on two cores would
 * measure the kernel's scheduler: it sleeps until one of the back end's notifications, or until a guest's own
 * time has come (an arrival, an end of a pause), and answers completions with new requests.
 *
 * The hostile guests have a thread of their own that runs only when nothing else wants the core: what they
 * cost the honest ones is then the daemon's doing and not their own use of the machine.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/clock.h"
#include "fair.h"

#define EVENTS_MAX    64
#define DRAIN_NS      (20 * NS_PER_S)
#define IDENTIFY_SIZE 20u
#define STORM_KICKS   16u /* between two looks at the clock */

struct io {
	uint64_t start_ns;
	uint64_t device_ns;
	struct io *next; /* free */
};

struct tenant {
	const struct fair_load *load;
	const struct disk_cost *cost;
	struct fair_outcome *outcome;
	struct frontend *frontend;
	struct frontend_queue *queue;
	uint8_t *buffer; /* of all its requests: the bytes do not matter */
	uint64_t first_block, blocks, random;
	uint64_t next_arrival_ns;
	struct io *io, *free;
	unsigned in_flight;
};

struct fair_client {
	const struct fair_plan *plan;
	pthread_t thread;
	uint64_t epoch_ns, end_ns;
	int epoll_fd;
	bool hostile, started;
	unsigned tenants;
	struct tenant tenant[];
};

/* ---- when a guest wants something ---- */

/* Is it on at `at_ns` after the epoch? *ret_change_ns: when that changes. */
static bool load_on(const struct fair_load *load, uint64_t at_ns, uint64_t *ret_change_ns)
{
	uint64_t start_ns = load->start_ms * NS_PER_MS, on_ns = load->on_ms * NS_PER_MS,
		 period_ns = on_ns + load->off_ms * NS_PER_MS, phase_ns;
	bool on;

	*ret_change_ns = start_ns;
	if (at_ns < start_ns)
		return false;
	*ret_change_ns = UINT64_MAX;
	if (load->off_ms == 0)
		return true;
	phase_ns = (at_ns - start_ns) % period_ns;
	on = phase_ns < on_ns;
	*ret_change_ns = at_ns - phase_ns + (on ? on_ns : period_ns);
	return on;
}

/* ---- requests ---- */

static uint64_t random_block(struct tenant *tenant)
{
	tenant->random ^= tenant->random << 13;
	tenant->random ^= tenant->random >> 7;
	tenant->random ^= tenant->random << 17;
	return tenant->first_block + (uint64_t)((unsigned __int128)tenant->random * tenant->blocks >> 64);
}

static struct frontend_block_request request_of(struct tenant *tenant)
{
	static const uint32_t type[] = {
	    [FAIR_READ] = FRONTEND_BLOCK_IN,
	    [FAIR_WRITE] = FRONTEND_BLOCK_OUT,
	    [FAIR_FLUSH] = FRONTEND_BLOCK_FLUSH,
	    [FAIR_IDENTIFY] = FRONTEND_BLOCK_GET_ID,
	};
	const struct fair_load *load = tenant->load;
	struct frontend_block_request request = {.type = type[load->op]};

	if (load->op == FAIR_READ || load->op == FAIR_WRITE) {
		request.sector = random_block(tenant) * load->block_bytes / 512;
		request.data = tenant->buffer;
		request.data_bytes = load->block_bytes;
	} else if (load->op == FAIR_IDENTIFY) {
		request.data = tenant->buffer;
		request.data_bytes = IDENTIFY_SIZE;
	}
	return request;
}

static uint64_t device_ns(const struct tenant *tenant)
{
	switch (tenant->load->op) {
	case FAIR_READ:
		return disk_cost_ns(tenant->cost, COST_READ_RANDOM, tenant->load->block_bytes);
	case FAIR_WRITE:
		return disk_cost_ns(tenant->cost, COST_WRITE_RANDOM, tenant->load->block_bytes);
	case FAIR_FLUSH:
		return disk_cost_ns(tenant->cost, COST_FLUSH, 0);
	default:
		return 0;
	}
}

static void tenant_start(struct tenant *tenant, uint64_t now_ns)
{
	struct frontend_block_request request = request_of(tenant);
	struct io *io = tenant->free;

	tenant->free = io->next;
	tenant->in_flight++;
	io->start_ns = now_ns;
	request.token = io;
	if (frontend_block_add(tenant->queue, &request))
		abort(); /* the ring was made to hold the depth */
}

/* Starts what the guest wants now; returns when it wants something of its own accord again. */
static uint64_t tenant_issue(struct fair_client *client, struct tenant *tenant, uint64_t now_ns)
{
	const struct fair_load *load = tenant->load;
	uint64_t change_ns;
	bool on = load_on(load, now_ns - client->epoch_ns, &change_ns);

	change_ns = change_ns == UINT64_MAX ? client->end_ns : client->epoch_ns + change_ns;
	if (!on || now_ns >= client->end_ns)
		return change_ns;
	if (load->op == FAIR_STORM) {
		for (unsigned i = 0; i < STORM_KICKS; i++)
			frontend_kick_always(tenant->queue);
		return now_ns;
	}
	if (load->iops == 0) {
		while (tenant->free)
			tenant_start(tenant, now_ns);
	} else {
		if (tenant->next_arrival_ns < client->epoch_ns)
			tenant->next_arrival_ns = now_ns;
		for (; tenant->free && tenant->next_arrival_ns <= now_ns;
		     tenant->next_arrival_ns += NS_PER_S / load->iops)
			tenant_start(tenant, now_ns);
		if (tenant->free && tenant->next_arrival_ns < change_ns)
			change_ns = tenant->next_arrival_ns;
	}
	frontend_kick(tenant->queue);
	return change_ns;
}

static void tenant_reap(struct fair_client *client, struct tenant *tenant, uint64_t now_ns)
{
	uint64_t ms = (now_ns - client->epoch_ns) / NS_PER_MS, cost_ns = device_ns(tenant);
	struct fair_outcome *outcome = tenant->outcome;
	uint8_t status;
	void *token;

	while (frontend_block_take(tenant->queue, &token, &status)) {
		struct io *io = token;

		fair_series_add(&outcome->series, ms, tenant->load->block_bytes, cost_ns);
		if (client->plan->rounds > 0 && !client->hostile)
			fair_samples_add(&outcome->samples, client->plan,
					 (io->start_ns - client->epoch_ns) / NS_PER_MS,
					 now_ns - io->start_ns);
		outcome->errors += status != 0;
		io->next = tenant->free;
		tenant->free = io;
		tenant->in_flight--;
	}
}

/* ---- the thread ---- */

/* Reaps and issues until there is nothing to reap, then waits to be told. */
static void tenant_turn(struct fair_client *client, struct tenant *tenant)
{
	do {
		uint64_t now_ns = clock_now_ns();

		tenant_reap(client, tenant, now_ns);
		tenant_issue(client, tenant, now_ns);
	} while (!client->plan->poll && frontend_listen(tenant->queue) && tenant->in_flight > 0);
}

static void client_sleep(struct fair_client *client, uint64_t until_ns)
{
	struct epoll_event events[EVENTS_MAX];
	uint64_t now_ns = clock_now_ns(), left_ns = until_ns > now_ns ? until_ns - now_ns : 0;
	const struct timespec timeout = {(time_t)(left_ns / NS_PER_S), (long)(left_ns % NS_PER_S)};
	int count = epoll_pwait2(client->epoll_fd, events, EVENTS_MAX, &timeout, NULL);

	for (int i = 0; i < count; i++)
		tenant_turn(client, events[i].data.ptr);
}

/* Has this guest a time of its own, besides that of its completions? */
static bool load_timed(const struct fair_load *load)
{
	return load->iops > 0 || load->off_ms > 0 || load->start_ms > 0 || load->op == FAIR_STORM;
}

static void client_turn(struct fair_client *client, bool first)
{
	uint64_t until_ns = client->end_ns;

	for (unsigned i = 0; i < client->tenants; i++) {
		struct tenant *tenant = &client->tenant[i];

		if (client->plan->poll)
			tenant_turn(client, tenant);
		else if (first || load_timed(tenant->load)) {
			uint64_t wish_ns = tenant_issue(client, tenant, clock_now_ns());

			if (first)
				frontend_listen(tenant->queue);
			if (wish_ns < until_ns)
				until_ns = wish_ns;
		}
	}
	if (!client->plan->poll)
		client_sleep(client, first ? 0 : until_ns);
}

/* All requests come back, also those that the arbiter holds back. */
static void client_drain(struct fair_client *client)
{
	uint64_t deadline_ns = clock_now_ns() + DRAIN_NS;

	for (unsigned i = 0; i < client->tenants; i++) {
		struct tenant *tenant = &client->tenant[i];

		while (tenant->in_flight > 0) {
			int ready = frontend_wait(tenant->queue, 100);

			if (ready < 0 || clock_now_ns() > deadline_ns)
				fair_check(ready < 0 ? ready : -ETIMEDOUT, "a request did not come back");
			tenant_reap(client, tenant, clock_now_ns());
		}
	}
}

static void *client_run(void *argument)
{
	struct fair_client *client = argument;
	const struct sched_param none = {0};
	uint64_t now_ns = clock_now_ns();

	if (!client->hostile)
		fair_prefer(pthread_self(), FAIR_GUEST_PRIORITY);
	if (client->hostile)
		fair_check(-pthread_setschedparam(pthread_self(), SCHED_IDLE, &none), "SCHED_IDLE");
	if (client->epoch_ns > now_ns)
		usleep((useconds_t)((client->epoch_ns - now_ns) / NS_PER_US + 1));
	for (bool first = true; clock_now_ns() < client->end_ns; first = false)
		client_turn(client, first);
	client_drain(client);
	return NULL;
}

/* ---- connecting ---- */

static unsigned ring_size(unsigned depth)
{
	unsigned size = 16;

	while (size < depth)
		size *= 2;
	return size;
}

static void tenant_connect(struct tenant *tenant, const struct fair_plan *plan, const char *path)
{
	const struct fair_load *load = tenant->load;
	unsigned size = ring_size(load->depth);
	const struct frontend_options options = {
	    .path = path,
	    .queues = 1,
	    .queue_size = size,
	    .features = FRONTEND_F_INDIRECT | FRONTEND_F_EVENT_IDX | FRONTEND_F_BLK_FLUSH,
	    .memory_bytes = size * 1024ull + load->block_bytes + MIB,
	    .poll = plan->poll,
	};
	const char *text = "";
	int error = frontend_connect(&options, &tenant->frontend, &text);
	size_t bytes;

	fair_check(error, text);
	tenant->queue = frontend_queue(tenant->frontend, 0);
	tenant->buffer = frontend_memory(tenant->frontend, &bytes);
	tenant->io = fair_allocate(load->depth + 1, sizeof(*tenant->io));
	fair_check(bytes >= load->block_bytes ? 0 : -ENOMEM, "memory of a guest");
	for (unsigned i = 0; i < load->depth; i++) {
		tenant->io[i].next = tenant->free;
		tenant->free = &tenant->io[i];
	}
}

/* Each guest has its own part of the disk. */
static void tenant_place(struct tenant *tenant, unsigned guest, unsigned guests)
{
	uint32_t block_bytes = tenant->load->block_bytes ? tenant->load->block_bytes : 4 * KIB;
	uint64_t bytes = 0;

	fair_check(frontend_block_size(tenant->frontend, &bytes), "size of the disk");
	tenant->blocks = bytes / guests / block_bytes;
	tenant->first_block = tenant->blocks * guest;
	tenant->random = (guest + 1) * 0x9e3779b97f4a7c15ull | 1;
	fair_check(tenant->blocks > 0 ? 0 : -ENOSPC, "the disk is too small for so many guests");
}

static void client_watch(struct fair_client *client, struct tenant *tenant)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = tenant};

	fair_check(epoll_ctl(client->epoll_fd, EPOLL_CTL_ADD, frontend_notifier(tenant->queue), &event) < 0
		       ? -errno
		       : 0,
		   "epoll_ctl");
}

struct fair_client *fair_client_connect(const struct fair_plan *plan, const struct fair_server *server,
					struct fair_outcome *outcome, bool hostile)
{
	unsigned guests = fair_plan_guests(plan), guest = 0;
	struct fair_client *client = fair_allocate(1, sizeof(*client) + guests * sizeof(client->tenant[0]));
	char path[108];

	client->plan = plan;
	client->hostile = hostile;
	client->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	fair_check(client->epoll_fd < 0 ? -errno : 0, "epoll");
	for (unsigned row = 0; row < plan->guest_rows; row++) {
		for (unsigned i = 0; i < plan->guest[row].count; i++, guest++) {
			struct tenant *tenant = &client->tenant[client->tenants];

			if (plan->guest[row].hostile != hostile)
				continue;
			client->tenants++;
			tenant->load = &plan->guest[row].load;
			tenant->cost = fair_server_cost(server);
			tenant->outcome = &outcome[guest];
			fair_server_socket(server, guest, path, sizeof(path));
			tenant_connect(tenant, plan, path);
			tenant_place(tenant, guest, guests);
			client_watch(client, tenant);
		}
	}
	return client;
}

void fair_client_start(struct fair_client *client, uint64_t epoch_ns)
{
	if (client->tenants == 0)
		return;
	client->epoch_ns = epoch_ns;
	client->end_ns = epoch_ns + client->plan->total_ms * NS_PER_MS;
	fair_check(-pthread_create(&client->thread, NULL, client_run, client), "client thread");
	fair_place_guests(client->thread, client->plan->workers ? client->plan->workers : FAIR_WORKERS);
	client->started = true;
}

void fair_client_finish(struct fair_client *client)
{
	if (!client)
		return;
	if (client->started)
		pthread_join(client->thread, NULL);
	for (unsigned i = 0; i < client->tenants; i++) {
		frontend_close(client->tenant[i].frontend);
		free(client->tenant[i].io);
	}
	close(client->epoll_fd);
	free(client);
}
