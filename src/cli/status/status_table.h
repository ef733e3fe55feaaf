/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The counters of devices, as `viaduct status` and the demo print them. */
#ifndef VIADUCT_CLI_STATUS_STATUS_TABLE_H
#define VIADUCT_CLI_STATUS_STATUS_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* `devices`: the array of GET /v1/status. width 0: unlimited. */
void status_table_print(const json_t *devices, FILE *out, size_t width, bool colour);

#endif
