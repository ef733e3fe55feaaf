/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/nic/nic_config.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/crc32c.h"
#include "daemon/config/config_share_keys.h"
#include "daemon/nic/nic_mirror.h"
#include "daemon/nic/switch_config.h"
#include "devices/nic/virtio_net.h"

#define MTU_MIN	  68
#define MTU_MAX	  65535
#define FLOOD_MAX 10000000
/* What drivers of the 82574 send at most. */
#define E1000E_MTU_MAX 9216

/* ---- what the texts mean ---- */

void nic_address(const char *name, const struct config_nic *settings,
		 uint8_t ret_address[FRAME_ADDRESS_BYTES])
{
	uint32_t one = crc32c(0, name, strlen(name)), other = crc32c(one, "nic", 3);
	bool parsed = true;

	if (settings && settings->mac) {
		parsed = nic_parse_mac(settings->mac, ret_address);
	} else {
		/* Locally administered, unicast. */
		ret_address[0] = 0x02;
		ret_address[1] = (uint8_t)(other >> 24);
		memcpy(ret_address + 2, &one, sizeof(one));
	}
	assert(parsed);
}

struct port_settings nic_port_settings(const struct config_nic *settings)
{
	struct port_settings port = { .link = true, .flood_limit = PORT_FLOOD_LIMIT_DEFAULT };
	bool parsed = true;

	if (!settings)
		return port;
	port.vlan = (uint16_t)settings->vlan;
	port.link = settings->link;
	port.isolated = settings->isolated;
	port.learn = settings->learn;
	port.promiscuous = settings->promiscuous;
	port.flood_limit = (uint32_t)settings->flood_limit;
	port.trunk = settings->trunk != NULL;
	if (settings->trunk)
		parsed = nic_parse_vlans(settings->trunk, port.trunk_vlans);
	if (settings->allowed_ips)
		parsed = parsed && nic_parse_ips(settings->allowed_ips, port.allowed, &port.allowed_count);
	assert(parsed);
	return port;
}

bool nic_same_settings(const struct port_settings *one, const struct port_settings *other)
{
	return one->vlan == other->vlan && one->trunk == other->trunk && one->isolated == other->isolated &&
	       one->learn == other->learn && one->promiscuous == other->promiscuous &&
	       one->link == other->link && one->flood_limit == other->flood_limit &&
	       memcmp(one->trunk_vlans, other->trunk_vlans, sizeof(one->trunk_vlans)) == 0 &&
	       one->allowed_count == other->allowed_count &&
	       memcmp(one->allowed, other->allowed, sizeof(one->allowed)) == 0;
}

/* ---- checks ---- */

static const struct config_switch *find_switch(const struct config *config, const char *name)
{
	return (const struct config_switch *)config_find(config_list(config, &config_section_switch), name);
}

static void check_texts(const struct config_nic *nic, struct config_messages *messages)
{
	struct ip_prefix prefixes[PORT_ALLOWED_MAX];
	uint8_t address[FRAME_ADDRESS_BYTES];
	uint64_t vlans[4096 / 64];
	unsigned count;

	if (nic->mac && !nic_parse_mac(nic->mac, address))
		config_complain(&nic->object, "mac", messages, nic->mac,
				"is no unicast Ethernet address, for example 52:54:00:12:34:56");
	if (nic->trunk && !nic_parse_vlans(nic->trunk, vlans))
		config_complain(&nic->object, "trunk", messages, nic->trunk,
				"is no list of VLANs from 1 to 4094, for example 10, 20-29");
	if (nic->allowed_ips && !nic_parse_ips(nic->allowed_ips, prefixes, &count))
		config_complain(&nic->object, "allowed_ips", messages, nic->allowed_ips,
				"is no list of at most 16 addresses and networks, for example 192.0.2.7, "
				"2001:db8::/64");
}

/* Two cards of one switch have different addresses. */
static void check_address(const struct config *config, const struct config_nic *nic,
			  struct config_messages *messages)
{
	uint8_t address[FRAME_ADDRESS_BYTES], other_address[FRAME_ADDRESS_BYTES];
	char title[CONFIG_TITLE_SIZE];
	const char *file;

