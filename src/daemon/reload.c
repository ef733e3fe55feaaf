/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A new configuration under running guests. Additions and growth are applied; a change of a disk that
 * nobody uses is applied by serving it anew; the rest is reported as needing a restart. A configuration with
 * a mistake changes nothing.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "daemon/config/config_values.h"
#include "daemon/daemon.h"
#include "daemon/share/shares.h"

/* A reload of this many changes reports the first ones. */
#define REPORT_LINES_MAX 1000

static void add_line(char ***list, unsigned *count, const char *format, va_list arguments)
{
	char **lines, *text;

	if (*count == REPORT_LINES_MAX)
		return;
	lines = reallocarray(*list, *count + 1, sizeof(*lines));
	if (!lines)
		return;
	*list = lines;
	if (vasprintf(&text, format, arguments) >= 0)
		lines[(*count)++] = text;
}

static void __attribute__((format(printf, 2, 3)))
applied(struct reload_report *report, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	add_line(&report->applied, &report->applied_count, format, arguments);
	va_end(arguments);
}

static void __attribute__((format(printf, 2, 3)))
refused(struct reload_report *report, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	add_line(&report->refused, &report->refused_count, format, arguments);
	va_end(arguments);
}

void reload_report_finish(struct reload_report *report)
{
	for (unsigned i = 0; i < report->applied_count; i++)
		free(report->applied[i]);
	for (unsigned i = 0; i < report->refused_count; i++)
		free(report->refused[i]);
	free(report->applied);
	free(report->refused);
	config_messages_finish(&report->mistakes);
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/* ---- [daemon] ---- */

static void apply_daemon(struct daemon *daemon, const struct config_daemon *old,
			 const struct config_daemon *new, struct reload_report *report)
{
	if (old->log_level != new->log_level) {
		log_set_level((enum log_level)new->log_level);
		applied(report, "[daemon]: log_level changed");
	}
	if (old->poll_us != new->poll_us) {
		for (unsigned i = 0; i < daemon->worker_count; i++)
			worker_set_spin(&daemon->workers[i], new->poll_us * NS_PER_US);
		applied(report, "[daemon]: poll_us = %llu", (unsigned long long)new->poll_us);
	}
	if (old->workers != new->workers)
		refused(report, "[daemon]: workers changes at the next restart");
	if (old->sandbox != new->sandbox)
		refused(report, "[daemon]: sandbox changes at the next restart");
	if (!same_text(old->user, new->user) || !same_text(old->group, new->group))
		refused(report, "[daemon]: user and group change at the next restart");
	if (!same_text(old->runtime_dir, new->runtime_dir))
		refused(report, "[daemon]: runtime_dir changes at the next restart");
	if (!same_text(old->state_dir, new->state_dir))
		refused(report, "[daemon]: state_dir changes at the next restart");
}

/* ---- pools ---- */

static void apply_pool(struct daemon *daemon, const struct config_pool *settings,
		       struct reload_report *report)
{
	struct daemon_pool *pool = daemon_pool_find(daemon, settings->object.name);
	const char *name = settings->object.name;
	struct daemon_error error;
	int grown;

	if (!pool) {
		pool = daemon_pool_add(daemon, settings);
		if (pool && pool->pool)
			applied(report, "pool %s: opened %s", name, settings->path);
		else
			refused(report, "pool %s: %s", name, pool ? pool->error.text : "out of memory");
		return;
	}
	if (strcmp(pool->path, settings->path) != 0 || pool->cache != settings->cache)
		refused(report, "pool %s: path and cache change at the next restart", name);
	if (!pool->pool) {
		if (daemon_pool_open(daemon, pool, settings) == 0)
			applied(report, "pool %s: opened %s", name, pool->path);
		else
			refused(report, "pool %s: %s", name, pool->error.text);
		return;
	}
	grown = daemon_pool_grow(pool, settings->size_bytes, &error);
	if (grown > 0)
		applied(report, "pool %s: grew", name);
	else if (grown < 0)
		refused(report, "pool %s: %s", name, error.text);
}

static void report_removed_pools(struct daemon *daemon, struct reload_report *report)
{
	for (struct daemon_pool *pool = daemon->pools; pool; pool = pool->next) {
		if (!config_find(config_pools(daemon->config), pool->name))
			refused(report, "pool %s: is served until the next restart", pool->name);
	}
}

/* ---- guests ---- */

static void apply_guests(const struct config *old, const struct config *new, struct reload_report *report)
{
	config_for_each(config_guests(new), config_guest, guest) {
		const struct config_guest *before =
			(const struct config_guest *)config_find(config_guests(old), guest->object.name);

		if (!before)
			applied(report, "guest %s: added", guest->object.name);
		else if (!same_text(before->socket_owner, guest->socket_owner) ||
			 !same_text(before->socket_group, guest->socket_group) ||
			 before->socket_mode != guest->socket_mode)
			refused(report, "guest %s: the access to its sockets changes at the next restart",
				guest->object.name);
	}
}

/* ---- disks ---- */

/* Does the disk as it is served differ from what is configured? Size aside. */
static bool differs(const struct config_disk *old, const struct config_disk *new)
{
	if (!old || !new)
		return old || new;
	return old->read_only != new->read_only || old->packed != new->packed || old->queues != new->queues ||
	       old->cache != new->cache || !same_text(old->serial, new->serial) ||
	       !same_text(old->device.socket, new->device.socket) ||
	       !same_text(old->device.connect, new->device.connect);
}

static void apply_change(struct daemon_disk *disk, struct reload_report *report)
{
	if (daemon_disk_connected(disk)) {
		refused(report,
			"disk %s: is connected; its new attributes apply after the next restart, or a reload "
			"while "
			"it is not connected",
			disk->name);
		return;
	}
	if (disk->endpoint && disk->farewell == DISK_STAYS) {
		daemon_disk_leave(disk, DISK_REOPEN, NULL);
		applied(report, "disk %s: served anew with its new attributes", disk->name);
	}
}

static void apply_pool_disk(struct daemon *daemon, const struct config_disk *settings,
			    struct reload_report *report)
{
	bool known = daemon_disk_find(daemon, settings->object.name) != NULL;
	struct daemon_error error;
	int settled = daemon_disk_settle(daemon, settings, &error);

	if (settled < 0)
		refused(report, "disk %s: %s", settings->object.name, error.text);
	else if (settled > 0)
		applied(report, "disk %s: %s", settings->object.name, known ? "grew" : "made");
}

static void apply_path_disk(struct daemon *daemon, const struct config_disk *settings,
			    struct reload_report *report)
{
	struct daemon_disk *disk = daemon_disk_find(daemon, settings->object.name);

	if (disk && disk->host && disk->disk) {
		uint64_t before = disk->host->geometry.size_bytes;

		if (disk->host->ops->refresh(disk->host) == 0 && disk->host->geometry.size_bytes > before) {
			disk_resized(disk->disk);
			applied(report, "disk %s: grew", disk->name);
		}
		return;
	}
	if (disk)
		return;
	disk = daemon_disk_add(daemon, settings->object.name, NULL, NULL);
	if (disk && disk->endpoint)
		applied(report, "disk %s: added", disk->name);
	else
		refused(report, "disk %s: %s", settings->object.name,
			disk ? disk->error.text : "out of memory");
}

/* Is the disk on what the configuration says? Another pool or path is another disk. */
static bool moved(const struct daemon_disk *disk, const struct config_disk *settings)
{
	if (disk->pool)
		return !settings->pool || strcmp(settings->pool, disk->pool->name) != 0;
	return !settings->path || strcmp(settings->path, disk->path) != 0;
}

static void apply_to_served(struct daemon *daemon, struct daemon_disk *disk, const struct config *old,
			    struct reload_report *report)
{
	const struct config_disk *before =
		(const struct config_disk *)config_find(config_disks(old), disk->name);
	const struct config_disk *now = daemon_disk_settings(daemon, disk->name);

	if (!now && !disk->pool) {
		if (daemon_disk_connected(disk)) {
			refused(report, "disk %s: is connected; it goes at the next restart", disk->name);
		} else {
			applied(report, "disk %s: removed", disk->name);
			daemon_disk_leave(disk, DISK_FORGET, NULL);
		}
	} else if (now && moved(disk, now)) {
		refused(report, "disk %s: pool and path change at the next restart", disk->name);
	} else if (differs(before, now)) {
		apply_change(disk, report);
	} else if (disk->error.text[0] && !disk->endpoint && disk->farewell == DISK_STAYS) {
		daemon_disk_leave(disk, DISK_REOPEN, NULL);	/* it could not be served before: try again */
	}
}

static void apply_disks(struct daemon *daemon, const struct config *old, struct reload_report *report)
{
	struct daemon_disk *disk = daemon->disks;

	while (disk) {
		struct daemon_disk *next = disk->next;

		apply_to_served(daemon, disk, old, report);
		disk = next;
	}
	config_for_each(config_disks(daemon->config), config_disk, settings) {
		struct daemon_disk *served = daemon_disk_find(daemon, settings->object.name);

		if (served && moved(served, settings))
			continue;	/* reported above */
		if (settings->pool)
			apply_pool_disk(daemon, settings, report);
		else
			apply_path_disk(daemon, settings, report);
	}
	for (struct daemon_pool *pool = daemon->pools; pool; pool = pool->next) {
		unsigned added = daemon_pool_serve(daemon, pool);

		if (added > 0)
			applied(report, "pool %s: %u more disk%s served", pool->name, added,
				added == 1 ? "" : "s");
	}
}

/* ---- shares ---- */

static void apply_capacity(struct share_gate *gate, const char *kind, const char *name,
			   const struct config_capacity *old, const struct config_capacity *new,
			   struct reload_report *report)
{
	if (!gate || (old->iops == new->iops && old->bandwidth == new->bandwidth))
		return;
	if (new->iops) {
		share_gate_set_capacity(gate, new);
		applied(report, "%s %s: capacity changed", kind, name);
	} else {
		refused(report, "%s %s: is measured at the next restart", kind, name);
	}
}

static void apply_capacities(struct daemon *daemon, const struct config *old, struct reload_report *report)
{
	for (struct daemon_pool *pool = daemon->pools; pool; pool = pool->next) {
		const struct config_object *before = config_find(config_pools(old), pool->name);
		const struct config_object *now = config_find(config_pools(daemon->config), pool->name);

		if (before && now)
			apply_capacity(pool->gate, "pool", pool->name,
				       &((const struct config_pool *)before)->capacity,
				       &((const struct config_pool *)now)->capacity, report);
	}
	for (struct daemon_disk *disk = daemon->disks; disk; disk = disk->next) {
		const struct config_object *before = config_find(config_disks(old), disk->name);
		const struct config_disk *now = daemon_disk_settings(daemon, disk->name);

		if (before && now)
			apply_capacity(disk->gate, "disk", disk->name,
				       &((const struct config_disk *)before)->capacity, &now->capacity,
				       report);
	}
}

/* "weight = 300, max_iops = 2000": what differs. Empty: nothing. */
static void list_changes(const struct config_object *object, const struct config_share *old,
			 const struct config_share *new, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < SHARE_KEYS && used < size; i++) {
		const struct config_key *key = config_share_key(object->section, i);
		char value[VALUE_SIZE_TEXT];

		if (!key || old->value[i] == new->value[i])
			continue;
		if (i == SHARE_WEIGHT && new->value[i] == 0)
			snprintf(value, sizeof(value), "default");
		else if (key->type == CONFIG_SIZE)
			value_format_size(new->value[i], value);
		else
			snprintf(value, sizeof(value), "%llu", (unsigned long long)new->value[i]);
		used += (size_t)snprintf(text + used, size - used, "%s%s = %s", used ? ", " : "", key->name,
					 value);
	}
}

