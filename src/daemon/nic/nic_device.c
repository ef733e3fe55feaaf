/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/nic/nic_device.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/log.h"
#include "daemon/device/report.h"
#include "devices/nic/virtio_net.h"
#include "devices/nic/virtio_net_format.h"
#include "interfaces/vhost_user/vhost_user.h"
#include "interfaces/virtio/virtqueue.h"

#define AGEING_LOOK_NS (5 * NS_PER_S)

/* ---- switches ---- */

struct daemon_switch *daemon_switch_find(const struct daemon *daemon, const char *name)
{
	struct daemon_switch *found = daemon->switches;

	while (found && strcmp(found->name, name) != 0)
		found = found->next;
	return found;
}

static void age(struct loop_timer *timer)
{
	struct daemon_switch *aged = container_of(timer, struct daemon_switch, ageing);
	uint64_t now_ns = clock_now_ns();

	vswitch_age(aged->vswitch, now_ns);
	loop_timer_start(aged->daemon->control, &aged->ageing, now_ns + AGEING_LOOK_NS);
}

static struct daemon_switch *open_switch(struct daemon *daemon, const struct config_switch *settings)
{
	struct daemon_switch *made = calloc(1, sizeof(*made)), **link = &daemon->switches;

	if (!made ||
	    vswitch_create((unsigned)settings->ageing_s, &made->vswitch) != 0) {
		free(made);
		return NULL;
	}
	made->daemon = daemon;
	made->first_worker = daemon->next_worker++;
	made->ageing.expired = age;
	snprintf(made->name, sizeof(made->name), "%s", settings->object.name);
	while (*link)
		link = &(*link)->next;
	*link = made;
	loop_timer_start(daemon->control, &made->ageing, clock_now_ns() + AGEING_LOOK_NS);
	return made;
}

static void close_switch(struct daemon_switch *closed)
{
	struct daemon_switch **link = &closed->daemon->switches;

	assert(closed->cards == 0);
	while (*link != closed)
		link = &(*link)->next;
	*link = closed->next;
	loop_timer_stop(closed->daemon->control, &closed->ageing);
	vswitch_destroy(closed->vswitch);
	free(closed);
}

static void open_switches(struct daemon *daemon)
{
	config_for_each(config_list(daemon->config, &config_section_switch), config_switch, settings)
	{
		if (!open_switch(daemon, settings))
			log_error(NULL, "switch %s: out of memory", settings->object.name);
	}
}

static void close_switches(struct daemon *daemon)
{
	while (daemon->switches)
		close_switch(daemon->switches);
}

/* ---- cards ---- */

static void configure(struct device *device, const struct config_object *object)
{
	const struct config_nic *settings = (const struct config_nic *)object;
	struct nic_device *nic = nic_device_of(device);

	/* A card exists because its section does. */
	if (!settings)
		return;
	snprintf(nic->switch_name, sizeof(nic->switch_name), "%s", settings->vswitch);
	nic_address(device->name, settings, nic->address);
	nic->mtu = (unsigned)settings->mtu;
	nic->queues = (unsigned)settings->queues;
	nic->packed = settings->packed;
	nic->checksum = settings->checksum;
	nic->tso = settings->checksum && settings->tso;
	nic->uso = settings->checksum && settings->uso;
	nic->settings = nic_port_settings(settings);
}

static uint64_t features_off(const struct nic_device *nic)
{
	static const uint64_t checksum = 1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_GUEST_CSUM,
			      tso = 1ull << VIRTIO_NET_F_GUEST_TSO4 | 1ull << VIRTIO_NET_F_GUEST_TSO6 |
				    1ull << VIRTIO_NET_F_GUEST_ECN | 1ull << VIRTIO_NET_F_HOST_TSO4 |
				    1ull << VIRTIO_NET_F_HOST_TSO6 | 1ull << VIRTIO_NET_F_HOST_ECN,
			      uso = 1ull << VIRTIO_NET_F_GUEST_USO4 | 1ull << VIRTIO_NET_F_GUEST_USO6 |
				    1ull << VIRTIO_NET_F_HOST_USO;

	return (nic->checksum ? 0 : checksum) | (nic->tso ? 0 : tso) | (nic->uso ? 0 : uso);
}

