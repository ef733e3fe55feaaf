/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The demo's part on sharing in time. Carol and dave flood the disk, erin reads a little now and then; all
 * three are drivers of ours. What they are served is counted by themselves, and compared with what the daemon
 * charges them.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"
#include "cli/demo/demo.h"
#include "cli/demo/demo_driver.h"
#include "cli/disk/disk_stream.h"
#include "cli/text.h"
#include "cli/top/top_columns.h"
#include "cli/top/top_screen.h"
#include "core/clock.h"

/* Waits longer than our threads are kept from their processor, as a rule */
#define FLOOD_DEPTH	512u
#define FLOOD_BYTES	16384u		/* large enough that the disk is the bottleneck, not the processor */
#define VICTIM_BYTES	4096u
#define WEIGHT		100
#define WEIGHT_HIGH	300
#define WEIGHT_RAISED	900		/* carol's, in the end */
#define RATIO		3.0		/* between the floods, first one way, then the other */
#define TOLERANCE	0.1
#define BROKEN_MAX_IOPS 5		/* with --break-shares: erin waits 200 ms for each read */

#define SETTLE_MS	200u
#define ALONE_MS	800u
/* Of the floods; their median counts: where we get no processor, we want nothing */
#define WINDOWS		9u
#define WINDOW_MS	200u
#define BESIDE_MS	1200u
#define CHANGES		5u		/* of a weight; here, too */
#define FOLLOW_MS	400u
#define FOLLOW_MAX_MS	100.0
#define STALLED_MAX_NS	(2 * NS_PER_S)
#define MOMENT_MS	2u
#define MOMENTS		(FOLLOW_MS / MOMENT_MS)

enum { CAROL, DAVE, ERIN, DRIVERS };

static const struct {
	const char *guest, *disk;
	unsigned depth;
	uint32_t block_bytes;
} actors[DRIVERS] = {
	{ "carol", "carol/root", FLOOD_DEPTH, FLOOD_BYTES },
	{ "dave", "dave/root", FLOOD_DEPTH, FLOOD_BYTES },
	{ "erin", "erin/root", 1, VICTIM_BYTES },
};

/* What the two floods got so far: reads, and device time as the daemon counts it. */
struct moment {
	uint64_t ns, done[2], device_ns[2];
};

struct sharing {
	struct demo *demo;
	struct demo_driver *driver[DRIVERS];
};

void demo_sharing_config(const struct demo *demo, FILE *config)
{
	for (unsigned i = 0; i < DRIVERS; i++) {
		fprintf(config, "\n[guest %s]\ndisk_weight = %d\n", actors[i].guest,
			i == DAVE && !demo->break_shares ? WEIGHT_HIGH : WEIGHT);
		fprintf(config, "[disk %s]\npool = main\nsize = 64M\n", actors[i].disk);
	}
}

/* ---- start and end ---- */

static int open_driver(struct sharing *sharing, unsigned which)
{
	struct demo *demo = sharing->demo;
	char *path = cli_api_path("/v1/disks", actors[which].disk);
	json_t *disk = demo_daemon_get(&demo->daemon, path);
	const struct demo_driver_options options = {
		.socket = api_text(disk, "socket"), .guest = actors[which].guest, .token = demo->token,
		.depth = actors[which].depth, .block_bytes = actors[which].block_bytes,
	};
	const char *reason = "";
	int error = demo_driver_open(&options, &sharing->driver[which], &reason);

	json_decref(disk);
	free(path);
	return error ? cli_fail(demo->command, "%s's driver: %s (%s)", actors[which].guest, reason,
				strerror(-error))
		     : CLI_OK;
}

static int start(struct sharing *sharing, unsigned which)
{
	int error = demo_driver_start(sharing->driver[which]);

	return error ? cli_fail(sharing->demo->command, "%s's driver: %s", actors[which].guest,
				strerror(-error))
		     : CLI_OK;
}

static int stop(struct sharing *sharing, unsigned which)
{
	int error = demo_driver_stop(sharing->driver[which]);

	return error ? cli_fail(sharing->demo->command, "%s's driver: %s", actors[which].guest,
				strerror(-error))
		     : CLI_OK;
}

static int wait_ms(const struct sharing *sharing, unsigned ms)
{
	usleep(ms * 1000);
	return stream_interrupted() ? cli_fail(sharing->demo->command, "interrupted") : CLI_OK;
}

