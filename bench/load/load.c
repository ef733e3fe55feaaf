/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * viaduct-load: a load generator for one virtual disk, through a vhost-user socket as a guest would, or
 * straight on a file of the host as the anchor of a comparison.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <sched.h>
#include <stddef.h>
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
    "  --idle               connect and do nothing for --seconds\n"
    "  --seed N             of the random offsets and of --verify (default 1)\n"
    "  --cpu N              run on this CPU\n"
    "  --watch PID          sample this process's CPU time over the measured time\n"
    "  --json               print one JSON object\n";

enum option_kind { TEXT, SWITCH, NUMBER_U32, NUMBER_U64, SECONDS, PATTERN, HOST_MODE, HELP };

/* One line an option: what it sets, and within what bounds. */
struct option_rule {
	const char *name;
	enum option_kind kind;
	size_t offset;
	uint64_t min, max; /* HOST_MODE: min is the mode */
};

#define AT(member) offsetof(struct load_options, member)
static const struct option_rule option_rules[] = {
    {"socket", TEXT, AT(socket), 0, 0},
    {"host", TEXT, AT(host), 0, 0},
    {"direct", HOST_MODE, AT(host_mode), LOAD_HOST_DIRECT, 0},
    {"buffered", HOST_MODE, AT(host_mode), LOAD_HOST_BUFFERED, 0},
    {"null", HOST_MODE, AT(host_mode), LOAD_HOST_NULL, 0},
    {"rw", PATTERN, AT(pattern), 0, 0},
    {"bs", NUMBER_U32, AT(block_bytes), 512, 16 << 20},
    {"depth", NUMBER_U32, AT(depth), 1, 4096},
    {"batch", NUMBER_U32, AT(batch), 1, 4096},
    {"queues", NUMBER_U32, AT(queues), 1, 64},
    {"ring", NUMBER_U32, AT(ring_size), 2, 32768},
    {"seconds", SECONDS, AT(seconds), 0, 0},
    {"ramp", SECONDS, AT(ramp_seconds), 0, 0},
    {"count", NUMBER_U64, AT(count), 1, UINT64_MAX},
    {"area", NUMBER_U64, AT(area_bytes), 512, UINT64_MAX},
    {"seed", NUMBER_U64, AT(seed), 0, UINT64_MAX},
    {"poll", SWITCH, AT(poll), 0, 0},
    {"packed", SWITCH, AT(packed), 0, 0},
    {"in-order", SWITCH, AT(in_order), 0, 0},
    {"no-event-idx", SWITCH, AT(no_event_idx), 0, 0},
    {"no-indirect", SWITCH, AT(no_indirect), 0, 0},
    {"write-back", SWITCH, AT(write_back), 0, 0},
    {"inflight", SWITCH, AT(inflight), 0, 0},
    {"verify", SWITCH, AT(verify), 0, 0},
    {"idle", SWITCH, AT(idle), 0, 0},
    {"reconnect", NUMBER_U32, AT(reconnect_ms), 1, 3600000},
    {"cpu", NUMBER_U32, AT(cpu), 0, CPU_SETSIZE - 1},
    {"watch", NUMBER_U32, AT(watch_pid), 1, INT32_MAX},
    {"json", SWITCH, AT(json), 0, 0},
    {"help", HELP, 0, 0, 0},
};
#define OPTIONS (sizeof(option_rules) / sizeof(option_rules[0]))

