/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For the porter that makes a process for each connection of a browser. */
#ifndef VIADUCT_DAEMON_SEAT_SEAT_WEB_PROCESS_H
#define VIADUCT_DAEMON_SEAT_SEAT_WEB_PROCESS_H

struct porter_service;

extern const struct porter_service seat_web_porter_service;

/* In the porter, before it gives up its files: reads those of the console. Returns 0 or -ENOMEM. */
int seat_web_prepare(void);

#endif
