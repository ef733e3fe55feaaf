/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two looks at a daemon, a second apart: group gold (weight 200) with the guests alice (300) and bob (100),
 * and carol (100) on her own, all on pool main. In that second alice/root took 500 ms of the device, bob/root
 * 150 and carol/root, which reached its limit of 2000 requests a second, 200. alice/data did nothing; nobody
 * is connected.
 */
#ifndef VIADUCT_TEST_TOP_FIXTURE_H
#define VIADUCT_TEST_TOP_FIXTURE_H

#include "cli/top/top_rates.h"

static const char top_guests_text[] =
	"{\"guests\": ["
	"{\"name\": \"alice\", \"group\": \"gold\", \"share\": {\"disk_weight\": 300, \"disk_min_iops\": "
	"3000}},"
	"{\"name\": \"bob\", \"group\": \"gold\", \"share\": {\"disk_weight\": 100}},"
	"{\"name\": \"carol\", \"group\": null, \"share\": {\"disk_weight\": 100}}]}";

static const char top_pool_text[] = "{\"name\": \"main\", \"capacity\": {\"iops\": 10000, \"bandwidth\": "
				    "1000000000, \"reserved_ppb\": 300000000, "
				    "\"rate\": 1.0}}";

struct top_disk_look {
	const char *name, *guest;
	int max_iops, operations, device_ms, throttled_ms, waiting;
};

#define MS_NS 1000000ll

/* One request in ten took up to 4 ms, the others up to 256 us; all of them together took seconds_ns. */
static json_t *top_disk(const struct top_disk_look *look, json_int_t seconds_ns)
{
	int slow = look->operations / 10;
	json_t *latency = json_pack("{s:i, s:I, s:[[i, i], [i, i]]}", "p99", 1, "sum", seconds_ns, "buckets",
				    262144, look->operations - slow, 4194304, slow);
	json_t *time = json_pack("{s:I, s:I, s:I, s:I, s:i}", "device_ns", look->device_ms * MS_NS, "cpu_ns",
				 look->operations * 10000ll, "throttled_ns", look->throttled_ms * MS_NS,
				 "contended_ns", seconds_ns / 20, "waiting", look->waiting);

	return json_pack("{s:s, s:s, s:s, s:s, s:b, s:i, s:i, s:{s:i}, s:{s:i, s:i}, s:o, s:{s:{s:i, s:i, "
			 "s:o}, s:{}}}",
			 "name", look->name, "kind", "disk", "guest", look->guest, "pool", "main",
			 "connected", look->waiting > 0, "errors", 1, "refused", 20, "violations",
			 "descriptor loop", 300, "share", "weight", 100, "max_iops", look->max_iops, "time",
			 time, "operations", "read", "operations", look->operations, "bytes",
			 look->operations * 4096, "latency_ns", latency, "write");
}

/* `seconds` is 0 or 1. */
static struct top_sample *top_look(int seconds)
{
	const struct top_disk_look looks[] = {
		{ "alice/root", "alice", 0, 100 + 5000 * seconds, 1000 + 500 * seconds, 0, 3 },
		{ "alice/data", "alice", 0, 40, 4, 0, 0 },
		{ "bob/root", "bob", 0, 1500 * seconds, 150 * seconds, 0, 32 },
		{ "carol/root", "carol", 2000, 2000 * seconds, 200 * seconds, 900 * seconds, 64 },
	};
	json_t *disks = json_array(), *guests = json_loads(top_guests_text, 0, NULL);
	json_t *status = json_pack("{s:i, s:I, s:f, s:[{s:s, s:{s:i}}], s:[o], s:o}", "pid", 77, "now_ns",
				   5000 * MS_NS + 1000 * MS_NS * seconds, "uptime_s", 5.0 + seconds, "groups",
				   "name", "gold", "share", "disk_weight", 200, "pools",
				   json_loads(top_pool_text, 0, NULL), "devices", disks);
	struct top_sample *sample;

	for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++)
		json_array_append_new(disks, top_disk(&looks[i], 1000 * MS_NS * seconds));
	sample = top_sample_parse(status, guests, 1);
	json_decref(status);
	json_decref(guests);
	return sample;
}

#endif
