/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables of src/daemon/device_kinds.c with one row more. */
#include "daemon/disk/disk_device.h"
#include "echo_device.h"

const struct config_section *const config_sections[] = {
	&config_section_daemon, &config_section_pool, &config_section_group, &config_section_guest,
	&config_section_disk,	&config_section_echo, NULL,
};

const struct device_kind *const device_kinds[] = { &disk_device_kind, &echo_device_kind, NULL };
