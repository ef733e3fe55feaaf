/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * viaduct-load: a load generator for one virtual disk, through a vhost-user socket as a guest would, or
 * straight on a file of the host as the anchor of a comparison.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "load.h"

static const char usage_text[] =
	"usage: viaduct-load --socket PATH | --host FILE [options]\n"
	"\n"
	"  --socket PATH        vhost-user socket of a virtual disk\n"
	"  --host FILE          a file or block device of this host, through io_uring:\n"
	"    --direct | --buffered | --null   O_DIRECT (default), page cache, no I/O at all\n"
	"  --rw KIND            randread (default), randwrite, seqread, seqwrite\n"
	"  --bs BYTES           block size, K and M understood (default 4K)\n"
	"  --depth N            requests in flight for each queue (default 1)\n"
	"  --batch N            start new requests after this many completions (default 8)\n"
	"  --queues N           queues, each with a thread (default 1)\n"
	"  --ring N             ring size (default: 128, or what the depth needs)\n"
	"  --seconds S          measured time (default 1); --ramp S before it (default 0.1)\n"
	"  --count N            instead: this many requests for each queue\n"
	"  --area BYTES         use only the beginning of the disk\n"
	"  --poll               poll for completions instead of sleeping\n"
	"  --packed --in-order --no-event-idx --no-indirect     the ring's features\n"
	"  --write-back         ask for write-back caching where the driver may choose\n"
	"  --inflight           use an INFLIGHT buffer\n"
	"  --reconnect MS       when the back end dies, connect again for up to MS milliseconds\n"
	"  --verify             write blocks with checksums, read each back, read all again at the end\n"
	"  --seed N             of the random offsets and of --verify (default 1)\n"
	"  --cpu N              run on this CPU\n"
	"  --watch PID          sample this process's CPU time over the measured time\n"
	"  --json               print one JSON object\n";

enum option_key {
	OPTION_SOCKET = 256, OPTION_HOST, OPTION_DIRECT, OPTION_BUFFERED, OPTION_NULL, OPTION_RW, OPTION_BS,
	OPTION_DEPTH, OPTION_BATCH, OPTION_QUEUES, OPTION_RING, OPTION_SECONDS, OPTION_RAMP, OPTION_COUNT, OPTION_AREA,
	OPTION_POLL, OPTION_PACKED, OPTION_IN_ORDER, OPTION_NO_EVENT_IDX, OPTION_NO_INDIRECT, OPTION_WRITE_BACK,
	OPTION_INFLIGHT, OPTION_RECONNECT, OPTION_VERIFY, OPTION_SEED, OPTION_CPU, OPTION_WATCH, OPTION_JSON,
	OPTION_HELP,
};

static const struct option long_options[] = {
	{ "socket", required_argument, NULL, OPTION_SOCKET },
	{ "host", required_argument, NULL, OPTION_HOST },
	{ "direct", no_argument, NULL, OPTION_DIRECT },
	{ "buffered", no_argument, NULL, OPTION_BUFFERED },
	{ "null", no_argument, NULL, OPTION_NULL },
	{ "rw", required_argument, NULL, OPTION_RW },
	{ "bs", required_argument, NULL, OPTION_BS },
	{ "depth", required_argument, NULL, OPTION_DEPTH },
	{ "batch", required_argument, NULL, OPTION_BATCH },
	{ "queues", required_argument, NULL, OPTION_QUEUES },
	{ "ring", required_argument, NULL, OPTION_RING },
	{ "seconds", required_argument, NULL, OPTION_SECONDS },
	{ "ramp", required_argument, NULL, OPTION_RAMP },
	{ "count", required_argument, NULL, OPTION_COUNT },
	{ "area", required_argument, NULL, OPTION_AREA },
	{ "poll", no_argument, NULL, OPTION_POLL },
	{ "packed", no_argument, NULL, OPTION_PACKED },
	{ "in-order", no_argument, NULL, OPTION_IN_ORDER },
	{ "no-event-idx", no_argument, NULL, OPTION_NO_EVENT_IDX },
	{ "no-indirect", no_argument, NULL, OPTION_NO_INDIRECT },
	{ "write-back", no_argument, NULL, OPTION_WRITE_BACK },
	{ "inflight", no_argument, NULL, OPTION_INFLIGHT },
	{ "reconnect", required_argument, NULL, OPTION_RECONNECT },
	{ "verify", no_argument, NULL, OPTION_VERIFY },
	{ "seed", required_argument, NULL, OPTION_SEED },
	{ "cpu", required_argument, NULL, OPTION_CPU },
	{ "watch", required_argument, NULL, OPTION_WATCH },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "help", no_argument, NULL, OPTION_HELP },
	{ 0 },
};