/* ---- what they get ---- */

static void take_moment(const struct sharing *sharing, struct moment *moment)
{
	moment->ns = clock_now_ns();
	for (unsigned i = 0; i < 2; i++)
		moment->done[i] = demo_driver_done(sharing->driver[i]);
}

/* Device time that a disk was charged since the daemon's start. */
static int read_charged(const struct sharing *sharing, unsigned which, uint64_t *ret_ns)
{
	char *path = cli_api_path("/v1/disks", actors[which].disk);
	json_t *disk = demo_daemon_get(&sharing->demo->daemon, path);
	bool answered = disk != NULL;

	free(path);
	*ret_ns = api_number(json_object_get(disk, "time"), "device_ns");
	json_decref(disk);
	return answered ? CLI_OK
			: cli_fail(sharing->demo->command,
				   "the daemon does not answer while the disk is flooded");
}

static uint64_t done_between(const struct moment *from, const struct moment *to, unsigned which)
{
	return to->done[which] - from->done[which];
}

static double ratio_of(uint64_t more, uint64_t less)
{
	return less > 0 ? (double)more / (double)less : 0;
}

static bool ratio_holds(double ratio)
{
	return ratio > RATIO * (1 - TOLERANCE) && ratio < RATIO * (1 + TOLERANCE);
}

static int take_sample(const struct sharing *sharing, struct top_sample **ret_sample)
{
	json_t *status = demo_daemon_get(&sharing->demo->daemon, "/v1/status");

	if (!status)
		return cli_fail(sharing->demo->command,
				"the daemon does not answer while the disk is flooded");
	*ret_sample = top_sample_parse(status, NULL, clock_now_ns());
	json_decref(status);
	return CLI_OK;
}

/* As `viaduct guest set` does. */
static int change(const struct sharing *sharing, unsigned which, const char *key, int value)
{
	char *path = cli_api_path("/v1/guests", actors[which].guest);
	json_t *body = json_pack("{s:i}", key, value);
	json_t *answer = demo_daemon_call(&sharing->demo->daemon, "PATCH", path, body);
	bool changed = answer != NULL;

	json_decref(answer);
	json_decref(body);
	free(path);
	return changed ? CLI_OK : cli_fail(sharing->demo->command, "the daemon refuses another %s", key);
}

/* ---- the parts ---- */

static void check_shares(struct demo *demo, const struct moment moments[WINDOWS + 1])
{
	const struct moment *first = &moments[0], *last = &moments[WINDOWS];
	char carol[TEXT_NUMBER_MAX], dave[TEXT_NUMBER_MAX];
	double done[WINDOWS], device[WINDOWS];

	for (unsigned i = 0; i < WINDOWS; i++) {
		const struct moment *from = &moments[i], *to = &moments[i + 1];

		done[i] = ratio_of(done_between(from, to, DAVE), done_between(from, to, CAROL));
		device[i] = ratio_of(to->device_ns[DAVE] - from->device_ns[DAVE],
				     to->device_ns[CAROL] - from->device_ns[CAROL]);
	}
	demo_check(&demo->checks, ratio_holds(demo_median(done, WINDOWS)),
		   "weights 100 and 300: carol was served %s reads in %.1f s, dave %s: 1 : %.2f in the "
		   "median 200 ms",
		   text_count(carol, done_between(first, last, CAROL)),
		   (double)(last->ns - first->ns) / (double)NS_PER_S,
		   text_count(dave, done_between(first, last, DAVE)), demo_median(done, WINDOWS));
	demo_check(&demo->checks, ratio_holds(demo_median(device, WINDOWS)),
		   "weights 100 and 300: the daemon charged them %s and %s of the device's time: 1 : %.2f "
		   "(within 10 %%)",
		   text_duration(carol, last->device_ns[CAROL] - first->device_ns[CAROL]),
		   text_duration(dave, last->device_ns[DAVE] - first->device_ns[DAVE]),
		   demo_median(device, WINDOWS));
}

static int flood(struct sharing *sharing)
{
	struct moment moments[WINDOWS + 1];
	int result = start(sharing, CAROL);

	if (result == CLI_OK)
		result = start(sharing, DAVE);
	if (result == CLI_OK)
		result = wait_ms(sharing, SETTLE_MS);
	for (unsigned i = 0; i <= WINDOWS && result == CLI_OK; i++) {
		if (i > 0)
			result = wait_ms(sharing, WINDOW_MS);
		take_moment(sharing, &moments[i]);
		for (unsigned k = CAROL; k <= DAVE && result == CLI_OK; k++)
			result = read_charged(sharing, k, &moments[i].device_ns[k]);
	}
	if (result == CLI_OK)
		check_shares(sharing->demo, moments);
	return result;
}

