/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cut_frames: writes a capture file (pcap, Ethernet) to its standard output, with what the switch makes of
 * frames for a receiver that does nothing itself: for test_cut_frames.py, which has another program judge it.
 *
 * Every version of IP with TCP and UDP, with and without a tag, with options or extension headers, payload of
 * odd and even lengths, as segments and as a single frame. PSH is set in the last segment of each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/switch/packet.h"
#include "core/iov.h"
#include "frame_recipe.h"

#define PCAP_MAGIC    0xa1b2c3d4u
#define PCAP_ETHERNET 1u
#define TCP_PSH_ACK   0x18u

#define ROUTING_HEADER	    43
#define DESTINATION_OPTIONS 60

static const uint32_t sizes[] = { 0, 1, 2, 777, 1448, 1449, 9001, 65000 };

static uint8_t payload[65536], bytes[RECIPE_BYTES_MAX], out[RECIPE_BYTES_MAX];
static uint64_t pieces_random = 1;
static uint32_t sequence = 0xfffff000u;

static void put32(uint32_t value)
{
	fwrite(&value, sizeof(value), 1, stdout);
}

static void write_capture_header(void)
{
	put32(PCAP_MAGIC);
	put32(2 | 4 << 16); /* version 2.4 */
	put32(0);
	put32(0);
	put32(FRAME_BYTES_MAX);
	put32(PCAP_ETHERNET);
}

static void write_frame(const struct frame *frame)
{
	if (iov_copy_out(frame->iov, frame->iov_count, 0, out, frame->bytes) != frame->bytes)
		abort();
	put32(0);
	put32(0);
	put32(frame->bytes);
	put32(frame->bytes);
	fwrite(out, 1, frame->bytes, stdout);
}

static void cut(struct frame_recipe *recipe, uint16_t gso_bytes, int tag)
{
	static const struct frame_abilities none = { .mtu = 9000 };
	static struct packet_cut cut;
	static struct packet packet;
	struct frame_pieces pieces;
	struct frame frame = { .offload = frame_recipe_offload(recipe, gso_bytes, false) };
	const struct frame *next;

	recipe->sequence = sequence;
	recipe->identification = (uint16_t)sequence;
	sequence += 0x01234567;
	frame.bytes = frame_recipe_write(recipe, bytes);
	frame_pieces_init(&pieces, bytes, frame.bytes, FRAME_IOV_MAX, &pieces_random);
	frame.iov = pieces.iov;
	frame.iov_count = pieces.count;
	if (packet_parse(&frame, &packet) != PACKET_FINE ||
	    packet_cut_begin(&cut, &packet, &frame, &none, tag) != PACKET_FINE)
		abort();
	while ((next = packet_cut_next(&cut)))
		write_frame(next);
	frame_pieces_finish(&pieces);
}

static void cut_sizes(struct frame_recipe *recipe)
{
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		recipe->payload = payload + i;
		recipe->payload_bytes = sizes[i];
		cut(recipe, 1448, PACKET_UNTAGGED);
		cut(recipe, 1001, 7);
		if (sizes[i] < 2000)
			cut(recipe, 0, PACKET_UNTAGGED);
	}
}

int main(void)
{
	for (unsigned i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 31 + i / 256);
	write_capture_header();
	for (unsigned which = 0; which < 16; which++) {
		struct frame_recipe recipe = {
			.ipv6 = which & 1,
			.protocol = which & 2 ? PACKET_UDP : PACKET_TCP,
			.tags = which >> 2 & 1,
			.tag = { 5 },
			.tcp_flags = TCP_PSH_ACK,
			.checksum = RECIPE_PARTIAL,
		};

		if (which & 8) {
			recipe.ipv4_option_bytes = 8;
			recipe.tcp_option_bytes = 12;
			recipe.extensions = 2;
			recipe.extension_type[0] = ROUTING_HEADER;
			recipe.extension_bytes[0] = 24;
			recipe.extension_type[1] = DESTINATION_OPTIONS;
			recipe.extension_bytes[1] = 16;
		}
		cut_sizes(&recipe);
	}
	return fflush(stdout) == 0 ? 0 : 1;
}
