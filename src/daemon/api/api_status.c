/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the daemon knows, as JSON. Nothing here touches a physical device. */
#include <string.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "daemon/api/api.h"
#include "daemon/device/device.h"
#include "daemon/nic/switch.h"
#include "daemon/seat/display_device.h"
#include "daemon/seat/seat_room.h"
#include "daemon/share/share_json.h"

/* An integer of JSON is signed; our counters never get there. */
static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static void set(json_t *object, const char *key, uint64_t value)
{
	json_object_set_new(object, key, number(value));
}

/* ---- devices ---- */

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

/* What a VMM needs to know of a device. */
static json_t *describe(const struct device *device)
{
	json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", device->name, "guest",
				   device->guest->name, "kind", device->kind->name, "socket", device->socket,
				   "socket_mode", device->client ? "connect" : "listen");

	if (!object)
		return NULL;
	device->kind->describe(device, object);
	if (device->error.text[0])
		json_object_set_new(object, "error", json_string(device->error.text));
	return object;
}

json_t *api_device_json(const struct device *device)
{
	const struct endpoint_status status = device_status(device);
	json_t *object = describe(device);

	if (!object)
		return NULL;
	json_object_set_new(object, "connected", json_boolean(device_connected(device)));
	set_connection(object, &status);
	if (device->guest->quarantine)
		json_object_set_new(object, "quarantine", json_true());
	device->kind->status(device, object);
	return object;
}

json_t *api_devices_json(struct daemon *daemon, const struct device_kind *kind)
{
	json_t *list = json_array();

	displays_look(daemon);
	for (const struct device *device = daemon->devices; device; device = device->next) {
		if (!kind || device->kind == kind)
			json_array_append_new(list, api_device_json(device));
	}
	displays_forget(daemon);
	return list;
}

/* ---- guests ---- */

/* NULL: no device of it is there. */
static const struct guest *find_guest(const struct daemon *daemon, const char *name)
{
	const struct guest *guest = daemon->guests;

	while (guest && strcmp(guest->name, name) != 0)
		guest = guest->next;
	return guest;
}

/* Nothing when it is served with the others. */
static void set_quarantine(json_t *object, const struct guest *guest)
{
	uint64_t now_ns = clock_now_ns(), left_ns;

	if (!guest || !guest->quarantine)
		return;
	left_ns = guest->quarantine_until_ns > now_ns ? guest->quarantine_until_ns - now_ns : 0;
	json_object_set_new(object, "quarantine",
			    json_pack("{s:s, s:o, s:o}", "reason", "memory-waits", "times",
				      number(guest->quarantines), "left_ns", number(left_ns)));
}

json_t *api_guest_json(struct daemon *daemon, const char *guest)
{
	const struct config_guest *settings = guest_settings(daemon, guest);
	const struct guest *served = find_guest(daemon, guest);
	json_t *devices = json_array(), *object;

	for (const struct device *device = daemon->devices; device; device = device->next) {
		if (strcmp(device->guest->name, guest) == 0)
			json_array_append_new(devices, describe(device));
	}
	if (!settings && json_array_size(devices) == 0) {
		json_decref(devices);
		return NULL;
	}
	object =
		json_pack("{s:s, s:b, s:o, s:s?, s:b, s:o, s:o}", "name", guest, "declared", settings != NULL,
			  "memory_bytes", number(settings ? settings->memory_bytes : 512ull << 20), "group",
			  settings ? settings->group : NULL, "own_worker", served && served->own, "cpu_ns",
			  number(guest_cpu_ns(daemon, guest)), "devices", devices);
	set_quarantine(object, served);
	share_set_json(object, daemon, SHARE_OF_GUEST, guest);
	return object;
}

/* Declared guests first, then those that only devices know. */
static json_t *guest_list(struct daemon *daemon)
{
	json_t *seen = json_object(), *list = json_array();

	config_for_each(config_guests(daemon->config), config_guest, guest)
		json_object_set_new(seen, guest->object.name, json_true());
	for (const struct device *device = daemon->devices; device; device = device->next)
		json_object_set_new(seen, device->guest->name, json_true());
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

static json_t *status_json(struct daemon *daemon)
{
	uint64_t now_ns = clock_now_ns();
	json_t *object = json_pack(
		"{s:s, s:i, s:f, s:s, s:s, s:o, s:o, s:o}", "version", VIADUCT_VERSION, "pid", (int)getpid(),
		"uptime_s", (double)(now_ns - daemon->started_ns) / (double)NS_PER_S, "runtime_dir",
		daemon->runtime_dir, "configuration", daemon->config_path, "workers", workers_json(daemon),
		"pools", api_pool_list_json(daemon), "devices", api_devices_json(daemon, NULL));
	if (!object)
		return NULL;
	set(object, "now_ns", now_ns);
	json_object_set_new(object, "switches", switches_json(daemon));
	json_object_set_new(object, "seats", seats_json(daemon));
	json_object_set_new(object, "guests", guest_list(daemon));
	json_object_set_new(object, "groups", api_groups_json(daemon));
	set(object, "reloads", daemon->reloads);
	set(object, "lost_log_lines", log_lost_lines());
	if (daemon->takeover_text[0])
		json_object_set_new(object, "takeover", json_string(daemon->takeover_text));
	return object;
}

json_t *api_status_json(struct daemon *daemon)
{
	json_t *object;

	displays_look(daemon);
	object = status_json(daemon);
	displays_forget(daemon);
	return object;
}
