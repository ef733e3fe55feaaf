/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The physical card of a switch: opened and closed here, started and stopped on the switch's worker. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/takeover_offer.h"
#include "daemon/base/worker.h"
#include "daemon/nic/switch.h"

/* ---- opening a card ---- */

static int fail_sandbox(const struct config_switch *settings, struct error *error)
{
	return error_set(
		error, -EPERM,
		"uplink %s: the sandbox of this start allows no sockets for it; restart, or take over "
		"with viaductd --takeover",
		settings->uplink);
}

/*
 * The unit of the service leaves out the host's network (packaging/viaductd.service.in). Some uplinks would
 * open there, and carry nothing.
 */
static bool has_network(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno != EAFNOSUPPORT;
	close(fd);
	return true;
}

static int fail_network(const struct config_switch *settings, struct error *error)
{
	return error_set(error, -EAFNOSUPPORT,
			 "uplink %s: the service has no network before the drop-in uplinks.conf is put into "
			 "/etc/systemd/system/viaductd.service.d and the service is restarted; see SERVICE "
			 "in viaductd(8)",
			 settings->uplink);
}

const char *uplink_text(const struct uplink_name *name, char text[UPLINK_TEXT_MAX])
{
	static const char *const kinds[] = {
		[UPLINK_NONE] = "none",	    [UPLINK_USER] = "user",   [UPLINK_TAP] = "tap",
		[UPLINK_PACKET] = "packet", [UPLINK_VXLAN] = "vxlan",
	};

	snprintf(text, UPLINK_TEXT_MAX, "%s%s%s", kinds[name->kind], name->interface[0] ? ":" : "",
		 name->interface);
	return text;
}

static int open_user(struct daemon_switch *owner, const struct config_switch *settings,
		     struct host_nic **ret_nic, struct error *error)
{
	struct nic_user_options options = switch_user_options(settings);
	int code;

	if (owner->daemon->no_internet)
		return error_set(
			error, -EPERM,
			"uplink user: the sandbox of this start allows no sockets for it; restart, or "
			"take over with viaductd --takeover");
	options.name = owner->subject.name;
	code = nic_user_open(&options, ret_nic);

	return code ? error_set(error, code, "uplink user: %s", strerror(-code)) : 0;
}

void uplink_key(const struct daemon_switch *owner, const struct uplink_name *name, char key[UPLINK_KEY_MAX])
{
	if (name->kind == UPLINK_TAP)
		snprintf(key, UPLINK_KEY_MAX, "tap:%s", name->interface);
	else
		snprintf(key, UPLINK_KEY_MAX, "%u %s", name->kind, owner->name);
}

/* A predecessor's descriptor of the same uplink, or one more of that which is to be replaced; -1: none. */
static int descriptor_there(const struct daemon_switch *owner, const struct uplink_name *name)
{
	const struct switch_uplink *uplink = &owner->uplink;
	char key[UPLINK_KEY_MAX];
	int fd;

	uplink_key(owner, name, key);
	fd = takeover_offer_take(owner->daemon->offer, "uplink", key);
	if (fd < 0 && uplink->nic && uplink->name.kind == name->kind &&
	    strcmp(uplink->name.interface, name->interface) == 0)
		fd = dup(uplink->nic->ops->channel_fd(uplink->nic, 0));
	return fd;
}

static int open_tap(struct daemon_switch *owner, const struct config_switch *settings,
		    const struct uplink_name *name, struct host_nic **ret_nic, struct error *error)
{
	struct nic_tap_options options = {
		.name = name->interface,
		.fd = descriptor_there(owner, name),
		.offload = settings->offload,
	};
	int code = nic_tap_open(&options, ret_nic);

	if (code && options.fd >= 0)
		close(options.fd);
	switch (-code) {
	case 0:
		return 0;
	case EPERM:
	case EACCES:
		return error_set(error, code,
				 "uplink tap:%s: permission denied; make the tap for the daemon's user (ip "
				 "tuntap add dev %s mode tap user USER vnet_hdr), or start or take over as "
				 "root",
				 name->interface, name->interface);
	case EBUSY:
		return error_set(error, code, "uplink tap:%s: another program has it open", name->interface);
	case EINVAL:
		return error_set(error, code, "uplink tap:%s: the interface of that name is no tap",
				 name->interface);
	default:
		return error_set(error, code, "uplink tap:%s: %s", name->interface, strerror(-code));
	}
}

static int open_packet(struct daemon_switch *owner, const struct uplink_name *name, struct host_nic **ret_nic,
		       struct error *error)
{
	struct switch_retry *retry = &owner->retry;
	struct nic_packet_options options = { .name = name->interface, .fd = retry->socket_fd };
	int code = nic_packet_open(&options, ret_nic);

	/* For when the interface is there and the rights are given up. */
	if (code && retry->socket_fd < 0)
		retry->socket_fd = nic_packet_socket();
	switch (-code) {
	case 0:
		retry->socket_fd = -1;
		return 0;
	case EPERM:
	case EACCES:
		return error_set(error, code,
				 "uplink packet:%s: permission denied; only root may open it, so start or "
				 "take over as root",
				 name->interface);
	case ENODEV:
		return error_set(error, code, "uplink packet:%s: there is no such interface",
				 name->interface);
	case EINVAL:
		return error_set(error, code, "uplink packet:%s: it carries no Ethernet", name->interface);
	default:
		return error_set(error, code, "uplink packet:%s: %s", name->interface, strerror(-code));
	}
}

