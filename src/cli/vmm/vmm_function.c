/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices made of registers. */
#include <stdlib.h>
#include <string.h>

#include "cli/api_client.h"
#include "cli/device_model.h"
#include "cli/vmm/vmm.h"

bool vmm_is_function(const json_t *device)
{
	static const char *const models[] = { "nvme", "e1000e", "bochs", "xhci" };

	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
		if (strcmp(device_model(device), models[i]) == 0)
			return true;
	return strcmp(device_model(device), "virtio") == 0 &&
	       strcmp(api_text(device, "interface"), "vfio-user") == 0;
}

void vmm_function_load(const json_t *device, struct vmm_function *function)
{
	const char *name = api_text(device, "name"), *slash = strchr(name, '/');

	*function = (struct vmm_function){ 0 };
	snprintf(function->kind, sizeof(function->kind), "%s", api_text(device, "kind"));
	snprintf(function->model, sizeof(function->model), "%s", device_model(device));
	snprintf(function->name, sizeof(function->name), "%s", slash ? slash + 1 : name);
	snprintf(function->socket, sizeof(function->socket), "%s", api_text(device, "socket"));
}

/* The socket's address is an object, which only the JSON form of the option takes. */
char *vmm_function_device(const struct vmm_function *function)
{
	json_t *device = json_pack("{s:s, s:o, s:{s:s, s:s}}", "driver", "vfio-user-pci", "id",
				   json_sprintf("%s-%s", function->kind, function->name), "socket", "type",
				   "unix", "path", function->socket);
	char *text;

	if (device && function->bootindex > 0)
		json_object_set_new(device, "bootindex", json_integer(function->bootindex));
	if (device && function->rom)
		json_object_set_new(device, "romfile", json_string(function->rom));
	text = device ? json_dumps(device, JSON_COMPACT) : NULL;
	if (!text)
		abort();
	json_decref(device);
	return text;
}

static bool has_card(const struct vmm_guest *guest)
{
	for (size_t i = 0; i < guest->function_count; i++)
		if (strcmp(guest->functions[i].kind, "nic") == 0)
			return true;
	return false;
}

void vmm_function_arguments(const struct vmm_guest *guest, struct vmm_arguments *arguments)
{
	/* QEMU does not know that it is a card, and would add one of its own, past the switch. */
	if (guest->nic_count == 0 && has_card(guest)) {
		vmm_argument(arguments, "-nic");
		vmm_argument(arguments, "none");
	}
	for (size_t i = 0; i < guest->function_count; i++) {
		char *device = vmm_function_device(&guest->functions[i]);

		vmm_argument(arguments, "-device");
		vmm_argument(arguments, "%s", device);
		free(device);
	}
}
