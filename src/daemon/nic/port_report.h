/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is told of a switch's port alike, whether a card or an uplink is behind it. */
#ifndef VIADUCT_DAEMON_NIC_PORT_REPORT_H
#define VIADUCT_DAEMON_NIC_PORT_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "arbiter/switch/vswitch.h"

#define MAC_TEXT 18

/* "52:54:00:12:34:56". Returns the buffer. */
const char *port_format_mac(const uint8_t address[FRAME_ADDRESS_BYTES], char text[MAC_TEXT]);

/* Adds link, sent, received, learned and dropped. `port` may be NULL: no port, all zero. */
void port_describe(struct port *port, json_t *object);

/*
 * Metrics "PREFIX_sent_frames_total" and so on: the head of one, or its sample for a port. `row` counts from
 * 0; false: there is no such row.
 */
bool port_metric_head(FILE *out, const char *prefix, unsigned row);
void port_metric_sample(FILE *out, const char *prefix, unsigned row, const char *labels,
			const struct port *port);

#endif