static void usage(const char *problem, const char *what)
{
	fprintf(stderr, "viaduct-load: %s%s%s\n\n%s", problem, what ? ": " : "", what ? what : "", usage_text);
	exit(2);
}

/* A number with an optional K, M or G. */
static uint64_t parse_number(const char *text, uint64_t min, uint64_t max)
{
	static const char suffixes[] = "KMG";
	unsigned long long number;
	char *end;
	const char *suffix;

	errno = 0;
	number = strtoull(text, &end, 0);
	suffix = *end ? strchr(suffixes, *end) : NULL;
	if (end == text || *text == '-' || errno || (*end && (!suffix || end[1])))
		usage("not a number", text);
	if (suffix && __builtin_mul_overflow(number, 1ull << 10 * (suffix - suffixes + 1), &number))
		usage("out of range", text);
	if (number < min || number > max)
		usage("out of range", text);
	return number;
}

static double parse_seconds(const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= 0 && seconds <= 1e6))
		usage("not a number of seconds", text);
	return seconds;
}

static enum load_pattern parse_pattern(const char *text)
{
	static const char *const names[] = { "randread", "randwrite", "seqread", "seqwrite" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(text, names[i]))
			return (enum load_pattern)i;
	usage("--rw is randread, randwrite, seqread or seqwrite, not", text);
	return LOAD_RANDREAD;
}

/* Options that say where and what. Returns false for another key. */
static bool take_target(struct load_options *options, int key)
{
	switch (key) {
	case OPTION_SOCKET: options->socket = optarg; return true;
	case OPTION_HOST: options->host = optarg; return true;
	case OPTION_DIRECT: options->host_mode = LOAD_HOST_DIRECT; return true;
	case OPTION_BUFFERED: options->host_mode = LOAD_HOST_BUFFERED; return true;
	case OPTION_NULL: options->host_mode = LOAD_HOST_NULL; return true;
	case OPTION_POLL: options->poll = true; return true;
	case OPTION_PACKED: options->packed = true; return true;
	case OPTION_IN_ORDER: options->in_order = true; return true;
	case OPTION_NO_EVENT_IDX: options->no_event_idx = true; return true;
	case OPTION_NO_INDIRECT: options->no_indirect = true; return true;
	case OPTION_WRITE_BACK: options->write_back = true; return true;
	case OPTION_INFLIGHT: options->inflight = true; return true;
	case OPTION_VERIFY: options->verify = true; return true;
	case OPTION_JSON: options->json = true; return true;
	default: return false;
	}
}

static void take_option(struct load_options *options, int key)
{
	if (take_target(options, key))
		return;
	switch (key) {
	case OPTION_RW: options->pattern = parse_pattern(optarg); break;
	case OPTION_BS: options->block_bytes = (uint32_t)parse_number(optarg, 512, 16 << 20); break;
	case OPTION_DEPTH: options->depth = (unsigned)parse_number(optarg, 1, 4096); break;
	case OPTION_BATCH: options->batch = (unsigned)parse_number(optarg, 1, 4096); break;
	case OPTION_QUEUES: options->queues = (unsigned)parse_number(optarg, 1, 64); break;
	case OPTION_RING: options->ring_size = (unsigned)parse_number(optarg, 2, 32768); break;
	case OPTION_SECONDS: options->seconds = parse_seconds(optarg); break;
	case OPTION_RAMP: options->ramp_seconds = parse_seconds(optarg); break;
	case OPTION_COUNT: options->count = parse_number(optarg, 1, UINT64_MAX); break;
	case OPTION_AREA: options->area_bytes = parse_number(optarg, 512, UINT64_MAX); break;
	case OPTION_RECONNECT: options->reconnect_ms = (unsigned)parse_number(optarg, 1, 3600000); break;
	case OPTION_SEED: options->seed = parse_number(optarg, 0, UINT64_MAX); break;
	case OPTION_CPU: options->cpu = (int)parse_number(optarg, 0, CPU_SETSIZE - 1); break;
	case OPTION_WATCH: options->watch_pid = (int)parse_number(optarg, 1, INT32_MAX); break;
	case OPTION_HELP: fputs(usage_text, stdout); exit(0);
	default: usage("unknown option", NULL);
	}
}

