/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mallory's card sends frames in others' names, and the daemon counts them by the reason why it drops them.
 */
#include <string.h>

#include "cli/api_client.h"
#include "cli/demo/demo_network.h"

#define LIES 20u /* times each kind of frame that must be refused */

static uint64_t card_dropped(const struct network *network, enum network_card card, const char *reason)
{
	json_t *status = network_card_status(network, card);
	uint64_t dropped = api_number(json_object_get(status, "dropped"), reason);

	json_decref(status);
	return dropped;
}

static void check_refused(struct demo *demo, uint64_t sent, uint64_t counted, const char *whose,
			  const char *reason)
{
	demo_check(&demo->checks, sent > 0 && counted == sent,
		   "%llu frames from another's %s were sent by mallory's card, the daemon counted %llu "
		   "dropped: %s",
		   (unsigned long long)sent, whose, (unsigned long long)counted, reason);
}

int network_lie(struct network *network)
{
	struct demo *demo = network->demo;
	const struct demo_card_counters *counters = demo_card_counters(demo->card);
	uint64_t source = card_dropped(network, NETWORK_MALLORY, "source"),
		 guard = card_dropped(network, NETWORK_MALLORY, "guard");
	int error = 0;

	for (unsigned i = 0; i < LIES && !error; i++)
		error = demo_card_lie(demo->card);
	if (error)
		return cli_fail(demo->command, "mallory's card: %s", strerror(-error));
	check_refused(demo, counters->other_mac, card_dropped(network, NETWORK_MALLORY, "source") - source,
		      "Ethernet address", "source");
	check_refused(demo, counters->other_ip, card_dropped(network, NETWORK_MALLORY, "guard") - guard,
		      "IP address", "guard");
	return CLI_OK;
}
