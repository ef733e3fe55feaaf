/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The section [console GUEST/NAME]. */
#ifndef VIADUCT_DAEMON_CONSOLE_CONSOLE_CONFIG_H
#define VIADUCT_DAEMON_CONSOLE_CONSOLE_CONFIG_H

#include "daemon/config/config.h"

extern const struct config_section config_section_console;

/* Who makes the device that the guest sees. */
enum console_source {
	CONSOLE_OF_VMM,	   /* the VMM: its serial port comes as a stream of bytes */
	CONSOLE_OF_VIRTIO, /* the daemon: a virtio console, over vhost-user */
};

/* As users write them. */
const char *console_source_text(enum console_source source);

struct config_console {
	union {
		struct config_object object;
		struct config_device device;
	};
	unsigned source; /* enum console_source */
	uint64_t scrollback_bytes;
};

#endif
