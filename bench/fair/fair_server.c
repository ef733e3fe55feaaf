/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's side of a run: workers, one physical disk with its gate, and for each guest a node of the tree
 * of shares, a virtual disk and an endpoint, put together as the daemon does, without configuration and API.
 * The main thread is the gate's control thread; the endpoints have one of their own while the run lasts.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arbiter/disk/disk.h"
#include "arbiter/disk/disk_meter.h"
#include "core/clock.h"
#include "core/container.h"
#include "core/loop.h"
#include "devices/disk/virtio_blk.h"
#include "fair.h"
#include "interfaces/vhost_user/vhost_user.h"

#define WORKERS_MAX 8u
#define FILE_BYTES  (1024ull * MIB)

struct fair_thread {
	struct loop *loop;
	pthread_t thread;
};

struct served_guest {
	struct fair_server *server;
	unsigned index;
	struct gate_node *guest_node, *disk_node;
	struct disk *disk;
	struct virtio_blk *device;
	struct endpoint *endpoint;
};

struct fair_server {
	const struct fair_bench *bench;
	struct fair_thread control, worker[WORKERS_MAX];
	unsigned workers;
	struct host_disk *host;
	struct disk_meter *meter;
	struct gate *gate;		/* of the meter */
	struct disk_cost cost;
	struct gate_node *group[FAIR_GROUPS];
	struct loop_message end;    /* to the control thread: all endpoints shall go */
	struct loop_message ask;    /* … and: what has each been charged? */
	sem_t answered;
	uint64_t *answer_cpu_ns;
	unsigned guests, endpoints; /* not yet gone */
	struct served_guest guest[];
};

/* ---- disks ---- */

struct disk_cost fair_cost_of(const struct disk_memory_options *disk)
{
	unsigned depth = disk->depth ? disk->depth : 1;
	const struct cost_line read = {(uint32_t)(disk->read_base_ns / depth),
				       (uint32_t)(disk->read_ns_per_kib / depth)};
	const struct cost_line write = {(uint32_t)(disk->write_base_ns / depth),
					(uint32_t)(disk->write_ns_per_kib / depth)};

	return (struct disk_cost){
	    .line =
		{
		    [COST_READ_RANDOM] = read,
		    [COST_READ_SEQUENTIAL] = read,
		    [COST_WRITE_RANDOM] = write,
		    [COST_WRITE_SEQUENTIAL] = write,
		    [COST_FLUSH] = {(uint32_t)(disk->flush_ns / depth), 0},
		    [COST_DISCARD] = {(uint32_t)(disk->write_base_ns / depth), 0},
		},
	    .window_ns = (uint32_t)(disk->read_base_ns + disk->read_ns_per_kib * 4 + 1),
	};
}

/* Blocks that were never written would be read without the device. */
static void write_file(const char *path)
{
	uint64_t random = 88172645463325252ull, *block = fair_allocate(1, MIB);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	fair_check(fd < 0 ? -errno : 0, path);
	for (uint64_t at = 0; at < FILE_BYTES; at += MIB) {
		for (unsigned i = 0; i < MIB / sizeof(*block); i++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			block[i] = random;
		}
		fair_check(pwrite(fd, block, MIB, (off_t)at) != MIB ? -EIO : 0, path);
	}
	fair_check(fsync(fd) < 0 ? -errno : 0, path);
	close(fd);
	free(block);
}

static struct host_disk *open_file(const char *path)
{
	const struct disk_uring_options options = {.path = path, .cache = HOST_DISK_CACHE_DIRECT};
	struct host_disk *host;

	fair_check(disk_uring_open(&options, &host), path);
	return host;
}

void fair_prepare_file(const struct fair_bench *bench)
{
	if (access(bench->file, F_OK) < 0)
		write_file(bench->file);
}

/* ---- start ---- */

static void *run_loop(void *loop)
{
	fair_check(loop_run(loop), "loop");
	return NULL;
}

