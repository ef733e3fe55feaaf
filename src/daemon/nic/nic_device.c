/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/nic/nic_device.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "daemon/base/reach.h"
#include "daemon/device/report.h"
#include "daemon/device/virtio_endpoint.h"
#include "daemon/nic/nic_mirror.h"
#include "daemon/nic/switch.h"
#include "daemon/share/shares.h"
#include "devices/nic/e1000e.h"
#include "devices/nic/virtio_net.h"
#include "devices/nic/virtio_net_format.h"
#include "interfaces/vfio_user/vfio_user.h"
#include "interfaces/virtio/virtqueue.h"

/* As QEMU's virtio-net-pci: Ethernet. */
#define PCI_CLASS_NETWORK 0x020000u

/* ---- cards ---- */

/* What was set at run time comes first. */
static struct port_settings effective_settings(const struct daemon *daemon, const struct config_nic *settings)
{
	struct port_settings effective = nic_port_settings(settings);
	enum link_choice link = network_state_link(daemon, settings->object.name);

	if (link != LINK_AS_CONFIGURED)
		effective.link = link == LINK_UP;
	return effective;
}

static void configure(struct device *device, const struct config_object *object)
{
	const struct config_nic *settings = (const struct config_nic *)object;
	struct nic_device *nic = nic_device_of(device);

	/* A card exists because its section does. */
	if (!settings)
		return;
	snprintf(nic->switch_name, sizeof(nic->switch_name), "%s", settings->vswitch);
	nic_address(device->name, settings, nic->address);
	nic->model_kind = settings->model;
	nic->interface = settings->device.interface;
	nic->mtu = (unsigned)settings->mtu;
	nic->queues = (unsigned)settings->queues;
	nic->packed = settings->packed;
	nic->checksum = settings->checksum;
	nic->tso = settings->checksum && settings->tso;
	nic->uso = settings->checksum && settings->uso;
	nic->settings = effective_settings(device->daemon, settings);
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

/* Guests do not learn what the uplink carries from frames that are lost. */
static void compare_mtu(const struct nic_device *nic)
{
	const struct port *uplink = nic->plugged->uplink.port;

	if (uplink && nic->mtu > port_mtu(uplink))
		log_warning(NULL,
			    "nic %s: its mtu of %u is more than the uplink of switch %s carries: larger "
			    "packets to the world are lost; set mtu = %u",
			    nic->base.name, nic->mtu, nic->switch_name, port_mtu(uplink));
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
	nic->share = share_open(nic->base.daemon, &plugged->gate, nic->base.name);
	if (!nic->share) {
		port_destroy(nic->port);
		nic->port = NULL;
		return error_set(&nic->base.error, -ENOMEM, "out of memory");
	}
	port_set_share(nic->port, nic->share->node);
	nic->plugged = plugged;
	nic->base.first_worker = plugged->first_worker;
	plugged->cards++;
	compare_mtu(nic);
	nic_mirror_set(nic, (const struct config_nic *)device_settings(&nic->base));
	return 0;
}

static int open_virtio(struct nic_device *nic)
{
	const struct virtio_net_options options = {
		.port = nic->port,
		.pairs = nic->queues,
		.features_off = features_off(nic),
	};

	return virtio_net_create(&options, &nic->virtio);
}

static int open_e1000e(struct nic_device *nic)
{
	const struct e1000e_options options = { .port = nic->port };

	return e1000e_create(&options, &nic->e1000e);
}

static int open_nic(struct device *device)
{
	struct nic_device *nic = nic_device_of(device);
	int code = plug_in(nic);

	if (code)
		return code;
	code = nic->model_kind == CONFIG_NIC_E1000E ? open_e1000e(nic) : open_virtio(nic);
	return code ? error_set(&device->error, code, "cannot make the device: %s", strerror(-code)) : 0;
}

static int e1000e_endpoint_create(const struct nic_device *nic, const struct endpoint_options *endpoint,
				  struct handover *handed, struct endpoint **ret_endpoint)
{
	const struct vfio_user_options options = {
		.endpoint = *endpoint,
		.model = &e1000e_model,
		.device = nic->e1000e,
	};

	return handed ? vfio_user_restore(&options, handed, ret_endpoint)
		      : vfio_user_create(&options, ret_endpoint);
}

static int virtio_create(struct nic_device *nic, const struct endpoint_options *endpoint,
			 struct handover *handed, struct endpoint **ret_endpoint)
{
	const struct virtio_offer offer = {
		.model = &virtio_net_model,
		.device = nic->virtio,
		.interface = nic->interface,
		.features_off = nic->packed ? 0 : 1ull << VIRTIO_F_RING_PACKED,
		.class_code = PCI_CLASS_NETWORK,
	};

	return virtio_endpoint_create(&offer, endpoint, handed, &nic->pci, ret_endpoint);
}

static int endpoint_create(struct device *device, const struct endpoint_options *endpoint,
			   struct handover *handed, struct endpoint **ret_endpoint)
{
	struct nic_device *nic = nic_device_of(device);
	int code = nic->e1000e ? e1000e_endpoint_create(nic, endpoint, handed, ret_endpoint)
			       : virtio_create(nic, endpoint, handed, ret_endpoint);

	if (!code)
		endpoint_set_weight(*ret_endpoint, share_guest_weight(nic->share));
	return code;
}

static void close_nic(struct device *device)
{
	struct nic_device *nic = nic_device_of(device);

	virtio_endpoint_free_pci(&nic->pci);
	virtio_net_destroy(nic->virtio);
	nic->virtio = NULL;
	e1000e_destroy(nic->e1000e);
	nic->e1000e = NULL;
	nic_mirror_stop(nic);
	port_destroy(nic->port);
	nic->port = NULL;
	share_close(nic->share);
	nic->share = NULL;
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
	switches_start(daemon);
}

/* ---- changes under a running guest ---- */

static void apply_settings(struct nic_device *nic, const struct port_settings *settings)
{
	nic->settings = *settings;
	if (!nic->port)
		return;
	port_set(nic->port, settings);
	device_config_changed(&nic->base);
}

void nic_set_link(struct nic_device *nic, enum link_choice choice)
{
	const struct config_object *section = device_settings(&nic->base);
	struct port_settings settings = nic->settings;

	network_state_set_link(nic->base.daemon, nic->base.name, choice);
	if (section)
		settings = effective_settings(nic->base.daemon, (const struct config_nic *)section);
	apply_settings(nic, &settings);
}

/* A card that the reload brought has its mirror already. */
static void apply_mirror(struct nic_device *nic, const struct config_nic *settings, bool added,
			 struct change_report *report)
{
	bool changed = nic_mirror_set(nic, settings);

	if (!changed && !added)
		return;
	if (settings->mirror && !reach_has(nic->base.daemon->reach, settings->mirror))
		report_refused(report, "nic %s: mirror %s " REACH_REFUSAL, nic->base.name, settings->mirror);
	else if (changed)
		report_applied(report, "nic %s: its mirror was changed", nic->base.name);
}

static void apply_live(struct daemon *daemon, const struct config *old, struct change_report *report)
{
	device_for_each(daemon, &nic_device_kind, device)
	{
		struct nic_device *nic = nic_device_of(device);
		const struct config_object *now = device_settings(device);
		const struct config_object *before =
			config_find(config_list(old, &config_section_nic), device->name);
		struct port_settings settings;

		if (!now || !nic->port)
			continue;
		apply_mirror(nic, (const struct config_nic *)now, !before, report);
		if (!before)
			continue;
		settings = effective_settings(daemon, (const struct config_nic *)now);
		if (nic_same_settings(&settings, &nic->settings))
			continue;
		apply_settings(nic, &settings);
		report_applied(report, "nic %s: its port was changed", device->name);
	}
}

static void reload(struct daemon *daemon, const struct config *old, struct change_report *report)
{
	switches_reload(daemon, old, report);
	devices_reload(daemon, &nic_device_kind, old, report);
	apply_live(daemon, old, report);
	switches_remove(daemon, report);
}

/* ---- the kind ---- */

static void open_resources(struct daemon *daemon)
{
	network_state_load(daemon);
	switches_open(daemon);
}

static void print_metrics(struct daemon *daemon, FILE *out)
{
	nics_print_metrics(daemon, out);
	switches_print_metrics(daemon, out);
}

static void close_resources(struct daemon *daemon)
{
	nic_mirrors_finish(daemon);
	switches_close(daemon);
	network_state_free(daemon);
}

const struct device_kind nic_device_kind = {
	.name = "nic",
	.section = &config_section_nic,
	.device_bytes = sizeof(struct nic_device),
	.queues_together = 2,
	.open_resources = open_resources,
	.open_devices = open_nics,
	.close_resources = close_resources,
	.stand_still = switches_stand_still,
	.hand_over = switches_hand_over,
	.reload = reload,
	.needs_internet = switches_need_internet,
	.needs_interfaces = switches_need_interfaces,
	.print_metrics = print_metrics,
	.plan = switches_plan,
	.check_open = switches_check_open,
	.configure = configure,
	.open = open_nic,
	.endpoint_create = endpoint_create,
	.close = close_nic,
	.describe = nic_describe,
	.status = nic_status,
};
