/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For the porter that makes a process for each viewer. */
#ifndef VIADUCT_DAEMON_SEAT_SEAT_VIEWER_PROCESS_H
#define VIADUCT_DAEMON_SEAT_SEAT_VIEWER_PROCESS_H

struct porter_service;

extern const struct porter_service seat_viewer_porter_service;

#endif
