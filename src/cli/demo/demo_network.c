/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The demo's part on the network: the switch and its cards, and the steps that try them, in their order.
 */
#include <arpa/inet.h>
#include <netinet/ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/api_client.h"
#include "cli/cli_api.h"
#include "cli/demo/demo_network.h"

#define MALLORY_ADDRESS "10.0.2.66"
/* What the NAT gives first: where no guest runs, frames to them are lies all the same. */
#define ALICE_ADDRESS "10.0.2.15"
#define BOB_ADDRESS   "10.0.2.16"

/* ---- the cards ---- */

const char *network_card_name(enum network_card card)
{
	static const char *const names[NETWORK_CARDS] = {
		[NETWORK_ALICE] = "alice/eth0",
		[NETWORK_BOB] = "bob/eth0",
		[NETWORK_MALLORY] = "mallory/eth0",
	};

	return names[card];
}

void demo_network_config(const struct demo *demo, FILE *config)
{
	/* The guests' HTTP client finds the demo's server on the host's loopback. */
	fprintf(config, "\n[switch " NETWORK_SWITCH "]\nuplink = user\nhost_loopback = yes\n");
	for (unsigned i = 0; i < NETWORK_CARDS; i++)
		fprintf(config, "\n[nic %s]\nswitch = " NETWORK_SWITCH "\n", network_card_name(i));
	/* The last section is mallory's. */
	fputs(demo->break_guard ? "learn = yes\n" : "allowed_ips = " MALLORY_ADDRESS "\n", config);
	network_share_config(demo, config);
}

json_t *network_card_status(const struct network *network, enum network_card card)
{
	char *path = cli_api_path("/v1/devices/nic", network_card_name(card));
	json_t *status = demo_daemon_get(&network->demo->daemon, path);

	free(path);
	return status;
}

/* ---- the beginning ---- */

static bool read_mac(const struct network *network, enum network_card card, uint8_t mac[DEMO_MAC_BYTES])
{
	json_t *status = network_card_status(network, card);
	struct ether_addr address;
	bool known = ether_aton_r(api_text(status, "mac"), &address) != NULL;

	json_decref(status);
	if (known)
		memcpy(mac, address.ether_addr_octet, DEMO_MAC_BYTES);
	return known;
}

static uint32_t address_of(const struct demo *demo, unsigned guest, const char *otherwise)
{
	bool known = guest < demo->guest_count;

	return ntohl(inet_addr(known ? demo->guests[guest].address : otherwise));
}

static int plug_mallory(struct network *network)
{
	struct demo *demo = network->demo;
	json_t *status = network_card_status(network, NETWORK_MALLORY);
	struct demo_card_options options = {
		.socket = api_text(status, "socket"),
		.token = demo->token,
		.address = ntohl(inet_addr(MALLORY_ADDRESS)),
		.gateway_address = ntohl(inet_addr(NETWORK_GATEWAY)),
		.alice_address = address_of(demo, NETWORK_ALICE, ALICE_ADDRESS),
		.bob_address = address_of(demo, NETWORK_BOB, BOB_ADDRESS),
	};
	const char *reason = "the daemon does not tell the cards' addresses";
	int result = CLI_OK;

	if (!read_mac(network, NETWORK_ALICE, options.alice_mac) ||
	    !read_mac(network, NETWORK_BOB, options.bob_mac) ||
	    !read_mac(network, NETWORK_MALLORY, options.mac) ||
	    demo_card_open(&options, &demo->card, &reason) < 0)
		result = cli_fail(demo->command, "mallory's card: %s", reason);
	json_decref(status);
	return result;
}

static int begin(struct network *network)
{
	struct demo *demo = network->demo;
	int result = network_begin_look(network, NETWORK_MALLORY, &network->at_mallory);

	if (result == CLI_OK && demo->guest_count > 0)
		result = network_begin_look(network, NETWORK_ALICE, &network->at_alice);
	if (result == CLI_OK)
		result = plug_mallory(network);
	if (result != CLI_OK)
		return result;
	if (demo->guest_count > 0)
		demo_say(demo,
			 "alice (%s) and bob (%s) got addresses from the NAT of switch " NETWORK_SWITCH ";",
			 demo->guests[NETWORK_ALICE].address, demo->guests[NETWORK_BOB].address);
	demo_say(demo, "mallory has a card there, too (" MALLORY_ADDRESS "), and sends in others' names");
	return CLI_OK;
}

/* ---- the whole ---- */

/* In this order; what is told of captures comes behind all that they see. */
static const struct step {
	int (*run)(struct network *network); /* an exit code */
	bool needs_guests;
} steps[] = {
	{ network_ping, true },
	{ network_lie, false },
	{ network_send_file, true },
	{ network_serve_host, true },
	{ network_fetch_from_host, true },
	{ network_end_looks, false },
	{ network_share, false },
};

int demo_network(struct demo *demo)
{
	struct network network = { .demo = demo };
	int result = begin(&network);

	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]) && result == CLI_OK; i++) {
		if (demo->guest_count > 0 || !steps[i].needs_guests)
			result = steps[i].run(&network);
	}
	demo_capture_stop(&network.at_mallory.capture);
	demo_capture_stop(&network.at_alice.capture);
	demo_server_stop(&network.server);
	demo_card_close(demo->card);
	demo->card = NULL;
	return result;
}

void demo_network_report(const struct demo *demo)
{
	pid_t pid;

	puts("\nThe switch, as `viaduct switch show " NETWORK_SWITCH "` tells of it:");
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		execl("/proc/self/exe", "viaduct", "--runtime-dir", demo->daemon.runtime_dir, "switch",
		      "show", NETWORK_SWITCH, (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}
