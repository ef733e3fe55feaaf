/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables that say what there is: sections of the configuration, and kinds of devices. */
#include "daemon/config/config.h"
#include "daemon/console/console_device.h"
#include "daemon/device/device_kind.h"
#include "daemon/disk/disk_device.h"
#include "daemon/nic/nic_device.h"
#include "daemon/nic/switch_config.h"
#include "daemon/seat/display_device.h"
#include "daemon/seat/input_device.h"

const struct config_section *const config_sections[] = {
	&config_section_daemon,
	&config_section_pool,
	&config_section_switch,
	&config_section_group,
	&config_section_guest,
	&config_section_disk,
	&config_section_nic,
	&config_section_seat,
	&config_section_display,
	&config_section_keyboard,
	&config_section_tablet,
	&config_section_console,
	NULL,
};

const struct device_kind *const device_kinds[] = {
	&disk_device_kind,
	&nic_device_kind,
	&display_device_kind,
	&keyboard_device_kind,
	&tablet_device_kind,
	&console_device_kind,
	NULL,
};
