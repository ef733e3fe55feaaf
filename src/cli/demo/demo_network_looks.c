/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Captures of two cards while the network is tried: what is in them, and whether nothing is missing. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/demo/demo_network.h"
#include "cli/demo/demo_report.h"
#include "cli/text.h"
#include "core/clock.h"

#define DRAIN_NS      (60 * NS_PER_S)
#define DRAIN_LOOK_US 50000u

/* ---- the beginning ---- */

/* Frames that a capture of the card shows, and the bytes of those that were not refused. */
static void card_traffic(const struct network *network, enum network_card card, uint64_t *ret_frames,
			 uint64_t *ret_bytes)
{
	json_t *status = network_card_status(network, card);
	const json_t *sent = json_object_get(status, "sent"), *received = json_object_get(status, "received"),
		     *dropped = json_object_get(status, "dropped");

	*ret_frames = api_number(sent, "frames") + api_number(received, "frames") +
		      api_number(dropped, "source") + api_number(dropped, "guard");
	*ret_bytes = api_number(sent, "bytes") + api_number(received, "bytes");
	json_decref(status);
}

int network_begin_look(struct network *network, enum network_card card, struct network_look *look)
{
	struct demo *demo = network->demo;
	int error = demo_capture_start(&look->capture, demo->daemon.runtime_dir, demo->directory,
				       network_card_name(card));

	look->card = card;
	if (error) {
		demo_report_log_tail(look->capture.log);
		return cli_fail(demo->command, "`viaduct capture %s`: %s", network_card_name(card),
				strerror(-error));
	}
	card_traffic(network, card, &look->frames_before, &look->bytes_before);
	return CLI_OK;
}

/* ---- the end ---- */

struct expected {
	uint64_t frames, bytes;
	uint64_t marked; /* of the frames, mallory's */
};

/* Has what went through the card until now been written? `viaduct capture` may lag. */
static bool capture_is_whole(struct network *network, struct network_look *look,
			     const struct expected *expected)
{
	struct demo_capture_summary *summary = &look->summary;

	if (demo_capture_read(&look->capture, network->demo->token, summary) < 0)
		return false;
	return summary->frames + summary->lost >= expected->frames &&
	       summary->passed + summary->refused + summary->lost >= expected->marked &&
	       (summary->lost > 0 || summary->bytes >= expected->bytes);
}

static bool end_look(struct network *network, struct network_look *look, struct expected *expected)
{
	uint64_t deadline_ns = clock_now_ns() + DRAIN_NS;
	int code;

	card_traffic(network, look->card, &expected->frames, &expected->bytes);
	expected->frames -= look->frames_before;
	expected->bytes -= look->bytes_before;
	while (!capture_is_whole(network, look, expected) && clock_now_ns() < deadline_ns)
		usleep(DRAIN_LOOK_US);
	code = demo_capture_stop(&look->capture);
	if (code != CLI_OK)
		demo_report_log_tail(look->capture.log);
	return code == CLI_OK && capture_is_whole(network, look, expected);
}

/* "TCP 3 300, ICMP 20": those that there are. */
static void list_protocols(const struct demo_capture_summary *summary, char *text, size_t size)
{
	char count[TEXT_NUMBER_MAX];
	size_t used = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < DEMO_PROTOCOLS; i++) {
		if (summary->protocol[i] > 0)
			used += (size_t)snprintf(text + used, size - used, "%s%s %s", used ? ", " : "",
						 demo_protocol_text(i),
						 text_count(count, summary->protocol[i]));
	}
}

static void check_capture(struct network *network, struct network_look *look, uint64_t marked)
{
	struct expected expected = { .marked = marked };
	bool whole = end_look(network, look, &expected);
	const struct demo_capture_summary *summary = &look->summary;
	char frames[TEXT_NUMBER_MAX], bytes[TEXT_NUMBER_MAX], counted[TEXT_NUMBER_MAX], protocols[256];

	list_protocols(summary, protocols, sizeof(protocols));
	demo_check(&network->demo->checks, whole && expected.frames > 0,
		   "`viaduct capture %s`: %s frames, %s, where the card counted %s: %s",
		   network_card_name(look->card), text_count(frames, summary->frames),
		   text_size(bytes, summary->bytes), text_count(counted, expected.frames), protocols);
}

/* Mallory's capture has all that its card sent. */
static void look_at_mallory(struct network *network)
{
	struct demo *demo = network->demo;
	const struct demo_card_counters *counters = demo_card_counters(demo->card);
	const struct demo_capture_summary *summary = &network->at_mallory.summary;
	uint64_t lies = counters->other_mac + counters->other_ip;

	check_capture(network, &network->at_mallory, counters->honest + lies);
	demo_check(&demo->checks, summary->passed == counters->honest && summary->refused == lies,
		   "captured at mallory's card: %llu dropped frames, with the reason, and %llu that passed",
		   (unsigned long long)summary->refused, (unsigned long long)summary->passed);
}

/* Alice's has what the switch let through to it. */
static void look_at_alice(struct network *network)
{
	struct demo *demo = network->demo;
	const struct demo_card_counters *counters = demo_card_counters(demo->card);
	const struct demo_capture_summary *summary = &network->at_alice.summary;

	check_capture(network, &network->at_alice, counters->honest);
	demo_check(&demo->checks, summary->refused == 0 && summary->passed == counters->honest,
		   "captured at alice's card: %llu frames of mallory's, which sent %llu honest ones",
		   (unsigned long long)summary->passed, (unsigned long long)counters->honest);
	demo_card_receive(demo->card);
	demo_check(&demo->checks, counters->received > 0 && counters->foreign == 0,
		   "mallory's card received %llu frames, of which %llu were for another card",
		   (unsigned long long)counters->received, (unsigned long long)counters->foreign);
}

int network_end_looks(struct network *network)
{
	look_at_mallory(network);
	if (network->demo->guest_count > 0)
		look_at_alice(network);
	return CLI_OK;
}
