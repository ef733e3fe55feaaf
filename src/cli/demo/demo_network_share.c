/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Carol and dave flood the uplink of a switch of their own, which carries little, and erin pings its gateway.
 * What they sent is what the daemon counted, all of it at one moment.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ether.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"
#include "cli/demo/demo_flood.h"
#include "cli/demo/demo_network.h"
#include "cli/demo/demo_ping.h"
#include "cli/disk/disk_stream.h"
#include "cli/text.h"
#include "core/clock.h"

#define SHARED_SWITCH "wan"
#define CAPACITY_MIB  4 /* a second; the floods fill it with little of a processor */
#define ERIN_ADDRESS  "10.0.2.77"
#define WEIGHT	      100
#define WEIGHT_HIGH   300
#define WEIGHT_RAISED 900 /* carol's, later */
#define LIMIT_KIB     512 /* a second; dave's, in the end: less than its weight would give */
/* Of --break-shares: erin waits half a second for each frame */
#define BROKEN_MAX_PPS 2

#define RATIO	  3.0 /* between the floods, first one way, then the other */
#define TOLERANCE 0.03
/* Erin waits for this part of what carol, whose weight is the same, waits for behind her own frames. */
#define WAIT_PART 4

#define SETTLE_NS (200 * NS_PER_MS)
#define LOOK_NS	  (250 * NS_PER_MS)
#define WINDOWS	  5u
/* Of both floods: a frame more or less is little beside it. The uplink carries more between two looks. */
#define WINDOW_BYTES (768u << 10)
#define LOOKS_MAX    40u
/* A window that kept the uplink busy carried this part of what it can */
#define BUSY	0.8
#define PING_US 5000u

enum { CAROL, DAVE, FLOODS, ERIN = FLOODS, CARDS };

static const struct {
	const char *guest, *nic;
	int weight;
} actors[CARDS] = {
	{ "carol", "carol/eth0", WEIGHT },
	{ "dave", "dave/eth0", WEIGHT_HIGH },
	{ "erin", "erin/eth0", WEIGHT },
};

/* What the switch counts. */
struct counted {
	uint64_t frames, bytes[CARDS]; /* sent */
	uint64_t dropped, full;	       /* at the cards, for any reason; at the uplink, which had no room */
};

struct moment {
	uint64_t before_ns, after_ns; /* it was asked for, and had come */
	uint64_t gaps;
	struct counted counted;
};

/* What the floods sent while their rings were never empty. */
struct window {
	uint64_t ns; /* rather too many than too few */
	uint64_t bytes[FLOODS];
};

/* That of the fastest windows, and in their median dave's bytes to carol's. */
struct parts {
	struct window window[LOOKS_MAX];
	unsigned windows, busy, looks; /* busy: of the windows, those that kept the uplink busy */
	struct window sum;
	double ratio;
};

struct share {
	struct demo *demo;
	struct demo_flood *flood[FLOODS];
	struct demo_ping *ping;
};

void network_share_config(const struct demo *demo, FILE *config)
{
	fprintf(config, "\n[switch " SHARED_SWITCH "]\nuplink = user\ncapacity_bandwidth = %dM\n",
		CAPACITY_MIB);
	for (unsigned i = 0; i < CARDS; i++)
		fprintf(config, "\n[nic %s]\nswitch = " SHARED_SWITCH "\nweight = %d\nqueues = %u\n",
			actors[i].nic, demo->break_shares ? WEIGHT : actors[i].weight,
			i < FLOODS ? DEMO_FLOOD_PAIRS : 1);
}

/* ---- the daemon ---- */

static void count_port(struct counted *counted, const json_t *port)
{
	const json_t *sent = json_object_get(port, "sent");
	const char *reason;
	json_t *dropped;

	counted->frames += api_number(sent, "frames");
	for (unsigned i = 0; i < CARDS; i++) {
		if (strcmp(api_text(port, "name"), actors[i].nic) == 0)
			counted->bytes[i] = api_number(sent, "bytes");
	}
	json_object_foreach(json_object_get(port, "dropped"), reason, dropped) counted->dropped +=
		(uint64_t)json_integer_value(dropped);
}

