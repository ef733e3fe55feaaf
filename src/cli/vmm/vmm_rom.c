/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code that firmware finds in a device's ROM. QEMU brings files with it along, and ends when it is told of
 * one that it does not find.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/program_output.h"
#include "cli/vmm/vmm.h"

struct rom {
	const char *model, *file;
};

/* The best comes first: iPXE for UEFI and BIOS, and for BIOS alone. */
static const struct rom roms[] = {
	{ "e1000e", "efi-e1000e.rom" },
	{ "e1000e", "pxe-e1000e.rom" },
	{ "bochs", "vgabios-bochs-display.bin" },
};

/* Of the folders, one a line, in which QEMU looks. */
static bool is_there(const char *folders, const char *file)
{
	while (*folders) {
		int length = (int)strcspn(folders, "\n");
		char path[CLI_PATH_MAX];

		snprintf(path, sizeof(path), "%.*s/%s", length, folders, file);
		if (length > 0 && access(path, R_OK) == 0)
			return true;
		folders += length;
		folders += *folders == '\n';
	}
	return false;
}

static const char *rom_of(const char *folders, const char *model)
{
	for (size_t i = 0; i < sizeof(roms) / sizeof(roms[0]); i++)
		if (strcmp(roms[i].model, model) == 0 && is_there(folders, roms[i].file))
			return roms[i].file;
	return NULL;
}

void vmm_roms_find(struct vmm_guest *guest, const char *qemu)
{
	char folders[4096] = "";

	if (guest->function_count == 0 || !program_output(qemu, "-L", "help", folders, sizeof(folders)))
		return;
	for (size_t i = 0; i < guest->function_count; i++)
		guest->functions[i].rom = rom_of(folders, guest->functions[i].model);
}
