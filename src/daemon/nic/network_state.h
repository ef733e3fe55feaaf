/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was set of cards and switches at run time and holds over restarts: STATE/network.json,
 *
 *     { "forwards": { "lan": ["tcp:127.0.0.1:2222-10.0.2.15:22"] }, "links": { "alice/eth0": false },
 *       "leases": { "lan": { "alice/eth0": 0 } } }
 *
 * Control thread. What cannot be kept is a line in the log; it holds until the daemon ends.
 */
#ifndef VIADUCT_DAEMON_NIC_NETWORK_STATE_H
#define VIADUCT_DAEMON_NIC_NETWORK_STATE_H

#include <jansson.h>
#include <stdbool.h>

struct daemon;

/* Start and end. A file that is none of ours is kept as network.json.bad. */
void network_state_load(struct daemon *daemon);
void network_state_free(struct daemon *daemon);

/* Texts of forwards; NULL: none. The daemon's. */
const json_t *network_state_forwards(const struct daemon *daemon, const char *switch_name);
void network_state_set_forward(struct daemon *daemon, const char *switch_name, const char *text,
			       bool present);

/* The index of the address that DHCP gave the card of that name; negative: none is known. */
int network_state_lease(const struct daemon *daemon, const char *switch_name, const char *nic_name);
/* Those of all cards of the switch, by name; takes `leases`. */
void network_state_set_leases(struct daemon *daemon, const char *switch_name, json_t *leases);

enum link_choice { LINK_AS_CONFIGURED, LINK_UP, LINK_DOWN };

enum link_choice network_state_link(const struct daemon *daemon, const char *nic_name);
void network_state_set_link(struct daemon *daemon, const char *nic_name, enum link_choice choice);

#endif
