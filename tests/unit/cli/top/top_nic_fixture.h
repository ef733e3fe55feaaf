/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two looks at a daemon, a second apart: group gold (weight 200) with the guests alice (300) and bob (100),
 * and carol (100) on her own, whose cards eth0 are on switch lan with an uplink of 125 MB/s. In that second
 * alice/eth0 took 500 ms of it, bob/eth0 125 and carol/eth0, which reached its limit of 25 MB/s, 200. alice's
 * other card is on a switch without uplink and did nothing.
 */
#ifndef VIADUCT_TEST_TOP_NIC_FIXTURE_H
#define VIADUCT_TEST_TOP_NIC_FIXTURE_H

#include "cli/top/top_rates.h"
#include "core/clock.h"

static const char top_nic_tree_text[] =
	"{\"groups\": [{\"name\": \"gold\", \"share\": {\"disk_weight\": 7, \"nic_weight\": 200}}], "
	"\"guests\": ["
	"{\"name\": \"alice\", \"group\": \"gold\", \"share\": {\"disk_weight\": 1, \"nic_weight\": 300, "
	"\"nic_min_bandwidth\": 12500000}},"
	"{\"name\": \"bob\", \"group\": \"gold\", \"share\": {\"nic_weight\": 100}},"
	"{\"name\": \"carol\", \"group\": null, \"share\": {\"nic_weight\": 100}}]}";

/* Per second, but for the names, the limits and `waiting`. Milliseconds are summed over the card's queues. */
struct top_nic_look {
	const char *name, *guest, *switch_name;
	json_int_t max_bandwidth, max_pps;
	json_int_t sent_frames, sent_bytes, received_frames, received_bytes;
	json_int_t device_ms, throttled_ms, contended_ms, full_drops, waiting;
};

static const struct top_nic_look top_nic_looks[] = {
	{ "alice/eth0", "alice", "lan", 0, 0, 50000, 62500000, 10000, 1000000, 500, 0, 100, 0, 3 },
	{ "alice/eth1", "alice", "alone", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 },
	{ "bob/eth0", "bob", "lan", 0, 50000, 12500, 15625000, 0, 0, 125, 0, 800, 1234, 32 },
	{ "carol/eth0", "carol", "lan", 25000000, 40000, 20000, 25000000, 0, 0, 200, 2400, 600, 0, 64 },
};
#define TOP_NIC_LOOKS (sizeof(top_nic_looks) / sizeof(top_nic_looks[0]))

static json_t *top_nic_traffic(json_int_t frames, json_int_t bytes)
{
	return json_pack("{s:I, s:I}", "frames", frames, "bytes", bytes);
}

static json_t *top_nic_time(const struct top_nic_look *look, int seconds)
{
	const json_int_t ms_ns = NS_PER_MS * seconds;

	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:{s:i, s:i}}", "device_ns", look->device_ms * ms_ns,
			 "cpu_ns", look->sent_frames * 1000 * seconds, "throttled_ns",
			 look->throttled_ms * ms_ns, "contended_ns", look->contended_ms * ms_ns, "waiting",
			 look->waiting, "wait_ns", "p50", 1, "p99", look->waiting > 0 ? 2000000 : 0);
}

static json_t *top_nic(const struct top_nic_look *look, int seconds)
{
	return json_pack(
		"{s:s, s:s, s:s, s:s, s:i, s:b, s:{s:i, s:I, s:I}, s:o, s:o, s:o, s:{s:I, s:i}, s:{s:i}}",
		"name", look->name, "kind", "nic", "guest", look->guest, "switch", look->switch_name, "mtu",
		1500, "connected", look->waiting > 0, "share", "weight", 100, "max_bandwidth",
		look->max_bandwidth, "max_pps", look->max_pps, "time", top_nic_time(look, seconds), "sent",
		top_nic_traffic(look->sent_frames * seconds, look->sent_bytes * seconds), "received",
		top_nic_traffic(look->received_frames * seconds, look->received_bytes * seconds), "dropped",
		"full", look->full_drops * seconds, "guard", 0, "violations", "descriptor loop", 3);
}

/* To the switch, what comes from the world is sent by the uplink's port. */
static json_t *top_nic_switches(int seconds)
{
	return json_pack("[{s:s, s:I, s:i, s:{s:s, s:s, s:b, s:o, s:o}}, {s:s, s:I, s:{s:s}}]", "name", "lan",
			 "capacity_bandwidth", (json_int_t)125000000, "reserved_ppb", 100000000, "uplink",
			 "kind", "tap", "interface", "vtap0", "link", 1, "sent",
			 top_nic_traffic(10000 * seconds, 1000000 * seconds), "received",
			 top_nic_traffic(82500 * seconds, 103125000 * seconds), "name", "alone",
			 "capacity_bandwidth", (json_int_t)1250000000, "uplink", "kind", "none");
}

/* `seconds` is 0 or 1. */
static struct top_sample *top_nic_look_at(int seconds)
{
	json_t *nics = json_array(), *status = json_loads(top_nic_tree_text, 0, NULL);
	struct top_sample *sample;

	for (size_t i = 0; i < TOP_NIC_LOOKS; i++)
		json_array_append_new(nics, top_nic(&top_nic_looks[i], seconds));
	json_object_set_new(status, "pid", json_integer(77));
	json_object_set_new(status, "now_ns", json_integer((json_int_t)NS_PER_S * (5 + seconds)));
	json_object_set_new(status, "switches", top_nic_switches(seconds));
	json_object_set_new(status, "devices", nics);
	sample = top_sample_parse(status, NULL, 1);
	json_decref(status);
	return sample;
}

#endif
