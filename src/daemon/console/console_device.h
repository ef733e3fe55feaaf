/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text consoles: what a guest says is kept, and passed on to those who are attached; what they type is passed
 * to the guest. Control thread.
 *
 *   console_config.c    the section [console]
 *   console_memory.c    what a guest said last
 *   console_readers.c   those who read along
 *   console_device.c    the kind
 *   console_report.c    what is told of consoles: status, metrics
 *
 * The memory is the device's and not the endpoint's: it outlives guests, and a successor goes on with it.
 */
#ifndef VIADUCT_DAEMON_CONSOLE_CONSOLE_DEVICE_H
#define VIADUCT_DAEMON_CONSOLE_CONSOLE_DEVICE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "core/container.h"
#include "core/stats.h"
#include "daemon/console/console_config.h"
#include "daemon/device/device.h"

struct console_readers;
struct virtio_console;
struct virtio_pci;

extern const struct device_kind console_device_kind;

struct console_device {
	struct device base;
	struct console_readers *readers; /* NULL: it was never served */
	struct counter input_bytes;	 /* passed on to the guest */
	struct counter refused_bytes;	 /* for which there was no room, or no guest */
	unsigned interface;		 /* enum config_interface: of a virtio console */
	struct virtio_pci *pci;		 /* of one by registers */
	struct virtio_console *model;	 /* NULL: it is a VMM's serial port, or not served */
	/* As configured */
	enum console_source source;
	size_t scrollback_bytes;
};

static inline struct console_device *console_device_of(const struct device *device)
{
	return container_of((struct device *)device, struct console_device, base);
}

/*
 * What somebody typed. Returns how many bytes the guest has taken, or has room for, or -ENOTCONN: no VMM has
 * the console.
 */
ssize_t console_device_type(struct console_device *console, const uint8_t *bytes, size_t count);

/* The size of the terminal: -EOPNOTSUPP: a serial port has none. */
int console_device_resize(struct console_device *console, uint16_t columns, uint16_t rows);

/* ---- console_report.c ---- */

void console_describe(const struct device *device, json_t *object);
void console_status(const struct device *device, json_t *object);
void consoles_print_metrics(struct daemon *daemon, FILE *out);

#endif