/* Erin reads for a while; *ret_p99_ns: of these reads. */
static int read_a_little(struct sharing *sharing, unsigned ms, uint64_t *ret_p99_ns)
{
	int result = start(sharing, ERIN);

	if (result == CLI_OK)
		result = wait_ms(sharing, ms);
	if (result == CLI_OK)
		result = stop(sharing, ERIN);
	*ret_p99_ns = histogram_quantile_ns(demo_driver_latency(sharing->driver[ERIN]), 0.99);
	return result;
}

/* What `viaduct top --once --guests` shows in 80 columns. */
static void print_bars(const struct sharing *sharing, const struct top_sample *before,
		       const struct top_sample *now)
{
	struct top_screen screen = {
		.width = 80,
		.colour = sharing->demo->cli->colour,
		.kind = TOP_GUESTS,
		.sort = top_column_find("dev"),
		.interval_ns = (now->now_ns - before->now_ns) / (100 * NS_PER_MS) * (100 * NS_PER_MS),
	};
	struct top_view *view = top_view_create(before, now, screen.kind);

	top_sort(view, &screen);
	putchar('\n');
	top_draw(view, &screen, stdout);
	putchar('\n');
	top_view_destroy(view);
}

/* Carol's weight is the same: how long she waits is her own doing, and erin is not to have much of it. */
static void check_latency(struct demo *demo, uint64_t alone_ns, uint64_t beside_ns, uint64_t carol_ns)
{
	char alone[TEXT_NUMBER_MAX], beside[TEXT_NUMBER_MAX], carol[TEXT_NUMBER_MAX];

	demo_check(&demo->checks, beside_ns > 0 && beside_ns <= 2 * alone_ns + carol_ns / 4,
		   "erin, weight 100, 4 KiB at a time: p99 %s alone, %s next to both floods, whose carol "
		   "sees %s",
		   text_duration(alone, alone_ns), text_duration(beside, beside_ns),
		   text_duration(carol, carol_ns));
}

static int protect(struct sharing *sharing, uint64_t alone_ns)
{
	const struct histogram *latency = demo_driver_latency(sharing->driver[CAROL]);
	struct histogram before = { .count = { 0 } }, carol = { .count = { 0 } };
	struct top_sample *samples[2] = { NULL };
	uint64_t beside_ns = 0;
	int result = take_sample(sharing, &samples[0]);

	histogram_merge(&before, latency);
	if (result == CLI_OK)
		result = read_a_little(sharing, BESIDE_MS, &beside_ns);
	histogram_merge(&carol, latency);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		carol.bucket[i].value -= before.bucket[i].value;
	if (result == CLI_OK)
		result = take_sample(sharing, &samples[1]);
	if (result == CLI_OK) {
		print_bars(sharing, samples[0], samples[1]);
		check_latency(sharing->demo, alone_ns, beside_ns, histogram_quantile_ns(&carol, 0.99));
	}
	top_sample_destroy(samples[0]);
	top_sample_destroy(samples[1]);
	return result;
}

/* When `more` got its multiple of what `less` got, and went on so: since moments[0]; INFINITY: never. */
static double followed_after_ms(const struct moment *moments, unsigned count, unsigned more, unsigned less)
{
	const struct moment *last = &moments[count - 1];

	for (unsigned i = 1, end = i; i < count; i++) {
		const struct moment *from = &moments[i];

		while (end < count - 1 && moments[end].ns - from->ns < WINDOW_MS * NS_PER_MS)
			end++;
		if (moments[end].ns - from->ns < WINDOW_MS * NS_PER_MS)
			break;
		if (ratio_holds(ratio_of(done_between(from, &moments[end], more),
					 done_between(from, &moments[end], less))) &&
		    ratio_holds(ratio_of(done_between(from, last, more), done_between(from, last, less))))
			return (double)(from->ns - moments[0].ns) / (double)NS_PER_MS;
	}
	return INFINITY;
}

/*
 * Notes for FOLLOW_MS what the guests get. While the disk, or the machine, serves no guest, the clock stands
 * still. Returns the number of moments.
 */
