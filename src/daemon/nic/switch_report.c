/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is told of switches, as JSON and as metrics. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "arbiter/switch/uplink_meter.h"
#include "core/clock.h"
#include "daemon/base/metrics.h"
#include "daemon/nic/nic_device.h"
#include "daemon/nic/port_report.h"
#include "daemon/nic/switch.h"

#define UPLINK_PREFIX "viaduct_uplink"
#define LABELS_MAX    (CONFIG_NAME_SIZE + 64)

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static void set(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, number(value));
}

/* ---- uplinks ---- */

static const char *kind_text(enum uplink_kind kind)
{
	static const char *const texts[] = {
		[UPLINK_NONE] = "none",	    [UPLINK_USER] = "user",   [UPLINK_TAP] = "tap",
		[UPLINK_PACKET] = "packet", [UPLINK_VXLAN] = "vxlan",
	};

	return texts[kind];
}

/* What the card itself counts: frames that were lost below the switch. */
static json_t *losses_json(const struct switch_uplink *uplink)
{
	const struct host_nic_counters *counters = &uplink->nic->counters;
	json_t *object = json_object();

	set(object, "no_link", counter_read(&counters->no_link));
	set(object, "refused", counter_read(&counters->refused));
	set(object, "overrun", counter_read(&counters->overrun));
	set(object, "malformed", counter_read(&counters->malformed));
	if (uplink->name.kind == UPLINK_USER) {
		const struct nic_user_counters *user = nic_user_get_counters(uplink->nic);

		set(object, "no_socket", counter_read(&user->no_socket));
		set(object, "no_fragment", counter_read(&user->no_fragment));
	}
	if (uplink->name.kind == UPLINK_VXLAN) {
		const struct nic_vxlan_counters *vxlan = nic_vxlan_get_counters(uplink->nic);

		/* Some of these count above as well, by what became of the frame. */
		set(object, "stranger", counter_read(&vxlan->strangers));
		set(object, "other_vni", counter_read(&vxlan->other_vni));
		set(object, "held_back", counter_read(&vxlan->held_back));
		set(object, "no_room", counter_read(&vxlan->no_room));
		set(object, "unreachable", counter_read(&vxlan->unreachable));
	}
	return object;
}

/* Why guests have no way to the world, unless that is a link; and whether it is looked for. */
static void add_failure(json_t *object, const struct daemon_switch *reported)
{
	const struct switch_uplink *uplink = &reported->uplink;
	int missing = uplink->nic ? __atomic_load_n(&uplink->nic->missing, __ATOMIC_RELAXED) : 0;
	unsigned retry_s = uplink_retry_seconds(reported);
	char name[UPLINK_TEXT_MAX];

	if (uplink->error.code) {
		json_object_set_new(object, "error", json_string(uplink->error.text));
	} else if (missing) {
		json_object_set_new(
			object, "error",
			json_sprintf("uplink %s: %s", uplink_text(&uplink->name, name),
				     missing == -ENODEV ? "the interface is gone" : strerror(-missing)));
		/* The driver looks every second. */
		retry_s = 1;
	}
	if (retry_s)
		set(object, "retry_s", retry_s);
}

static json_t *uplink_json(const struct daemon_switch *reported)
{
	const struct switch_uplink *uplink = &reported->uplink;
	json_t *object = json_pack("{s:s}", "kind", kind_text(uplink->name.kind));

	if (uplink->name.interface[0])
		json_object_set_new(object, "interface", json_string(uplink->name.interface));
	if (uplink->nic) {
		set(object, "mtu", port_mtu(uplink->port));
		port_describe(uplink->port, object);
		json_object_set_new(object, "lost", losses_json(uplink));
	}
	add_failure(object, reported);
	return object;
}

/* ---- ports, table, forwards ---- */

static json_t *ports_json(const struct daemon_switch *reported)
{
	json_t *list = json_array();

	device_for_each(reported->daemon, &nic_device_kind, device)
	{
		const struct nic_device *nic = nic_device_of(device);
		char mac[MAC_TEXT];
		json_t *port;

		if (nic->plugged != reported)
			continue;
		port = json_pack("{s:s, s:s}", "name", device->name, "mac",
				 port_format_mac(nic->address, mac));
		set(port, "vlan", nic->settings.vlan);
		json_object_set_new(port, "connected", json_boolean(device_connected(device)));
		nic_describe_port(nic, port);
		json_array_append_new(list, port);
	}
	return list;
}

struct table_reading {
	json_t *list;
	uint64_t now_ns;
};

static void add_address(void *context, const struct vswitch_address *address)
{
	struct table_reading *reading = context;
	char mac[MAC_TEXT];
	json_t *entry = json_pack("{s:s, s:s, s:b}", "mac", port_format_mac(address->address, mac), "port",
				  port_name(address->port), "learned", address->learned);

	if (address->learned) {
		set(entry, "vlan", address->vlan);
		set(entry, "age_s",
		    reading->now_ns > address->seen_ns ? (reading->now_ns - address->seen_ns) / NS_PER_S : 0);
	}
	json_array_append_new(reading->list, entry);
}

