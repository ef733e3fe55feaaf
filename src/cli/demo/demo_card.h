/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Mallory's network card: a driver of ours that sends frames whose sender is another. Between two of them it
 * sends an honest one, which shows that the card works. Each of its frames carries the demo's token.
 */
#ifndef VIADUCT_CLI_DEMO_DEMO_CARD_H
#define VIADUCT_CLI_DEMO_DEMO_CARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/demo/demo_nic.h"

struct demo_card;

struct demo_card_options {
	const char *socket, *token;
	uint8_t mac[DEMO_MAC_BYTES], alice_mac[DEMO_MAC_BYTES], bob_mac[DEMO_MAC_BYTES];
	uint32_t address, alice_address, bob_address, gateway_address; /* as numbers */
};

/* Returns 0, or -errno and *ret_error (static). */
int demo_card_open(const struct demo_card_options *options, struct demo_card **ret_card,
		   const char **ret_error);
/* NULL is allowed. */
void demo_card_close(struct demo_card *card);

/*
 * One frame of each kind that must be refused, and an honest one behind each of them; all go to alice, and
 * are waited for. Returns 0 or -errno.
 */
int demo_card_lie(struct demo_card *card);
/* Takes what has come. NULL is allowed. */
void demo_card_receive(struct demo_card *card);

struct demo_card_counters {
	uint64_t honest;
	uint64_t other_mac, other_ip; /* from an Ethernet address, or an IP address, that is another's */
	uint64_t received;
	uint64_t foreign; /* of the received: for another's Ethernet address */
};
const struct demo_card_counters *demo_card_counters(const struct demo_card *card);

/* Has mallory's card sent this frame? */
bool demo_card_marks(const uint8_t *frame, size_t bytes, const char *token);

#endif
