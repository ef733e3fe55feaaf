/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/nic/capture_line.h"

#include <arpa/inet.h>
#include <string.h>
#include <time.h>

#include "arbiter/switch/packet.h"
#include "core/big_endian.h"
#include "core/pcapng.h"

/* Offsets in the headers of IPv4, IPv6 and ARP (RFC 791, 8200, 826). */
#define IPV4_SOURCE	 12u
#define IPV4_DESTINATION 16u
#define IPV6_SOURCE	 8u
#define IPV6_DESTINATION 24u
#define ARP_OPERATION	 6u
#define ARP_SENDER	 14u
#define ARP_TARGET	 24u
#define ARP_REQUEST	 1u

static void print_time(FILE *out, uint64_t time_ns)
{
	time_t seconds = (time_t)(time_ns / 1000000000u);
	struct tm local;
	char text[16] = "";

	if (localtime_r(&seconds, &local))
		strftime(text, sizeof(text), "%H:%M:%S", &local);
	fprintf(out, "%s.%06u", text, (unsigned)(time_ns % 1000000000u / 1000));
}

static void print_mac(FILE *out, const uint8_t *mac)
{
	fprintf(out, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

/* With the port of TCP or UDP; `port` 0: without. */
static void print_address(FILE *out, int family, const uint8_t *address, unsigned port)
{
	char text[INET6_ADDRSTRLEN] = "";

	inet_ntop(family, address, text, sizeof(text));
	if (port == 0)
		fputs(text, out);
	else
		fprintf(out, family == AF_INET6 ? "[%s]:%u" : "%s:%u", text, port);
}

static void print_protocol(FILE *out, const struct packet *packet)
{
	switch (packet->protocol) {
	case PACKET_TCP:
		fputs(" TCP", out);
		break;
	case PACKET_UDP:
		fputs(" UDP", out);
		break;
	case PACKET_ICMP:
		fputs(" ICMP", out);
		break;
	case PACKET_ICMPV6:
		fputs(" ICMPv6", out);
		break;
	default:
		fprintf(out, " protocol %u", packet->protocol);
	}
	if (packet->fragment)
		fputs(" fragment", out);
}

static void print_ip(FILE *out, const struct packet *packet, unsigned kept)
{
	bool six = packet->type == PACKET_IPV6, ports = packet->payload > 0 && packet->transport + 4 <= kept;
	const uint8_t *header = packet->head + packet->network, *transport = packet->head + packet->transport;
	int family = six ? AF_INET6 : AF_INET;

	fputs(six ? " IPv6" : " IPv4", out);
	if (!packet->network || packet->network + (six ? 40u : 20u) > kept)
		return;
	fputc(' ', out);
	print_address(out, family, header + (six ? IPV6_SOURCE : IPV4_SOURCE),
		      ports ? big16_get(transport) : 0);
	fputs(" > ", out);
	print_address(out, family, header + (six ? IPV6_DESTINATION : IPV4_DESTINATION),
		      ports ? big16_get(transport + 2) : 0);
	print_protocol(out, packet);
}

static void print_arp(FILE *out, const struct packet *packet, unsigned kept)
{
	const uint8_t *message = packet->head + packet->network;

	fputs(" ARP", out);
	if (!packet->network || packet->network + 28u > kept)
		return;
	fputc(' ', out);
	print_address(out, AF_INET, message + ARP_SENDER, 0);
	fputs(big16_get(message + ARP_OPERATION) == ARP_REQUEST ? " asks for " : " answers ", out);
	print_address(out, AF_INET, message + ARP_TARGET, 0);
}

static void print_packet(FILE *out, const struct packet *packet, unsigned kept)
{
	print_mac(out, packet_source(packet));
	fputs(" > ", out);
	print_mac(out, packet_destination(packet));
	if (packet->tags > 0)
		fprintf(out, " VLAN %u", packet->tag & 0xfffu);
	if (packet->type == PACKET_ARP)
		print_arp(out, packet, kept);
	else if (packet->type == PACKET_IPV4 || packet->type == PACKET_IPV6)
		print_ip(out, packet, kept);
	else
		fprintf(out, " type %04x", packet->type);
}

void capture_line_print(FILE *out, const struct pcapng_frame *captured)
{
	uint8_t head[PACKET_HEAD_BYTES] = { 0 };
	uint32_t kept = captured->kept_bytes < sizeof(head) ? captured->kept_bytes : (uint32_t)sizeof(head);
	struct iovec iov = { head,
			     captured->frame_bytes < sizeof(head) ? captured->frame_bytes : sizeof(head) };
	struct frame frame = { .iov = &iov, .iov_count = 1, .bytes = captured->frame_bytes };
	struct packet packet;

	memcpy(head, captured->bytes, kept);
	print_time(out, captured->time_ns);
	fprintf(out, " %-3s %5u ", captured->outbound ? "out" : "in", captured->frame_bytes);
	if (packet_parse(&frame, &packet) == PACKET_FINE && kept >= FRAME_HEADER_BYTES)
		print_packet(out, &packet, kept);
	else
		fputs("no Ethernet frame, or cut off", out);
	if (captured->comment_bytes > 0)
		fprintf(out, " (%.*s)", (int)captured->comment_bytes, captured->comment);
	fputc('\n', out);
}
