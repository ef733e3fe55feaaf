/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options, repetitions and the table of viaduct-fair; see fair.h. */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "core/memory_guard.h"
#include "fair.h"

#define REPEATS_MAX 9u
/* A row that is short is measured so often in all, and the median counts. */
#define REPEATS_WHEN_SHORT 3u
/*
 * A run is disturbed when more than this part of the machine's CPU time went to other programs or, on a
 * virtual machine, was taken by its host. Such a run is dropped, whatever it says; so many of each experiment
 * at most, and of all.
 */
#define DISTURBED	  0.005
#define DISTURBED_MAX	  8u
#define DISTURBED_ALL_MAX 60u

static const char usage_text[] =
    "usage: viaduct-fair [options]\n"
    "\n"
    "  --quick        half the time, whatever else the machine does\n"
    "  --only ID      only this experiment: Q1 … Q14, SIOC (may be repeated)\n"
    "  --guests N     only with so many guests\n"
    "  --file PATH    the real disk: a file (made with 1 GiB when missing, and kept) or a block device,\n"
    "                 WHICH IS OVERWRITTEN (default: a file in --folder, removed at the end)\n"
    "  --no-file      only the simulated disk\n"
    "  --folder PATH  for the file (default: .)\n"
    "  --repeat N     every experiment N times, median (default: once; three times when something is short)\n"
    "  --off          without sharing: what the same guests do to each other then\n"
    "  --poll-us N    longest busy wait of a worker (default 32, as the daemon's)\n"
    "  --json FILE    write the rows to FILE\n"
    "\n"
    "The exit status is 1 when something is short on the simulated disk.\n";

#define ONLY_MAX 16u

struct options {
	struct fair_bench bench;
	const char *only[ONLY_MAX], *folder, *json;
	unsigned onlys, guests, repeat;
	bool no_file;
};

struct table {
	FILE *json;
	unsigned rows, shorts, dropped;
	bool heading;
};

/* ---- rows ---- */

static bool row_holds(const struct fair_row *row)
{
	switch (row->sense) {
	case FAIR_AT_LEAST:
		return row->measured >= row->target;
	case FAIR_AT_MOST:
		return row->measured <= row->target;
	default:
		return true;
	}
}

static bool report_holds(const struct fair_report *report)
{
	for (unsigned i = 0; i < report->rows; i++)
		if (!row_holds(&report->row[i]))
			return false;
	return true;
}

static void print_row(struct table *table, const struct fair_experiment *experiment, const char *disk,
		      unsigned guests, const struct fair_row *row)
{
	static const char *const sense[] = {">=", "<=", ""};
	const char *verdict = row->sense == FAIR_INFORMS ? "" : row_holds(row) ? "pass" : "SHORT";
	char title[64], target[32] = "", measured[32];

	if (!table->heading)
		printf("%-32s %-9s %6s  %-52s %14s %14s\n", "experiment", "disk", "guests", "figure",
		       "target", "measured");
	table->heading = true;
	snprintf(title, sizeof(title), "%s %s", experiment->id, experiment->title);
	if (row->sense != FAIR_INFORMS)
		snprintf(target, sizeof(target), "%s %.4g", sense[row->sense], row->target);
	snprintf(measured, sizeof(measured), "%.4g %s", row->measured, row->unit);
	printf("%-32s %-9s %6u  %-52s %14s %14s  %s\n", title, disk, guests, row->what, target, measured,
	       verdict);
	fflush(stdout);
	if (table->json)
		fprintf(table->json,
			"%s{\"experiment\": \"%s\", \"title\": \"%s\", \"disk\": \"%s\", \"guests\": %u, "
			"\"figure\": \"%s\", \"unit\": \"%s\", "
			"\"sense\": \"%s\", \"target\": %.6g, \"measured\": %.6g, \"holds\": %s}",
			table->rows ? ",\n " : "[", experiment->id, experiment->title, disk, guests,
			row->what, row->unit, sense[row->sense], row->target, row->measured,
			row_holds(row) ? "true" : "false");
	table->rows++;
}

/* ---- experiments ---- */

