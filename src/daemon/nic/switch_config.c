/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/nic/switch_config.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "arbiter/switch/uplink_meter.h"
#include "daemon/config/config_values.h"

#define FLOOD_MAX 10000000

/* ---- what the texts mean ---- */

struct uplink_name switch_uplink_name(const struct config_switch *settings)
{
	struct uplink_name uplink = { .kind = UPLINK_NONE };
	bool parsed = nic_parse_uplink(settings->uplink, &uplink);

	assert(parsed);
	return uplink;
}

static bool has_ipv6(const struct config_switch *settings)
{
	return strcmp(settings->network6, "none") != 0;
}

struct nic_user_options switch_user_options(const struct config_switch *settings)
{
	struct nic_user_options options = {
		.name = settings->object.name,
		.ipv4_only = !has_ipv6(settings),
		.mtu = (uint16_t)settings->mtu,
		.hostname = settings->hostname,
		.loopback = settings->host_loopback,
		.restricted = settings->restricted,
		.sockets_max = (unsigned)settings->sockets,
	};
	bool parsed = nic_parse_network(settings->network, &options.network, &options.network_bits);

	if (has_ipv6(settings))
		parsed = parsed && nic_parse_network6(settings->network6, &options.network6);
	assert(parsed);
	return options;
}

struct nic_vxlan_options switch_vxlan_options(const struct config_switch *settings,
					      union nic_vxlan_address peers[NIC_VXLAN_PEERS_MAX])
{
	struct nic_vxlan_options options = {
		.vni = (uint32_t)settings->vni,
		.port = (uint16_t)settings->port,
		.mtu = (uint16_t)settings->mtu,
		.peers = peers,
		.fd = -1,
	};
	bool parsed = nic_parse_peers(settings->peers, peers, &options.peer_count);

	if (settings->local)
		parsed = parsed && nic_parse_host(settings->local, &options.local);
	assert(parsed);
	return options;
}

struct port_settings switch_uplink_settings(const struct config_switch *settings)
{
	return (struct port_settings){ .link = true, .flood_limit = (uint32_t)settings->flood_limit };
}

bool switch_same_uplink(const struct config_switch *one, const struct config_switch *other)
{
	return value_same_text(one->uplink, other->uplink) && one->offload == other->offload &&
	       value_same_text(one->network, other->network) &&
	       value_same_text(one->network6, other->network6) &&
	       value_same_text(one->hostname, other->hostname) && one->mtu == other->mtu &&
	       one->sockets == other->sockets && one->host_loopback == other->host_loopback &&
	       one->restricted == other->restricted && one->vni == other->vni && one->port == other->port &&
	       value_same_text(one->peers, other->peers) && value_same_text(one->local, other->local);
}

/* ---- checks ---- */

#define FOR(kind) (1u << UPLINK_##kind)

/* Keys that some kinds of uplinks read. */
static const struct {
	const char *key, *uplinks;
	unsigned kinds;
} special_keys[] = {
	{ "offload", "tap:NAME", FOR(TAP) },
	{ "network", "user", FOR(USER) },
	{ "network6", "user", FOR(USER) },
	{ "hostname", "user", FOR(USER) },
	{ "forward", "user", FOR(USER) },
	{ "sockets", "user", FOR(USER) },
	{ "host_loopback", "user", FOR(USER) },
	{ "restricted", "user", FOR(USER) },
	{ "vni", "vxlan", FOR(VXLAN) },
	{ "peers", "vxlan", FOR(VXLAN) },
	{ "local", "vxlan", FOR(VXLAN) },
	{ "port", "vxlan", FOR(VXLAN) },
	{ "mtu", "user and vxlan", FOR(USER) | FOR(VXLAN) },
};

/* One that this uplink does not read is a mistake: its value would not hold. */
static void check_foreign_keys(const struct config_switch *settings, enum uplink_kind kind,
			       struct config_messages *messages)
{
	for (unsigned i = 0; i < sizeof(special_keys) / sizeof(special_keys[0]); i++) {
		const char *key = special_keys[i].key, *file;
		unsigned line = config_line_of(&settings->object, key, &file);

		if (config_given(&settings->object, key) && !(special_keys[i].kinds >> kind & 1))
			config_message(messages, file, line, "%s is for uplink = %s only", key,
				       special_keys[i].uplinks);
	}
}

/* One interface is the uplink of one switch. */
static void check_interface(const struct config *config, const struct config_switch *settings,
			    const struct uplink_name *uplink, struct config_messages *messages)
{
	for (const struct config_object *object = config_list(config, &config_section_switch);
	     object != &settings->object; object = object->next) {
		const struct config_switch *before = (const struct config_switch *)object;
		struct uplink_name other;

		if (nic_parse_uplink(before->uplink, &other) && other.interface[0] &&
		    strcmp(other.interface, uplink->interface) == 0)
			config_complain(&settings->object, "uplink", messages, settings->uplink,
					"is the uplink of another switch already");
	}
}

struct forward_check {
	const struct config_switch *settings;
	const struct nic_user_options *options;
	struct config_messages *messages;
};