	if (nic->mac && !nic_parse_mac(nic->mac, address))
		return;
	nic_address(nic->object.name, nic, address);
	for (const struct config_object *object = config_list(config, &config_section_nic);
	     object != &nic->object; object = object->next) {
		const struct config_nic *other = (const struct config_nic *)object;

		if (!nic->vswitch || !other->vswitch || strcmp(nic->vswitch, other->vswitch) != 0 ||
		    (other->mac && !nic_parse_mac(other->mac, other_address)))
			continue;
		nic_address(object->name, other, other_address);
		if (memcmp(address, other_address, sizeof(address)) == 0)
			config_message(messages, nic->object.file, config_line_of(&nic->object, "mac", &file),
				       "%s has the address of %s:%u on the same switch; give it another mac",
				       config_title(&nic->object, title), object->file, object->line);
	}
}

static void check_model(const struct config_nic *nic, struct config_messages *messages)
{
	char title[CONFIG_TITLE_SIZE];
	const char *file;
	unsigned line;

	config_check_interface(&nic->device, nic->model == CONFIG_NIC_E1000E ? "model = e1000e" : NULL,
			       messages);
	if (nic->model != CONFIG_NIC_E1000E)
		return;
	config_title(&nic->object, title);
	line = config_line_of(&nic->object, "connect", &file);
	if (config_given(&nic->object, "connect"))
		config_message(messages, file, line,
			       "connect does not go with model = e1000e, to whose socket VMMs connect; take "
			       "connect out, or use model = virtio in %s",
			       title);
	line = config_line_of(&nic->object, "mtu", &file);
	if (nic->mtu > E1000E_MTU_MAX)
		config_message(messages, file, line,
			       "mtu of %s is more than model = e1000e has; %u is the most", title,
			       E1000E_MTU_MAX);
}

static void check_nic(const struct config *config, const struct config_object *object,
		      struct config_messages *messages)
{
	const struct config_nic *nic = (const struct config_nic *)object;
	char title[CONFIG_TITLE_SIZE];

	config_title(object, title);
	if (!nic->vswitch)
		config_message(messages, object->file, object->line,
			       "%s has no switch; add for example switch = lan", title);
	else if (!find_switch(config, nic->vswitch))
		config_complain(object, "switch", messages, nic->vswitch,
				"is not declared; add a section [switch NAME]");
	check_texts(nic, messages);
	check_model(nic, messages);
	check_address(config, nic, messages);
	nic_mirror_check(config, nic, messages);
}

/* ---- the tables ---- */

#define TEXT(field, key, ...)                                                                                \
	{                                                                                                    \
		.name = key, .type = CONFIG_TEXT, .offset = offsetof(struct config_nic, field), __VA_ARGS__  \
	}
#define FLAG(field, value, ...)                                                                              \
	{                                                                                                    \
		.name = #field, .type = CONFIG_BOOLEAN, .offset = offsetof(struct config_nic, field),        \
		.initial = value, __VA_ARGS__                                                                \
	}

static const char *const nic_models[] = { "virtio", "e1000e", NULL };