static int read_counted(const struct share *share, struct counted *counted)
{
	json_t *answer = demo_daemon_get(&share->demo->daemon, "/v1/switches/" SHARED_SWITCH), *port;
	size_t index;

	if (!answer)
		return cli_fail(share->demo->command,
				"the daemon does not answer while the uplink is flooded");
	*counted = (struct counted){
		.full = api_number(json_object_get(json_object_get(answer, "uplink"), "dropped"), "full"),
	};
	json_array_foreach(json_object_get(answer, "ports"), index, port) count_port(counted, port);
	json_decref(answer);
	return CLI_OK;
}

static int take_moment(const struct share *share, struct moment *moment)
{
	int result;

	moment->gaps = demo_flood_gaps(share->flood[CAROL]) + demo_flood_gaps(share->flood[DAVE]);
	moment->before_ns = clock_now_ns();
	result = read_counted(share, &moment->counted);
	moment->after_ns = clock_now_ns();
	return result;
}

/* As `viaduct nic set` does. */
static int change(const struct share *share, unsigned which, const char *key, json_int_t value)
{
	char *path = cli_api_path("/v1/nics", actors[which].nic);
	json_t *body = json_pack("{s:I}", key, value);
	json_t *answer = demo_daemon_call(&share->demo->daemon, "PATCH", path, body);
	bool changed = answer != NULL;

	json_decref(answer);
	json_decref(body);
	free(path);
	return changed ? CLI_OK : cli_fail(share->demo->command, "the daemon refuses another %s", key);
}

/* ---- start and end ---- */

static int open_driver(struct share *share, unsigned which, const char *socket, const uint8_t *mac,
		       const char **ret_reason)
{
	struct demo_ping_options options = {
		.socket = socket,
		.address = ntohl(inet_addr(ERIN_ADDRESS)),
		.gateway_address = ntohl(inet_addr(NETWORK_GATEWAY)),
	};

	if (which < FLOODS)
		return demo_flood_open(socket, mac, &share->flood[which], ret_reason);
	memcpy(options.mac, mac, DEMO_MAC_BYTES);
	return demo_ping_open(&options, &share->ping, ret_reason);
}

static int open_card(struct share *share, unsigned which)
{
	char *path = cli_api_path("/v1/devices/nic", actors[which].nic);
	json_t *status = demo_daemon_get(&share->demo->daemon, path);
	const char *reason = "the daemon does not tell its address";
	struct ether_addr address;
	int error = -ENOENT;

	if (ether_aton_r(api_text(status, "mac"), &address))
		error = open_driver(share, which, api_text(status, "socket"), address.ether_addr_octet,
				    &reason);
	json_decref(status);
	free(path);
	return error ? cli_fail(share->demo->command, "%s's card: %s (%s)", actors[which].guest, reason,
				strerror(-error))
		     : CLI_OK;
}

static int stop_floods(struct share *share)
{
	for (unsigned i = 0; i < FLOODS; i++) {
		int error = demo_flood_stop(share->flood[i]);

		if (error)
			return cli_fail(share->demo->command, "%s's card: %s", actors[i].guest,
					strerror(-error));
	}
	return CLI_OK;
}

/* ---- what they get ---- */

/* Erin pings now and then. One that is lost is noticed when all are counted. */
static int ping_for(struct share *share, uint64_t ns)
{
	uint64_t end_ns = clock_now_ns() + ns;

	while (clock_now_ns() < end_ns) {
		int error = demo_ping_send(share->ping);

		if (error && error != -ETIMEDOUT)
			return cli_fail(share->demo->command, "erin's card: %s", strerror(-error));
		if (stream_interrupted())
			return cli_fail(share->demo->command, "interrupted");
		usleep(PING_US);
	}
	return CLI_OK;
}

static uint64_t bytes_between(const struct moment *from, const struct moment *to, unsigned which)
{
	return to->counted.bytes[which] - from->counted.bytes[which];
}

static uint64_t window_bytes(const struct window *window)
{
	return window->bytes[CAROL] + window->bytes[DAVE];
}

static double window_rate(const struct window *window)
{
	return (double)window_bytes(window) / (double)window->ns;
}

static void add_window(struct parts *parts, const struct moment *from, const struct moment *to)
{
	struct window *window = &parts->window[parts->windows++];

	window->bytes[CAROL] = bytes_between(from, to, CAROL);
	window->bytes[DAVE] = bytes_between(from, to, DAVE);
	window->ns = to->after_ns - from->before_ns;
	parts->busy += window_rate(window) * (double)NS_PER_S >= BUSY * (CAPACITY_MIB << 20);
}

/*
 * A window begins anew when a ring was empty, which shows how busy the machine is, and lasts until enough was
 * sent.
 */
