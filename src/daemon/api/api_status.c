/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the daemon knows, as JSON. Nothing here touches a physical disk. */
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "daemon/api/api.h"
#include "daemon/daemon.h"
#include "interfaces/endpoint.h"

/* An integer of JSON is signed; our counters never get there. */
static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static void set(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, number(value));
}

/* ---- disks ---- */

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

static json_t *violations_json(const struct endpoint_status *status)
{
	json_t *violations = json_object();

	for (unsigned i = 0; i < ENDPOINT_VIOLATIONS_MAX && status->violations[i].text; i++)
		set(violations, status->violations[i].text, status->violations[i].count);
	return violations;
}

static void set_connection(json_t *object, const struct endpoint_status *status)
{
	char features[32];

	snprintf(features, sizeof(features), "0x%llx", (unsigned long long)status->features);
	set(object, "connections", status->connections);
	set(object, "queues_running", status->queues_running);
	json_object_set_new(object, "features", json_string(features));
	json_object_set_new(object, "broken", json_boolean(status->broken));
	set(object, "connects", status->connects);
	set(object, "refused_connects", status->refused_connects);
	set(object, "protocol_errors", status->protocol_errors);
	set(object, "kicks", status->kicks);
	set(object, "chains", status->chains);
	set(object, "calls", status->calls);
	set(object, "calls_suppressed", status->calls_suppressed);
	json_object_set_new(object, "violations", violations_json(status));
}

static void set_stats(json_t *object, struct daemon_disk *disk, uint64_t cpu_ns)
{
	struct disk_stats stats = { .errors = { 0 } };

	if (disk->disk)
		disk_stats_read(disk->disk, &stats);
	set(object, "errors", counter_read(&stats.errors));
	set(object, "refused", counter_read(&stats.refused));
	set(object, "in_flight", counter_read(&stats.in_flight));
	json_object_set_new(object, "operations", operations_json(&stats));
	json_object_set_new(object, "time", api_time_json(&stats, cpu_ns));
}

/* What a VMM needs to know of a disk. */
static json_t *device_json(struct daemon_disk *disk)
{
	json_t *object =
		json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", disk->name, "guest", disk->guest, "kind",
			  "disk", "socket", disk->socket, "socket_mode", disk->client ? "connect" : "listen");

	if (!object)
		return NULL;
	json_object_set_new(object, disk->pool ? "pool" : "path",
			    json_string(disk->pool ? disk->pool->name : disk->path));
	set(object, "size_bytes", disk->disk ? disk_size_bytes(disk->disk) : 0);
	json_object_set_new(object, "read_only", json_boolean(disk->read_only));
	set(object, "queues", disk->queues);
	json_object_set_new(object, "packed", json_boolean(disk->packed));
	json_object_set_new(object, "serial", json_string(disk->serial));
	if (disk->error.text[0])
		json_object_set_new(object, "error", json_string(disk->error.text));
	return object;
}

json_t *api_disk_json(struct daemon_disk *disk)
{
	struct endpoint_status status = { .connections = 0 };
	json_t *object = device_json(disk);

	if (!object)
		return NULL;
	if (disk->endpoint)
		endpoint_status(disk->endpoint, &status);
	json_object_set_new(object, "connected", json_boolean(daemon_disk_connected(disk)));
	set_connection(object, &status);
	set_stats(object, disk, status.cpu_ns);
	api_set_share(object, disk->daemon, SHARE_OF_DISK, disk->name);
	if (disk->gate)
		json_object_set_new(object, "capacity", api_capacity_json(disk->gate));
	return object;
}

/* ---- pools ---- */

static json_t *map_json(struct pool *pool)
{
	json_t *map = json_array();
	struct pool_run run;
	uint64_t offset = 0;

	while (pool_run_next(pool, offset, &run)) {
		json_t *entry = json_pack("{s:o, s:o}", "offset_bytes", number(run.offset_bytes),
					  "length_bytes", number(run.length_bytes));

		if (run.owner) {
			json_object_set_new(entry, "owner", json_string(pool_disk_name(run.owner)));
			set(entry, "disk_offset_bytes", run.disk_offset_bytes);
			set(entry, "written_bytes", run.written_bytes);
		} else {
			json_object_set_new(entry, "owner", json_null());
		}
		json_array_append_new(map, entry);
		offset = run.offset_bytes + run.length_bytes;
	}
	return map;
}

