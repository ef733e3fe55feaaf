/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guests' displays: each is a window on a seat. Control thread. */
#ifndef VIADUCT_DAEMON_SEAT_DISPLAY_DEVICE_H
#define VIADUCT_DAEMON_SEAT_DISPLAY_DEVICE_H

#include "core/container.h"
#include "daemon/device/device.h"
#include "daemon/seat/display_bare.h"
#include "daemon/seat/display_served.h"
#include "daemon/seat/seat_config.h"

struct daemon_seat;
struct display_device;
struct seat_window;

extern const struct device_kind display_device_kind;

/* A display has several with a virtio display of several scanouts. */
struct display_window {
	struct display_device *display;
	uint8_t scanout;
	struct seat_window *window; /* the seats' thread's */
};

struct virtio_pci;

struct display_device {
	struct device base;
	struct daemon_seat *seat; /* NULL: not served */
	struct display_window windows[DISPLAY_SCANOUTS_MAX];
	unsigned window_count;	       /* 0: not served */
	struct display_served *served; /* with a model of ours; NULL: not served, or the VMM's own */
	struct virtio_pci *pci;	       /* of a virtio display by registers */
	struct display_bare bare;
	/* As configured */
	enum display_source source;
	unsigned interface;			/* enum config_interface: of a virtio display */
	bool has_own_viewers;
	unsigned scanouts;			/* of a virtio display, else 1 */
	unsigned monitor_width, monitor_height; /* of a display of ours */
	char seat_name[CONFIG_NAME_SIZE];
	uint32_t colour;
};

static inline struct display_device *display_device_of(const struct device *device)
{
	return container_of((struct device *)device, struct display_device, base);
}

/*
 * A window as users name it: "alice/0", which is the display's name, and those of its further scanouts
 * "alice/0:1" and so on.
 */
#define DISPLAY_WINDOW_NAME_SIZE (CONFIG_NAME_SIZE + 4)
const char *display_window_name(const struct display_window *window, char name[DISPLAY_WINDOW_NAME_SIZE]);
/* NULL: there is none of that name. Displays that are not served have none. */
struct display_window *display_window_find(const struct daemon *daemon, const char *name);

/* All windows of displays that are served, display by display; after NULL the first. NULL: no more. */
struct display_window *display_window_next(const struct daemon *daemon, const struct display_window *window);
#define display_window_for_each(daemon, variable)                                                            \
	for (struct display_window *variable = display_window_next(daemon, NULL); variable;                  \
	     variable = display_window_next(daemon, variable))

/* The one display of a guest that is served; NULL: there is none. */
struct display_device *display_of_guest(const struct daemon *daemon, const struct guest *guest);

/* Viewers of a predecessor's that saw one guest of the seat alone go on. */
void displays_take_over_viewers(const struct daemon_seat *owner);

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
