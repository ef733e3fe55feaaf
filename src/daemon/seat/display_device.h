/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guests' displays: each is a window on a seat. Control thread. */
#ifndef VIADUCT_DAEMON_SEAT_DISPLAY_DEVICE_H
#define VIADUCT_DAEMON_SEAT_DISPLAY_DEVICE_H

#include "core/container.h"
#include "daemon/device/device.h"
#include "daemon/seat/seat_config.h"

struct daemon_seat;
struct display_virtio;
struct seat_window;

extern const struct device_kind display_device_kind;

struct display_device {
	struct device base;
	struct daemon_seat *seat;      /* NULL: not served */
	struct seat_window *window;    /* the seats' thread's */
	struct display_virtio *virtio; /* NULL: not served, or the VMM's own */
	/* As configured */
	enum display_source source;
	unsigned monitor_width, monitor_height; /* of a virtio display */
	char seat_name[CONFIG_NAME_SIZE];
	uint32_t colour;
};

static inline struct display_device *display_device_of(const struct device *device)
{
	return container_of((struct device *)device, struct display_device, base);
}

/* The name of its window: the guest's, and the display's own unless that is "0". */
#define DISPLAY_TITLE_MAX CONFIG_NAME_SIZE
void display_title(const struct device *device, char title[DISPLAY_TITLE_MAX]);

/* The one display of a guest that is served; NULL: there is none. */
struct display_device *display_of_guest(const struct daemon *daemon, const struct guest *guest);

/* ---- seat_report.c ---- */

void display_describe(const struct device *device, json_t *object);
void display_status(const struct device *device, json_t *object);

/*
 * What is told of displays between the two is how all of them look at the first: the seats' thread is asked
 * once, and not for each. They may be nested.
 */
void displays_look(struct daemon *daemon);
void displays_forget(struct daemon *daemon);

#endif
