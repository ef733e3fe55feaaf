/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/nic/nic_text.h"

#include <arpa/inet.h>
#include <assert.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "daemon/config/config_values.h"

#define TEXT_PART_MAX	  64u
#define ENDPOINT_TEXT_MAX (INET6_ADDRSTRLEN + 10) /* with brackets and a port */

/* ---- cards ---- */

bool nic_parse_mac(const char *text, uint8_t ret_address[FRAME_ADDRESS_BYTES])
{
	static const uint8_t none[FRAME_ADDRESS_BYTES];
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	uint8_t address[FRAME_ADDRESS_BYTES];

	for (unsigned i = 0; i < FRAME_ADDRESS_BYTES; i++, text += 3) {
		const char *high = text[0] ? strchr(digits, text[0]) : NULL;
		const char *low = high && text[1] ? strchr(digits, text[1]) : NULL;

		if (!low || text[2] != (i == FRAME_ADDRESS_BYTES - 1 ? '\0' : ':'))
			return false;
		address[i] = (uint8_t)((high - digits) % 16 << 4 | (low - digits) % 16);
	}
	if (address[0] & 1 || memcmp(address, none, sizeof(none)) == 0)
		return false;
	memcpy(ret_address, address, sizeof(address));
	return true;
}

/* Cuts the next part off a list with commas; *list is NULL after the last. False: it is empty or too long. */
static bool next_part(const char **list, char *part, size_t part_bytes)
{
	size_t length = strcspn(*list, ",");
	const char *begin = *list;

	*list = begin[length] == ',' ? begin + length + 1 : NULL;
	while (length > 0 && *begin == ' ') {
		begin++;
		length--;
	}
	while (length > 0 && begin[length - 1] == ' ')
		length--;
	if (length == 0 || length >= part_bytes)
		return false;
	memcpy(part, begin, length);
	part[length] = '\0';
	return true;
}

bool nic_parse_vlans(const char *text, uint64_t ret_vlans[4096 / 64])
{
	uint64_t vlans[4096 / 64] = { 0 }, first, last;
	char part[TEXT_PART_MAX], *dash;

	do {
		if (!next_part(&text, part, sizeof(part)))
			return false;
		dash = strchr(part, '-');
		if (dash)
			*dash++ = '\0';
		if (value_parse_number(part, &first) != 0 ||
		    value_parse_number(dash ? dash : part, &last) != 0 || first < 1 || last < first ||
		    last > 4094)
			return false;
		for (uint64_t vlan = first; vlan <= last; vlan++)
			vlans[vlan / 64] |= 1ull << vlan % 64;
	} while (text);
	memcpy(ret_vlans, vlans, sizeof(vlans));
	return true;
}

static bool parse_prefix(char *text, struct ip_prefix *ret_prefix)
{
	char *slash = strchr(text, '/');
	struct ip_prefix prefix = { .bits = 0 };
	uint64_t bits;

	if (slash)
		*slash++ = '\0';
	if (inet_pton(AF_INET, text, prefix.address + 12) == 1) {
		prefix.address[10] = prefix.address[11] = 0xff;
		bits = 32;
	} else if (inet_pton(AF_INET6, text, prefix.address) == 1) {
		bits = 128;
	} else {
		return false;
	}
	if (slash) {
		uint64_t most = bits;

		if (value_parse_number(slash, &bits) != 0 || bits > most)
			return false;
		bits += 128 - most;
	} else {
		bits = 128;
	}
	prefix.bits = (uint8_t)bits;
	*ret_prefix = prefix;
	return true;
}

bool nic_parse_ips(const char *text, struct ip_prefix ret_prefixes[PORT_ALLOWED_MAX], unsigned *ret_count)
{
	char part[TEXT_PART_MAX];
	unsigned count = 0;

	do {
		if (count == PORT_ALLOWED_MAX || !next_part(&text, part, sizeof(part)) ||
		    !parse_prefix(part, &ret_prefixes[count++]))
			return false;
	} while (text);
	*ret_count = count;
	return true;
}

