/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/nic/switch_config.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

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

struct port_settings switch_uplink_settings(const struct config_switch *settings)
{
	return (struct port_settings){ .link = true, .flood_limit = (uint32_t)settings->flood_limit };
}

static bool same_text(const char *one, const char *other)
{
	return one && other ? strcmp(one, other) == 0 : one == other;
}

bool switch_same_uplink(const struct config_switch *one, const struct config_switch *other)
{
	return same_text(one->uplink, other->uplink) && one->offload == other->offload &&
	       same_text(one->network, other->network) && same_text(one->network6, other->network6) &&
	       same_text(one->hostname, other->hostname) && one->mtu == other->mtu &&
	       one->sockets == other->sockets && one->host_loopback == other->host_loopback &&
	       one->restricted == other->restricted;
}

/* ---- checks ---- */

static void complain(const struct config_switch *settings, const char *key, struct config_messages *messages,
		     const char *value, const char *wrong)
{
	const char *file;
	unsigned line = config_line_of(&settings->object, key, &file);

	config_message(messages, file, line, "%s = %s %s", key, value, wrong);
}

/* A key that another uplink would read is a mistake: its value would not hold. */
static void check_foreign_keys(const struct config_switch *settings, enum uplink_kind kind,
			       struct config_messages *messages)
{
	static const struct {
		const char *key;
		enum uplink_kind kind;
	} foreign[] = {
		{ "offload", UPLINK_TAP },   { "network", UPLINK_USER },       { "network6", UPLINK_USER },
		{ "hostname", UPLINK_USER }, { "forward", UPLINK_USER },       { "mtu", UPLINK_USER },
		{ "sockets", UPLINK_USER },  { "host_loopback", UPLINK_USER }, { "restricted", UPLINK_USER },
	};

	for (unsigned i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		const char *file;
		unsigned line = config_line_of(&settings->object, foreign[i].key, &file);

		if (foreign[i].kind != kind && config_given(&settings->object, foreign[i].key))
			config_message(messages, file, line, "%s is for uplink = %s only", foreign[i].key,
				       foreign[i].kind == UPLINK_TAP ? "tap:NAME" : "user");
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
			complain(settings, "uplink", messages, settings->uplink,
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
		complain(check->settings, "forward", check->messages, nic_format_forward(forward, text),
			 "leads to an address outside of the switch's network and network6");
}

static void check_user(const struct config_switch *settings, struct config_messages *messages)
{
	struct nic_user_options options;
	struct forward_check check = { settings, &options, messages };
	unsigned before = messages->count;

	if (!nic_parse_network(settings->network, &options.network, &options.network_bits))
		complain(settings, "network", messages, settings->network,
			 "is no IPv4 network of 8 to 27 bits, for example 10.0.2.0/24");
	if (has_ipv6(settings) && !nic_parse_network6(settings->network6, &options.network6))
		complain(settings, "network6", messages, settings->network6,
			 "is no IPv6 network of 64 bits, for example fd00::/64, and not none");
	if (settings->hostname &&
	    (strlen(settings->hostname) > NIC_USER_HOSTNAME_MAX || settings->hostname[0] == '\0'))
		complain(settings, "hostname", messages, settings->hostname,
			 "is no name of 1 to 32 characters");
	if (messages->count > before)
		return;
	options = switch_user_options(settings);
	if (settings->forward && !nic_parse_forwards(settings->forward, check_forward, &check))
		complain(settings, "forward", messages, settings->forward,
			 "is no list of forwards, for example tcp:127.0.0.1:2222-10.0.2.15:22");
}

static void check_switch(const struct config *config, const struct config_object *object,
			 struct config_messages *messages)
{
	const struct config_switch *settings = (const struct config_switch *)object;
	struct uplink_name uplink;

	if (!nic_parse_uplink(settings->uplink, &uplink)) {
		complain(settings, "uplink", messages, settings->uplink,
			 "is no uplink: give none, user, tap:NAME or packet:INTERFACE");
		return;
	}
	check_foreign_keys(settings, uplink.kind, messages);
	if (uplink.interface[0])
		check_interface(config, settings, &uplink, messages);
	if (uplink.kind == UPLINK_USER)
		check_user(settings, messages);
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
		     "packet:INTERFACE: a physical card or another interface that the host has."),
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
	FLAG(offload, "yes",
	     .help = "Uplink tap: frames pass it unsegmented and without checksums, where either side can."),
	TEXT(network, .initial = "10.0.2.0/24",
	     .help = "Uplink user: IPv4 network of the guests. The gateway has its address 2, the name "
		     "server "
		     "3; DHCP gives 15 to 30."),
	TEXT(network6, .initial = "fd00::/64", .help = "Uplink user: the same for IPv6. none: no IPv6."),
	TEXT(hostname, .help = "Uplink user: the name that DHCP gives guests. Default: none."),
	{ .name = "mtu",
	  .type = CONFIG_NUMBER,
	  .offset = offsetof(struct config_switch, mtu),
	  .minimum = NIC_USER_MTU_MIN,
	  .maximum = NIC_USER_MTU_MAX,
	  .initial = "1500",
	  .help = "Uplink user: largest packet in bytes, without the Ethernet header." },
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
