/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables that say what there is: sections of the configuration. */
#include "daemon/config/config.h"

const struct config_section *const config_sections[] = {
	&config_section_daemon, &config_section_pool, &config_section_group,
	&config_section_guest,	&config_section_disk, NULL,
};