/* Medians of the same row of several reports, into the first. */
static void report_medians(struct fair_report *report, unsigned reports)
{
	for (unsigned row = 0; row < report[0].rows; row++) {
		double measured[REPEATS_MAX], target[REPEATS_MAX];

		for (unsigned i = 0; i < reports; i++) {
			measured[i] = report[i].row[row].measured;
			target[i] = report[i].row[row].target;
		}
		report[0].row[row].measured = fair_median(measured, reports);
		report[0].row[row].target = fair_median(target, reports);
	}
}

static void experiment_run(const struct options *options, const struct fair_experiment *experiment,
			   unsigned guests, bool file, struct table *table)
{
	struct fair_report report[REPEATS_MAX] = {0};
	unsigned wanted = options->repeat ? options->repeat : 1, dropped = 0;
	bool counted_disturbed = false;

	for (unsigned i = 0; i < wanted;) {
		struct fair_machine before = fair_machine_now(), after;
		bool disturbed;

		report[i] = (struct fair_report){.rows = 0};
		experiment->run(&options->bench, guests, file, &report[i]);
		after = fair_machine_now();
		disturbed = !options->bench.quick &&
			    (report[i].disturbed || fair_machine_lost(&before, &after) > DISTURBED);
		if (disturbed && dropped < DISTURBED_MAX && table->dropped + dropped < DISTURBED_ALL_MAX) {
			dropped++;
			continue;
		}
		counted_disturbed |= disturbed;
		if (!options->bench.quick && !options->repeat && !report_holds(&report[i]))
			wanted = REPEATS_WHEN_SHORT;
		i++;
	}
	report_medians(report, wanted);
	table->dropped += dropped;
	if (counted_disturbed)
		printf("the next was measured while the machine was busy with other things\n");
	for (unsigned i = 0; i < report[0].rows; i++)
		print_row(table, experiment, file ? "file" : "simulated", guests, &report[0].row[i]);
	if (!file && !report_holds(&report[0]))
		table->shorts++;
}

static bool chosen(const struct options *options, const struct fair_experiment *experiment)
{
	for (unsigned i = 0; i < options->onlys; i++)
		if (strcasecmp(options->only[i], experiment->id) == 0)
			return true;
	return options->onlys == 0;
}

static void run_all(const struct options *options, const struct fair_experiment *experiments, unsigned count,
		    bool file, struct table *table)
{
	for (unsigned i = 0; i < count; i++) {
		const struct fair_experiment *experiment = &experiments[i];

		if (!chosen(options, experiment) || (file && !experiment->on_file))
			continue;
		for (unsigned size = 0; size < 4 && experiment->guests[size] > 0; size++)
			if (options->guests == 0 || options->guests == experiment->guests[size])
				experiment_run(options, experiment, experiment->guests[size], file, table);
	}
}

/* The figures mean something only beside what else the machine did. */
static void print_machine(const struct options *options)
{
	struct utsname name;
	double load = 0;

	if (uname(&name) < 0 || getloadavg(&load, 1) != 1)
		return;
	printf("Linux %s, %ld CPUs, load %.2f; workers spin at most %u us%s\n", name.release,
	       sysconf(_SC_NPROCESSORS_ONLN), load, options->bench.poll_us,
	       options->bench.off ? "; sharing is OFF" : "");
}

static void run_disk(const struct options *options, bool file, struct table *table)
{
	run_all(options, fair_share_experiments, fair_share_count, file, table);
	run_all(options, fair_time_experiments, fair_time_count, file, table);
	run_all(options, fair_cost_experiments, fair_cost_count, file, table);
}

/* ---- options ---- */

static void usage(const char *problem, const char *what)
{
	fprintf(stderr, "viaduct-fair: %s%s%s (see --help)\n", problem, what ? ": " : "", what ? what : "");
	exit(2);
}

static unsigned parse_number(const char *text, unsigned maximum)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (end == text || *end || *text == '-' || number > maximum)
		usage("not a number, or too large", text);
	return (unsigned)number;
}

