/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A captured frame as one line. */
#ifndef VIADUCT_CLI_NIC_CAPTURE_LINE_H
#define VIADUCT_CLI_NIC_CAPTURE_LINE_H

#include <stdio.h>

struct pcapng_frame;

/*
 * "12:34:56.123456 out 98 52:54:00:00:00:01 > 52:54:00:00:00:02 IPv4 192.0.2.1 > 192.0.2.2 ICMP": the local
 * time, the direction as the card's owner sees it, the length, addresses and protocol; behind them why the
 * switch dropped it. What the snap length cut off is left out.
 */
void capture_line_print(FILE *out, const struct pcapng_frame *frame);

#endif
