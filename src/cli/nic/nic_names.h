/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VIADUCT_CLI_NIC_NIC_NAMES_H
#define VIADUCT_CLI_NIC_NIC_NAMES_H

#include "cli/cli.h"

/* Is it "guest/nic"? Says what is wrong. Returns CLI_OK or CLI_USAGE. */
int nic_name_check(const struct cli_command *command, const char *name);

#endif