static void thread_start(struct fair_thread *thread, const char *name, uint64_t spin_ns)
{
	const struct loop_options options = {.name = name, .spin_max_ns = spin_ns};

	fair_check(loop_create(&options, &thread->loop), "loop");
	fair_check(-pthread_create(&thread->thread, NULL, run_loop, thread->loop), "thread");
}

static struct loop *worker_of(void *context, unsigned queue_index)
{
	struct served_guest *guest = context;

	return guest->server->worker[guest->index % guest->server->workers].loop;
}

static struct gate_node *make_node(struct fair_server *server, struct gate_node *parent,
				   const struct share_settings *settings)
{
	struct error error = { .text = "" };
	struct gate_node *node = NULL;
	int result = gate_node_create(server->gate, parent, settings, &node, &error);

	fair_check(result, error.text);
	return node;
}

static void guest_nodes(struct fair_server *server, struct served_guest *guest, const struct fair_guest *row)
{
	struct gate_node *parent = row->group > 0 ? server->group[row->group - 1] : NULL;
	struct share_settings share = row->share, disk = SHARE_SETTINGS_DEFAULT;

	disk.latency_target_us = share.latency_target_us;
	share.latency_target_us = 0;
	guest->guest_node = make_node(server, parent, &share);
	guest->disk_node = make_node(server, guest->guest_node, &disk);
}

void fair_server_socket(const struct fair_server *server, unsigned guest, char *path, size_t bytes)
{
	snprintf(path, bytes, "%s/%u", server->bench->folder, guest);
}

static void guest_serve(struct fair_server *server, struct served_guest *guest)
{
	char name[32], path[108];
	const struct disk_options disk = {.guest = name, .name = "disk", .share = guest->disk_node};
	struct virtio_blk_options blk = {.queues = 1};
	struct vhost_user_options endpoint = {
	    .endpoint.name = name,
	    .endpoint.control = server->control.loop,
	    .endpoint.socket = ENDPOINT_LISTEN,
	    .endpoint.path = path,
	    .endpoint.fd = -1,
	    .endpoint.owner = (uid_t)-1,
	    .endpoint.group = (gid_t)-1,
	    .model = &virtio_blk_model,
	    .endpoint.worker = worker_of,
	    .endpoint.worker_context = guest,
	};

	snprintf(name, sizeof(name), "guest%u", guest->index);
	fair_server_socket(server, guest->index, path, sizeof(path));
	fair_check(disk_create_on_host(&disk, server->host, &guest->disk), "disk");
	blk.disk = guest->disk;
	fair_check(virtio_blk_create(&blk, &guest->device), "virtio-blk");
	endpoint.device = guest->device;
	fair_check(vhost_user_create(&endpoint, &guest->endpoint), path);
	server->endpoints++;
}

static void open_disk(struct fair_server *server, const struct fair_plan *plan)
{
	if (plan->disk) {
		server->cost = fair_cost_of(plan->disk);
		fair_check(disk_memory_open(plan->disk, &server->host), "simulated disk");
	} else {
		server->cost = disk_cost_default;
		server->host = open_file(server->bench->file);
	}
	fair_check(disk_meter_create(&server->cost, true, &server->meter), "gate");
	server->gate = disk_meter_gate(server->meter);
	gate_set_on(server->gate, !server->bench->off);
}

struct fair_server *fair_server_start(const struct fair_bench *bench, const struct fair_plan *plan)
{
	unsigned guests = fair_plan_guests(plan), next = 0;
	struct fair_server *server = fair_allocate(1, sizeof(*server) + guests * sizeof(server->guest[0]));
	const struct loop_options control = {.name = "control"};