json_t *api_pool_json(struct daemon_pool *pool, bool with_map)
{
	json_t *object = json_pack("{s:s, s:s, s:b}", "name", pool->name, "path", pool->path, "available",
				   pool->pool != NULL);
	struct pool_space space;

	if (!object)
		return NULL;
	if (!pool->pool) {
		json_object_set_new(object, "error", json_string(pool->error.text));
		return object;
	}
	pool_space(pool->pool, &space);
	set(object, "total_bytes", space.total_bytes);
	set(object, "metadata_bytes", space.metadata_bytes);
	set(object, "used_bytes", space.used_bytes);
	set(object, "free_bytes", space.free_bytes);
	json_object_set_new(object, "capacity", api_capacity_json(pool->gate));
	if (with_map)
		json_object_set_new(object, "map", map_json(pool->pool));
	return object;
}

static json_t *pool_list(struct daemon *daemon)
{
	json_t *list = json_array();

	for (struct daemon_pool *pool = daemon->pools; pool; pool = pool->next)
		json_array_append_new(list, api_pool_json(pool, false));
	return list;
}

json_t *api_pools_json(struct daemon *daemon)
{
	return json_pack("{s:o}", "pools", pool_list(daemon));
}

/* ---- guests ---- */

static uint64_t disk_cpu_ns(const struct daemon_disk *disk)
{
	struct endpoint_status status = { .connections = 0 };

	if (disk->endpoint)
		endpoint_status(disk->endpoint, &status);
	return status.cpu_ns;
}

json_t *api_guest_json(struct daemon *daemon, const char *guest)
{
	const struct config_guest *settings = daemon_guest_settings(daemon, guest);
	json_t *devices = json_array(), *object;
	uint64_t cpu_ns = 0;

	for (struct daemon_disk *disk = daemon->disks; disk; disk = disk->next) {
		if (strcmp(disk->guest, guest) != 0)
			continue;
		json_array_append_new(devices, device_json(disk));
		cpu_ns += disk_cpu_ns(disk);
	}
	if (!settings && json_array_size(devices) == 0) {
		json_decref(devices);
		return NULL;
	}
	object = json_pack("{s:s, s:b, s:o, s:s?, s:o, s:o}", "name", guest, "declared", settings != NULL,
			   "memory_bytes", number(settings ? settings->memory_bytes : 512ull << 20), "group",
			   settings ? settings->group : NULL, "cpu_ns", number(cpu_ns), "devices", devices);
	api_set_share(object, daemon, SHARE_OF_GUEST, guest);
	return object;
}

/* Declared guests first, then those that only the pools know. */
static json_t *guest_list(struct daemon *daemon)
{
	json_t *seen = json_object(), *list = json_array();

	config_for_each(config_guests(daemon->config), config_guest, guest)
		json_object_set_new(seen, guest->object.name, json_true());
	for (struct daemon_disk *disk = daemon->disks; disk; disk = disk->next)
		json_object_set_new(seen, disk->guest, json_true());
	for (void *at = json_object_iter(seen); at; at = json_object_iter_next(seen, at))
		json_array_append_new(list, api_guest_json(daemon, json_object_iter_key(at)));
	json_decref(seen);
	return list;
}

json_t *api_guests_json(struct daemon *daemon)
{
	return json_pack("{s:o}", "guests", guest_list(daemon));
}

/* ---- the whole ---- */

static json_t *workers_json(struct daemon *daemon)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < daemon->worker_count; i++) {
		const struct loop_counters *counters = loop_get_counters(daemon->workers[i].loop);

		json_array_append_new(list, json_pack("{s:o, s:o, s:o}", "turns",
						      number(counter_read(&counters->turns)), "sleeps",
						      number(counter_read(&counters->sleeps)), "spin_ns",
						      number(counter_read(&counters->spin_ns))));
	}
	return list;
}

json_t *api_status_json(struct daemon *daemon)
{
	uint64_t now_ns = clock_now_ns();
	json_t *disks = json_array(), *object;

	for (struct daemon_disk *disk = daemon->disks; disk; disk = disk->next)
		json_array_append_new(disks, api_disk_json(disk));
	object =
		json_pack("{s:s, s:i, s:f, s:s, s:s, s:o, s:o, s:o}", "version", VIADUCT_VERSION, "pid",
			  (int)getpid(), "uptime_s", (double)(now_ns - daemon->started_ns) / (double)NS_PER_S,
			  "runtime_dir", daemon->runtime_dir, "configuration", daemon->config_path, "workers",
			  workers_json(daemon), "pools", pool_list(daemon), "disks", disks);
	if (!object)
		return NULL;
	set(object, "now_ns", now_ns);
	json_object_set_new(object, "guests", guest_list(daemon));
	json_object_set_new(object, "groups", api_groups_json(daemon));
	set(object, "reloads", daemon->reloads);
	set(object, "lost_log_lines", log_lost_lines());
	if (daemon->takeover_text[0])
		json_object_set_new(object, "takeover", json_string(daemon->takeover_text));
	return object;
}
