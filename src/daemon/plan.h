/* SPDX-License-Identifier: GPL-2.0-or-later */
/* viaductd --check: what a start with this configuration would do. Pools are read, and nothing is written. */
#ifndef VIADUCT_DAEMON_PLAN_H
#define VIADUCT_DAEMON_PLAN_H

#include <stdio.h>

struct config;
struct config_messages;

/*
 * Prints one line a step; what would fail becomes a message. force_format is the pool named with that option,
 * or NULL.
 */
void plan_print(const struct config *config, const char *runtime_dir, const char *force_format, FILE *out,
		struct config_messages *messages);

#endif
