/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pools and disks under a new configuration: additions and growth are applied; a change of a disk that is not
 * connected is applied by serving it anew.
 */
#include <errno.h>
#include <string.h>

#include "daemon/device/report.h"
#include "daemon/disk/disk_device.h"
#include "daemon/disk/disk_gate.h"

/* ---- pools ---- */

static void apply_pool(struct daemon *daemon, const struct config_pool *settings,
		       struct change_report *report)
{
	struct daemon_pool *pool = daemon_pool_find(daemon, settings->object.name);
	const char *name = settings->object.name;
	struct error error;
	int grown;

	if (!pool) {
		pool = daemon_pool_add(daemon, settings);
		if (pool && pool->pool)
			report_applied(report, "pool %s: opened %s", name, settings->path);
		else
			report_refused(report, "pool %s: %s", name,
				       pool ? pool->error.text : "out of memory");
		return;
	}
	if (strcmp(pool->path, settings->path) != 0 || pool->cache != settings->cache)
		report_refused(report, "pool %s: path and cache change at the next restart", name);
	if (!pool->pool) {
		if (daemon_pool_open(daemon, pool, settings) == 0)
			report_applied(report, "pool %s: opened %s", name, pool->path);
		else
			report_refused(report, "pool %s: %s", name, pool->error.text);
		return;
	}
	grown = daemon_pool_grow(pool, settings->size_bytes, &error);
	if (grown > 0)
		report_applied(report, "pool %s: grew", name);
	else if (grown < 0)
		report_refused(report, "pool %s: %s", name, error.text);
}

static void report_removed_pools(struct daemon *daemon, struct change_report *report)
{
	for (struct daemon_pool *pool = daemon->pools; pool; pool = pool->next) {
		if (!config_find(config_pools(daemon->config), pool->name))
			report_refused(report, "pool %s: is served until the next restart", pool->name);
	}
}

/* ---- disks ---- */

static void apply_pool_disk(struct daemon *daemon, const struct config_disk *settings,
			    struct change_report *report)
{
	bool known = disk_device_find(daemon, settings->object.name) != NULL;
	struct error error;
	int made = disk_make_as_configured(daemon, settings, &error);

	if (made < 0)
		report_refused(report, "disk %s: %s", settings->object.name, error.text);
	else if (made > 0)
		report_applied(report, "disk %s: %s", settings->object.name, known ? "grew" : "made");
}

static void apply_path_disk(struct daemon *daemon, const struct config_disk *settings,
			    struct change_report *report)
{
	struct disk_device *disk = disk_device_find(daemon, settings->object.name);

	if (disk && disk->host && disk->disk) {
		uint64_t before = disk->host->geometry.size_bytes;

		if (disk->host->ops->refresh(disk->host) == 0 && disk->host->geometry.size_bytes > before) {
			disk_resized(disk->disk);
			report_applied(report, "disk %s: grew", disk->base.name);
		}
		return;
	}
	if (disk)
		return;
	disk = disk_device_add(daemon, settings->object.name, NULL, NULL);
	if (disk && disk->base.endpoint)
		report_applied(report, "disk %s: added", disk->base.name);
	else
		report_refused(report, "disk %s: %s", settings->object.name,
			disk ? disk->base.error.text : "out of memory");
}

/* Is the disk on what the configuration says? Another pool or path is another disk. */
static bool moved(const struct disk_device *disk, const struct config_disk *settings)
{
	if (disk->pool)
		return !settings->pool || strcmp(settings->pool, disk->pool->name) != 0;
	return !settings->path || strcmp(settings->path, disk->path) != 0;
}

static void apply_to_served(struct daemon *daemon, struct disk_device *disk, const struct config *old,
			    struct change_report *report)
{
	const struct config_disk *now = disk_settings(daemon, disk->base.name);

	if (!now && !disk->pool)
		device_reload_removed(&disk->base, report);
	else if (now && moved(disk, now))
		report_refused(report, "disk %s: pool and path change at the next restart", disk->base.name);
	else
		device_reload_changed(&disk->base, old, report);
}

static void apply_disks(struct daemon *daemon, const struct config *old, struct change_report *report)
{
	struct device *device = device_of_kind(daemon->devices, &disk_device_kind);

	while (device) {
		struct device *next = device_of_kind(device->next, &disk_device_kind);

		apply_to_served(daemon, disk_device_of(device), old, report);
		device = next;
	}
	config_for_each(config_disks(daemon->config), config_disk, settings) {
		struct disk_device *served = disk_device_find(daemon, settings->object.name);

		if (served && moved(served, settings))
			continue;	/* reported above */
		if (settings->pool)
			apply_pool_disk(daemon, settings, report);
		else
			apply_path_disk(daemon, settings, report);
	}
	for (struct daemon_pool *pool = daemon->pools; pool; pool = pool->next) {
		unsigned added = disk_devices_of_pool(daemon, pool, report);

		if (added > 0)
			report_applied(report, "pool %s: %u more disk%s served", pool->name, added,
				added == 1 ? "" : "s");
	}
}

/* ---- capacities ---- */

static void apply_capacity(struct disk_gate *gate, const char *kind, const char *name,
			   const struct config_capacity *old, const struct config_capacity *new,
			   struct change_report *report)
{
	if (!gate || (old->iops == new->iops && old->bandwidth == new->bandwidth))
		return;
	if (new->iops) {
		disk_gate_set_capacity(gate, new);
		report_applied(report, "%s %s: capacity changed", kind, name);
	} else {
		report_refused(report, "%s %s: what it does is found anew at the next restart", kind, name);
	}
}

static void apply_capacities(struct daemon *daemon, const struct config *old, struct change_report *report)
{
	for (struct daemon_pool *pool = daemon->pools; pool; pool = pool->next) {
		const struct config_object *before = config_find(config_pools(old), pool->name);
		const struct config_object *now = config_find(config_pools(daemon->config), pool->name);

		if (before && now)
			apply_capacity(pool->gate, "pool", pool->name,
				       &((const struct config_pool *)before)->capacity,
				       &((const struct config_pool *)now)->capacity, report);
	}
	device_for_each(daemon, &disk_device_kind, device) {
		const struct disk_device *disk = disk_device_of(device);
		const struct config_object *before = config_find(config_disks(old), device->name);
		const struct config_disk *now = disk_settings(daemon, device->name);

		if (before && now)
			apply_capacity(disk->gate, "disk", device->name,
				       &((const struct config_disk *)before)->capacity, &now->capacity,
				       report);
	}
}

void disks_reload(struct daemon *daemon, const struct config *old, struct change_report *report)
{
	config_for_each(config_pools(daemon->config), config_pool, pool)
		apply_pool(daemon, pool, report);
	report_removed_pools(daemon, report);
	apply_disks(daemon, old, report);
	apply_capacities(daemon, old, report);
}