static bool is_inside(const struct nic_user_options *options, const union nic_user_address *guest)
{
	uint32_t mask = 0xffffffffu << (32 - options->network_bits);

	if (guest->any.sa_family == AF_INET6)
		return !options->ipv4_only && memcmp(&guest->ipv6.sin6_addr, &options->network6, 8) == 0;
	return ((guest->ipv4.sin_addr.s_addr ^ options->network.s_addr) & htonl(mask)) == 0;
}

static void check_forward(void *context, const struct nic_user_forward *forward)
{
	const struct forward_check *check = context;
	char text[FORWARD_TEXT_MAX];

	if (!is_inside(check->options, &forward->guest))
		config_complain(&check->settings->object, "forward", check->messages,
				nic_format_forward(forward, text),
				"leads to an address outside of the switch's network and network6");
}

static void check_mtu(const struct config_switch *settings, unsigned least, unsigned most,
		      struct config_messages *messages)
{
	const char *file;
	unsigned line = config_line_of(&settings->object, "mtu", &file);

	if (settings->mtu && (settings->mtu < least || settings->mtu > most))
		config_message(messages, file, line, "mtu = %llu is out of range for uplink = %s: %u to %u",
			       (unsigned long long)settings->mtu, settings->uplink, least, most);
}

static void check_user(const struct config_switch *settings, struct config_messages *messages)
{
	struct nic_user_options options;
	struct forward_check check = { settings, &options, messages };
	unsigned before = messages->count;

	check_mtu(settings, NIC_USER_MTU_MIN, NIC_USER_MTU_MAX, messages);
	if (!nic_parse_network(settings->network, &options.network, &options.network_bits))
		config_complain(&settings->object, "network", messages, settings->network,
				"is no IPv4 network of 8 to 27 bits, for example 10.0.2.0/24");
	if (has_ipv6(settings) && !nic_parse_network6(settings->network6, &options.network6))
		config_complain(&settings->object, "network6", messages, settings->network6,
				"is no IPv6 network of 64 bits, for example fd00::/64, and not none");
	if (settings->hostname &&
	    (strlen(settings->hostname) > NIC_USER_HOSTNAME_MAX || settings->hostname[0] == '\0'))
		config_complain(&settings->object, "hostname", messages, settings->hostname,
				"is no name of 1 to 32 characters");
	if (messages->count > before)
		return;
	options = switch_user_options(settings);
	if (settings->forward && !nic_parse_forwards(settings->forward, check_forward, &check))
		config_complain(&settings->object, "forward", messages, settings->forward,
				"is no list of forwards, for example tcp:127.0.0.1:2222-10.0.2.15:22");
}

static void check_vxlan(const struct config_switch *settings, struct config_messages *messages)
{
	union nic_vxlan_address peers[NIC_VXLAN_PEERS_MAX] = { 0 }, local = { 0 };
	const struct config_object *object = &settings->object;
	bool peers_good, local_good = !settings->local || nic_parse_host(settings->local, &local);
	unsigned count;

	check_mtu(settings, NIC_VXLAN_MTU_MIN, NIC_VXLAN_MTU_MAX, messages);
	if (!config_given(object, "vni"))
		config_message(messages, object->file, object->line,
			       "[switch %s] has no vni; add for example vni = 42, the same on all hosts",
			       object->name);
	if (!settings->peers) {
		config_message(messages, object->file, object->line,
			       "[switch %s] has no peers; add for example peers = 192.0.2.1, 192.0.2.2",
			       object->name);
		return;
	}
	peers_good = nic_parse_peers(settings->peers, peers, &count);
	if (!peers_good)
		config_complain(
			&settings->object, "peers", messages, settings->peers,
			"is no list of at most 64 addresses of one family, for example 192.0.2.1, 192.0.2.2");
	if (!local_good)
		config_complain(&settings->object, "local", messages, settings->local,
				"is no address, for example 192.0.2.1");
	else if (settings->local && peers_good && local.any.sa_family != peers[0].any.sa_family)
		config_complain(&settings->object, "local", messages, settings->local,
				"is of another family than peers");
}

static void check_switch(const struct config *config, const struct config_object *object,
			 struct config_messages *messages)
{
	const struct config_switch *settings = (const struct config_switch *)object;
	struct uplink_name uplink;

	if (!nic_parse_uplink(settings->uplink, &uplink)) {
		config_complain(&settings->object, "uplink", messages, settings->uplink,
				"is no uplink: give none, user, tap:NAME, packet:INTERFACE or vxlan");
		return;
	}
	check_foreign_keys(settings, uplink.kind, messages);
	if (uplink.interface[0])
		check_interface(config, settings, &uplink, messages);
	if (uplink.kind == UPLINK_USER)
		check_user(settings, messages);
	if (uplink.kind == UPLINK_VXLAN)
		check_vxlan(settings, messages);
}

/* ---- the table ---- */

#define TEXT(field, ...)                                                                                     \
	{                                                                                                    \
		.name = #field, .type = CONFIG_TEXT, .offset = offsetof(struct config_switch, field),        \
		__VA_ARGS__                                                                                  \
	}