static const struct config_key nic_keys[] = {
	TEXT(vswitch, "switch", .help = "Switch that the card is plugged into. Required."),
	TEXT(mac, "mac",
	     .help = "Ethernet address, also to be given to the VMM. Default: made of the card's name."),
	{ .name = "model",
	  .type = CONFIG_CHOICE,
	  .offset = offsetof(struct config_nic, model),
	  .choices = nic_models,
	  .initial = "virtio",
	  .help = "What the guest sees: virtio, a virtio-net device; or e1000e, Intel's "
		  "82574L over vfio-user, whose driver most guests and firmware have, and for which QEMU "
		  "10.1 or newer is needed." },
	CONFIG_INTERFACE_KEY(config_nic),
	{ .name = "mtu",
	  .type = CONFIG_NUMBER,
	  .offset = offsetof(struct config_nic, mtu),
	  .minimum = MTU_MIN,
	  .maximum = MTU_MAX,
	  .initial = "1500",
	  .help = "Largest packet in bytes, without the Ethernet header; of e1000e at most 9216, which "
		  "its guest has to set itself." },
	{ .name = "queues",
	  .type = CONFIG_NUMBER,
	  .offset = offsetof(struct config_nic, queues),
	  .minimum = 1,
	  .maximum = VIRTIO_NET_PAIRS_MAX,
	  .initial = "1",
	  .help = "Pairs of queues that the guest may use at most; only for virtio." },
	FLAG(packed, "yes", .help = "Offer packed rings too; only for virtio."),
	FLAG(checksum, "yes",
	     .help = "Offer checksum offload, both ways; no also switches tso and uso off. Only for "
		     "virtio."),
	FLAG(tso, "yes", .help = "Offer TCP segmentation offload, both ways; only for virtio."),
	FLAG(uso, "yes", .help = "Offer UDP segmentation offload, both ways; only for virtio."),
	{ .name = "vlan",
	  .type = CONFIG_NUMBER,
	  .live = true,
	  .offset = offsetof(struct config_nic, vlan),
	  .maximum = 4094,
	  .initial = "0",
	  .help = "VLAN of the guest's untagged frames. 0: none." },
	TEXT(trunk, "trunk", .live = true,
	     .help = "VLANs whose tagged frames the guest sends and gets. Default: none."),
	FLAG(link, "yes", .live = true, .help = "Whether a cable is plugged in, so to speak."),
	FLAG(isolated, "no", .live = true, .help = "No frames between this card and other isolated ones."),
	FLAG(learn, "no", .live = true,
	     .help = "The guest may send from other Ethernet addresses, too (nested guests), up to 64 of "
		     "them."),
	FLAG(promiscuous, "no", .live = true, .help = "The guest gets all frames of its VLANs."),
	{ .name = "flood_limit",
	  .type = CONFIG_NUMBER,
	  .live = true,
	  .offset = offsetof(struct config_nic, flood_limit),
	  .maximum = FLOOD_MAX,
	  .initial = "1000",
	  .help = "Broadcasts and multicasts a second that the guest may send. 0: no limit." },
	TEXT(allowed_ips, "allowed_ips", .live = true,
	     .help = "Addresses and networks that the guest may send from, in IP, ARP and neighbour "
		     "discovery. Default: any."),
	{ .name = "mirror",
	  .type = CONFIG_PATH,
	  .live = true,
	  .offset = offsetof(struct config_nic, mirror),
	  .help = "File, which is appended to, or named pipe that gets the card's frames as pcapng. "
		  "Default: none." },
	{ .name = "mirror_limit",
	  .type = CONFIG_SIZE,
	  .live = true,
	  .offset = offsetof(struct config_nic, mirror_limit),
	  .minimum = NIC_MIRROR_LIMIT_MIN,
	  .maximum = NIC_MIRROR_LIMIT_MAX,
	  .initial = NIC_MIRROR_LIMIT_DEFAULT,
	  .help = "Size at which the mirror's file becomes PATH.1, which is replaced, and a new one "
		  "begins." },
	{ .name = "socket",
	  .type = CONFIG_PATH,
	  .offset = offsetof(struct config_nic, device.socket),
	  .help = "Socket to listen on. Default: RUNTIME/GUEST/nic-NAME.sock." },
	{ .name = "connect",
	  .type = CONFIG_PATH,
	  .offset = offsetof(struct config_nic, device.connect),
	  .help = "Client mode: connect to this socket of the VMM instead of listening." },
	{ WEIGHT_KEY(OF_NIC, config_nic), .initial = "100", .help = NIC_WEIGHT_HELP },
	NIC_SHARE_KEYS(OF_NIC, config_nic),
};

static_assert(sizeof(nic_keys) / sizeof(nic_keys[0]) <= CONFIG_KEYS_MAX, "struct config_object has room");

const struct config_section config_section_nic = {
	.name = "nic",
	.naming = CONFIG_NAMED_PAIR,
	.example = "[nic alice/eth0]",
	.object_bytes = sizeof(struct config_nic),
	.keys = nic_keys,
	.key_count = sizeof(nic_keys) / sizeof(nic_keys[0]),
	.help = "A virtual network card of a guest.",
	.device = true,
	.check = check_nic,
};