static int open_vxlan(struct daemon_switch *owner, const struct config_switch *settings,
		      const struct uplink_name *name, struct host_nic **ret_nic, struct error *error)
{
	union nic_vxlan_address peers[NIC_VXLAN_PEERS_MAX];
	struct nic_vxlan_options options = switch_vxlan_options(settings, peers);
	int code;

	if (owner->daemon->no_internet)
		return fail_sandbox(settings, error);
	options.fd = descriptor_there(owner, name);
	code = nic_vxlan_open(&options, ret_nic);
	if (code && options.fd >= 0)
		close(options.fd);
	switch (-code) {
	case 0:
		return 0;
	case EADDRINUSE:
		return error_set(
			error, code,
			"uplink vxlan: another program, or a VXLAN device of the kernel, has UDP port "
			"%u; give another port, or another local",
			options.port);
	case EADDRNOTAVAIL:
		return error_set(error, code, "uplink vxlan: the host does not have the address %s",
				 settings->local ? settings->local : "it is to send from");
	case EINVAL:
		return error_set(error, code,
				 "uplink vxlan: peers = %s names a host twice, or what is no host",
				 settings->peers);
	default:
		return error_set(error, code, "uplink vxlan: %s", strerror(-code));
	}
}

static int open_card(struct daemon_switch *owner, const struct config_switch *settings,
		     const struct uplink_name *name, struct host_nic **ret_nic, struct error *error)
{
	int code = 0;

	if (name->kind != UPLINK_NONE && !has_network())
		return fail_network(settings, error);
	switch (name->kind) {
	case UPLINK_NONE:
		*ret_nic = NULL;
		return 0;
	case UPLINK_USER:
		return open_user(owner, settings, ret_nic, error);
	case UPLINK_VXLAN:
		return open_vxlan(owner, settings, name, ret_nic, error);
	case UPLINK_TAP:
		return open_tap(owner, settings, name, ret_nic, error);
	case UPLINK_PACKET:
		code = open_packet(owner, name, ret_nic, error);
		break;
	default:
		assert(false);
	}
	if ((code == -EPERM || code == -EACCES) && owner->daemon->serving)
		return error_set(error, code,
				 "uplink %s: permission denied, because rights are given up after the start; "
				 "restart, or take over with viaductd --takeover",
				 settings->uplink);
	return code;
}

/* ---- the card of a switch ---- */

/* On the worker. */
static void link_changed(void *context)
{
	const struct daemon_switch *owner = context;

	log_info(&owner->subject, "the uplink's link is %s", port_link(owner->uplink.port) ? "up" : "down");
}

void uplink_close(struct daemon_switch *owner)
{
	struct switch_uplink *uplink = &owner->uplink;

	uplink_stop(owner);
	port_destroy(uplink->port);
	if (uplink->nic)
		uplink->nic->ops->close(uplink->nic);
	*uplink = (struct switch_uplink){ .name = uplink->name };
}

int uplink_open(struct daemon_switch *owner, const struct config_switch *settings, struct error *error)
{
	struct uplink_name name = switch_uplink_name(settings);
	struct port_settings port = switch_uplink_settings(settings);
	struct switch_uplink *uplink = &owner->uplink;
	struct host_nic *nic = NULL;
	int code;

	/* Two NATs cannot have the same ports of the host. */
	if (name.kind == UPLINK_USER && uplink->name.kind == UPLINK_USER)
		uplink_close(owner);
	code = open_card(owner, settings, &name, &nic, error);
	/* Another address of the host on the same port: the socket that is there has to go first. */
	if (code == -EADDRINUSE && name.kind == UPLINK_VXLAN && uplink->name.kind == UPLINK_VXLAN) {
		uplink_close(owner);
		*error = (struct error){ .code = 0 };
		code = open_card(owner, settings, &name, &nic, error);
	}
	if (code)
		return code;
	uplink_close(owner);
	uplink->name = name;
	if (!nic)
		return 0;
	code = vswitch_uplink_create(owner->vswitch, nic, &port, link_changed, owner, &uplink->port);
	if (code) {
		nic->ops->close(nic);
		return error_set(error, code, "uplink %s: %s", settings->uplink, strerror(-code));
	}
	uplink->nic = nic;
	leases_apply(owner);
	forwards_apply(owner);
	return 0;
}

/* ---- on the worker ---- */

static struct worker *worker_of(const struct daemon_switch *owner)
{
	return &owner->daemon->workers[owner->first_worker % owner->daemon->worker_count];
}

struct starting {
	struct daemon_switch *owner;
	int code;
};

static void start_here(void *context)
{
	struct starting *starting = context;

	starting->code = vswitch_uplink_start(starting->owner->uplink.port, worker_of(starting->owner)->loop);
}

static void stop_here(void *context)
{
	vswitch_uplink_stop(context);
}

int uplink_start(struct daemon_switch *owner, struct error *error)
{
	struct starting starting = { .owner = owner };
	char text[UPLINK_TEXT_MAX];

	if (!owner->uplink.nic || owner->uplink.running)
		return 0;
	worker_call(worker_of(owner), start_here, &starting);
	if (starting.code)
		return error_set(error, starting.code, "the uplink cannot be started: %s",
				 strerror(-starting.code));
	owner->uplink.running = true;
	log_info(&owner->subject, "uplink %s: the link is %s", uplink_text(&owner->uplink.name, text),
		 port_link(owner->uplink.port) ? "up" : "down");
	return 0;
}

void uplink_stop(struct daemon_switch *owner)
{
	if (!owner->uplink.running)
		return;
	worker_call(worker_of(owner), stop_here, owner->uplink.port);
	owner->uplink.running = false;
}