static void look(struct parts *parts, struct moment *from, const struct moment *now)
{
	parts->looks++;
	if (now->gaps == from->gaps) {
		if (bytes_between(from, now, CAROL) + bytes_between(from, now, DAVE) < WINDOW_BYTES)
			return;
		add_window(parts, from, now);
	}
	*from = *now;
}

static int compare_windows(const void *left, const void *right)
{
	double a = window_rate(left), b = window_rate(right);

	return (a < b) - (a > b);
}

static void sum_up(struct parts *parts)
{
	double ratio[WINDOWS];

	qsort(parts->window, parts->windows, sizeof(parts->window[0]), compare_windows);
	for (unsigned i = 0; i < WINDOWS; i++) {
		const struct window *window = &parts->window[i];
		uint64_t carol = window->bytes[CAROL], dave = window->bytes[DAVE];

		parts->sum.ns += window->ns;
		parts->sum.bytes[CAROL] += carol;
		parts->sum.bytes[DAVE] += dave;
		ratio[i] = carol > 0 ? (double)dave / (double)carol : 0;
	}
	parts->ratio = demo_median(ratio, WINDOWS);
}

/* While the machine is too busy to keep the uplink busy, other windows are looked for. */
static int measure(struct share *share, struct parts *parts)
{
	struct moment from, now;
	int result = ping_for(share, SETTLE_NS);

	*parts = (struct parts){ .windows = 0 };
	if (result == CLI_OK)
		result = take_moment(share, &from);
	while (result == CLI_OK && parts->busy < WINDOWS && parts->looks < LOOKS_MAX) {
		result = ping_for(share, LOOK_NS);
		if (result == CLI_OK)
			result = take_moment(share, &now);
		if (result == CLI_OK)
			look(parts, &from, &now);
	}
	if (result == CLI_OK && parts->windows >= WINDOWS)
		sum_up(parts);
	return result;
}

/* Says so when they could not be measured. */
static bool were_measured(const struct share *share, const struct parts *parts)
{
	if (parts->windows >= WINDOWS)
		return true;
	demo_check(
		&share->demo->checks, false,
		"the machine is too busy for a flood: of %u windows in which carol and dave have frames to "
		"send all the time there were %u in %u looks",
		WINDOWS, parts->windows, parts->looks);
	return false;
}

/* ---- the checks ---- */

static bool ratio_holds(double ratio)
{
	return ratio > RATIO * (1 - TOLERANCE) && ratio < RATIO * (1 + TOLERANCE);
}

static void check_shares(const struct share *share, const struct parts *parts)
{
	char carol[TEXT_NUMBER_MAX], dave[TEXT_NUMBER_MAX];

	if (!were_measured(share, parts))
		return;
	demo_check(&share->demo->checks, ratio_holds(parts->ratio),
		   "uplink of %d MiB/s, weights 100 and 300: carol sent %s in %.1f s, dave %s: 1 : %.2f in "
		   "the median of %u windows (within 3 %%)",
		   CAPACITY_MIB, text_size(carol, parts->sum.bytes[CAROL]),
		   (double)parts->sum.ns / (double)NS_PER_S, text_size(dave, parts->sum.bytes[DAVE]),
		   parts->ratio, WINDOWS);
}

/*
 * Erin's frames come to their turn before those that carol queued up earlier. Both are slow on a busy
 * machine.
 */
static void check_erin(const struct share *share)
{
	const struct demo_ping_counters *counters = demo_ping_counters(share->ping);
	const struct histogram *waits = demo_flood_waits(share->flood[CAROL]);
	uint64_t middle_ns = histogram_quantile_ns(&counters->took, 0.5),
		 carol_ns = histogram_quantile_ns(waits, 0.5);
	char middle[TEXT_NUMBER_MAX], p99[TEXT_NUMBER_MAX], carol[TEXT_NUMBER_MAX];

	demo_check(&share->demo->checks,
		   counters->sent > 0 && counters->answered == counters->sent &&
			   middle_ns <= carol_ns / WAIT_PART,
		   "erin, weight 100: %llu of %llu pings came back meanwhile, the median after %s, p99 %s; a "
		   "frame of carol's flood waits %s",
		   (unsigned long long)counters->answered, (unsigned long long)counters->sent,
		   text_duration(middle, middle_ns),
		   text_duration(p99, histogram_quantile_ns(&counters->took, 0.99)),
		   text_duration(carol, carol_ns));
}

