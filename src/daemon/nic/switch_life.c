/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/container.h"
#include "daemon/base/takeover_offer.h"
#include "daemon/base/takeover_wire.h"
#include "daemon/device/device.h"
#include "daemon/device/report.h"
#include "daemon/nic/switch.h"

#define AGEING_LOOK_NS (5 * NS_PER_S)
/* So long may queues take to go on in a takeover, and how often is looked. */
#define START_NS      (NS_PER_S / 5)
#define START_LOOK_US 200u

struct daemon_switch *daemon_switch_find(const struct daemon *daemon, const char *name)
{
	struct daemon_switch *found = daemon->switches;

	while (found && strcmp(found->name, name) != 0)
		found = found->next;
	return found;
}

static const struct config_switch *section_of(const struct config *config, const char *name)
{
	return (const struct config_switch *)config_find(config_list(config, &config_section_switch), name);
}

/* ---- one switch ---- */

static void close_switch(struct daemon_switch *closed);

static void age(struct loop_timer *timer)
{
	struct daemon_switch *aged = container_of(timer, struct daemon_switch, ageing);
	uint64_t now_ns = clock_now_ns();

	loop_timer_start(aged->daemon->control, &aged->ageing, now_ns + AGEING_LOOK_NS);
	vswitch_age(aged->vswitch, now_ns);
	forwards_retry(aged);
	/* Its last card has gone after its section had. */
	if (aged->cards == 0 && !section_of(aged->daemon->config, aged->name)) {
		log_info(&aged->subject, "removed");
		close_switch(aged);
	}
}

static struct daemon_switch *add_switch(struct daemon *daemon, const struct config_switch *settings)
{
	struct daemon_switch *made = calloc(1, sizeof(*made)), **link = &daemon->switches;

	if (!made || vswitch_create((unsigned)settings->ageing_s, &made->vswitch) != 0) {
		free(made);
		return NULL;
	}
	made->daemon = daemon;
	made->first_worker = daemon->next_worker++;
	made->ageing.expired = age;
	snprintf(made->name, sizeof(made->name), "%s", settings->object.name);
	log_subject_name(&made->subject, "switch %s", made->name);
	uplink_retry_init(made);
	if (switch_gate_open(made) != 0) {
		vswitch_destroy(made->vswitch);
		free(made);
		return NULL;
	}
	while (*link)
		link = &(*link)->next;
	*link = made;
	/* Until the predecessor's cards are all there: a guest's frames are for others, too. */
	vswitch_stand_still(made->vswitch, daemon->offer != NULL);
	loop_timer_start(daemon->control, &made->ageing, clock_now_ns() + AGEING_LOOK_NS);
	return made;
}

/* NULL, or the switch, whose uplink.error tells whether that could be opened. */
static struct daemon_switch *open_switch(struct daemon *daemon, const struct config_switch *settings)
{
	struct daemon_switch *opened = add_switch(daemon, settings);

	if (!opened)
		return NULL;
	forwards_load(opened, settings);
	uplink_open(opened, settings, &opened->uplink.error);
	switch_gate_update(opened, settings);
	return opened;
}

static void close_switch(struct daemon_switch *closed)
{
	struct daemon_switch **link = &closed->daemon->switches;

	assert(closed->cards == 0);
	while (*link != closed)
		link = &(*link)->next;
	*link = closed->next;
	uplink_retry_finish(closed);
	uplink_close(closed);
	forwards_free(closed);
	loop_timer_stop(closed->daemon->control, &closed->ageing);
	switch_gate_close(closed);
	vswitch_destroy(closed->vswitch);
	free(closed);
}

/* ---- all of them ---- */

void switches_open(struct daemon *daemon)
{
	config_for_each(config_list(daemon->config, &config_section_switch), config_switch, settings)
	{
		const struct daemon_switch *opened = open_switch(daemon, settings);

		if (!opened)
			log_error(NULL, "switch %s: out of memory", settings->object.name);
		else if (opened->uplink.error.code)
			log_error(&opened->subject, "%s", opened->uplink.error.text);
	}
}

static bool queues_start(const struct daemon *daemon)
{
	for (const struct device *device = daemon->devices; device; device = device->next)
		if (device_status(device).queues_starting > 0)
			return true;
	return false;
}

