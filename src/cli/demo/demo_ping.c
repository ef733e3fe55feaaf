/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/demo/demo_ping.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/big_endian.h"
#include "core/clock.h"
#include "core/internet_sum.h"

#define ANSWER_MS 20000u

/* Offsets in a frame, and sizes. */
#define SOURCE	   6u
#define TYPE	   12u
#define BODY	   DEMO_ETHERNET_BYTES
#define ICMP	   (BODY + IPV4_BYTES)
#define SEQUENCE   (ICMP + 6)
#define ARP_BYTES  28u
#define IPV4_BYTES 20u
#define ICMP_BYTES 64u /* with what an echo carries */

#define TYPE_ARP      0x0806
#define TYPE_IPV4     0x0800
#define PROTOCOL_ICMP 1
#define ECHO	      8
#define ECHO_REPLY    0
#define IDENTIFIER    0x7076
#define ARP_REQUEST   1
#define ARP_ANSWER    2
#define TIME_TO_LIVE  64

struct demo_ping {
	struct demo_ping_options options;
	struct demo_nic *nic;
	uint8_t gateway_mac[DEMO_MAC_BYTES];
	uint16_t sequence;
	struct demo_ping_counters counters;
};

/* ---- frames ---- */

static void put_sum(uint8_t *at, const uint8_t *data, size_t bytes)
{
	struct internet_sum sum = { 0 };
	uint16_t check;

	internet_sum_add(&sum, data, bytes);
	check = (uint16_t)~internet_sum_fold(&sum);
	memcpy(at, &check, sizeof(check));
}

static void put_ethernet(const struct demo_ping *ping, uint8_t *frame, const uint8_t *to, uint16_t type)
{
	memset(frame, 0, DEMO_FRAME_BYTES_MAX);
	memcpy(frame, to, DEMO_MAC_BYTES);
	memcpy(frame + SOURCE, ping->options.mac, DEMO_MAC_BYTES);
	big16_put(frame + TYPE, type);
}

/* RFC 826. */
static void put_question(const struct demo_ping *ping, uint8_t *frame)
{
	static const uint8_t all[DEMO_MAC_BYTES] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	uint8_t *message = frame + BODY;

	put_ethernet(ping, frame, all, TYPE_ARP);
	big16_put(message, 1);
	big16_put(message + 2, TYPE_IPV4);
	message[4] = DEMO_MAC_BYTES;
	message[5] = 4;
	big16_put(message + 6, ARP_REQUEST);
	memcpy(message + 8, ping->options.mac, DEMO_MAC_BYTES);
	big32_put(message + 14, ping->options.address);
	big32_put(message + 24, ping->options.gateway_address);
}

/* RFC 792. */
static void put_echo(const struct demo_ping *ping, uint8_t *frame)
{
	uint8_t *header = frame + BODY, *icmp = frame + ICMP;

	put_ethernet(ping, frame, ping->gateway_mac, TYPE_IPV4);
	header[0] = 0x45;
	big16_put(header + 2, IPV4_BYTES + ICMP_BYTES);
	header[8] = TIME_TO_LIVE;
	header[9] = PROTOCOL_ICMP;
	big32_put(header + 12, ping->options.address);
	big32_put(header + 16, ping->options.gateway_address);
	put_sum(header + 10, header, IPV4_BYTES);
	icmp[0] = ECHO;
	big16_put(icmp + 4, IDENTIFIER);
	big16_put(frame + SEQUENCE, ping->sequence);
	put_sum(icmp + 2, icmp, ICMP_BYTES);
}

static bool answers_question(const struct demo_ping *ping, const uint8_t *frame, size_t bytes)
{
	const uint8_t *message = frame + BODY;

	return bytes >= BODY + ARP_BYTES && big16_get(frame + TYPE) == TYPE_ARP &&
	       big16_get(message + 6) == ARP_ANSWER &&
	       big32_get(message + 14) == ping->options.gateway_address;
}

static bool answers_echo(const struct demo_ping *ping, const uint8_t *frame, size_t bytes)
{
	return bytes >= ICMP + ICMP_BYTES && big16_get(frame + TYPE) == TYPE_IPV4 && frame[BODY] == 0x45 &&
	       frame[BODY + 9] == PROTOCOL_ICMP && frame[ICMP] == ECHO_REPLY &&
	       big16_get(frame + ICMP + 4) == IDENTIFIER && big16_get(frame + SEQUENCE) == ping->sequence;
}

/* ---- questions and answers ---- */

typedef bool answers(const struct demo_ping *ping, const uint8_t *frame, size_t bytes);

/* Sends the nic's frame and waits for what `is_answer` takes for the answer: *ret_frame, until the next. */
static int ask(struct demo_ping *ping, size_t bytes, answers *is_answer, const uint8_t **ret_frame)
{
	uint64_t deadline_ns = clock_now_ns() + ANSWER_MS * NS_PER_MS;
	int error = demo_nic_send(ping->nic, bytes);

	while (!error && clock_now_ns() < deadline_ns) {
		const uint8_t *frame;
		int ready;

		while ((frame = demo_nic_receive(ping->nic, &bytes))) {
			if (!is_answer(ping, frame, bytes))
				continue;
			*ret_frame = frame;
			return 0;
		}
		ready = demo_nic_await(ping->nic, ANSWER_MS);
		error = ready < 0 ? ready : 0;
	}
	return error ? error : -ETIMEDOUT;
}

static int find_gateway(struct demo_ping *ping)
{
	const uint8_t *answer;
	int error;

	put_question(ping, demo_nic_frame(ping->nic));
	error = ask(ping, BODY + ARP_BYTES, answers_question, &answer);
	if (!error)
		memcpy(ping->gateway_mac, answer + BODY + 8, DEMO_MAC_BYTES);
	return error;
}

int demo_ping_send(struct demo_ping *ping)
{
	uint64_t start_ns = clock_now_ns();
	const uint8_t *answer;
	int error;

	ping->sequence++;
	put_echo(ping, demo_nic_frame(ping->nic));
	ping->counters.sent++;
	error = ask(ping, ICMP + ICMP_BYTES, answers_echo, &answer);
	if (error)
		return error;
	ping->counters.answered++;
	histogram_add(&ping->counters.took, clock_now_ns() - start_ns);
	return 0;
}

/* ---- start and end ---- */

int demo_ping_open(const struct demo_ping_options *options, struct demo_ping **ret_ping,
		   const char **ret_error)
{
	const struct demo_nic_options nic = { .socket = options->socket, .pairs = 1 };
	struct demo_ping *ping = calloc(1, sizeof(*ping));
	int error;

	*ret_error = "out of memory";
	if (!ping)
		return -ENOMEM;
	ping->options = *options;
	error = demo_nic_open(&nic, &ping->nic, ret_error);
	if (!error) {
		*ret_error = "the gateway does not say where it is";
		error = find_gateway(ping);
	}
	if (error)
		demo_ping_close(ping);
	else
		*ret_ping = ping;
	return error;
}

void demo_ping_close(struct demo_ping *ping)
{
	if (!ping)
		return;
	demo_nic_close(ping->nic);
	free(ping);
}

const struct demo_ping_counters *demo_ping_counters(const struct demo_ping *ping)
{
	return &ping->counters;
}