static void check_options(struct load_options *options)
{
	if (!options->socket == !options->host)
		usage("give one of --socket and --host", NULL);
	if (options->block_bytes % 512)
		usage("--bs is a multiple of 512", NULL);
	if (options->verify && options->host_mode == LOAD_HOST_NULL && options->host)
		usage("a null disk cannot be verified", NULL);
	if (options->count > 0)
		options->seconds = options->ramp_seconds = 0;
	else if (options->seconds == 0)
		usage("--seconds is more than 0", NULL);
	if (options->verify)
		options->ramp_seconds = 0;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		fprintf(stderr, "viaduct-load: cannot run on CPU %d only: %s\n", cpu, strerror(errno));
}

/* CPU time of a process, all its threads, from /proc/PID/stat; 0 when it is gone. */
static uint64_t process_cpu_ns(int pid)
{
	unsigned long user = 0, system = 0;
	char path[64], line[1024];
	const char *rest;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (!file)
		return 0;
	rest = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
	fclose(file);
	if (!rest || sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
		return 0;
	return (uint64_t)(user + system) * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
}

struct result {
	struct load_job total;
	double iops, megabytes, cpu_percent, peer_percent;
	struct frontend_queue_counters counters;
};

static void print_json(const struct load_options *options, const struct load_engine *engine,
		       const struct result *result)
{
	static const char *const names[] = { "randread", "randwrite", "seqread", "seqwrite" };
	const struct load_histogram *latency = &result->total.latency;

	printf("{\"engine\": \"%s\", \"rw\": \"%s\", \"bs\": %u, \"depth\": %u, \"queues\": %u, \"poll\": %s, ",
	       engine->name, names[options->pattern], options->block_bytes, options->depth, options->queues,
	       options->poll ? "true" : "false");
	printf("\"requests\": %" PRIu64 ", \"seconds\": %.4f, \"iops\": %.1f, \"mb_s\": %.2f, ", result->total.requests,
	       (double)result->total.measured_ns / 1e9, result->iops, result->megabytes);
	printf("\"p50_us\": %.3f, \"p99_us\": %.3f, \"max_us\": %.3f, ", load_histogram_ns(latency, 0.5) / 1e3,
	       load_histogram_ns(latency, 0.99) / 1e3, (double)latency->max_ns / 1e3);
	printf("\"cpu_percent\": %.1f, \"peer_cpu_percent\": %.1f, \"kicks\": %" PRIu64 ", \"waits\": %" PRIu64 ", ",
	       result->cpu_percent, result->peer_percent, result->counters.kicks, result->counters.waits);
	printf("\"features\": %" PRIu64 ", \"errors\": %" PRIu64 ", \"mismatches\": %" PRIu64 ", \"reconnects\": %" PRIu64
	       "}\n",
	       engine->features, result->total.errors, result->total.mismatches, result->total.reconnects);
}

static void print_text(const struct load_options *options, const struct load_engine *engine,
		       const struct result *result)
{
	const struct load_histogram *latency = &result->total.latency;

	printf("%s: %.0f IOPS, %.1f MB/s, p50 %.2f us, p99 %.2f us, max %.2f us, CPU %.0f %%", engine->name, result->iops,
	       result->megabytes, load_histogram_ns(latency, 0.5) / 1e3, load_histogram_ns(latency, 0.99) / 1e3,
	       (double)latency->max_ns / 1e3, result->cpu_percent);
	if (options->watch_pid)
		printf(", back end %.0f %%", result->peer_percent);
	printf("\n%" PRIu64 " requests, %" PRIu64 " kicks, %" PRIu64 " waits, %" PRIu64 " errors", result->total.requests,
	       result->counters.kicks, result->counters.waits, result->total.errors);
	if (options->verify)
		printf(", %" PRIu64 " blocks differ", result->total.mismatches);
	if (options->reconnect_ms)
		printf(", %" PRIu64 " reconnects", result->total.reconnects);
	printf("\n");
}

/* Joins the jobs; returns the first failure. */
static int collect(struct load_job *jobs, unsigned count, struct load_job *total)
{
	int failure = 0;

	for (unsigned i = 0; i < count; i++) {
		pthread_join(jobs[i].thread, NULL);
		load_histogram_merge(&total->latency, &jobs[i].latency);
		total->requests += jobs[i].requests;
		total->bytes += jobs[i].bytes;
		total->errors += jobs[i].errors;
		total->mismatches += jobs[i].mismatches;
		total->cpu_ns += jobs[i].cpu_ns;
		if (jobs[i].reconnects > total->reconnects)
			total->reconnects = jobs[i].reconnects;
		if (jobs[i].measured_ns > total->measured_ns)
			total->measured_ns = jobs[i].measured_ns;
		if (!failure)
			failure = jobs[i].failure;
	}
	return failure;
}

/* Over the whole run minus the ramp, as precise as the kernel's clock ticks. */
static double watched_percent(const struct load_options *options, uint64_t from_ns, uint64_t cpu_from_ns)
{
	uint64_t cpu_ns;

	if (!options->watch_pid)
		return 0;
	cpu_ns = process_cpu_ns(options->watch_pid);
	return cpu_ns < cpu_from_ns ? 0
				    : 100.0 * (double)(cpu_ns - cpu_from_ns) / (double)(clock_now_ns() - from_ns + 1);
}

static int run_jobs(const struct load_options *options, struct load_engine *engine, struct result *result)
{
	struct load_job *jobs = calloc(options->queues, sizeof(*jobs));
	uint64_t from_ns, cpu_from_ns;
	int failure;

	if (!jobs)
		return -ENOMEM;
	for (unsigned i = 0; i < options->queues; i++) {
		jobs[i].options = options;
		jobs[i].engine = engine;
		jobs[i].index = i;
		if (pthread_create(&jobs[i].thread, NULL, load_job_run, &jobs[i])) {
			fprintf(stderr, "viaduct-load: no thread\n");
			exit(1);
		}
	}
	usleep((unsigned)(options->ramp_seconds * 1e6));
	from_ns = clock_now_ns();
	cpu_from_ns = options->watch_pid ? process_cpu_ns(options->watch_pid) : 0;
	failure = collect(jobs, options->queues, &result->total);
	result->peer_percent = watched_percent(options, from_ns, cpu_from_ns);
	free(jobs);
	return failure;
}

int main(int argc, char **argv)
{
	struct load_options options = {
		.block_bytes = 4096, .depth = 1, .batch = 8, .queues = 1, .seconds = 1, .ramp_seconds = 0.1, .seed = 1, .cpu = -1,
	};
	struct load_engine *engine;
	struct result *result = calloc(1, sizeof(*result));
	double seconds;
	int key, failure;

	while ((key = getopt_long(argc, argv, "", long_options, NULL)) >= 0)
		take_option(&options, key);
	if (optind < argc)
		usage("unexpected argument", argv[optind]);
	check_options(&options);
	if (options.cpu >= 0)
		pin(options.cpu);
	if (!result || (options.socket ? load_ring_open(&options, &engine) : load_host_open(&options, &engine)))
		return 1;
	failure = run_jobs(&options, engine, result);
	if (failure)
		fprintf(stderr, "viaduct-load: %s\n", strerror(-failure));
	seconds = (double)(result->total.measured_ns ? result->total.measured_ns : 1) / 1e9;
	result->iops = (double)result->total.requests / seconds;
	result->megabytes = (double)result->total.bytes / seconds / 1e6;
	result->cpu_percent = (double)result->total.cpu_ns / 1e7 / seconds;
	result->counters = engine->counters(engine);
	if (options.json)
		print_json(&options, engine, result);
	else
		print_text(&options, engine, result);
	failure = failure || result->total.errors || result->total.mismatches;
	engine->close(engine);
	free(result);
	return failure ? 1 : 0;
}