/*
 * Queues that stood still run then. They begin in their guests' turns; a worker that does not come to them,
 * as it waits for a guest's memory, is not waited for.
 */
static void await_queues(const struct daemon *daemon)
{
	uint64_t end_ns = clock_now_ns() + START_NS;

	while (queues_start(daemon) && clock_now_ns() < end_ns)
		usleep(START_LOOK_US);
}

void switches_start(struct daemon *daemon)
{
	if (daemon->offer)
		await_queues(daemon);
	for (struct daemon_switch *started = daemon->switches; started; started = started->next) {
		if (uplink_start(started, &started->uplink.error))
			log_error(&started->subject, "%s", started->uplink.error.text);
		uplink_retry_update(started);
		vswitch_stand_still(started->vswitch, false);
	}
}

void switches_close(struct daemon *daemon)
{
	while (daemon->switches)
		close_switch(daemon->switches);
}

/* ---- reload ---- */

static void add_at_reload(struct daemon *daemon, const struct config_switch *settings,
			  struct change_report *report)
{
	struct daemon_switch *added = open_switch(daemon, settings);

	if (!added) {
		report_refused(report, "switch %s: out of memory", settings->object.name);
		return;
	}
	report_applied(report, "switch %s: added", added->name);
	if (added->uplink.error.code || uplink_start(added, &added->uplink.error))
		report_refused(report, "switch %s: %s", added->name, added->uplink.error.text);
	uplink_retry_update(added);
}

/* Another uplink, or one that could not be opened before. What is said of a failure stays until it is mended.
 */
static void reopen_uplink(struct daemon_switch *owner, const struct config_switch *settings,
			  struct change_report *report)
{
	struct error error = { .code = 0 };

	if (uplink_open(owner, settings, &error) == 0)
		uplink_start(owner, &error);
	owner->uplink.error = error;
	uplink_retry_update(owner);
	if (error.code)
		report_refused(report, "switch %s: %s", owner->name, error.text);
	else
		report_applied(report, "switch %s: uplink = %s", owner->name, settings->uplink);
}

/* `before`: its section until now; NULL: it had none, and was about to go. */
static void change_switch(struct daemon_switch *owner, const struct config_switch *before,
			  const struct config_switch *now, struct change_report *report)
{
	struct port_settings settings = switch_uplink_settings(now);
	unsigned changes = forwards_reload(owner, now);

	if (changes > 0)
		report_applied(report, "switch %s: %u forward%s changed", owner->name, changes,
			       changes == 1 ? "" : "s");
	if (owner->uplink.port && before && before->flood_limit != now->flood_limit) {
		port_set(owner->uplink.port, &settings);
		report_applied(report, "switch %s: flood_limit = %llu", owner->name,
			       (unsigned long long)now->flood_limit);
	}
	if (!before || !switch_same_uplink(before, now) || owner->uplink.error.code)
		reopen_uplink(owner, now, report);
	leases_update(owner);
	if (before && before->capacity_bandwidth != now->capacity_bandwidth)
		report_applied(report, "switch %s: capacity_bandwidth = %llu", owner->name,
			       (unsigned long long)now->capacity_bandwidth);
	switch_gate_update(owner, now);
	if (before && before->ageing_s != now->ageing_s)
		report_refused(report, "switch %s: ageing changes at the next restart", owner->name);
}

/* What they have on the host may be for others now. */
static void close_uplinks_without_section(struct daemon *daemon)
{
	for (struct daemon_switch *known = daemon->switches; known; known = known->next)
		if (!section_of(daemon->config, known->name)) {
			uplink_close(known);
			uplink_retry_update(known);
		}
}

void switches_reload(struct daemon *daemon, const struct config *old, struct change_report *report)
{
	close_uplinks_without_section(daemon);
	config_for_each(config_list(daemon->config, &config_section_switch), config_switch, now)
	{
		struct daemon_switch *known = daemon_switch_find(daemon, now->object.name);

		if (known)
			change_switch(known, section_of(old, now->object.name), now, report);
		else
			add_at_reload(daemon, now, report);
	}
}

void switches_remove(struct daemon *daemon, struct change_report *report)
{
	for (struct daemon_switch *known = daemon->switches, *next; known; known = next) {
		next = known->next;
		if (section_of(daemon->config, known->name))
			continue;
		if (known->cards > 0) {
			report_refused(report, "switch %s: goes when its last card has gone", known->name);
			continue;
		}
		report_applied(report, "switch %s: removed", known->name);
		close_switch(known);
	}
}

