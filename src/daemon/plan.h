/* SPDX-License-Identifier: GPL-2.0-or-later */
/* viaductd --check: what a start with this configuration would do. Writes nothing, opens no pool. */
#ifndef VIADUCT_DAEMON_PLAN_H
#define VIADUCT_DAEMON_PLAN_H

#include <stdio.h>

struct config;
struct config_messages;

/* Prints one line a step; what would fail becomes a message. */
void plan_print(const struct config *config, const char *runtime_dir, FILE *out,
		struct config_messages *messages);

#endif
