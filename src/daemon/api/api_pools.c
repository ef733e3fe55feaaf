/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pools as JSON: their space, and the map that says which disk owns which part. Touches no physical disk. */
#include "daemon/api/api.h"
#include "daemon/disk/disk_device.h"

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static void set(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, number(value));
}

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
	uint64_t silent_ns;

	if (!object)
		return NULL;
	if (!pool->pool) {
		json_object_set_new(object, "error", json_string(pool->error.text));
		return object;
	}
	silent_ns = pool_silent_ns(pool->pool);
	if (silent_ns > 0)
		set(object, "silent_ns", silent_ns);
	pool_space(pool->pool, &space);
	set(object, "total_bytes", space.total_bytes);
	set(object, "metadata_bytes", space.metadata_bytes);
	set(object, "used_bytes", space.used_bytes);
	set(object, "free_bytes", space.free_bytes);
	json_object_set_new(object, "capacity", disk_capacity_json(pool->gate));
	if (with_map)
		json_object_set_new(object, "map", map_json(pool->pool));
	return object;
}

json_t *api_pool_list_json(struct daemon *daemon)
{
	json_t *list = json_array();

	for (struct daemon_pool *pool = daemon->pools; pool; pool = pool->next)
		json_array_append_new(list, api_pool_json(pool, false));
	return list;
}

json_t *api_pools_json(struct daemon *daemon)
{
	return json_pack("{s:o}", "pools", api_pool_list_json(daemon));
}