static int plug_in(struct nic_device *nic)
{
	struct daemon_switch *plugged = daemon_switch_find(nic->base.daemon, nic->switch_name);
	int code;

	if (!plugged)
		return error_set(&nic->base.error, -ENOENT, "there is no switch %s", nic->switch_name);
	code = port_create(plugged->vswitch, nic->base.name, nic->address, nic->mtu, &nic->settings,
			   &nic->port);
	if (code)
		return error_set(&nic->base.error, code, "cannot be plugged into the switch %s: %s",
				 nic->switch_name,
				 code == -EEXIST ? "another card there has its address" : strerror(-code));
	nic->plugged = plugged;
	nic->base.first_worker = plugged->first_worker;
	plugged->cards++;
	return 0;
}

static int open_nic(struct device *device)
{
	struct nic_device *nic = nic_device_of(device);
	struct virtio_net_options options = { .pairs = nic->queues, .features_off = features_off(nic) };
	int code = plug_in(nic);

	if (code)
		return code;
	options.port = nic->port;
	code = virtio_net_create(&options, &nic->model);
	return code ? error_set(&device->error, code, "cannot make the device: %s", strerror(-code)) : 0;
}

static int endpoint_create(struct device *device, const struct endpoint_options *endpoint,
			   struct handover *handed, struct endpoint **ret_endpoint)
{
	const struct nic_device *nic = nic_device_of(device);
	struct vhost_user_options options = {
		.endpoint = *endpoint,
		.model = &virtio_net_model,
		.device = nic->model,
		.features_off = nic->packed ? 0 : 1ull << VIRTIO_F_RING_PACKED,
	};

	return handed ? vhost_user_restore(&options, handed, ret_endpoint)
		      : vhost_user_create(&options, ret_endpoint);
}

static void close_nic(struct device *device)
{
	struct nic_device *nic = nic_device_of(device);

	virtio_net_destroy(nic->model);
	nic->model = NULL;
	port_destroy(nic->port);
	nic->port = NULL;
	if (nic->plugged)
		nic->plugged->cards--;
	nic->plugged = NULL;
}

static void open_nics(struct daemon *daemon)
{
	for (const struct config_object *object = config_list(daemon->config, &config_section_nic); object;
	     object = object->next) {
		struct device *device = device_add(daemon, &nic_device_kind, object->name);

		if (device)
			device_serve(device);
		else
			log_error(NULL, "%s: out of memory", object->name);
	}
}

/* ---- reload ---- */

static void apply_live(struct daemon *daemon, const struct config *old, struct change_report *report)
{
	device_for_each(daemon, &nic_device_kind, device)
	{
		struct nic_device *nic = nic_device_of(device);
		const struct config_object *now = device_settings(device);
		const struct config_object *before =
			config_find(config_list(old, &config_section_nic), device->name);
		struct port_settings settings;

		if (!now || !before || !nic->port)
			continue;
		settings = nic_port_settings((const struct config_nic *)now);
		if (nic_same_settings(&settings, &nic->settings))
			continue;
		nic->settings = settings;
		port_set(nic->port, &settings);
		device_config_changed(device);
		report_applied(report, "nic %s: its port was changed", device->name);
	}
}

static void reload(struct daemon *daemon, const struct config *old, struct change_report *report)
{
	config_for_each(config_list(daemon->config, &config_section_switch), config_switch, settings)
	{
		if (daemon_switch_find(daemon, settings->object.name))
			continue;
		if (open_switch(daemon, settings))
			report_applied(report, "switch %s: added", settings->object.name);
		else
			report_refused(report, "switch %s: out of memory", settings->object.name);
	}
	devices_reload(daemon, &nic_device_kind, old, report);
	apply_live(daemon, old, report);
	for (struct daemon_switch *plugged = daemon->switches, *next; plugged; plugged = next) {
		next = plugged->next;
		if (config_find(config_list(daemon->config, &config_section_switch), plugged->name))
			continue;
		if (plugged->cards > 0) {
			report_refused(report, "switch %s: goes when its last card has gone", plugged->name);
			continue;
		}
		report_applied(report, "switch %s: removed", plugged->name);
		close_switch(plugged);
	}
}

const struct device_kind nic_device_kind = {
	.name = "nic",
	.section = &config_section_nic,
	.device_bytes = sizeof(struct nic_device),
	.queues_together = 2,
	.open_resources = open_switches,
	.open_devices = open_nics,
	.close_resources = close_switches,
	.reload = reload,
	.print_metrics = nics_print_metrics,
	.configure = configure,
	.open = open_nic,
	.endpoint_create = endpoint_create,
	.close = close_nic,
	.describe = nic_describe,
	.status = nic_status,
};