#define FLAG(field, value, ...)                                                                              \
	{                                                                                                    \
		.name = #field, .type = CONFIG_BOOLEAN, .offset = offsetof(struct config_switch, field),     \
		.initial = value, __VA_ARGS__                                                                \
	}

static const struct config_key switch_keys[] = {
	TEXT(uplink, .initial = "none",
	     .help = "The way to the world. none: the guests are among themselves; user: a NAT that needs no "
		     "rights; tap:NAME: an interface of the host's, made when it is missing; "
		     "packet:INTERFACE: a physical card or another interface that the host has; vxlan: a "
		     "network that guests of several hosts share."),
	{ .name = "ageing",
	  .type = CONFIG_NUMBER,
	  .offset = offsetof(struct config_switch, ageing_s),
	  .minimum = 10,
	  .maximum = 1000000,
	  .initial = "300",
	  .help = "Seconds after which a learned address that is silent is forgotten." },
	{ .name = "flood_limit",
	  .type = CONFIG_NUMBER,
	  .live = true,
	  .offset = offsetof(struct config_switch, flood_limit),
	  .maximum = FLOOD_MAX,
	  .initial = "10000",
	  .help = "Broadcasts and multicasts a second that come in through the uplink. 0: no limit." },
	{ .name = "capacity_bandwidth",
	  .type = CONFIG_SIZE,
	  .live = true,
	  .offset = offsetof(struct config_switch, capacity_bandwidth),
	  .minimum = UPLINK_BANDWIDTH_MIN,
	  .maximum = UPLINK_BANDWIDTH_MAX,
	  .help = "What the uplink carries, in bytes a second: guests send no more than that together. "
		  "Default: the speed of its interface, or 10 Gbit/s for one that has none, as the measure "
		  "of reservations only." },
	FLAG(offload, "yes",
	     .help = "Uplink tap: frames pass it unsegmented and without checksums, where either side can."),
	TEXT(network, .initial = "10.0.2.0/24",
	     .help = "Uplink user: IPv4 network of the guests. The gateway has its address 2, the name "
		     "server 3; DHCP gives each card one of 15 to 30 that it keeps."),
	TEXT(network6, .initial = "fd00::/64", .help = "Uplink user: the same for IPv6. none: no IPv6."),
	TEXT(hostname, .help = "Uplink user: the name that DHCP gives guests. Default: none."),
	{ .name = "mtu",
	  .type = CONFIG_NUMBER,
	  .offset = offsetof(struct config_switch, mtu),
	  .minimum = NIC_VXLAN_MTU_MIN,
	  .maximum = NIC_USER_MTU_MAX,
	  .help = "Uplinks user and vxlan: largest packet in bytes, without the Ethernet header. Default: "
		  "1500; vxlan 1450, or 1430 between hosts with IPv6." },
	{ .name = "sockets",
	  .type = CONFIG_NUMBER,
	  .offset = offsetof(struct config_switch, sockets),
	  .minimum = 1,
	  .maximum = NIC_USER_SOCKETS_MAX,
	  .initial = "1024",
	  .help = "Uplink user: sockets that all guests of the switch together may have open." },
	FLAG(host_loopback, "no",
	     .help = "Uplink user: the gateway's address leads to the host's loopback, so that guests reach "
		     "what listens there."),
	FLAG(restricted, "no", .help = "Uplink user: guests connect to nowhere; forwards still work."),
	TEXT(forward, .live = true,
	     .help = "Uplink user: connections to the host that lead to a guest, a list of "
		     "PROTOCOL:[HOST]:PORT-GUEST:PORT. Without HOST: the host's loopback. Example: "
		     "tcp:127.0.0.1:2222-10.0.2.15:22. Default: none."),
	{ .name = "vni",
	  .type = CONFIG_NUMBER,
	  .offset = offsetof(struct config_switch, vni),
	  .maximum = NIC_VXLAN_VNI_MAX,
	  .initial = "0",
	  .help = "Uplink vxlan: number of the network, the same on all hosts. Required." },
	TEXT(peers, .help = "Uplink vxlan: addresses of all the other hosts, a list of at most 64 of one "
			    "family. With local, the own one may be among them. Required."),
	TEXT(local,
	     .help = "Uplink vxlan: the host's address that receives, and is sent from. Default: any."),
	{ .name = "port",
	  .type = CONFIG_NUMBER,
	  .offset = offsetof(struct config_switch, port),
	  .minimum = 1,
	  .maximum = 65535,
	  .initial = "4789",
	  .help = "Uplink vxlan: UDP port, the same on all hosts." },
};

static_assert(sizeof(switch_keys) / sizeof(switch_keys[0]) <= CONFIG_KEYS_MAX,
	      "struct config_object has room");

const struct config_section config_section_switch = {
	.name = "switch",
	.naming = CONFIG_NAMED,
	.example = "[switch lan]",
	.object_bytes = sizeof(struct config_switch),
	.keys = switch_keys,
	.key_count = sizeof(switch_keys) / sizeof(switch_keys[0]),
	.help = "A virtual switch, and the physical card that it is connected to the world with.",
	.check = check_switch,
};