static void usage(const char *problem, const char *what)
{
	fprintf(stderr, "viaduct-load: %s%s%s (see --help)\n", problem, what ? ": " : "", what ? what : "");
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

static const char *const pattern_names[] = {"randread", "randwrite", "seqread", "seqwrite"};

static enum load_pattern parse_pattern(const char *text)
{
	for (unsigned i = 0; i < sizeof(pattern_names) / sizeof(pattern_names[0]); i++)
		if (!strcmp(text, pattern_names[i]))
			return (enum load_pattern)i;
	usage("--rw is randread, randwrite, seqread or seqwrite, not", text);
	return LOAD_RANDREAD;
}

static void take_option(struct load_options *options, const struct option_rule *rule, const char *text)
{
	void *place = (char *)options + rule->offset;

	switch (rule->kind) {
	case TEXT:
		*(const char **)place = text;
		break;
	case SWITCH:
		*(bool *)place = true;
		break;
	case NUMBER_U32:
		*(uint32_t *)place = (uint32_t)parse_number(text, rule->min, rule->max);
		break;
	case NUMBER_U64:
		*(uint64_t *)place = parse_number(text, rule->min, rule->max);
		break;
	case SECONDS:
		*(double *)place = parse_seconds(text);
		break;
	case PATTERN:
		*(enum load_pattern *)place = parse_pattern(text);
		break;
	case HOST_MODE:
		*(enum load_host_mode *)place = (enum load_host_mode)rule->min;
		break;
	case HELP:
		fputs(usage_text, stdout);
		exit(0);
	}
}

static void parse_options(struct load_options *options, int argc, char **argv)
{
	struct option long_options[OPTIONS + 1] = {0};
	int index;

	for (unsigned i = 0; i < OPTIONS; i++) {
		enum option_kind kind = option_rules[i].kind;

		long_options[i].name = option_rules[i].name;
		long_options[i].has_arg =
		    kind == SWITCH || kind == HOST_MODE || kind == HELP ? no_argument : required_argument;
	}
	opterr = 0;
	while (optind < argc) {
		const char *word = argv[optind];

		if (getopt_long(argc, argv, "", long_options, &index) != 0)
			usage("unknown or incomplete option", word);
		take_option(options, &option_rules[index], optarg);
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
	if (!rest ||
	    /* NOLINTNEXTLINE(cert-err34-c): the kernel's own numbers fit */
	    sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
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
	const struct load_histogram *latency = &result->total.latency;

	printf(
	    "{\"engine\": \"%s\", \"rw\": \"%s\", \"bs\": %u, \"depth\": %u, \"queues\": %u, \"poll\": %s, ",
	    engine->name, pattern_names[options->pattern], options->block_bytes, options->depth,
	    options->queues, options->poll ? "true" : "false");
	printf("\"requests\": %" PRIu64 ", \"seconds\": %.4f, \"iops\": %.1f, \"mb_s\": %.2f, ",
	       result->total.requests, (double)result->total.measured_ns / 1e9, result->iops,
	       result->megabytes);
	printf("\"p50_us\": %.3f, \"p99_us\": %.3f, \"max_us\": %.3f, ",
	       load_histogram_ns(latency, 0.5) / 1e3, load_histogram_ns(latency, 0.99) / 1e3,
	       (double)latency->max_ns / 1e3);
	printf("\"cpu_percent\": %.1f, \"peer_cpu_percent\": %.1f, \"kicks\": %" PRIu64
	       ", \"waits\": %" PRIu64 ", ",
	       result->cpu_percent, result->peer_percent, result->counters.kicks, result->counters.waits);
	printf("\"features\": %" PRIu64 ", \"errors\": %" PRIu64 ", \"mismatches\": %" PRIu64
	       ", \"reconnects\": %" PRIu64 "}\n",
	       engine->features, result->total.errors, result->total.mismatches, result->total.reconnects);
}

static void print_text(const struct load_options *options, const struct load_engine *engine,
		       const struct result *result)
{
	const struct load_histogram *latency = &result->total.latency;

	printf("%s: %.0f IOPS, %.1f MB/s, p50 %.2f us, p99 %.2f us, max %.2f us, CPU %.0f %%", engine->name,
	       result->iops, result->megabytes, load_histogram_ns(latency, 0.5) / 1e3,
	       load_histogram_ns(latency, 0.99) / 1e3, (double)latency->max_ns / 1e3, result->cpu_percent);
	if (options->watch_pid)
		printf(", back end %.0f %%", result->peer_percent);
	printf("\n%" PRIu64 " requests, %" PRIu64 " kicks, %" PRIu64 " waits, %" PRIu64 " errors",
	       result->total.requests, result->counters.kicks, result->counters.waits, result->total.errors);
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
	return cpu_ns < cpu_from_ns
		   ? 0
		   : 100.0 * (double)(cpu_ns - cpu_from_ns) / (double)(clock_now_ns() - from_ns + 1);
}

/* Connected, and nothing to do: what a back end costs then. */
static int stay_idle(const struct load_options *options, struct result *result)
{
	uint64_t from_ns = clock_now_ns(),
		 cpu_from_ns = options->watch_pid ? process_cpu_ns(options->watch_pid) : 0;

	usleep((useconds_t)(options->seconds * 1e6));
	result->peer_percent = watched_percent(options, from_ns, cpu_from_ns);
	result->total.measured_ns = clock_now_ns() - from_ns;
	return 0;
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
	    .block_bytes = 4096,
	    .depth = 1,
	    .batch = 8,
	    .queues = 1,
	    .seconds = 1,
	    .ramp_seconds = 0.1,
	    .seed = 1,
	    .cpu = -1,
	};
	struct load_engine *engine;
	struct result result = {0};
	double seconds;
	int failure;

	parse_options(&options, argc, argv);
	check_options(&options);
	if (options.cpu >= 0)
		pin(options.cpu);
	if (options.socket ? load_ring_open(&options, &engine) : load_host_open(&options, &engine))
		return 1;
	failure = options.idle ? stay_idle(&options, &result) : run_jobs(&options, engine, &result);
	if (failure)
		fprintf(stderr, "viaduct-load: %s\n", strerror(-failure));
	seconds = (double)(result.total.measured_ns ? result.total.measured_ns : 1) / 1e9;
	result.iops = (double)result.total.requests / seconds;
	result.megabytes = (double)result.total.bytes / seconds / 1e6;
	result.cpu_percent = (double)result.total.cpu_ns / 1e7 / seconds;
	result.counters = engine->counters(engine);
	if (options.json)
		print_json(&options, engine, &result);
	else
		print_text(&options, engine, &result);
	failure = failure || result.total.errors || result.total.mismatches;
	engine->close(engine);
	return failure ? 1 : 0;
}