static void report_share(struct daemon *daemon, enum share_kind kind, const struct config_object *before,
			 const struct config_object *now, struct reload_report *report)
{
	const struct config_share old = config_share_of(now->section, before),
				  new = config_share_of(now->section, now);
	const char *text = share_kind_text(kind), *why;
	char changes[256];

	list_changes(now, &old, &new, changes, sizeof(changes));
	if (!changes[0])
		return;
	share_effective(daemon, kind, now->name, &why);
	if (why)
		refused(report, "%s %s: %s: %s", text, now->name, changes, why);
	else
		applied(report, "%s %s: %s%s", text, now->name, changes,
			settings_find(daemon->settings, kind, now->name)
				? " (what was set at run time comes first)"
				: "");
}

static void apply_shares(struct daemon *daemon, const struct config *old, struct reload_report *report)
{
	const struct config *new = daemon->config;
	const struct config_object *const before[SHARE_KINDS] = { config_groups(old), config_guests(old),
								  config_disks(old) };
	const struct config_object *const now[SHARE_KINDS] = { config_groups(new), config_guests(new),
							       config_disks(new) };

	shares_settle(daemon);
	for (unsigned kind = 0; kind < SHARE_KINDS; kind++) {
		for (const struct config_object *object = now[kind]; object; object = object->next)
			report_share(daemon, kind,
				     config_find((struct config_object *)before[kind], object->name), object,
				     report);
	}
	config_for_each(config_guests(new), config_guest, guest) {
		const struct config_guest *was =
			(const struct config_guest *)config_find(config_guests(old), guest->object.name);

		if (was && !same_text(was->group, guest->group))
			applied(report, "guest %s: group = %s", guest->object.name,
				guest->group ? guest->group : "none");
	}
}

