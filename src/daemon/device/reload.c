/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A new configuration under running guests. Each kind of device applies what it can (its ops' reload());
 * the rest is reported as needing a restart. A configuration with a mistake changes nothing.
 */
#include "daemon/device/reload.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "daemon/config/config_values.h"
#include "daemon/device/device.h"
#include "daemon/share/shares.h"

/* ---- [daemon] ---- */

static void apply_daemon(struct daemon *daemon, const struct config_daemon *old,
			 const struct config_daemon *new, struct change_report *report)
{
	if (old->log_level != new->log_level) {
		log_set_level((enum log_level)new->log_level);
		report_applied(report, "[daemon]: log_level changed");
	}
	if (old->poll_us != new->poll_us) {
		for (unsigned i = 0; i < daemon->worker_count; i++)
			worker_set_spin(&daemon->workers[i], new->poll_us * NS_PER_US);
		for (unsigned i = 0; i < daemon->own_worker_count; i++)
			worker_set_spin(&daemon->own_workers[i], new->poll_us * NS_PER_US);
		report_applied(report, "[daemon]: poll_us = %llu", (unsigned long long)new->poll_us);
	}
	if (old->workers != new->workers)
		report_refused(report, "[daemon]: workers changes at the next restart");
	if (old->sandbox != new->sandbox)
		report_refused(report, "[daemon]: sandbox changes at the next restart");
	if (old->core_dumps != new->core_dumps)
		report_refused(report, "[daemon]: core_dumps changes at the next restart");
	if (!value_same_text(old->user, new->user) || !value_same_text(old->group, new->group))
		report_refused(report, "[daemon]: user and group change at the next restart");
	if (!value_same_text(old->runtime_dir, new->runtime_dir))
		report_refused(report, "[daemon]: runtime_dir changes at the next restart");
	if (!value_same_text(old->state_dir, new->state_dir))
		report_refused(report, "[daemon]: state_dir changes at the next restart");
}

/* ---- guests ---- */

static void apply_guests(const struct config *old, const struct config *new, struct change_report *report)
{
	config_for_each(config_guests(new), config_guest, guest) {
		const struct config_guest *before =
			(const struct config_guest *)config_find(config_guests(old), guest->object.name);

		if (guest->own_worker != (before && before->own_worker))
			report_refused(report, "guest %s: own_worker changes at the next restart",
				       guest->object.name);
		if (!before)
			report_applied(report, "guest %s: added", guest->object.name);
		else if (!value_same_text(before->socket_owner, guest->socket_owner) ||
			 !value_same_text(before->socket_group, guest->socket_group) ||
			 before->socket_mode != guest->socket_mode)
			report_refused(report,
				       "guest %s: the access to its sockets changes at the next restart",
				       guest->object.name);
	}
}

/* ---- shares ---- */

/* "weight = 300, max_iops = 2000": what differs. Empty: nothing. */
static void list_changes(const struct config_section *section, enum share_resource resource,
			 const struct share_settings *old, const struct share_settings *new, char *text,
			 size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < SHARE_KEYS && used < size; i++) {
		const struct config_key *key = config_share_key(section, resource, i);
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

/* `before` may be NULL: the object is new. */
static void report_share(struct daemon *daemon, struct share_id id, const struct config_object *before,
			 const struct config_object *now, struct change_report *report)
{
	const struct share_settings old = config_share_of(now->section, id.resource, before),
				    new = config_share_of(now->section, id.resource, now);
	const char *text = share_kind_text(id.kind), *why;
	char changes[256];

	list_changes(now->section, id.resource, &old, &new, changes, sizeof(changes));
	if (!changes[0])
		return;
	share_effective(daemon, id, &why);
	if (why)
		report_refused(report, "%s %s: %s: %s", text, id.name, changes, why);
	else
		report_applied(report, "%s %s: %s%s", text, id.name, changes,
			setting_has_part(settings_find(daemon->settings, id.kind, id.name), id.resource)
				? " (what was set at run time comes first)"
				: "");
}

static void report_shares(struct daemon *daemon, enum share_kind kind, const struct config *old,
			  struct change_report *report)
{
	const struct config_section *section = share_section(kind);
	const struct config_object *now = section ? config_list(daemon->config, section) : NULL;

	for (; now; now = now->next) {
		const struct config_object *before = config_find(config_list(old, section), now->name);

		for (unsigned resource = 0; resource < SHARE_RESOURCES; resource++)
			report_share(daemon, (struct share_id){ kind, resource, now->name }, before, now,
				     report);
	}
}

static void apply_shares(struct daemon *daemon, const struct config *old, struct change_report *report)
{
	const struct config *new = daemon->config;

	shares_update(daemon);
	for (unsigned kind = 0; kind < SHARE_KINDS; kind++)
		report_shares(daemon, kind, old, report);
	config_for_each(config_guests(new), config_guest, guest) {
		const struct config_guest *was =
			(const struct config_guest *)config_find(config_guests(old), guest->object.name);

		if (was && !value_same_text(was->group, guest->group))
			report_applied(report, "guest %s: group = %s", guest->object.name,
				guest->group ? guest->group : "none");
	}
}

/* Pools that were opened only now may hold disks with the names of others. */
static void report_conflicts(struct daemon *daemon, struct change_report *report)
{
	struct config_messages messages = { .count = 0 };

	devices_check_open(daemon, daemon->config, &messages);
	for (unsigned i = 0; i < messages.kept; i++)
		report_refused(report, "%s", messages.text[i]);
	config_messages_finish(&messages);
}

/* Returns 0 and a configuration that can be applied, or -errno with at least one message. */
static int load(struct daemon *daemon, struct config **ret_config, struct config_messages *messages)
{
	struct config *config;
	int code = config_load(daemon->config_path, &config, messages);

	if (code)
		return code;
	devices_check_host(config, daemon->runtime_dir, messages);
	devices_check_open(daemon, config, messages);
	if (messages->count > 0) {
		config_destroy(config);
		return -EINVAL;
	}
	*ret_config = config;
	return 0;
}

void reload_run(struct daemon *daemon, struct reload_report *ret_report)
{
	struct reload_report report = { .changes = { .applied_count = 0 } };
	struct config *new, *old = daemon->config;

	if (load(daemon, &new, &report.mistakes)) {
		*ret_report = report;
		return;
	}
	daemon->config = new;
	daemon->reloads++;
	for (unsigned i = 0; i < new->warnings.kept; i++)
		log_warning(NULL, "%s", new->warnings.text[i]);
	apply_daemon(daemon, config_daemon(old), config_daemon(new), &report.changes);
	apply_guests(old, new, &report.changes);
	for (unsigned i = 0; device_kinds[i]; i++)
		device_kinds[i]->reload(daemon, old, &report.changes);
	report_conflicts(daemon, &report.changes);
	apply_shares(daemon, old, &report.changes);
	config_destroy(old);
	*ret_report = report;
}

void reload_report_finish(struct reload_report *report)
{
	report_finish(&report->changes);
	config_messages_finish(&report->mistakes);
}

void reload_on_signal(struct daemon *daemon)
{
	struct reload_report report;
	const struct change_report *changes = &report.changes;

	notify_reloading();
	reload_run(daemon, &report);
	for (unsigned i = 0; i < report.mistakes.kept; i++)
		log_error(NULL, "%s", report.mistakes.text[i]);
	if (report.mistakes.count > 0)
		log_error(NULL, "reload: the configuration has %u mistake%s; nothing was changed",
			  report.mistakes.count, report.mistakes.count == 1 ? "" : "s");
	for (unsigned i = 0; i < changes->applied_count; i++)
		log_info(NULL, "reload: %s", changes->applied[i]);
	for (unsigned i = 0; i < changes->refused_count; i++)
		log_warning(NULL, "reload: %s", changes->refused[i]);
	reload_report_finish(&report);
	notify_send("READY=1");
}
