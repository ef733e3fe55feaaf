/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A new configuration under running guests: what could be applied is, the rest is said. */
#ifndef VIADUCT_DAEMON_DEVICE_RELOAD_H
#define VIADUCT_DAEMON_DEVICE_RELOAD_H

#include "daemon/config/config.h"
#include "daemon/device/report.h"

struct daemon;

struct reload_report {
	struct change_report changes;
	struct config_messages mistakes;	/* any: nothing was applied */
};

void reload_run(struct daemon *daemon, struct reload_report *ret_report);
void reload_report_finish(struct reload_report *report);
/* The same, with the report in the log and the service manager told. */
void reload_on_signal(struct daemon *daemon);

#endif
