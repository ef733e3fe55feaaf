/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The steps of the demo's part on the network. Alice, bob and mallory have a card each on one switch, whose
 * uplink is a NAT.
 */
#ifndef VIADUCT_CLI_DEMO_DEMO_NETWORK_H
#define VIADUCT_CLI_DEMO_DEMO_NETWORK_H

#include "cli/demo/demo.h"
#include "cli/demo/demo_capture.h"
#include "cli/demo/demo_card.h"
#include "cli/demo/demo_http.h"

#define NETWORK_SWITCH	"lan"
#define NETWORK_GATEWAY "10.0.2.2"

enum network_card { NETWORK_ALICE, NETWORK_BOB, NETWORK_MALLORY, NETWORK_CARDS };

/* A card that is captured, what went through it before, and what was captured. */
struct network_look {
	enum network_card card;
	struct demo_capture capture;
	uint64_t frames_before, bytes_before;
	struct demo_capture_summary summary;
};

struct network {
	struct demo *demo;
	struct network_look at_mallory, at_alice; /* alice's only when there are guests */
	struct demo_server server;		  /* on the host */
};

/* ---- the cards (demo_network.c) ---- */

/* "alice/eth0". */
const char *network_card_name(enum network_card card);
/* What the daemon says of a card; NULL: it does not answer. To be freed. */
json_t *network_card_status(const struct network *network, enum network_card card);

/*
 * ---- steps: each checks something and returns an exit code ----
 *
 * The guests' (demo_network_guests.c): they do what their consoles ask for.
 */
int network_ping(struct network *network);
/* A file from alice to bob through TCP. */
int network_send_file(struct network *network);
/* A port of the host leads to bob's web server. */
int network_serve_host(struct network *network);
/* Alice fetches from a web server on the host. */
int network_fetch_from_host(struct network *network);

/* Mallory sends in others' names (demo_network_mallory.c). */
int network_lie(struct network *network);

/* The captures (demo_network_looks.c), which begin before the other steps, and end behind them. */
int network_begin_look(struct network *network, enum network_card card, struct network_look *look);
int network_end_looks(struct network *network);

/* Floods and a ping share the uplink of another switch (demo_network_share.c), which is written by: */
int network_share(struct network *network);
void network_share_config(const struct demo *demo, FILE *config);

#endif
