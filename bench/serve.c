/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * viaduct-serve: the data path without the daemon, for measurements. One disk, in memory or a file, is served
 * on one vhost-user socket: loop, host driver, virtual disk, virtio-blk and endpoint, put together by hand.
 * Runs until SIGTERM or SIGINT.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "arbiter/disk/disk.h"
#include "core/clock.h"
#include "core/loop.h"
#include "core/trace.h"
#include "core/memory_guard.h"
#include "devices/disk/virtio_blk.h"
#include "host/host_disk.h"
#include "interfaces/vhost_user/vhost_user.h"

#define WORKERS_MAX 16u

static const char usage_text[] =
    "usage: viaduct-serve --socket PATH (--null SIZE | --memory SIZE | --file PATH) [options]\n"
    "\n"
    "  --null SIZE          a disk that stores nothing; K, M and G understood\n"
    "  --memory SIZE        a disk in memory\n"
    "    --service-ns N     time that each of its requests takes, one at a time for each of --service-depth "
    "N\n"
    "  --file PATH          a file or block device\n"
    "    --direct | --buffered   O_DIRECT or the page cache (default: as the daemon chooses)\n"
    "  --poll-us N          longest busy wait before a worker sleeps (default 0: never spin)\n"
    "  --workers N          threads (default 1)\n"
    "  --queues N           queues of the device (default: as many as workers)\n"
    "  --cpu N              run on this CPU\n"
    "  --stages             print the nanoseconds of each stage of the path at the end\n";

struct serve_options {
	const char *socket, *file;
	uint64_t null_bytes, memory_bytes;
	uint64_t service_ns;
	unsigned service_depth;
	enum host_disk_cache cache;
	uint64_t poll_us;
	unsigned workers, queues;
	int cpu;
	bool stages;
};

struct serve {
	struct loop *control, *worker[WORKERS_MAX];
	pthread_t thread[WORKERS_MAX];
	unsigned workers;
	struct host_disk *host;
	struct disk *disk;
	struct virtio_blk *device;
	struct endpoint *endpoint;
};

/* For the signal handler, which gets no argument. */
static struct loop *stop_loop;

static void usage(const char *problem, const char *what)
{
	fprintf(stderr, "viaduct-serve: %s%s%s (see --help)\n", problem, what ? ": " : "", what ? what : "");
	exit(2);
}

static void check(int error, const char *what)
{
	if (!error)
		return;
	fprintf(stderr, "viaduct-serve: %s: %s\n", what, strerror(-error));
	exit(1);
}

static uint64_t parse_number(const char *text)
{
	static const char suffixes[] = "KMG";
	char *end;
	uint64_t number = strtoull(text, &end, 0);
	const char *suffix = *end ? strchr(suffixes, *end) : NULL;

	if (end == text || *text == '-' || (*end && (!suffix || end[1])))
		usage("not a number", text);
	return suffix ? number << 10 * (suffix - suffixes + 1) : number;
}