/* ---- uplinks ---- */

/* What the kernel takes as the name of an interface, but for odd characters. */
static bool is_interface_name(const char *text)
{
	return value_is_name(text, strlen(text), IFNAMSIZ - 1);
}

bool nic_parse_uplink(const char *text, struct uplink_name *ret_uplink)
{
	static const struct {
		const char *prefix;
		enum uplink_kind kind;
	} interfaces[] = { { "tap:", UPLINK_TAP }, { "packet:", UPLINK_PACKET } };
	struct uplink_name uplink = { .kind = UPLINK_NONE };
	bool known = true;

	if (strcmp(text, "user") == 0)
		uplink.kind = UPLINK_USER;
	else if (strcmp(text, "vxlan") == 0)
		uplink.kind = UPLINK_VXLAN;
	else
		known = strcmp(text, "none") == 0;
	for (unsigned i = 0; i < sizeof(interfaces) / sizeof(interfaces[0]) && !known; i++) {
		size_t length = strlen(interfaces[i].prefix);

		if (strncmp(text, interfaces[i].prefix, length) != 0 || !is_interface_name(text + length))
			continue;
		uplink.kind = interfaces[i].kind;
		snprintf(uplink.interface, sizeof(uplink.interface), "%s", text + length);
		known = true;
	}
	if (known)
		*ret_uplink = uplink;
	return known;
}

/* By the first byte: not this network, not loopback, nothing from multicast on. */
static bool is_for_guests(uint32_t first)
{
	return first != 0 && first != 127 && first < 224;
}

bool nic_parse_network(const char *text, struct in_addr *ret_network, unsigned *ret_bits)
{
	char part[TEXT_PART_MAX];
	struct in_addr network;
	uint64_t bits;
	char *slash;

	if (strlen(text) >= sizeof(part))
		return false;
	snprintf(part, sizeof(part), "%s", text);
	slash = strchr(part, '/');
	if (!slash)
		return false;
	*slash++ = '\0';
	if (inet_pton(AF_INET, part, &network) != 1 || value_parse_number(slash, &bits) != 0 ||
	    bits < NIC_USER_NETWORK_BITS_MIN || bits > NIC_USER_NETWORK_BITS_MAX ||
	    ntohl(network.s_addr) & ((1ull << (32 - bits)) - 1) ||
	    !is_for_guests(ntohl(network.s_addr) >> 24))
		return false;
	*ret_network = network;
	*ret_bits = (unsigned)bits;
	return true;
}

bool nic_parse_network6(const char *text, struct in6_addr *ret_network)
{
	static const uint8_t zeroes[8];
	char part[TEXT_PART_MAX];
	struct in6_addr network;
	size_t length = strlen(text);

	if (length < 3 || length >= sizeof(part) || strcmp(text + length - 3, "/64") != 0)
		return false;
	snprintf(part, sizeof(part), "%.*s", (int)length - 3, text);
	if (inet_pton(AF_INET6, part, &network) != 1 || memcmp(network.s6_addr + 8, zeroes, 8) != 0 ||
	    memcmp(network.s6_addr, zeroes, 2) == 0 || network.s6_addr[0] >= 0xfe)
		return false;
	*ret_network = network;
	return true;
}

bool nic_parse_host(const char *text, union nic_vxlan_address *ret_address)
{
	union nic_vxlan_address address = { .any.sa_family = AF_UNSPEC };

	if (inet_pton(AF_INET, text, &address.ipv4.sin_addr) == 1)
		address.ipv4.sin_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &address.ipv6.sin6_addr) == 1)
		address.ipv6.sin6_family = AF_INET6;
	else
		return false;
	*ret_address = address;
	return true;
}

bool nic_parse_peers(const char *text, union nic_vxlan_address ret_peers[NIC_VXLAN_PEERS_MAX],
		     unsigned *ret_count)
{
	char part[TEXT_PART_MAX];
	unsigned count = 0;

	do {
		if (count == NIC_VXLAN_PEERS_MAX || !next_part(&text, part, sizeof(part)) ||
		    !nic_parse_host(part, &ret_peers[count]) ||
		    ret_peers[count].any.sa_family != ret_peers[0].any.sa_family)
			return false;
		count++;
	} while (text);
	*ret_count = count;
	return true;
}

