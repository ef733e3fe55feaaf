/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is told of a disk, as JSON. Nothing here touches a physical disk. */
#include "arbiter/disk/disk_meter.h"
#include "arbiter/disk/disk_stats.h"
#include "core/clock.h"
#include "daemon/device/virtio_endpoint.h"
#include "daemon/disk/disk_device.h"
#include "daemon/disk/disk_gate.h"
#include "daemon/share/share_json.h"
#include "daemon/share/shares.h"

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static void set(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, number(value));
}

/*
 * [[limit, count], …]: the buckets that hold something; a client can tell what happened between two answers.
 */
static json_t *buckets_json(const struct histogram *histogram)
{
	json_t *buckets = json_array();

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		uint64_t count = counter_read(&histogram->bucket[i]);

		if (count > 0)
			json_array_append_new(
				buckets,
				json_pack("[o, o]", number(histogram_bucket_limit_ns(i)), number(count)));
	}
	return buckets;
}

static json_t *operations_json(const struct disk_stats *stats)
{
	json_t *operations = json_object();

	for (unsigned i = 0; i < DISK_OPS; i++) {
		const struct histogram *latency = &stats->latency[i];
		uint64_t count = counter_read(&latency->count);

		json_object_set_new(operations, disk_op_text(i),
				    json_pack("{s:o, s:o, s:{s:o, s:o, s:o, s:o, s:o}}", "operations",
					      number(counter_read(&stats->operations[i])), "bytes",
					      number(counter_read(&stats->bytes[i])), "latency_ns", "p50",
					      number(histogram_quantile_ns(latency, 0.5)), "p99",
					      number(histogram_quantile_ns(latency, 0.99)), "mean",
					      number(count ? counter_read(&latency->sum_ns) / count : 0),
					      "sum", number(counter_read(&latency->sum_ns)), "buckets",
					      buckets_json(latency)));
	}
	return operations;
}

static const char *const origin_texts[] = {
	[DISK_COST_SUPPOSED] = "supposed",
	[DISK_COST_KEPT] = "kept",
	[DISK_COST_SAID] = "said",
};

json_t *disk_capacity_json(const struct disk_gate *gate)
{
	struct gate_belief belief;
	struct disk_cost cost;
	json_t *capacity;

	disk_meter_cost(gate->meter, &cost);
	gate_believe(gate->base.gate, &belief);
	capacity = json_pack("{s:o, s:o, s:o, s:f, s:o, s:s}", "iops", number(disk_cost_iops(&cost)),
			     "bandwidth", number(disk_cost_bandwidth(&cost)), "reserved_ppb",
			     number(gate_reserved_ppb(gate->base.gate)), "rate", disk_meter_rate(gate->meter),
			     "window_ns", number(belief.window_ns), "origin",
			     belief.since_ns > 0 ? "seen" : origin_texts[gate->origin]);
	if (belief.since_ns > 0)
		set(capacity, "seen_ago_ns", clock_now_ns() - belief.since_ns);
	return capacity;
}

void disk_describe(const struct device *device, json_t *object)
{
	const struct disk_device *disk = disk_device_of(device);
	const struct config_disk *settings = disk_settings(device->daemon, device->name);

	json_object_set_new(object, disk->pool ? "pool" : "path",
			    json_string(disk->pool ? disk->pool->name : disk->path));
	set(object, "size_bytes", disk->disk ? disk_size_bytes(disk->disk) : 0);
	json_object_set_new(object, "read_only", json_boolean(disk->read_only));
	json_object_set_new(object, "model",
			    json_string(disk->model_kind == CONFIG_DISK_NVME ? "nvme" : "virtio"));
	json_object_set_new(
		object, "interface",
		json_string(device_interface_text(disk->model_kind == CONFIG_DISK_VIRTIO, disk->interface)));
	set(object, "queues", disk->queues);
	json_object_set_new(object, "packed", json_boolean(disk->packed));
	json_object_set_new(object, "serial", json_string(disk->serial));
	set(object, "sector_bytes", disk->sector_bytes);
	if (settings && settings->boot > 0)
		set(object, "boot", settings->boot);
}

void disk_status(const struct device *device, json_t *object)
{
	const struct disk_device *disk = disk_device_of(device);
	struct disk_stats stats = { .errors = { 0 } };

	if (disk->disk)
		disk_stats_read(disk->disk, &stats);
	set(object, "errors", counter_read(&stats.errors));
	set(object, "refused", counter_read(&stats.refused));
	set(object, "in_flight", counter_read(&stats.in_flight));
	json_object_set_new(object, "operations", operations_json(&stats));
	json_object_set_new(object, "time", share_time_json(&stats.gate, device_status(device).cpu_ns));
	share_set_json(object, device->daemon, SHARE_OF_DISK, device->name);
	if (disk->gate)
		json_object_set_new(object, "capacity", disk_capacity_json(disk->gate));
}
