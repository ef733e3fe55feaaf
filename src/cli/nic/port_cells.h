/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tables say of a port: of a card, or of an uplink. `port` is the daemon's answer. */
#ifndef VIADUCT_CLI_NIC_PORT_CELLS_H
#define VIADUCT_CLI_NIC_PORT_CELLS_H

#include <jansson.h>

#include "cli/table.h"

/* "up"; "-" when it is not said. */
void port_link_cell(struct table *table, const json_t *port);
/* "source 12, flood 3": what is not zero. */
void port_drops_cell(struct table *table, const json_t *port);
/* Who looks on: "mirror, 2 captures". A mirror that is not open is in brackets. */
void port_watch_cell(struct table *table, const json_t *port);

#endif
