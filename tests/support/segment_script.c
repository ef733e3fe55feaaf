/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "segment_script.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "arbiter/switch/packet.h"
#include "core/big_endian.h"
#include "core/iov.h"
#include "host/nic_user_join.h"

#define NETWORK 14u

/* ---- writing ---- */

static uint32_t add(uint32_t sum, const uint8_t *bytes, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

static void parse(const uint8_t *bytes, uint32_t length, struct packet *packet)
{
	struct iovec iov = { (uint8_t *)(uintptr_t)bytes, length };
	struct frame frame = { .iov = &iov, .iov_count = 1, .bytes = length };

	assert(packet_parse(&frame, packet) != PACKET_BAD_OFFLOAD);
}

static bool is_tcp(const struct packet *packet)
{
	return packet->transport != 0 && packet->payload != 0 && packet->protocol == PACKET_TCP &&
	       !packet->fragment;
}

/* As far as it is a packet, however its headers were changed. */
static void write_checksums(uint8_t *bytes, uint32_t length)
{
	struct packet packet;
	uint8_t lengths[4] = { 0, PACKET_TCP };
	uint32_t end, sum;
	uint8_t *ip;

	parse(bytes, length, &packet);
	if (packet.network == 0 || (packet.type == PACKET_IPV6 && !is_tcp(&packet)))
		return;
	ip = bytes + packet.network;
	end = packet.network + big16_get(ip + 2);
	if (packet.type == PACKET_IPV6)
		end = packet.network + 40 + big16_get(ip + 4);
	if (packet.type == PACKET_IPV4) {
		big16_put(ip + 10, 0);
		big16_put(ip + 10, (uint16_t)~add(0, ip, (ip[0] & 15) * 4u));
	}
	if (!is_tcp(&packet))
		return;
	big16_put(lengths + 2, (uint16_t)(end - packet.transport));
	big16_put(bytes + packet.transport + 16, 0);
	sum = packet.type == PACKET_IPV4 ? add(0, ip + 12, 8) : add(0, ip + 8, 32);
	sum = add(add(sum, lengths, 4), bytes + packet.transport, end - packet.transport);
	big16_put(bytes + packet.transport + 16, (uint16_t)~sum);
}

struct sender {
	uint32_t sequence[SCRIPT_CONNECTIONS], sequence_before[SCRIPT_CONNECTIONS];
	uint16_t number; /* of libslirp's packets, whatever their connection */
};

static uint32_t write_ip(uint8_t *ip, bool ipv6, uint16_t number, unsigned transport_bytes)
{
	if (ipv6) {
		ip[0] = 0x60;
		big16_put(ip + 4, (uint16_t)transport_bytes);
		ip[6] = PACKET_TCP;
		ip[7] = 64;
		memset(ip + 8, 0xfd, 32);
		return 40;
	}
	ip[0] = 0x45;
	big16_put(ip + 2, (uint16_t)(20 + transport_bytes));
	big16_put(ip + 4, number);
	ip[8] = 64;
	ip[9] = PACKET_TCP;
	big32_put(ip + 12, 0x0a000202);
	big32_put(ip + 16, 0x0a00020f);
	return 20;
}

/* Returns the frame's length. */
static uint32_t write_segment(struct sender *sender, const struct script_step *step, uint8_t *bytes)
{
	unsigned connection = step->connection % SCRIPT_CONNECTIONS;
	unsigned options = step->option_words % 11 * 4u, payload = step->payload_bytes % 2900u;
	bool ipv6 = connection % 2;
	uint32_t at = NETWORK;

	if (step->how & SCRIPT_AGAIN)
		sender->sequence[connection] = sender->sequence_before[connection];
	if (step->how & SCRIPT_GAP)
		sender->sequence[connection]++;
	if (step->how & SCRIPT_OWN_NUMBER)
		sender->number++;
	memset(bytes, 0x52, 12);
	big16_put(bytes + 12, ipv6 ? PACKET_IPV6 : PACKET_IPV4);
	at += write_ip(bytes + at, ipv6, sender->number, 20 + options + payload);
	big16_put(bytes + at, (uint16_t)(80 + connection));
	big16_put(bytes + at + 2, 4000);
	big32_put(bytes + at + 4, sender->sequence[connection]);
	big32_put(bytes + at + 8, 77);
	bytes[at + 12] = (uint8_t)((5 + options / 4) << 4);
	bytes[at + 13] = step->how & SCRIPT_PSH ? 0x18 : 0x10;
	big16_put(bytes + at + 14, 60000);
	memset(bytes + at + 20, 1, options);
	at += 20 + options;
	for (uint32_t i = 0; i < payload; i++)
		bytes[at + i] = (uint8_t)((sender->sequence[connection] + i) * 31 >> 3);
	sender->sequence_before[connection] = sender->sequence[connection];
	sender->sequence[connection] += payload;
	sender->number += !ipv6;
	return at + payload;
}

static uint32_t spoil(const struct script_step *step, uint8_t *bytes, uint32_t length)
{
	if (step->how & SCRIPT_PAD)
		length = length < 60 ? 60 : length + 2;
	if ((step->how & SCRIPT_TRUNCATE) && length - FRAME_HEADER_BYTES >= step->change_to)
		length -= step->change_to;
	if (step->how & SCRIPT_CHANGE)
		bytes[step->change_at % length] ^= step->change_to;
	return length;
}

void script_frames_init(struct script_frames *frames, const void *script, size_t bytes)
{
	struct sender sender = { .number = 0xfff0 };
	struct script_step step;

	for (unsigned i = 0; i < SCRIPT_CONNECTIONS; i++)
		sender.sequence[i] = sender.sequence_before[i] = 0xffff0000u + 4096 * i;
	frames->count = 0;
	while (bytes >= sizeof(step) && frames->count < SCRIPT_FRAMES_MAX) {
		struct script_frame *frame = &frames->frames[frames->count++];
		uint8_t room[SCRIPT_FRAME_BYTES] = { 0 };

		memcpy(&step, script, sizeof(step));
		script = (const uint8_t *)script + sizeof(step);
		bytes -= sizeof(step);
		frame->length = spoil(&step, room, write_segment(&sender, &step, room));
		write_checksums(room, frame->length);
		frame->bytes = malloc(frame->length);
		assert(frame->bytes);
		memcpy(frame->bytes, room, frame->length);
	}
}

void script_frames_finish(struct script_frames *frames)
{
	for (unsigned i = 0; i < frames->count; i++)
		free(frames->frames[i].bytes);
	frames->count = 0;
}

/* ---- checking ---- */

struct check {
	const struct script_frames *frames;
	struct script_result *result;
	struct user_join join;
	unsigned place[SCRIPT_FRAMES_MAX]; /* of each frame among those that came back; 0: not yet */
	unsigned places;
	struct packet packet;
	struct packet_cut cut;
	uint8_t got[FRAME_BYTES_MAX];
};

static bool came_back(struct check *check, const struct frame *frame)
{
	iov_copy_out(frame->iov, frame->iov_count, 0, check->got, frame->bytes);
	for (unsigned i = 0; i < check->frames->count; i++) {
		const struct script_frame *sent = &check->frames->frames[i];

		if (check->place[i] != 0 || sent->length != frame->bytes ||
		    memcmp(sent->bytes, check->got, sent->length) != 0)
			continue;
		check->place[i] = ++check->places;
		return true;
	}
	return false;
}

static const char *cut_again(struct check *check, const struct frame *frame)
{
	static const struct frame_abilities plain = { .mtu = 65535 };
	const struct frame *cut;
	int tag;

	if (iov_bytes(frame->iov, frame->iov_count) != frame->bytes)
		return "a frame's pieces have another length than it says";
	if (packet_parse(frame, &check->packet) != PACKET_FINE)
		return "the switch refuses a frame";
	/* A type with a byte changed may be that of a tag; what is taken off is put back. */
	tag = check->packet.tags > 0 ? check->packet.tag : PACKET_UNTAGGED;
	if (packet_cut_begin(&check->cut, &check->packet, frame, &plain, tag) != PACKET_FINE)
		return "a frame cannot be cut";
	while ((cut = packet_cut_next(&check->cut)))
		if (!came_back(check, cut))
			return "a frame came back that was not sent";
	return NULL;
}

static const char *check_batch(struct check *check)
{
	const struct user_join *join = &check->join;
	const char *wrong = NULL;
	uint64_t bytes = 0;

	for (unsigned i = 0; i < join->count && !wrong; i++) {
		const struct frame *frame = &join->frames[i];

		check->result->handed++;
		check->result->joined += frame->iov_count > 1;
		if (check->result->pieces_max < frame->iov_count)
			check->result->pieces_max = frame->iov_count;
		if (check->result->bytes_max < frame->bytes)
			check->result->bytes_max = frame->bytes;
		bytes += frame->bytes;
		wrong = cut_again(check, frame);
	}
	return wrong || bytes == join->bytes ? wrong : "the batch has another length than it says";
}

#define NO_TCP	0u
#define ANY_TCP 1u

static uint64_t number_of(const uint8_t *bytes, unsigned count)
{
	uint64_t number = 0xcbf29ce484222325ull;

	for (unsigned i = 0; i < count; i++)
		number = (number ^ bytes[i]) * 0x100000001b3ull;
	return number;
}

/* A number of its addresses and ports, or what it is instead. */
static uint64_t connection_of(const struct script_frame *frame)
{
	const uint8_t *ip = frame->bytes + NETWORK;
	unsigned type = big16_get(frame->bytes + 12);
	bool has_ports = frame->length >= NETWORK + (type == PACKET_IPV6 ? 60u : 40u);

	if (type == PACKET_ARP)
		return NO_TCP;
	if (type == PACKET_IPV4 && frame->length >= NETWORK + 20 && ip[0] >> 4 == 4) {
		if (ip[9] != PACKET_TCP)
			return NO_TCP;
		if (ip[0] == 0x45 && (big16_get(ip + 6) & 0xbfff) == 0 && has_ports)
			return number_of(ip + 12, 12);
	}
	if (type == PACKET_IPV6 && frame->length >= NETWORK + 40 && ip[0] >> 4 == 6) {
		if (ip[6] == PACKET_UDP || ip[6] == PACKET_ICMPV6)
			return NO_TCP;
		if (ip[6] == PACKET_TCP && has_ports)
			return number_of(ip + 8, 36);
	}
	return ANY_TCP;
}

static bool must_stay_in_order(uint64_t before, uint64_t behind)
{
	return before == behind || (before == ANY_TCP && behind != NO_TCP) ||
	       (behind == ANY_TCP && before != NO_TCP);
}

static const char *check_order(const struct check *check)
{
	uint64_t connections[SCRIPT_FRAMES_MAX];

	for (unsigned i = 0; i < check->frames->count; i++)
		connections[i] = connection_of(&check->frames->frames[i]);
	for (unsigned i = 0; i < check->frames->count; i++) {
		if (check->place[i] == 0)
			return "a frame is lost";
		for (unsigned j = 0; j < i; j++)
			if (must_stay_in_order(connections[j], connections[i]) &&
			    check->place[j] > check->place[i])
				return "frames are out of order";
	}
	return NULL;
}

/* The joined headers are written into the pieces: into copies of them, each with an end of its own. */
static const char *join_and_cut(struct check *check, struct script_frames *copies)
{
	const char *wrong = NULL;
	unsigned next = 0;

	while (next < copies->count && !wrong) {
		user_join_begin(&check->join);
		for (; next < copies->count && !user_join_full(&check->join); next++)
			user_join_add(&check->join, copies->frames[next].bytes, copies->frames[next].length);
		user_join_end(&check->join);
		wrong = check_batch(check);
	}
	return wrong ? wrong : check_order(check);
}

const char *script_check(const struct script_frames *frames, struct script_result *ret_result)
{
	struct check *check = calloc(1, sizeof(*check));
	struct script_frames *copies = calloc(1, sizeof(*copies));
	const char *wrong;

	assert(check && copies);
	check->frames = frames;
	check->result = ret_result;
	*ret_result = (struct script_result){ 0 };
	for (unsigned i = 0; i < frames->count; i++) {
		copies->frames[i] = frames->frames[i];
		copies->frames[i].bytes = malloc(frames->frames[i].length);
		assert(copies->frames[i].bytes);
		memcpy(copies->frames[i].bytes, frames->frames[i].bytes, frames->frames[i].length);
	}
	copies->count = frames->count;
	wrong = join_and_cut(check, copies);
	script_frames_finish(copies);
	free(copies);
	free(check);
	return wrong;
}