static json_t *table_json(const struct daemon_switch *reported)
{
	struct table_reading reading = { .list = json_array(), .now_ns = clock_now_ns() };

	vswitch_each_address(reported->vswitch, add_address, &reading);
	return reading.list;
}

json_t *forwards_json(const struct daemon_switch *reported)
{
	json_t *list = json_array();

	for (const struct switch_forward *listed = reported->forwards; listed; listed = listed->next) {
		char text[FORWARD_TEXT_MAX];
		json_t *entry = json_pack("{s:s, s:s, s:b}", "switch", reported->name, "forward",
					  nic_format_forward(&listed->forward, text), "configured",
					  listed->configured);

		if (listed->code)
			json_object_set_new(entry, "error",
					    json_string(listed->code == -ENOTCONN ? "there is no uplink user"
										  : strerror(-listed->code)));
		json_array_append_new(list, entry);
	}
	return list;
}

json_t *switch_json(const struct daemon_switch *reported, bool with_table)
{
	json_t *object = json_pack("{s:s, s:i, s:o}", "name", reported->name, "cards", (int)reported->cards,
				   "uplink", uplink_json(reported));

	set(object, "capacity_bandwidth", uplink_meter_bandwidth(vswitch_meter(reported->vswitch)));
	set(object, "reserved_ppb", gate_reserved_ppb(reported->gate.gate));
	json_object_set_new(object, "ports", ports_json(reported));
	json_object_set_new(object, "forwards", forwards_json(reported));
	if (with_table)
		json_object_set_new(object, "table", table_json(reported));
	return object;
}

json_t *switches_json(const struct daemon *daemon)
{
	json_t *list = json_array();

	for (const struct daemon_switch *reported = daemon->switches; reported; reported = reported->next)
		json_array_append_new(list, switch_json(reported, false));
	return list;
}

/* ---- metrics ---- */

static void print_labels(char labels[LABELS_MAX], const struct daemon_switch *reported)
{
	snprintf(labels, LABELS_MAX, "switch=\"%s\",uplink=\"%s\"", reported->name,
		 kind_text(reported->uplink.name.kind));
}

static void print_links(struct daemon *daemon, FILE *out)
{
	char labels[LABELS_MAX];

	metrics_head(out, UPLINK_PREFIX "_up", "gauge", "1: the uplink is open and has a link.");
	for (const struct daemon_switch *reported = daemon->switches; reported; reported = reported->next) {
		if (reported->uplink.name.kind == UPLINK_NONE && !reported->uplink.error.code)
			continue;
		print_labels(labels, reported);
		metrics_sample(out, UPLINK_PREFIX "_up", labels,
			       reported->uplink.port && port_link(reported->uplink.port), false);
	}
}

static void print_capacities(struct daemon *daemon, FILE *out)
{
	const char *bandwidth = UPLINK_PREFIX "_capacity_bandwidth_bytes";
	const char *reserved = UPLINK_PREFIX "_capacity_reserved_ratio";
	char labels[LABELS_MAX];

	metrics_head(out, bandwidth, "gauge", "Bytes a second that the uplink carries.");
	for (const struct daemon_switch *reported = daemon->switches; reported; reported = reported->next) {
		print_labels(labels, reported);
		metrics_sample(out, bandwidth, labels,
			       uplink_meter_bandwidth(vswitch_meter(reported->vswitch)), false);
	}
	metrics_head(out, reserved, "gauge", "Part of the uplink's time that is reserved.");
	for (const struct daemon_switch *reported = daemon->switches; reported; reported = reported->next) {
		print_labels(labels, reported);
		metrics_sample(out, reserved, labels, gate_reserved_ppb(reported->gate.gate), true);
	}
}

static void print_losses(struct daemon *daemon, FILE *out)
{
	const char *name = UPLINK_PREFIX "_lost_frames_total";

	metrics_head(out, name, "counter", "Frames that the uplink's card lost, by reason.");
	for (const struct daemon_switch *reported = daemon->switches; reported; reported = reported->next) {
		char labels[LABELS_MAX], with_reason[LABELS_MAX + 32];
		json_t *losses, *count;
		const char *reason;

		if (!reported->uplink.nic)
			continue;
		print_labels(labels, reported);
		losses = losses_json(&reported->uplink);
		json_object_foreach(losses, reason, count)
		{
			snprintf(with_reason, sizeof(with_reason), "%s,reason=\"%s\"", labels, reason);
			metrics_sample(out, name, with_reason, (uint64_t)json_integer_value(count), false);
		}
		json_decref(losses);
	}
}

void switches_print_metrics(struct daemon *daemon, FILE *out)
{
	if (!daemon->switches)
		return;
	print_links(daemon, out);
	for (unsigned row = 0; port_metric_head(out, UPLINK_PREFIX, row); row++) {
		for (const struct daemon_switch *reported = daemon->switches; reported;
		     reported = reported->next) {
			char labels[LABELS_MAX];

			if (!reported->uplink.port)
				continue;
			print_labels(labels, reported);
			port_metric_sample(out, UPLINK_PREFIX, row, labels, reported->uplink.port);
		}
	}
	print_losses(daemon, out);
	print_capacities(daemon, out);
}