	server->bench = bench;
	server->guests = guests;
	fair_check(sem_init(&server->answered, 0, 0) < 0 ? -errno : 0, "semaphore");
	open_disk(server, plan);
	server->workers = plan->workers ? plan->workers : FAIR_WORKERS;
	for (unsigned i = 0; i < server->workers; i++) {
		thread_start(&server->worker[i], "worker", bench->poll_us * NS_PER_US);
		fair_prefer(server->worker[i].thread, FAIR_WORKER_PRIORITY);
		fair_place_worker(server->worker[i].thread, i, server->workers);
	}
	for (unsigned i = 0; i < FAIR_GROUPS; i++)
		if (plan->group[i].weight > 0)
			server->group[i] = make_node(server, NULL, &plan->group[i]);
	fair_check(loop_create(&control, &server->control.loop), "loop");
	for (unsigned row = 0; row < plan->guest_rows; row++) {
		for (unsigned i = 0; i < plan->guest[row].count; i++, next++) {
			struct served_guest *guest = &server->guest[next];

			guest->server = server;
			guest->index = next;
			guest_nodes(server, guest, &plan->guest[row]);
			guest_serve(server, guest);
		}
	}
	fair_check(-pthread_create(&server->control.thread, NULL, run_loop, server->control.loop), "thread");
	return server;
}

/* ---- while it runs ---- */

const struct disk_cost *fair_server_cost(const struct fair_server *server)
{
	return &server->cost;
}

uint64_t fair_server_cpu_ns(const struct fair_server *server)
{
	uint64_t sum_ns = 0;

	for (unsigned i = 0; i < server->workers; i++) {
		struct timespec used;
		clockid_t clock;

		fair_check(-pthread_getcpuclockid(server->worker[i].thread, &clock), "CPU clock");
		fair_check(clock_gettime(clock, &used) < 0 ? -errno : 0, "CPU clock");
		sum_ns += (uint64_t)used.tv_sec * NS_PER_S + (uint64_t)used.tv_nsec;
	}
	return sum_ns;
}

static void answer(struct loop_message *message)
{
	struct fair_server *server = container_of(message, struct fair_server, ask);

	for (unsigned i = 0; i < server->guests; i++) {
		struct endpoint_status status;

		endpoint_status(server->guest[i].endpoint, &status);
		server->answer_cpu_ns[i] = status.cpu_ns;
	}
	sem_post(&server->answered);
}

void fair_server_guests_cpu_ns(struct fair_server *server, uint64_t *ret_cpu_ns)
{
	server->ask.run = answer;
	server->answer_cpu_ns = ret_cpu_ns;
	loop_post(server->control.loop, &server->ask);
	while (sem_wait(&server->answered) < 0)
		;
}

void fair_gate_on(struct fair_server *server, unsigned on)
{
	gate_set_on(server->gate, on);
}

void fair_disk_slow(struct fair_server *server, unsigned factor)
{
	disk_memory_slow(server->host, factor);
}

/* ---- stop ---- */

static void endpoint_gone(void *context)
{
	struct fair_server *server = context;

	if (--server->endpoints == 0)
		loop_stop(server->control.loop);
}

static void end_endpoints(struct loop_message *message)
{
	struct fair_server *server = container_of(message, struct fair_server, end);

	for (unsigned i = 0; i < server->guests; i++)
		endpoint_destroy(server->guest[i].endpoint, endpoint_gone, server);
}

void fair_server_stop(struct fair_server *server)
{
	server->end.run = end_endpoints;
	loop_post(server->control.loop, &server->end);
	pthread_join(server->control.thread, NULL);
	for (unsigned i = 0; i < server->workers; i++) {
		loop_stop(server->worker[i].loop);
		pthread_join(server->worker[i].thread, NULL);
	}
	for (unsigned i = 0; i < server->guests; i++) {
		virtio_blk_destroy(server->guest[i].device);
		disk_destroy(server->guest[i].disk);
		gate_node_destroy(server->guest[i].disk_node);
		gate_node_destroy(server->guest[i].guest_node);
	}
	for (unsigned i = 0; i < FAIR_GROUPS; i++)
		gate_node_destroy(server->group[i]);
	disk_meter_destroy(server->meter);
	server->host->ops->close(server->host);
	for (unsigned i = 0; i < server->workers; i++)
		loop_destroy(server->worker[i].loop);
	loop_destroy(server->control.loop);
	free(server);
}