/* ---- takeover ---- */

/*
 * The successor makes its own NAT, whose forwards need the host's ports. Other cards stay open, because we
 * may have no rights to open them again; what comes from the world waits in their descriptors.
 */
static void release(struct daemon_switch *released)
{
	vswitch_stand_still(released->vswitch, true);
	uplink_retry_stop(released);
	if (released->uplink.name.kind == UPLINK_USER)
		uplink_close(released);
	else
		uplink_stop(released);
}

static void reclaim(struct daemon_switch *owner)
{
	const struct config_switch *settings = section_of(owner->daemon->config, owner->name);
	struct error *error = &owner->uplink.error;
	int code = 0;

	if (!owner->uplink.nic && settings)
		code = uplink_open(owner, settings, error);
	if (!code)
		code = uplink_start(owner, error);
	if (code)
		log_error(&owner->subject, "%s", error->text);
	uplink_retry_update(owner);
	vswitch_stand_still(owner->vswitch, false);
}

void switches_stand_still(struct daemon *daemon, bool still)
{
	if (!still)
		await_queues(daemon);
	for (struct daemon_switch *owner = daemon->switches; owner; owner = owner->next) {
		if (still)
			release(owner);
		else
			reclaim(owner);
	}
}

void switches_hand_over(struct daemon *daemon, struct handover *header)
{
	for (const struct daemon_switch *owner = daemon->switches; owner; owner = owner->next) {
		const struct switch_uplink *uplink = &owner->uplink;
		char key[UPLINK_KEY_MAX];

		if (!uplink->nic)
			continue;
		uplink_key(owner, &uplink->name, key);
		takeover_put_fd(header, "uplink", key, uplink->nic->ops->channel_fd(uplink->nic, 0));
		/* One whose interface is gone is no uplink that a successor has to have. */
		if (!__atomic_load_n(&uplink->nic->missing, __ATOMIC_RELAXED))
			takeover_put_fd(header, "switch", owner->name, -1);
	}
}

void switches_check_open(const struct daemon *daemon, const struct config *config,
			 struct config_messages *messages)
{
	for (const struct daemon_switch *opened = daemon->switches; opened; opened = opened->next)
		if (opened->uplink.error.code && takeover_offer_has(daemon->offer, "switch", opened->name))
			config_message(messages, NULL, 0, "switch %s: %s; the predecessor has an uplink",
				       opened->name, opened->uplink.error.text);
}

/* ---- before a start ---- */

void switches_plan(const struct config *config, const char *force_format, FILE *out,
		   struct config_messages *messages)
{
	config_for_each(config_list(config, &config_section_switch), config_switch, settings)
	{
		struct uplink_name uplink = switch_uplink_name(settings);
		const char *name = settings->object.name;

		if (uplink.kind == UPLINK_NONE)
			fprintf(out, "switch %s: no uplink; its guests are among themselves\n", name);
		else if (uplink.kind == UPLINK_USER)
			fprintf(out, "switch %s: NAT for %s%s%s\n", name, settings->network,
				strcmp(settings->network6, "none") ? " and " : "",
				strcmp(settings->network6, "none") ? settings->network6 : "");
		else if (uplink.kind == UPLINK_VXLAN)
			fprintf(out, "switch %s: VXLAN %llu with %s, UDP port %llu\n", name,
				(unsigned long long)settings->vni, settings->peers,
				(unsigned long long)settings->port);
		else
			fprintf(out, "switch %s: %s %s as uplink\n", name,
				uplink.kind == UPLINK_TAP ? "take or make the tap" : "take the interface",
				uplink.interface);
	}
}

bool switches_need_internet(const struct config *config)
{
	config_for_each(config_list(config, &config_section_switch), config_switch, settings)
	{
		enum uplink_kind kind = switch_uplink_name(settings).kind;

		/* VXLAN's sockets are made at the start, but a reload may make others. */
		if (kind == UPLINK_USER || kind == UPLINK_VXLAN)
			return true;
	}
	return false;
}

bool switches_need_interfaces(const struct config *config)
{
	config_for_each(config_list(config, &config_section_switch), config_switch, settings)
	{
		if (switch_uplink_name(settings).interface[0])
			return true;
	}
	return false;
}