static unsigned watch(const struct sharing *sharing, struct moment moments[MOMENTS])
{
	uint64_t start_ns = moments[0].ns, stalled_ns = 0;
	unsigned count = 1;

	while (count < MOMENTS && moments[count - 1].ns - start_ns < FOLLOW_MS * NS_PER_MS &&
	       stalled_ns < STALLED_MAX_NS) {
		struct moment *last = &moments[count - 1], *now = &moments[count];

		usleep(MOMENT_MS * 1000);
		take_moment(sharing, now);
		now->ns -= stalled_ns;
		if (done_between(last, now, CAROL) + done_between(last, now, DAVE) > 0)
			count++;
		else
			stalled_ns += now->ns - last->ns;
	}
	return count;
}

/* Another weight for carol; *ret_took_ms: until the shares were as they are to be then. */
static int change_weight(struct sharing *sharing, bool raise, double *ret_took_ms)
{
	int weight = raise && !sharing->demo->break_shares ? WEIGHT_RAISED : WEIGHT;
	struct moment moments[MOMENTS];
	unsigned count;

	take_moment(sharing, &moments[0]);
	if (change(sharing, CAROL, "disk_weight", weight) != CLI_OK)
		return CLI_FAILED;
	count = watch(sharing, moments);
	*ret_took_ms = followed_after_ms(moments, count, raise ? CAROL : DAVE, raise ? DAVE : CAROL);
	return CLI_OK;
}

/* To 900, back, and so on. */
static int change_weights(struct sharing *sharing)
{
	double took_ms[CHANGES], middle_ms;
	int result = CLI_OK;

	for (unsigned i = 0; i < CHANGES && result == CLI_OK; i++)
		result = change_weight(sharing, i % 2 == 0, &took_ms[i]);
	if (result != CLI_OK)
		return result;
	middle_ms = demo_median(took_ms, CHANGES);
	if (middle_ms == INFINITY)
		demo_check(&sharing->demo->checks, false,
			   "`viaduct guest set carol disk_weight=900`: the shares did not follow");
	else
		demo_check(&sharing->demo->checks, middle_ms <= FOLLOW_MAX_MS,
			   "`viaduct guest set carol disk_weight=900`, and back: 3 : 1, and 1 : 3, after "
			   "%.1f ms (at most %.0f)",
			   middle_ms, FOLLOW_MAX_MS);
	return CLI_OK;
}

static void check_answers(struct sharing *sharing)
{
	uint64_t done = 0, failed = 0;
	char text[TEXT_NUMBER_MAX];

	for (unsigned i = 0; i < DRIVERS; i++) {
		done += demo_driver_done(sharing->driver[i]);
		failed += demo_driver_failed(sharing->driver[i]);
	}
	demo_check(&sharing->demo->checks, done > 0 && failed == 0,
		   "carol, dave and erin: %s reads, of which %llu failed or brought what is not their own",
		   text_count(text, done), (unsigned long long)failed);
}

static int run_parts(struct sharing *sharing)
{
	uint64_t alone_ns = 0;
	int result = CLI_OK;

	for (unsigned i = 0; i < DRIVERS && result == CLI_OK; i++)
		result = open_driver(sharing, i);
	if (result == CLI_OK)
		result = read_a_little(sharing, ALONE_MS, &alone_ns);
	if (result == CLI_OK)
		result = flood(sharing);
	if (result == CLI_OK && sharing->demo->break_shares)
		result = change(sharing, ERIN, "disk_max_iops", BROKEN_MAX_IOPS);
	if (result == CLI_OK)
		result = protect(sharing, alone_ns);
	if (result == CLI_OK)
		result = change_weights(sharing);
	for (unsigned i = CAROL; i <= DAVE && result == CLI_OK; i++)
		result = stop(sharing, i);
	if (result == CLI_OK)
		check_answers(sharing);
	return result;
}

int demo_share_time(struct demo *demo)
{
	struct sharing sharing = { .demo = demo };
	int result;

	demo_say(demo, "carol (weight 100) and dave (weight 300) flood the disk: 512 reads of 16 KiB in "
		       "flight, each;");
	demo_say(demo,
		 "drivers of ours, because a stock kernel under software emulation cannot flood a disk");
	result = run_parts(&sharing);
	for (unsigned i = 0; i < DRIVERS; i++)
		demo_driver_close(sharing.driver[i]);
	return result;
}
