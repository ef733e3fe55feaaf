/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `viaduct top --once --json` prints: the rates between two samples, a list for each kind of row and
 * of physical device. Pure.
 */
#ifndef VIADUCT_CLI_TOP_TOP_JSON_H
#define VIADUCT_CLI_TOP_TOP_JSON_H

#include "cli/top/top_rates.h"

/* The caller owns the answer. Parts (…_part) are of 1; bandwidths in bytes a second. */
json_t *top_json(const struct top_sample *before, const struct top_sample *now);

/* A whole number that is 0 or more. */
json_t *top_json_number(double value);

#endif