static const struct option long_options[] = {
    {"socket", required_argument, NULL, 's'},
    {"null", required_argument, NULL, 'n'},
    {"memory", required_argument, NULL, 'm'},
    {"service-ns", required_argument, NULL, 't'},
    {"service-depth", required_argument, NULL, 'e'},
    {"file", required_argument, NULL, 'f'},
    {"direct", no_argument, NULL, 'd'},
    {"buffered", no_argument, NULL, 'b'},
    {"poll-us", required_argument, NULL, 'p'},
    {"workers", required_argument, NULL, 'w'},
    {"queues", required_argument, NULL, 'q'},
    {"cpu", required_argument, NULL, 'c'},
    {"stages", no_argument, NULL, 'S'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static void parse(struct serve_options *options, int argc, char **argv)
{
	int key, sources;

	while ((key = getopt_long(argc, argv, "", long_options, NULL)) >= 0) {
		switch (key) {
		case 's':
			options->socket = optarg;
			break;
		case 'n':
			options->null_bytes = parse_number(optarg);
			break;
		case 'm':
			options->memory_bytes = parse_number(optarg);
			break;
		case 't':
			options->service_ns = parse_number(optarg);
			break;
		case 'e':
			options->service_depth = (unsigned)parse_number(optarg);
			break;
		case 'f':
			options->file = optarg;
			break;
		case 'd':
			options->cache = HOST_DISK_CACHE_DIRECT;
			break;
		case 'b':
			options->cache = HOST_DISK_CACHE_BUFFERED;
			break;
		case 'p':
			options->poll_us = parse_number(optarg);
			break;
		case 'w':
			options->workers = (unsigned)parse_number(optarg);
			break;
		case 'q':
			options->queues = (unsigned)parse_number(optarg);
			break;
		case 'c':
			options->cpu = (int)parse_number(optarg);
			break;
		case 'S':
			options->stages = true;
			break;
		case 'h':
			fputs(usage_text, stdout);
			exit(0);
		default:
			usage("unknown option", NULL);
		}
	}
	sources = (options->file != NULL) + (options->null_bytes > 0) + (options->memory_bytes > 0);
	if (!options->socket || sources != 1)
		usage("give --socket and one of --null, --memory and --file", NULL);
	if (options->workers == 0 || options->workers > WORKERS_MAX)
		usage("--workers is from 1 to 16", NULL);
	if (options->queues == 0)
		options->queues = options->workers;
}

static int open_host(const struct serve_options *options, struct host_disk **ret_host)
{
	const struct disk_memory_options memory = {
	    .size_bytes = options->null_bytes ? options->null_bytes : options->memory_bytes,
	    .null = options->null_bytes > 0,
	    .can_punch = true,
	    .read_base_ns = options->service_ns,
	    .write_base_ns = options->service_ns,
	    .depth = options->service_depth,
	};
	const struct disk_uring_options file = {.path = options->file, .cache = options->cache};

	return options->file ? disk_uring_open(&file, ret_host) : disk_memory_open(&memory, ret_host);
}

static void *run_worker(void *loop)
{
	check(loop_run(loop), "worker");
	return NULL;
}

static struct loop *worker_of(void *context, unsigned queue_index)
{
	struct serve *serve = context;

	return serve->worker[queue_index % serve->workers];
}

static void stop(int signal)
{
	loop_stop(stop_loop); /* NOLINT(bugprone-signal-handler): its contract allows it */
}

static void start_workers(struct serve *serve, const struct serve_options *options)
{
	const struct loop_options worker = {.name = "worker", .spin_max_ns = options->poll_us * NS_PER_US};
	const struct loop_options control = {.name = "control"};

	check(loop_create(&control, &serve->control), "control loop");
	for (serve->workers = 0; serve->workers < options->workers; serve->workers++) {
		check(loop_create(&worker, &serve->worker[serve->workers]), "worker loop");
		check(-pthread_create(&serve->thread[serve->workers], NULL, run_worker,
				      serve->worker[serve->workers]),
		      "worker thread");
	}
}

static void start_disk(struct serve *serve, const struct serve_options *options)
{
	const struct disk_options disk = {.guest = "bench", .name = "disk"};
	struct virtio_blk_options blk = {.queues = options->queues};
	struct vhost_user_options endpoint = {
	    .endpoint.name = "bench/disk",
	    .endpoint.control = serve->control,
	    .endpoint.socket = ENDPOINT_LISTEN,
	    .endpoint.path = options->socket,
	    .endpoint.fd = -1,
	    .endpoint.owner = (uid_t)-1,
	    .endpoint.group = (gid_t)-1,
	    .model = &virtio_blk_model,
	    .endpoint.worker = worker_of,
	    .endpoint.worker_context = serve,
	};

	check(open_host(options, &serve->host), options->file ? options->file : "memory");
	check(disk_create_on_host(&disk, serve->host, &serve->disk), "disk");
	blk.disk = serve->disk;
	check(virtio_blk_create(&blk, &serve->device), "virtio-blk");
	endpoint.device = serve->device;
	check(vhost_user_create(&endpoint, &serve->endpoint), options->socket);
}

static void endpoint_gone(void *context)
{
	loop_stop(context);
}

static void finish(struct serve *serve)
{
	endpoint_destroy(serve->endpoint, endpoint_gone, serve->control);
	check(loop_run(serve->control), "control loop");
	for (unsigned i = 0; i < serve->workers; i++) {
		loop_stop(serve->worker[i]);
		pthread_join(serve->thread[i], NULL);
	}
	virtio_blk_destroy(serve->device);
	disk_destroy(serve->disk);
	serve->host->ops->close(serve->host);
	for (unsigned i = 0; i < serve->workers; i++)
		loop_destroy(serve->worker[i]);
	loop_destroy(serve->control);
}

/* Per request, not per mark: a batch has one "kick" and one "signalled". */
static void print_stages(void)
{
	uint64_t requests, ns, marks;

	trace_read(TRACE_COMPLETED, &ns, &requests);
	printf("stages of %llu requests, ns each:", (unsigned long long)requests);
	for (unsigned stage = 0; stage < TRACE_STAGES; stage++) {
		trace_read(stage, &ns, &marks);
		printf(" %s %.1f", trace_stage_text(stage), requests ? (double)ns / (double)requests : 0.0);
	}
	printf("\n");
}

int main(int argc, char **argv)
{
	struct serve_options options = {.cpu = -1, .workers = 1};
	struct serve serve = {0};
	cpu_set_t cpus;

	parse(&options, argc, argv);
	trace_on = options.stages;
	if (options.cpu >= 0) {
		CPU_ZERO(&cpus);
		CPU_SET(options.cpu, &cpus);
		check(sched_setaffinity(0, sizeof(cpus), &cpus) < 0 ? -errno : 0, "--cpu");
	}
	check(memory_guard_install(), "signal handler");
	start_workers(&serve, &options);
	start_disk(&serve, &options);
	stop_loop = serve.control;
	signal(SIGTERM, stop);
	signal(SIGINT, stop);
	signal(SIGPIPE, SIG_IGN);
	check(loop_run(serve.control), "control loop");
	finish(&serve);
	if (options.stages)
		print_stages();
	return 0;
}