static int change_weight(struct share *share)
{
	char carol[TEXT_NUMBER_MAX], dave[TEXT_NUMBER_MAX];
	struct parts parts;
	double ratio;
	int result = CLI_OK;

	if (!share->demo->break_shares)
		result = change(share, CAROL, "weight", WEIGHT_RAISED);
	if (result == CLI_OK)
		result = measure(share, &parts);
	if (result != CLI_OK || !were_measured(share, &parts))
		return result;
	ratio = 1 / parts.ratio;
	demo_check(&share->demo->checks, ratio_holds(ratio),
		   "`viaduct nic set carol/eth0 weight=900`: then carol sent %s in %.1f s, dave %s: %.2f : 1",
		   text_size(carol, parts.sum.bytes[CAROL]), (double)parts.sum.ns / (double)NS_PER_S,
		   text_size(dave, parts.sum.bytes[DAVE]), ratio);
	return CLI_OK;
}

static double rate_mib(const struct parts *parts, unsigned which)
{
	return (double)parts->sum.bytes[which] * (double)NS_PER_S / (double)parts->sum.ns / (1 << 20);
}

/* Dave is not to get more; how much less depends on when the machine lets its worker run. */
static int change_limit(struct share *share)
{
	struct parts parts;
	double carol, dave;
	int result = CLI_OK;

	if (!share->demo->break_shares)
		result = change(share, DAVE, "max_bandwidth", LIMIT_KIB << 10);
	if (result == CLI_OK)
		result = measure(share, &parts);
	if (result != CLI_OK || !were_measured(share, &parts))
		return result;
	carol = rate_mib(&parts, CAROL);
	dave = rate_mib(&parts, DAVE);
	demo_check(
		&share->demo->checks,
		dave > 0 && dave * 1024 <= LIMIT_KIB * (1 + TOLERANCE) &&
			carol >= RATIO * (1 - TOLERANCE) * dave,
		"`viaduct nic set dave/eth0 max_bandwidth=512K`: then dave sent %.2f MiB/s, and carol, with "
		"the rest, %.2f MiB/s",
		dave, carol);
	return change(share, DAVE, "max_bandwidth", 0);
}

/* After the end of the floods. Besides its pings, erin asked for the gateway. */
static int check_losses(const struct share *share)
{
	uint64_t frames = demo_ping_counters(share->ping)->sent + 1;
	char sent[TEXT_NUMBER_MAX], counted_frames[TEXT_NUMBER_MAX];
	struct counted counted;
	int result = read_counted(share, &counted);

	if (result != CLI_OK)
		return result;
	for (unsigned i = 0; i < FLOODS; i++)
		frames += demo_flood_sent(share->flood[i]);
	demo_check(&share->demo->checks,
		   counted.frames == frames && counted.dropped == 0 && counted.full == 0,
		   "carol, dave and erin sent %s frames, the switch let through %s and dropped %llu; %llu "
		   "found the uplink full",
		   text_count(sent, frames), text_count(counted_frames, counted.frames),
		   (unsigned long long)counted.dropped, (unsigned long long)counted.full);
	return CLI_OK;
}

/* ---- the whole ---- */

static int flood(struct share *share)
{
	struct parts parts;
	int result = measure(share, &parts);

	if (result != CLI_OK)
		return result;
	check_shares(share, &parts);
	check_erin(share);
	return CLI_OK;
}

static int run_parts(struct share *share)
{
	int result = CLI_OK;

	for (unsigned i = 0; i < CARDS && result == CLI_OK; i++)
		result = open_card(share, i);
	if (result == CLI_OK && share->demo->break_shares)
		result = change(share, ERIN, "max_pps", BROKEN_MAX_PPS);
	if (result == CLI_OK)
		result = flood(share);
	if (result == CLI_OK)
		result = change_weight(share);
	if (result == CLI_OK)
		result = change_limit(share);
	if (result == CLI_OK)
		result = stop_floods(share);
	return result == CLI_OK ? check_losses(share) : result;
}

int network_share(struct network *network)
{
	struct share share = { .demo = network->demo };
	int result;

	demo_say(network->demo,
		 "carol and dave flood the uplink of switch " SHARED_SWITCH ", which carries %d MiB/s; erin "
		 "pings its gateway",
		 CAPACITY_MIB);
	result = run_parts(&share);
	for (unsigned i = 0; i < FLOODS; i++)
		demo_flood_close(share.flood[i]);
	demo_ping_close(share.ping);
	return result;
}
