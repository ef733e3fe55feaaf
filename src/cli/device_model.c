/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/device_model.h"

#include <stdbool.h>
#include <string.h>

#include "cli/api_client.h"

/* Of a display and a console, it is the answer to whose it is. */
const char *device_model(const json_t *device)
{
	const char *kind = api_text(device, "kind");
	bool has_source = strcmp(kind, "display") == 0 || strcmp(kind, "console") == 0;

	return api_text(device, has_source ? "source" : "model");
}

void device_model_cell(struct table *table, const json_t *device)
{
	const char *model = device_model(device), *interface = api_text(device, "interface");
	bool by_registers = strcmp(model, "virtio") == 0 && strcmp(interface, "vfio-user") == 0;

	table_cell(table, model[0] ? TABLE_PLAIN : TABLE_DIM, by_registers ? "%s (%s)" : "%s",
		   model[0] ? model : "-", interface);
}