/* ---- forwards ---- */

/* "10.0.2.15:22", "[fd00::15]:22", and ":22" if `missing` names the address that this means. */
static bool parse_endpoint(char *text, const char *missing, union nic_user_address *ret_address)
{
	union nic_user_address address = { .any.sa_family = AF_UNSPEC };
	bool bracketed = text[0] == '[';
	char *colon = strrchr(text, ':'), *end = bracketed ? strchr(text, ']') : colon;
	uint64_t port;

	if (!colon || !end || (bracketed && end + 1 != colon))
		return false;
	*end = '\0';
	if (value_parse_number(colon + 1, &port) != 0 || port < 1 || port > 65535)
		return false;
	if (end == text && missing)
		text = (char *)missing;
	if (inet_pton(AF_INET, text, &address.ipv4.sin_addr) == 1 && !bracketed) {
		address.ipv4.sin_family = AF_INET;
		address.ipv4.sin_port = htons((uint16_t)port);
	} else if (inet_pton(AF_INET6, bracketed ? text + 1 : text, &address.ipv6.sin6_addr) == 1 &&
		   (bracketed || text == missing)) {
		address.ipv6.sin6_family = AF_INET6;
		address.ipv6.sin6_port = htons((uint16_t)port);
	} else {
		return false;
	}
	*ret_address = address;
	return true;
}

bool nic_parse_forward(const char *text, struct nic_user_forward *ret_forward)
{
	struct nic_user_forward forward = { .udp = strncmp(text, "udp:", 4) == 0 };
	char part[FORWARD_TEXT_MAX], *dash;

	if ((!forward.udp && strncmp(text, "tcp:", 4) != 0) || strlen(text) >= sizeof(part))
		return false;
	snprintf(part, sizeof(part), "%s", text + 4);
	dash = strchr(part, '-');
	if (!dash)
		return false;
	*dash = '\0';
	if (!parse_endpoint(dash + 1, NULL, &forward.guest) ||
	    !parse_endpoint(part, forward.guest.any.sa_family == AF_INET ? "127.0.0.1" : "::1",
			    &forward.host) ||
	    forward.host.any.sa_family != forward.guest.any.sa_family)
		return false;
	*ret_forward = forward;
	return true;
}

bool nic_parse_forwards(const char *text, void (*each)(void *context, const struct nic_user_forward *forward),
			void *context)
{
	struct nic_user_forward forward;
	char part[FORWARD_TEXT_MAX];

	do {
		if (!next_part(&text, part, sizeof(part)) || !nic_parse_forward(part, &forward))
			return false;
		if (each)
			each(context, &forward);
	} while (text);
	return true;
}

static void format_endpoint(const union nic_user_address *address, char text[ENDPOINT_TEXT_MAX])
{
	char ip[INET6_ADDRSTRLEN] = "";

	if (address->any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &address->ipv4.sin_addr, ip, sizeof(ip));
		snprintf(text, ENDPOINT_TEXT_MAX, "%s:%u", ip, ntohs(address->ipv4.sin_port));
	} else {
		inet_ntop(AF_INET6, &address->ipv6.sin6_addr, ip, sizeof(ip));
		snprintf(text, ENDPOINT_TEXT_MAX, "[%s]:%u", ip, ntohs(address->ipv6.sin6_port));
	}
}

const char *nic_format_forward(const struct nic_user_forward *forward, char text[FORWARD_TEXT_MAX])
{
	char host[ENDPOINT_TEXT_MAX], guest[ENDPOINT_TEXT_MAX];

	format_endpoint(&forward->host, host);
	format_endpoint(&forward->guest, guest);
	snprintf(text, FORWARD_TEXT_MAX, "%s:%s-%s", forward->udp ? "udp" : "tcp", host, guest);
	return text;
}