static const struct option long_options[] = {
    {"quick", no_argument, NULL, 'q'},
    {"only", required_argument, NULL, 'o'},
    {"guests", required_argument, NULL, 'g'},
    {"file", required_argument, NULL, 'f'},
    {"no-file", no_argument, NULL, 'n'},
    {"folder", required_argument, NULL, 'd'},
    {"repeat", required_argument, NULL, 'r'},
    {"off", no_argument, NULL, 'x'},
    {"poll-us", required_argument, NULL, 'p'},
    {"json", required_argument, NULL, 'j'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static void parse(struct options *options, int argc, char **argv)
{
	int key;

	while ((key = getopt_long(argc, argv, "", long_options, NULL)) >= 0) {
		switch (key) {
		case 'q':
			options->bench.quick = true;
			break;
		case 'o':
			if (options->onlys == ONLY_MAX)
				usage("too many --only", NULL);
			options->only[options->onlys++] = optarg;
			break;
		case 'g':
			options->guests = parse_number(optarg, 1000);
			break;
		case 'f':
			options->bench.file = optarg;
			break;
		case 'n':
			options->no_file = true;
			break;
		case 'd':
			options->folder = optarg;
			break;
		case 'r':
			options->repeat = parse_number(optarg, REPEATS_MAX);
			break;
		case 'x':
			options->bench.off = true;
			break;
		case 'p':
			options->bench.poll_us = parse_number(optarg, 1000000);
			break;
		case 'j':
			options->json = optarg;
			break;
		case 'h':
			fputs(usage_text, stdout);
			exit(0);
		default:
			usage("unknown option", NULL);
		}
	}
	if (optind < argc)
		usage("unknown argument", argv[optind]);
}

/* ---- the program ---- */

/* 512 guests have a dozen descriptors each, as both sides are in this process. */
static void raise_limits(void)
{
	struct rlimit files;

	fair_check(getrlimit(RLIMIT_NOFILE, &files) < 0 ? -errno : 0, "limit of open files");
	files.rlim_cur = files.rlim_max;
	fair_check(setrlimit(RLIMIT_NOFILE, &files) < 0 ? -errno : 0, "limit of open files");
}

static bool any_on_file(const struct options *options)
{
	for (unsigned i = 0; i < fair_share_count; i++)
		if (fair_share_experiments[i].on_file && chosen(options, &fair_share_experiments[i]))
			return true;
	for (unsigned i = 0; i < fair_time_count; i++)
		if (fair_time_experiments[i].on_file && chosen(options, &fair_time_experiments[i]))
			return true;
	return false;
}

static void measure_file(struct options *options, struct table *table)
{
	fair_prepare_file(&options->bench);
	run_disk(options, true, table);
}

static void run_file(struct options *options, struct table *table)
{
	char path[4096];

	if (options->no_file || !any_on_file(options))
		return;
	snprintf(path, sizeof(path), "%s/viaduct-fair.%d", options->folder, (int)getpid());
	if (options->bench.file) {
		measure_file(options, table);
	} else {
		options->bench.file = path;
		measure_file(options, table);
		options->bench.file = NULL;
		unlink(path);
	}
}

int main(int argc, char **argv)
{
	struct options options = {.folder = ".", .bench.poll_us = 32};
	char sockets[] = "/tmp/viaduct-fair.XXXXXX";
	struct table table = {0};

	parse(&options, argc, argv);
	signal(SIGPIPE, SIG_IGN);
	raise_limits();
	fair_check(memory_guard_install(), "signal handler");
	fair_prefer(pthread_self(), FAIR_EVENT_PRIORITY);
	fair_check(mkdtemp(sockets) ? 0 : -errno, "folder for sockets");
	options.bench.folder = sockets;
	if (options.json)
		table.json = fopen(options.json, "we");
	fair_check(options.json && !table.json ? -errno : 0, options.json);
	print_machine(&options);
	run_disk(&options, false, &table);
	run_file(&options, &table);
	if (table.json)
		fprintf(table.json, "%s]\n", table.rows ? "" : "[");
	fair_check(table.json && fclose(table.json) != 0 ? -errno : 0, options.json);
	rmdir(sockets);
	if (table.dropped > 0)
		printf("%u runs were dropped: the machine was busy with other things.\n", table.dropped);
	if (table.rows == 0)
		usage("no such experiment", NULL);
	return table.shorts > 0;
}
