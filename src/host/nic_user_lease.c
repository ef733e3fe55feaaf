/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses that are a guest's before it asks. libslirp gives the first address that nobody has, and keeps it
 * for the Ethernet address that asked; so a discovery with a wish (RFC 2131) is put in here in the guest's
 * name, and the offer is kept from the guests.
 */
#include <errno.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>

#include "core/internet_sum.h"
#include "host/nic_user_private.h"

#define DHCP_SERVER_PORT 67
#define DHCP_CLIENT_PORT 68
#define DHCP_COOKIE	 0x63825363u
#define ASKED_ID	 0x76696164u

/* RFC 2131, 2; libslirp's messages have that much room for options. */
struct dhcp_message {
	uint8_t operation, hardware, hardware_bytes, hops;
	uint32_t id;
	uint16_t seconds, flags;
	struct in_addr client, yours, server, relay;
	uint8_t client_hardware[16], server_name[64], file[128];
	uint32_t cookie;
	uint8_t options[308];
};
static_assert(sizeof(struct dhcp_message) == 548, "as RFC 2131 has it");

struct __attribute__((packed)) dhcp_frame {
	struct ether_header ethernet;
	struct iphdr ip;
	struct udphdr udp;
	struct dhcp_message dhcp;
};

struct lease {
	const uint8_t *mac;
	struct in_addr address;
};

static void fill_discovery(struct dhcp_frame *frame, const struct lease *lease)
{
	const uint8_t options[] = { 53, 1, 1, 50, 4 }; /* a discovery; the address that is wished for */
	struct internet_sum sum = { 0 };
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.tot_len = htons(sizeof(*frame) - sizeof(frame->ethernet)),
		.ttl = 64,
		.protocol = IPPROTO_UDP,
		.daddr = INADDR_BROADCAST,
	};

	*frame = (struct dhcp_frame){
		.ethernet.ether_type = htons(ETHERTYPE_IP),
		.udp = { .source = htons(DHCP_CLIENT_PORT),
			 .dest = htons(DHCP_SERVER_PORT),
			 .len = htons(sizeof(frame->udp) + sizeof(frame->dhcp)) },
		.dhcp = { .operation = 1,
			  .hardware = 1,
			  .hardware_bytes = FRAME_ADDRESS_BYTES,
			  .id = htonl(ASKED_ID),
			  .cookie = htonl(DHCP_COOKIE) },
	};
	internet_sum_add(&sum, &ip, sizeof(ip));
	ip.check = (uint16_t)~internet_sum_fold(&sum);
	frame->ip = ip;
	memset(frame->ethernet.ether_dhost, 0xff, FRAME_ADDRESS_BYTES);
	memcpy(frame->ethernet.ether_shost, lease->mac, FRAME_ADDRESS_BYTES);
	memcpy(frame->dhcp.client_hardware, lease->mac, FRAME_ADDRESS_BYTES);
	memcpy(frame->dhcp.options, options, sizeof(options));
	memcpy(frame->dhcp.options + sizeof(options), &lease->address, sizeof(lease->address));
	frame->dhcp.options[sizeof(options) + sizeof(lease->address)] = 255;
}

bool user_lease_is_offer(struct nic_user *nic, const uint8_t *frame, size_t bytes)
{
	struct dhcp_frame reply;

	if (bytes < sizeof(reply) - sizeof(reply.dhcp.options))
		return false;
	memcpy(&reply, frame, sizeof(reply) - sizeof(reply.dhcp.options));
	if (reply.ethernet.ether_type != htons(ETHERTYPE_IP) || reply.ip.protocol != IPPROTO_UDP ||
	    reply.udp.dest != htons(DHCP_CLIENT_PORT) || reply.dhcp.id != htonl(ASKED_ID))
		return false;
	*nic->offer = reply.dhcp.yours;
	return true;
}

/* On the NIC's thread. */
static int ask(struct nic_user *nic, const void *argument)
{
	const struct lease *lease = argument;
	struct in_addr offer = { .s_addr = 0 };
	struct dhcp_frame frame;

	fill_discovery(&frame, lease);
	nic->offer = &offer;
	slirp_input(nic->slirp, (const uint8_t *)&frame, sizeof(frame));
	nic->offer = NULL;
	return offer.s_addr == lease->address.s_addr ? 0 : -EADDRINUSE;
}

int nic_user_lease(struct host_nic *base, const uint8_t mac[FRAME_ADDRESS_BYTES], unsigned index)
{
	struct nic_user *nic = nic_user_of(base);
	struct lease lease = {
		.mac = mac,
		.address.s_addr = nic->network.s_addr | htonl(NIC_USER_LEASE_FIRST + index),
	};

	assert(index < NIC_USER_LEASES_MAX);
	return user_thread_call(nic, ask, &lease);
}