void reload_run(struct daemon *daemon, struct reload_report *ret_report)
{
	struct reload_report report = { .applied_count = 0 };
	struct config *new, *old = daemon->config;

	if (config_load(daemon->config_path, &new, &report.mistakes) < 0) {
		*ret_report = report;
		return;
	}
	daemon->config = new;
	daemon->reloads++;
	apply_daemon(daemon, config_daemon(old), config_daemon(new), &report);
	apply_guests(old, new, &report);
	config_for_each(config_pools(new), config_pool, pool)
		apply_pool(daemon, pool, &report);
	report_removed_pools(daemon, &report);
	apply_disks(daemon, old, &report);
	apply_capacities(daemon, old, &report);
	apply_shares(daemon, old, &report);
	config_destroy(old);
	*ret_report = report;
}

void reload_on_signal(struct daemon *daemon)
{
	struct reload_report report;

	notify_reloading();
	reload_run(daemon, &report);
	for (unsigned i = 0; i < report.mistakes.kept; i++)
		log_error(NULL, "%s", report.mistakes.text[i]);
	if (report.mistakes.count > 0)
		log_error(NULL, "reload: the configuration has %u mistake%s; nothing was changed",
			  report.mistakes.count, report.mistakes.count == 1 ? "" : "s");
	for (unsigned i = 0; i < report.applied_count; i++)
		log_info(NULL, "reload: %s", report.applied[i]);
	for (unsigned i = 0; i < report.refused_count; i++)
		log_warning(NULL, "reload: %s", report.refused[i]);
	reload_report_finish(&report);
	notify_send("READY=1");
}
