/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a guest sees of a device. */
#ifndef VIADUCT_CLI_DEVICE_MODEL_H
#define VIADUCT_CLI_DEVICE_MODEL_H

#include <jansson.h>

#include "cli/table.h"

/* Of a device of the API: "virtio", "nvme", "vmm" of a display of the VMM's own; "" when it has none. The
 * answer's. */
const char *device_model(const json_t *device);

/* The same as a cell of a table, with the interface of a virtio device that is made of registers. */
void device_model_cell(struct table *table, const json_t *device);

#endif
