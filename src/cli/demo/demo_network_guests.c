/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What alice and bob do with their cards; each asks the other, or the host, for something. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/demo/demo_network.h"
#include "cli/text.h"
#include "core/clock.h"

#define PINGS	    10u
#define FILE_MIB    4u
#define FILE_PORT   5000u
#define NUMBERS	    50000u /* lines over HTTP, some 280 KiB */
#define PORTS_TRIED 5u	   /* another program may take a free port first */

static bool all_answered(const struct demo *demo)
{
	for (unsigned i = 0; i < demo->guest_count; i++) {
		if (demo->guests[i].answered != demo->guests[i].asked)
			return false;
	}
	return true;
}

static void check_ping(struct demo *demo, unsigned from, const char *to)
{
	const struct demo_guest *guest = &demo->guests[from];
	unsigned received = demo_guest_number(guest, " received=");
	char average[DEMO_WORD_MAX];

	demo_check(&demo->checks, received == PINGS,
		   "ping: %s to %s, %u of %u came back, on average after %s ms", guest->name, to, received,
		   PINGS, demo_guest_word(guest, " average_ms=", average));
}

int network_ping(struct network *network)
{
	struct demo *demo = network->demo;
	int result;

	demo_guest_ask(&demo->guests[NETWORK_ALICE], "ping", "%s %u", demo->guests[NETWORK_BOB].address,
		       PINGS);
	demo_guest_ask(&demo->guests[NETWORK_BOB], "ping", NETWORK_GATEWAY " %u", PINGS);
	result = demo_run_until(demo, all_answered, "alice pings bob, and bob the gateway");
	if (result != CLI_OK)
		return result;
	check_ping(demo, NETWORK_ALICE, "bob");
	check_ping(demo, NETWORK_BOB, "the gateway");
	return CLI_OK;
}

int network_send_file(struct network *network)
{
	struct demo *demo = network->demo;
	struct demo_guest *alice = &demo->guests[NETWORK_ALICE], *bob = &demo->guests[NETWORK_BOB];
	char sent[DEMO_WORD_MAX], received[DEMO_WORD_MAX];
	int result;

	demo_guest_ask(bob, "listen", "%u", FILE_PORT);
	result = demo_run_until(demo, all_answered, "bob listens");
	if (result != CLI_OK)
		return result;
	demo_guest_ask(alice, "send", "%s %u %u", bob->address, FILE_PORT, FILE_MIB);
	result = demo_run_until(demo, all_answered, "alice sends bob a file");
	if (result != CLI_OK)
		return result;
	demo_guest_word(alice, " sent=", sent);
	demo_guest_word(alice, " received=", received);
	demo_check(&demo->checks, sent[0] && strcmp(sent, received) == 0,
		   "TCP: alice sent bob %u MiB in %u ms; its MD5 sum is %.8s, that of what bob received %.8s",
		   FILE_MIB, demo_guest_number(alice, " took_ms="), sent, received[0] ? received : "none");
	return CLI_OK;
}

/* ---- the world ---- */

/* Connections to a free port of the host lead to bob's web server. 0: no port could be had. */
static unsigned add_forward(const struct network *network)
{
	struct demo *demo = network->demo;

	for (unsigned i = 0; i < PORTS_TRIED; i++) {
		unsigned port = demo_free_port();
		json_t *body, *answer;
		char forward[96];

		snprintf(forward, sizeof(forward), "tcp:127.0.0.1:%u-%s:80", port,
			 demo->guests[NETWORK_BOB].address);
		body = json_pack("{s:s}", "forward", forward);
		answer = demo_daemon_call(&demo->daemon, "POST", "/v1/switches/" NETWORK_SWITCH "/forwards",
					  body);
		json_decref(body);
		json_decref(answer);
		if (answer)
			return port;
	}
	return 0;
}

static void fetch_from_guest(struct network *network, unsigned port)
{
	struct demo *demo = network->demo;
	char url[64], took[TEXT_NUMBER_MAX], size[TEXT_NUMBER_MAX];
	size_t bytes = 0;
	char *body = demo_numbers(demo->token, "bob", NUMBERS, &bytes);
	const char *reason = "no port of the host is free";
	uint64_t start_ns = clock_now_ns();
	int error = -EADDRINUSE;

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/numbers", port);
	if (port)
		error = demo_fetch(url, body, bytes, &reason);
	if (error)
		demo_check(&demo->checks, false, "HTTP: the host fetched from %s, which leads to bob: %s",
			   url, reason);
	else
		demo_check(&demo->checks, true,
			   "HTTP: the host fetched %s of bob's from 127.0.0.1:%u in %s, all as expected",
			   text_size(size, bytes), port, text_duration(took, clock_now_ns() - start_ns));
	free(body);
}

int network_serve_host(struct network *network)
{
	struct demo *demo = network->demo;
	int result;

	demo_guest_ask(&demo->guests[NETWORK_BOB], "serve", "%u", NUMBERS);
	result = demo_run_until(demo, all_answered, "bob starts a web server");
	if (result == CLI_OK)
		fetch_from_guest(network, add_forward(network));
	return result;
}

int network_fetch_from_host(struct network *network)
{
	struct demo *demo = network->demo;
	struct demo_guest *alice = &demo->guests[NETWORK_ALICE];
	char expected[DEMO_WORD_MAX], received[DEMO_WORD_MAX], size[TEXT_NUMBER_MAX];
	size_t bytes = 0;
	char *body = demo_numbers(demo->token, "host", NUMBERS, &bytes);
	int error = demo_server_start(&network->server, body, bytes), result;

	free(body);
	if (error)
		return cli_fail(demo->command, "the host's web server: %s", strerror(-error));
	demo_guest_ask(alice, "fetch", "http://" NETWORK_GATEWAY ":%u/ host %u", network->server.port,
		       NUMBERS);
	result = demo_run_until(demo, all_answered, "alice fetches from the host");
	demo_server_stop(&network->server);
	if (result != CLI_OK)
		return result;
	demo_guest_word(alice, " expected=", expected);
	demo_guest_word(alice, " received=", received);
	demo_check(&demo->checks, expected[0] && strcmp(expected, received) == 0,
		   "HTTP: alice fetched %s of the host's from " NETWORK_GATEWAY
		   ":%u in %u ms; MD5 sum %.8s, expected %.8s",
		   text_size(size, bytes), network->server.port, demo_guest_number(alice, " took_ms="),
		   received, expected);
	return CLI_OK;
}
