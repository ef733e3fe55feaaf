/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "cli/program_output.h"
#include "cli/vmm/vmm.h"

#define WORDS "QEMU emulator version "

/* "QEMU emulator version 10.0.2 (Debian …)" */
unsigned vmm_qemu_version(const char *qemu)
{
	char text[256];
	const char *at =
		program_output(qemu, "--version", NULL, text, sizeof(text)) ? strstr(text, WORDS) : NULL;
	char *rest;
	unsigned long major, minor;

	if (!at)
		return 0;
	major = strtoul(at + strlen(WORDS), &rest, 10);
	minor = *rest == '.' ? strtoul(rest + 1, NULL, 10) : 0;
	return major < 1000 && minor < 100 ? (unsigned)(major * 100 + minor) : 0;
}

/* QEMU 10 does not know seconds any more, and those before 9.2 no milliseconds. */
const char *vmm_reconnect(const struct vmm_guest *guest)
{
	return guest->qemu_version >= 902 ? "reconnect-ms=1000" : "reconnect=1";
}
